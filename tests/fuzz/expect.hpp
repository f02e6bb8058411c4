// What a fuzz target demands of the code: not only that it does not crash.
#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the program, so that libFuzzer keeps the input.
#define SLUICE_EXPECT(condition)                                                                \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                       \
        }                                                                                       \
    } while (false)
