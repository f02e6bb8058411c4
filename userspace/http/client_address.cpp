#include "http/client_address.hpp"

#include "http/characters.hpp"

namespace sluice::http {
namespace {

bool is_port(std::string_view text) {
    return !text.empty() && text.size() <= 5 && all(text, kDigit);
}

// Hops from right to left over all X-Forwarded-For fields, as if they were one list.
class HopWalk {
  public:
    explicit HopWalk(const Fields& fields) : begin_(fields.begin()), at_(fields.end()) {}

    // nullopt at the left end.
    std::optional<std::string_view> next() {
        while (!in_field_) {
            if (at_ == begin_) return std::nullopt;
            --at_;
            if (at_->id != FieldId::kXForwardedFor) continue;
            in_field_ = true;
            rest_ = at_->value;
        }
        const std::size_t comma = rest_.rfind(',');
        std::string_view hop = rest_;
        if (comma == std::string_view::npos) {
            in_field_ = false;
        } else {
            hop = rest_.substr(comma + 1);
            rest_ = rest_.substr(0, comma);
        }
        return trim(hop);
    }

  private:
    using Iterator = decltype(std::declval<const Fields&>().begin());
    Iterator begin_;
    Iterator at_;
    bool in_field_ = false;
    std::string_view rest_;
};

}  // namespace

std::optional<IpAddress> parse_hop(std::string_view hop) {
    hop = trim(hop);
    if (hop.empty()) return std::nullopt;
    if (hop.front() == '[') {
        const std::size_t close = hop.find(']');
        if (close == std::string_view::npos) return std::nullopt;
        const std::string_view after = hop.substr(close + 1);
        if (!after.empty() && (after.front() != ':' || !is_port(after.substr(1)))) return std::nullopt;
        const std::string_view inside = hop.substr(1, close - 1);
        if (inside.find(':') == std::string_view::npos) return std::nullopt;  // brackets are for IPv6
        return IpAddress::parse(inside);
    }
    const std::size_t colon = hop.find(':');
    if (colon != std::string_view::npos && colon == hop.rfind(':')) {  // one colon: IPv4 with a port
        if (!is_port(hop.substr(colon + 1))) return std::nullopt;
        return IpAddress::parse(hop.substr(0, colon));
    }
    return IpAddress::parse(hop);
}

ClientAddress resolve_client(const IpAddress& peer, const Fields& fields, const PrefixSet& trusted) {
    ClientAddress client{peer, false};
    if (trusted.empty()) return client;
    HopWalk walk{fields};
    while (trusted.contains(client.address)) {
        const auto hop = walk.next();
        if (!hop) break;
        const auto address = parse_hop(*hop);
        if (!address) break;
        client = {*address, true};
    }
    return client;
}

}  // namespace sluice::http
