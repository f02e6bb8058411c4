// The policy file: YAML text, and the files it names, to a checked Policy. The only reader of the format;
// docs/policy.md is its reference and policies/policy.schema.json its description for editors.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.hpp"
#include "policy/problem.hpp"

namespace sluice {

// What a load reads at most, so that no file can exhaust the controller.
inline constexpr std::size_t kMaxPolicyBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxListFileBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxPrefixes = 1'000'000;                 // of one list, its files included
inline constexpr std::size_t kMaxKeyFileBytes = std::size_t{4} << 20;  // JWKS, API keys

struct LoadedPolicy {
    std::shared_ptr<const Policy> policy;
    std::string text;  // the policy file, byte for byte
    std::string hash;  // first 12 hexadecimal digits of SHA-256 over text and every referenced file
    std::vector<std::string>
        files;  // absolute paths of the referenced files, to be watched; symbolic links not resolved
    Problems warnings;
};

struct PolicyLoad {
    std::optional<LoadedPolicy> loaded;  // empty if there was an error
    Problems problems;                   // every error and warning, in the order of the file

    explicit operator bool() const { return loaded.has_value(); }
};

// A check that a layer above adds: what the kernel can't enforce, what the identity layer makes of the keys.
// Called with a policy that has no error so far; its problems have only a path and get file, line and column
// from the reader.
using PolicyCheck = std::function<Problems(const Policy&)>;

// Reads and checks path and the files it names (relative to its folder, and within it). Blocks on file I/O;
// any thread.
PolicyLoad load_policy_file(const std::string& path, const PolicyCheck& further = {});

// The same for text that has no file of its own (an apply over the admin API): display_name stands in the
// problems, and references are read from base_directory.
PolicyLoad load_policy_text(std::string_view text, const std::string& display_name,
                            const std::string& base_directory, const PolicyCheck& further = {});

}  // namespace sluice
