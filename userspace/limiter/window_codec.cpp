// A KeyWindow as bytes, for the ledger:
//   u8 version · u8 shift · i64 window_ns · i64 base_tick · varint runs · (varint tick step · varint count)…
//   · u32 XXH32
// Integers in the host's order: a ledger does not move between architectures.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "limiter/window.hpp"

namespace sluice {
namespace {

constexpr std::uint8_t kVersion = 1;

template <class T>
void put(std::string& out, const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_varint(std::string& out, std::uint32_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

// Takes from the front of the bytes; once something is missing, everything is.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    template <class T>
    T get() {
        T value{};
        if (bytes_.size() < sizeof value) {
            ok_ = false;
            return value;
        }
        std::memcpy(&value, bytes_.data(), sizeof value);
        bytes_.remove_prefix(sizeof value);
        return value;
    }
    std::uint32_t get_varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 35; shift += 7) {
            const auto byte = get<std::uint8_t>();
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if ((byte & 0x80) == 0) {
                ok_ = ok_ && value <= UINT32_MAX;
                return static_cast<std::uint32_t>(value);
            }
        }
        ok_ = false;
        return 0;
    }
    bool ok() const { return ok_; }
    bool at_end() const { return ok_ && bytes_.empty(); }

  private:
    std::string_view bytes_;
    bool ok_ = true;
};

std::uint32_t checksum(const char* data, std::size_t size) {
    return XXH32(data, size, kVersion);
}

// Times beyond this (the year 2116) are not ours; the bound keeps the arithmetic from overflowing.
constexpr Nanos kLongest = INT64_MAX / 2;

}  // namespace

void KeyWindow::serialise(std::string& out) const {
    const std::size_t start = out.size();
    put(out, kVersion);
    put(out, static_cast<std::uint8_t>(shift()));
    put(out, window_ns_);
    put(out, base_tick_);
    put_varint(out, size_);
    std::uint32_t previous = 0;
    for (std::size_t i = 0; i < size_; ++i) {
        put_varint(out, run(i).tick - previous);
        put_varint(out, run(i).count);
        previous = run(i).tick;
    }
    put(out, checksum(out.data() + start, out.size() - start));
}

std::optional<KeyWindow> KeyWindow::restore(const KeyHash& key, std::string_view bytes, Nanos shift_ns) {
    std::uint32_t sum_of_bytes = 0;
    if (bytes.size() < sizeof sum_of_bytes) return std::nullopt;
    const std::size_t body = bytes.size() - sizeof sum_of_bytes;
    std::memcpy(&sum_of_bytes, bytes.data() + body, sizeof sum_of_bytes);
    if (checksum(bytes.data(), body) != sum_of_bytes) return std::nullopt;

    Reader in{bytes.substr(0, body)};
    const auto version = in.get<std::uint8_t>();
    const auto shift = in.get<std::uint8_t>();
    const auto window_ns = in.get<Nanos>();
    const auto base_tick = in.get<std::int64_t>();
    const std::uint32_t size = in.get_varint();
    if (!in.ok() || version != kVersion || window_ns <= 0 || window_ns > kLongest || size > kMaxRuns ||
        base_tick < 0 || shift_ns > kLongest || shift_ns < -kLongest) {
        return std::nullopt;
    }
    KeyWindow window{key};
    window.window_ns_ = window_ns;
    if (shift != window.shift() || base_tick > (kLongest >> shift)) return std::nullopt;
    // Rounded up to a tick, as every time here.
    const Nanos base = (base_tick << shift) + shift_ns;
    window.base_tick_ = (base + ((std::int64_t{1} << shift) - 1)) >> shift;
    while (window.capacity() < size) {
        if (!window.grow()) return std::nullopt;
    }
    std::uint64_t tick = 0;
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < size; ++i) {
        tick += in.get_varint();
        const std::uint32_t count = in.get_varint();
        sum += count;
        window.append({.tick = static_cast<std::uint32_t>(tick), .count = count});
    }
    if (!in.at_end() || tick > UINT32_MAX || sum > UINT32_MAX) return std::nullopt;
    window.sum_ = static_cast<std::uint32_t>(sum);
    return window;
}

}  // namespace sluice
