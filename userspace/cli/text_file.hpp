// A whole file as text.
#pragma once

#include <string>

#include "base/result.hpp"

namespace sluice {

// "-" is standard input. Errors name the file; more than 64 MiB is kInvalid.
Result<std::string> read_text_file(const std::string& path);

}  // namespace sluice
