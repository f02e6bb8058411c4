// The lease script once more, in C++: what the simulation talks to, and what the real script is compared with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ledger/lease_message.hpp"

namespace sluice::sim {

class LeaseModel {
  public:
    // clock_us: Redis's clock, which may go back.
    LeaseReply call(int key, const std::string& host, const LeaseRequest& request, std::int64_t clock_us);
    void forget(int key);  // what the reset does
    void flush() { keys_.clear(); }

    bool operator==(const LeaseModel&) const = default;

  private:
    struct Host {
        std::string name;
        std::uint64_t seq = 0;
        std::uint64_t known = 0;
        std::int64_t lease_end = 0;
        std::uint64_t held = 0;
        bool operator==(const Host&) const = default;
    };
    struct Key {
        std::int64_t last = 0;
        std::int64_t window = 0;
        std::map<std::int64_t, std::uint64_t> runs;  // time → count
        std::vector<Host> hosts;
        std::int64_t expires = 0;
        bool operator==(const Key&) const = default;
    };
    std::map<int, Key> keys_;
};

}  // namespace sluice::sim
