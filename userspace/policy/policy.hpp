// A policy as plain structs: what the operator wrote, checked and with every default filled in. Immutable
// once loaded; shared between threads as shared_ptr<const Policy>. Knows no file, no socket and no map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"

namespace sluice {

// `count` events in any trailing window of `window` nanoseconds. Written "100/h", "20/15m". Without a window, at once: of
// a request limit with `concurrent`.
struct Rate {
    std::uint64_t count = 0;
    Nanos window = kSecond;

    bool at_once() const { return window == 0; }
    bool operator==(const Rate&) const = default;
};

// As written in a policy: "100/h", "20/15m"; without a window "20 concurrent".
std::string to_string(const Rate& rate);

enum class LimitMode : std::uint8_t { kEnforce, kShadow };

// How requests are counted: exactly in any trailing window, or from the turn of one window of the clock to the next, as
// a counter with an expiry does, of which a trailing window can hold two.
enum class LimitAlgorithm : std::uint8_t { kTrailing, kFixed };

// What becomes of a limit that hosts share while their common ledger is away: each host enforces its part of the limit,
// or all of it as if it were alone, or admits nothing beyond what it holds.
enum class LedgerLoss : std::uint8_t { kShare, kOpen, kClosed };

// --- kernel: packets
// ------------------------------------------------------------------------------------------------

enum class KernelMode : std::uint8_t { kEnforce, kShadow, kOff };
enum class PacketCount : std::uint8_t { kPackets, kBytes, kTcpSyn, kUdp, kIcmp };
enum class PacketScope : std::uint8_t { kSource, kPrefix };
enum class SynCookies : std::uint8_t { kOff, kAuto, kAlways };

// A GCRA: `rate` sustained, `burst` at once.
struct PacketLimit {
    std::string name;
    PacketCount count = PacketCount::kPackets;
    PacketScope per = PacketScope::kSource;
    Rate rate;
    std::uint64_t burst = 0;  // ≥ 1; if omitted in the file: see default_burst()
    LimitMode mode = LimitMode::kEnforce;

    bool operator==(const PacketLimit&) const = default;
};

// After `after` drops within `within`, dropped for `duration`.
struct BanRule {
    std::uint64_t after = 0;
    Nanos within = 0;
    Nanos duration = 0;

    bool operator==(const BanRule&) const = default;
};

// A list of prefixes: those written in place and those read from the files named in it.
struct PrefixList {
    std::vector<IpPrefix> prefixes;  // sorted, unique; in place and from files together
    std::vector<std::string> files;  // as written, relative to the policy's folder; watched for change

    bool operator==(const PrefixList&) const = default;
};

// Ports with limits of their own, in place of KernelPolicy::limits, and with a part of the tables that floods of other
// ports don't touch.
struct PortGroup {
    std::string name;
    std::vector<std::uint16_t> ports;  // each in at most one group
    std::vector<PacketLimit> limits;
    std::size_t item = 0;  // where it stands in the file's `ports`

    bool operator==(const PortGroup& other) const {
        return name == other.name && ports == other.ports && limits == other.limits;
    }
};

struct KernelPolicy {
    KernelMode mode = KernelMode::kOff;  // a policy without a kernel section
    std::vector<std::uint16_t> ports;    // destination ports judged by `limits`
    std::vector<PortGroup> port_groups;  // at most kMaxPortGroups
    bool other_ports = false;            // every port that is named nowhere is judged by `limits`, too
    PrefixList allow;
    PrefixList deny;
    SourcePrefix prefix{24, 48};  // what `per: prefix` groups by
    std::vector<PacketLimit> limits;
    // Sources let into a table anew, for each processor and group of ports; nothing: all.
    std::optional<Rate> newcomers;
    SynCookies syn_cookies = SynCookies::kOff;
    std::optional<BanRule> ban;

    // Without a word of ports all are judged.
    bool judges_every_port() const { return other_ports || (ports.empty() && port_groups.empty()); }

    bool operator==(const KernelPolicy&) const = default;
};

// --- requests
// -------------------------------------------------------------------------------------------------------

enum class JwtAlgorithm : std::uint8_t { kHs256, kRs256, kEs256, kEdDsa };

struct JwtPolicy {
    std::string keys_file;  // JWKS, as written
    std::string keys_json;  // its content, read when the policy was loaded
    std::vector<JwtAlgorithm> algorithms;
    std::optional<std::string> issuer;
    std::optional<std::string> audience;
    std::string user_claim = "sub";
    std::string roles_claim = "roles";
    Nanos leeway = 30 * kSecond;  // how far issuer's clock and ours may differ: applied to exp, nbf and iat

    bool operator==(const JwtPolicy&) const = default;
};

// One line of the API key file. The key itself is never stored: only its SHA-256.
struct ApiKey {
    std::string sha256_hex;  // 64 lower-case hexadecimal digits
    std::string user;

    bool operator==(const ApiKey&) const = default;
};

struct ApiKeyPolicy {
    std::string header = "X-API-Key";
    std::string file;  // as written
    std::vector<ApiKey> keys;

    bool operator==(const ApiKeyPolicy&) const = default;
};

struct IdentityPolicy {
    std::optional<JwtPolicy> jwt;
    std::optional<ApiKeyPolicy> api_keys;

    bool operator==(const IdentityPolicy&) const = default;
};

// A route of this class answers logins: the gateway makes an authentication event of each response's status.
inline constexpr std::string_view kLoginClass = "login";

// First match wins. `path` is canonical (see http/path.hpp) with * for one segment and a final ** for the
// rest.
struct Route {
    std::string name;
    std::string path;
    std::string class_name;            // empty: none
    std::string provider;              // empty: none; label of ai_model_usage_total
    std::vector<std::string> methods;  // empty: any

    bool operator==(const Route&) const = default;
};

enum class LimitScope : std::uint8_t { kIp, kUser };
enum class LimitWhen : std::uint8_t { kAlways, kAnonymous, kAuthenticated };

struct RequestLimit {
    std::string name;
    LimitScope per = LimitScope::kIp;
    LimitWhen when = LimitWhen::kAlways;
    std::string class_name;  // empty: every request
    Rate rate;               // at_once(): so many in flight
    LimitMode mode = LimitMode::kEnforce;
    LedgerLoss on_ledger_loss = LedgerLoss::kShare;
    LimitAlgorithm algorithm = LimitAlgorithm::kTrailing;

    bool operator==(const RequestLimit&) const = default;
};

struct Policy {
    std::string name;
    std::vector<IpPrefix> trusted_proxies;
    SourcePrefix source_prefix;  // what one source is, in the kernel and for `per: ip`
    KernelPolicy kernel;
    IdentityPolicy identity;
    std::vector<Route> routes;
    std::vector<RequestLimit> limits;
    std::optional<BanRule> escalation;

    bool operator==(const Policy&) const = default;
};

}  // namespace sluice
