#include "api/top_requests.hpp"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

std::string name_of(const IpPrefix& source) {
    return source.to_string();
}
const std::string& name_of(const std::string& user) {
    return user;
}

template <class Key>
void append(const SpaceSaving<Key>& top, std::vector<TopRequests::Count>& out) {
    for (const auto& entry : top.entries())
        out.push_back({name_of(entry.key), entry.count, entry.marked, entry.error});
}

}  // namespace

void TopRequests::record(const IpPrefix& source, const std::string& user, bool refused, Nanos now) {
    state_.with([&](State& state) {
        if (now - state.began >= kInterval) {
            std::swap(state.current, state.previous);
            // After a quiet time the interval before last is too old to be shown.
            if (now - state.began >= 2 * kInterval) {
                state.previous.sources.clear();
                state.previous.users.clear();
            }
            state.current.sources.clear();
            state.current.users.clear();
            state.began = now;
        }
        state.current.sources.add(source, refused);
        if (!user.empty()) state.current.users.add(user, refused);
    });
}

void TopRequests::collect(std::vector<Count>& sources, std::vector<Count>& users, Nanos now) const {
    state_.with([&](const State& state) {
        const Nanos age = now - state.began;
        if (age < 2 * kInterval) {
            append(state.current.sources, sources);
            append(state.current.users, users);
        }
        if (age < kInterval) {
            append(state.previous.sources, sources);
            append(state.previous.users, users);
        }
    });
}

std::vector<TopRequests::Count> merge_top(std::vector<TopRequests::Count> counts, RequestTopBy by,
                                          std::size_t n) {
    std::ranges::sort(counts, {}, &TopRequests::Count::name);
    std::vector<TopRequests::Count> merged;
    for (TopRequests::Count& count : counts) {
        if (merged.empty() || merged.back().name != count.name) {
            merged.push_back(std::move(count));
            continue;
        }
        merged.back().requests += count.requests;
        merged.back().denials += count.denials;
        merged.back().error += count.error;
    }
    const auto weight =
        by == RequestTopBy::kRequests ? &TopRequests::Count::requests : &TopRequests::Count::denials;
    std::erase_if(merged, [&](const TopRequests::Count& count) { return count.*weight == 0; });
    std::ranges::stable_sort(merged, std::greater{}, weight);
    if (merged.size() > n) merged.resize(n);
    return merged;
}

}  // namespace sluice
