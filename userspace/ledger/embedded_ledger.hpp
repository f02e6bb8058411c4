// The ledger of a host on its own: LMDB in a directory.
//
//   kill -9         loses at most what was not flushed yet (100 ms), never corrupts: a flush is one transaction.
//   power loss      MDB_NOMETASYNC: data is synced before the page that points to it is written, so the file stays
//                   whole; at most one flush more is lost. Costs one fdatasync a flush, in the flush thread.
//   full or         store() fails, health says why, the limiter goes on and keeps what changed; each flush tries
//   read-only disk  again. At start the same: what is stored is read, and writing is tried again with each flush.
//   corrupt or      The file is moved aside (data.mdb.corrupt-TIME), said in the recovery's notice, and a new one begun:
//   foreign file    at 3 a.m. a limiter that starts with empty windows is worth more than one that does not start. So is
//                   a file with which two starts in a row crashed before they had written anything.
//   second process  refused with kConflict: the directory is locked (flock) for as long as this lives.
//   clock           Within one boot, elapsed time is taken from CLOCK_BOOTTIME, so a wall clock set forward or back
//                   between two processes changes nothing. After a reboot a clock behind the last flush counts as no
//                   time passed: conservative. Both are said in the notice.
//
// Thread-safe; every call but health() may wait for the disk.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.hpp"
#include "base/unique_fd.hpp"
#include "ledger/death_mark.hpp"
#include "ledger/ledger.hpp"
#include "ledger/lmdb_env.hpp"

namespace sluice {

struct EmbeddedLedgerConfig {
    std::string directory;                              // made (0700) if it does not exist; its parent must
    std::size_t map_bytes = std::size_t{64} << 20;      // to begin with; doubles when full
    std::size_t max_map_bytes = std::size_t{64} << 30;  // address space, not disk
};

class EmbeddedLedger final : public Ledger {
  public:
    // Errors: kConflict (another process has it), kInvalid (the path is not a directory), kNotPermitted,
    // kUnavailable.
    static Result<std::unique_ptr<EmbeddedLedger>> open(const EmbeddedLedgerConfig& config);
    ~EmbeddedLedger() override;

    Result<LedgerRecovery> recover(Limiter& limiter, Nanos now) override;
    Result<> store(const KeyBatch& batch, Nanos now) override;
    Result<> sweep(Nanos now) override;
    Result<std::optional<std::string>> get_document(std::string_view name) override;
    Result<> put_document(std::string_view name, std::string_view bytes) override;
    Result<> close(Nanos now) override;
    LedgerHealth health() const override;
    std::string_view kind() const override { return "embedded"; }

  private:
    EmbeddedLedger(EmbeddedLedgerConfig config, UniqueFd lock);

    void open_first();
    Result<> open_writable();
    bool open_env(LmdbEnv::Access access, LmdbEnv::OpenError& error);
    void started();
    void set_aside(const std::string& why);
    Error failed(const Error& error);
    Result<LmdbEnv*> writable_env();
    Result<> write(std::string_view what, const LmdbEnv::Body& body);
    Result<> read_windows(Limiter& limiter, Nanos now, LedgerRecovery& recovery,
                          std::vector<std::string>& dead);
    void begin_session(Limiter& limiter, Nanos now, const LedgerRecovery& recovery,
                       const std::vector<std::string>& dead);
    static int put_batch(MDB_txn* txn, const LmdbTables& tables, const KeyBatch& batch, Nanos now);

    EmbeddedLedgerConfig config_;
    UniqueFd lock_;
    Guarded<LedgerHealth> health_;
    std::mutex mutex_;              // one transaction at a time; protects the rest
    std::unique_ptr<LmdbEnv> env_;  // nullptr: out of reach
    bool closed_ = false;
    std::unique_ptr<DeathMark> death_mark_;  // until this start has proved to live
    std::string notice_;
    std::string sweep_from_;  // first key of the next sweep
};

}  // namespace sluice
