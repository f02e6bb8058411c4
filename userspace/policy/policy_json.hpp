// A policy as JSON: every field with its value in force, in the words of the file. What `GET /v1/policy`
// shows and the diff compares.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "policy/policy.hpp"

namespace sluice {

// The shape of the file, but for what may be long or secret: a list of prefixes is {"count", "first" (up to
// ten), "files"}, and key material is a count and the first 12 hexadecimal digits of its SHA-256.
nlohmann::ordered_json to_json(const Policy& policy);

}  // namespace sluice
