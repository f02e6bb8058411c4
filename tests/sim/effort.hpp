// How far the simulations look: little in the unit suite, more on request.
#pragma once

#include <cstdlib>

namespace sluice::sim {

inline int effort(const char* variable, int usual) {
    const char* const asked = std::getenv(variable);
    return asked == nullptr ? usual : std::atoi(asked);
}

}  // namespace sluice::sim
