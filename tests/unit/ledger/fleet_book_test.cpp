// What hosts tell one another, without a Redis: whose decision holds, what is told again, and what strangers can write.
#include "ledger/fleet_book.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

constexpr Nanos kNow = 1000 * kSecond;
constexpr std::uint64_t kRedisUs = 1'700'000'000'000'000;

FleetFact ban(std::string_view source, std::string origin = "operator", Nanos lasts = kMinute) {
    FleetFact fact;
    fact.source = IpPrefix::parse(source).value();
    fact.reason = "scraping";
    fact.origin = std::move(origin);
    fact.lasts = lasts;
    return fact;
}

FleetFact quota(std::string user, std::string limit, Rate rate) {
    FleetFact fact;
    fact.kind = FleetFact::Kind::kOverride;
    fact.user = std::move(user);
    fact.limit = std::move(limit);
    fact.rate = rate;
    return fact;
}

// As another host wrote it.
FleetEntry entry_of(FleetFact fact, std::uint64_t version, const std::string& id = "other") {
    fact.host = "host-" + id;
    fact.host_id = id;
    return {version, subject_of(fact), encode(fact).value(), fact.lasts};
}

TEST(FleetFact, ComesBackAsItWas) {
    FleetFact unset = quota("anna", "ai", {});
    unset.withdrawn = true;
    FleetFact reset = quota("anna", "", {});
    reset.kind = FleetFact::Kind::kReset;
    for (FleetFact fact :
         {ban("192.0.2.7"), ban("2001:db8::/64", "kernel"), ban("192.0.2.0/24", "escalation"),
          quota("b\xc3\xa4r 1 x", "a i", {7, kHour}), quota("anna", "streams", {7, 0}), unset, reset}) {
        fact.host = "edge-1";
        fact.host_id = "0123";
        fact.by = "alice";
        const auto read = decode(subject_of(fact), encode(fact).value());
        ASSERT_TRUE(read) << subject_of(fact);
        fact.lasts.reset();
        EXPECT_EQ(*read, fact);
    }
    EXPECT_FALSE(encode(quota("\xff", "ai", {7, kHour})));
}

TEST(FleetFact, NoNameReachesIntoAnother) {
    EXPECT_NE(subject_of(quota("x y", "ai", {})), subject_of(quota("y", "ai x", {})));
    EXPECT_NE(subject_of(quota("", "ai x", {})), subject_of(quota("x", "ai ", {})));
}

