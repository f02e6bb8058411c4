// SYNs answered in place: what the answer says, byte by byte, and which SYNs are the kernel's to answer. That the
// kernel takes the acknowledgement is tested with real connections, end to end.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "bpf/program_under_test.hpp"

namespace sluice::test {
namespace {

struct Answer {
    std::uint32_t action = 0;
    Bytes frame;
};

// A listener on every address of this namespace, at a port of the kernel's choice.
class Listener {
  public:
    Listener() : socket_{::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        sockaddr_in6 any{};
        any.sin6_family = AF_INET6;
        socklen_t bytes = sizeof any;
        if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&any), bytes) != 0 ||
            ::listen(socket_.get(), 16) != 0 ||
            ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&any), &bytes) != 0)
            throw std::system_error(errno, std::generic_category(), "listen");
        port_ = ntohs(any.sin6_port);
    }
    std::uint16_t port() const { return port_; }

  private:
    UniqueFd socket_;
    std::uint16_t port_ = 0;
};

std::uint32_t number(const Bytes& bytes, std::size_t at, std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes.at(at + i);
    return value;
}

// Of 16-bit words, as the Internet checksum sums them; 0xffff for what carries its own right sum.
std::uint32_t sum_of(const Bytes& bytes, std::size_t from, std::size_t to, std::uint32_t start = 0) {
    for (std::size_t at = from; at < to; at += 2)
        start += static_cast<std::uint32_t>(bytes[at]) << 8 | (at + 1 < to ? bytes[at + 1] : 0);
    while (start >> 16 != 0) start = (start & 0xffff) + (start >> 16);
    return start;
}

struct Kind {
    bool ipv6 = false;
    int tags = 0;
    std::size_t ip() const { return 14 + 4 * static_cast<std::size_t>(tags); }
    std::size_t tcp() const { return ip() + (ipv6 ? 40 : 20); }
};

const Bytes kLinuxOptions = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 1, 3, 3, 9};
const Bytes kWindowsOptions = {2, 4, 0x05, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2};

class SynCookie : public BpfTest {
  protected:
    void SetUp() override {
        BpfTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (!kernel_makes_cookies()) GTEST_SKIP() << "this kernel has no helpers for SYN cookies (Linux 6.0)";
        policy_ = enforcing();
        policy_.syn_cookies = SynCookies::kAlways;
        apply(policy_);
        program_->tables().set_cookie_answers({.on = true,
                                               .redirect = false,
                                               .stamped = true,
                                               .window_scale = 7,
                                               .mss_ipv4 = 1460,
                                               .mss_ipv6 = 1440,
                                               .told = false,
                                               .syncookies_before = 1,
                                               .timestamps_before = 1});
    }

    Bytes syn(Kind kind, const Bytes& options, std::size_t payload = 0) const {
        const Tcp tcp{.destination = listener_.port(),
                      .syn = true,
                      .ack = false,
                      .header_words = static_cast<std::uint8_t>(5 + options.size() / 4)};
        Frame frame =
            kind.tags == 0 ? (kind.ipv6 ? Ethernet{} / IPv6{} : Ethernet{} / IPv4{})
            : kind.tags == 1
                ? (kind.ipv6 ? Ethernet{} / Vlan{} / IPv6{} : Ethernet{} / Vlan{} / IPv4{})
                : (kind.ipv6 ? Ethernet{} / Vlan{} / Vlan{} / IPv6{} : Ethernet{} / Vlan{} / Vlan{} / IPv4{});
        Bytes bytes = frame / tcp / Payload{options.size() + payload};
        for (std::size_t i = 0; i < 6; ++i) {
            bytes[i] = static_cast<std::uint8_t>(0xa0 + i);
            bytes[6 + i] = static_cast<std::uint8_t>(0xb0 + i);
        }
        std::ranges::copy(options, bytes.begin() + static_cast<std::ptrdiff_t>(kind.tcp() + 20));
        const Bytes sequence = {0xff, 0xff, 0xff, 0xff};  // plus one carries over all its bytes
        std::ranges::copy(sequence, bytes.begin() + static_cast<std::ptrdiff_t>(kind.tcp() + 4));
        return bytes;
    }
    Answer send(const Bytes& frame) const {
        Answer answer;
        answer.frame.resize(frame.size() + 64);
        LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(), .data_out = answer.frame.data(),
                    .data_size_in = static_cast<std::uint32_t>(frame.size()),
                    .data_size_out = static_cast<std::uint32_t>(answer.frame.size()));
        EXPECT_EQ(bpf_prog_test_run_opts(program_->program(), &run), 0);
        answer.action = run.retval;
        answer.frame.resize(run.data_size_out);
        return answer;
    }
    // Past the pilots: one at first, some at random.
    std::optional<Answer> answered(const Bytes& frame) const {
        for (int i = 0; i < 20; ++i)
            if (Answer answer = send(frame); answer.action == XDP_TX) return answer;
        return std::nullopt;
    }

    KernelPolicy policy_;
    Listener listener_;
};

