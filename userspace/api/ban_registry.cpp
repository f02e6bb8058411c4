#include "api/ban_registry.hpp"

#include <nlohmann/json.hpp>

namespace sluice {

bool BanRegistry::place(PlacedBan ban) {
    const IpPrefix source = ban.source;
    return bans_.insert_or_assign(source, std::move(ban)).second;
}

std::optional<PlacedBan> BanRegistry::lift(const IpPrefix& source) {
    auto node = bans_.extract(source);
    if (node.empty()) return std::nullopt;
    return std::move(node.mapped());
}

std::vector<PlacedBan> BanRegistry::expire(Nanos now) {
    std::vector<PlacedBan> expired;
    for (auto it = bans_.begin(); it != bans_.end();) {
        if (it->second.expires > now) {
            ++it;
            continue;
        }
        expired.push_back(std::move(it->second));
        it = bans_.erase(it);
    }
    return expired;
}

std::optional<PlacedBan> BanRegistry::find(const IpPrefix& source) const {
    const auto found = bans_.find(source);
    return found == bans_.end() ? std::nullopt : std::optional{found->second};
}

std::vector<PlacedBan> BanRegistry::all() const {
    std::vector<PlacedBan> bans;
    bans.reserve(bans_.size());
    for (const auto& [source, ban] : bans_) bans.push_back(ban);
    return bans;
}

std::string BanRegistry::to_document() const {
    nlohmann::json bans = nlohmann::json::array();
    for (const auto& [source, ban] : bans_) {
        if (ban.origin == kPeerOrigin) continue;
        bans.push_back({{"source", source.to_string()},
                        {"origin", ban.origin},
                        {"reason", ban.reason},
                        {"expires_ns", ban.expires}});
    }
    return nlohmann::json{{"version", 1}, {"bans", std::move(bans)}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void BanRegistry::from_document(std::string_view document, Nanos now) {
    const nlohmann::json read = nlohmann::json::parse(document, nullptr, false);
    if (!read.is_object() || read.value("version", 0) != 1) return;
    try {
        for (const nlohmann::json& entry : read.at("bans")) {
            const auto source = IpPrefix::parse(entry.at("source").get<std::string>());
            const auto expires = entry.at("expires_ns").get<Nanos>();
            if (source && expires > now)
                place({*source, entry.at("origin").get<std::string>(), entry.at("reason").get<std::string>(),
                       expires});
        }
    } catch (const nlohmann::json::exception&) {
        // A document of another hand: what was read so far stands.
    }
}

}  // namespace sluice
