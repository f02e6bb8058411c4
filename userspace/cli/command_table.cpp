#include "cli/command.hpp"
#include "cli/requests.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace sluice {
namespace {

const OptionSpec kWatch{.name = "--watch",
                        .short_name = "",
                        .value = "SECONDS",
                        .help = "show it again and again, every 2 seconds or as many as are given",
                        .value_optional = true};
const OptionSpec kFor{
    .name = "--for", .short_name = "", .value = "DURATION", .help = "for how long: 90s, 10m, 1h30m, 2d"};
const OptionSpec kReason{
    .name = "--reason", .short_name = "", .value = "TEXT", .help = "why; kept in the audit log"};
const ArgumentSpec kSource{.name = "SOURCE", .help = "an address or prefix: 192.0.2.1, 2001:db8::/64"};
const ArgumentSpec kUser{.name = "USER",
                         .help = "the user's name, as in the token's claim or the API key file"};
const ArgumentSpec kLimit{.name = "LIMIT", .help = "the name of a limit in the policy"};
const ArgumentSpec kFile{
    .name = "FILE", .help = "a policy; - reads standard input", .kind = ValueKind::kFile};

OptionSpec required(OptionSpec option) {
    option.required = true;
    return option;
}

}  // namespace

const std::vector<GroupSpec>& command_groups() {
    static const std::vector<GroupSpec> groups{
        {"ban", "addresses whose packets are dropped for a time"},
        {"quota", "what one user may use, and has used"},
        {"policy", "what is limited, and how much; changed while traffic flows"},
        {"xdp", "what is attached in the kernel; works with the daemon dead"},
    };
    return groups;
}

const std::vector<OptionSpec>& global_options() {
    static const std::vector<OptionSpec> options{
        {.name = "--output",
         .short_name = "-o",
         .value = "FORMAT",
         .help = "table, for people, or json: what the daemon answered, untouched",
         .choices = {"table", "json"}},
        {.name = "--socket",
         .short_name = "",
         .value = "PATH",
         .help = "the daemon's admin socket (default: SLUICE_SOCKET, or /run/sluice/admin.sock)",
         .kind = ValueKind::kFile},
        {.name = "--url",
         .short_name = "",
         .value = "URL",
         .help = "a daemon elsewhere: https://HOST:PORT; goes before --socket"},
        {.name = "--token-file",
         .short_name = "",
         .value = "FILE",
         .help = "holds the bearer token that --url asks for",
         .kind = ValueKind::kFile},
        {.name = "--ca-file",
         .short_name = "",
         .value = "FILE",
         .help = "a certificate authority that --url is verified against, besides the system's",
         .kind = ValueKind::kFile},
        {.name = "--no-color",
         .short_name = "",
         .value = "",
         .help = "no colours; so does NO_COLOR, or no terminal"},
    };
    return options;
}

