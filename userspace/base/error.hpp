// What went wrong, as a value: the operation, the object it was done to and why, in words an operator can act
// on.
#pragma once

#include <boost/assert/source_location.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

// Coarse enough that every door (HTTP status, exit code of sluicectl) maps each to one answer.
enum class ErrorCode : std::uint8_t {
    kInvalid,       // the caller's input is wrong; nothing was changed
    kNotFound,      // the named thing does not exist
    kConflict,      // the state changed under the caller, or does not allow this now
    kNotPermitted,  // the caller, or the kernel to us, said no
    kUnavailable,   // a dependency does not answer
    kExhausted,     // a bounded resource (map, memory, disk) is full
    kUnsupported,   // this kernel, driver or build can't do it
    kInternal,      // a bug or an unexpected answer of the system
};

// snake_case name of the code, as in JSON answers.
std::string_view to_string(ErrorCode code);

struct Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string message;  // "operation object: reason", one line, no trailing stop
};

// The error of a system call: "operation object: strerror(saved_errno)", its code derived from saved_errno.
Error system_error(std::string_view operation, std::string_view object, int saved_errno);

// boost::system::result calls this when value() is asked of an error. Product code tests first: getting here
// is a bug.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& location);

}  // namespace sluice