TEST_F(SynCookie, AnswersWithEverythingTheClientOffered) {
    for (const bool ipv6 : {false, true})
        for (const int tags : {0, 1, 2}) {
            const Kind kind{ipv6, tags};
            const Bytes asked = syn(kind, kLinuxOptions);
            const auto answer = answered(asked);
            ASSERT_TRUE(answer) << ipv6 << tags;
            const Bytes& got = answer->frame;
            ASSERT_EQ(got.size(), asked.size());
            const std::size_t ip = kind.ip(), tcp = kind.tcp();
            EXPECT_TRUE(std::equal(got.begin(), got.begin() + 6, asked.begin() + 6)) << "to who asked";
            EXPECT_TRUE(std::equal(got.begin() + 6, got.begin() + 12, asked.begin()));
            EXPECT_TRUE(std::equal(got.begin() + 12, got.begin() + static_cast<std::ptrdiff_t>(ip),
                                   asked.begin() + 12))
                << "the tags stay";
            const std::size_t address = ipv6 ? 16 : 4, from = ipv6 ? ip + 8 : ip + 12;
            for (std::size_t i = 0; i < address; ++i) {
                EXPECT_EQ(got[from + i], asked[from + address + i]);
                EXPECT_EQ(got[from + address + i], asked[from + i]);
            }
            if (ipv6) {
                EXPECT_EQ(number(got, ip, 4), 0x60000000U);
                EXPECT_EQ(number(got, ip + 4, 2), 40U);
                EXPECT_EQ(number(got, ip + 6, 2), 0x0640U);  // TCP, hop limit 64
            } else {
                EXPECT_EQ(number(got, ip, 4), 0x45000000U + 60);
                EXPECT_EQ(number(got, ip + 8, 2), 0x4006U);  // time to live 64, TCP
                EXPECT_EQ(sum_of(got, ip, ip + 20), 0xffffU);
            }
            EXPECT_EQ(number(got, tcp, 2), listener_.port());
            EXPECT_EQ(number(got, tcp + 2, 2), number(asked, tcp, 2));
            EXPECT_EQ(number(got, tcp + 8, 4), 0U) << "the sequence number and one, which wraps";
            EXPECT_EQ(number(got, tcp + 12, 2), 0xa012U);  // ten words, SYN and ACK
            EXPECT_GE(number(got, tcp + 14, 2), 1460U);
            EXPECT_EQ(sum_of(got, tcp, tcp + 40, sum_of(got, from, from + 2 * address, 6 + 40)), 0xffffU);
            EXPECT_EQ(number(got, tcp + 20, 4), 0x02040000U + (ipv6 ? 1440 : 1460));
            EXPECT_EQ(number(got, tcp + 24, 4), 0x0402080aU);
            EXPECT_EQ(number(got, tcp + 28, 4) & 63, 16U + 9U) << "SACK and the client's window scale";
            const auto now = static_cast<std::uint32_t>(monotonic_now() / kMillisecond);
            EXPECT_LT(now - number(got, tcp + 28, 4), 10'000U) << "milliseconds, not ahead of the kernel's";
            EXPECT_EQ(number(got, tcp + 32, 4), 0x11223344U) << "the client's timestamp";
            EXPECT_EQ(number(got, tcp + 36, 4), 0x01030307U);
        }
}

TEST_F(SynCookie, OffersWhatTheKernelWouldFindAgain) {
    const Kind ipv4;
    const auto options = [&](const Bytes& offered) {
        const auto answer = answered(syn(ipv4, offered));
        EXPECT_TRUE(answer);
        if (!answer) return Bytes{};
        return Bytes{answer->frame.begin() + static_cast<std::ptrdiff_t>(ipv4.tcp() + 20),
                     answer->frame.end()};
    };
    // Without timestamps nothing but the MSS is remembered.
    EXPECT_EQ(options(kWindowsOptions), (Bytes{2, 4, 0x05, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1}));
    EXPECT_EQ(options({2, 4, 0x05, 0xb4}), (Bytes{2, 4, 0x05, 0xb4}));
    EXPECT_EQ(options({}), Bytes{});
    // Timestamps alone, in a header with room for them.
    const Bytes alone = options({2, 4, 0x05, 0xb4, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0});
    ASSERT_EQ(alone.size(), 16U);
    EXPECT_EQ(number(alone, 4, 4), 0x0101080aU);
    EXPECT_EQ(number(alone, 8, 4) & 63, 15U) << "no window scale, no SACK";
    // A kernel that would not read them back.
    CookieAnswers answers = program_->tables().cookie_answers();
    answers.stamped = false;
    program_->tables().set_cookie_answers(answers);
    EXPECT_EQ(number(options(kLinuxOptions), 4, 4), 0x01010101U);
}

TEST_F(SynCookie, HostileOptionsHarmNoOne) {
    for (const Bytes& offered : {Bytes{8, 10, 0, 0},
                                 {2, 0, 0, 0},
                                 {2, 1, 0, 0},
                                 {3, 255, 0, 0},
                                 {1, 1, 1, 8},
                                 {0, 8, 10, 1},
                                 Bytes(40, 1),
                                 Bytes(40, 0xff),
                                 {3, 3, 200, 0, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}}) {
        const Kind kind{true};
        const auto answer = answered(syn(kind, offered));
        ASSERT_TRUE(answer);
        const std::size_t header = 20 + offered.size();
        EXPECT_EQ(
            sum_of(answer->frame, kind.tcp(), kind.tcp() + header,
                   sum_of(answer->frame, kind.ip() + 8, kind.tcp(), static_cast<std::uint32_t>(6 + header))),
            0xffffU);
    }
}

TEST_F(SynCookie, DataOfTheSynIsNotPartOfTheAnswer) {
    const Kind ipv4;
    const auto answer = answered(syn(ipv4, kLinuxOptions, 500));
    ASSERT_TRUE(answer);
    EXPECT_EQ(number(answer->frame, ipv4.ip() + 2, 2), 60U);
    EXPECT_EQ(sum_of(answer->frame, ipv4.tcp(), ipv4.tcp() + 40,
                     sum_of(answer->frame, ipv4.ip() + 12, ipv4.tcp(), 6 + 40)),
              0xffffU);
}

TEST_F(SynCookie, PilotsGoToTheKernel) {
    const Bytes asked = syn({}, kLinuxOptions);
    EXPECT_EQ(send(asked).action, static_cast<std::uint32_t>(XDP_PASS)) << "the first of a second";
    int passed = 0;
    for (int i = 0; i < 2000; ++i) passed += send(asked).action == XDP_PASS;
    EXPECT_GT(passed, 0);
    EXPECT_LT(passed, 60) << "one in 256 at random, and one a second";
    const sluice_counters counters = program_->statistics();
    EXPECT_EQ(counters.syns, 2001U);
    EXPECT_EQ(counters.reason[SLUICE_SYN_COOKIE].packets, 2000U - static_cast<unsigned>(passed));
    EXPECT_EQ(counters.reason[SLUICE_SYN_COOKIE].bytes,
              (2000U - static_cast<unsigned>(passed)) * asked.size());
}

TEST_F(SynCookie, WhatIsNotAskedOfAListenerIsTheKernels) {
    const auto never = [&](const Bytes& frame) {
        for (int i = 0; i < 20; ++i) {
            const Answer answer = send(frame);
            EXPECT_EQ(answer.action, static_cast<std::uint32_t>(XDP_PASS));
            EXPECT_EQ(answer.frame, frame) << "as it came";
        }
    };
    never(Ethernet{} / IPv4{} / Tcp{.destination = 1, .syn = true, .ack = false});  // nobody listens
    never(Ethernet{} / IPv4{} /
          Tcp{.destination = listener_.port(), .syn = true});  // with an acknowledgement
    never(Ethernet{} / IPv4{} / Tcp{.destination = listener_.port()});
    never(Ethernet{} / IPv4{.options_words = 2} /
          Tcp{.destination = listener_.port(), .syn = true, .ack = false});
    never(Ethernet{} / IPv6{} / Extension{} /
          Tcp{.destination = listener_.port(), .syn = true, .ack = false});

    policy_.mode = KernelMode::kShadow;
    apply(policy_, {}, 2);
    never(syn({}, kLinuxOptions));
    policy_.mode = KernelMode::kEnforce;
    policy_.syn_cookies = SynCookies::kOff;
    apply(policy_, {}, 3);
    never(syn({}, kLinuxOptions));
    policy_.syn_cookies = SynCookies::kAuto;
    policy_.allow.prefixes = {prefix("198.51.100.0/24")};
    apply(policy_, {}, 4);
    never(syn({}, kLinuxOptions));
    policy_.allow.prefixes = {};
    apply(policy_, {}, 5);
    EXPECT_TRUE(answered(syn({}, kLinuxOptions)));
    program_->tables().set_cookie_answers({});
    never(syn({}, kLinuxOptions));
}

TEST_F(SynCookie, LeavesByARedirectWhereXdpTxDoesNot) {
    CookieAnswers answers = program_->tables().cookie_answers();
    answers.redirect = true;
    program_->tables().set_cookie_answers(answers);
    const Bytes asked = syn({}, kLinuxOptions);
    int redirected = 0;
    for (int i = 0; i < 20; ++i) redirected += send(asked).action == XDP_REDIRECT;
    EXPECT_GT(redirected, 10);
}

TEST_F(SynCookie, LimitsComeFirst) {
    policy_.limits = {limit(PacketCount::kTcpSyn, 1, kMinute, 5)};
    apply(policy_, {}, 2);
    const Bytes asked = syn({}, kLinuxOptions);
    int dropped = 0;
    for (int i = 0; i < 20; ++i) dropped += send(asked).action == XDP_DROP;
    EXPECT_EQ(dropped, 15);
}

}  // namespace
}  // namespace sluice::test
