// health, status, top, explain and the line of an event
#include <ostream>

#include "cli/answer.hpp"
#include "cli/printable.hpp"
#include "cli/show.hpp"
#include "cli/text_table.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

Colour colour_of_state(const std::string& state) {
    if (state == "up" || state == "ok" || state == "healthy" || state == "yes") return Colour::kGood;
    if (state == "down" || state == "unhealthy" || state == "no") return Colour::kBad;
    return Colour::kWarn;
}

Colour colour_of_verdict(const std::string& verdict) {
    if (verdict.starts_with("admit") || verdict.starts_with("pass")) return Colour::kGood;
    return Colour::kBad;
}

void line(const Screen& screen, std::string_view label, const std::string& text,
          Colour colour = Colour::kNone) {
    constexpr std::size_t kLabelWidth = 10;
    std::string padded{label};
    padded.resize(std::max(kLabelWidth, padded.size() + 1), ' ');
    screen.out << painted(padded, Colour::kBold, screen.colours) << painted(text, colour, screen.colours)
               << "\n";
}

// A table after lines, if it has rows.
void print_below(const TextTable& table, const Screen& screen) {
    if (table.empty()) return;
    screen.out << "\n";
    table.print(screen.out, screen.colours);
}

Colour colour_of_rest(const Json& limit, std::string_view field) {
    const auto rest = number_at(limit, field);
    return rest && *rest <= 0 ? Colour::kBad : Colour::kNone;
}

void show_troubles(const Json& answer, const Screen& screen) {
    for (const auto& trouble : array_at(answer, "troubles"))
        line(screen, "trouble", text_at(trouble, ""), Colour::kBad);
}

// A service is a word, or an object with the word under "status".
void add_service(TextTable& table, const std::string& name, const Json& service) {
    if (service.is_object() && !service.contains("status")) {
        for (const auto& [inner, value] : service.items())
            add_service(table, name + "." + printable(inner), value);
        return;
    }
    const std::string state = text_at(service, service.is_object() ? "status" : "");
    table.add({{name},
               {state, colour_of_state(state)},
               {text_at(service, "latency_ms")},
               {text_at(service, "reason")}});
}

// Packets a second of one reason since the answer before; "" without one.
std::string packet_rate(const Json& interface, const std::string& reason, const Screen& screen) {
    if (screen.previous == nullptr || screen.elapsed_s <= 0) return "";
    for (const auto& before : array_at(*screen.previous, "interfaces")) {
        if (value_at(before, "name") != value_at(interface, "name")) continue;
        const auto was = number_at(value_at(before, "packets"), reason).value_or(0);
        const auto is = number_at(value_at(interface, "packets"), reason).value_or(0);
        return std::to_string(static_cast<std::int64_t>(static_cast<double>(is - was) / screen.elapsed_s));
    }
    return "";
}

void show_interfaces(const Json& interfaces, const Screen& screen) {
    std::vector<std::string> titles{"INTERFACE", "MODE", "REASON", ">PACKETS", ">BYTES"};
    if (screen.previous != nullptr) titles.emplace_back(">PACKETS/S");
    TextTable table{std::move(titles)};
    for (const auto& interface : interfaces) {
        const Cell name{text_at(interface, "name")};
        const Cell mode{text_at(interface, "mode")};
        bool seen = false;
        const Json& packets = value_at(interface, "packets");
        const Json& bytes = value_at(interface, "bytes");
        for (const auto& [reason, count] : packets.items()) {
            if (count == 0) continue;
            seen = true;
            table.add({name,
                       mode,
                       {printable(reason)},
                       {text_at(packets, reason)},
                       {text_at(bytes, reason)},
                       {packet_rate(interface, reason, screen)}});
        }
        for (const auto& [reason, count] : value_at(interface, "would_drop").items())
            table.add({name, mode, {"would be " + printable(reason)}, {count.dump()}, {"-"}});
        if (!seen) table.add({name, mode, {"-"}, {"0"}, {"0"}});
    }
    print_below(table, screen);
}

}  // namespace

