// Any bytes as a request head: found the same however they arrive, and one canonical path for what is
// accepted.
#include <cstdint>
#include <string_view>

#include "fuzz/expect.hpp"
#include "http/client_address.hpp"
#include "http/message.hpp"
#include "http/path.hpp"

namespace http = sluice::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    http::HeadScanner at_once;
    const auto state = at_once.scan(text);
    http::HeadScanner piecewise;
    auto state_piecewise = http::HeadScanner::State::kIncomplete;
    for (std::size_t end = 1; end <= size && state_piecewise == http::HeadScanner::State::kIncomplete; ++end)
        state_piecewise = piecewise.scan(text.substr(0, end));
    SLUICE_EXPECT(state == state_piecewise);
    if (state != http::HeadScanner::State::kComplete) return 0;
    SLUICE_EXPECT(at_once.length() == piecewise.length() && at_once.length() <= size);

    http::RequestHead head;
    http::RequestFraming framing;
    const auto refusal = http::parse_request_head(text.substr(0, at_once.length()), 100, head, framing);
    if (refusal) {
        SLUICE_EXPECT(refusal.status >= 400 && refusal.status < 600 && !refusal.reason.empty());
        return 0;
    }
    SLUICE_EXPECT(!(framing.chunked && framing.length > 0));

    http::Target target;
    if (http::parse_target(head.method, framing.target, target)) {
        SLUICE_EXPECT(target.path == "*" || target.path.starts_with('/'));
        http::Target again;
        SLUICE_EXPECT(http::parse_target(head.method, target.path, again));
        SLUICE_EXPECT(again.path == target.path && !again.has_query);
    }

    const auto peer = *sluice::IpAddress::parse("127.0.0.1");
    const auto told =
        http::resolve_client(peer, head.fields, sluice::PrefixSet{{*sluice::IpPrefix::parse("127.0.0.0/8")}});
    SLUICE_EXPECT(told.via_trusted_proxy || told.address == peer);
    const auto seen = http::resolve_client(peer, head.fields, sluice::PrefixSet{});
    SLUICE_EXPECT(seen.address == peer && !seen.via_trusted_proxy);
    return 0;
}
