#include "ledger/embedded_ledger.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "ledger/elapsed.hpp"
#include "ledger/lmdb_env.hpp"

namespace sluice {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kLongestDocumentName = 64;
constexpr std::size_t kSweepKeys = 10'000;  // a millisecond or two of reading

// table meta
constexpr std::string_view kFormatKey = "format";         // u32
constexpr std::string_view kLastFlushKey = "last_flush";  // Moment
constexpr std::string_view kCleanKey = "clean";           // u8

template <class T>
std::string_view bytes_of(const T& object) {
    return {reinterpret_cast<const char*>(&object), sizeof object};
}

int put(MDB_txn* txn, MDB_dbi table, std::string_view key, std::string_view value) {
    MDB_val k = to_val(key);
    MDB_val v = to_val(value);
    return mdb_put(txn, table, &k, &v, 0);
}

// 0 and nullopt if there is no such key.
int get(MDB_txn* txn, MDB_dbi table, std::string_view key, std::optional<std::string>& value) {
    MDB_val k = to_val(key);
    MDB_val v{};
    const int code = mdb_get(txn, table, &k, &v);
    value.reset();
    if (code == 0) value = to_bytes(v);
    return code == MDB_NOTFOUND ? 0 : code;
}

int remove(MDB_txn* txn, MDB_dbi table, std::string_view key) {
    MDB_val k = to_val(key);
    const int code = mdb_del(txn, table, &k, nullptr);
    return code == MDB_NOTFOUND ? 0 : code;
}

template <class T>
int get_object(MDB_txn* txn, MDB_dbi table, std::string_view key, std::optional<T>& object) {
    std::optional<std::string> value;
    const int code = get(txn, table, key, value);
    object.reset();
    if (code == 0 && value && value->size() == sizeof(T))
        std::memcpy(&object.emplace(), value->data(), sizeof(T));
    return code;
}

// A window as stored: when it expires, then the limiter's bytes.
Nanos expires_at(std::string_view record) {
    Nanos time = 0;
    if (record.size() >= sizeof time) std::memcpy(&time, record.data(), sizeof time);
    return time;
}

// One byte for each start in a row that crashed before it had lived: to its first flush, its first sweep a second later,
// or an orderly end. kill -9 proves nothing about the file and leaves no byte: an impatient operator or supervisor must
// not cost what was spent.
std::string starts_file(const std::string& directory) {
    return directory + "/starting";
}
constexpr off_t kMostDeadStarts = 2;

// The former content is never thrown away: it may still be wanted, or wanted by whoever looks for the cause.
Result<std::string> move_aside(const std::string& directory) {
    const std::string file = LmdbEnv::data_file(directory);
    const std::string aside = file + ".corrupt-" + to_rfc3339(wall_now());
    if (::rename(file.c_str(), aside.c_str()) != 0) return system_error("rename", file, errno);
    return aside;
}

void append_notice(std::string& notice, std::string_view text) {
    if (!notice.empty()) notice += "; ";
    notice += text;
}

}  // namespace

EmbeddedLedger::EmbeddedLedger(EmbeddedLedgerConfig config, UniqueFd lock)
    : config_(std::move(config)), lock_(std::move(lock)) {}

EmbeddedLedger::~EmbeddedLedger() {
    started();
}

Result<std::unique_ptr<EmbeddedLedger>> EmbeddedLedger::open(const EmbeddedLedgerConfig& config) {
    const std::string& directory = config.directory;
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
        return system_error("make ledger directory", directory, errno);
    }
    UniqueFd lock{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!lock && errno == ENOTDIR) {
        return Error{ErrorCode::kInvalid, "open ledger " + directory + ": not a directory"};
    }
    if (!lock) return system_error("open ledger directory", directory, errno);
    // On the directory itself: needs no file, so it works on a read-only disk, and the kernel lifts it with
    // the process.
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return system_error("lock ledger directory", directory, errno);
        return Error{
            ErrorCode::kConflict,
            "open ledger " + directory + ": in use by another process; stop it or choose another directory"};
    }
    std::unique_ptr<EmbeddedLedger> ledger{new EmbeddedLedger{config, std::move(lock)}};
    ledger->open_first();
    return ledger;
}

