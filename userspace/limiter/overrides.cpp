#include "limiter/overrides.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kLongestName = 1024;
constexpr std::uint32_t kVersion = 1;

Error invalid(std::string message) {
    return {ErrorCode::kInvalid, "override: " + std::move(message)};
}

template <class T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text) {
    put(out, static_cast<std::uint32_t>(text.size()));
    out.append(text);
}

class Reader {
  public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    template <class T>
    bool get(T& value) {
        if (bytes_.size() < sizeof value) return false;
        std::memcpy(&value, bytes_.data(), sizeof value);
        bytes_.remove_prefix(sizeof value);
        return true;
    }
    bool get_text(std::string& text) {
        std::uint32_t length = 0;
        if (!get(length) || length > bytes_.size()) return false;
        text = bytes_.substr(0, length);
        bytes_.remove_prefix(length);
        return true;
    }
    bool at_end() const { return bytes_.empty(); }

  private:
    std::string_view bytes_;
};

Result<> check(std::string_view user, const Override& change) {
    if (user.empty() || user.size() > kLongestName) return invalid("a user has 1 to 1024 bytes");
    if (change.limit.empty() || change.limit.size() > kLongestName)
        return invalid("a limit's name has 1 to 1024 bytes");
    if (change.rate.count == 0) return invalid("the rate of " + change.limit + " must admit at least 1");
    if (change.rate.window < 0) return invalid("the window of " + change.limit + "'s rate is negative");
    return {};
}

}  // namespace

std::size_t Overrides::size() const {
    std::size_t size = 0;
    for (const auto& [user, changes] : users_) size += changes.size();
    return size;
}

const Override* Overrides::find(std::string_view user, std::string_view limit, Nanos now) const {
    if (users_.empty()) return nullptr;
    const auto found = users_.find(user);
    if (found == users_.end()) return nullptr;
    for (const Override& change : found->second) {
        if (change.limit == limit) return change.active(now) ? &change : nullptr;
    }
    return nullptr;
}

std::vector<Override> Overrides::of(std::string_view user) const {
    const auto found = users_.find(user);
    return found == users_.end() ? std::vector<Override>{} : found->second;
}

Result<Overrides> Overrides::with(std::string_view user, Override change, Nanos now) const {
    if (const auto checked = check(user, change); !checked) return checked.error();
    if (!change.active(now)) return invalid("its expiry has passed");
    Overrides result = *this;
    auto& changes = result.users_[std::string{user}];
    std::erase_if(changes, [&](const Override& former) { return former.limit == change.limit; });
    changes.push_back(std::move(change));
    return result;
}

Result<Overrides> Overrides::without(std::string_view user, std::string_view limit) const {
    Overrides result = *this;
    const auto found = result.users_.find(user);
    const auto same = [&](const Override& change) { return change.limit == limit; };
    if (found == result.users_.end() || std::erase_if(found->second, same) == 0) {
        return Error{ErrorCode::kNotFound, "override: user has none of limit " + std::string{limit}};
    }
    if (found->second.empty()) result.users_.erase(found);
    return result;
}

Overrides Overrides::current(Nanos now) const {
    Overrides result = *this;
    for (auto user = result.users_.begin(); user != result.users_.end();) {
        std::erase_if(user->second, [&](const Override& change) { return !change.active(now); });
        user = user->second.empty() ? result.users_.erase(user) : std::next(user);
    }
    return result;
}

// u32 version · { text user · text limit · u64 count · i64 window · u8 expires · i64 expires_at }…, text: u32
// length, bytes
std::string Overrides::serialise() const {
    std::string out;
    put(out, kVersion);
    for (const auto& [user, changes] : users_) {
        for (const Override& change : changes) {
            put_text(out, user);
            put_text(out, change.limit);
            put(out, change.rate.count);
            put(out, change.rate.window);
            put(out, static_cast<std::uint8_t>(change.expires_at.has_value()));
            put(out, change.expires_at.value_or(0));
        }
    }
    return out;
}

Result<Overrides> Overrides::parse(std::string_view bytes) {
    Reader in{bytes};
    std::uint32_t version = 0;
    if (!in.get(version)) return invalid("stored overrides: empty");
    if (version != kVersion)
        return invalid("stored overrides: version " + std::to_string(version) + ", not 1");
    Overrides result;
    while (!in.at_end()) {
        std::string user;
        Override change;
        std::uint8_t expires = 0;
        Nanos expires_at = 0;
        if (!in.get_text(user) || !in.get_text(change.limit) || !in.get(change.rate.count) ||
            !in.get(change.rate.window) || !in.get(expires) || !in.get(expires_at)) {
            return invalid("stored overrides: cut short");
        }
        if (expires != 0) change.expires_at = expires_at;
        if (const auto checked = check(user, change); !checked) return checked.error();
        result.users_[user].push_back(std::move(change));
    }
    return result;
}

}  // namespace sluice
