// Where Redis is and how to speak to it.
#pragma once

#include <string>
#include <vector>

#include "base/clock.hpp"

namespace sluice {

struct RedisSettings {
    std::vector<std::string> nodes;  // HOST:PORT, [IPV6]:PORT or unix:PATH; with `sentinel`, the sentinels
    std::string sentinel;            // name of the master they watch; empty: `nodes` are tried in turn
    bool cluster = false;            // `nodes` are some of a Redis Cluster
    bool tls = false;
    std::string ca_file;   // empty: the system's
    std::string username;  // empty: the default user
    std::string
        password_file;      // its first line; read at each connection, so that it can be changed; empty: none
    std::string host_name;  // what other hosts call this one; empty: the system's name
    bool share_policies = false;         // with the hosts that do as well
    Nanos deadline = 20 * kMillisecond;  // no request waits longer, and silence for longer means away
};

}  // namespace sluice
