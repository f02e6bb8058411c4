#include "http/token_auth.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/unique_fd.hpp"
#include "http/characters.hpp"

namespace sluice::http {
namespace {

constexpr off_t kMaxFileBytes = 1 << 20;

constexpr unsigned kFreeFailures = 5;
constexpr Nanos kMaxWait = kMinute;
constexpr Nanos kForgetAfter = 10 * kMinute;
constexpr std::size_t kMaxPeers = 4096;

std::string where(std::string_view source, const YAML::Mark& mark) {
    std::string text{source};
    if (mark.line >= 0) text += ':' + std::to_string(mark.line + 1) + ':' + std::to_string(mark.column + 1);
    return text;
}

Error invalid(std::string_view source, const YAML::Mark& mark, std::string_view what) {
    return Error{ErrorCode::kInvalid, where(source, mark) + ": " + std::string{what}};
}

std::optional<Role> parse_role(std::string_view text) {
    for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin})
        if (text == to_string(role)) return role;
    return std::nullopt;
}

std::optional<Digest> parse_sha256(std::string_view text) {
    Digest bytes{};
    if (text.size() != 2 * bytes.size() || !all(text, kHexDigit)) return std::nullopt;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    return bytes;
}

Result<Token> parse_token(const YAML::Node& node, std::string_view source) {
    if (!node.IsMap()) return invalid(source, node.Mark(), "a token is a map of name, role and sha256");
    Token token;
    bool has_role = false;
    bool has_sha256 = false;
    for (const auto& field : node) {
        const auto name = field.first.IsScalar() ? field.first.Scalar() : std::string{};
        if (!field.second.IsScalar()) return invalid(source, field.second.Mark(), name + " is a text");
        const auto& value = field.second.Scalar();
        if (name == "name") {
            if (value.empty() || value.size() > 64)
                return invalid(source, field.second.Mark(), "name is a text of 1 to 64 characters");
            token.name = value;
        } else if (name == "role") {
            const auto role = parse_role(value);
            if (!role)
                return invalid(source, field.second.Mark(),
                               "role is '" + value + "'; it is one of viewer, operator, admin");
            token.role = *role;
            has_role = true;
        } else if (name == "sha256") {
            const auto digest = parse_sha256(value);
            // The value is not repeated: whoever took this for the place of the token itself has written a
            // secret here.
            if (!digest)
                return invalid(source, field.second.Mark(),
                               "sha256 is 64 hexadecimal digits: printf %s TOKEN | sha256sum");
            token.sha256 = *digest;
            has_sha256 = true;
        } else {
            return invalid(source, field.first.Mark(), "unknown field; a token has name, role and sha256");
        }
    }
    if (token.name.empty() || !has_role || !has_sha256)
        return invalid(source, node.Mark(), "a token needs name, role and sha256");
    return token;
}

}  // namespace

std::string_view to_string(Role role) {
    switch (role) {
        case Role::kNone:
            return "none";
        case Role::kViewer:
            return "viewer";
        case Role::kOperator:
            return "operator";
        case Role::kAdmin:
            return "admin";
    }
    return "none";
}

Digest sha256(std::string_view text) {
    Digest digest{};
    ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return digest;
}

Result<std::vector<Token>> parse_tokens(std::string_view yaml, std::string_view source) {
    YAML::Node root;
    try {
        root = YAML::Load(std::string{yaml});
    } catch (const YAML::Exception& e) {
        return invalid(source, e.mark, e.msg);
    }
    if (!root.IsSequence())
        return invalid(source, root.Mark(),
                       "the file is a list of tokens: [{name: N, role: viewer, sha256: HEX}]");
    std::vector<Token> tokens;
    for (const auto& node : root) {
        auto token = parse_token(node, source);
        if (!token) return token.error();
        for (const auto& other : tokens) {
            if (other.name == token->name)
                return invalid(source, node.Mark(), "two tokens are named " + token->name);
            if (other.sha256 == token->sha256)
                return invalid(source, node.Mark(),
                               token->name + " and " + other.name + " are the same token");
        }
        tokens.push_back(std::move(*token));
    }
    return tokens;
}

