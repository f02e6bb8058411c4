#include <ostream>

#include "cli/documentation.hpp"
#include "cli/verbs.hpp"

namespace sluice {
namespace {

// Bash and zsh find the verb the same way; they differ in how words are reached and offered. The fragments
// below are put together to one script each.

std::string quoted(std::string_view text) {
    std::string safe = "'";
    for (const char c : text) safe += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return safe + "'";
}

std::string joined(const std::vector<std::string_view>& words) {
    std::string text;
    for (const auto word : words) text += (text.empty() ? "" : " ") + std::string{word};
    return text;
}

struct Word {
    std::string_view word;
    std::string_view help;
};

// What may follow a path of words: verbs and groups after "", verbs of the group after "ban".
std::vector<Word> words_after(std::string_view path) {
    std::vector<Word> words;
    std::string_view last_group;
    for (const auto& command : commands()) {
        const std::size_t space = command.path.find(' ');
        const std::string_view group = space == std::string_view::npos ? "" : command.path.substr(0, space);
        if (path == group) {
            words.push_back({group.empty() ? command.path : command.path.substr(space + 1), command.help});
        } else if (path.empty() && group != last_group) {
            for (const auto& [name, help] : command_groups())
                if (name == group) words.push_back({name, help});
        }
        last_group = group;
    }
    return words;
}

std::vector<OptionSpec> options_of(const CommandSpec& command) {
    std::vector<OptionSpec> options = command.options;
    options.insert(options.end(), global_options().begin(), global_options().end());
    return options;
}

// Every option there is, once: a name means the same with every verb that has it.
std::vector<OptionSpec> all_options() {
    std::vector<OptionSpec> options = global_options();
    for (const auto& command : commands())
        for (const auto& option : command.options) {
            bool known = false;
            for (const auto& other : options) known = known || other.name == option.name;
            if (!known) options.push_back(option);
        }
    return options;
}

std::string names_pattern(const OptionSpec& option) {
    return option.short_name.empty() ? std::string{option.name}
                                     : std::string{option.short_name} + "|" + std::string{option.name};
}

std::string group_pattern() {
    std::string text = "''";
    for (const auto& group : command_groups()) text += "|" + std::string{group.name};
    return text;
}

std::string valued_pattern() {
    std::string text;
    for (const auto& option : all_options())
        if (!option.value.empty() && !option.value_optional)
            text += (text.empty() ? "" : "|") + names_pattern(option);
    return text;
}

// Sets `verb` to the words before the one that is completed which are neither options nor their values.
std::string verb_loop(std::string_view loop, std::string_view word) {
    return "    local verb='' word skip=0 i\n    for " + std::string{loop} +
           "; do\n        word=" + std::string{word} +
           "\n        if ((skip)); then skip=0; continue; fi\n        case $word in\n            " +
           valued_pattern() + ") skip=1 ;;\n            -*) ;;\n            *) case $verb in " +
           group_pattern() + ") verb=\"${verb:+$verb }$word\" ;; esac ;;\n        esac\n    done\n";
}

std::string first_choices(const CommandSpec& command) {
    return command.arguments.empty() ? "" : joined(command.arguments.front().choices);
}

bool takes_file(const CommandSpec& command) {
    return !command.arguments.empty() && command.arguments.front().kind == ValueKind::kFile;
}

}  // namespace

std::string bash_completion() {
    std::string script =
        "# bash completion of sluicectl; made by: sluicectl completion bash\n"
        "_sluicectl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' "
        "options=''\n" +
        verb_loop("((i = 1; i < COMP_CWORD; i++))", "${COMP_WORDS[i]}") + "    case $prev in\n";
    for (const auto& option : all_options()) {
        if (option.value.empty() || option.value_optional) continue;
        script += "        " + names_pattern(option) + ") ";
        if (!option.choices.empty())
            script +=
                "mapfile -t COMPREPLY < <(compgen -W " + quoted(joined(option.choices)) + " -- \"$cur\"); ";
        else if (option.kind == ValueKind::kFile)
            script += "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); ";
        script += "return ;;\n";
    }
    script += "    esac\n    case $verb in\n";
    const auto add_words = [&](std::string_view path) {
        std::vector<std::string_view> words;
        for (const auto& entry : words_after(path)) words.push_back(entry.word);
        script += "        " + quoted(path) + ") words=" + quoted(joined(words)) + " ;;\n";
    };
    add_words("");
    for (const auto& group : command_groups()) add_words(group.name);
    for (const auto& command : commands()) {
        std::vector<std::string_view> options;
        for (const auto& option : options_of(command)) options.push_back(option.name);
        script += "        " + quoted(command.path) + ")";
        if (takes_file(command))
            script += " [[ $cur == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- \"$cur\");";
        script +=
            " words=" + quoted(first_choices(command)) + " options=" + quoted(joined(options)) + " ;;\n";
    }
    std::vector<std::string_view> globals;
    for (const auto& option : global_options()) globals.push_back(option.name);
    script += "    esac\n    if [[ $cur == -* ]]; then words=${options:-" + joined(globals) +
              "}; fi\n"
              "    if [[ -n $words ]]; then mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"); fi\n"
              "}\ncomplete -o filenames -F _sluicectl sluicectl\n";
    return script;
}

