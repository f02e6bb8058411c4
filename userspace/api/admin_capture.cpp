#include "api/admin_api.hpp"
#include "api/admin_json.hpp"

namespace sluice {
namespace {

using http::AdminRequest;
using http::AdminResponse;

std::optional<CapturedVerdicts> verdicts_of(const std::string& word) {
    if (word.empty() || word == "all") return CapturedVerdicts::kAll;
    if (word == "dropped") return CapturedVerdicts::kDropped;
    if (word == "passed") return CapturedVerdicts::kPassed;
    return std::nullopt;
}

AdminResponse capture(CaptureControl& captures, const AdminRequest& request) {
    JsonBody body{request.body, {"source", "packets", "seconds", "snap", "verdict"}};
    const std::string text = body.text("source", true);
    const auto packets = body.whole("packets", false);
    const auto seconds = body.whole("seconds", false);
    const auto snap = body.whole("snap", false);
    const std::string verdict = body.text("verdict", false);
    if (body.error()) return AdminResponse::problem(*body.error());
    const auto source = IpPrefix::parse(text);
    if (!source) return AdminResponse::problem(source.error());
    const auto verdicts = verdicts_of(verdict);
    if (!verdicts)
        return AdminResponse::problem(
            Error{ErrorCode::kInvalid, "verdict '" + verdict + "'; allowed: all, dropped, passed"});

    CaptureRequest wanted;
    wanted.source = *source;
    wanted.verdicts = *verdicts;
    if (packets) wanted.packets = static_cast<std::uint32_t>(*packets);
    if (seconds) wanted.duration = *seconds * kSecond;
    if (snap) wanted.snap_bytes = static_cast<std::uint32_t>(*snap);
    auto file = captures.start(wanted, Actor::of(request.caller));
    if (!file) return AdminResponse::problem(file.error());
    return AdminResponse::streamed(*std::move(file), CaptureControl::kContentType);
}

}  // namespace

AdminRoutes capture_routes(CaptureControl& captures) {
    return {{"POST", "/v1/capture", http::Role::kAdmin,
             [&captures](const AdminRequest& request) { return capture(captures, request); }}};
}

}  // namespace sluice
