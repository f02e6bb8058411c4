#include "api/policy_history.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

constexpr int kDocumentVersion = 1;

nlohmann::json to_json(const PolicyVersion& version) {
    return {{"n", version.n},
            {"name", version.name},
            {"hash", version.hash},
            {"text", version.text},
            {"origin", version.origin},
            {"by", version.by},
            {"reason", version.reason},
            {"file_hash", version.file_hash},
            {"applied_at", version.applied_at},
            {"outcome", version.outcome}};
}

PolicyVersion from_json(const nlohmann::json& json) {
    PolicyVersion version;
    json.at("n").get_to(version.n);
    json.at("name").get_to(version.name);
    json.at("hash").get_to(version.hash);
    json.at("text").get_to(version.text);
    json.at("origin").get_to(version.origin);
    json.at("by").get_to(version.by);
    json.at("reason").get_to(version.reason);
    json.at("file_hash").get_to(version.file_hash);
    json.at("applied_at").get_to(version.applied_at);
    json.at("outcome").get_to(version.outcome);
    return version;
}

bool settled(const PolicyVersion& version) {
    return version.outcome == "active" || version.outcome == "replaced";
}

}  // namespace

void PolicyHistory::add(PolicyVersion version) {
    if (!versions_.empty() && versions_.front().outcome == "active") versions_.front().outcome = "replaced";
    versions_.push_front(std::move(version));
    if (versions_.size() > kKept) versions_.pop_back();
}

void PolicyHistory::confirm() {
    if (!versions_.empty() && versions_.front().outcome == "unconfirmed")
        versions_.front().outcome = "active";
}

void PolicyHistory::mark_rolled_back() {
    if (!versions_.empty() && versions_.front().outcome == "unconfirmed")
        versions_.front().outcome = "rolled_back";
}

const PolicyVersion* PolicyHistory::find(std::uint64_t n) const {
    const auto found = std::ranges::find(versions_, n, &PolicyVersion::n);
    return found == versions_.end() ? nullptr : &*found;
}

const PolicyVersion* PolicyHistory::previous() const {
    for (const PolicyVersion& version : versions_)
        if (settled(version) && version.hash != versions_.front().hash) return &version;
    return nullptr;
}

const PolicyVersion* PolicyHistory::resumable(std::string_view file_hash_now) const {
    const auto last = std::ranges::find_if(versions_, settled);
    if (last == versions_.end() || last->origin == "file" || last->file_hash != file_hash_now) return nullptr;
    return &*last;
}

std::string PolicyHistory::to_document() const {
    nlohmann::json versions = nlohmann::json::array();
    for (const PolicyVersion& version : versions_) versions.push_back(to_json(version));
    return nlohmann::json{{"version", kDocumentVersion}, {"versions", std::move(versions)}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

PolicyHistory PolicyHistory::from_document(std::string_view document) {
    PolicyHistory history;
    const nlohmann::json read = nlohmann::json::parse(document, nullptr, false);
    try {
        if (read.at("version") != kDocumentVersion) return history;
        for (const nlohmann::json& version : read.at("versions"))
            history.versions_.push_back(from_json(version));
    } catch (const nlohmann::json::exception&) {
        return PolicyHistory{};
    }
    return history;
}

}  // namespace sluice
