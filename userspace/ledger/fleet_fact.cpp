#include "ledger/fleet_fact.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestText = 1024;
constexpr Nanos kLongestWindow = 366 * kDay;

char mark_of(const FleetFact& fact) {
    if (fact.withdrawn) return '-';
    return fact.automatic() ? 'a' : 'o';
}

// Texts end in logs, tables and a kernel map.
bool is_plain(const std::string& text) {
    return text.size() <= kLongestText && std::ranges::none_of(text, [](char c) {
               return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
           });
}

// Absent and of another kind are the same: not usable.
std::string text_of(const json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

bool read_ban(const json& object, FleetFact& fact) {
    const auto source = IpPrefix::parse(text_of(object, "source"));
    if (!source) return false;
    fact.source = *source;
    fact.reason = text_of(object, "reason");
    fact.origin = text_of(object, "origin");
    return fact.origin == "kernel" || fact.origin == "escalation" || fact.origin == "operator";
}

bool read_override(const json& object, FleetFact& fact) {
    fact.limit = text_of(object, "limit");
    if (fact.limit.empty()) return false;
    if (fact.withdrawn) return true;
    const auto count = object.find("count");
    const auto window = object.find("window_ns");
    if (count == object.end() || window == object.end() || !count->is_number_unsigned() ||
        !window->is_number_integer())
        return false;
    fact.rate = {count->get<std::uint64_t>(), window->get<Nanos>()};
    return fact.rate.count > 0 && fact.rate.window >= 0 && fact.rate.window <= kLongestWindow;
}

}  // namespace

// A length before the name, so that no limit's name can reach into a user's.
std::string subject_of(const FleetFact& fact) {
    switch (fact.kind) {
        case FleetFact::Kind::kBan:
            return "ban " + fact.source.to_string();
        case FleetFact::Kind::kOverride:
            return "quota " + std::to_string(fact.limit.size()) + " " + fact.limit + " " + fact.user;
        case FleetFact::Kind::kReset:
            return "reset " + fact.user;
    }
    return {};
}

std::optional<std::string> encode(const FleetFact& fact) {
    json object{{"host", fact.host}, {"id", fact.host_id}, {"by", fact.by}};
    switch (fact.kind) {
        case FleetFact::Kind::kBan:
            object["source"] = fact.source.to_string();
            object["reason"] = fact.reason;
            object["origin"] = fact.origin;
            break;
        case FleetFact::Kind::kOverride:
            object["limit"] = fact.limit;
            object["user"] = fact.user;
            if (!fact.withdrawn) {
                object["count"] = fact.rate.count;
                object["window_ns"] = fact.rate.window;
            }
            break;
        case FleetFact::Kind::kReset:
            object["user"] = fact.user;
            break;
    }
    try {
        return mark_of(fact) + object.dump();
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

std::optional<FleetFact> decode(std::string_view subject, std::string_view bytes) {
    if (bytes.empty() || bytes.size() > kMostFactBytes) return std::nullopt;
    FleetFact fact;
    fact.withdrawn = bytes.front() == '-';
    const json object = json::parse(bytes.substr(1), nullptr, false);
    if (!object.is_object()) return std::nullopt;
    fact.host = text_of(object, "host");
    fact.host_id = text_of(object, "id");
    fact.by = text_of(object, "by");
    fact.user = text_of(object, "user");
    bool usable = false;
    if (subject.starts_with("ban ")) {
        fact.kind = FleetFact::Kind::kBan;
        usable = read_ban(object, fact);
    } else if (subject.starts_with("quota ")) {
        fact.kind = FleetFact::Kind::kOverride;
        usable = read_override(object, fact) && !fact.user.empty();
    } else if (subject.starts_with("reset ")) {
        fact.kind = FleetFact::Kind::kReset;
        usable = !fact.user.empty();
    }
    for (const auto* text : {&fact.reason, &fact.user, &fact.limit, &fact.by, &fact.host, &fact.host_id})
        usable = usable && is_plain(*text);
    if (!usable || fact.host_id.empty() || mark_of(fact) != bytes.front() || subject_of(fact) != subject)
        return std::nullopt;
    return fact;
}

}  // namespace sluice
