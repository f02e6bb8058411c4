// One row a setting of sluiced.yaml: where it stands, what may be written, what it is for and how it gets
// into Config. The parser, its error messages and `sluiced --help-config` come from this table.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/config.hpp"
#include "policy/yaml_tree.hpp"

namespace sluice {

struct Setting {
    std::string_view path;  // "gateway.listen"; a last part "*" takes any key (the rest of a map)
    std::string_view form;  // what may be written, for messages and help
    std::string_view help;
    // Puts the value into the config. `key` is what "*" stood for. The error is a bare reason.
    std::function<Result<>(Config&, const YamlNode&, const std::string& key)> read;
};

std::span<const Setting> config_settings();

// The table as text: path, form, default and meaning of every setting.
std::string config_help();

}  // namespace sluice
