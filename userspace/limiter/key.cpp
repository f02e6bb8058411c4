#include "limiter/key.hpp"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace sluice {
namespace {

static_assert(sizeof(KeySecret) >= XXH3_SECRET_SIZE_MIN);

using Length = std::uint32_t;

std::string_view bytes_of(const auto& object) {
    return {reinterpret_cast<const char*>(&object), sizeof object};
}

}  // namespace

Result<KeySecret> random_key_secret() {
    KeySecret secret;
    // Up to 256 bytes getrandom() gives all or nothing.
    if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) {
        return system_error("getrandom", "key secret", errno);
    }
    return secret;
}

KeyHash KeyHasher::hash(std::span<const std::string_view> parts) const {
    // Names fit the stack but for absurdly long users, who are hashed just as well from the heap.
    constexpr std::size_t kUsual = 512;
    std::array<char, kUsual> usual;
    std::string unusual;
    std::size_t total = 0;
    for (const std::string_view part : parts) total += sizeof(Length) + part.size();
    char* buffer = usual.data();
    if (total > kUsual) {
        unusual.resize(total);
        buffer = unusual.data();
    }
    char* end = buffer;
    for (const std::string_view part : parts) {
        const auto length = static_cast<Length>(part.size());
        std::memcpy(end, &length, sizeof length);
        end = std::copy(part.begin(), part.end(), end + sizeof length);
    }
    const XXH128_hash_t hash = XXH3_128bits_withSecret(buffer, total, secret_.data(), secret_.size());
    return {hash.high64, hash.low64};
}

KeyHash KeyHasher::subject(SubjectKind kind, std::string_view name) const {
    return hash(std::array{std::string_view{"subject"}, bytes_of(kind), name});
}

KeyHash KeyHasher::subject(const IpPrefix& source) const {
    std::array<char, 17> name;
    std::memcpy(name.data(), source.address().bytes().data(), 16);
    name[16] = static_cast<char>(source.length());
    return subject(SubjectKind::kAddress, {name.data(), name.size()});
}

KeyHash KeyHasher::key(std::uint64_t limit_id, const KeyHash& subject) const {
    const std::array parts{limit_id, subject.high, subject.low};
    const XXH128_hash_t hash =
        XXH3_128bits_withSecret(parts.data(), sizeof parts, secret_.data(), secret_.size());
    return {hash.high64, hash.low64};
}

std::uint64_t KeyHasher::limit_id(std::string_view limit) const {
    return hash(std::array{std::string_view{"limit"}, limit}).low;
}

std::uint64_t KeyHasher::identity(std::string_view user) const {
    const std::uint64_t id = hash(std::array{std::string_view{"identity"}, user}).low;
    return id == 0 ? 1 : id;
}

}  // namespace sluice
