#include "http/gateway_server.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "http/worker.hpp"

namespace sluice::http {
namespace {

constexpr int kBacklog = 4096;  // cut to net.core.somaxconn by the kernel

Error bad_config(std::string_view what) {
    return Error{ErrorCode::kInvalid, "gateway: " + std::string{what}};
}

Result<> check(const GatewayConfig& config) {
    if (config.listen.empty()) return bad_config("no address to listen on");
    if (config.upstream.empty()) return bad_config("no upstream");
    for (const auto& endpoint : config.listen) {
        if (endpoint.is_unix()) return bad_config("listens on TCP only, not on " + endpoint.to_string());
    }
    for (const auto& endpoint : config.upstream) {
        if (!endpoint.is_unix() && endpoint.port == 0) return bad_config("upstream port is 0");
    }
    if (config.workers < 1 || config.workers > 256) return bad_config("workers must be 1 to 256");
    if (config.max_header_bytes < 1024 || config.max_header_bytes > 1024 * 1024) {
        return bad_config("max_header_bytes must be 1 KiB to 1 MiB");
    }
    if (config.max_header_fields < 1) return bad_config("max_header_fields must be at least 1");
    if (config.max_connections_per_worker < 1)
        return bad_config("max_connections_per_worker must be at least 1");
    for (const Nanos deadline :
         {config.header_deadline, config.idle_deadline, config.body_deadline, config.write_deadline,
          config.connect_deadline, config.response_deadline, config.response_gap_deadline,
          config.tunnel_deadline, config.upstream_idle_deadline}) {
        if (deadline < kMillisecond) return bad_config("deadlines must be at least 1 ms");
    }
    return {};
}

// With `shared`, several workers bind the same port and the kernel spreads connections over them.
Result<UniqueFd> bind_listener(const Endpoint& endpoint, bool shared) {
    sockaddr_storage address{};
    const socklen_t length = endpoint.to_sockaddr(address);
    UniqueFd fd{::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    const auto failed = [&](std::string_view operation) {
        return system_error(operation, endpoint.to_string(), errno);
    };
    if (!fd) return failed("open a socket for");
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    // "[::]:80" and "0.0.0.0:80" may stand side by side.
    if (address.ss_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
        return failed("listen on");
    if (::listen(fd.get(), kBacklog) != 0) return failed("listen on");
    return fd;
}

Result<Endpoint> bound_to(int fd, const Endpoint& wanted) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        return system_error("ask the address of", wanted.to_string(), errno);
    }
    Endpoint real = wanted;
    real.port =
        ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                                            : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
    return real;
}

}  // namespace

struct GatewayServer::Impl {
    Impl(GatewayConfig the_config, ApplicationFactory the_factory)
        : config(std::move(the_config)), make_application(std::move(the_factory)) {}

    Result<> bind_all(std::vector<std::vector<UniqueFd>>& of_worker);
    Result<> load_tls();
    void run_worker(Worker& worker);
    std::size_t open_connections() const;
    void join();

    GatewayConfig config;
    ApplicationFactory make_application;
    std::vector<Endpoint> listening;
    std::unique_ptr<TlsSnapshot> tls;
    SourceConnections sources{config.max_connections_per_source};
    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<std::thread> threads;
    std::mutex mutex;
    std::condition_variable worker_ended;
    std::size_t running = 0;  // under mutex
};

GatewayServer::GatewayServer(GatewayConfig config, ApplicationFactory make_application)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(make_application))) {}

GatewayServer::~GatewayServer() {
    stop();
}

Result<> GatewayServer::Impl::load_tls() {
    auto context = make_server_tls(config.tls->certificate, config.tls->key);
    if (!context) return context.error();
    if (tls) {
        tls->publish(std::move(*context));
    } else {
        tls = std::make_unique<TlsSnapshot>(std::move(*context));
    }
    return {};
}

