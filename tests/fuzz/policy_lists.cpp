// The files a policy names: prefix lists, API keys and JWKS of any bytes. The first byte chooses.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "policy/reference_files.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view content{reinterpret_cast<const char*>(data) + 1, size - 1};
    sluice::Problems problems;
    std::vector<sluice::IpPrefix> prefixes;
    std::vector<sluice::ApiKey> keys;
    switch (data[0] % 3) {
        case 0:
            sluice::read_prefix_lines(content, "list", prefixes, problems);
            break;
        case 1:
            sluice::read_api_keys(content, "keys", keys, problems);
            break;
        default:
            sluice::check_jwks(content, "jwks", {sluice::JwtAlgorithm::kRs256}, problems);
    }
    (void)sluice::to_json(problems).dump();
    return 0;
}
