// An LMDB environment of three tables, opened for one process that has locked its directory (hence
// MDB_NOLOCK) and that serialises its calls. Grows its map by itself.
#pragma once

#include <lmdb.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice {

struct LmdbTables {
    MDB_dbi meta = 0;
    MDB_dbi windows = 0;
    MDB_dbi documents = 0;
};

class LmdbEnv {
  public:
    enum class Access { kReadWrite, kReadOnly };

    // What is wrong with a file decides what to do about it.
    struct OpenError {
        bool damaged = false;  // not an LMDB file, of another version, or cut short: no retry will help
        Error error;
    };

    static std::unique_ptr<LmdbEnv> open(const std::string& directory, Access access, std::size_t map_bytes,
                                         std::size_t max_map_bytes, OpenError& error);
    ~LmdbEnv();
    LmdbEnv(const LmdbEnv&) = delete;
    LmdbEnv& operator=(const LmdbEnv&) = delete;

    using Body = std::function<int(MDB_txn*, const LmdbTables&)>;  // 0 or an LMDB or errno code

    // One transaction. `what` names the operation in the error. A write whose body fails changes nothing; it
    // is run again after the map has grown if that was what it lacked.
    Result<> read(std::string_view what, const Body& body);
    Result<> write(std::string_view what, const Body& body);
    // Waits until all that was committed is on the disk.
    Result<> sync();

    bool writable() const { return access_ == Access::kReadWrite; }
    // A failed write left the environment unusable until it is opened anew.
    bool broken() const { return broken_; }
    // A page of the file made no sense.
    bool damaged() const { return damaged_; }

    static std::string data_file(const std::string& directory) { return directory + "/data.mdb"; }

  private:
    LmdbEnv(std::string directory, Access access) : directory_(std::move(directory)), access_(access) {}
    int open_env(std::size_t map_bytes);
    int open_tables();
    int check_length(bool& cut_short);
    Result<> run(std::string_view what, const Body& body, unsigned flags);
    bool disk_full() const;
    Error error(std::string_view what, int code) const;

    std::string directory_;
    Access access_;
    MDB_env* env_ = nullptr;
    LmdbTables tables_;
    std::size_t map_bytes_ = 0;
    std::size_t max_map_bytes_ = 0;
    bool broken_ = false;
    bool damaged_ = false;
};

inline MDB_val to_val(std::string_view bytes) {
    // LMDB's interface is not const-correct; it does not write through these.
    return {bytes.size(), const_cast<char*>(bytes.data())};
}
inline std::string_view to_bytes(const MDB_val& value) {
    return {static_cast<const char*>(value.mv_data), value.mv_size};
}

}  // namespace sluice
