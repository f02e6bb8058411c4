// The one canonical path of a request target, used for matching routes and for forwarding. Pure.
//
// Invariant: two targets have the same canonical path exactly if they have the same segments after
// percent-decoding, so that no spelling of a path escapes the limits of another. To that end
//   - everything that may stand in a segment as it is (RFC 3986 pchar) stands decoded; every other byte
//   stands as %XX in
//     upper case; a double encoding (%252e) is decoded once and stays an encoding;
//   - "." and ".." segments are resolved, however they are spelled, and runs of slashes are one;
//   - what servers are known to read differently is refused: encoded slash, backslash (raw or encoded), NUL
//   and other
//     control characters, a raw ";" (some servers cut path parameters off before they route; "%3B" is plain
//     data and stays), bytes that are not UTF-8, an incomplete "%", "#", and ".." above the root.
// Letter case and a final slash are kept: "/a" and "/a/" differ.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice::http {

struct Target {
    std::string path;        // canonical; begins with '/', or is "*"
    std::string_view query;  // view into the target, as it came, without '?'
    bool has_query = false;
    std::string_view authority;  // of an absolute target (http://AUTHORITY/…); else empty
};

// Parses a request target: origin form (/path?query), absolute form with http or https, and "*" for OPTIONS.
// `out` keeps its capacity: nothing is allocated for a good target that is no longer than one before. The
// error is kInvalid and says what was wrong; `out` is then unspecified.
Result<> parse_target(std::string_view method, std::string_view target, Target& out);

}  // namespace sluice::http
