#include "ledger/redis_ledger.hpp"

#include <hiredis/hiredis.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <thread>

#include "ledger/lease_script.hpp"

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr std::string_view kSecretDocument = "key_secret";
constexpr std::string_view kSharedSecretDocument = "shared_key_secret";
constexpr std::string_view kSecretKey = "sluice:1:secret";
// A host that has met its Redis starts without it as well; one that has not can't.
constexpr auto kStartPatience = std::chrono::milliseconds{250};
constexpr auto kFirstStartPatience = std::chrono::milliseconds{1500};
constexpr auto kStartStep = std::chrono::milliseconds{10};
constexpr Nanos kTick = 50 * kMillisecond;
constexpr int kTicksASecond = 20;

// host:pid would come again after a restart; what Redis has under a name must never be taken for another's.
Result<std::string> process_name() {
    std::array<unsigned char, 8> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
        return system_error("getrandom", "the name of this host", errno);
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string name;
    for (const unsigned char byte : random) {
        name += kDigits[byte >> 4U];
        name += kDigits[byte & 15U];
    }
    return name;
}

std::string system_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string{name.data()}
                                                            : std::string{"unnamed"};
}

std::string as_bytes(const KeySecret& secret) {
    return {reinterpret_cast<const char*>(secret.data()), secret.size()};
}

}  // namespace

RedisLedger::RedisLedger(std::unique_ptr<EmbeddedLedger> local, std::unique_ptr<RedisNodes> redis,
                         std::string host, const RedisSettings& settings)
    : local_(std::move(local)),
      redis_(std::move(redis)),
      host_(std::move(host)),
      fleet_(*redis_, host_, settings.host_name.empty() ? system_name() : settings.host_name,
             settings.share_policies) {}

RedisLedger::~RedisLedger() {
    stop();
}

Result<std::unique_ptr<RedisLedger>> RedisLedger::open(const EmbeddedLedgerConfig& local,
                                                       const RedisSettings& settings) {
    auto redis = RedisNodes::make(settings);
    if (!redis) return redis.error();
    auto name = process_name();
    if (!name) return name.error();
    auto embedded = EmbeddedLedger::open(local);
    if (!embedded) return embedded.error();
    std::unique_ptr<RedisLedger> ledger{
        new RedisLedger{*std::move(embedded), *std::move(redis), *std::move(name), settings}};
    const auto stored = ledger->local_->get_document(kSharedSecretDocument);
    if (!stored) return stored.error();
    if (*stored) ledger->secret_.with([&](std::string& secret) { secret = **stored; });

    RedisLedger& self = *ledger;
    self.redis_->on_connect([&self](RespStream& stream) { return self.prepare(stream); });
    self.redis_->on_change([&self](bool up) {
        if (self.booked_.load(std::memory_order_acquire)) self.book_->changed(up);
    });
    self.redis_->on_emptied([&self] {
        if (self.booked_.load(std::memory_order_acquire)) self.book_->recheck();
    });
    self.redis_->start();
    const auto patience = *stored ? kStartPatience : kFirstStartPatience;
    for (auto waited = std::chrono::milliseconds{0}; !self.redis_->all_up() && waited < patience;
         waited += kStartStep)
        std::this_thread::sleep_for(kStartStep);
    const std::string secret = self.secret_.with([](const std::string& bytes) { return bytes; });
    if (secret.empty())
        return Error{ErrorCode::kUnavailable,
                     "ledger: " + self.redis_->status().error +
                         "; a host that has not met its Redis before can't start without it"};
    if (!*stored)
        if (const auto kept = self.local_->put_document(kSharedSecretDocument, secret); !kept)
            return kept.error();
    return ledger;
}

// The secret first: a Redis with another one counts for other hosts, or was emptied by someone who then started others.
asio::awaitable<Result<>> RedisLedger::agree_on_secret(RespStream& stream) {
    std::string mine = secret_.with([](const std::string& secret) { return secret; });
    if (mine.empty()) {
        const auto fresh = random_key_secret();
        if (!fresh) co_return fresh.error();
        mine = as_bytes(*fresh);
    }
    const std::vector<std::string> offer{"SET", std::string{kSecretKey}, mine, "NX"};
    const auto offered = co_await stream.ask(offer);
    if (!offered) co_return offered.error();
    // Of a Cluster's masters one has it.
    if (redis_->is_cluster() && read_cluster_answer(**offered, {}).kind != ClusterAnswer::Kind::kPlain)
        co_return Result<>{};
    if (is_error(**offered))
        co_return Error{ErrorCode::kUnavailable,
                        "Redis answers SET with: " + std::string{reply_text(**offered)}};
    const std::vector<std::string> ask{"GET", std::string{kSecretKey}};
    const auto answer = co_await stream.call(ask);
    if (!answer) co_return answer.error();
    const std::string theirs{reply_text(**answer)};
    if (theirs.size() != sizeof(KeySecret))
        co_return Error{ErrorCode::kConflict, "Redis has no usable " + std::string{kSecretKey}};
    const bool other = secret_.with([&](std::string& secret) {
        if (secret.empty()) secret = theirs;
        return secret != theirs;
    });
    if (other)
        co_return Error{
            ErrorCode::kConflict,
            "Redis has another " + std::string{kSecretKey} +
                " than this host's counters are named for; remove the ledger's directory to join it"};
    co_return Result<>{};
}

