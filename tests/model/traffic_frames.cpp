// The frames of model/traffic.hpp: mostly what a network carries, some of it bent.
#include <algorithm>

#include "model/traffic.hpp"

namespace sluice::model {
namespace {

constexpr std::size_t kShortest = 14;  // what the kernel's test run takes

class Writer {
  public:
    Writer(const Scenario& scenario, Random& random) : scenario_{scenario}, random_{random} {
        frame_.reserve(256);
    }

    std::vector<std::uint8_t> write() {
        put(12, [&] { return byte(); });
        // Tags: rarely one, more rarely two, hardly ever more than are read.
        for (int tags = 0; tags < 3 && random_.one_in(8); ++tags) {
            word(random_.one_in(3) ? 0x88a8 : 0x8100);
            word(byte());
        }
        if (random_.one_in(40))
            other_protocol();
        else if (const IpAddress source = choose_source(); source.is_v4())
            ipv4(source);
        else
            ipv6(source);
        if (random_.one_in(12)) bend();
        return std::move(frame_);
    }

  private:
    std::uint8_t byte() { return static_cast<std::uint8_t>(random_.next() >> 17); }
    void put(std::size_t count, auto next) {
        for (std::size_t i = 0; i < count; ++i) frame_.push_back(next());
    }
    void word(std::uint64_t value) {
        frame_.push_back(static_cast<std::uint8_t>(value >> 8));
        frame_.push_back(static_cast<std::uint8_t>(value));
    }
    void set_word(std::size_t at, std::uint64_t value) {
        frame_[at] = static_cast<std::uint8_t>(value >> 8);
        frame_[at + 1] = static_cast<std::uint8_t>(value);
    }

    IpAddress choose_source() {
        // A few send most; now and then a neighbour, whose address differs in one bit, or a stranger.
        const auto& sources = scenario_.sources;
        IpAddress source = sources[random_.one_in(2) ? random_.below(std::min<std::size_t>(sources.size(), 3))
                                                     : random_.below(sources.size())];
        if (!random_.one_in(400)) return source;
        auto bytes = source.bytes();
        if (random_.one_in(2)) {
            const bool v4 = source.is_v4();
            const auto bit = random_.below(v4 ? 32 : 128) + (v4 ? 96 : 0);
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (0x80 >> bit % 8));
        } else {
            for (std::size_t i = source.is_v4() ? 12 : 0; i < bytes.size(); ++i) bytes[i] = byte();
        }
        return IpAddress::from_v6(bytes);
    }

    void other_protocol() {
        word(random_.of(
            {std::uint64_t{0x0806}, std::uint64_t{0x88cc}, std::uint64_t{46}, random_.below(0x10000)}));
        put(random_.below(60), [&] { return byte(); });
    }

    std::uint8_t choose_protocol(bool v4) {
        const std::uint8_t icmp = v4 ? 1 : 58;
        const std::uint8_t common[] = {6, 6, 6, 17, 17, icmp};
        const std::uint8_t rare[] = {1, 58, 2, 41, 47, 50, 59, 132, byte()};
        return random_.one_in(30) ? random_.of(rare) : random_.of(common);
    }

    // Offset and flags as in IPv4; 0 for what is not a fragment.
    std::uint64_t choose_fragment() {
        if (!random_.one_in(10)) return 0;
        return (random_.one_in(2) ? 0 : random_.below(0x2000)) | (random_.one_in(2) ? 0x2000 : 0);
    }

    void ipv4(const IpAddress& source) {
        word(0x0800);
        const std::size_t at = frame_.size();
        const std::size_t options = random_.one_in(12) ? random_.below(11) : 0;
        const std::uint64_t fragment = choose_fragment() | (random_.one_in(4) ? 0x4000 : 0);
        const std::uint8_t protocol = choose_protocol(true);
        frame_.push_back(static_cast<std::uint8_t>(0x45 + options));
        frame_.push_back(byte());
        word(0);
        word(byte());
        word(fragment);
        frame_.push_back(64);
        frame_.push_back(protocol);
        word(byte());
        for (const std::uint8_t b : source.v4_bytes()) frame_.push_back(b);
        put(4 + 4 * options, [&] { return byte(); });
        transport(protocol, (fragment & 0x1fff) != 0);
        set_word(at + 2, frame_.size() - at);
        pad();
    }

