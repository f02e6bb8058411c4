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

// Parts are a few bytes long: a call of memcpy() would cost more than the copy.
template <class Word>
char* append_as(char* out, std::string_view part) {
    const std::size_t last = part.size() - sizeof(Word);
    Word word;
    for (std::size_t at = 0; at < last; at += sizeof word) {
        std::memcpy(&word, part.data() + at, sizeof word);
        std::memcpy(out + at, &word, sizeof word);
    }
    std::memcpy(&word, part.data() + last, sizeof word);  // overlaps the one before
    std::memcpy(out + last, &word, sizeof word);
    return out + part.size();
}

char* append(char* out, std::string_view part) {
    if (part.size() >= sizeof(std::uint64_t)) return append_as<std::uint64_t>(out, part);
    if (part.size() >= sizeof(std::uint32_t)) return append_as<std::uint32_t>(out, part);
    return std::copy(part.begin(), part.end(), out);
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
        end = append(end + sizeof length, part);
    }
    const XXH128_hash_t hash = XXH3_128bits_withSecret(buffer, total, secret_.data(), secret_.size());
    return {hash.high64, hash.low64};
}

KeyHash KeyHasher::key(std::string_view limit, SubjectKind kind, std::string_view subject) const {
    return hash(std::array{std::string_view{"counter"}, limit, bytes_of(kind), subject});
}

KeyHash KeyHasher::key(std::string_view limit, const IpPrefix& source) const {
    std::array<char, 17> subject;
    std::memcpy(subject.data(), source.address().bytes().data(), 16);
    subject[16] = static_cast<char>(source.length());
    return key(limit, SubjectKind::kAddress, {subject.data(), subject.size()});
}

std::uint64_t KeyHasher::limit_id(std::string_view limit) const {
    return hash(std::array{std::string_view{"limit"}, limit}).low;
}

std::uint64_t KeyHasher::identity(std::string_view user) const {
    const std::uint64_t id = hash(std::array{std::string_view{"identity"}, user}).low;
    return id == 0 ? 1 : id;
}

}  // namespace sluice
