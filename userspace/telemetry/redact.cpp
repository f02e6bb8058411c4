#include "telemetry/redact.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sluice {
namespace {

constexpr std::string_view kMask = "[redacted]";

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_alnum(char c) {
    return is_digit(c) || is_letter(c);
}
// What tokens are made of: base64, base64url and what keys add to them.
bool is_token(char c) {
    return is_alnum(c) || c == '-' || c == '_';
}
bool is_credential(char c) {
    return is_token(c) || c == '.' || c == '+' || c == '/' || c == '=' || c == '~';
}
bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool starts_with_nocase(std::string_view text, std::string_view lower_prefix) {
    return text.size() >= lower_prefix.size() &&
           std::equal(lower_prefix.begin(), lower_prefix.end(), text.begin(),
                      [](char want, char have) { return want == lower(have); });
}

template <class Predicate>
std::size_t run(std::string_view text, Predicate predicate) {
    std::size_t n = 0;
    while (n < text.size() && predicate(text[n])) ++n;
    return n;
}

// Each detector looks at text that begins where a word may begin, and returns how many characters to mask: 0
// is "not this". `keep` are the characters before those that stay readable.
struct Match {
    std::size_t keep = 0;
    std::size_t mask = 0;
};

// Three base64url parts of which the first is the beginning of a JSON object; also when the rest was cut off.
Match jwt(std::string_view text) {
    if (!text.starts_with("eyJ")) return {};
    const std::size_t n = run(text, [](char c) { return is_token(c) || c == '.'; });
    return n >= 16 ? Match{0, n} : Match{};
}

Match known_key(std::string_view text) {
    static constexpr std::array<std::string_view, 22> kPrefixes{
        "sk-",   "pk-",  "sk_live_", "sk_test_",    "rk_live_", "AKIA",   "ASIA",  "AIza",
        "ghp_",  "gho_", "ghu_",     "ghs_",        "ghr_",     "glpat-", "xoxb-", "xoxp-",
        "xoxa-", "hf_",  "npm_",     "github_pat_", "ya29.",    "SG."};
    for (const auto prefix : kPrefixes)
        if (text.starts_with(prefix)) {
            const std::size_t n =
                run(text.substr(prefix.size()), [](char c) { return is_token(c) || c == '.'; });
            if (n >= 8) return {0, prefix.size() + n};
        }
    return {};
}

Match scheme(std::string_view text) {
    for (const std::string_view name : {"bearer", "basic", "digest", "negotiate"})
        if (starts_with_nocase(text, name)) {
            const std::size_t gap = run(text.substr(name.size()), is_space);
            const std::size_t n = run(text.substr(name.size() + gap), is_credential);
            // Short words after "basic" are prose.
            if (gap > 0 && n >= 6) return {name.size() + gap, n};
        }
    return {};
}

// password=…, "token": "…", api_key: … up to a space, a quote, a comma or an ampersand.
Match named_value(std::string_view text) {
    static constexpr std::array<std::string_view, 19> kNames{
        "password", "passwd",  "passphrase", "pwd",           "secret",      "client_secret", "token",
        "api_key",  "api-key", "apikey",     "authorization", "private_key", "access_key",    "accesskey",
        "session",  "cookie",  "x-api-key",  "credential",    "signature"};
    for (const auto name : kNames) {
        if (!starts_with_nocase(text, name)) continue;
        std::size_t at = name.size();
        at += run(text.substr(at), is_token);  // "session_id", "secret_access_key", "tokens"
        at += run(text.substr(at), [](char c) { return c == '"' || c == '\'' || c == ' '; });
        if (at >= text.size() || (text[at] != '=' && text[at] != ':')) continue;
        ++at;
        at += run(text.substr(at), [](char c) { return c == '"' || c == '\'' || is_space(c); });
        std::size_t n = run(text.substr(at), [](char c) {
            return !is_space(c) && c != '"' && c != '\'' && c != ',' && c != '&' && c != ';' && c != '}';
        });
        // "Authorization: Bearer abc": the scheme stays, what follows goes.
        if (const Match inner = scheme(text.substr(at)); inner.mask) return {at + inner.keep, inner.mask};
        if (n > 0) return {at, n};
    }
    return {};
}

// The password in scheme://user:password@host.
Match url_password(std::string_view text) {
    if (!text.starts_with("://")) return {};
    const std::size_t n = run(
        text.substr(3), [](char c) { return !is_space(c) && c != '/' && c != '@' && c != '"' && c != '?'; });
    if (3 + n >= text.size() || text[3 + n] != '@') return {};
    return {3, n};
}

bool luhn(std::string_view digits) {
    unsigned sum = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        unsigned digit = static_cast<unsigned>(digits[digits.size() - 1 - i] - '0');
        if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += digit;
    }
    return sum % 10 == 0;
}

