#include "api/request_plane.hpp"

namespace sluice {

std::string_view to_string(Counted counted) {
    switch (counted) {
        case Counted::kHost:
            return "host";
        case Counted::kFleet:
            return "fleet";
        case Counted::kHostLedgerAway:
            return "host_ledger_away";
    }
    return "host";
}

}  // namespace sluice
