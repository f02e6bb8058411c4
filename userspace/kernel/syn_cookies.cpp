#include "kernel/syn_cookies.hpp"

#include <algorithm>
#include <utility>

#include "kernel/interface_facts.hpp"

namespace sluice {
namespace {

constexpr Nanos kLookEvery = 250 * kMillisecond;
// Acknowledgements of the last answers are still on their way: three SYN-ACK times of the slowest client.
constexpr Nanos kLastAnswers = 9 * kSecond;
constexpr Nanos kRetry = kMinute;  // who else sets our settings gets his way for so long
constexpr unsigned kIpv4Headers = 40, kIpv6Headers = 60;  // IP and TCP, bytes
constexpr unsigned kLeastMtu = 576 + 20;

double per_second(std::uint64_t before, std::uint64_t after, Nanos time) {
    return static_cast<double>(after - before) * static_cast<double>(kSecond) / static_cast<double>(time);
}

}  // namespace

std::string answers_would_stray(const InterfaceFacts& facts) {
    const auto stripped = facts.offloads.find("rx-vlan-hw-parse");
    if (facts.vlans.empty() || stripped == facts.offloads.end() || !stripped->second) return {};
    return facts.name + " strips VLAN tags before XDP sees them, so answers to clients of " +
           facts.vlans.front() + " would leave untagged: ethtool -K " + facts.name + " rxvlan off";
}

bool SynPressure::observe(const Sample& sample) {
    if (!from_ || sample.syns < from_->syns || sample.opened < from_->opened ||
        sample.kernel_cookies < from_->kernel_cookies) {
        from_ = sample;
        return lasts_;
    }
    const bool overflowed = !lasts_ && sample.kernel_cookies > from_->kernel_cookies;
    if (sample.time - from_->time < kSpan && !overflowed) return lasts_;
    const Nanos span = std::max<Nanos>(sample.time - from_->time, 1);
    unfinished_per_second_ = std::max(
        0.0, per_second(from_->syns, sample.syns, span) - per_second(from_->opened, sample.opened, span));
    from_ = sample;
    if (overflowed || unfinished_per_second_ >= kOnPerSecond) lasts_ = true;
    if (unfinished_per_second_ >= kOffPerSecond || overflowed) loud_at_ = sample.time;
    if (sample.time - loud_at_ >= kQuiet) lasts_ = false;
    return lasts_;
}

void restore_tcp(const CookieAnswers& answers, const TcpControl& tcp) {
    if (!answers.told) return;
    const auto now = tcp.settings();
    if (!now) return;
    if (now->syncookies == 2 && answers.syncookies_before != 2)
        (void)tcp.set_syncookies(answers.syncookies_before);
    if (now->timestamps == 2 && answers.timestamps_before != 2)
        (void)tcp.set_timestamps(answers.timestamps_before);
}

void SynCookieControl::settle(std::string_view state, std::string why) {
    state_.state = state;
    state_.why = std::move(why);
}

void SynCookieControl::observe(Nanos now, bool answering) {
    const auto tcp = tcp_.counters();
    if (!tcp) return;
    flood_ =
        pressure_.observe({now, kernel_.statistics().syns, tcp->opened, answering ? 0 : tcp->cookies_sent});
    state_.unfinished_per_second = pressure_.unfinished_per_second();
}

bool SynCookieControl::tick(const KernelPolicy& policy, Nanos now) {
    if (now - looked_at_ < kLookEvery) return false;
    looked_at_ = now;
    const std::string_view before = state_.state;
    const CookieAnswers answers = kernel_.cookie_answers();
    const bool asked = policy.syn_cookies != SynCookies::kOff && policy.mode == KernelMode::kEnforce;
    if (asked) observe(now, answers.on);

    const bool wanted = asked && (policy.syn_cookies == SynCookies::kAlways || flood_);
    if (!kernel_.makes_cookies()) {
        settle(
            asked ? "unavailable" : "off",
            asked ? "the kernel lacks the helpers (Linux 6.0); its own cookies and the limits remain" : "");
    } else if (answers.on) {
        const auto settings = tcp_.settings();
        if (settings && settings->syncookies != 2) {
            end(now);
            retry_at_ = now + kRetry;
            settle("unavailable", "net.ipv4.tcp_syncookies was set to " +
                                      std::to_string(settings->syncookies) + " by somebody else");
        } else if (!wanted) {
            end(now);
            settle(asked ? "ready" : "off", "");
        } else {
            if (state_.state != "answering") settle("answering", "");
            state_.options_kept = answers.stamped;
        }
    } else {
        if (wanted && now >= retry_at_)
            begin();
        else if (!wanted)
            settle(asked ? "ready" : "off", "");
        if (!kernel_.cookie_answers().on && answers.told && now >= restore_at_) {
            restore_tcp(answers, tcp_);
            kernel_.set_cookie_answers({});
        }
    }
    return state_.state != before &&
           (state_.state == "answering" || before == "answering" || state_.state == "unavailable");
}

void SynCookieControl::begin() {
    const auto settings = tcp_.settings();
    if (!settings) {
        settle("unavailable", settings.error().message);
        return;
    }
    if (settings->syncookies == 0) {
        settle("unavailable", "net.ipv4.tcp_syncookies is 0: the kernel would refuse every cookie");
        return;
    }
    CookieAnswers answers = kernel_.cookie_answers();
    if (!answers.told) {
        answers.told = true;
        answers.syncookies_before = settings->syncookies;
        answers.timestamps_before = settings->timestamps;
    }
    unsigned mtu = 1500;
    answers.redirect = false;
    for (const InterfaceState& interface : kernel_.interfaces())
        if (const auto facts = read_interface_facts(interface.name)) {
            if (const std::string why = answers_would_stray(*facts); !why.empty())
                return settle("unavailable", why);
            mtu = std::min(mtu, facts->mtu);
            answers.redirect |= facts->driver == "veth";
        }
    // A listener takes cookies only if the kernel sends its own: always, so that one SYN a second shows it.
    if (settings->syncookies != 2)
        if (const auto set = tcp_.set_syncookies(2); !set) {
            settle("unavailable", set.error().message + "; the kernel's own cookies and the limits remain");
            return;
        }
    std::string lacking;
    if (settings->timestamps == 0 || !settings->sack || !settings->window_scaling)
        lacking = "net.ipv4.tcp_timestamps, tcp_sack or tcp_window_scaling is 0";
    else if (settings->timestamps == 1)
        if (const auto set = tcp_.set_timestamps(2); !set) lacking = set.error().message;
    answers.stamped = lacking.empty();
    answers.window_scale = window_scale_of(settings->receive_max);
    mtu = std::max(mtu, kLeastMtu);
    answers.mss_ipv4 = static_cast<std::uint16_t>(mtu - kIpv4Headers);
    answers.mss_ipv6 = static_cast<std::uint16_t>(mtu - kIpv6Headers);
    answers.on = true;
    kernel_.set_cookie_answers(answers);
    state_.options_kept = answers.stamped;
    settle("answering", lacking.empty() ? "" : lacking + "; answers go without window scale and SACK");
}

void SynCookieControl::end(Nanos now) {
    CookieAnswers answers = kernel_.cookie_answers();
    answers.on = false;
    kernel_.set_cookie_answers(answers);
    restore_at_ = now + kLastAnswers;
}

void SynCookieControl::stop() {
    const CookieAnswers answers = kernel_.cookie_answers();
    kernel_.set_cookie_answers({});
    restore_tcp(answers, tcp_);
}

}  // namespace sluice
