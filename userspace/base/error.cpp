#include "base/error.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sluice {

std::string_view to_string(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalid:
            return "invalid";
        case ErrorCode::kNotFound:
            return "not_found";
        case ErrorCode::kConflict:
            return "conflict";
        case ErrorCode::kNotPermitted:
            return "not_permitted";
        case ErrorCode::kUnavailable:
            return "unavailable";
        case ErrorCode::kExhausted:
            return "exhausted";
        case ErrorCode::kUnsupported:
            return "unsupported";
        case ErrorCode::kInternal:
            return "internal";
    }
    return "internal";
}

namespace {

ErrorCode code_of_errno(int saved_errno) {
    switch (saved_errno) {
        case EINVAL:
            return ErrorCode::kInvalid;
        case ENOENT:
        case ENODEV:
            return ErrorCode::kNotFound;
        case EEXIST:
        case EBUSY:
        case EADDRINUSE:
            return ErrorCode::kConflict;
        case EPERM:
        case EACCES:
        case EROFS:
            return ErrorCode::kNotPermitted;
        case ECONNREFUSED:
        case ECONNRESET:
        case ETIMEDOUT:
        case EHOSTUNREACH:
            return ErrorCode::kUnavailable;
        case ENOSPC:
        case ENOMEM:
        case E2BIG:
        case EMFILE:
        case ENFILE:
            return ErrorCode::kExhausted;
        case EOPNOTSUPP:
        case ENOSYS:
            return ErrorCode::kUnsupported;
        default:
            return ErrorCode::kInternal;
    }
}

}  // namespace

Error system_error(std::string_view operation, std::string_view object, int saved_errno) {
    std::string message{operation};
    if (!object.empty()) message.append(" ").append(object);
    message.append(": ").append(std::strerror(saved_errno));
    return Error{code_of_errno(saved_errno), std::move(message)};
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    throw std::logic_error("unchecked error: " + error.message);
}

}  // namespace sluice