bool TokenStore::Stamp::operator==(const Stamp& other) const {
    return modified.tv_sec == other.modified.tv_sec && modified.tv_nsec == other.modified.tv_nsec &&
           inode == other.inode && size == other.size && mode == other.mode;
}

TokenStore::Stamp TokenStore::Stamp::of(const struct stat& status) {
    return {status.st_mtim, status.st_ino, status.st_size, status.st_mode};
}

Result<std::pair<std::vector<Token>, TokenStore::Stamp>> TokenStore::read(const std::string& path) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    if (!file) return system_error("open tokens file", path, errno);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return system_error("stat tokens file", path, errno);
    if (!S_ISREG(status.st_mode))
        return Error{ErrorCode::kInvalid, "tokens file " + path + ": not a regular file"};
    if (status.st_mode & (S_IRWXO | S_IWGRP))
        return Error{
            ErrorCode::kNotPermitted,
            "tokens file " + path + ": others may read it or its group may write it; chmod 0640 " + path};
    if (status.st_size > kMaxFileBytes)
        return Error{ErrorCode::kInvalid, "tokens file " + path + ": larger than 1 MiB"};
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    const ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
    if (length < 0) return system_error("read tokens file", path, errno);
    text.resize(static_cast<std::size_t>(length));
    auto tokens = parse_tokens(text, path);
    if (!tokens) return tokens.error();
    return std::pair{std::move(*tokens), Stamp::of(status)};
}

Result<TokenStore> TokenStore::load(std::string path) {
    auto content = read(path);
    if (!content) return content.error();
    TokenStore store;
    store.path_ = std::move(path);
    std::tie(store.tokens_, store.stamp_) = std::move(*content);
    return store;
}

const Token* TokenStore::find(const Digest& digest) const {
    const Token* found = nullptr;
    // All of them, whether found or not, so that the time taken does not tell which one.
    for (const auto& token : tokens_)
        if (::CRYPTO_memcmp(token.sha256.data(), digest.data(), digest.size()) == 0) found = &token;
    return found;
}

Result<> TokenStore::reload() {
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) return system_error("stat tokens file", path_, errno);
    if (Stamp::of(status) == stamp_) return {};
    auto content = read(path_);
    if (!content) return content.error();
    std::tie(tokens_, stamp_) = std::move(*content);
    return {};
}

// --- GuessBrake
// -------------------------------------------------------------------------------------------------------

namespace {

IpPrefix group_of(const IpAddress& peer) {
    return SourcePrefix{32, 64}.of(peer);
}

}  // namespace

Nanos GuessBrake::wait(const IpAddress& peer, Nanos now) const {
    const auto found = peers_.find(group_of(peer));
    return found == peers_.end() ? 0 : std::max<Nanos>(0, found->second.until - now);
}

void GuessBrake::failed(const IpAddress& peer, const Digest& wrong, Nanos now) {
    const auto group = group_of(peer);
    if (peers_.size() >= kMaxPeers && !peers_.contains(group)) {
        const auto oldest = std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
            return a.second.last < b.second.last;
        });
        peers_.erase(oldest);
    }
    Failures& failures = peers_[group];
    if (now - failures.last > kForgetAfter) failures = Failures{};
    failures.last = now;
    auto& recent = failures.recent;
    if (std::find(recent.begin(), recent.end(), wrong) != recent.end()) return;
    recent[failures.count % recent.size()] = wrong;
    if (++failures.count < kFreeFailures) return;
    const unsigned doublings = std::min(failures.count - kFreeFailures, 6U);
    failures.until = now + std::min(kSecond << doublings, kMaxWait);
}

}  // namespace sluice::http
