#include "telemetry/event_stream.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

std::string taken(EventSubscription& subscription) {
    std::string out;
    subscription.take(out);
    return out;
}

TEST(EventStream, DeliversServerSentEvents) {
    EventStream stream{7};
    auto subscription = stream.subscribe().value();
    stream.publish("sluice.ban", R"({"a":1})");
    stream.publish("sluice.auth", R"({"b":2})");
    EXPECT_EQ(
        taken(*subscription),
        "id: 7-1\nevent: sluice.ban\ndata: {\"a\":1}\n\nid: 7-2\nevent: sluice.auth\ndata: {\"b\":2}\n\n");
    EXPECT_EQ(taken(*subscription), "");
}

TEST(EventStream, WakesOnceUntilTaken) {
    EventStream stream{7};
    auto subscription = stream.subscribe().value();
    int wakes = 0;
    subscription->on_ready([&] { ++wakes; });
    stream.publish("d", "1");
    stream.publish("d", "2");
    EXPECT_EQ(wakes, 1);
    taken(*subscription);
    stream.publish("d", "3");
    EXPECT_EQ(wakes, 2);
}

TEST(EventStream, WakesAtOnceForWhatAlreadyWaits) {
    EventStream stream{7};
    auto subscription = stream.subscribe().value();
    stream.publish("d", "1");
    int wakes = 0;
    subscription->on_ready([&] { ++wakes; });
    EXPECT_EQ(wakes, 1);
}

TEST(EventStream, ASlowSubscriberLosesTheOldestAndIsTold) {
    EventStream stream{7, {.ring = 10, .subscribers = 2, .queue = 3}};
    auto subscription = stream.subscribe().value();
    for (int i = 1; i <= 10; ++i) stream.publish("d", std::to_string(i));
    const auto text = taken(*subscription);
    EXPECT_TRUE(text.starts_with("event: lost\ndata: {\"lost\":7}\n\nid: 7-8\n")) << text;
    EXPECT_NE(text.find("data: 10\n"), std::string::npos);
    stream.publish("d", "11");
    EXPECT_EQ(taken(*subscription), "id: 7-11\nevent: d\ndata: 11\n\n");
}

TEST(EventStream, GoesOnAfterTheLastEventSeen) {
    EventStream stream{7, {.ring = 4, .subscribers = 9, .queue = 100}};
    for (int i = 1; i <= 10; ++i) stream.publish("d", std::to_string(i));  // the ring: 7 to 10
    EXPECT_TRUE(taken(*stream.subscribe("7-8").value()).starts_with("id: 7-9\n"));
    EXPECT_EQ(taken(*stream.subscribe("7-10").value()), "");
    EXPECT_EQ(taken(*stream.subscribe("").value()), "");
    EXPECT_TRUE(taken(*stream.subscribe("7-6").value()).starts_with("id: 7-7\n"));
    EXPECT_TRUE(
        taken(*stream.subscribe("7-2").value()).starts_with("event: lost\ndata: {\"lost\":4}\n\nid: 7-7\n"));
    for (const auto* foreign : {"6-9", "x", "7-", "7-9x", "7-99999999999999999999999"})
        EXPECT_TRUE(taken(*stream.subscribe(foreign).value()).starts_with("id: 7-7\n")) << foreign;
}

TEST(EventStream, SubscribersAreBounded) {
    EventStream stream{7, {.ring = 1, .subscribers = 2, .queue = 1}};
    auto a = stream.subscribe().value();
    auto b = stream.subscribe().value();
    const auto refused = stream.subscribe();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
    a.reset();
    EXPECT_TRUE(stream.subscribe());
}

TEST(EventStream, ComingAndGoingWhileOthersPublish) {
    EventStream stream{7, {.ring = 16, .subscribers = 8, .queue = 16}};
    std::thread publisher{[&] {
        for (int i = 0; i < 20'000; ++i) stream.publish("d", "1");
    }};
    for (int i = 0; i < 2'000; ++i) {
        auto subscription = stream.subscribe("7-1").value();
        subscription->on_ready([] {});
        taken(*subscription);
    }
    publisher.join();
}

}  // namespace
}  // namespace sluice
