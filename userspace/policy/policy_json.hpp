// A policy as JSON: every field with its value in force, in the words of the file. What `GET /v1/policy`
// shows and the diff compares. Key material is replaced by a hash.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "policy/policy.hpp"

namespace sluice {

nlohmann::ordered_json to_json(const Policy& policy);

}  // namespace sluice