// 13 to 19 digits, in groups with single spaces or dashes or without.
Match card_number(std::string_view text) {
    std::string digits;
    std::size_t end = 0;
    for (std::size_t i = 0; i < text.size() && digits.size() < 20; ++i) {
        if (is_digit(text[i])) {
            digits.push_back(text[i]);
            end = i + 1;
        } else if ((text[i] != ' ' && text[i] != '-') || end != i) {
            break;
        }
    }
    if (digits.size() < 13 || digits.size() > 19 || !luhn(digits)) return {};
    return {0, end};
}

// An unbroken run of 32 or more in which letters and digits both occur: hexadecimal or base64 keys. A UUID
// has dashes.
Match opaque(std::string_view text) {
    const std::size_t n = run(text, [](char c) { return is_alnum(c) || c == '_'; });
    if (n < 32) return {};
    const std::string_view word = text.substr(0, n);
    if (std::none_of(word.begin(), word.end(), is_digit) || std::none_of(word.begin(), word.end(), is_letter))
        return {};
    return {0, n + run(text.substr(n), is_credential)};
}

Match pem(std::string_view text) {
    if (!text.starts_with("-----BEGIN ")) return {};
    const auto end = text.find("-----END ");
    if (end == std::string_view::npos) return {0, text.size()};
    const auto close = text.find("-----", end + 9);
    return {0, close == std::string_view::npos ? text.size() : close + 5};
}

// local@domain.tld, starting at the local part.
Match email(std::string_view text) {
    const std::size_t local =
        run(text, [](char c) { return is_token(c) || c == '.' || c == '+' || c == '%'; });
    if (local == 0 || local >= text.size() || text[local] != '@') return {};
    const std::string_view domain = text.substr(local + 1);
    const std::size_t n = run(domain, [](char c) { return is_alnum(c) || c == '-' || c == '.'; });
    const auto dot = domain.substr(0, n).find('.');
    if (dot == std::string_view::npos || dot == 0 || dot + 1 >= n) return {};
    return {0, local + 1 + n};
}

bool is_digest(std::string_view word) {
    return std::all_of(word.begin(), word.end(),
                       [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

Match find_secret(std::string_view rest, bool at_digits, TextKind kind) {
    for (const auto detector : {pem, jwt, known_key, named_value, scheme})
        if (const Match match = detector(rest); match.mask) return match;
    if (const Match match = opaque(rest); match.mask)
        if (kind == TextKind::kFree || !is_digest(rest.substr(0, match.mask))) return match;
    if (at_digits)
        if (const Match match = card_number(rest); match.mask) return match;
    return kind == TextKind::kIdentifier ? Match{} : email(rest);
}

}  // namespace

std::string redact(std::string_view text, TextKind kind) {
    std::string out;
    out.reserve(text.size());
    std::size_t at = 0;
    while (at < text.size()) {
        // Secrets begin where words do, else a long text would be searched from each of its characters. A
        // name may follow an underscore or a dash ("db_password=").
        const char before = at == 0 ? ' ' : text[at - 1];
        const bool word_begins = !is_alnum(before) || (is_digit(before) != is_digit(text[at]));
        Match match;
        if (word_begins) match = find_secret(text.substr(at), is_digit(text[at]) && !is_digit(before), kind);
        if (!match.mask) match = url_password(text.substr(at));
        if (match.mask) {
            out.append(text.substr(at, match.keep)).append(kMask);
            at += match.keep + match.mask;
        } else {
            out.push_back(text[at++]);
        }
    }
    return out;
}

}  // namespace sluice
