// The limiter of the XDP program on any limit and any sequence of charges, against the model, whose numbers do not
// wrap: clock, verdict and arrival time must be the same, and so must the ban rule's count of drops.
#include <cstdint>
#include <cstring>

#include "fuzz/expect.hpp"
#include "kernel/bpf_arithmetic.hpp"
#include "model/walk_model.hpp"

namespace {

using namespace sluice;

// Numbers from the input, zeros when it is over.
class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : data_{data}, left_{size} {}
    bool over() const { return left_ == 0; }
    template <class T>
    T take() {
        T value{};
        const std::size_t bytes = left_ < sizeof value ? left_ : sizeof value;
        if (bytes != 0) std::memcpy(&value, data_, bytes);
        data_ += bytes;
        left_ -= bytes;
        return value;
    }

  private:
    const std::uint8_t* data_;
    std::size_t left_;
};

constexpr std::uint64_t kTag = 0xabcde7;
constexpr std::uint64_t kTurn = std::uint64_t{1} << 40;  // units after which a word's time comes round
constexpr Nanos kOneYear = Nanos{1} << 55;               // the model counts 256 units a nanosecond in 64 bits

sluice_limit image_of(const model::Pace& pace, std::uint64_t unit, std::uint64_t depth) {
    sluice_limit limit{};
    limit.multiplier = pace.multiplier;
    limit.shift = static_cast<__u8>(pace.shift);
    limit.unit = static_cast<__u16>(unit);
    limit.depth = depth << SLUICE_TAG_BITS;
    return limit;
}

std::uint64_t time_of(std::uint64_t word) {
    return word >> SLUICE_TAG_BITS;
}

// Nothing that kernel/kernel_plan.cpp would refuse.
PacketLimit limit_from(Input& input) {
    PacketLimit limit;
    limit.count = input.take<std::uint8_t>() % 2 == 0 ? PacketCount::kPackets : PacketCount::kBytes;
    limit.rate.count = 1 + input.take<std::uint64_t>() % 100'000'000'000;
    limit.rate.window =
        1 + static_cast<Nanos>(input.take<std::uint64_t>() % static_cast<std::uint64_t>(30 * kDay));
    if (limit.rate.count / 256 > static_cast<std::uint64_t>(limit.rate.window)) limit.rate.window = kSecond;
    limit.burst = 1 + input.take<std::uint64_t>() % (std::uint64_t{1} << 37);
    return limit;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    const PacketLimit limit = limit_from(input);
    const model::Gcra gcra{limit};
    const sluice_limit image = image_of(gcra.pace, gcra.unit, gcra.depth);
    const Nanos within =
        kMillisecond + static_cast<Nanos>(input.take<std::uint64_t>() % static_cast<std::uint64_t>(kDay));
    const model::Pace parts{std::uint64_t{1} << 28, within};
    const sluice_limit drops = image_of(parts, 1, std::uint64_t{1} << 28);

    Nanos now = static_cast<Nanos>(input.take<std::uint64_t>() % static_cast<std::uint64_t>(kOneYear));
    const std::uint64_t began = gcra.pace.at(now), drops_began = parts.at(now);
    std::uint64_t arrival = began;
    __u64 word = sluice_time(&image, static_cast<std::uint64_t>(now)) | kTag;
    __u64 dropped =
        sluice_first_drop(kTag, sluice_time(&drops, static_cast<std::uint64_t>(now)), drops.depth);
    std::uint64_t window_ends = (drops_began >> 20) + 256, count = 1;
    while (!input.over()) {
        now +=
            static_cast<Nanos>(std::uint64_t{input.take<std::uint16_t>()} << input.take<std::uint8_t>() % 40);
        if (now >= kOneYear) return 0;
        const std::uint64_t units_now = gcra.pace.at(now);
        if (units_now - began >= kTurn / 2 || parts.at(now) - drops_began >= kTurn / 2) return 0;
        const __u64 word_now = sluice_time(&image, static_cast<std::uint64_t>(now));
        SLUICE_EXPECT(time_of(word_now) == units_now % kTurn);

        const std::uint64_t charged =
            limit.count == PacketCount::kBytes ? 1 + input.take<std::uint16_t>() : 1;
        const std::uint64_t cost = charged * gcra.unit;
        const std::uint64_t from = arrival > units_now ? arrival : units_now;
        const bool within_limit = from + cost - units_now <= gcra.depth;
        if (within_limit) arrival = from + cost;
        __u64 retries = 0;
        const bool admitted = sluice_gcra(&word, kTag, word_now, sluice_cost(&image, charged), image.depth,
                                          &retries) == SLUICE_WITHIN;
        SLUICE_EXPECT(retries == 0);
        SLUICE_EXPECT(admitted == within_limit);
        SLUICE_EXPECT((word & SLUICE_TAG_MASK) == kTag);
        SLUICE_EXPECT(time_of(word) == arrival % kTurn);
        if (admitted) continue;

        if (count + 2 >= SLUICE_DROPS_MASK) return 0;  // a ban rule's count ends before
        const std::uint64_t part = parts.at(now) >> 20;
        if (window_ends <= part) {
            window_ends = part + 256;
            count = 0;
        }
        ++count;
        const __u64 drops_now = sluice_time(&drops, static_cast<std::uint64_t>(now));
        SLUICE_EXPECT(sluice_count_one_drop(&dropped, kTag, drops_now, drops.depth) == count);
    }
    return 0;
}
