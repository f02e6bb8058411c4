// The chunked transfer coding (RFC 9112 §7.1), decoded strictly and without buffering. Pure.
//
// Chunk extensions and trailers are checked and dropped: nothing behind the gateway may act on a field that
// came after its request was judged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::http {

class ChunkedDecoder {
  public:
    enum class State : std::uint8_t { kMore, kDone, kBad };

    struct Step {
        State state = State::kMore;
        std::size_t consumed = 0;  // bytes of `in` that are done with
        std::string_view data;     // decoded bytes among them; a view into `in`
    };

    // Takes one piece off `in`: a part of a line, or of a chunk's data. Call again with what is left until it
    // is empty (kMore), the body has ended (kDone) or is not valid (kBad; not to be called again until
    // reset()).
    Step next(std::string_view in);
    void reset() { *this = ChunkedDecoder{}; }

  private:
    enum class At : std::uint8_t {
        kSize,
        kExtension,
        kSizeLf,
        kData,
        kDataCr,
        kDataLf,
        kTrailerStart,
        kTrailerName,
        kTrailerValue,
        kTrailerLf,
        kEndLf,
    };
    bool accept(char c);

    At at_ = At::kSize;
    std::uint64_t left_ = 0;      // of the chunk's data; while in kSize: its value so far
    unsigned digits_ = 0;         // of the chunk's size
    std::uint32_t overhead_ = 0;  // bytes of extensions and trailers so far
    bool done_ = false;
};

}  // namespace sluice::http
