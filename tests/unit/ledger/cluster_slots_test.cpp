// What a Redis Cluster says, and what nobody should believe of it.
#include "ledger/cluster_slots.hpp"

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include "ledger/lease_script.hpp"

namespace sluice {
namespace {

using Kind = ClusterAnswer::Kind;

RedisReply reply(std::string_view wire) {
    const std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader{redisReaderCreate(),
                                                                          redisReaderFree};
    redisReaderFeed(reader.get(), wire.data(), wire.size());
    void* read = nullptr;
    EXPECT_EQ(redisReaderGetReply(reader.get(), &read), REDIS_OK);
    EXPECT_NE(read, nullptr) << wire;
    return RedisReply{static_cast<redisReply*>(read)};
}

const RedisAddress kAsked{"10.0.0.1", "7000"};

ClusterAnswer answer(std::string_view error) {
    return read_cluster_answer(*reply("-" + std::string{error} + "\r\n"), kAsked);
}

// The first is the check value of CRC-16/XMODEM; the others are what CLUSTER KEYSLOT of Redis 7.0 answers.
TEST(RedisSlot, IsWhatRedisSays) {
    EXPECT_EQ(redis_slot("123456789"), 0x31C3 % kRedisSlots);
    EXPECT_EQ(redis_slot(""), 0);
    EXPECT_EQ(redis_slot("foo"), 12182);
    EXPECT_EQ(redis_slot("somekey"), 11058);
    EXPECT_EQ(redis_slot("foo{hash_tag}"), 2515);
    EXPECT_EQ(redis_slot("hash_tag"), 2515);
    EXPECT_EQ(redis_slot("\xff\x80{\xfe"), redis_slot(std::string{"\xff\x80{\xfe"}));
}

TEST(RedisSlot, TakesTheFirstBracesThatHoldSomething) {
    EXPECT_EQ(redis_slot("a{b}c{d}"), redis_slot("b"));
    EXPECT_EQ(redis_slot("a{{b}}"), redis_slot("{b"));
    EXPECT_NE(redis_slot("a{}{b}"), redis_slot("b"));  // the first pair is empty: the whole key counts
    EXPECT_NE(redis_slot("a{b"), redis_slot("b"));
    EXPECT_EQ(redis_slot("sluice:1:{fleet}:head"), redis_slot("sluice:1:{fleet}:facts"));
}

TEST(RedisSlot, SpreadsCounters) {
    std::vector<unsigned> third(3);
    for (std::uint64_t n = 0; n < 3000; ++n)
        ++third[redis_slot(lease_key_name({.high = n * 0x9E3779B97F4A7C15, .low = ~n})) * 3 / kRedisSlots];
    for (const unsigned count : third) EXPECT_NEAR(count, 1000, 150);
}

TEST(RedisSlot, HasAMarkForEach) {
    for (const RedisSlot slot : {RedisSlot{0}, RedisSlot{1}, RedisSlot{8191}, RedisSlot{kRedisSlots - 1}})
        EXPECT_EQ(redis_slot(redis_mark_of(slot)), slot);
}

TEST(ClusterSlots, AreTheMastersOfTheRanges) {
    const auto ranges =
        parse_cluster_slots(*reply("*3\r\n"
                                   "*4\r\n:0\r\n:99\r\n*3\r\n$8\r\n10.0.0.2\r\n:7001\r\n$2\r\nid\r\n*3\r\n$"
                                   "8\r\n10.0.0.9\r\n:7009\r\n$2\r\nix\r\n"
                                   "*3\r\n:100\r\n:100\r\n*4\r\n$3\r\n::1\r\n:7002\r\n$2\r\nid\r\n*2\r\n$"
                                   "8\r\nhostname\r\n$1\r\nx\r\n"
                                   "*3\r\n:101\r\n:16383\r\n*3\r\n$0\r\n\r\n:7003\r\n$2\r\nid\r\n"),
                            kAsked);
    ASSERT_TRUE(ranges) << ranges.error().message;
    EXPECT_EQ(*ranges, (std::vector<SlotRange>{{0, 99, {"10.0.0.2", "7001"}},
                                               {100, 100, {"::1", "7002"}},
                                               {101, 16383, {"10.0.0.1", "7003"}}}));
}

TEST(ClusterSlots, WithoutAReachableMasterAreLeftOut) {
    const auto ranges = parse_cluster_slots(*reply("*4\r\n"
                                                   "*3\r\n:0\r\n:9\r\n*2\r\n$1\r\n?\r\n:7001\r\n"
                                                   "*3\r\n:10\r\n:19\r\n*2\r\n$1\r\na\r\n:0\r\n"
                                                   "*3\r\n:20\r\n:29\r\n*2\r\n$3\r\na b\r\n:7001\r\n"
                                                   "*3\r\n:30\r\n:39\r\n*2\r\n$-1\r\n:7004\r\n"),
                                            kAsked);
    ASSERT_TRUE(ranges) << ranges.error().message;
    EXPECT_EQ(*ranges, (std::vector<SlotRange>{{30, 39, {"10.0.0.1", "7004"}}}));
}

TEST(ClusterSlots, ThatAreNoneAreRefused) {
    for (const std::string_view wire : {
             "*0\r\n",
             "$2\r\nno\r\n",
             ":1\r\n",
             "*1\r\n:1\r\n",
             "*1\r\n*2\r\n:0\r\n:1\r\n",
             "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\na\r\n:7001\r\n",
             "*1\r\n*3\r\n:-1\r\n:4\r\n*2\r\n$1\r\na\r\n:7001\r\n",
             "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:7001\r\n",
             "*1\r\n*3\r\n$1\r\n0\r\n:1\r\n*2\r\n$1\r\na\r\n:7001\r\n",
             "*1\r\n*3\r\n:0\r\n:1\r\n$1\r\na\r\n",
             "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
             "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:65536\r\n",
             "-ERR This instance has cluster support disabled\r\n",
         })
        EXPECT_FALSE(parse_cluster_slots(*reply(wire), kAsked)) << wire;
    const auto refused =
        parse_cluster_slots(*reply("-ERR This instance has cluster support disabled\r\n"), kAsked);
    EXPECT_EQ(
        refused.error().message,
        "Redis 10.0.0.1:7000 answers CLUSTER SLOTS with: ERR This instance has cluster support disabled");
}

TEST(ClusterAnswers, NameTheOneToAsk) {
    EXPECT_EQ(answer("MOVED 3999 127.0.0.1:6381"),
              (ClusterAnswer{Kind::kMoved, 3999, {"127.0.0.1", "6381"}}));
    EXPECT_EQ(answer("ASK 0 redis.example:7"), (ClusterAnswer{Kind::kAsk, 0, {"redis.example", "7"}}));
    EXPECT_EQ(answer("MOVED 1 2001:db8::1:6381"), (ClusterAnswer{Kind::kMoved, 1, {"2001:db8::1", "6381"}}));
    EXPECT_EQ(answer("MOVED 16383 :6381"), (ClusterAnswer{Kind::kMoved, 16383, {"10.0.0.1", "6381"}}));
}

TEST(ClusterAnswers, ThatNameNobodyAreErrorsLikeOthers) {
    for (const std::string_view text :
         {"MOVED", "MOVED ", "MOVED 1", "MOVED 1 a", "MOVED x a:1", "MOVED 16384 a:1", "MOVED -1 a:1",
          "MOVED 1 a:0", "MOVED 1 a:65536", "MOVED 1 a:", "MOVED 1 ?:6379", "MOVED 1 a b:1", "ASK 1 a:x",
          "MOVED 99999999999999999999 a:1", "ERR MOVED 1 a:1"})
        EXPECT_EQ(answer(text).kind, Kind::kPlain) << text;
}

TEST(ClusterAnswers, SayWhatIsAway) {
    EXPECT_EQ(answer("TRYAGAIN Multiple keys request during rehashing of slot").kind, Kind::kLater);
    EXPECT_EQ(answer("CLUSTERDOWN Hash slot not served").kind, Kind::kUnserved);
    EXPECT_EQ(answer("CLUSTERDOWN The cluster is down").kind, Kind::kAway);
    EXPECT_EQ(answer("CLUSTERDOWN The cluster is down and only accepts read commands").kind, Kind::kAway);
    EXPECT_EQ(answer("LOADING Redis is loading the dataset in memory").kind, Kind::kAway);
    EXPECT_EQ(answer("READONLY You can't write against a read only replica.").kind, Kind::kAway);
    EXPECT_EQ(answer("NOSCRIPT No matching script").kind, Kind::kPlain);
    EXPECT_EQ(read_cluster_answer(*reply("$5\r\nMOVED\r\n"), kAsked).kind, Kind::kPlain);
    EXPECT_EQ(read_cluster_answer(*reply("+MOVED 1 a:1\r\n"), kAsked).kind, Kind::kPlain);
}

}  // namespace
}  // namespace sluice
