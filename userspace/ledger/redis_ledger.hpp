// The ledger of many hosts: what they spend together is counted in Redis (lease_book.hpp). What is this host's alone — its
// windows, bans, overrides, the policy's history — stays in an embedded ledger beside it, which is also what the host
// goes by while Redis is away.
//
// The names of counters must be the same on all hosts, so the secret of the hash is kept in Redis, and a copy here: a host that
// has met its Redis once starts without it.
#pragma once

#include <memory>
#include <string>

#include "ledger/embedded_ledger.hpp"
#include "ledger/fleet.hpp"
#include "ledger/lease_book.hpp"
#include "ledger/redis_nodes.hpp"

namespace sluice {

class RedisLedger final : public Ledger {
  public:
    // Connects; waits a few seconds for Redis. kUnavailable: it is away, and this host has not met it before. kConflict: it is
    // not the Redis this host's counters are named for, or see EmbeddedLedger::open.
    static Result<std::unique_ptr<RedisLedger>> open(const EmbeddedLedgerConfig& local,
                                                     const RedisSettings& settings);
    ~RedisLedger() override;

    // The limiter's leases; once, after recover(). The limiter outlives this.
    LeaseBook& lease(Limiter& limiter);
    // What hosts tell one another.
    Fleet& fleet() { return fleet_; }
    // Before the limiter goes: no lease is asked for any more.
    void stop();

    Result<LedgerRecovery> recover(Limiter& limiter, Nanos now) override {
        return local_->recover(limiter, now);
    }
    Result<> store(const KeyBatch& batch, Nanos now) override { return local_->store(batch, now); }
    Result<> sweep(Nanos now) override { return local_->sweep(now); }
    Result<std::optional<std::string>> get_document(std::string_view name) override;
    Result<> put_document(std::string_view name, std::string_view bytes) override {
        return local_->put_document(name, bytes);
    }
    Result<> close(Nanos now) override;
    // Up: Redis answers. The local ledger's own trouble is told as a notice.
    LedgerHealth health() const override;
    std::string_view kind() const override { return "redis"; }
    std::optional<SharedLedgerState> shared() const override;

  private:
    RedisLedger(std::unique_ptr<EmbeddedLedger> local, std::unique_ptr<RedisNodes> redis, std::string host,
                const RedisSettings& settings);
    boost::asio::awaitable<Result<>> prepare(RespStream& stream);
    boost::asio::awaitable<Result<>> agree_on_secret(RespStream& stream);
    boost::asio::awaitable<void> look_after();
    void watch_secret();

    std::unique_ptr<EmbeddedLedger> local_;
    std::unique_ptr<RedisNodes> redis_;
    const std::string host_;  // name of this process
    Fleet fleet_;
    Guarded<std::string> secret_;
    Guarded<std::string> script_;  // SHA1 of it
    std::unique_ptr<LeaseBook> book_;
    std::atomic<bool> booked_{false};
};

}  // namespace sluice
