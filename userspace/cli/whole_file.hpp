// A file that is there whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice {

// Whether write_whole_file() could succeed: the folder is there and may be written, and what stands at `path`,
// if anything does, is an ordinary file. Changes nothing. Errors name the path.
Result<> check_can_write(const std::string& path);

// Replaces the file in one step; readable by its owner only. On an error what stood there still does.
Result<> write_whole_file(const std::string& path, std::string_view bytes);

}  // namespace sluice