const std::vector<CommandSpec>& commands() {
    static const std::vector<CommandSpec> table{
        {.path = "health",
         .help = "whether the daemon and the services behind it work",
         .request = health_request,
         .show = show_health,
         .outcome = health_outcome,
         .shown_status = 503},
        {.path = "status",
         .help = "version, policy, ledger, bans, and the packets of each interface by reason",
         .options = {kWatch},
         .request = status_request,
         .show = show_status},
        {.path = "top",
         .help = "the sources and users that ask or send most",
         .options =
             {{.name = "--by",
               .short_name = "",
               .value = "WHAT",
               .help = "what to order by",
               .choices = {"packets", "drops", "requests", "denials"}},
              {.name = "-n", .short_name = "", .value = "N", .help = "how many, 1 to 1000 (default: 20)"},
              kWatch},
         .request = top_request,
         .show = show_top},
        {.path = "explain",
         .help = "what would happen to a request or a source now, and why; counts nothing",
         .options = {{.name = "--ip", .short_name = "", .value = "ADDRESS", .help = "the client's address"},
                     {.name = "--user", .short_name = "", .value = "USER", .help = "the authenticated user"},
                     {.name = "--method", .short_name = "", .value = "METHOD", .help = "GET, POST, …"},
                     {.name = "--path",
                      .short_name = "",
                      .value = "PATH",
                      .help = "the request's path: /api/voice/x"}},
         .request = explain_request,
         .show = show_explain},
        {.path = "events",
         .help = "follows what happens: refusals, bans, logins, policy changes",
         .options =
             {{.name = "--category",
               .short_name = "",
               .value = "NAME",
               .help = "only these: the category's name, as in its log file",
               .choices = {"auth", "ai", "assessment", "performance", "error", "decision", "ban", "audit"}},
              {.name = "-n", .short_name = "", .value = "N", .help = "end after so many (default: never)"}},
         .run = run_events},
        {.path = "capture",
         .help = "example packets of a source, with verdict and reason, as a pcapng file",
         .arguments = {kSource},
         .options =
             {{.name = "--write",
               .short_name = "-w",
               .value = "FILE",
               .help = "where to; - is standard output",
               .required = true,
               .kind = ValueKind::kFile},
              {.name = "--packets",
               .short_name = "",
               .value = "N",
               .help = "end after so many, 1 to 10000 (default: 100)"},
              {.name = "--for",
               .short_name = "",
               .value = "DURATION",
               .help = "end after this time, 1s to 5m (default: 10s)"},
              {.name = "--snap",
               .short_name = "",
               .value = "BYTES",
               .help = "bytes of each packet, 1 to 256 (default: 128)"},
              {.name = "--dropped", .short_name = "", .value = "", .help = "only packets that are dropped"},
              {.name = "--passed", .short_name = "", .value = "", .help = "only packets that pass"}},
         .run = run_capture},
        {.path = "ban list",
         .help = "the bans in force",
         .options = {kWatch},
         .request = ban_list_request,
         .show = show_bans},
        {.path = "ban add",
         .help = "drop a source's packets for a time",
         .arguments = {kSource},
         .options = {required(kFor), required(kReason)},
         .request = ban_add_request,
         .show = show_ban_added},
        {.path = "ban lift",
         .help = "end a ban; answers once the kernel map has been read back",
         .arguments = {kSource},
         .request = ban_lift_request,
         .show = show_ban_lifted,
         .outcome = ban_lift_outcome},
        {.path = "quota show",
         .help = "a user's limits: used, remaining, when it resets",
         .arguments = {kUser},
         .request = quota_show_request,
         .show = show_quota},
        {.path = "quota set",
         .help = "give a user another rate, for a time or until unset",
         .arguments = {kUser, kLimit, {.name = "RATE", .help = "like in a policy: 200/h, 20/15m"}},
         .options = {kFor},
         .request = quota_set_request,
         .show = show_quota_changed},
        {.path = "quota unset",
         .help = "back to the policy's rate",
         .arguments = {kUser, kLimit},
         .request = quota_unset_request,
         .show = show_quota_changed},
        {.path = "quota reset",
         .help = "forget what a user has used",
         .arguments = {kUser},
         .request = quota_reset_request,
         .show = show_quota_changed},
        {.path = "policy show",
         .help = "the policy in force",
         .request = policy_show_request,
         .show = show_policy},
        {.path = "policy check",
         .help = "whether a policy is valid; every mistake with file, line and column",
         .arguments = {kFile},
         .request = policy_check_request,
         .show = show_policy_checked},
        {.path = "policy diff",
         .help = "what a policy would change; exits 0 if nothing, 1 if something, above 1 on an error",
         .arguments = {kFile},
         .request = policy_diff_request,
         .show = show_policy_diff,
         .outcome = policy_diff_outcome,
         .failure = ExitCode::kUsage},
        {.path = "policy apply",
         .help = "put a policy in force, with no restart and no dropped connection",
         .arguments = {kFile},
         .options = {{.name = "--confirm-within",
                      .short_name = "",
                      .value = "DURATION",
                      .help = "unless confirmed within this time, the policy before it comes back by itself"},
                     kReason},
         .request = policy_apply_request,
         .show = show_policy_applied},
        {.path = "policy confirm",
         .help = "keep the policy that was applied with --confirm-within",
         .request = policy_confirm_request,
         .show = show_policy_confirmed},
        {.path = "policy rollback",
         .help = "back to the policy before, or to number N of the history",
         .arguments = {{.name = "N", .help = "a number from policy history", .required = false}},
         .request = policy_rollback_request,
         .show = show_policy_applied},
        {.path = "policy history",
         .help = "which policies were in force when, by whom and why",
         .request = policy_history_request,
         .show = show_policy_history},
        {.path = "xdp show",
         .help = "what Sluice has attached and pinned, read from the kernel",
         .run = run_xdp_show},
        {.path = "xdp doctor",
         .help =
             "what this kernel, its drivers and interfaces can do, and what Sluice will use; changes nothing",
         .arguments = {{.name = "INTERFACE",
                        .help = "which; default: all but the loopback",
                        .required = false,
                        .repeated = true}},
         .run = run_xdp_doctor},
        {.path = "xdp detach",
         .help = "take Sluice off the interfaces; other programs stay",
         .options = {{.name = "--interface", .short_name = "", .value = "NAME", .help = "only off this one"},
                     {.name = "--force", .short_name = "", .value = "", .help = "even while a daemon runs"}},
         .run = run_xdp_detach},
        {.path = "completion",
         .help = "prints the completion script of a shell",
         .arguments = {{.name = "SHELL", .help = "which shell", .choices = {"bash", "zsh", "fish"}}},
         .run = run_completion},
        {.path = "man", .help = "prints the manual page, for man -l -", .run = run_man},
    };
    return table;
}

}  // namespace sluice
