#include "policy/reference_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/unique_fd.hpp"
#include "policy/policy_check.hpp"
#include "policy/policy_yaml.hpp"
#include "policy/section_reader.hpp"

namespace sluice {
namespace {

std::string_view trim(std::string_view line) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

bool is_sha256_hex(std::string_view text) {
    return text.size() == 64 &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// The algorithm a key is for by its kind (RFC 7518 section 6, RFC 8037), as far as the product knows it.
std::string_view algorithm_of(const nlohmann::json& key) {
    const auto member = [&](const char* name) {
        return key.contains(name) && key[name].is_string() ? key[name].get<std::string>() : std::string{};
    };
    const std::string kind = member("kty");
    if (kind == "oct") return to_string(JwtAlgorithm::kHs256);
    if (kind == "RSA") return to_string(JwtAlgorithm::kRs256);
    if (kind == "EC" && member("crv") == "P-256") return to_string(JwtAlgorithm::kEs256);
    if (kind == "OKP" && member("crv") == "Ed25519") return to_string(JwtAlgorithm::kEdDsa);
    return {};
}

}  // namespace

Result<std::string> read_bounded_file(const std::string& path, std::size_t max_bytes) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!fd) return system_error("open", path, errno);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return system_error("stat", path, errno);
    if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kInvalid, "read " + path + ": not a regular file"};
    std::string content;
    char buffer[65536];
    for (;;) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("read", path, errno);
        if (count == 0) return content;
        content.append(buffer, static_cast<std::size_t>(count));
        if (content.size() > max_bytes)
            return Error{ErrorCode::kInvalid,
                         "read " + path + ": larger than " + std::to_string(max_bytes) + " bytes"};
    }
}

std::string_view reference_fault(std::string_view written) {
    if (written.empty()) return "the file's name is empty";
    if (has_control_character(written)) return "the file's name holds a control character";
    const std::filesystem::path path{written};
    if (path.is_absolute()) return "an absolute path";
    if (std::ranges::find(path, std::filesystem::path{".."}) != path.end())
        return "a path that leaves the folder";
    return {};
}

void read_prefix_lines(std::string_view content, const std::string& file, std::vector<IpPrefix>& prefixes,
                       Problems& problems) {
    unsigned number = 0;
    while (!content.empty()) {
        const auto end = content.find('\n');
        std::string_view line = content.substr(0, end);
        content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
        ++number;
        line = trim(line.substr(0, line.find('#')));
        if (line.empty()) continue;
        const auto prefix = parse_prefix(line);
        if (prefix) {
            prefixes.push_back(*prefix);
            continue;
        }
        if (problems.size() >= kMaxProblems) return;
        problems.push_back({Severity::kError,
                            file,
                            number,
                            0,
                            {},
                            prefix.error().message,
                            "one address or prefix a line; # starts a comment"});
    }
}

Result<IpPrefix> parse_prefix(std::string_view text) {
    static constexpr std::size_t kLongest = sizeof "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128";
    if (text.size() > kLongest || !is_utf8(text) || has_control_character(text))
        return Error{ErrorCode::kInvalid, in_quotes(text) + " is not an IPv4 or IPv6 address or prefix"};
    return IpPrefix::parse(text);
}

void read_api_keys(std::string_view content, const std::string& file, std::vector<ApiKey>& keys,
                   Problems& problems) {
    const auto tree = parse_yaml(content, file, problems);
    if (!tree) return;
    DocumentReader document{file, kApiKeyFileKeys, problems};
    const SectionReader root{document, *tree, "$", "$"};
    const YamlNode* const list = root.find("keys");
    if (list == nullptr) return;
    const ListReader items{document, *list, root.path("keys"),
                           "a list of {sha256: HEX, user: NAME}; [] for none"};
    std::unordered_map<std::string, std::string> path_of;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const SectionReader item{document, items[i], items.path(i), "$.keys[]"};
        ApiKey key;
        if (item.text("sha256", key.sha256_hex)) {
            // The value is not quoted: where a digest was asked for, somebody may have pasted the key.
            if (!is_sha256_hex(key.sha256_hex))
                item.wrong("sha256", "not a SHA-256",
                           "64 lower-case hexadecimal digits: printf %s KEY | sha256sum");
            else if (const auto [first, is_new] = path_of.emplace(key.sha256_hex, items.path(i)); !is_new)
                item.wrong("sha256", "the same key stands at " + first->second, "each key once");
        }
        if (item.text("user", key.user) && !is_valid_user(key.user))
            item.wrong("user", in_quotes(key.user) + " is not a user's name", std::string{kUserForm});
        keys.push_back(std::move(key));
    }
    if (items.size() == 0 && list->kind == YamlNode::Kind::kSequence)
        problems.push_back({Severity::kWarning,
                            file,
                            list->mark.line,
                            list->mark.column,
                            "$.keys",
                            "no key: every API key is refused",
                            {}});
}

void check_jwks(std::string_view content, const std::string& file,
                const std::vector<JwtAlgorithm>& algorithms, Problems& problems) {
    const auto fault = [&](Severity severity, const std::string& path, std::string message,
                           std::string allowed) {
        problems.push_back({severity, file, 0, 0, path, std::move(message), std::move(allowed)});
    };
    // Of a syntax error only the place: the library's message quotes the text around it, and this file may
    // hold a secret.
    const auto refuse_syntax = [&](TextPlace place) {
        problems.push_back({Severity::kError,
                            file,
                            place.line,
                            place.column,
                            {},
                            "not valid JSON",
                            "a JWKS: {\"keys\": […]}"});
    };
    nlohmann::json set;
    try {
        set = nlohmann::json::parse(content);
    } catch (const nlohmann::json::parse_error& error) {
        return refuse_syntax(place_of(content, error.byte == 0 ? 0 : error.byte - 1));
    } catch (const nlohmann::json::out_of_range&) {  // a number beyond double; its place is not told
        return refuse_syntax({0, 0});
    }
    if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array())
        return fault(Severity::kError, "$.keys", "not a JWKS: no list of keys", "{\"keys\": […]}");
    bool any_fits = false;
    for (std::size_t i = 0; i < set["keys"].size() && problems.size() < kMaxProblems; ++i) {
        const auto& key = set["keys"][i];
        const std::string path = "$.keys[" + std::to_string(i) + "]";
        if (!key.is_object() || !key.contains("kty") || !key["kty"].is_string())
            fault(Severity::kError, path, "not a JWK: no key type", "an object with \"kty\"");
        else
            any_fits |= std::ranges::any_of(
                algorithms, [&](JwtAlgorithm a) { return to_string(a) == algorithm_of(key); });
    }
    if (set["keys"].empty())
        fault(Severity::kWarning, "$.keys", "no key: every token is refused", {});
    else if (!any_fits)
        fault(Severity::kWarning, "$.keys", "no key fits the policy's algorithms: every token is refused",
              {});
}

}  // namespace sluice