void show_health(const Json& answer, const Screen& screen) {
    const std::string status = text_at(answer, "status");
    line(screen, "status", status, colour_of_state(status));
    line(screen, "at", text_at(answer, "timestamp"));
    show_troubles(answer, screen);
    const Json& services = value_at(answer, "services");
    TextTable table{{"SERVICE", "STATUS", ">LATENCY MS", "REASON"}};
    if (services.is_object())
        for (const auto& [name, service] : services.items()) add_service(table, printable(name), service);
    print_below(table, screen);
}

ExitCode health_outcome(const Json& answer) {
    const std::string status = text_at(answer, "status");
    const bool serves = status == "up" || status == "ok" || status == "healthy" || status == "degraded";
    return serves ? ExitCode::kOk : ExitCode::kFailed;
}

void show_status(const Json& answer, const Screen& screen) {
    line(screen, "sluiced",
         text_at(answer, "version") + ", " + text_at(answer, "state") + ", up " +
             duration_at(answer, "uptime_s"));
    line(screen, "policy",
         text_at(answer, "policy.name") + " " + text_at(answer, "policy.hash").substr(0, 12) +
             ", generation " + text_at(answer, "policy.generation") + ", applied " +
             text_at(answer, "policy.applied_at"));
    if (const std::string deadline = text_at(answer, "policy.confirm_deadline"); deadline != "-")
        line(screen, "", "unconfirmed: goes back by itself at " + deadline, Colour::kWarn);
    line(screen, "ledger",
         text_at(answer, "ledger.kind") + (true_at(answer, "ledger.up") ? ", up" : ", down"));
    if (value_at(answer, "gateway").is_object())
        line(screen, "gateway",
             text_at(answer, "gateway.requests") + " requests, " + text_at(answer, "gateway.open") +
                 " connections open, " + text_at(answer, "gateway.upstream_failures") + " upstream failures");
    line(screen, "bans", text_at(answer, "bans"));
    if (const std::string state = text_at(answer, "syn_cookies.state"); state != "-" && state != "off") {
        const std::string why = text_at(answer, "syn_cookies.why");
        line(screen, "cookies",
             state + ", " + text_at(answer, "syn_cookies.unfinished_per_s") +
                 " unfinished connection attempts a second" + (why.empty() || why == "-" ? "" : "; " + why),
             state == "ready" ? Colour::kNone : Colour::kWarn);
    }
    show_troubles(answer, screen);
    show_interfaces(array_at(answer, "interfaces"), screen);
}

// What the kernel counts is estimated from samples, and said with its bound.
void show_top(const Json& answer, const Screen& screen) {
    const auto rows = array_at(answer, "");
    const bool packets = !rows.empty() && value_at(rows.front(), "bytes").is_number();
    TextTable table = packets ? TextTable{{"WHO", ">PACKETS", ">± PACKETS", ">BYTES", ">DROPS"}}
                              : TextTable{{"WHO", ">REQUESTS", ">DENIALS"}};
    for (const auto& row : rows) {
        const bool is_user = value_at(row, "user").is_string();
        const bool is_prefix = value_at(row, "prefix").is_string();
        const std::string who =
            is_user ? "user " + text_at(row, "user") : text_at(row, is_prefix ? "prefix" : "source");
        if (packets)
            table.add({{who},
                       {text_at(row, "packets")},
                       {text_at(row, "error")},
                       {text_at(row, "bytes")},
                       {text_at(row, "drops")}});
        else
            table.add({{who}, {text_at(row, "requests")}, {text_at(row, "denials")}});
    }
    table.print(screen.out, screen.colours);
}

void show_hosts(const Json& answer, const Screen& screen) {
    if (!true_at(answer, "shared")) {
        screen.out << "this host shares its limits with no other (ledger.kind is not redis)\n";
        return;
    }
    if (value_at(answer, "alone_s").is_number())
        line(screen, "alone",
             "since " + duration_at(answer, "alone_s") + ": Redis is away; the others as last seen",
             Colour::kBad);
    TextTable table{{"HOST", "STATE", ">LAST SEEN", "VERSION", "POLICY", "HASH", "FLEET'S", "ID"}};
    for (const auto& host : array_at(answer, "hosts")) {
        const std::string state = text_at(host, "state");
        const bool self = true_at(host, "self");
        const std::string fleet = text_at(host, "policy.fleet");
        const std::string of_fleet = fleet.empty() ? "-" : fleet;
        table.add({{text_at(host, "host") + (self ? " (this)" : ""), self ? Colour::kBold : Colour::kNone},
                   {state, state == "up"     ? Colour::kNone
                           : state == "late" ? Colour::kWarn
                                             : Colour::kBad},
                   {self ? "-" : duration_at(host, "last_seen_s")},
                   {text_at(host, "version")},
                   {text_at(host, "policy.name")},
                   {text_at(host, "policy.hash").substr(0, 12)},
                   {of_fleet, of_fleet == "refuses" ? Colour::kBad : Colour::kNone},
                   {text_at(host, "id")}});
    }
    table.print(screen.out, screen.colours);
}

