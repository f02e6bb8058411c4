// The daemon's answers as people read them: tables and lines. Each takes the answer of its verb's request.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cli/command.hpp"
#include "cli/text_table.hpp"

namespace sluice {

void show_health(const nlohmann::json& answer, const Screen& screen);
void show_status(const nlohmann::json& answer, const Screen& screen);
void show_hosts(const nlohmann::json& answer, const Screen& screen);
void show_top(const nlohmann::json& answer, const Screen& screen);
void show_explain(const nlohmann::json& answer, const Screen& screen);
void show_bans(const nlohmann::json& answer, const Screen& screen);
void show_ban_added(const nlohmann::json& answer, const Screen& screen);
void show_ban_lifted(const nlohmann::json& answer, const Screen& screen);
void show_quota(const nlohmann::json& answer, const Screen& screen);
void show_quota_changed(const nlohmann::json& answer, const Screen& screen);
void show_policy(const nlohmann::json& answer, const Screen& screen);
void show_policy_checked(const nlohmann::json& answer, const Screen& screen);
void show_policy_diff(const nlohmann::json& answer, const Screen& screen);
void show_policy_applied(const nlohmann::json& answer, const Screen& screen);
void show_policy_confirmed(const nlohmann::json& answer, const Screen& screen);
void show_policy_history(const nlohmann::json& answer, const Screen& screen);

// kFailed unless the status is "up", "ok", "healthy" or "degraded": a degraded host still serves.
ExitCode health_outcome(const nlohmann::json& answer);
// kFailed if the kernel map, read back, still held the ban.
ExitCode ban_lift_outcome(const nlohmann::json& answer);
// kFailed if there is a difference.
ExitCode policy_diff_outcome(const nlohmann::json& answer);

// One event record as one line: time, dataset, action, outcome, whom it is about, message.
std::string event_line(const nlohmann::json& event, bool colours_on);

// Over whom the numbers of a limit count; empty: this host has the limit to itself.
Cell counted_cell(const nlohmann::json& limit);

}  // namespace sluice
