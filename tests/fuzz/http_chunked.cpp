// A chunked body decodes to the same bytes however it is cut. The first byte says how.
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/expect.hpp"
#include "http/chunked.hpp"

namespace {

using sluice::http::ChunkedDecoder;

struct Decoded {
    ChunkedDecoder::State state = ChunkedDecoder::State::kMore;
    std::size_t consumed = 0;
    std::string data;
};

Decoded decode(std::string_view text, std::size_t piece) {
    ChunkedDecoder decoder;
    Decoded result;
    while (result.consumed < text.size() && result.state == ChunkedDecoder::State::kMore) {
        const auto step = decoder.next(text.substr(result.consumed, piece));
        SLUICE_EXPECT(step.consumed <= piece && step.data.size() <= step.consumed);
        SLUICE_EXPECT(step.consumed > 0 || step.state != ChunkedDecoder::State::kMore);
        result.consumed += step.consumed;
        result.data += step.data;
        result.state = step.state;
    }
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    const Decoded whole = decode(text, std::string_view::npos);
    const Decoded pieces = decode(text, 1U + data[0] % 7U);
    SLUICE_EXPECT(whole.state == pieces.state);
    SLUICE_EXPECT(whole.data == pieces.data);
    SLUICE_EXPECT(whole.state != ChunkedDecoder::State::kDone || whole.consumed == pieces.consumed);
    return 0;
}
