// Masks what looks like a secret in free text: the second line of defence behind not logging it at all.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// What a text is: free text (a path, a user agent, a message), or an identifier that has to stay readable (a
// user, a policy's hash): there, e-mail addresses and hexadecimal digests stay.
enum class TextKind : unsigned char { kFree, kIdentifier };

// The text with each of these replaced by "[redacted]": JSON Web Tokens; keys with the well-known prefixes
// (sk-, AKIA, ghp_, AIza, xoxb-, glpat-, …); the credentials after Bearer or Basic; the value after
// password=, token:, api_key= and the like; user:password@ in a URL; card numbers (13 to 19 digits that pass
// Luhn's check); unbroken runs of 32 or more letters and digits in which both occur; PEM blocks; e-mail
// addresses. UUIDs stay.
std::string redact(std::string_view text, TextKind kind = TextKind::kFree);

}  // namespace sluice
