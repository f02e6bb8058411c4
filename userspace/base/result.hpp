// Result<T>: a value or an Error. Check it as a bool; `*r` is the value, `r.error()` the error.
#pragma once

#include <boost/system/result.hpp>

#include "base/error.hpp"

namespace sluice {

template <class T = void>
using Result = boost::system::result<T, Error>;

}  // namespace sluice
