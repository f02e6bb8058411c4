// bans, quotas and policies: what they are and what a change did
#include <ostream>

#include "cli/answer.hpp"
#include "cli/duration_text.hpp"
#include "cli/printable.hpp"
#include "cli/show.hpp"
#include "cli/text_table.hpp"

namespace sluice {
namespace {

using Json = nlohmann::json;

// An override is a flag, a rate, or {"rate", "expires_in_s"}.
std::string override_text(const Json& limit) {
    const Json& value = value_at(limit, "override");
    if (!value.is_object())
        return value.is_boolean() && !value.get<bool>() ? "-" : text_at(limit, "override");
    const std::string left = duration_at(value, "expires_in_s");
    return text_at(value, "rate") + (left == "-" ? "" : " for " + left);
}

std::string policy_name(const Json& answer) {
    return text_at(answer, "name") + " " + text_at(answer, "hash").substr(0, 12);
}

void print_warnings(const Json& answer, const Screen& screen) {
    for (const auto& warning : array_at(answer, "warnings"))
        screen.err << (warning.is_object() ? problem_line(warning) : "warning: " + text_at(warning, ""))
                   << "\n";
}

std::string value_text(const Json& change, std::string_view field) {
    const Json& value = value_at(change, field);
    return value.is_object() || value.is_array() ? printable(value.dump()) : text_at(change, field);
}

}  // namespace

void show_bans(const Json& answer, const Screen& screen) {
    TextTable table{{"SOURCE", "REASON", "ORIGIN", "HOST", ">EXPIRES IN", ">PACKETS"}};
    for (const auto& ban : array_at(answer, "bans"))
        table.add({{text_at(ban, "source")},
                   {text_at(ban, "reason")},
                   {text_at(ban, "origin")},
                   {text_at(ban, "host")},
                   {duration_at(ban, "expires_in_s")},
                   {text_at(ban, "packets")}});
    table.print(screen.out, screen.colours);
}

void show_ban_added(const Json& answer, const Screen& screen) {
    screen.out << "banned " << text_at(answer, "source") << " for " << duration_at(answer, "expires_in_s")
               << "\n";
}

void show_ban_lifted(const Json& answer, const Screen& screen) {
    screen.out << "lifted " << text_at(answer, "source");
    if (true_at(answer, "verified")) screen.out << "; the kernel map was read back and no longer holds it";
    if (value_at(answer, "took_ms").is_number()) screen.out << " (" << text_at(answer, "took_ms") << " ms)";
    screen.out << "\n";
    if (ban_lift_outcome(answer) != ExitCode::kOk)
        screen.err
            << "sluicectl: not verified: the kernel map could not be read back, or still holds the ban\n";
}

ExitCode ban_lift_outcome(const Json& answer) {
    return true_at(answer, "lifted") && true_at(answer, "verified") ? ExitCode::kOk : ExitCode::kFailed;
}

void show_quota(const Json& answer, const Screen& screen) {
    screen.out << painted("user", Colour::kBold, screen.colours) << " " << text_at(answer, "user") << "\n\n";
    TextTable table{{"LIMIT", "RATE", ">USED", ">REMAINING", ">RESETS IN", "OVERRIDE", "?COUNTED"}};
    for (const auto& limit : array_at(answer, "limits")) {
        const bool spent = number_at(limit, "remaining") == 0;
        table.add({{text_at(limit, "name")},
                   {text_at(limit, "rate")},
                   {text_at(limit, "used")},
                   {text_at(limit, "remaining"), spent ? Colour::kBad : Colour::kNone},
                   {duration_at(limit, "reset_s")},
                   {override_text(limit)},
                   counted_cell(limit)});
    }
    table.print(screen.out, screen.colours);
}

void show_quota_changed(const Json& answer, const Screen& screen) {
    if (array_at(answer, "limits").empty())
        screen.out << "done\n";
    else
        show_quota(answer, screen);
}

void show_policy(const Json& answer, const Screen& screen) {
    // As comments, so that what is printed is the policy still.
    screen.out << "# " << policy_name(answer) << ", generation " << text_at(answer, "generation")
               << ", applied " << text_at(answer, "applied_at") << " from " << text_at(answer, "origin")
               << "\n";
    if (const std::string deadline = text_at(answer, "confirm_deadline"); deadline != "-")
        screen.out << "# unconfirmed: goes back by itself at " << deadline << "\n";
    const Json& text = value_at(answer, "text");
    if (!text.is_string()) return;
    const std::string lines = printable_lines(text.get_ref<const std::string&>());
    screen.out << lines << (lines.ends_with('\n') ? "" : "\n");
}

void show_policy_checked(const Json& answer, const Screen& screen) {
    print_warnings(answer, screen);
    screen.out << "valid, hash " << text_at(answer, "hash") << "\n";
}

void show_policy_diff(const Json& answer, const Screen& screen) {
    for (const auto& change : array_at(answer, "changes")) {
        const std::string before = value_text(change, "before");
        const std::string after = value_text(change, "after");
        const std::string kind = text_at(change, "kind");
        const std::string path = text_at(change, "path") + ": ";
        if (kind == "added")
            screen.out << painted("+ " + path + after, Colour::kGood, screen.colours);
        else if (kind == "removed")
            screen.out << painted("- " + path + before, Colour::kBad, screen.colours);
        else
            screen.out << painted("~ " + path + before + " -> " + after, Colour::kWarn, screen.colours);
        screen.out << "\n";
    }
}

ExitCode policy_diff_outcome(const Json& answer) {
    return array_at(answer, "changes").empty() ? ExitCode::kOk : ExitCode::kFailed;
}

void show_policy_applied(const Json& answer, const Screen& screen) {
    print_warnings(answer, screen);
    screen.out << "in force: " << policy_name(answer) << ", generation " << text_at(answer, "generation")
               << "\n";
    if (const std::string deadline = text_at(answer, "confirm_deadline"); deadline != "-")
        screen.err << "Unless confirmed (sluicectl policy confirm), the policy before it comes back at "
                   << deadline << ".\n";
}

void show_policy_confirmed(const Json& answer, const Screen& screen) {
    screen.out << "confirmed: " << policy_name(answer) << "\n";
}

void show_policy_history(const Json& answer, const Screen& screen) {
    TextTable table{{">N", "APPLIED AT", "NAME", "HASH", "BY", "ORIGIN", "OUTCOME", "REASON"}};
    for (const auto& entry : array_at(answer, "entries"))
        table.add({{text_at(entry, "n")},
                   {text_at(entry, "applied_at")},
                   {text_at(entry, "name")},
                   {text_at(entry, "hash").substr(0, 12)},
                   {text_at(entry, "by")},
                   {text_at(entry, "origin")},
                   {text_at(entry, "outcome")},
                   {text_at(entry, "reason")}});
    table.print(screen.out, screen.colours);
}

}  // namespace sluice
