// From the tree of a policy file to the struct, section by section; and the files the policy names.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "policy/policy.hpp"
#include "policy/policy_yaml.hpp"
#include "policy/problem.hpp"
#include "policy/section_reader.hpp"

namespace sluice {

// Reads the files a policy names and keeps what makes up the policy's hash.
class ReferenceReader {
  public:
    explicit ReferenceReader(std::string folder) : folder_(std::move(folder)) {}

    // Content of the file that `written` names; a fault is reported at the place in the policy that names it.
    std::optional<std::string> read(DocumentReader& document, const std::string& path,
                                    const std::string& written, std::size_t max_bytes);
    // As problems name it: the policy's folder and what was written.
    std::string name_of(const std::string& written) const;
    // Absolute path → SHA-256 of the content.
    const std::map<std::string, std::string>& digests() const { return digests_; }

  private:
    std::string folder_;
    std::map<std::string, std::string> digests_;
};

// The policy that text describes, as far as it could be read, checked. Only of use if problems holds no error
// afterwards.
Policy read_policy(std::string_view text, const std::string& name, ReferenceReader& references,
                   const PolicyCheck& further, Problems& problems);

}  // namespace sluice
