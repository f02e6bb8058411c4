#include "ledger/redis_cluster.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace sluice {
namespace asio = boost::asio;
namespace {

constexpr Nanos kTick = 50 * kMillisecond;
constexpr unsigned kTicksBetweenMarks = 20;
constexpr unsigned kTicksBetweenProbes = 2;
// The map is asked for when a redirection says that it is old, while something is not served, and now and then.
constexpr Nanos kPauseWhenStale = 100 * kMillisecond;
constexpr Nanos kPauseWhenAway = 250 * kMillisecond;
constexpr Nanos kPauseBetweenMaps = 5 * kSecond;
constexpr auto kMapDeadline = std::chrono::milliseconds{250};
constexpr std::size_t kAskedForMap = 4;  // nodes, at one time
constexpr unsigned kMostHops = 5;        // more is a circle
constexpr std::size_t kMostHeld = 4096;
constexpr Nanos kForgottenAfter = 30 * kSecond;  // a master that nobody names any more

std::string slots_text(unsigned slots) {
    return std::to_string(slots) + " of " + std::to_string(kRedisSlots) + " slots";
}

}  // namespace

RedisCluster::RedisCluster(asio::io_context& io, RedisDoor& door) : io_(io), door_(door) {
    for (auto& owner : owner_) owner.store(kNobody, std::memory_order_relaxed);
}

void RedisCluster::start(Calls calls) {
    calls_ = std::move(calls);
    view_.with([](View& view) { view.since = monotonic_now(); });
    asio::co_spawn(io_, keep_up(), asio::detached);
}

void RedisCluster::end() {
    for (auto& up : up_) up.store(false, std::memory_order_release);
    all_up_.store(false, std::memory_order_release);
    any_up_.store(false, std::memory_order_release);
}

asio::awaitable<void> RedisCluster::keep_up() {
    asio::steady_timer timer{io_};
    for (unsigned ticks = 0;; ++ticks) {
        const Nanos now = monotonic_now();
        drop_late(now);
        for (std::size_t id = 0; id < kMostMasters; ++id) {
            if (masters_[id] == nullptr) continue;
            const unsigned every = masters_[id]->serves ? kTicksBetweenMarks : kTicksBetweenProbes;
            if (ticks % every == 0) mark(static_cast<Id>(id));
        }
        const Nanos pause = stale_ ? kPauseWhenStale : !all_up() ? kPauseWhenAway : kPauseBetweenMaps;
        if (!refreshing_ && now - refreshed_ >= pause) {
            refreshing_ = true;
            asio::co_spawn(io_, refresh(), asio::detached);
        }
        timer.expires_after(std::chrono::nanoseconds{kTick});
        co_await timer.async_wait(asio::use_awaitable);
    }
}

// Masters that answer first, then the nodes of the configuration in turn.
std::vector<RedisAddress> RedisCluster::whom_to_ask() {
    std::vector<RedisAddress> all;
    const auto add = [&](const RedisAddress& one) {
        if (all.size() < kAskedForMap && std::ranges::find(all, one) == all.end()) all.push_back(one);
    };
    ++next_seed_;
    for (std::size_t i = 0; i < kMostMasters && all.size() + 1 < kAskedForMap; ++i) {
        const std::size_t id = (next_seed_ + i) % kMostMasters;
        if (masters_[id] != nullptr && masters_[id]->link->up() && masters_[id]->serves)
            add(masters_[id]->address);
    }
    const auto& seeds = door_.nodes();
    for (std::size_t i = 0; i < seeds.size(); ++i) add(seeds[(next_seed_ + i) % seeds.size()]);
    return all;
}

asio::awaitable<void> RedisCluster::refresh() {
    stale_ = false;
    for (const RedisAddress& address : whom_to_ask()) {
        const auto ranges = co_await ask_for_slots(address);
        if (ranges) {
            map_error_.clear();
            take(*ranges);
            break;
        }
        map_error_ = ranges.error().message;
    }
    refreshed_ = monotonic_now();
    refreshing_ = false;
    publish();
}

asio::awaitable<Result<std::vector<SlotRange>>> RedisCluster::ask_for_slots(RedisAddress of) {
    auto stream = std::make_shared<RespStream>(io_.get_executor());
    asio::steady_timer timer{io_};
    timer.expires_after(kMapDeadline);
    timer.async_wait([stream](const boost::system::error_code& error) {
        if (!error) stream->close();
    });
    const auto opened = co_await door_.open(*stream, of);
    if (!opened) co_return opened.error();
    const std::vector<std::string> question{"CLUSTER", "SLOTS"};
    const auto reply = co_await stream->ask(question);
    if (!reply) co_return reply.error();
    co_return parse_cluster_slots(**reply, of);
}