// The file as it is found at start: good, damaged, or out of reach for now. Never an error: see the header.
void EmbeddedLedger::open_first() {
    const std::string starts = starts_file(config_.directory);
    struct stat dead {};
    if (::stat(starts.c_str(), &dead) == 0 && dead.st_size >= kMostDeadStarts) {
        set_aside("the last " + std::to_string(dead.st_size) +
                  " starts crashed with it before they had written anything");
        ::unlink(starts.c_str());
    }
    death_mark_ = std::make_unique<DeathMark>(starts);
    const auto opened = open_writable();
    if (opened) return;
    append_notice(notice_,
                  "ledger is not writable, what is spent is kept in memory only: " + opened.error().message);
    failed(opened.error());
    LmdbEnv::OpenError error;
    open_env(LmdbEnv::Access::kReadOnly, error);
}

// Opens the file to be written, or a new one in place of one that is damaged.
Result<> EmbeddedLedger::open_writable() {
    LmdbEnv::OpenError error;
    if (open_env(LmdbEnv::Access::kReadWrite, error)) return {};
    if (error.damaged) {
        set_aside(error.error.message);
        if (open_env(LmdbEnv::Access::kReadWrite, error)) return {};
    }
    return error.error;
}

void EmbeddedLedger::started() {
    if (death_mark_ == nullptr) return;
    death_mark_.reset();
    ::unlink(starts_file(config_.directory).c_str());
}

bool EmbeddedLedger::open_env(LmdbEnv::Access access, LmdbEnv::OpenError& error) {
    env_.reset();
    auto env = LmdbEnv::open(config_.directory, access, config_.map_bytes, config_.max_map_bytes, error);
    if (env == nullptr) return false;
    std::optional<std::uint32_t> format;
    const auto read = env->read("read format of", [&](MDB_txn* txn, const LmdbTables& tables) {
        return get_object(txn, tables.meta, kFormatKey, format);
    });
    if (!read) {
        error = {.damaged = env->damaged(), .error = read.error()};
        return false;
    }
    if (format && *format != kFormat) {
        error = {.damaged = true,
                 .error = {ErrorCode::kUnsupported, "open " + LmdbEnv::data_file(config_.directory) +
                                                        ": format " + std::to_string(*format) +
                                                        ", this version reads " + std::to_string(kFormat)}};
        return false;
    }
    if (!format && env->writable()) {
        const auto written = env->write("begin", [](MDB_txn* txn, const LmdbTables& tables) {
            return put(txn, tables.meta, kFormatKey, bytes_of(kFormat));
        });
        if (!written) {
            error = {.damaged = env->damaged(), .error = written.error()};
            return false;
        }
    }
    env_ = std::move(env);
    if (env_->writable()) {
        health_.with([](LedgerHealth& health) {
            health.up = true;
            health.error.clear();
        });
    }
    return true;
}

void EmbeddedLedger::set_aside(const std::string& why) {
    const auto aside = move_aside(config_.directory);
    const std::string text =
        aside ? "ledger moved aside to " + *aside + ", a new one begins empty (" + why + ")"
              : aside.error().message + " (" + why + ")";
    append_notice(notice_, text);
    health_.with([&](LedgerHealth& health) { health.notice = text; });
}

Error EmbeddedLedger::failed(const Error& error) {
    health_.with([&](LedgerHealth& health) {
        health.up = false;
        health.error = error.message;
        ++health.failures;
    });
    return error;
}

// The environment to write to, opened anew if it was out of reach or broke.
Result<LmdbEnv*> EmbeddedLedger::writable_env() {
    if (closed_) return Error{ErrorCode::kUnavailable, "ledger " + config_.directory + ": closed"};
    if (env_ == nullptr || !env_->writable() || env_->broken()) {
        if (const auto opened = open_writable(); !opened) return opened.error();
    }
    return env_.get();
}

Result<> EmbeddedLedger::write(std::string_view what, const LmdbEnv::Body& body) {
    const auto env = writable_env();
    if (!env) return failed(env.error());
    const auto written = (*env)->write(what, body);
    if (written) return {};
    if ((*env)->damaged()) {  // found only now; the next write begins a new file
        env_.reset();
        set_aside(written.error().message);
    }
    return failed(written.error());
}

