#include "cli/exit_code.hpp"

namespace sluice {

const std::vector<ExitCodeMeaning>& exit_code_meanings() {
    static const std::vector<ExitCodeMeaning> meanings{
        {ExitCode::kOk, "done; policy diff: both are the same"},
        {ExitCode::kFailed, "failed; policy diff: they differ"},
        {ExitCode::kUsage, "the command line is not understood"},
        {ExitCode::kNotFound, "what was named does not exist"},
        {ExitCode::kNotPermitted, "not permitted"},
        {ExitCode::kUnreachable, "the daemon can't be reached, or does not answer in time"},
        {ExitCode::kConflict, "the state does not allow it now, or changed meanwhile"},
        {ExitCode::kInvalid, "invalid input, such as a policy with mistakes; nothing was changed"},
    };
    return meanings;
}

ExitCode exit_code_of_http(unsigned status) {
    if (status >= 200 && status < 300) return ExitCode::kOk;
    switch (status) {
        case 400:
        case 413:
        case 422:
            return ExitCode::kInvalid;
        case 401:
        case 403:
            return ExitCode::kNotPermitted;
        case 404:
            return ExitCode::kNotFound;
        case 409:
        case 412:
            return ExitCode::kConflict;
        default:
            return ExitCode::kFailed;
    }
}

ExitCode exit_code_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalid:
            return ExitCode::kInvalid;
        case ErrorCode::kNotFound:
            return ExitCode::kNotFound;
        case ErrorCode::kConflict:
            return ExitCode::kConflict;
        case ErrorCode::kNotPermitted:
            return ExitCode::kNotPermitted;
        case ErrorCode::kUnavailable:
            return ExitCode::kUnreachable;
        case ErrorCode::kExhausted:
        case ErrorCode::kUnsupported:
        case ErrorCode::kInternal:
            return ExitCode::kFailed;
    }
    return ExitCode::kFailed;
}

}  // namespace sluice
