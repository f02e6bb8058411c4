#include "http/application.hpp"

namespace sluice::http {

std::string_view to_string(AnsweredBy by) {
    switch (by) {
        case AnsweredBy::kUpstream:
            return "upstream";
        case AnsweredBy::kApplication:
            return "application";
        case AnsweredBy::kGateway:
            return "gateway";
        case AnsweredBy::kNobody:
            return "nobody";
    }
    return "nobody";
}

void Decision::clear() {
    kind = Kind::kForward;
    tickets = nullptr;
    decided = 0;
    response_fields.clear();
    request_fields.clear();
    ends_with_client = false;
    observe_request_body = false;
    observe_response_body = false;
    status = 0;
    body.clear();
}

Nanos Outcome::added() const {
    if (response_started == 0) return 0;
    if (upstream_first_byte == 0) return response_started - received;
    return (upstream_sent - received) + (response_started - upstream_first_byte);
}

}  // namespace sluice::http
