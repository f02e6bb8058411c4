// When SYNs are answered with cookies in XDP, and what the kernel's TCP must be told meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "kernel/interface_facts.hpp"
#include "kernel/kernel_enforcer.hpp"
#include "kernel/tcp_settings.hpp"
#include "policy/policy.hpp"

namespace sluice {

// Whether a SYN flood lasts, by two signs: more connection attempts than connections, and the kernel's own
// cookies, which it sends when a listener's queue is full. On at once, off after a time of quiet.
class SynPressure {
  public:
    static constexpr double kOnPerSecond = 200;  // a queue of 4096 fills in 20 s, and forgets in 63
    static constexpr double kOffPerSecond = 100;
    static constexpr Nanos kQuiet = 30 * kSecond;
    static constexpr Nanos kSpan = kSecond;  // over which attempts are weighed: handshakes take their time

    struct Sample {
        Nanos time = 0;
        std::uint64_t syns = 0;  // totals, from any start; one that falls back starts anew
        std::uint64_t opened = 0;
        std::uint64_t kernel_cookies = 0;  // not looked at while we answer: pilots make the kernel send some
    };
    // True: it does.
    bool observe(const Sample& sample);
    double unfinished_per_second() const { return unfinished_per_second_; }

  private:
    std::optional<Sample> from_;
    double unfinished_per_second_ = 0;
    Nanos loud_at_ = 0;
    bool lasts_ = false;
};

struct SynCookieState {
    std::string_view state = "off";  // "off", "ready", "answering", "unavailable"
    std::string why;                 // of unavailable, or what answers go without
    double unfinished_per_second = 0;
    bool options_kept = false;  // answers carry timestamps, window scale and SACK
};

// Control thread only. While it answers, net.ipv4.tcp_syncookies and tcp_timestamps are 2; what they were stands in
// the control map, so that whoever ends it, a later process included, puts them back.
class SynCookieControl {
  public:
    explicit SynCookieControl(KernelEnforcer& kernel, TcpControl tcp = TcpControl{})
        : kernel_(kernel), tcp_(std::move(tcp)) {}

    // Some times a second. True: the state changed, and is worth telling.
    bool tick(const KernelPolicy& policy, Nanos now);
    // Before the programs go.
    void stop();

    const SynCookieState& state() const { return state_; }

  private:
    void observe(Nanos now, bool answering);
    void begin();
    void end(Nanos now);
    void settle(std::string_view state, std::string why);

    KernelEnforcer& kernel_;
    TcpControl tcp_;
    SynPressure pressure_;
    bool flood_ = false;
    Nanos restore_at_ = 0;
    Nanos retry_at_ = 0;
    Nanos looked_at_ = 0;
    SynCookieState state_;
};

// Why answers sent from this interface would not reach who asked; empty: they do.
std::string answers_would_stray(const InterfaceFacts& facts);

// Puts back what TCP was told, if it still is.
void restore_tcp(const CookieAnswers& answers, const TcpControl& tcp);

}  // namespace sluice
