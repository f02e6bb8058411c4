// No user's text reaches another's counter.
#include "limiter/key.hpp"

#include <gtest/gtest.h>

#include <set>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::hasher;

TEST(Key, PartsCannotBeShiftedIntoOneAnother) {
    const auto key = [](std::string_view limit, std::string_view subject) {
        return hasher().key(hasher().limit_id(limit), hasher().subject(SubjectKind::kUser, subject));
    };
    EXPECT_NE(key("ai", "alice"), key("aia", "lice"));
    EXPECT_NE(key("ai", std::string_view{"\0alice", 6}), key("ai", "alice"));
    EXPECT_NE(key("ai", ""), key("", "ai"));
    EXPECT_NE(key("ai:alice", ""), key("ai", "alice"));
    // A user who writes the very bytes that stand between the parts.
    const std::string forged{"\x02\0\0\0ai\x01\0\0\0\x02\x05\0\0\0alice", 20};
    EXPECT_NE(key("ai", forged), key("ai", "alice"));
    EXPECT_NE(key(forged, ""), key("ai", "alice"));
}

TEST(Key, UserWhoseNameIsAnAddressIsNotThatAddress) {
    const IpPrefix source{*IpAddress::parse("192.0.2.1"), 32};
    const auto& bytes = source.address().bytes();
    std::string name{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    name.push_back(32);
    EXPECT_NE(hasher().subject(SubjectKind::kUser, name), hasher().subject(source));
    EXPECT_EQ(hasher().subject(SubjectKind::kAddress, name), hasher().subject(source));
    EXPECT_NE(hasher().subject(SubjectKind::kUser, "192.0.2.1"), hasher().subject(source));
}

TEST(Key, PrefixesOfOneAddressDiffer) {
    const IpAddress address = *IpAddress::parse("2001:db8::");
    EXPECT_NE(hasher().subject(IpPrefix{address, 48}), hasher().subject(IpPrefix{address, 64}));
}

TEST(Key, AnyLengthIsHashedWhole) {
    std::set<std::uint64_t> seen;
    for (std::size_t length = 0; length < 3000; ++length) {
        seen.insert(hasher().subject(SubjectKind::kUser, std::string(length, 'u')).low);
    }
    EXPECT_EQ(seen.size(), 3000U);
    std::string changed(3000, 'u');
    changed[1500] = 'v';
    EXPECT_NE(hasher().subject(SubjectKind::kUser, std::string(3000, 'u')),
              hasher().subject(SubjectKind::kUser, changed));
}

TEST(Key, SecretDecidesTheNames) {
    const auto first = random_key_secret();
    const auto second = random_key_secret();
    ASSERT_TRUE(first && second);
    EXPECT_NE(*first, *second);
    EXPECT_NE(KeyHasher{*first}.subject(SubjectKind::kUser, "alice"),
              KeyHasher{*second}.subject(SubjectKind::kUser, "alice"));
    const KeyHash subject = hasher().subject(SubjectKind::kUser, "alice");
    EXPECT_NE(KeyHasher{*first}.key(1, subject), KeyHasher{*second}.key(1, subject));
    EXPECT_NE(KeyHasher{*first}.key(1, subject), KeyHasher{*first}.key(2, subject));
    EXPECT_EQ(KeyHasher{*first}.subject(SubjectKind::kUser, "alice"),
              KeyHasher{*first}.subject(SubjectKind::kUser, "alice"));
}

TEST(Key, IdentityIsNeverNobody) {
    EXPECT_NE(hasher().identity(""), 0U);
    EXPECT_NE(hasher().identity("alice"), hasher().identity("bob"));
    EXPECT_NE(hasher().identity("ai"), hasher().limit_id("ai"));
}

}  // namespace
}  // namespace sluice