asio::awaitable<Result<>> RedisLedger::prepare(RespStream& stream) {
    if (const auto agreed = co_await agree_on_secret(stream); !agreed) co_return agreed;
    const std::vector<std::string> load{"SCRIPT", "LOAD", std::string{kLeaseScript}};
    const auto loaded = co_await stream.call(load);
    if (!loaded) co_return loaded.error();
    script_.with([&](std::string& script) { script = reply_text(**loaded); });
    if (booked_.load(std::memory_order_acquire)) book_->connected(std::string{reply_text(**loaded)});
    fleet_.connected();
    co_return Result<>{};
}

LeaseBook& RedisLedger::lease(Limiter& limiter) {
    book_ = std::make_unique<LeaseBook>(limiter, *redis_, host_);
    asio::post(redis_->context(), [this] {
        const std::string script = script_.with([](const std::string& sha) { return sha; });
        if (!script.empty()) book_->connected(script);
        booked_.store(true, std::memory_order_release);
        asio::co_spawn(redis_->context(), look_after(), asio::detached);
    });
    return *book_;
}

asio::awaitable<void> RedisLedger::look_after() {
    asio::steady_timer timer{redis_->context()};
    for (int ticks = 0;; ++ticks) {
        if (ticks % kTicksASecond == 0) watch_secret();
        timer.expires_after(std::chrono::nanoseconds{kTick});
        co_await timer.async_wait(asio::use_awaitable);
        book_->tick();
        fleet_.tick();
        book_->set_hosts(fleet_.known_hosts());
        if (ticks % kTicksASecond == 0) book_->sweep();
    }
}

// Notices a Redis that was emptied behind an open connection: the secret is gone.
void RedisLedger::watch_secret() {
    const RedisSlot slot = redis_->slot_of(kSecretKey);
    if (!redis_->up(slot)) return;
    const std::string secret = secret_.with([](const std::string& bytes) { return bytes; });
    redis_->send(slot, {"SET", std::string{kSecretKey}, secret, "NX"},
                 [this](const redisReply* reply, Nanos, Nanos) {
                     if (reply != nullptr && reply->type == REDIS_REPLY_STATUS) book_->recheck();
                 });
}

Result<std::optional<std::string>> RedisLedger::get_document(std::string_view name) {
    if (name != kSecretDocument) return local_->get_document(name);
    return std::optional{secret_.with([](const std::string& secret) { return secret; })};
}

void RedisLedger::stop() {
    fleet_.leave();
    redis_->stop();
}

Result<> RedisLedger::close(Nanos now) {
    stop();
    return local_->close(now);
}

std::optional<SharedLedgerState> RedisLedger::shared() const {
    const RedisNodes::Status redis = redis_->status();
    SharedLedgerState state{
        .up = redis.up, .node = redis.node, .losses = redis.losses, .round_trip = redis.round_trip};
    state.fleet_error = fleet_.stats().error;
    for (const RedisNodes::Node& node : redis.nodes)
        state.nodes.push_back({node.address, node.up, node.slots, node.error});
    state.redirects = redis.redirects;
    if (!fleet_.reachable()) state.alone = std::max<Nanos>(1, monotonic_now() - redis.since);
    if (!booked_.load(std::memory_order_acquire)) return state;
    const LeaseStats leases = book_->stats();
    state.hosts = leases.hosts;
    state.messages = leases.messages;
    state.waited = leases.waited;
    state.late = leases.late;
    state.unleased = leases.unleased;
    state.forgotten = leases.lost;
    return state;
}

LedgerHealth RedisLedger::health() const {
    LedgerHealth health = local_->health();
    const RedisNodes::Status redis = redis_->status();
    if (!health.up) health.notice = health.error;
    health.up = redis.up;
    health.error = redis.error;
    health.failures = redis.losses;
    return health;
}

}  // namespace sluice
