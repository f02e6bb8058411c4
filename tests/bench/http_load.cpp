// A closed-loop HTTP/1.1 load on one thread: every connection asks again as soon as it has its answer.
//
//   http_load ADDRESS PORT CONNECTIONS SECONDS PATH [patient]
//
// patient: says "ready" once connected, begins when its input has a line, waits however long there is no answer, and counts
// what has not been answered at the end by how long it has waited; `unanswered` says how many those are.
//
// Prints one JSON object: requests, seconds, refused (429s), other (neither 2xx nor 429), p50_us, p99_us, max_us.
// It does as little per request as a correct client can (one recv, one send, no epoll_ctl), because a generator that
// is as dear as what it measures measures itself: wrk costs a core what nginx's limit_req does.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

namespace sluice {
namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "http_load: %s\n", what.c_str());
    std::exit(1);
}

template <typename Number>
Number number(std::string_view text, const char* what) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        fail(std::string{what} + " is not a number: " + std::string{text});
    return value;
}

struct Answer {
    unsigned status = 0;
    std::size_t bytes = 0;  // head and body
};

// The answer at the front of `text`, if its head is complete.
std::optional<Answer> parse(std::string_view text) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view head = text.substr(0, end + 2);
    std::size_t field = head.find("\r\nContent-Length: ");
    if (field == std::string_view::npos) field = head.find("\r\ncontent-length: ");  // as haproxy spells it
    if (!head.starts_with("HTTP/1.1 ") || field == std::string_view::npos)
        fail("not an answer with a length: " + std::string{head});
    const std::string_view rest = head.substr(field + 18);
    const auto length = number<std::size_t>(rest.substr(0, rest.find('\r')), "Content-Length");
    return Answer{number<unsigned>(head.substr(9, 3), "the status"), end + 4 + length};
}

struct Connection {
    UniqueFd fd;
    Nanos asked = 0;
    std::size_t received = 0;
    std::array<char, 16 * 1024> answer;
};

class Load {
  public:
    Load(const char* address, const char* port, std::size_t connections, std::string_view path)
        : request_("GET " + std::string{path} + " HTTP/1.1\r\nHost: " + address + ":" + port + "\r\n\r\n"),
          connections_(connections),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_port = htons(number<std::uint16_t>(port, "the port"));
        if (::inet_pton(AF_INET, address, &peer.sin_addr) != 1)
            fail("no IPv4 address: " + std::string{address});
        for (Connection& connection : connections_) {
            connection.fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const int one = 1;
            ::setsockopt(connection.fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            epoll_event event{};
            event.events = EPOLLIN | EPOLLET;
            event.data.ptr = &connection;
            if (::connect(connection.fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0 ||
                ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event) != 0)
                fail(std::string{"connect: "} + std::strerror(errno));
        }
    }

    void run(Nanos duration, bool patient) {
        const Nanos start = monotonic_now();
        for (Connection& connection : connections_) ask(connection, monotonic_now());
        std::array<epoll_event, 256> events{};
        Nanos now = start;
        while (now - start < duration) {
            const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), patient ? 20 : 1000);
            if (count == 0 && !patient) fail("no answer for a second");
            if (count == 0) now = monotonic_now();
            for (int i = 0; i < count; ++i)
                now = take(*static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr));
        }
        const std::size_t answered = latencies_.size();
        if (patient)
            for (const Connection& connection : connections_) note(now - connection.asked);
        report(now - start, answered);
    }

  private:
    void ask(Connection& connection, Nanos now) {
        connection.asked = now;
        const ssize_t sent = ::send(connection.fd.get(), request_.data(), request_.size(), MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(request_.size())) fail(std::string{"send: "} + std::strerror(errno));
    }

    Nanos take(Connection& connection) {
        const std::size_t room = connection.answer.size() - connection.received;
        const ssize_t got =
            ::recv(connection.fd.get(), connection.answer.data() + connection.received, room, MSG_DONTWAIT);
        const Nanos now = monotonic_now();
        if (got < 0 && errno == EAGAIN) return now;
        if (got <= 0) fail("the connection was closed");
        connection.received += static_cast<std::size_t>(got);
        const auto answer = parse({connection.answer.data(), connection.received});
        if (!answer || answer->bytes > connection.received) return now;
        if (answer->bytes != connection.received) fail("more than one answer to one request");
        refused_ += answer->status == 429 ? 1 : 0;
        other_ += answer->status != 429 && answer->status / 100 != 2 ? 1 : 0;
        note(now - connection.asked);
        connection.received = 0;
        ask(connection, now);
        return now;
    }

    void note(Nanos latency) {
        latencies_.push_back(static_cast<std::uint32_t>(std::min<Nanos>(latency, UINT32_MAX)));
    }

    void report(Nanos elapsed, std::size_t answered) {
        if (latencies_.empty()) fail("no answer");
        std::sort(latencies_.begin(), latencies_.end());
        const auto quantile_us = [&](std::size_t percent) {
            return latencies_[(latencies_.size() - 1) * percent / 100] / 1000.0;
        };
        std::printf(
            R"({"requests":%zu,"seconds":%.6f,"refused":%zu,"other":%zu,"unanswered":%zu,"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f})"
            "\n",
            answered, static_cast<double>(elapsed) / kSecond, refused_, other_, latencies_.size() - answered,
            quantile_us(50), quantile_us(99), quantile_us(100));
    }

    std::string request_;
    std::vector<Connection> connections_;
    UniqueFd epoll_;
    std::vector<std::uint32_t> latencies_;  // ns
    std::size_t refused_ = 0;
    std::size_t other_ = 0;
};

}  // namespace
}  // namespace sluice

int main(int count, char** arguments) {
    using namespace sluice;
    const bool patient = count == 7 && std::string_view{arguments[6]} == "patient";
    if (count != 6 && !patient) fail("usage: http_load ADDRESS PORT CONNECTIONS SECONDS PATH [patient]");
    Load load{arguments[1], arguments[2], number<std::size_t>(arguments[3], "CONNECTIONS"), arguments[5]};
    if (patient) {
        std::puts("ready");
        std::fflush(stdout);
        static_cast<void>(std::getchar());
    }
    load.run(static_cast<Nanos>(number<double>(arguments[4], "SECONDS") * kSecond), patient);
    return 0;
}
