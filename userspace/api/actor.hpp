// Who changes something, as audit records and histories name them.
#pragma once

#include <string>

#include "http/router.hpp"
#include "telemetry/events.hpp"

namespace sluice {

struct Actor {
    std::string name;  // "root", a token's name, "file", "sluice"
    std::string via;   // "unix socket, uid 0"
    std::string role;
    std::string address;

    static Actor of(const http::Caller& caller) {
        return {caller.name, caller.how, std::string{to_string(caller.role)}, caller.address};
    }
};

// An audit record of what this actor did to `object`, or tried to.
inline Audit audit_of(const Actor& actor, Audit::Action action, bool success, std::string object,
                      std::string reason) {
    Audit audit;
    audit.action = action;
    audit.success = success;
    audit.actor = actor.name;
    audit.via = actor.via;
    audit.role = actor.role;
    audit.object = std::move(object);
    audit.reason = std::move(reason);
    audit.client = IpAddress::parse(actor.address);
    return audit;
}

}  // namespace sluice
