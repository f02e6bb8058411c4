// The request each verb makes of the admin API. Pure, but for reading the file a policy verb names.
#pragma once

#include "cli/command.hpp"

namespace sluice {

// Each takes the Invocation of its verb. kInvalid: a value that can't be sent; kNotFound and kNotPermitted:
// the file.
Result<ApiRequest> health_request(const Invocation& invocation);
Result<ApiRequest> status_request(const Invocation& invocation);
Result<ApiRequest> hosts_request(const Invocation& invocation);
Result<ApiRequest> top_request(const Invocation& invocation);
Result<ApiRequest> explain_request(const Invocation& invocation);
Result<ApiRequest> events_request(const Invocation& invocation);
Result<ApiRequest> capture_request(const Invocation& invocation);
Result<ApiRequest> ban_list_request(const Invocation& invocation);
Result<ApiRequest> ban_add_request(const Invocation& invocation);
Result<ApiRequest> ban_lift_request(const Invocation& invocation);
Result<ApiRequest> quota_show_request(const Invocation& invocation);
Result<ApiRequest> quota_set_request(const Invocation& invocation);
Result<ApiRequest> quota_unset_request(const Invocation& invocation);
Result<ApiRequest> quota_reset_request(const Invocation& invocation);
Result<ApiRequest> policy_show_request(const Invocation& invocation);
Result<ApiRequest> policy_check_request(const Invocation& invocation);
Result<ApiRequest> policy_diff_request(const Invocation& invocation);
Result<ApiRequest> policy_apply_request(const Invocation& invocation);
Result<ApiRequest> policy_confirm_request(const Invocation& invocation);
Result<ApiRequest> policy_rollback_request(const Invocation& invocation);
Result<ApiRequest> policy_history_request(const Invocation& invocation);

// A whole number from `smallest` to `largest`; the error names the option.
Result<std::uint64_t> parse_count(std::string_view name, std::string_view text, std::uint64_t smallest,
                                  std::uint64_t largest);

}  // namespace sluice