// The link to it, which is made if there is none. kNobody: there are too many.
RedisCluster::Id RedisCluster::id_of(const RedisAddress& address) {
    const Nanos now = monotonic_now();
    Id unused = kNobody;
    for (std::size_t id = 0; id < kMostMasters; ++id) {
        if (masters_[id] == nullptr) {
            if (unused == kNobody) unused = static_cast<Id>(id);
        } else if (masters_[id]->address == address) {
            masters_[id]->named = now;
            return static_cast<Id>(id);
        }
    }
    if (unused == kNobody) {
        map_error_ = "the cluster has more masters than " + std::to_string(kMostMasters);
        return kNobody;
    }
    auto master = std::make_unique<Master>();
    master->address = address;
    master->named = now;
    master->link = std::make_shared<RedisLink>(io_, door_, std::vector{address});
    master->link->on_connect(calls_.prepare);
    master->link->on_change([this, unused](bool up) { link_changed(unused, up); });
    master->link->start();
    masters_[unused] = std::move(master);
    return unused;
}

void RedisCluster::take(const std::vector<SlotRange>& ranges) {
    std::ranges::fill(wanted_, kNobody);
    for (const SlotRange& range : ranges) {
        const Id id = id_of(range.master);
        for (unsigned slot = range.first; slot <= range.last; ++slot) wanted_[slot] = id;
    }
    settle();
}

// A slot goes over to its new master when the way there is open, or the old one is of no use anyway.
void RedisCluster::settle() {
    const auto usable = [&](Id id) { return id != kNobody && up_[id].load(std::memory_order_relaxed); };
    std::array<unsigned, kMostMasters> slots{};
    std::array<RedisSlot, kMostMasters> first{};
    std::array<bool, kMostMasters> named{};
    bool lost = false;
    bool all = true;
    bool any = false;
    for (unsigned slot = kRedisSlots; slot-- > 0;) {
        Id owner = owner_[slot].load(std::memory_order_relaxed);
        const Id wanted = wanted_[slot];
        if (owner != wanted && (wanted == kNobody || usable(wanted) || !usable(owner))) {
            lost = lost || (usable(owner) && !usable(wanted));
            owner = wanted;
            owner_[slot].store(owner, std::memory_order_release);
        }
        if (wanted != kNobody) named[wanted] = true;
        all = all && usable(owner);
        any = any || usable(owner);
        if (owner == kNobody) continue;
        ++slots[owner];
        first[owner] = static_cast<RedisSlot>(slot);
    }
    const Nanos now = monotonic_now();
    for (std::size_t id = 0; id < kMostMasters; ++id) {
        if (masters_[id] == nullptr) continue;
        Master& master = *masters_[id];
        master.slots = slots[id];
        if (master.slots != 0 || named[id]) master.named = now;
        if (master.slots != 0) {
            if (master.mark.empty() || master.marked != first[id]) {
                master.marked = first[id];
                master.mark = redis_mark_of(first[id]);
            }
        } else if (now - master.named >= kForgottenAfter && master.held.empty()) {
            losses_ += master.link->status().losses;
            master.link->end();
            up_[id].store(false, std::memory_order_release);
            masters_[id].reset();
        }
    }
    any_up_.store(any, std::memory_order_release);
    if (all_up_.exchange(all, std::memory_order_acq_rel) != all)
        view_.with([now](View& view) { view.since = now; });
    publish();
    if (lost) calls_.changed(false);
}

void RedisCluster::publish() {
    View next;
    next.losses = losses_;
    next.map_error = map_error_;
    for (const auto& master : masters_)
        if (master != nullptr)
            next.nodes.push_back({master->address.to_string(), master->link, master->serves, master->slots});
    view_.with([&](View& view) {
        next.since = view.since;
        view = std::move(next);
    });
}

void RedisCluster::link_changed(Id id, bool up) {
    Master& master = *masters_[id];
    if (up) master.serves = true;
    up_[id].store(up && master.serves, std::memory_order_release);
    if (!up) stale_ = true;
    settle();
    calls_.changed(up);
    if (!up) return;
    std::deque<Held> held = std::exchange(master.held, {});
    for (Held& one : held) go(id, std::move(one.command), one.asking);
}

void RedisCluster::serves(Id id, bool serves) {
    Master& master = *masters_[id];
    if (master.serves == serves) return;
    master.serves = serves;
    up_[id].store(serves && master.link->up(), std::memory_order_release);
    stale_ = true;
    settle();
    calls_.changed(serves);
}

void RedisCluster::send(RedisSlot slot, const std::vector<std::string>& words, RedisLink::OnReply reply) {
    auto command = std::make_shared<Command>(Command{slot, {}, std::move(reply), monotonic_now()});
    append_command(command->bytes, words);
    go(owner_[slot].load(std::memory_order_relaxed), std::move(command), false);
}

void RedisCluster::lose(std::shared_ptr<Command> command) {
    asio::post(io_, [command] { command->reply(nullptr, command->sent, monotonic_now()); });
}