Result<> GatewayServer::Impl::bind_all(std::vector<std::vector<UniqueFd>>& of_worker) {
    const bool shared = config.workers > 1;
    for (const auto& endpoint : config.listen) {
        if (shared && endpoint.port != 0) {
            // Shared ports are shared with strangers of the same user too: a second daemon would silently
            // take half of the connections, and each would admit the full limit. An unshared bind tells.
            if (auto probe = bind_listener(endpoint, false); !probe) return probe.error();
        }
        Endpoint real = endpoint;
        for (auto& listeners : of_worker) {
            auto fd = bind_listener(real, shared);
            if (!fd) return fd.error();
            auto bound = bound_to(fd->get(), real);
            if (!bound) return bound.error();
            real = *bound;
            listeners.push_back(std::move(*fd));
        }
        listening.push_back(real);
    }
    return {};
}

void GatewayServer::Impl::run_worker(Worker& worker) {
    worker.run();
    const std::lock_guard lock{mutex};
    --running;
    worker_ended.notify_all();
}

Result<> GatewayServer::start() {
    Impl& impl = *impl_;
    if (auto checked = check(impl.config); !checked) return checked;
    if (impl.config.tls) {
        if (auto loaded = impl.load_tls(); !loaded) return loaded;
    }
    std::vector<std::vector<UniqueFd>> listeners(impl.config.workers);
    if (auto bound = impl.bind_all(listeners); !bound) return bound;
    for (unsigned i = 0; i < impl.config.workers; ++i) {
        auto& worker =
            impl.workers.emplace_back(std::make_unique<Worker>(i, impl.config, impl.tls.get(), impl.sources));
        if (auto opened = worker->open(std::move(listeners[i]), impl.make_application); !opened) {
            impl.workers.clear();
            return opened;
        }
    }
    impl.running = impl.workers.size();
    for (auto& worker : impl.workers) {
        impl.threads.emplace_back([&impl, raw = worker.get()] { impl.run_worker(*raw); });
        pthread_setname_np(impl.threads.back().native_handle(),
                           ("http-" + std::to_string(worker->index())).c_str());
    }
    return {};
}

std::vector<Endpoint> GatewayServer::listening() const {
    return impl_->listening;
}

Result<> GatewayServer::reload_tls() {
    if (!impl_->config.tls) return bad_config("serves no TLS");
    return impl_->load_tls();
}

std::size_t GatewayServer::Impl::open_connections() const {
    std::size_t open = 0;
    for (const auto& worker : workers) open += worker->counters().open.get();
    return open;
}

void GatewayServer::Impl::join() {
    for (auto& thread : threads) thread.join();
    threads.clear();
}

std::size_t GatewayServer::drain(Nanos patience) {
    Impl& impl = *impl_;
    for (auto& worker : impl.workers) worker->drain();
    std::size_t left = 0;
    {
        std::unique_lock lock{impl.mutex};
        impl.worker_ended.wait_for(lock, std::chrono::nanoseconds{patience},
                                   [&] { return impl.running == 0; });
        left = impl.open_connections();
    }
    stop();
    return left;
}

void GatewayServer::stop() {
    for (auto& worker : impl_->workers) worker->stop();
    impl_->join();
}

GatewayStats GatewayServer::stats() const {
    GatewayStats sum;
    for (const auto& worker : impl_->workers) {
        const WorkerCounters& counters = worker->counters();
        sum.accepted += counters.accepted.get();
        sum.open += counters.open.get();
        sum.requests += counters.requests.get();
        sum.refused_early += counters.refused_early.get();
        sum.refused_sources += counters.refused_sources.get();
        sum.upstream_connects += counters.upstream_connects.get();
        sum.upstream_failures += counters.upstream_failures.get();
        sum.upstream_reuses += counters.upstream_reuses.get();
        sum.upstream_open += counters.upstream_open.get();
        sum.upstream_idle += counters.upstream_idle.get();
        sum.tunnels += counters.tunnels.get();
    }
    return sum;
}

}  // namespace sluice::http
