// An event as one line of ECS JSON: pure, time and sequence given.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.hpp"
#include "telemetry/events.hpp"

namespace sluice {

// f(text) for every text of the event that is not chosen by Sluice itself.
void for_each_text(Event& event, const std::function<void(std::string&)>& f);

// Cuts each of these to 1 KiB (then it ends in "…"), so that what waits in a queue is bounded.
void bound_texts(Event& event);

// One JSON object in one line of ASCII, without the line feed: everything else is escaped, invalid UTF-8
// becomes U+FFFD, secrets in texts are masked (redact.hpp).
std::string render(const Event& event, Nanos wall, std::uint64_t sequence);

}  // namespace sluice
