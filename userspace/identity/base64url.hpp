// Base64url without padding (RFC 4648 section 5, RFC 7515 appendix C), strictly: one text for one value.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// nullopt for padding, blanks, any other character, an impossible length, and unused bits that are not zero.
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace sluice
