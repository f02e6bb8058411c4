// PROXY protocol: a header that is there is not decided on before all of it is.
#include <cstdint>
#include <span>

#include "fuzz/expect.hpp"
#include "http/proxy_protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using sluice::http::ProxyHeader;
    const std::span<const std::uint8_t> bytes{data, size};
    const ProxyHeader whole = sluice::http::parse_proxy_header(bytes);
    if (whole.kind != ProxyHeader::Kind::kPresent) return 0;
    SLUICE_EXPECT(whole.length > 0 && whole.length <= size &&
                  whole.length <= sluice::http::kMaxProxyHeaderBytes);
    for (std::size_t end = 0; end < whole.length; ++end)
        SLUICE_EXPECT(sluice::http::parse_proxy_header(bytes.first(end)).kind ==
                      ProxyHeader::Kind::kIncomplete);
    const ProxyHeader alone = sluice::http::parse_proxy_header(bytes.first(whole.length));
    SLUICE_EXPECT(alone.kind == ProxyHeader::Kind::kPresent && alone.source == whole.source);
    return 0;
}
