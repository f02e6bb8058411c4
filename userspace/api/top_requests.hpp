// Who sends the most requests and who is refused the most, over the last one to two minutes. Each worker
// writes its own; the control thread reads them all.
#pragma once

#include <string>
#include <vector>

#include "api/space_saving.hpp"
#include "base/clock.hpp"
#include "base/guarded.hpp"
#include "base/ip_prefix.hpp"

namespace sluice {

class TopRequests {
  public:
    static constexpr std::size_t kPlaces =
        1024;  // of each kind; the error bound is 1/1024 of the interval's requests
    static constexpr Nanos kInterval = kMinute;

    struct Count {
        std::string name;  // a source or a user
        std::uint64_t requests = 0;
        std::uint64_t denials = 0;
        std::uint64_t error = 0;  // `requests` is at most this much too high
    };

    // The owning worker. `user` empty: anonymous. `now`: ledger_now().
    void record(const IpPrefix& source, const std::string& user, bool refused, Nanos now);

    // Adds this worker's counts to `sources` and `users`. Any thread.
    void collect(std::vector<Count>& sources, std::vector<Count>& users, Nanos now) const;

  private:
    struct Interval {
        SpaceSaving<IpPrefix> sources{kPlaces};
        SpaceSaving<std::string> users{kPlaces};
    };
    struct State {
        Interval current;
        Interval previous;
        Nanos began = 0;
    };
    Guarded<State> state_;
};

// Counts of the same name become one; sorted by requests or denials, at most `n`.
enum class RequestTopBy { kRequests, kDenials };
std::vector<TopRequests::Count> merge_top(std::vector<TopRequests::Count> counts, RequestTopBy by,
                                          std::size_t n);

}  // namespace sluice
