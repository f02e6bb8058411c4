// Asks the services behind the platform, in the background, whether they answer. GET /api/health reports what
// was last seen and never waits for a service.
//
// Lives on the control thread: constructed, started and read there.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace sluice {

// tcp://HOST:PORT is up when it accepts a connection; http(s)://HOST[:PORT][/PATH] when it answers a HEAD
// with a status below 500 (an API that says 401 is there).
struct ProbeUrl {
    enum class Scheme { kTcp, kHttp, kHttps } scheme = Scheme::kTcp;
    std::string host;
    std::string port;
    std::string path = "/";

    static Result<ProbeUrl> parse(std::string_view text);
};

struct ProbeTarget {
    std::string name;  // "database", "openai"
    ProbeUrl url;
};

enum class ServiceState { kUnknown, kUp, kDown };
std::string_view to_string(ServiceState state);

struct ServiceHealth {
    std::string name;
    ServiceState state = ServiceState::kUnknown;
    Nanos latency = 0;     // of the last answer
    Nanos since_wall = 0;  // when this state began
    std::string reason;    // why it is down; empty when up
};

class HealthProber {
  public:
    static constexpr Nanos kInterval =
        5 * kSecond;  // alerts are due within 30 s (M19): five looks before that
    static constexpr Nanos kTimeout = 2 * kSecond;

    HealthProber(boost::asio::any_io_executor executor, std::vector<ProbeTarget> targets);

    // Begins to probe, each target by itself, until stop().
    void start();
    void stop();

    const std::vector<ServiceHealth>& services() const { return services_; }

  private:
    boost::asio::awaitable<void> watch(std::size_t index);
    boost::asio::awaitable<Result<>> probe(const ProbeUrl& url);

    boost::asio::any_io_executor executor_;
    boost::asio::ssl::context tls_;
    std::vector<ProbeTarget> targets_;
    std::vector<ServiceHealth> services_;
    std::shared_ptr<bool> running_ =
        std::make_shared<bool>(false);  // outlives this object in waiting coroutines
};

}  // namespace sluice
