#include "policy/policy_yaml.hpp"

#include <algorithm>
#include <filesystem>

#include "policy/policy_reader.hpp"
#include "policy/reference_files.hpp"
#include "policy/sha256.hpp"

namespace sluice {
namespace {

constexpr std::size_t kHashDigits = 12;

PolicyLoad refuse(const std::string& name, std::string message, std::string allowed = {}) {
    return {std::nullopt, {{Severity::kError, name, 0, 0, {}, std::move(message), std::move(allowed)}}};
}

}  // namespace

PolicyLoad load_policy_file(const std::string& path, const PolicyCheck& further) {
    const auto text = read_bounded_file(path, kMaxPolicyBytes);
    if (!text) return refuse(path, text.error().message);
    const auto folder = std::filesystem::path{path}.parent_path();
    return load_policy_text(*text, path, folder.empty() ? "." : folder.string(), further);
}

PolicyLoad load_policy_text(std::string_view text, const std::string& display_name,
                            const std::string& base_directory, const PolicyCheck& further) {
    if (text.size() > kMaxPolicyBytes)
        return refuse(display_name, "larger than " + std::to_string(kMaxPolicyBytes) + " bytes",
                      "long lists in files of their own: {file: NAME}");
    PolicyLoad load;
    ReferenceReader references{base_directory};
    auto policy =
        std::make_shared<const Policy>(read_policy(text, display_name, references, further, load.problems));
    if (has_errors(load.problems)) return load;

    LoadedPolicy loaded;
    loaded.policy = std::move(policy);
    loaded.text = text;
    // Each file's digest has a fixed length, so that no two sets of files make the same input.
    std::string digests = sha256_hex(text);
    for (const auto& [path, digest] : references.digests()) {
        loaded.files.push_back(path);
        digests += digest;
    }
    loaded.hash = sha256_hex(digests).substr(0, kHashDigits);
    loaded.warnings = load.problems;
    load.loaded = std::move(loaded);
    return load;
}

}  // namespace sluice
