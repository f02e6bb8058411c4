// Every ban that userspace decided, with its expiry. Pure: the control loop carries what changes to the
// kernel map, to the workers (BanSet) and to the ledger. The kernel's own bans live in the kernel alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/ban_set.hpp"

namespace sluice {

class BanRegistry {
  public:
    // Places a ban or replaces the one of the same source. True if it is new.
    bool place(PlacedBan ban);
    // The ban that was lifted; nullopt if there was none.
    std::optional<PlacedBan> lift(const IpPrefix& source);
    // Takes out and returns what has expired.
    std::vector<PlacedBan> expire(Nanos now);

    std::optional<PlacedBan> find(const IpPrefix& source) const;
    std::vector<PlacedBan> all() const;
    std::size_t size() const { return bans_.size(); }

    // The ledger's document "bans": JSON, versioned, without what came from other hosts: Redis keeps that.
    // from_document drops what has expired and what it can't read.
    std::string to_document() const;
    void from_document(std::string_view document, Nanos now);

  private:
    std::map<IpPrefix, PlacedBan> bans_;
};

}  // namespace sluice
