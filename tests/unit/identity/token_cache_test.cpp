#include "identity/token_cache.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::shared_ptr<const Identity> identity_of(const char* user) {
    Identity identity;
    identity.user = user;
    identity.method = AuthMethod::kJwt;
    return std::make_shared<const Identity>(identity);
}

TEST(TokenCache, AnswersOnlyWithinItsTime) {
    TokenCache cache;
    const Sha256 token = sha256("token");
    cache.insert(token, identity_of("alice"), 100, 200);
    EXPECT_EQ(cache.find(token, 99), nullptr);
    EXPECT_EQ(cache.find(token, 100)->user, "alice");
    EXPECT_EQ(cache.find(token, 199)->user, "alice");
    EXPECT_EQ(cache.find(token, 200), nullptr);
    EXPECT_EQ(cache.find(sha256("other"), 150), nullptr);
}

TEST(TokenCache, IsBoundedAndKeepsWhatIsInUse) {
    TokenCache cache;
    const Sha256 hot = sha256("hot");
    cache.insert(hot, identity_of("hot"), 0, 1000);
    const auto cold = identity_of("cold");
    for (int i = 0; i < 150'000; ++i) {
        cache.insert(sha256(std::to_string(i)), cold, 0, 1000);
        if (i % 1000 == 0) {
            ASSERT_NE(cache.find(hot, 1), nullptr) << i;
        }
    }
    EXPECT_LE(cache.size(), 2 * TokenCache::kShards * TokenCache::kGeneration);
    EXPECT_EQ(cache.find(sha256("0"), 1), nullptr);
}

}  // namespace
}  // namespace sluice
