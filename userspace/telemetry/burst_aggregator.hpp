// Keeps a flood out of the log without hiding a single refusal: the first of a kind is written at once, the
// others of the next ten seconds are counted and told in one summary. Pure; time is a parameter; one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"

namespace sluice {

class BurstAggregator {
  public:
    static constexpr Nanos kInterval = 10 * kSecond;

    struct Summary {
        std::optional<IpAddress> client;  // none: clients that found no place of their own
        std::string what;
        std::uint64_t count = 0;  // at least 1; without those for which record() said true
        Nanos first = 0;
        Nanos last = 0;
    };

    // At most `capacity` kinds at a time; the others share one place for each `what` (16 of those, then one).
    explicit BurstAggregator(std::size_t capacity = 4096) : capacity_(capacity) {}

    // One refusal of `client` for `what` (the limit's name, the reason). True: write it; false: it is
    // counted. The sum of true answers and of the summaries' counts is the number of calls.
    bool record(const IpAddress& client, std::string_view what, Nanos now);
    // Summaries of the intervals that ended by `now`; call about once a second. A kind that was quiet for a
    // whole interval is forgotten, and its next refusal is written at once again.
    std::vector<Summary> due(Nanos now);
    // Everything counted so far, for shutdown. Forgets all.
    std::vector<Summary> drain();

  private:
    struct KeyView {
        std::optional<IpAddress> client;
        std::string_view what;
    };
    struct Key {
        std::optional<IpAddress> client;
        std::string what;
        operator KeyView() const { return {client, what}; }
    };
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(const KeyView& key) const;
    };
    struct Equal {
        using is_transparent = void;
        bool operator()(const KeyView& a, const KeyView& b) const {
            return a.client == b.client && a.what == b.what;
        }
    };
    struct Burst {
        std::uint64_t count = 0;
        Nanos first = 0;
        Nanos last = 0;
    };
    struct Due {
        Nanos at;
        Key key;
    };
    using Bursts = std::unordered_map<Key, Burst, Hash, Equal>;

    enum class Outcome { kBegan, kCounted, kFull };
    Outcome try_record(const KeyView& key, std::size_t capacity, Nanos now);
    static Summary to_summary(const Key& key, const Burst& burst);

    std::size_t capacity_;
    Bursts bursts_;
    std::deque<Due> due_;  // ascending, as every interval is equally long
};

}  // namespace sluice
