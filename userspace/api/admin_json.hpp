// Reading JSON bodies of the admin API: a mistake names the member and what would be right.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "base/result.hpp"

namespace sluice {

// The members of one JSON object. Errors are collected: ask for all, then look at error().
class JsonBody {
  public:
    // `known` are the members allowed.
    JsonBody(const std::string& body, const std::set<std::string>& known) {
        std::set<std::string> seen;
        std::string twice;
        const auto note_members = [&](int depth, nlohmann::json::parse_event_t event,
                                      const nlohmann::json& name) {
            if (depth == 1 && event == nlohmann::json::parse_event_t::key &&
                !seen.insert(name.get<std::string>()).second && twice.empty())
                twice = name.get<std::string>();
            return true;
        };
        object_ = nlohmann::json::parse(body, note_members, false);
        // Readers differ in which of the two they take.
        if (!twice.empty()) fail("'" + twice + "' stands more than once");
        if (!object_.is_object()) {
            fail("the body is not a JSON object");
            return;
        }
        for (const auto& [name, value] : object_.items())
            if (!known.contains(name)) fail("unknown member '" + name + "'; allowed: " + join(known));
    }

    std::string text(const std::string& name, bool required) {
        const nlohmann::json* value = find(name, required);
        if (value == nullptr) return {};
        if (value->is_string()) return value->get<std::string>();
        fail("'" + name + "' is not a text");
        return {};
    }

    std::optional<std::int64_t> whole(const std::string& name, bool required) {
        const nlohmann::json* value = find(name, required);
        if (value == nullptr) return std::nullopt;
        // Seconds and version numbers: far from where a product with 10^9 would overflow.
        if (value->is_number_integer() && *value >= 0 && *value <= std::numeric_limits<std::int32_t>::max())
            return value->get<std::int64_t>();
        fail("'" + name + "' is not a whole number from 0 to 2147483647");
        return std::nullopt;
    }

    // The first mistake; nullopt: none.
    const std::optional<Error>& error() const { return error_; }

  private:
    const nlohmann::json* find(const std::string& name, bool required) {
        if (!object_.is_object()) return nullptr;
        const auto found = object_.find(name);
        if (found != object_.end() && !found->is_null()) return &*found;
        if (required) fail("'" + name + "' is missing");
        return nullptr;
    }
    void fail(std::string message) {
        if (!error_) error_ = Error{ErrorCode::kInvalid, std::move(message)};
    }
    static std::string join(const std::set<std::string>& names) {
        std::string list;
        for (const std::string& name : names) list.append(list.empty() ? "" : ", ").append(name);
        return list;
    }

    nlohmann::json object_;
    std::optional<Error> error_;
};

// Text of a client's may be no UTF-8: it is replaced, never thrown at.
inline std::string dump(const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace sluice
