#include "policy/sha256.hpp"

#include <openssl/sha.h>

namespace sluice {

Sha256 sha256(std::string_view data) {
    Sha256 digest;
    SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest.data());
    return digest;
}

std::string sha256_hex(std::string_view data) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(64);
    for (const std::uint8_t byte : sha256(data)) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

}  // namespace sluice
