// Durations, printable text, tables, server-sent events: the small pure parts of sluicectl.
#include <gtest/gtest.h>

#include <sstream>

#include "cli/duration_text.hpp"
#include "cli/exit_code.hpp"
#include "cli/printable.hpp"
#include "cli/sse_reader.hpp"
#include "cli/text_table.hpp"

namespace sluice {
namespace {

TEST(Duration, ParsesNumbersWithUnits) {
    EXPECT_EQ(parse_duration_s("90s").value(), 90);
    EXPECT_EQ(parse_duration_s("10m").value(), 600);
    EXPECT_EQ(parse_duration_s("1h30m").value(), 5400);
    EXPECT_EQ(parse_duration_s("2d").value(), 172'800);
    EXPECT_EQ(parse_duration_s("1d1h1m1s").value(), 90'061);
    EXPECT_EQ(parse_duration_s("366d").value(), 366 * 86'400);
}

TEST(Duration, RefusesWhatCouldMeanTwoThings) {
    for (const auto* text : {"", "10", "m", "1m1h", "1m1m", "-1m", "1.5h", "10 m", "0s", "367d", "10min",
                             "1h ", "+1h", "99999999999999999999s", "4294967296s"}) {
        const auto parsed = parse_duration_s(text);
        EXPECT_FALSE(parsed) << text;
        EXPECT_TRUE(parsed || parsed.error().message.find("90s, 10m") != std::string::npos) << text;
    }
}

TEST(Duration, FormatsTheTwoLargestUnits) {
    EXPECT_EQ(format_duration_s(0), "0s");
    EXPECT_EQ(format_duration_s(173), "2m53s");
    EXPECT_EQ(format_duration_s(3600), "1h");
    EXPECT_EQ(format_duration_s(3661), "1h1m");
    EXPECT_EQ(format_duration_s(3601), "1h");
    EXPECT_EQ(format_duration_s(277'200), "3d5h");
    EXPECT_EQ(format_duration_s(-5), "0s");
}

TEST(Printable, KeepsText) {
    EXPECT_EQ(printable("ai_openai /api/ü €𝄞 ~"), "ai_openai /api/ü €𝄞 ~");
    EXPECT_EQ(printable(""), "");
}

TEST(Printable, ShowsWhatATerminalWouldObey) {
    EXPECT_EQ(printable("\x1b[2J"), "\\x1b[2J");
    EXPECT_EQ(printable("a\nb\tc\r"), "a\\x0ab\\x09c\\x0d");
    EXPECT_EQ(printable(std::string_view{"\0\x7f", 2}), "\\x00\\x7f");
    EXPECT_EQ(printable("\xc2\x9b"), "\\u{009b}") << "C1: the one-byte escape sequence introducer";
    EXPECT_EQ(printable("\xe2\x80\xae"
                        "abc"),
              "\\u{202e}abc")
        << "right-to-left override";
    EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u{2028}");
}

TEST(Printable, ShowsInvalidUtf8ByteByByte) {
    EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
    EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
    EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf") << "overlong";
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
    EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut off";
}

TEST(Printable, NeverLeavesAControlCharacterWhateverTheBytes) {
    for (unsigned first = 0; first < 256; ++first)
        for (unsigned second = 0; second < 256; ++second) {
            const std::string text{static_cast<char>(first), static_cast<char>(second)};
            for (const char c : printable(text)) {
                const auto byte = static_cast<unsigned char>(c);
                ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << first << " " << second;
            }
        }
}

TEST(Printable, LinesKeepTheirEnds) {
    EXPECT_EQ(printable_lines("a:\n\tb\r\n\x1b"), "a:\n\tb\\x0d\n\\x1b");
}

TEST(TextTable, AlignsByCharactersNotBytes) {
    TextTable table{{"NAME", ">COUNT"}};
    table.add({{"ä"}, {"7"}});
    table.add({{"long name"}, {"1234567"}});
    std::ostringstream out;
    table.print(out, false);
    EXPECT_EQ(out.str(),
              "NAME         COUNT\n"
              "ä                7\n"
              "long name  1234567\n");
}

TEST(TextTable, ColoursDoNotMoveColumns) {
    TextTable table{{"A", "B"}};
    table.add({{"xx", Colour::kBad}, {"y"}});
    std::ostringstream out;
    table.print(out, true);
    EXPECT_EQ(out.str(), "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[31mxx\x1b[0m  y\n");
}

TEST(SseReader, GivesTheDataOfEachEvent) {
    SseReader reader;
    EXPECT_EQ(reader.feed("id: 1\nevent: x\ndata: {\"a\":1}\n\n: comment\n\ndata:two\ndata: lines\n\n"),
              (std::vector<std::string>{"{\"a\":1}", "two\nlines"}));
}

TEST(SseReader, DoesNotCareHowTheBytesAreCut) {
    const std::string stream = "data: one\r\n\r\nretry: 5\ndata: two\n\n";
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        SseReader reader;
        auto events = reader.feed(stream.substr(0, cut));
        for (auto& event : reader.feed(stream.substr(cut))) events.push_back(std::move(event));
        EXPECT_EQ(events, (std::vector<std::string>{"one", "two"})) << cut;
    }
}

TEST(SseReader, DropsALineWithoutEnd) {
    SseReader reader;
    EXPECT_TRUE(reader.feed("data: " + std::string(2U << 20, 'x')).empty());
    EXPECT_EQ(reader.feed("\n\ndata: next\n\n"), std::vector<std::string>{"next"});
}

TEST(ExitCode, OfAnAnswer) {
    EXPECT_EQ(exit_code_of_http(200), ExitCode::kOk);
    EXPECT_EQ(exit_code_of_http(201), ExitCode::kOk);
    EXPECT_EQ(exit_code_of_http(400), ExitCode::kInvalid);
    EXPECT_EQ(exit_code_of_http(401), ExitCode::kNotPermitted);
    EXPECT_EQ(exit_code_of_http(403), ExitCode::kNotPermitted);
    EXPECT_EQ(exit_code_of_http(404), ExitCode::kNotFound);
    EXPECT_EQ(exit_code_of_http(409), ExitCode::kConflict);
    EXPECT_EQ(exit_code_of_http(412), ExitCode::kConflict);
    EXPECT_EQ(exit_code_of_http(422), ExitCode::kInvalid);
    EXPECT_EQ(exit_code_of_http(500), ExitCode::kFailed);
    EXPECT_EQ(exit_code_of_http(302), ExitCode::kFailed);
}

TEST(ExitCode, NumbersAreThePublishedOnes) {
    int expected = 0;
    for (const auto& [code, meaning] : exit_code_meanings())
        EXPECT_EQ(static_cast<int>(code), expected++) << meaning;
    EXPECT_EQ(expected, 8);
}

}  // namespace
}  // namespace sluice
