#include "http/token_auth.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sluice::http {
namespace {

namespace fs = std::filesystem;

// printf %s secret | sha256sum
constexpr const char* kSecretHex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
constexpr const char* kOtherHex =
    "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";  // "other"

std::string error_of(std::string_view yaml) {
    const auto tokens = parse_tokens(yaml, "tokens.yaml");
    return tokens ? "" : tokens.error().message;
}

TEST(ParseTokens, ReadsNamesRolesAndDigests) {
    const auto tokens =
        parse_tokens(std::string{"- {name: prometheus, role: viewer, sha256: "} + kSecretHex + "}\n", "t")
            .value();
    ASSERT_EQ(tokens.size(), 1U);
    EXPECT_EQ(tokens[0].name, "prometheus");
    EXPECT_EQ(tokens[0].role, Role::kViewer);
    EXPECT_EQ(tokens[0].sha256, sha256("secret"));
    EXPECT_TRUE(parse_tokens("[]", "t")->empty());
}

TEST(ParseTokens, ErrorsSayWhereAndWhatWouldBeRight) {
    const std::string digest = kSecretHex;
    EXPECT_EQ(error_of("- {name: a, role: root, sha256: " + digest + "}"),
              "tokens.yaml:1:19: role is 'root'; it is one of viewer, operator, admin");
    EXPECT_EQ(error_of("- name: a\n  role: admin\n  sha256: hunter2"),
              "tokens.yaml:3:11: sha256 is 64 hexadecimal digits: printf %s TOKEN | sha256sum");
    EXPECT_EQ(error_of("- {name: a, role: admin}"), "tokens.yaml:1:3: a token needs name, role and sha256");
    EXPECT_EQ(error_of("- {name: a, token: x}"),
              "tokens.yaml:1:13: unknown field; a token has name, role and sha256");
    EXPECT_EQ(error_of("{}"),
              "tokens.yaml:1:1: the file is a list of tokens: [{name: N, role: viewer, sha256: HEX}]");
    EXPECT_EQ(error_of("- x"), "tokens.yaml:1:3: a token is a map of name, role and sha256");
    EXPECT_NE(error_of("- {name: [a}"), "");
    EXPECT_NE(error_of("\t- x: y: z"), "");
    const std::string token = ", role: admin, sha256: " + digest + "}\n";
    EXPECT_NE(error_of("- {name: a" + token + "- {name: a" + token).find("two tokens are named a"),
              std::string::npos);
    EXPECT_NE(error_of("- {name: a" + token + "- {name: b" + token).find("are the same token"),
              std::string::npos);
}

class TokenStoreTest : public testing::Test {
  protected:
    TokenStoreTest() {
        std::string path = testing::TempDir() + "sluice-tokens.XXXXXX";
        folder_ = ::mkdtemp(path.data());
        path_ = folder_ / "tokens.yaml";
    }
    ~TokenStoreTest() override { fs::remove_all(folder_); }

    void write(const std::string& name, const std::string& hex, mode_t mode = 0640) const {
        const fs::path next = folder_ / "next";
        std::ofstream{next} << "- {name: " << name << ", role: operator, sha256: " << hex << "}\n";
        ::chmod(next.c_str(), mode);
        fs::rename(next, path_);
    }

