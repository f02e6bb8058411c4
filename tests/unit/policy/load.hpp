// Loading a policy from a string in tests, with files beside it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "policy/policy_yaml.hpp"

namespace sluice {

// A folder that lives as long as the object.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
        path_ = pattern;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string write(const std::string& name, std::string_view content) const {
        std::ofstream{path_ / name, std::ios::binary} << content;
        return (path_ / name).string();
    }
    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

// "name: test" and the text, read with references to folder.
inline PolicyLoad load(std::string_view text, const std::string& folder = "/nonexistent") {
    return load_policy_text("name: test\n" + std::string{text}, "p.yaml", folder);
}

// Of a text that must load; its policy.
inline Policy policy_of(std::string_view text, const std::string& folder = "/nonexistent") {
    const PolicyLoad result = load(text, folder);
    EXPECT_TRUE(result) << to_string(result.problems);
    return result ? *result.loaded->policy : Policy{};
}

// The problems of a text as lines, which for a test of faults must be all that is said.
inline std::string problems_of(std::string_view text, const std::string& folder = "/nonexistent") {
    const PolicyLoad result = load(text, folder);
    EXPECT_EQ(result.loaded.has_value(), !has_errors(result.problems));
    return to_string(result.problems);
}

}  // namespace sluice