    void ipv6(const IpAddress& source) {
        word(0x86dd);
        const std::size_t at = frame_.size();
        put(8, [&] { return byte(); });
        frame_[at] = 0x60;
        if (random_.one_in(4)) frame_[at + 7] = 255;
        for (const std::uint8_t b : source.bytes()) frame_.push_back(b);
        put(16, [&] { return byte(); });
        std::size_t next_at = at + 6;
        bool later = false;
        // Mostly none; as many as are read, or one more, come up too.
        const std::uint64_t extensions = random_.one_in(5) ? random_.below(9) : 0;
        for (std::uint64_t i = 0; i < extensions && !later; ++i) {
            const std::uint8_t type = random_.of(
                {std::uint8_t{0}, std::uint8_t{43}, std::uint8_t{60}, std::uint8_t{51}, std::uint8_t{44}});
            frame_[next_at] = type;
            next_at = frame_.size();
            if (type == 44) {
                const std::uint64_t fragment = choose_fragment();
                later = (fragment & 0x1fff) != 0;
                word(random_.below(
                    256));  // the byte of "next", then one that is reserved and may hold anything
                word((fragment & 0x1fff) << 3 | (random_.one_in(8) ? 6 : 0) | (fragment >> 13 & 1));
                put(4, [&] { return byte(); });
                continue;
            }
            const std::uint64_t extra = random_.one_in(60) ? random_.below(256) : random_.below(3);
            frame_.push_back(0);
            frame_.push_back(static_cast<std::uint8_t>(extra));
            put((type == 51 ? (extra + 2) * 4 : (extra + 1) * 8) - 2, [&] { return byte(); });
        }
        const std::uint8_t protocol = choose_protocol(false);
        frame_[next_at] = protocol;
        transport(protocol, later);
        set_word(at + 4, frame_.size() - at - 40);
        pad();
    }

    void payload() {
        // Ends a packet where a page, less what the kernel's test run takes of it, does.
        if (constexpr std::size_t kOneBuffer = 3520; random_.one_in(4000) && frame_.size() < kOneBuffer) {
            frame_.resize(kOneBuffer);
            return;
        }
        // Small for most, up to what a link carries for some; rarely a jumbo frame in several buffers.
        const std::uint64_t most = random_.one_in(6) ? random_.one_in(60) ? 9000 : 1400 : 40;
        frame_.resize(frame_.size() + random_.below(most));
    }

    void transport(std::uint8_t protocol, bool later_fragment) {
        if (later_fragment) return payload();
        const std::size_t at = frame_.size();
        const std::uint16_t port =
            random_.one_in(20) ? static_cast<std::uint16_t>(random_.next()) : random_.of(scenario_.ports);
        word(byte());
        word(port);
        if (protocol == 6) {
            put(8, [&] { return byte(); });
            const std::uint64_t options = random_.one_in(3) ? random_.below(11) : 0;
            frame_.push_back(static_cast<std::uint8_t>((5 + options) << 4));
            frame_.push_back(random_.one_in(3) ? 0x02 : byte());
            put(6 + 4 * options, [&] { return byte(); });
            payload();
        } else if (protocol == 17) {
            word(0);
            word(byte());
            payload();
            set_word(at + 4, frame_.size() - at);
        } else {
            put(4, [&] { return byte(); });
            frame_[at] = static_cast<std::uint8_t>(random_.one_in(2) ? 128 + random_.below(12) : byte());
            payload();
        }
    }

    void pad() {
        if (random_.one_in(frame_.size() > 3000 ? 2 : 10))
            frame_.resize(frame_.size() + random_.below(random_.one_in(50) ? 5000 : 24));
    }

    // Cut off, bytes changed, a length off by a little.
    void bend() {
        switch (random_.below(3)) {
            case 0:
                frame_.resize(std::max(kShortest, random_.below(frame_.size() + 1)));
                break;
            case 1:
                for (std::uint64_t changes = 1 + random_.below(3); changes != 0; --changes)
                    frame_[random_.below(std::min<std::size_t>(frame_.size(), 90))] = byte();
                break;
            default:
                const std::size_t at = 12 + random_.below(std::min<std::size_t>(frame_.size() - 12, 70));
                frame_[at] = static_cast<std::uint8_t>(frame_[at] + random_.below(9) - 4);
        }
    }

    const Scenario& scenario_;
    Random& random_;
    std::vector<std::uint8_t> frame_;
};

}  // namespace

std::vector<std::uint8_t> Scenario::frame(std::uint64_t i) const {
    Random random{seed ^ (i + 1) * 0xd1342543de82ef95ULL};
    return Writer{*this, random}.write();
}

}  // namespace sluice::model
