#include "http/path.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sluice::http {
namespace {

using namespace std::string_view_literals;

struct Accepted {
    std::string_view target;
    std::string_view path;
};

constexpr Accepted kAccepted[] = {
    // As it is
    {"/", "/"},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"/a/b/c", "/a/b/c"},
    {"/api/ai/openai/chat", "/api/ai/openai/chat"},
    {"/API/Ai", "/API/Ai"},
    {"/-._~", "/-._~"},
    {"/!$&'()*+,=:@", "/!$&'()*+,=:@"},
    {"/0123456789", "/0123456789"},
    {"/...", "/..."},
    {"/.a", "/.a"},
    {"/a.", "/a."},
    {"/..a", "/..a"},
    {"/a..", "/a.."},
    // Percent-encoding of what needs none
    {"/%61%70%69", "/api"},
    {"/%41", "/A"},
    {"/%7Eme", "/~me"},
    {"/%7eme", "/~me"},
    {"/%2D%2d", "/--"},
    {"/a%3Ab", "/a:b"},
    {"/a%40b", "/a@b"},
    {"/a%2Cb", "/a,b"},
    {"/a%3Db", "/a=b"},
    {"/a%2Bb", "/a+b"},
    {"/a%21", "/a!"},
    {"/%2a", "/*"},
    {"/%24%26%27%28%29", "/$&'()"},
    // What stays encoded, in upper case
    {"/a%20b", "/a%20b"},
    {"/a%3bb", "/a%3Bb"},
    {"/a%3Bb", "/a%3Bb"},
    {"/a%3fb", "/a%3Fb"},
    {"/a%23b", "/a%23b"},
    {"/a%22b", "/a%22b"},
    {"/a%3c%3e", "/a%3C%3E"},
    {"/a%5b%5d", "/a%5B%5D"},
    {"/a%7b%7c%7d", "/a%7B%7C%7D"},
    {"/%c3%a9", "/%C3%A9"},
    {"/%E2%82%AC", "/%E2%82%AC"},
    {"/%f0%9f%98%80", "/%F0%9F%98%80"},
    {"/%ef%bf%bf", "/%EF%BF%BF"},
    {"/%ed%9f%bf", "/%ED%9F%BF"},
    {"/%f4%8f%bf%bf", "/%F4%8F%BF%BF"},
    // Visible characters that browsers send unencoded
    {"/a|b", "/a%7Cb"},
    {"/a[0]", "/a%5B0%5D"},
    {"/a^b", "/a%5Eb"},
    {"/a{b}", "/a%7Bb%7D"},
    {"/a\"b", "/a%22b"},
    {"/a<b>", "/a%3Cb%3E"},
    {"/a`b", "/a%60b"},
    // Double encoding is decoded once
    {"/%2561", "/%2561"},
    {"/%252e%252e/a", "/%252e%252e/a"},
    {"/%252F", "/%252F"},
    {"/%25", "/%25"},
    {"/%25%32%65", "/%252e"},
    // Slashes
    {"//", "/"},
    {"//a", "/a"},
    {"/a//b", "/a/b"},
    {"/a///b////c", "/a/b/c"},
    {"/a//", "/a/"},
    {"///", "/"},
    // Dot segments
    {"/.", "/"},
    {"/./", "/"},
    {"/./a", "/a"},
    {"/a/.", "/a/"},
    {"/a/./b", "/a/b"},
    {"/a/./././b", "/a/b"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/../../c", "/c"},
    {"/a/b/c/../../d", "/a/d"},
    {"/a//../b", "/b"},
    {"/a/.//./b", "/a/b"},
    {"/a/%2e/b", "/a/b"},
    {"/a/%2E/b", "/a/b"},
    {"/a/%2e%2e/b", "/b"},
    {"/a/%2E%2e/b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/a/%2e./b", "/b"},
    {"/a/%2e%2e", "/"},
    {"/api/x/../ai/openai/chat", "/api/ai/openai/chat"},
    {"//api//ai/./openai/%63hat", "/api/ai/openai/chat"},
    // Queries end the path
    {"/a?", "/a"},
    {"/a?b=c", "/a"},
    {"/a?b=/../c", "/a"},
    {"/a?;", "/a"},
    {"/a?%2f%00", "/a"},
    {"/?a", "/"},
    // Absolute form
    {"http://h", "/"},
    {"http://h/", "/"},
    {"http://h:80/a", "/a"},
    {"HTTP://h/a", "/a"},
    {"https://h/a/../b", "/b"},
    {"http://h?q", "/"},
    {"http://[::1]:80/a", "/a"},
    {"http://h//a", "/a"},
};

constexpr std::string_view kRefused[] = {
    ""sv,
    "a"sv,
    "a/b"sv,
    "?a"sv,
    "*"sv,
    "**"sv,
    "*/a"sv,
    // Encoded separators
    "/a%2fb"sv,
    "/a%2Fb"sv,
    "/%2f"sv,
    "/a%5cb"sv,
    "/a%5Cb"sv,
    "/..%2fa"sv,
    "/a/..%5ca"sv,
    "/a\\b"sv,
    "\\a"sv,
    // Control characters and blanks
    "/a%00"sv,
    "/%00"sv,
    "/a%0a"sv,
    "/a%0d%0a"sv,
    "/a%09"sv,
    "/a%1f"sv,
    "/a%7f"sv,
    "/a b"sv,
    "/a\tb"sv,
    "/a\x01"sv,
    "/a\x7f"sv,
    "/a\0b"sv,
    "/a\r"sv,
    // Bad percent-encoding
    "/%"sv,
    "/%4"sv,
    "/%zz"sv,
    "/%4g"sv,
    "/a%"sv,
    "/%%41"sv,
    "/%u0061"sv,
    "/% 41"sv,
    "/a%2"sv,
    "/%?41"sv,
    // Not UTF-8
    "/%ff"sv,
    "/%80"sv,
    "/%c0%ae"sv,
    "/%c0%af"sv,
    "/%c1%81"sv,
    "/%e0%80%af"sv,
    "/%e0%9f%bf"sv,
    "/%f0%80%80%af"sv,
    "/%ed%a0%80"sv,
    "/%f4%90%80%80"sv,
    "/%f5%80%80%80"sv,
    "/%c3"sv,
    "/%c3/%a9"sv,
    "/%c3a"sv,
    "/%e2%82"sv,
    "/%e2%82?%ac"sv,
    "/\xc3\xa9"sv,
    "/\xff"sv,
    // Parameters and fragments
    "/a;b"sv,
    "/a;b=c/d"sv,
    "/;"sv,
    "/..;/a"sv,
    "/a#b"sv,
    "/#"sv,
    "/a?b#c"sv,
    // Above the root
    "/.."sv,
    "/../"sv,
    "/../a"sv,
    "/a/../.."sv,
    "/a/../../b"sv,
    "/%2e%2e/a"sv,
    "/./../a"sv,
    "//../a"sv,
    // Queries
    "/a?b c"sv,
    "/a?b\x01"sv,
    "/a?\xc3\xa9"sv,
    "/a?b\x7f"sv,
    // Other forms
    "ftp://h/a"sv,
    "http:/a"sv,
    "http:///a"sv,
    "http://"sv,
    "http://u@h/a"sv,
    "http://h h/a"sv,
    "http://h#a"sv,
    "http://h\\a"sv,
    "httpx://h/"sv,
    "example.com:443"sv,
};

TEST(Path, AcceptsAndCanonicalises) {
    for (const auto& [target, path] : kAccepted) {
        Target out;
        const auto parsed = parse_target("GET", target, out);
        ASSERT_TRUE(parsed) << target << ": " << parsed.error().message;
        EXPECT_EQ(out.path, path) << target;
    }
}

TEST(Path, CanonicalFormIsItsOwnCanonicalForm) {
    for (const auto& [target, path] : kAccepted) {
        Target out;
        ASSERT_TRUE(parse_target("GET", path, out)) << path;
        EXPECT_EQ(out.path, path) << target;
    }
}

TEST(Path, RefusesWhatIsAmbiguous) {
    for (const auto target : kRefused) {
        Target out;
        const auto parsed = parse_target("GET", target, out);
        ASSERT_FALSE(parsed) << target << " became " << out.path;
        EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
        EXPECT_FALSE(parsed.error().message.empty());
    }
}

// Every byte in every spelling: encoded or not, either case of the digits, one canonical form or none.
TEST(Path, EverySpellingOfAByteHasOneForm) {
    constexpr std::string_view kUpper = "0123456789ABCDEF";
    constexpr std::string_view kLower = "0123456789abcdef";
    for (unsigned byte = 0; byte < 128; ++byte) {
        const char c = static_cast<char>(byte);
        if (c == '/' || c == '?' || c == '#' || c == '%' || c == ';') continue;  // raw, they are syntax
        const std::string raw = std::string{"/x"} + c + "y";
        const std::string upper = std::string{"/x%"} + kUpper[byte / 16] + kUpper[byte % 16] + "y";
        const std::string lower = std::string{"/x%"} + kLower[byte / 16] + kLower[byte % 16] + "y";
        Target a;
        Target b;
        const bool upper_parsed{parse_target("GET", upper, a)};
        ASSERT_EQ(upper_parsed, bool{parse_target("GET", lower, b)}) << upper;
        EXPECT_TRUE(!upper_parsed || a.path == b.path) << upper;
        Target r;
        if (parse_target("GET", raw, r)) {
            ASSERT_TRUE(upper_parsed) << raw;
            EXPECT_EQ(r.path, a.path) << raw;
        }
    }
}

TEST(Path, QueryComesThroughUntouched) {
    Target out;
    ASSERT_TRUE(parse_target("GET", "/a?x=%2F&y=%zz&z=?/..", out));
    EXPECT_TRUE(out.has_query);
    EXPECT_EQ(out.query, "x=%2F&y=%zz&z=?/..");
    ASSERT_TRUE(parse_target("GET", "/a?", out));
    EXPECT_TRUE(out.has_query);
    EXPECT_EQ(out.query, "");
    ASSERT_TRUE(parse_target("GET", "/a", out));
    EXPECT_FALSE(out.has_query);
}

TEST(Path, AbsoluteTargetTellsItsAuthority) {
    Target out;
    ASSERT_TRUE(parse_target("GET", "http://Example.com:8080/a", out));
    EXPECT_EQ(out.authority, "Example.com:8080");
    ASSERT_TRUE(parse_target("GET", "/a", out));
    EXPECT_EQ(out.authority, "");
}

TEST(Path, AsteriskIsForOptionsOnly) {
    Target out;
    ASSERT_TRUE(parse_target("OPTIONS", "*", out));
    EXPECT_EQ(out.path, "*");
    EXPECT_FALSE(parse_target("POST", "*", out));
    EXPECT_FALSE(parse_target("options", "*", out));
}

}  // namespace
}  // namespace sluice::http