Result<LedgerRecovery> EmbeddedLedger::recover(Limiter& limiter, Nanos now) {
    const std::lock_guard lock{mutex_};
    LedgerRecovery recovery;
    std::vector<std::string> dead;
    if (env_ != nullptr) {
        const auto read = read_windows(limiter, now, recovery, dead);
        if (!read && env_->damaged() && env_->writable()) {
            // What was read before the damage stays restored.
            env_.reset();
            set_aside(read.error().message);
            if (const auto opened = open_writable(); !opened) failed(opened.error());
        } else if (!read) {
            append_notice(notice_, read.error().message);
            failed(read.error());
        }
    }
    if (recovery.clock_shift != 0) {
        append_notice(notice_, "clock was set by " + std::to_string(recovery.clock_shift / kMillisecond) +
                                   " ms since the last flush, windows were moved with it");
    }
    if (env_ != nullptr && env_->writable()) begin_session(limiter, now, recovery, dead);
    recovery.notice = std::exchange(notice_, {});
    return recovery;
}

Result<> EmbeddedLedger::read_windows(Limiter& limiter, Nanos now, LedgerRecovery& recovery,
                                      std::vector<std::string>& dead) {
    return env_->read("read", [&](MDB_txn* txn, const LmdbTables& tables) {
        std::optional<Moment> last;
        std::optional<std::uint8_t> clean;
        if (const int code = get_object(txn, tables.meta, kLastFlushKey, last); code != 0) return code;
        if (const int code = get_object(txn, tables.meta, kCleanKey, clean); code != 0) return code;
        recovery.clean = clean.value_or(1) != 0;
        if (last) {
            recovery.last_flush = last->ledger;
            recovery.clock_shift = clock_shift(*last, moment_at(now));
        }
        MDB_cursor* cursor = nullptr;
        if (const int code = mdb_cursor_open(txn, tables.windows, &cursor); code != 0) return code;
        MDB_val k{};
        MDB_val v{};
        int code = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
        for (; code == 0; code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
            KeyHash key;
            auto outcome = RestoreOutcome::kDamaged;
            if (k.mv_size == sizeof key && v.mv_size >= sizeof(Nanos)) {
                std::memcpy(&key, k.mv_data, sizeof key);
                outcome = limiter.restore(key, to_bytes(v).substr(sizeof(Nanos)), recovery.clock_shift, now);
            }
            switch (outcome) {
                case RestoreOutcome::kRestored:
                    ++recovery.restored;
                    continue;
                case RestoreOutcome::kFull:
                    ++recovery.full;
                    continue;
                case RestoreOutcome::kExpired:
                    ++recovery.expired;
                    break;
                case RestoreOutcome::kDamaged:
                    ++recovery.damaged;
                    break;
            }
            dead.emplace_back(to_bytes(k));
        }
        mdb_cursor_close(cursor);
        return code == MDB_NOTFOUND ? 0 : code;
    });
}

// Marks the ledger as in use, deletes what is dead, and writes moved windows back in the same transaction as
// the time they were moved to: a crash in between must not move them twice.
void EmbeddedLedger::begin_session(Limiter& limiter, Nanos now, const LedgerRecovery& recovery,
                                   const std::vector<std::string>& dead) {
    KeyBatch moved;
    if (recovery.clock_shift != 0) limiter.drain_changes(SIZE_MAX, moved);
    const auto begun = write("begin", [&](MDB_txn* txn, const LmdbTables& tables) {
        constexpr std::uint8_t kNotClean = 0;
        int code = put(txn, tables.meta, kCleanKey, bytes_of(kNotClean));
        for (std::size_t i = 0; i < dead.size() && code == 0; ++i)
            code = remove(txn, tables.windows, dead[i]);
        if (code == 0 && recovery.clock_shift != 0) code = put_batch(txn, tables, moved, now);
        return code;
    });
    if (!begun) limiter.mark_changed(moved);
}

