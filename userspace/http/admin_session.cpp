#include "http/admin_session.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace sluice::http {

namespace beast_http = boost::beast::http;

boost::asio::awaitable<bool> Doorbell::wait(std::chrono::nanoseconds timeout) {
    if (!rung_) {
        timer_.expires_after(timeout);
        co_await timer_.async_wait(kAwaitable);
    }
    co_return std::exchange(rung_, false);
}

// The bell may be gone when it is rung, the executor's context may not: whoever holds a ringer ends before it
// does.
std::function<void()> Doorbell::ringer() {
    return [executor = timer_.get_executor(), weak = weak_from_this()] {
        boost::asio::post(executor, [weak] {
            if (const auto bell = weak.lock()) bell->ring();
        });
    };
}

void Doorbell::ring() {
    rung_ = true;
    timer_.cancel();
}

std::optional<AdminRequest> to_request(const RequestHead& head) {
    auto target = parse_admin_target(head.target());
    if (!target) return std::nullopt;
    AdminRequest request;
    request.method = head.method_string();
    request.path = std::move(target->path);
    request.query = std::move(target->query);
    request.content_type = head[beast_http::field::content_type];
    request.last_event_id = head["Last-Event-ID"];
    return request;
}

beast_http::response<beast_http::string_body> to_message(AdminResponse response, unsigned version,
                                                         bool keep_alive) {
    beast_http::response<beast_http::string_body> message{static_cast<beast_http::status>(response.status),
                                                          version};
    message.set(beast_http::field::content_type, response.content_type);
    message.set(beast_http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive);
    message.body() = std::move(response.body);
    message.prepare_payload();
    return message;
}

std::optional<AdminResponse> answer_to(boost::beast::error_code error) {
    using E = beast_http::error;
    if (error == E::header_limit) return AdminResponse::problem(431, "the header is too large");
    if (error == E::body_limit) return AdminResponse::problem(413, "the body is too large");
    if (error == E::end_of_stream || error == E::partial_message) return std::nullopt;
    static const auto& http_errors = beast_http::make_error_code(E::bad_method).category();
    if (error.category() == http_errors) return AdminResponse::problem(400, "the request is malformed");
    return std::nullopt;  // time ran out, or the connection is gone
}

}  // namespace sluice::http
