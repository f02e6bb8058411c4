// Stand-ins for the outside of the api layer: a kernel that remembers bans, a ledger in memory.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernel/kernel_enforcer.hpp"
#include "ledger/ledger.hpp"

namespace sluice {

// Gives what a test puts into `packets`.
class FakeCapture final : public PacketCapture {
  public:
    Result<> start(const CaptureRequest& request) override {
        asked = request;
        running = true;
        return {};
    }
    void stop() override { running = false; }
    int fd() const override { return -1; }
    CaptureProgress drain(const std::function<void(const CapturedPacket&)>& on_packet) override {
        for (const CapturedPacket& packet : std::exchange(packets, {})) on_packet(packet);
        return progress;
    }

    CaptureRequest asked;
    bool running = false;
    std::vector<CapturedPacket> packets;
    CaptureProgress progress{.over = false, .lost = 0};
};

class FakeKernel final : public KernelEnforcer {
  public:
    Result<> apply(const KernelPolicy& policy, const SourcePrefix&, const std::vector<IpPrefix>&,
                   std::uint64_t generation) override {
        if (refuse_apply) return Error{ErrorCode::kExhausted, "deny list: map full"};
        applied = policy;
        generation_ = generation;
        return {};
    }
    std::uint64_t generation() const override { return generation_; }
    std::vector<InterfaceState> interfaces() const override { return {}; }
    Result<std::vector<InterfaceCounters>> counters() const override {
        return std::vector<InterfaceCounters>{};
    }
    KernelStatistics statistics() const override { return counted; }
    std::vector<MapUsage> maps() const override { return {}; }
    const Adoption& adopted() const override { return adoption_; }

    Result<> ban(const BanRequest& request) override {
        if (refuse_bans) return Error{ErrorCode::kExhausted, "bans: map full"};
        banned[request.source] = {request.source, request.reason, request.origin, request.duration, 7};
        return {};
    }
    Result<> lift(const IpPrefix& source) override {
        if (banned.erase(source) == 0) return Error{ErrorCode::kNotFound, "no ban"};
        return {};
    }
    std::vector<Ban> take_lifted() override { return std::exchange(lifted, {}); }
    Result<std::vector<Ban>> bans() const override {
        std::vector<Ban> all;
        for (const auto& [source, ban] : banned) all.push_back(ban);
        return all;
    }
    int event_fd() const override { return -1; }
    std::size_t drain(const std::function<void(const KernelEvent&)>&) override { return 0; }
    bool makes_cookies() const override { return has_cookies; }
    CookieAnswers cookie_answers() const override { return answers; }
    void set_cookie_answers(const CookieAnswers& now) override { answers = now; }
    PacketCapture& capture() override { return captured; }
    std::vector<Ban> tick() override { return std::exchange(expired, {}); }
    std::vector<TopTalker> top(TopOf, TopBy, std::size_t) const override { return {}; }
    Result<SourceVerdict> explain(const IpAddress& address) const override {
        SourceVerdict verdict{"pass", "passed", std::nullopt, {}};
        for (const auto& [source, ban] : banned)
            if (source.contains(address)) verdict = {"drop", "banned", ban, {}};
        return verdict;
    }
    Result<> detach() override { return {}; }

    bool refuse_apply = false;
    bool refuse_bans = false;
    bool has_cookies = true;
    CookieAnswers answers;
    KernelStatistics counted;
    KernelPolicy applied;
    std::map<IpPrefix, Ban> banned;
    std::vector<Ban> expired;
    std::vector<Ban> lifted;
    FakeCapture captured;

  private:
    std::uint64_t generation_ = 0;
    Adoption adoption_;
};

class MemoryLedger final : public Ledger {
  public:
    Result<LedgerRecovery> recover(Limiter&, Nanos) override { return LedgerRecovery{}; }
    Result<> store(const KeyBatch&, Nanos) override { return {}; }
    Result<> sweep(Nanos) override { return {}; }
    Result<std::optional<std::string>> get_document(std::string_view name) override {
        const auto found = documents.find(std::string{name});
        return found == documents.end() ? std::optional<std::string>{} : std::optional{found->second};
    }
    Result<> put_document(std::string_view name, std::string_view bytes) override {
        if (full) return Error{ErrorCode::kExhausted, "disk full"};
        documents[std::string{name}] = bytes;
        return {};
    }
    Result<> close(Nanos) override { return {}; }
    LedgerHealth health() const override {
        LedgerHealth health;
        health.up = !full;
        return health;
    }
    std::string_view kind() const override { return ledger_kind; }

    bool full = false;
    std::string_view ledger_kind = "embedded";
    std::map<std::string, std::string> documents;
};

}  // namespace sluice