Cell counted_cell(const Json& limit) {
    const std::string counted = text_at(limit, "counted");
    if (counted == "host_ledger_away") return {"this host, as Redis is away", Colour::kWarn};
    if (counted != "fleet") return {""};
    const auto leased = number_at(limit, "leased").value_or(0);
    return {leased > 0 ? "all hosts, " + text_at(limit, "leased") + " on lease" : "all hosts"};
}

void show_explain(const Json& answer, const Screen& screen) {
    const std::string verdict = text_at(answer, "verdict");
    line(screen, "verdict", verdict, colour_of_verdict(verdict));
    for (const auto* field : {"reason", "route", "class"})
        if (const std::string text = text_at(answer, field); text != "-") line(screen, field, text);
    if (const std::string wait = duration_at(answer, "retry_after_s"); wait != "-")
        line(screen, "retry in", wait);
    TextTable charges{{"LIMIT", "KEY", "RATE", ">USED", ">REMAINING", "MODE", "?COUNTED"}};
    for (const auto& charge : array_at(answer, "charges"))
        charges.add({{text_at(charge, "limit")},
                     {text_at(charge, "key")},
                     {text_at(charge, "rate")},
                     {text_at(charge, "used")},
                     {text_at(charge, "remaining"), colour_of_rest(charge, "remaining")},
                     {text_at(charge, "mode")},
                     counted_cell(charge)});
    print_below(charges, screen);

    const Json& kernel = value_at(answer, "kernel");
    if (!kernel.is_object()) return;
    screen.out << "\n";
    if (const std::string error = text_at(kernel, "error"); error != "-")
        line(screen, "kernel", error, Colour::kBad);
    if (const std::string packets = text_at(kernel, "verdict"); packets != "-")
        line(screen, "packets", packets + ": " + text_at(kernel, "reason"), colour_of_verdict(packets));
    if (value_at(kernel, "ban").is_object())
        line(screen, "ban",
             text_at(kernel, "ban.reason") + ", by " + text_at(kernel, "ban.origin") + ", expires in " +
                 duration_at(kernel, "ban.expires_in_s"));
    TextTable limits{{"PACKET LIMIT", "KEY", ">BURST", ">AVAILABLE", "MODE"}};
    for (const auto& limit : array_at(kernel, "limits"))
        limits.add({{text_at(limit, "limit")},
                    {text_at(limit, "key")},
                    {text_at(limit, "burst")},
                    {text_at(limit, "available"), colour_of_rest(limit, "available")},
                    {text_at(limit, "mode")}});
    print_below(limits, screen);
}

std::string event_line(const Json& event, bool colours_on) {
    std::string text = painted(text_at(event, "@timestamp"), Colour::kDim, colours_on);
    const std::string level = text_at(event, "log.level");
    const Colour colour = level == "error"                        ? Colour::kBad
                          : level == "warn" || level == "warning" ? Colour::kWarn
                                                                  : Colour::kNone;
    for (const auto* field : {"event.dataset", "event.action", "event.outcome"})
        if (const std::string word = text_at(event, field); word != "-")
            text += " " + painted(word, field == std::string_view{"event.action"} ? Colour::kBold : colour,
                                  colours_on);
    for (const auto& [field, label] : {std::pair{"client.ip", "ip"},
                                       {"user.id", "user"},
                                       {"url.path", "path"},
                                       {"http.response.status_code", "status"}})
        if (const std::string word = text_at(event, field); word != "-")
            text += std::string{" "} + label + "=" + word;
    if (const std::string message = text_at(event, "message"); message != "-") text += " " + message;
    return text;
}

}  // namespace sluice