void RedisCluster::go(Id id, std::shared_ptr<Command> command, bool asking) {
    if (id == kNobody) return lose(std::move(command));
    RedisLink& link = *masters_[id]->link;
    if (asking) link.send(std::vector<std::string>{"ASKING"}, [](const redisReply*, Nanos, Nanos) {});
    const std::string_view bytes = command->bytes;
    link.send(bytes, [this, id, command = std::move(command)](const redisReply* reply, Nanos, Nanos now) {
        answered(id, command, reply, now);
    });
}

void RedisCluster::answered(Id id, const std::shared_ptr<Command>& command, const redisReply* reply,
                            Nanos now) {
    using Kind = ClusterAnswer::Kind;
    // Its master may have been forgotten, and its number be another's, while this was under way.
    const ClusterAnswer answer = reply == nullptr || masters_[id] == nullptr
                                     ? ClusterAnswer{}
                                     : read_cluster_answer(*reply, masters_[id]->address);
    switch (answer.kind) {
        case Kind::kPlain:
            return command->reply(reply, command->sent, now);
        case Kind::kMoved:
        case Kind::kAsk:
            return redirect(command, answer, now);
        case Kind::kAway:
            serves(id, false);
            break;
        case Kind::kUnserved:
            wanted_[command->slot] = kNobody;
            stale_ = true;
            settle();
            break;
        case Kind::kLater:
            break;
    }
    command->reply(nullptr, command->sent, now);
}

void RedisCluster::redirect(const std::shared_ptr<Command>& command, const ClusterAnswer& answer, Nanos now) {
    redirects_.fetch_add(1, std::memory_order_relaxed);
    const Id to = id_of(answer.to);
    const bool asking = answer.kind == ClusterAnswer::Kind::kAsk;
    if (!asking) stale_ = true;
    if (to == kNobody || ++command->hops > kMostHops) return command->reply(nullptr, command->sent, now);
    if (!asking && wanted_[answer.slot] != to) {
        wanted_[answer.slot] = to;
        settle();
    }
    Master& master = *masters_[to];
    if (master.link->connected()) return go(to, command, asking);
    if (master.held.size() >= kMostHeld) return command->reply(nullptr, command->sent, now);
    master.held.push_back({command, asking});
}

void RedisCluster::drop_late(Nanos now) {
    for (const auto& master : masters_) {
        if (master == nullptr) continue;
        while (!master->held.empty() &&
               now - master->held.front().command->sent >= door_.settings().deadline) {
            lose(std::move(master->held.front().command));
            master->held.pop_front();
        }
    }
}

// A key that is there as long as the master keeps what it is told. Also finds out whether it serves again.
void RedisCluster::mark(Id id) {
    Master& master = *masters_[id];
    if (master.mark.empty() || !master.link->connected()) return;
    const std::vector<std::string> command{"SET", master.mark, "1", "NX"};
    master.link->send(command, [this, id, link = master.link](const redisReply* reply, Nanos, Nanos) {
        if (reply == nullptr || masters_[id] == nullptr || masters_[id]->link != link) return;
        const ClusterAnswer answer = read_cluster_answer(*reply, masters_[id]->address);
        serves(id, answer.kind != ClusterAnswer::Kind::kAway);
        if (answer.kind != ClusterAnswer::Kind::kPlain) stale_ = true;
        if (reply->type == REDIS_REPLY_STATUS) calls_.emptied();
    });
}

Nanos RedisCluster::usual_wait(RedisSlot slot) const {
    const Id owner = owner_[slot].load(std::memory_order_relaxed);
    return owner == kNobody ? door_.settings().deadline : masters_[owner]->link->usual_wait();
}

void RedisCluster::reconnect(RedisSlot slot, const std::string& why) {
    const Id owner = owner_[slot].load(std::memory_order_relaxed);
    if (owner != kNobody) masters_[owner]->link->reconnect(why);
}

RedisCluster::Node RedisCluster::node_of(const Viewed& viewed, std::uint64_t& losses) {
    const RedisLink::Status link = viewed.link->status();
    losses += link.losses;
    Node node{viewed.address, link.up && viewed.serves, viewed.slots, {}, link.round_trip};
    if (node.up) return node;
    node.error = !viewed.serves       ? "it says that its cluster is down"
                 : link.error.empty() ? "not connected yet"
                                      : link.error;
    return node;
}

RedisCluster::Status RedisCluster::status() const {
    const View view = view_.with([](const View& held) { return held; });
    Status status{{}, {}, redirects_.load(std::memory_order_relaxed), view.losses, view.since};
    unsigned owned = 0;
    for (const Viewed& viewed : view.nodes) {
        Node node = node_of(viewed, status.losses);
        if (node.slots == 0) continue;
        owned += node.slots;
        if (!node.up)
            status.error += (status.error.empty() ? "Redis " : "; Redis ") + node.address + " (" +
                            slots_text(node.slots) + "): " + node.error;
        status.nodes.push_back(std::move(node));
    }
    if (owned == kRedisSlots) return status;
    status.error += (status.error.empty() ? "" : "; ") + slots_text(kRedisSlots - owned) + " have no master";
    if (!view.map_error.empty()) status.error += ": " + view.map_error;
    return status;
}

}  // namespace sluice
