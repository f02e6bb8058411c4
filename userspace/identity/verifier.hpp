// Proves who sent a request: JWT by the policy's JWKS, or an API key. Built once for a policy, immutable but
// for a bounded cache of proven tokens, shared by the worker threads; replaced, cache included, with the
// policy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "identity/identity.hpp"
#include "policy/policy.hpp"

namespace sluice {

// Header field values as received; empty: the request has no such field. A request that repeats one of these
// fields is ambiguous and the caller's to refuse.
struct Credentials {
    std::string_view authorization;
    std::string_view api_key;  // of the field that IdentityVerifier::api_key_header() names
};

class IdentityVerifier {
  public:
    // Fails if the JWKS does not parse or a key in it is unusable; the message names the key. A policy
    // without identity gives a verifier for which everyone is anonymous.
    static Result<std::shared_ptr<const IdentityVerifier>> create(const IdentityPolicy& policy);

    IdentityVerifier(const IdentityVerifier&) = delete;
    IdentityVerifier& operator=(const IdentityVerifier&) = delete;
    ~IdentityVerifier();

    // Any thread. now: seconds since the Unix epoch by the wall clock, which is the clock of exp and nbf.
    //
    // A bearer token decides alone; an API key counts only if there is none. What is presented and void makes
    // the request anonymous, with the failure: it neither gets a key of its own nor falls back to the other
    // credential. Other schemes of Authorization, and credentials the policy has no section for, are the
    // application's and not looked at. Costs a SHA-256 for a token that was proven before, a signature check
    // otherwise.
    Identity verify(const Credentials& credentials, std::int64_t now) const;

    // Name of the API key's header field; empty if the policy takes no API keys.
    std::string_view api_key_header() const;

  private:
    struct Parts;
    explicit IdentityVerifier(std::unique_ptr<Parts> parts);

    std::unique_ptr<Parts> parts_;
};

}  // namespace sluice
