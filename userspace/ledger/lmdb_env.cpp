#include "ledger/lmdb_env.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {
namespace {

constexpr mdb_mode_t kFileMode = 0600;  // the key secret is in it

// LMDB's own codes but for those a whole file may answer too: what they say of it can't be, or it is not
// LMDB's.
bool says_damaged(int code) {
    switch (code) {
        case MDB_NOTFOUND:
        case MDB_MAP_FULL:
        case MDB_TXN_FULL:
        case MDB_PANIC:
            return false;
        default:
            return code < 0;
    }
}

}  // namespace

std::unique_ptr<LmdbEnv> LmdbEnv::open(const std::string& directory, Access access, std::size_t map_bytes,
                                       std::size_t max_map_bytes, OpenError& open_error) {
    std::unique_ptr<LmdbEnv> env{new LmdbEnv{directory, access}};
    env->max_map_bytes_ = max_map_bytes;
    bool cut_short = false;
    int code = env->open_env(map_bytes);
    if (code == 0) code = env->check_length(cut_short);
    if (code == 0) code = env->open_tables();
    if (code == 0) return env;
    // What mmap answers to a header that claims more pages than there is address space, or pages of no size.
    open_error = {.damaged = cut_short || says_damaged(code) || code == ENOMEM || code == EINVAL,
                  .error = env->error("open", code)};
    return nullptr;
}

LmdbEnv::~LmdbEnv() {
    mdb_env_close(env_);
}

int LmdbEnv::open_env(std::size_t map_bytes) {
    map_bytes_ = map_bytes;
    struct stat file {};
    if (::stat(data_file(directory_).c_str(), &file) == 0) {
        map_bytes_ = std::max(map_bytes_, static_cast<std::size_t>(file.st_size));
    }
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    map_bytes_ = (map_bytes_ + page - 1) / page * page;
    if (const int code = mdb_env_create(&env_); code != 0) return code;
    mdb_env_set_maxdbs(env_, 3);
    if (const int code = mdb_env_set_mapsize(env_, map_bytes_); code != 0) return code;
    const unsigned mode = writable() ? MDB_NOMETASYNC : MDB_RDONLY;
    return mdb_env_open(env_, directory_.c_str(), MDB_NOTLS | MDB_NOLOCK | mode, kFileMode);
}

// A file shorter than its own count of pages would raise SIGBUS where the map ends early. The last pages may
// rightly be missing if a transaction took and freed them; lengthened, those read as zeros, which LMDB
// reports as corrupt if they are referred to.
int LmdbEnv::check_length(bool& cut_short) {
    MDB_envinfo info{};
    MDB_stat stat{};
    if (const int code = mdb_env_info(env_, &info); code != 0) return code;
    if (const int code = mdb_env_stat(env_, &stat); code != 0) return code;
    struct stat file {};
    mdb_filehandle_t fd = -1;
    if (const int code = mdb_env_get_fd(env_, &fd); code != 0) return code;
    if (::fstat(fd, &file) != 0) return errno;
    const auto needed = static_cast<off_t>((info.me_last_pgno + 1) * stat.ms_psize);
    if (file.st_size >= needed) return 0;
    constexpr off_t kMostMissing = 64 << 20;  // no transaction of ours takes and frees as much
    if (!writable() || needed < 0 || needed - file.st_size > kMostMissing) {
        cut_short = true;
        return MDB_CORRUPTED;
    }
    return ::ftruncate(fd, needed) == 0 ? 0 : errno;
}

int LmdbEnv::open_tables() {
    MDB_txn* txn = nullptr;
    if (const int code = mdb_txn_begin(env_, nullptr, writable() ? 0 : MDB_RDONLY, &txn); code != 0)
        return code;
    const unsigned flags = writable() ? MDB_CREATE : 0;
    int code = mdb_dbi_open(txn, "meta", flags, &tables_.meta);
    if (code == 0) code = mdb_dbi_open(txn, "windows", flags, &tables_.windows);
    if (code == 0) code = mdb_dbi_open(txn, "documents", flags, &tables_.documents);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

Result<> LmdbEnv::run(std::string_view what, const Body& body, unsigned flags) {
    for (;;) {
        MDB_txn* txn = nullptr;
        int code = mdb_txn_begin(env_, nullptr, flags, &txn);
        if (code == 0) {
            code = body(txn, tables_);
            if (code == 0) {
                code = mdb_txn_commit(txn);
            } else {
                mdb_txn_abort(txn);
            }
        }
        if (code == 0) return {};
        if (code == MDB_MAP_FULL && map_bytes_ < max_map_bytes_) {
            map_bytes_ = std::min(map_bytes_ * 2, max_map_bytes_);
            code = mdb_env_set_mapsize(env_, map_bytes_);
            if (code == 0) continue;
            broken_ = true;  // the old map is gone
        }
        // LMDB answers EIO to a write that was cut short; nearly always the disk is full.
        if (code == EIO && disk_full()) code = ENOSPC;
        if (code == MDB_PANIC) broken_ = true;
        if (says_damaged(code)) damaged_ = true;
        return error(what, code);
    }
}

bool LmdbEnv::disk_full() const {
    struct statvfs disk {};
    constexpr unsigned long kLeftBytes = 64 << 10;  // less than the smallest flush may need
    return ::statvfs(directory_.c_str(), &disk) == 0 && disk.f_bavail * disk.f_frsize < kLeftBytes;
}

Result<> LmdbEnv::read(std::string_view what, const Body& body) {
    return run(what, body, MDB_RDONLY);
}

Result<> LmdbEnv::write(std::string_view what, const Body& body) {
    return run(what, body, 0);
}

Result<> LmdbEnv::sync() {
    if (const int code = mdb_env_sync(env_, 1); code != 0) return error("sync", code);
    return {};
}

Error LmdbEnv::error(std::string_view what, int code) const {
    const std::string file = data_file(directory_);
    if (code > 0) return system_error(what, file, code);
    const ErrorCode kind = code == MDB_MAP_FULL ? ErrorCode::kExhausted : ErrorCode::kUnavailable;
    return {kind, std::string{what} + " " + file + ": " + mdb_strerror(code)};
}

}  // namespace sluice