std::string zsh_completion() {
    std::string script =
        "#compdef sluicectl\n# zsh completion of sluicectl; made by: sluicectl completion zsh\n"
        "_sluicectl() {\n    local -a entries\n" +
        verb_loop("((i = 2; i < CURRENT; i++))", "${words[i]}") + "    case ${words[CURRENT-1]} in\n";
    for (const auto& option : all_options()) {
        if (option.value.empty() || option.value_optional) continue;
        script += "        " + names_pattern(option) + ") ";
        if (!option.choices.empty())
            script += "compadd -- " + joined(option.choices) + "; ";
        else if (option.kind == ValueKind::kFile)
            script += "_files; ";
        script += "return ;;\n";
    }
    script += "    esac\n    if [[ ${words[CURRENT]} == -* ]]; then\n        case $verb in\n";
    // In _describe a colon parts the word from its help.
    const auto entry = [](std::string_view word, std::string_view help) {
        std::string escaped;
        for (const char c : help) escaped += c == ':' ? std::string{"\\:"} : std::string{c};
        return quoted(std::string{word} + ":" + escaped);
    };
    for (const auto& command : commands()) {
        script += "            " + quoted(command.path) + ") entries=(";
        for (const auto& option : options_of(command)) script += entry(option.name, option.help) + " ";
        script += ") ;;\n";
    }
    script += "            *) entries=(";
    for (const auto& option : global_options()) script += entry(option.name, option.help) + " ";
    script +=
        ") ;;\n        esac\n        _describe -o option entries\n        return\n    fi\n    case $verb "
        "in\n";
    const auto add_words = [&](std::string_view path) {
        script += "        " + quoted(path) + ") entries=(";
        for (const auto& [word, help] : words_after(path)) script += entry(word, help) + " ";
        script += "); _describe verb entries ;;\n";
    };
    add_words("");
    for (const auto& group : command_groups()) add_words(group.name);
    for (const auto& command : commands()) {
        if (takes_file(command)) script += "        " + quoted(command.path) + ") _files ;;\n";
        if (const auto choices = first_choices(command); !choices.empty())
            script += "        " + quoted(command.path) + ") compadd -- " + choices + " ;;\n";
    }
    // Autoloaded, the file is the function's body; sourced, it registers it.
    return script +
           "    esac\n}\nif [[ $funcstack[1] == _sluicectl ]]; then _sluicectl \"$@\"; else compdef "
           "_sluicectl sluicectl; fi\n";
}

std::string fish_completion() {
    std::string script =
        "# fish completion of sluicectl; made by: sluicectl completion fish\ncomplete -c sluicectl -f\n";
    const auto condition_of = [](std::string_view path) {
        const std::size_t space = path.find(' ');
        std::string condition = "__fish_seen_subcommand_from " + std::string{path.substr(0, space)};
        if (space != std::string_view::npos)
            condition += "; and __fish_seen_subcommand_from " + std::string{path.substr(space + 1)};
        return " -n " + quoted(condition);
    };
    const auto add_option = [&](const OptionSpec& option, const std::string& condition) {
        script += "complete -c sluicectl" + condition;
        const std::string_view name = option.name;
        script += name.starts_with("--") ? " -l " + std::string{name.substr(2)}
                                         : " -s " + std::string{name.substr(1)};
        if (!option.short_name.empty()) script += " -s " + std::string{option.short_name.substr(1)};
        if (!option.choices.empty())
            script += " -x -a " + quoted(joined(option.choices));
        else if (option.kind == ValueKind::kFile)
            script += " -r -F";
        else if (!option.value.empty() && !option.value_optional)
            script += " -x";
        script += " -d " + quoted(option.help) + "\n";
    };
    for (const auto& option : global_options()) add_option(option, "");
    for (const auto& [word, help] : words_after(""))
        script += "complete -c sluicectl -n __fish_use_subcommand -a " + std::string{word} + " -d " +
                  quoted(help) + "\n";
    for (const auto& group : command_groups()) {
        std::vector<std::string_view> words;
        for (const auto& entry : words_after(group.name)) words.push_back(entry.word);
        const std::string condition = "__fish_seen_subcommand_from " + std::string{group.name} +
                                      "; and not __fish_seen_subcommand_from " + joined(words);
        for (const auto& [word, help] : words_after(group.name))
            script += "complete -c sluicectl -n " + quoted(condition) + " -a " + std::string{word} + " -d " +
                      quoted(help) + "\n";
    }
    for (const auto& command : commands()) {
        for (const auto& option : command.options) add_option(option, condition_of(command.path));
        if (takes_file(command)) script += "complete -c sluicectl" + condition_of(command.path) + " -F\n";
        if (const auto choices = first_choices(command); !choices.empty())
            script += "complete -c sluicectl" + condition_of(command.path) + " -a " + quoted(choices) + "\n";
    }
    return script;
}

ExitCode run_completion(const Invocation& invocation, const ApiClient&, const Screen& screen) {
    const std::string_view shell = invocation.get("SHELL");
    screen.out << (shell == "bash"  ? bash_completion()
                   : shell == "zsh" ? zsh_completion()
                                    : fish_completion());
    return ExitCode::kOk;
}

}  // namespace sluice