    fs::path folder_;
    fs::path path_;
};

TEST_F(TokenStoreTest, FindsByDigest) {
    write("ops", kSecretHex);
    const auto store = TokenStore::load(path_).value();
    ASSERT_TRUE(store.find(sha256("secret")));
    EXPECT_EQ(store.find(sha256("secret"))->name, "ops");
    EXPECT_FALSE(store.find(sha256("Secret")));
    EXPECT_FALSE(store.find(sha256("")));
    EXPECT_FALSE(store.find(sha256(kSecretHex)));
}

TEST_F(TokenStoreTest, RefusesAFileThatOthersMayRead) {
    for (const mode_t mode : {0644, 0660, 0641, 0642}) {
        write("ops", kSecretHex, mode);
        const auto store = TokenStore::load(path_);
        ASSERT_FALSE(store) << std::oct << mode;
        EXPECT_NE(store.error().message.find("chmod 0640"), std::string::npos);
    }
    EXPECT_EQ(TokenStore::load(folder_ / "missing").error().code, ErrorCode::kNotFound);
    EXPECT_FALSE(TokenStore::load(folder_));
}

TEST_F(TokenStoreTest, RereadsWhatChangedAndKeepsTheOldOnAnError) {
    write("ops", kSecretHex);
    auto store = TokenStore::load(path_).value();
    ASSERT_TRUE(store.reload());
    write("ops2", kOtherHex);
    ASSERT_TRUE(store.reload());
    EXPECT_FALSE(store.find(sha256("secret")));
    EXPECT_EQ(store.find(sha256("other"))->name, "ops2");
    write("ops3", "nonsense");
    EXPECT_FALSE(store.reload());
    EXPECT_TRUE(store.find(sha256("other")));
    write("ops2", kOtherHex, 0644);
    EXPECT_FALSE(store.reload());
    fs::remove(path_);
    EXPECT_FALSE(store.reload());
    EXPECT_TRUE(store.find(sha256("other")));
}

const IpAddress kPeer = IpAddress::parse("192.0.2.1").value();
constexpr Nanos kStart = kHour;

void guess(GuessBrake& brake, const IpAddress& peer, int from, int count, Nanos now) {
    for (int i = from; i < from + count; ++i) brake.failed(peer, sha256("guess" + std::to_string(i)), now);
}

TEST(GuessBrake, WaitsLongerWithEveryGuess) {
    GuessBrake brake;
    EXPECT_EQ(brake.wait(kPeer, kStart), 0);
    guess(brake, kPeer, 0, 4, kStart);
    EXPECT_EQ(brake.wait(kPeer, kStart), 0);
    guess(brake, kPeer, 4, 1, kStart);
    EXPECT_EQ(brake.wait(kPeer, kStart), kSecond);
    EXPECT_EQ(brake.wait(kPeer, kStart + kSecond), 0);
    guess(brake, kPeer, 5, 1, kStart);
    EXPECT_EQ(brake.wait(kPeer, kStart), 2 * kSecond);
    guess(brake, kPeer, 6, 100, kStart);
    EXPECT_EQ(brake.wait(kPeer, kStart), kMinute);
    EXPECT_EQ(brake.wait(IpAddress::parse("192.0.2.2").value(), kStart), 0);
}

TEST(GuessBrake, AnOldTokenUsedAgainIsNoGuess) {
    GuessBrake brake;
    for (int i = 0; i < 1000; ++i) brake.failed(kPeer, sha256("last year's"), kStart + i * kSecond);
    EXPECT_EQ(brake.wait(kPeer, kStart + 1000 * kSecond), 0);
}

TEST(GuessBrake, ForgetsAfterTenQuietMinutes) {
    GuessBrake brake;
    guess(brake, kPeer, 0, 10, kStart);
    guess(brake, kPeer, 10, 4, kStart + 11 * kMinute);
    EXPECT_EQ(brake.wait(kPeer, kStart + 11 * kMinute), 0);
}

TEST(GuessBrake, ANeighbourhoodOfIpv6IsOnePeer) {
    GuessBrake brake;
    for (int i = 1; i <= 5; ++i) {
        const auto peer = IpAddress::parse("2001:db8::" + std::to_string(i)).value();
        guess(brake, peer, i, 1, kStart);
    }
    EXPECT_GT(brake.wait(IpAddress::parse("2001:db8::ffff").value(), kStart), 0);
    EXPECT_EQ(brake.wait(IpAddress::parse("2001:db8:0:1::1").value(), kStart), 0);
}

TEST(GuessBrake, ManyPeersPushOutTheOldest) {
    GuessBrake brake;
    guess(brake, kPeer, 0, 20, kStart + kSecond);
    const auto peer = [](int i) {
        return IpAddress::from_v4(
            {10, 0, static_cast<std::uint8_t>(i / 256), static_cast<std::uint8_t>(i % 256)});
    };
    for (int i = 0; i < 4096; ++i) guess(brake, peer(i), 0, 5, kStart + i + (i ? 2 * kSecond : 0));
    EXPECT_GT(brake.wait(kPeer, kStart + 2 * kSecond), 0);  // peer 0 failed before it and had to go
    EXPECT_EQ(brake.wait(peer(0), kStart), 0);
}

}  // namespace
}  // namespace sluice::http