int EmbeddedLedger::put_batch(MDB_txn* txn, const LmdbTables& tables, const KeyBatch& batch, Nanos now) {
    std::string record;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const KeyBatch::Entry entry = batch[i];
        int code = 0;
        if (entry.state.empty()) {
            code = remove(txn, tables.windows, bytes_of(entry.key));
        } else {
            record.assign(bytes_of(entry.expires_at));
            record.append(entry.state);
            code = put(txn, tables.windows, bytes_of(entry.key), record);
        }
        if (code != 0) return code;
    }
    // Whoever opens it next finds that it was in use, unless close() says otherwise.
    constexpr std::uint8_t kInUse = 0;
    if (const int code = put(txn, tables.meta, kCleanKey, bytes_of(kInUse)); code != 0) return code;
    return put(txn, tables.meta, kLastFlushKey, bytes_of(moment_at(now)));
}

Result<> EmbeddedLedger::store(const KeyBatch& batch, Nanos now) {
    const std::lock_guard lock{mutex_};
    const auto stored = write(
        "write", [&](MDB_txn* txn, const LmdbTables& tables) { return put_batch(txn, tables, batch, now); });
    if (!stored) return stored.error();
    started();
    health_.with([&](LedgerHealth& health) {
        health.up = true;
        health.error.clear();
        health.last_flush = now;
    });
    return {};
}

Result<> EmbeddedLedger::sweep(Nanos now) {
    const std::lock_guard lock{mutex_};
    const auto env = writable_env();
    if (!env) return failed(env.error());
    std::vector<std::string> expired;
    const auto read = (*env)->read("sweep", [&](MDB_txn* txn, const LmdbTables& tables) {
        MDB_cursor* cursor = nullptr;
        if (const int code = mdb_cursor_open(txn, tables.windows, &cursor); code != 0) return code;
        MDB_val k = to_val(sweep_from_);
        MDB_val v{};
        int code = mdb_cursor_get(cursor, &k, &v, sweep_from_.empty() ? MDB_FIRST : MDB_SET_RANGE);
        for (std::size_t seen = 0; code == 0 && seen < kSweepKeys; ++seen) {
            if (expires_at(to_bytes(v)) <= now) expired.emplace_back(to_bytes(k));
            code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
        }
        sweep_from_ = code == 0 ? std::string{to_bytes(k)} : std::string{};
        mdb_cursor_close(cursor);
        return code == MDB_NOTFOUND ? 0 : code;
    });
    if (!read) return failed(read.error());
    started();
    if (expired.empty()) return {};
    return write("sweep", [&](MDB_txn* txn, const LmdbTables& tables) {
        int code = 0;
        for (std::size_t i = 0; i < expired.size() && code == 0; ++i)
            code = remove(txn, tables.windows, expired[i]);
        return code;
    });
}

Result<std::optional<std::string>> EmbeddedLedger::get_document(std::string_view name) {
    const std::lock_guard lock{mutex_};
    if (env_ == nullptr) {
        return Error{ErrorCode::kUnavailable, "read document " + std::string{name} + ": ledger is down"};
    }
    std::optional<std::string> document;
    const auto read = env_->read("read document in", [&](MDB_txn* txn, const LmdbTables& tables) {
        return get(txn, tables.documents, name, document);
    });
    if (!read) return failed(read.error());
    return document;
}

Result<> EmbeddedLedger::put_document(std::string_view name, std::string_view bytes) {
    if (name.empty() || name.size() > kLongestDocumentName) {
        return Error{ErrorCode::kInvalid,
                     "write document: a name has 1 to 64 bytes, not " + std::to_string(name.size())};
    }
    const std::lock_guard lock{mutex_};
    const auto written = write("write document to", [&](MDB_txn* txn, const LmdbTables& tables) {
        return put(txn, tables.documents, name, bytes);
    });
    if (!written) return written.error();
    const auto synced = env_->sync();
    return synced ? Result<>{} : failed(synced.error());
}

Result<> EmbeddedLedger::close(Nanos now) {
    const std::lock_guard lock{mutex_};
    const auto written = write("close", [&](MDB_txn* txn, const LmdbTables& tables) {
        constexpr std::uint8_t kClean = 1;
        if (const int code = put_batch(txn, tables, {}, now); code != 0) return code;
        return put(txn, tables.meta, kCleanKey, bytes_of(kClean));
    });
    if (!written) return written.error();
    const auto synced = env_->sync();
    closed_ = true;
    env_.reset();
    return synced ? Result<>{} : failed(synced.error());
}

LedgerHealth EmbeddedLedger::health() const {
    return health_.with([](const LedgerHealth& health) { return health; });
}

}  // namespace sluice
