// One client connection: reads request heads, asks the application, and serves one exchange after another.
//
// A hand-written state machine: step() moves whatever can move without waiting, and everything that waits
// (readiness, deadlines) comes back to it. session.cpp has the connection's life, exchange.cpp the forwarding
// of one request.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/application.hpp"
#include "http/body_sampler.hpp"
#include "http/buffer.hpp"
#include "http/chunked.hpp"
#include "http/event_loop.hpp"
#include "http/message.hpp"
#include "http/path.hpp"
#include "http/stream.hpp"
#include "http/upstream_pool.hpp"

namespace sluice::http {

class Worker;

class Session final : public EventHandler, public UpstreamUser, private TicketOffice {
  public:
    Session(Worker& worker, UniqueFd fd, const IpAddress& peer);
    ~Session() override;

    // After it was added to the loop.
    void start();
    // The worker is draining: closes if nothing is in progress, else after the exchange at hand.
    void drain();
    // Closes at once; an exchange in progress ends with kReasonDrained.
    void cut();

    int fd() const { return client_.fd(); }
    bool closed() const { return phase_ == Phase::kClosed; }
    const IpAddress& peer() const { return peer_; }
    // Where the worker keeps it.
    std::size_t place = 0;
    // Whether it is among its source's connections (http/source_connections.hpp).
    bool counted = false;

    void on_events(std::uint32_t events) override;
    void on_deadline() override;
    void on_deferred() override;
    void on_upstream() override;

  private:
    enum class Phase : std::uint8_t {
        kProxyHeader,  // a trusted peer may begin with a PROXY header
        kHandshake,
        kHead,      // between requests, or reading one's head
        kExchange,  // decided; forwarding, replying
        kTunnel,
        kRefused,  // sending the answer to what never became a request
        kLinger,   // all is sent; reads what the client still sends, so that it gets to see the answer
        kClosed,
    };
    // What the session waits for, and so which deadline runs.
    enum class Wait : std::uint8_t {
        kNone,
        kHeader,
        kIdle,
        kBody,
        kWrite,
        kConnect,
        kSend,
        kResponse,
        kGap,
        kTunnel,
        kLinger
    };
    enum class ResponseState : std::uint8_t { kHead, kBody, kDone };

    // session.cpp. step_…: true if something moved.
    void advance();
    void defer(EventLoop::Pass pass);
    // Whether this is the pass for it; if not, the session is called in the one that is.
    bool may_write();
    bool step();
    bool step_proxy_header();
    bool step_handshake();
    bool step_head();
    bool step_refused();
    bool step_linger();
    void after_proxy_header();
    void forget_head();
    void take_head(std::size_t length);
    Refusal check_head();
    void refuse_early(const Refusal& refusal);
    bool flush_client();
    void close_politely(bool request_was_read);
    void close();
    Wait awaited() const;
    void set_deadline(bool moved);
    void end_wait(Wait wait);
    bool body_is_too_slow(Wait wait, Nanos now);

    // exchange.cpp
    void begin_exchange();
    void decide();
    std::shared_ptr<DecisionTicket> ticket() override;
    void unpark();
    void resume();
    void forward();
    void acquire_upstream(bool may_be_idle);
    void connect_failed();
    bool step_exchange();
    bool step_connect();
    bool pump_request_body();
    bool take_request_piece();
    bool flush_upstream();
    bool pump_response();
    void take_response_head(std::size_t length);
    void take_response_piece();
    void response_complete();
    void upstream_ended(bool cleanly);
    void response_broken(std::string_view reason);
    void reply(int status, std::string_view body, AnsweredBy by, std::string_view reason);
    void reply_problem(int status, std::string_view reason, std::string_view detail);
    void drop_upstream();
    void finish_exchange();
    void report();
    void abort(std::string_view reason);

    // tunnel.cpp
    bool step_tunnel();
    bool relay(Stream& from, Buffer& through, Stream& to, bool& from_ended, std::uint64_t& bytes);
    void end_tunnel(std::string_view reason);

    class Parked;

    Worker& worker_;
    Stream client_;
    Buffer in_;          // from the client; the head is pinned during its exchange
    Buffer client_out_;  // to the client
    Buffer up_out_;      // to the upstream
    IpAddress peer_;
    IpAddress hop_;  // the peer, or who a PROXY header says it speaks for
    std::string hop_text_;
    bool hop_was_told_ = false;

    Phase phase_ = Phase::kHead;
    Wait wait_ = Wait::kNone;
    Timer timer_;
    bool deferred_ = false;  // the loop will call on_deferred()
    bool moved_ = false;     // before it was deferred
    bool served_ = false;    // a request, on this connection
    std::size_t lingered_bytes_ = 0;

    // The request at hand
    HeadScanner scanner_;
    RequestHead head_;
    RequestFraming framing_;
    Target target_;
    bool hop_is_trusted_ = false;
    std::unique_ptr<ExchangeState> state_;
    Decision decision_;
    std::shared_ptr<Parked> parked_;  // the decision waits
    Outcome outcome_;
    bool keep_alive_ = true;
    ChunkedDecoder request_chunks_;
    std::uint64_t request_left_ = 0;  // of a body with a length
    Nanos body_wait_began_ = 0;       // the wait at hand for more of the body; 0: none
    Nanos body_waited_ = 0;           // all before it
    bool request_done_ = true;        // its body has been read to the end
    bool discard_body_ = false;       // nobody wants the rest of it

    // Its upstream
    std::unique_ptr<UpstreamConnection> upstream_;
    std::size_t connect_attempts_ = 0;
    bool replayed_ = false;
    bool upstream_write_broken_ = false;
    unsigned interim_responses_ = 0;
    HeadScanner response_scanner_;
    ResponseHead response_head_;
    ResponseFraming response_framing_;
    ResponseState response_ = ResponseState::kDone;
    bool response_chunked_ = false;  // to the client
    ChunkedDecoder response_chunks_;
    std::uint64_t response_left_ = 0;
    BodySampler request_sampler_;
    BodySampler response_sampler_;
    bool client_ended_ = false;    // tunnel
    bool upstream_ended_ = false;  // tunnel
};

}  // namespace sluice::http
