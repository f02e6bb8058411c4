#include "ledger/redis_nodes.hpp"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>

namespace sluice {
namespace asio = boost::asio;

RedisNodes::RedisNodes(RedisDoor door) : door_(std::move(door)) {
    if (door_.settings().cluster)
        cluster_ = std::make_unique<RedisCluster>(io_, door_);
    else
        link_ = std::make_shared<RedisLink>(io_, door_, door_.nodes());
}

RedisNodes::~RedisNodes() {
    stop();
}

Result<std::unique_ptr<RedisNodes>> RedisNodes::make(const RedisSettings& settings) {
    auto door = RedisDoor::make(settings);
    if (!door) return door.error();
    return std::unique_ptr<RedisNodes>{new RedisNodes{*std::move(door)}};
}

void RedisNodes::start() {
    if (is_cluster()) {
        cluster_->start({prepare_, changed_, emptied_});
    } else {
        link_->on_connect(prepare_);
        link_->on_change(changed_);
        link_->start();
    }
    thread_ = std::jthread{[this] {
        const auto work = asio::make_work_guard(io_);
        io_.run();
    }};
}

void RedisNodes::stop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    is_cluster() ? cluster_->end() : link_->end();
}

void RedisNodes::send(RedisSlot slot, const std::vector<std::string>& words, RedisLink::OnReply reply) {
    is_cluster() ? cluster_->send(slot, words, std::move(reply)) : link_->send(words, std::move(reply));
}

RedisNodes::Status RedisNodes::status() const {
    if (!is_cluster()) {
        RedisLink::Status link = link_->status();
        return {link.up,     std::move(link.node), std::move(link.error),
                link.losses, link.since,           link.round_trip};
    }
    RedisCluster::Status cluster = cluster_->status();
    Status status{.up = cluster_->all_up(),
                  .node = {},
                  .error = {},
                  .losses = cluster.losses,
                  .since = cluster.since,
                  .redirects = cluster.redirects};
    if (!status.up) status.error = std::move(cluster.error);
    for (const Node& node : cluster.nodes) status.round_trip = std::max(status.round_trip, node.round_trip);
    status.nodes = std::move(cluster.nodes);
    std::ranges::sort(status.nodes, {}, &Node::address);
    status.node = "Cluster of " + std::to_string(status.nodes.size()) +
                  (status.nodes.size() == 1 ? " master" : " masters");
    return status;
}

}  // namespace sluice
