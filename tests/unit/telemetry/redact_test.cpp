#include "telemetry/redact.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Redact, MasksWhatLooksLikeASecret) {
    const std::string jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
    EXPECT_EQ(redact("/reset/" + jwt + "/x"), "/reset/[redacted]/x");
    EXPECT_EQ(redact("key sk-proj-abcDEF123456 used"), "key [redacted] used");
    EXPECT_EQ(redact("AKIAIOSFODNN7EXAMPLE"), "[redacted]");
    EXPECT_EQ(redact("Authorization: Bearer abc.def/ghi=="), "Authorization: Bearer [redacted]");
    EXPECT_EQ(redact("got 'basic dXNlcjpwYXNz'"), "got 'basic [redacted]'");
    EXPECT_EQ(redact("db_password = hunter2 failed"), "db_password = [redacted] failed");
    EXPECT_EQ(redact(R"({"api_key":"abc","n":1})"), R"({"api_key":"[redacted]","n":1})");
    EXPECT_EQ(redact("redis://user:pa55@host:6379/0"), "redis://[redacted]@host:6379/0");
    EXPECT_EQ(redact("card 4111 1111 1111 1111."), "card [redacted].");
    EXPECT_EQ(redact("/pay/4111111111111111"), "/pay/[redacted]");
    EXPECT_EQ(redact("/k/0123456789abcdef0123456789abcdef"), "/k/[redacted]");
    EXPECT_EQ(redact("mail to alice.b+c@example.co.uk, now"), "mail to [redacted], now");
    EXPECT_EQ(redact("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n ok"),
              "[redacted]\n ok");
    EXPECT_EQ(redact("-----BEGIN PRIVATE KEY-----\nMIIE"), "[redacted]");
}

TEST(Redact, LeavesTheRestAlone) {
    for (const std::string_view text :
         {"", "/api/ai/openai/v1/chat/completions", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
          "/users/550e8400-e29b-41d4-a716-446655440000/scores", "token rejected: expired",
          "connect 127.0.0.1:8000: refused", "4111111111111112", "12345678901234567890123", "a@b",
          "basic auth", "@timestamp", "2001:db8::1", "sk-1", "pneumonoultramicroscopicsilicovolcanoconiosis"})
        EXPECT_EQ(redact(text), text);
}

TEST(Redact, IdentifiersKeepMailAddressesAndDigests) {
    const std::string digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    EXPECT_EQ(redact("alice@example.org", TextKind::kIdentifier), "alice@example.org");
    EXPECT_EQ(redact(digest, TextKind::kIdentifier), digest);
    EXPECT_EQ(redact(digest), "[redacted]");
    EXPECT_EQ(redact("sk-abcdefgh12345678", TextKind::kIdentifier), "[redacted]");
}

TEST(Redact, LongHostileTextsEndInTime) {
    // As long as a text can be (1 KiB), 200 times over: milliseconds each, even where every position may
    // begin a word.
    for (const std::string_view part : {"a1-", "1 ", "-----BEGIN ", "://", "a.", "token ", "eyJ", "sk-"}) {
        std::string text;
        while (text.size() < 1024) text += part;
        for (int i = 0; i < 25; ++i) EXPECT_FALSE(redact(text).empty());
    }
}

}  // namespace
}  // namespace sluice
