// The reason phrase of a status that we send ourselves (RFC 9110 section 15).
#pragma once

#include <string_view>

namespace sluice::http {

// "Bad Request" for 400; "" for what we never send.
std::string_view reason_phrase(int status);

}  // namespace sluice::http
