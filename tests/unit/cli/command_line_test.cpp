// Every verb of the table: how it is written, and what it asks of the daemon.
#include "cli/command_line.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "cli/documentation.hpp"
#include "cli/requests.hpp"

namespace sluice {
namespace {

std::vector<std::string> words(const std::string& line) {
    std::vector<std::string> list;
    std::istringstream stream{line};
    for (std::string word; stream >> word;) list.push_back(word);
    return list;
}

Invocation understood(const std::string& line) {
    auto parsed = parse_command_line(words(line));
    if (const auto* end = std::get_if<ParseEnd>(&parsed)) {
        ADD_FAILURE() << line << ": " << end->text;
        return {};
    }
    return std::get<Invocation>(parsed);
}

ParseEnd refused(const std::string& line) {
    auto parsed = parse_command_line(words(line));
    if (const auto* invocation = std::get_if<Invocation>(&parsed)) {
        ADD_FAILURE() << line << " was understood as " << invocation->command->path;
        return {};
    }
    return std::get<ParseEnd>(parsed);
}

struct Sent {
    std::string line;
    std::string method;
    std::string target;
    std::string body;
};

TEST(CommandLine, EachVerbAsksForWhatTheApiOffers) {
    const std::string file = testing::TempDir() + "/policy.yaml";
    std::ofstream{file} << "name: x\n";
    const std::string text_of_file = R"("name":")" + file + R"(",)";
    const std::vector<Sent> table{
        {"health", "GET", "/api/health", ""},
        {"status --watch", "GET", "/v1/status", ""},
        {"hosts", "GET", "/v1/hosts", ""},
        {"top", "GET", "/v1/top", ""},
        {"top --by drops -n 5", "GET", "/v1/top?by=drops&n=5", ""},
        {"explain --ip 2001:db8::1 --user a&b --path /api/x?y", "GET",
         "/v1/explain?ip=2001%3Adb8%3A%3A1&user=a%26b&path=%2Fapi%2Fx%3Fy", ""},
        {"ban list", "GET", "/v1/bans", ""},
        {"ban add 192.0.2.0/24 --for 10m --reason scraping", "POST", "/v1/bans",
         R"({"for_s":600,"reason":"scraping","source":"192.0.2.0/24"})"},
        {"ban lift 192.0.2.0/24", "DELETE", "/v1/bans/192.0.2.0%2F24", ""},
        {"ban lift ::ffff:192.0.2.1", "DELETE", "/v1/bans/192.0.2.1", ""},
        {"quota show jane@example.org", "GET", "/v1/quotas/jane%40example.org", ""},
        {"quota set ../x ai 200/h", "PUT", "/v1/quotas/..%2Fx/ai", R"({"for_s":null,"rate":"200/h"})"},
        {"quota set u ai 200/h --for 1h", "PUT", "/v1/quotas/u/ai", R"({"for_s":3600,"rate":"200/h"})"},
        {"quota unset u ai", "DELETE", "/v1/quotas/u/ai", ""},
        {"quota reset u", "POST", "/v1/quotas/u/reset", "{}"},
        {"policy show", "GET", "/v1/policy", ""},
        {"policy check " + file, "POST", "/v1/policy/check", "{" + text_of_file + R"("text":"name: x\n"})"},
        {"policy diff " + file, "POST", "/v1/policy/diff", "{" + text_of_file + R"("text":"name: x\n"})"},
        {"policy apply " + file, "POST", "/v1/policy/apply",
         R"({"confirm_within_s":null,)" + text_of_file + R"("reason":"","text":"name: x\n"})"},
        {"policy apply --confirm-within 60s --reason why " + file, "POST", "/v1/policy/apply",
         R"({"confirm_within_s":60,)" + text_of_file + R"("reason":"why","text":"name: x\n"})"},
        {"policy confirm", "POST", "/v1/policy/confirm", "{}"},
        {"policy rollback", "POST", "/v1/policy/rollback", R"({"to":null})"},
        {"policy rollback 3", "POST", "/v1/policy/rollback", R"({"to":3})"},
        {"policy history", "GET", "/v1/policy/history", ""},
    };
    std::set<std::string_view> tried;
    for (const auto& [line, method, target, body] : table) {
        const Invocation invocation = understood(line);
        ASSERT_NE(invocation.command, nullptr) << line;
        ASSERT_NE(invocation.command->request, nullptr) << line;
        tried.insert(invocation.command->path);
        const auto request = invocation.command->request(invocation);
        ASSERT_TRUE(request) << line << ": " << request.error().message;
        EXPECT_EQ(request->method, method) << line;
        EXPECT_EQ(request->target, target) << line;
        EXPECT_EQ(request->body, body) << line;
    }
    for (const auto& command : commands()) {
        if (command.request == nullptr) continue;
        EXPECT_TRUE(tried.contains(command.path)) << command.path << " is not in this table";
    }
}

TEST(CommandLine, AVerbIsARequestShownOrRunsByItself) {
    for (const auto& command : commands()) {
        EXPECT_EQ(command.request == nullptr, command.run != nullptr) << command.path;
        EXPECT_EQ(command.request == nullptr, command.show == nullptr) << command.path;
    }
    for (const auto* line : {"events --category ban -n 3", "xdp show", "xdp doctor",
                             "xdp detach --interface eth0 --force", "completion fish", "man"})
        EXPECT_NE(understood(line).command->run, nullptr) << line;
}

TEST(CommandLine, GlobalOptionsStandBeforeAndAfterEveryVerb) {
    for (const auto* line :
         {"-o json --socket /s --no-color ban list", "ban -o json --socket /s list --no-color",
          "ban list --output=json --socket=/s --no-color"}) {
        const Invocation invocation = understood(line);
        EXPECT_EQ(invocation.get("--output"), "json") << line;
        EXPECT_EQ(invocation.get("--socket"), "/s") << line;
        EXPECT_TRUE(invocation.has("--no-color")) << line;
        EXPECT_EQ(invocation.command->path, "ban list") << line;
    }
}

TEST(CommandLine, WatchTakesSecondsOrNone) {
    EXPECT_EQ(understood("top --watch").get("--watch"), "");
    EXPECT_TRUE(understood("top --watch").has("--watch"));
    EXPECT_EQ(understood("top --watch=0.5").get("--watch"), "0.5");
    EXPECT_EQ(understood("top --watch --by drops").get("--by"), "drops");
    EXPECT_FALSE(understood("top").has("--watch"));
}

TEST(CommandLine, AnythingElseIsAUsageError) {
    for (const auto* line : {"",
                             "frobnicate",
                             "ban",
                             "ban frobnicate",
                             "ban add",
                             "ban add 192.0.2.1",
                             "ban add 192.0.2.1 --for 1m",
                             "ban lift",
                             "ban lift a b",
                             "quota set u",
                             "policy check",
                             "policy",
                             "top --by size",
                             "top extra",
                             "status 1",
                             "-o xml status",
                             "health --watch",
                             "completion tcsh",
                             "--frob status",
                             "status status",
                             "top -n",
                             "xdp detach eth0",
                             "events --category nonsense"}) {
        const ParseEnd end = refused(line);
        EXPECT_EQ(end.code, ExitCode::kUsage) << line;
        EXPECT_FALSE(end.text.empty()) << line;
    }
}

TEST(CommandLine, AnUnknownVerbIsNamedWithWhatIsNear) {
    for (const auto& [line, named, meant] : std::vector<std::tuple<std::string, std::string, std::string>>{
             {"bogus", "\"bogus\"", "There are: health status"},
             {"statsu", "\"statsu\"", "did you mean \"status\"?"},
             {"-o json helth", "\"helth\"", "did you mean \"health\"?"},
             {"ban lst", "\"ban lst\"", "did you mean \"ban list\"?"},
             {"--socket /s policy aply F", "\"policy aply\"", "did you mean \"policy apply\"?"},
             {"xdp bogus", "\"xdp bogus\"", "There are: show doctor detach"}}) {
        const std::string text = refused(line).text;
        EXPECT_NE(text.find(named), std::string::npos) << text;
        EXPECT_NE(text.find(meant), std::string::npos) << text;
    }
    // A verb that is known, wrongly used, is not called unknown.
    EXPECT_EQ(refused("ban add 192.0.2.1").text.find("no verb"), std::string::npos);
    EXPECT_EQ(refused("top extra").text.find("no verb"), std::string::npos);
}

TEST(CommandLine, ARepeatedArgumentHoldsAllItsWords) {
    EXPECT_EQ(understood("xdp doctor eth0 eth1 -o json").get("INTERFACE"), "eth0 eth1");
    EXPECT_FALSE(understood("xdp doctor").has("INTERFACE"));
}

TEST(CommandLine, HelpAndVersionAreAnswers) {
    EXPECT_EQ(refused("--version").text, "sluicectl " SLUICE_VERSION "\n");
    const ParseEnd help = refused("--help");
    EXPECT_EQ(help.code, ExitCode::kOk);
    EXPECT_NE(help.text.find("Exit codes:"), std::string::npos);
    EXPECT_NE(help.text.find("--socket PATH"), std::string::npos);
    for (const auto& command : commands()) {
        const ParseEnd of_verb = refused(std::string{command.path} + " --help");
        EXPECT_EQ(of_verb.code, ExitCode::kOk) << command.path;
        EXPECT_NE(of_verb.text.find(std::string{command.help}.substr(0, 20)), std::string::npos)
            << of_verb.text;
    }
}

TEST(CommandLine, ValuesThatCannotBeSentAreInvalidInput) {
    for (const auto& [line, names] : std::vector<std::pair<std::string, std::string>>{
             {"ban add 192.0.2.1/24 --for 1m --reason r", "192.0.2.0/24"},
             {"ban add nonsense --for 1m --reason r", "nonsense"},
             {"ban add 192.0.2.1 --for 5 --reason r", "--for: \"5\""},
             {"ban lift 300.0.0.1", "300.0.0.1"},
             {"quota set u ai 1/h --for soon", "--for: \"soon\""},
             {"top -n 0", "-n: \"0\""},
             {"top -n 1001", "from 1 to 1000"},
             {"top -n 5x", "5x"},
             {"policy rollback -- -1", "N: \"-1\""}}) {
        const Invocation invocation = understood(line);
        const auto request = invocation.command->request(invocation);
        ASSERT_FALSE(request) << line;
        EXPECT_EQ(request.error().code, ErrorCode::kInvalid) << line;
        EXPECT_NE(request.error().message.find(names), std::string::npos) << request.error().message;
    }
}

TEST(CommandLine, AFileThatCannotBeReadIsNamed) {
    const auto error_of = [](const std::string& line) {
        const Invocation invocation = understood(line);
        const auto request = invocation.command->request(invocation);
        EXPECT_FALSE(request) << line;
        return request ? Error{} : request.error();
    };
    const Error missing = error_of("policy check /nonexistent/p.yaml");
    EXPECT_EQ(missing.code, ErrorCode::kNotFound);
    EXPECT_NE(missing.message.find("/nonexistent/p.yaml"), std::string::npos);
    EXPECT_NE(error_of("policy check " + testing::TempDir()).message.find("directory"), std::string::npos);
    const std::string latin1 = testing::TempDir() + "/latin1.yaml";
    std::ofstream{latin1} << "name: \xe4\n";
    EXPECT_EQ(error_of("policy check " + latin1).code, ErrorCode::kInvalid);
}

// How each document writes an option's name.
std::string in_troff(std::string_view name) {
    std::string text;
    for (const char c : name) text += c == '-' ? std::string{"\\-"} : std::string{c};
    return "\\fB" + text + "\\fR";
}
std::string in_shell(std::string_view name) {
    return std::string{name};
}
std::string in_fish(std::string_view name) {
    return name.starts_with("--") ? " -l " + std::string{name.substr(2)}
                                  : " -s " + std::string{name.substr(1)};
}

TEST(Documentation, EverythingInTheTableIsInEachDocument) {
    struct Document {
        std::string text;
        std::string (*option)(std::string_view name);
    };
    for (const auto& [text, option_text] :
         {Document{manual_page(), in_troff}, Document{bash_completion(), in_shell},
          Document{zsh_completion(), in_shell}, Document{fish_completion(), in_fish}}) {
        for (const auto& option : global_options())
            EXPECT_NE(text.find(option_text(option.name)), std::string::npos) << option.name;
        for (const auto& command : commands()) {
            const auto verb = command.path.substr(command.path.find(' ') + 1);
            EXPECT_NE(text.find(verb), std::string::npos) << command.path;
            for (const auto& option : command.options)
                EXPECT_NE(text.find(option_text(option.name)), std::string::npos)
                    << command.path << " " << option.name;
        }
    }
}

TEST(Documentation, UsageBracketsWhatMayBeLeftOut) {
    std::set<std::string> lines;
    for (const auto& command : commands()) lines.insert(usage_line(command));
    EXPECT_TRUE(lines.contains("sluicectl ban add SOURCE --for DURATION --reason TEXT"));
    EXPECT_TRUE(lines.contains("sluicectl policy rollback [N]"));
    EXPECT_TRUE(lines.contains("sluicectl ban list [--watch[=SECONDS]]"));
}

TEST(Documentation, AnOptionMeansTheSameWithEveryVerb) {
    std::map<std::string_view, OptionSpec> seen;
    for (const auto& command : commands())
        for (const auto& option : command.options) {
            const auto [known, is_new] = seen.try_emplace(option.name, option);
            EXPECT_TRUE(is_new ||
                        (known->second.value == option.value && known->second.choices == option.choices))
                << command.path << " " << option.name << ": completions tell options apart by name alone";
            for (const auto& global : global_options()) EXPECT_NE(global.name, option.name) << command.path;
        }
}

TEST(Documentation, NoLineOfTheManualIsTakenForARequest) {
    std::istringstream page{manual_page()};
    const std::set<std::string> requests{".TH", ".SH", ".SS", ".TP", ".B", ".I", ".BR", ".nf", ".fi"};
    for (std::string line; std::getline(page, line);) {
        const bool is_request = line.starts_with('.') || line.starts_with('\'');
        EXPECT_TRUE(!is_request || requests.contains(line.substr(0, line.find(' ')))) << line;
    }
}

}  // namespace
}  // namespace sluice
