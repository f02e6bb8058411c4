// The arithmetic of the XDP program for C++: the same text, with the warnings that C code can't avoid turned
// off.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wcast-align"
#include "bpf/gcra.bpf.h"
#include "bpf/packet.bpf.h"
#include "bpf/prefix_set.bpf.h"
#pragma GCC diagnostic pop
