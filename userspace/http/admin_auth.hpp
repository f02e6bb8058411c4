// Who a TCP caller of the admin API is: bearer token, guess brake, Host and Origin. Knows no socket; time is
// a parameter.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "http/admin_server.hpp"
#include "http/router.hpp"
#include "http/token_auth.hpp"

namespace sluice::http {

// The header fields that matter here; "" where there is none.
struct AuthFields {
    std::string_view authorization;
    std::string_view host;
    std::string_view origin;
};

class AdminAuth {
  public:
    struct Denial {
        AdminDenied::Reason reason;
        AdminResponse response;
    };
    struct Outcome {
        Caller caller;  // of Role::kNone without a token
        std::optional<Denial> denied;
    };

    // `on_error` is told when the tokens file cannot be reread, once for each cause; the old tokens stay
    // valid.
    AdminAuth(TokenStore tokens, std::vector<std::string> allowed_hosts,
              std::function<void(const Error&)> on_error);

    Outcome check(const IpAddress& peer, const AuthFields& fields, Nanos now);

  private:
    void reload();
    bool host_allowed(std::string_view host) const;

    TokenStore tokens_;
    GuessBrake brake_;
    std::vector<std::string> allowed_hosts_;
    std::function<void(const Error&)> on_error_;
    std::string last_error_;
};

}  // namespace sluice::http
