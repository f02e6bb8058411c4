#include "policy/units.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Units, RatesAreReadAndWrittenInTheirShortestForm) {
    for (const auto& [text, count, window, written] : {std::tuple{"1000/h", 1000, kHour, "1000/h"},
                                                       {"100/s", 100, kSecond, "100/s"},
                                                       {"1/2s", 1, 2 * kSecond, "1/2s"},
                                                       {"20/15m", 20, 15 * kMinute, "20/15m"},
                                                       {"5/1d", 5, kDay, "5/d"},
                                                       {"60/60m", 60, kHour, "60/h"}}) {
        const auto rate = parse_rate(text);
        ASSERT_TRUE(rate) << text;
        EXPECT_EQ(*rate, (Rate{static_cast<std::uint64_t>(count), window})) << text;
        EXPECT_EQ(to_string(*rate), written);
    }
}

TEST(Units, RefusesWhatIsNotARate) {
    for (const auto* text : {"",
                             "/",
                             "1/",
                             "/s",
                             "0/s",
                             "1/0s",
                             "-1/s",
                             "+1/s",
                             "1.5/s",
                             " 1/s",
                             "1/s ",
                             "1 /s",
                             "01/s",
                             "1/ s",
                             "1/w",
                             "1/S",
                             "1/ms",
                             "1/s/s",
                             "1k/s",
                             "0x1/s",
                             "18446744073709551616/s",
                             "1/9999999999999d",
                             "1"})
        EXPECT_FALSE(parse_rate(text)) << text;
}

TEST(Units, Durations) {
    EXPECT_EQ(parse_duration("60s"), kMinute);
    EXPECT_EQ(parse_duration("0s"), 0);
    EXPECT_EQ(parse_duration("7d"), 7 * kDay);
    for (const auto* text : {"", "s", "60", "1h30m", "-1s", "1.5h", "060s", "106752d"})
        EXPECT_FALSE(parse_duration(text)) << text;
    EXPECT_EQ(format_duration(90 * kSecond), "90s");
    EXPECT_EQ(format_duration(48 * kHour), "2d");
    EXPECT_EQ(format_duration(0), "0s");
    EXPECT_EQ(format_duration(250 * kMillisecond), "250ms");
    EXPECT_EQ(format_duration(7), "7ns");
}

}  // namespace
}  // namespace sluice