TEST(FleetFact, BelievesNothing) {
    const FleetEntry good = entry_of(ban("192.0.2.7"), 1);
    ASSERT_TRUE(decode(good.subject, good.bytes));
    EXPECT_FALSE(decode("ban 192.0.2.8", good.bytes)) << "another subject than it says";
    EXPECT_FALSE(decode("quota 2 ai anna", good.bytes));
    EXPECT_FALSE(decode("", good.bytes));
    EXPECT_FALSE(decode(good.subject, "a" + good.bytes.substr(1))) << "another mark than its origin has";
    EXPECT_FALSE(decode(good.subject, good.bytes.substr(0, good.bytes.size() / 2)));
    EXPECT_FALSE(decode(good.subject, good.bytes + std::string(kMostFactBytes, ' ')));
    const std::string host = R"("host":"h","id":"i")";
    for (const std::string bytes :
         {"", "o", "o{}", "o[]", "onull", "o[[[[[[[[", R"(o{"source":7,"origin":"operator","id":"i"})",
          R"(o{"source":"192.0.2.7","origin":"nobody","id":"i"})",
          R"(o{"source":"192.0.2.7","origin":"operator"})",
          R"(o{"source":"192.0.2.7","origin":"operator","id":"i","reason":"\u001b[2J"})",
          "o{\"source\":\"192.0.2.7\",\"origin\":\"operator\",\"id\":\"i\",\"reason\":\"\xff\"}"})
        EXPECT_FALSE(decode("ban 192.0.2.7", bytes)) << bytes;
    for (const std::string rate :
         {R"("count":0,"window_ns":1)", R"("count":-1,"window_ns":1)", R"("count":1,"window_ns":-1)",
          R"("count":1.5,"window_ns":1)", R"("count":1,"window_ns":9223372036854775807)", R"("count":1)",
          R"("count":"1","window_ns":1)"})
        EXPECT_FALSE(decode("quota 2 ai anna", "o{" + host + R"(,"user":"anna","limit":"ai",)" + rate + "}"))
            << rate;
    EXPECT_TRUE(
        decode("quota 2 ai anna", "o{" + host + R"(,"user":"anna","limit":"ai","count":1,"window_ns":1})"));
    EXPECT_FALSE(decode("reset ", "o{" + host + "}"));
}

class FleetBookTest : public testing::Test {
  protected:
    FleetBook::Heard hear(const FleetEntry& entry, Nanos now = kNow) {
        return book_.hear(entry, kRedisUs, now, news_);
    }
    // The subjects of the next batch.
    std::vector<std::string> batch(Nanos now = kNow) {
        std::vector<std::string> subjects;
        const auto words = book_.begin(now);
        for (std::size_t i = 0; i < words.size(); i += 4) subjects.push_back(words[i]);
        return subjects;
    }
    void all_are(FleetBook::Outcome outcome, std::size_t count = 1) {
        book_.said(std::vector<FleetBook::Outcome>(count, outcome));
    }

    FleetBook book_{"me"};
    FleetFact news_;
    using Subjects = std::vector<std::string>;
};

TEST_F(FleetBookTest, TellsOnceWithWhatIsLeftAndHowOldItIs) {
    ASSERT_TRUE(book_.decide(ban("192.0.2.7"), kNow));
    const auto words = book_.begin(kNow + 2 * kSecond);
    ASSERT_EQ(words.size(), 4U);
    EXPECT_EQ(words[0], "ban 192.0.2.7");
    EXPECT_EQ(words[2], "58000");
    EXPECT_EQ(words[3], "2000000");
    EXPECT_FALSE(book_.has_to_speak()) << "one batch at a time";
    all_are(FleetBook::Outcome::kWritten);
    EXPECT_TRUE(batch().empty());
}

TEST_F(FleetBookTest, TheLatestOfOneSubjectIsTold) {
    book_.decide(ban("192.0.2.7"), kNow);
    FleetFact lift = ban("192.0.2.7");
    lift.withdrawn = true;
    book_.decide(lift, kNow + kSecond);
    const auto words = book_.begin(kNow + kSecond);
    ASSERT_EQ(words.size(), 4U);
    EXPECT_EQ(words[1].front(), '-');
}

TEST_F(FleetBookTest, WhatWasNotHeardIsToldAgainAndWhatEndedIsNot) {
    book_.decide(ban("192.0.2.7", "kernel", 10 * kSecond), kNow);
    book_.decide(ban("192.0.2.8"), kNow);
    EXPECT_EQ(batch().size(), 2U);
    book_.lost();
    EXPECT_EQ(batch(kNow + 11 * kSecond), Subjects{"ban 192.0.2.8"});
    all_are(FleetBook::Outcome::kWritten);
    book_.connected();
    EXPECT_EQ(batch(kNow + 12 * kSecond), Subjects{"ban 192.0.2.8"});
    all_are(FleetBook::Outcome::kSuperseded);
    book_.connected();
    EXPECT_TRUE(batch(kNow + 13 * kSecond).empty()) << "someone else decided since";
}

TEST_F(FleetBookTest, BatchesAndRoomAreBounded) {
    for (std::size_t i = 0; i < FleetBook::kMostFacts; ++i) {
        FleetFact fact = quota("user" + std::to_string(i), "ai", {1, kHour});
        ASSERT_TRUE(book_.decide(fact, kNow));
    }
    EXPECT_FALSE(book_.decide(ban("192.0.2.7"), kNow));
    EXPECT_TRUE(book_.decide(quota("user7", "ai", {2, kHour}), kNow)) << "what is there already can change";
    EXPECT_EQ(batch().size(), FleetBook::kBatch);
}

TEST_F(FleetBookTest, HearsOthersOnceAndItselfNever) {
    EXPECT_EQ(hear(entry_of(ban("192.0.2.7"), 5, "me")), FleetBook::Heard::kKnown);
    ASSERT_EQ(hear(entry_of(ban("192.0.2.8"), 6)), FleetBook::Heard::kNews);
    EXPECT_EQ(news_.host, "host-other");
    EXPECT_EQ(news_.lasts, kMinute);
    EXPECT_EQ(hear(entry_of(ban("192.0.2.8"), 6)), FleetBook::Heard::kKnown);
    EXPECT_EQ(hear(entry_of(ban("192.0.2.8"), 7)), FleetBook::Heard::kNews) << "renewed";
    EXPECT_EQ(hear({8, "ban 192.0.2.9", "rubbish", kMinute}), FleetBook::Heard::kInvalid);
    EXPECT_EQ(hear({9, "ban 192.0.2.9", "rubbish", 0}), FleetBook::Heard::kKnown) << "ended on the way";
    EXPECT_EQ(book_.since(), 9U);
    EXPECT_TRUE(batch().empty()) << "what is heard is not told";
}

TEST_F(FleetBookTest, WhatWasHeardEndsWhatWasOwn) {
    book_.decide(ban("192.0.2.7"), kNow);
    batch();
    all_are(FleetBook::Outcome::kWritten);
    FleetFact lift = ban("192.0.2.7");
    lift.withdrawn = true;
    ASSERT_EQ(hear(entry_of(lift, 5)), FleetBook::Heard::kNews);
    book_.offer_again();
    EXPECT_TRUE(batch().empty());
}

// A decision of this host that is not told yet stands against older ones, and against a machine's.
TEST_F(FleetBookTest, TheLaterOfTwoDecisionsHolds) {
    const Nanos decided = kNow - 2 * kSecond;
    book_.decide(ban("192.0.2.7"), decided);
    FleetFact lift = ban("192.0.2.7");
    lift.withdrawn = true;
    EXPECT_EQ(hear(entry_of(lift, kRedisUs - 3'000'000)), FleetBook::Heard::kKnown);
    EXPECT_EQ(hear(entry_of(ban("192.0.2.7", "kernel", kHour), kRedisUs)), FleetBook::Heard::kKnown);
    EXPECT_EQ(hear(entry_of(lift, kRedisUs - 1'000'000)), FleetBook::Heard::kNews);
    EXPECT_TRUE(batch().empty());
}

TEST_F(FleetBookTest, OfTwoBansByMachinesTheLonger) {
    book_.decide(ban("192.0.2.7", "kernel", kMinute), kNow);
    EXPECT_EQ(hear(entry_of(ban("192.0.2.7", "escalation", kSecond), kRedisUs)), FleetBook::Heard::kKnown);
    EXPECT_EQ(hear(entry_of(ban("192.0.2.7", "escalation", kHour), kRedisUs)), FleetBook::Heard::kNews);
}

TEST_F(FleetBookTest, ReadsOnlyWhatIsNewAndEverythingOfAnotherRedis) {
    EXPECT_FALSE(book_.behind(std::nullopt));
    EXPECT_TRUE(book_.behind("100:first"));
    hear(entry_of(ban("192.0.2.7"), 90));
    EXPECT_TRUE(book_.behind("100:first"));
    book_.caught_up();  // 91 to 100 have ended meanwhile
    EXPECT_FALSE(book_.behind("100:first"));
    EXPECT_TRUE(book_.behind("101:first"));

    book_.decide(ban("192.0.2.8"), kNow);
    batch();
    all_are(FleetBook::Outcome::kWritten);
    EXPECT_TRUE(book_.behind("500:second"));
    EXPECT_EQ(book_.since(), 0U);
    EXPECT_EQ(batch(), Subjects{"ban 192.0.2.8"}) << "what stands is offered to it";
    all_are(FleetBook::Outcome::kWritten);
    book_.caught_up();
    EXPECT_TRUE(book_.behind("400:second")) << "a replica that missed writes";
    EXPECT_EQ(book_.since(), 0U);
    for (const auto* rubbish : {"", ":", "x", "12", "-1:a", "99999999999999999999999:a"})
        EXPECT_FALSE(book_.behind(rubbish)) << rubbish;
}

TEST_F(FleetBookTest, AConnectionReadsALittleAgain) {
    ASSERT_TRUE(book_.behind(std::to_string(kRedisUs) + ":e"));
    book_.caught_up();
    book_.connected();
    EXPECT_EQ(book_.since(), kRedisUs - FleetBook::kOverlapUs);
    EXPECT_TRUE(book_.behind(std::to_string(kRedisUs) + ":e"));
}

TEST_F(FleetBookTest, ForgetsWhatHasEnded) {
    book_.decide(ban("192.0.2.7"), kNow);
    book_.decide(quota("anna", "ai", {1, kHour}), kNow);
    book_.sweep(kNow + 2 * kMinute);
    EXPECT_EQ(book_.own(), 1U);
}

}  // namespace
}  // namespace sluice
