// The files a policy names: lists of prefixes, JWKS, API keys. Each is read whole, within bounds, and its
// faults are reported with its own name and line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/policy.hpp"
#include "policy/problem.hpp"

namespace sluice {

// Content of a regular file of at most max_bytes. Blocks.
Result<std::string> read_bounded_file(const std::string& path, std::size_t max_bytes);

// A reference must be relative and stay in the policy's folder: a policy may come from a remote operator, and
// what it names is read with the controller's rights and partly quoted in messages. Why not, or empty.
std::string_view reference_fault(std::string_view written);

// IpPrefix::parse for text of any size and content: the message quotes it safely.
Result<IpPrefix> parse_prefix(std::string_view text);

// One address or prefix a line; blank lines and what follows a # are skipped. Appends to prefixes.
void read_prefix_lines(std::string_view content, const std::string& file, std::vector<IpPrefix>& prefixes,
                       Problems& problems);

// "keys: [{sha256: HEX, user: NAME}]". Appends to keys.
void read_api_keys(std::string_view content, const std::string& file, std::vector<ApiKey>& keys,
                   Problems& problems);

// Whether content is a JWKS by form (RFC 7517 section 5), and a warning if no key in it fits an allowed
// algorithm. What is in each key is judged by the identity layer, which uses it.
void check_jwks(std::string_view content, const std::string& file,
                const std::vector<JwtAlgorithm>& algorithms, Problems& problems);

}  // namespace sluice
