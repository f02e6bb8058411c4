#include "http/chunked.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::http {
namespace {

using State = ChunkedDecoder::State;
using namespace std::string_literals;

struct Decoded {
    State state = State::kMore;
    std::string data;
    std::size_t consumed = 0;
};

// Decodes with the input arriving in pieces of `piece` bytes.
Decoded decode(std::string_view text, std::size_t piece) {
    ChunkedDecoder decoder;
    Decoded all;
    std::size_t arrived = 0;
    while (all.state == State::kMore && arrived < text.size()) {
        arrived = std::min(arrived + piece, text.size());
        while (all.consumed < arrived && all.state == State::kMore) {
            const auto step = decoder.next(text.substr(all.consumed, arrived - all.consumed));
            all.state = step.state;
            all.data.append(step.data);
            all.consumed += step.consumed;
        }
    }
    return all;
}

TEST(Chunked, DecodesInPiecesOfEverySize) {
    const std::string text =
        "4\r\nWiki\r\n6;ext=1\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nX-Trailer: a\r\n\r\nNEXT";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        const auto decoded = decode(text, piece);
        EXPECT_EQ(decoded.state, State::kDone) << piece;
        EXPECT_EQ(decoded.data, "Wikipedia in \r\n\r\nchunks.") << piece;
        EXPECT_EQ(decoded.consumed, text.size() - 4) << piece;
    }
}

TEST(Chunked, EmptyBody) {
    EXPECT_EQ(decode("0\r\n\r\n", 100).state, State::kDone);
}

TEST(Chunked, RefusesHostileCoding) {
    const std::pair<const char*, std::string> cases[] = {
        {"no size", "\r\nabc"},
        {"negative", "-1\r\n"},
        {"plus", "+1\r\n"},
        {"0x", "0x1\r\n"},
        {"blank before size", " 1\r\n"},
        {"blank after size", "1 \r\na\r\n"},
        {"tab after size", "1\t\r\na\r\n"},
        {"bare LF after size", "1\na\r\n"},
        {"bare LF after data", "1\r\na\n"},
        {"data longer than size", "1\r\nab\r\n"},
        {"size overflow", "10000000000000000\r\n"},
        {"many zeros", std::string(64, '0') + "\r\n\r\n"},
        {"bare CR in extension", "1;a\rb\r\n"},
        {"bare LF in extension", "1;a\nb\r\n"},
        {"NUL in extension", "1;a\0b\r\n"s},
        {"long extension", "1;" + std::string(9000, 'a')},
        {"trailer without colon", "0\r\nabc\r\n\r\n"},
        {"trailer with blank", "0\r\nX : y\r\n\r\n"},
        {"folded trailer", "0\r\nX: y\r\n z\r\n\r\n"},
        {"trailer with bare LF", "0\r\nX: y\n\r\n"},
        {"long trailer", "0\r\nX: " + std::string(9000, 'a')},
        {"bad end", "0\r\n\rX"},
        {"letter", "g\r\n"},
    };
    for (const auto& [name, text] : cases) {
        EXPECT_EQ(decode(text, text.size()).state, State::kBad) << name;
        EXPECT_EQ(decode(text, 1).state, State::kBad) << name;
    }
}

TEST(Chunked, ExtensionsAreBoundedOverTheWholeBody) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += "1;" + std::string(60, 'e') + "\r\na\r\n";
    EXPECT_EQ(decode(text, text.size()).state, State::kBad);
}

TEST(Chunked, CutOffIsNotDone) {
    const std::string text = "3\r\nabc\r\n0\r\n\r\n";
    for (std::size_t length = 0; length < text.size(); ++length) {
        EXPECT_EQ(decode(std::string_view{text}.substr(0, length), 1).state, State::kMore) << length;
    }
}

}  // namespace
}  // namespace sluice::http
