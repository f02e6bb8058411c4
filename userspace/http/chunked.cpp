#include "http/chunked.hpp"

#include <algorithm>

#include "http/characters.hpp"

namespace sluice::http {
namespace {

constexpr unsigned kMaxSizeDigits = 15;  // below 2^60: no sum overflows
// Of all extensions and trailers of one body. Nobody uses extensions, and without a bound they cost the
// reader work for data that never comes (CVE-2023-39326).
constexpr std::uint32_t kMaxOverhead = 8 * 1024;

}  // namespace

bool ChunkedDecoder::accept(char c) {
    switch (at_) {
        case At::kSize:
            if (is(c, kHexDigit)) {
                left_ = left_ * 16 + hex_value(c);
                return ++digits_ <= kMaxSizeDigits;
            }
            if (digits_ == 0) return false;
            at_ = c == '\r' ? At::kSizeLf : At::kExtension;
            return c == '\r' || c == ';';
        case At::kExtension:
            if (c == '\r') {
                at_ = At::kSizeLf;
                return true;
            }
            return is(c, kFieldValueChar) && ++overhead_ <= kMaxOverhead;
        case At::kSizeLf:
            at_ = left_ == 0 ? At::kTrailerStart : At::kData;
            return c == '\n';
        case At::kDataCr:
            at_ = At::kDataLf;
            return c == '\r';
        case At::kDataLf:
            at_ = At::kSize;
            left_ = 0;
            digits_ = 0;
            return c == '\n';
        case At::kTrailerStart:
            if (c == '\r') {
                at_ = At::kEndLf;
                return true;
            }
            at_ = At::kTrailerName;
            return is(c, kTokenChar) && ++overhead_ <= kMaxOverhead;
        case At::kTrailerName:
            if (c == ':') {
                at_ = At::kTrailerValue;
                return true;
            }
            return is(c, kTokenChar) && ++overhead_ <= kMaxOverhead;
        case At::kTrailerValue:
            if (c == '\r') {
                at_ = At::kTrailerLf;
                return true;
            }
            return is(c, kFieldValueChar) && ++overhead_ <= kMaxOverhead;
        case At::kTrailerLf:
            at_ = At::kTrailerStart;
            return c == '\n';
        case At::kEndLf:
            done_ = true;
            return c == '\n';
        case At::kData:
            break;
    }
    return false;
}

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view in) {
    Step step;
    if (at_ == At::kData) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
        step.data = in.substr(0, size);
        step.consumed = size;
        left_ -= size;
        if (left_ == 0) at_ = At::kDataCr;
        return step;
    }
    while (step.consumed < in.size() && at_ != At::kData) {
        if (!accept(in[step.consumed])) {
            step.state = State::kBad;
            return step;
        }
        ++step.consumed;
        if (done_) {
            step.state = State::kDone;
            return step;
        }
    }
    return step;
}

}  // namespace sluice::http
