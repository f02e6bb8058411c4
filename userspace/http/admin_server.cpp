#include "http/admin_server.hpp"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <list>
#include <unordered_map>
#include <utility>

#include "http/admin_auth.hpp"
#include "http/admin_session.hpp"
#include "http/admin_socket.hpp"
#include "http/tls_context.hpp"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;

// What a connection beyond the bound hears, if it is plain; best effort, without waiting.
void turn_away(int socket) {
    static constexpr std::string_view kBusy =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    static_cast<void>(::send(socket, kBusy.data(), kBusy.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

}  // namespace

std::string_view to_string(AdminDenied::Reason reason) {
    switch (reason) {
        case AdminDenied::Reason::kNoToken:
            return "no_token";
        case AdminDenied::Reason::kBadToken:
            return "bad_token";
        case AdminDenied::Reason::kTooManyBadTokens:
            return "too_many_bad_tokens";
        case AdminDenied::Reason::kRole:
            return "role";
        case AdminDenied::Reason::kPeer:
            return "peer";
        case AdminDenied::Reason::kOrigin:
            return "origin";
        case AdminDenied::Reason::kAmbiguous:
            return "ambiguous";
    }
    return "denied";
}

// Kept alive by its coroutines; the AdminServer only tells it to stop.
class AdminServer::Impl final : public AdminService, public std::enable_shared_from_this<Impl> {
  public:
    Impl(asio::any_io_executor executor, AdminServerOptions options, Router router,
         std::function<void(const AdminDenied&)> on_denied)
        : executor_(std::move(executor)),
          options_(std::move(options)),
          router_(std::move(router)),
          on_denied_(std::move(on_denied)) {}

    Result<> open() {
        if (!options_.socket.empty())
            if (auto opened = open_unix(); !opened) return opened;
        if (!options_.listen.empty())
            if (auto opened = open_tcp(); !opened) return opened;
        return {};
    }

    void start() {
        if (local_acceptor_)
            asio::co_spawn(executor_, accept(shared_from_this(), *local_acceptor_, local_live_),
                           asio::detached);
        if (tcp_acceptor_)
            asio::co_spawn(executor_, accept(shared_from_this(), *tcp_acceptor_, tcp_live_), asio::detached);
    }

    void stop() {
        stopped_ = true;
        beast::error_code ignored;
        if (local_acceptor_) local_acceptor_->close(ignored);
        if (tcp_acceptor_) tcp_acceptor_->close(ignored);
        for (const auto* live : {&local_live_, &tcp_live_})
            for (const auto& close : *live) close();
        door_.reset();
    }

    Result<> reload_tls() {
        if (options_.tls_certificate.empty()) return {};
        const auto tls = make_server_tls(options_.tls_certificate, options_.tls_key);
        if (!tls) return tls.error();
        ::SSL_CTX_up_ref(tls->get());  // asio's wrapper frees a reference of its own
        tls_.emplace(tls->get());      // connections hold the context they began with
        return {};
    }

    std::uint16_t port() const { return port_; }

    // --- AdminService ---

    std::optional<AdminResponse> admit(const AdminPeer& peer, const RequestHead& head,
                                       AdminRequest& request) override {
        namespace http = beast::http;
        request.caller = peer.caller;
        const auto match = router_.match(request.method, request.path);
        if (peer.address) {
            for (const auto field : {http::field::authorization, http::field::host, http::field::origin})
                if (head.count(field) > 1)
                    return deny(AdminDenied::Reason::kAmbiguous, request,
                                AdminResponse::problem(
                                    400, std::string{http::to_string(field)} + " stands more than once"));
            const AuthFields fields{head[http::field::authorization], head[http::field::host],
                                    head[http::field::origin]};
            auto outcome = auth_->check(*peer.address, fields, monotonic_now());
            request.caller = std::move(outcome.caller);
            if (outcome.denied) {
                const bool wrong_token = outcome.denied->reason == AdminDenied::Reason::kBadToken ||
                                         outcome.denied->reason == AdminDenied::Reason::kTooManyBadTokens;
                // What is open to anybody is open to who brings a wrong token.
                if (!wrong_token || router_.refusal(match, request.caller))
                    return deny(outcome.denied->reason, request, std::move(outcome.denied->response));
            }
        }
        auto refusal = router_.refusal(match, request.caller);
        if (!refusal) return std::nullopt;
        if (refusal->status == 401 && !peer.address)
            return deny(AdminDenied::Reason::kPeer, request,
                        AdminResponse::problem(403, "this user may not use the admin socket"));
        if (refusal->status == 401) return deny(AdminDenied::Reason::kNoToken, request, std::move(*refusal));
        if (refusal->status == 403) return deny(AdminDenied::Reason::kRole, request, std::move(*refusal));
        return refusal;
    }
    AdminResponse dispatch(AdminRequest request) override { return router_.dispatch(std::move(request)); }
    const AdminServerOptions& options() const override { return options_; }
    bool stopped() const override { return stopped_; }

  private:
    static constexpr SourcePrefix kPeerGroup{32, 64};
    using Live = std::list<std::function<void()>>;  // how to close each connection

    // A connection's place in the list of live ones.
    class Place {
      public:
        Place(std::shared_ptr<Impl> server, Live& live, std::function<void()> close)
            : server_(std::move(server)), live_(live), at_(live.insert(live.end(), std::move(close))) {}
        ~Place() { live_.erase(at_); }
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;

      private:
        std::shared_ptr<Impl> server_;
        Live& live_;
        Live::iterator at_;
    };

    Result<> open_unix() {
        auto door = UnixDoor::open(options_.socket, options_.socket_group);
        if (!door) return door.error();
        door_.emplace(std::move(*door));
        local_acceptor_.emplace(executor_);
        local_acceptor_->assign(Local{}, door_->release());
        return {};
    }

    Result<> open_tcp() {
        if (options_.tokens_file.empty())
            return Error{ErrorCode::kInvalid, "admin listen " + options_.listen + ": needs a tokens file"};
        if (options_.tls_certificate.empty() != options_.tls_key.empty())
            return Error{ErrorCode::kInvalid, "admin tls: needs a certificate and a key"};
        const auto endpoint = Endpoint::parse(options_.listen);
        if (!endpoint) return endpoint.error();
        if (endpoint->is_unix())
            return Error{ErrorCode::kInvalid,
                         "admin listen " + options_.listen + ": is for TCP; write 127.0.0.1:9900"};
        auto tokens = TokenStore::load(options_.tokens_file);
        if (!tokens) return tokens.error();
        auth_.emplace(std::move(*tokens), options_.allowed_hosts, options_.on_error);
        if (auto loaded = reload_tls(); !loaded) return loaded;
        auto door = open_tcp_door(*endpoint);
        if (!door) return door.error();
        port_ = door->second;
        tcp_acceptor_.emplace(executor_);
        tcp_acceptor_->assign(endpoint->address.is_v4() ? Tcp::v4() : Tcp::v6(), door->first.release());
        return {};
    }

    AdminResponse deny(AdminDenied::Reason reason, const AdminRequest& request,
                       AdminResponse response) const {
        const auto match = router_.match(request.method, request.path);
        const bool known = match.route != nullptr || !match.allow.empty();
        if (on_denied_) on_denied_({reason, request.caller, request.method, known ? request.path : ""});
        return response;
    }

    template <class Acceptor>
    asio::awaitable<void> accept(std::shared_ptr<Impl> self, Acceptor& acceptor, Live& live) {
        asio::steady_timer pause{executor_};
        while (!stopped_) {
            auto [error, socket] = co_await acceptor.async_accept(kAwaitable);
            if (stopped_) co_return;
            if (error) {  // out of descriptors, most likely: others have to go first
                pause.expires_after(std::chrono::milliseconds{100});
                co_await pause.async_wait(kAwaitable);
            } else if (live.size() >= options_.max_connections || !peer_has_room(socket)) {
                if (!tls_) turn_away(socket.native_handle());
            } else {
                asio::co_spawn(executor_, serve(self, std::move(socket)), asio::detached);
            }
        }
    }

    static bool peer_has_room(const Local::socket&) { return true; }
    bool peer_has_room(const Tcp::socket& socket) const {
        const auto peer = peer_of(socket);
        const auto found = peer ? of_peer_.find(kPeerGroup.of(*peer)) : of_peer_.end();
        return found == of_peer_.end() || found->second < options_.max_connections_per_peer;
    }
    static std::optional<IpAddress> peer_of(const Tcp::socket& socket) {
        beast::error_code error;
        const auto remote = socket.remote_endpoint(error);
        return error ? std::nullopt : IpAddress::from_sockaddr(remote.data());
    }

    // Among a peer's connections as long as it lives.
    class PeerPlace {
      public:
        PeerPlace(std::shared_ptr<Impl> server, const IpAddress& peer)
            : server_(std::move(server)), group_(kPeerGroup.of(peer)) {
            ++server_->of_peer_[group_];
        }
        ~PeerPlace() {
            const auto found = server_->of_peer_.find(group_);
            if (--found->second == 0) server_->of_peer_.erase(found);
        }
        PeerPlace(const PeerPlace&) = delete;
        PeerPlace& operator=(const PeerPlace&) = delete;

      private:
        std::shared_ptr<Impl> server_;
        IpPrefix group_;
    };

    asio::awaitable<void> serve(std::shared_ptr<Impl> self, Local::socket socket) {
        AdminPeer peer;
        peer.caller = unix_caller(socket.native_handle(), door_->group());
        beast::basic_stream<Local, asio::any_io_executor> stream{std::move(socket)};
        AdminSession session{stream, stream, *this, std::move(peer)};
        const Place place{std::move(self), local_live_, [&session] { session.close(); }};
        co_await session.run();
    }

    asio::awaitable<void> serve(std::shared_ptr<Impl> self, Tcp::socket socket) {
        AdminPeer peer;
        peer.address = peer_of(socket);
        if (!peer.address) co_return;
        const PeerPlace among_peers{self, *peer.address};
        if (tls_) {
            beast::ssl_stream<Layer> stream{std::move(socket), *tls_};
            Layer& layer = stream.next_layer();
            AdminSession session{stream, layer, *this, std::move(peer)};
            const Place place{std::move(self), tcp_live_, [&session] { session.close(); }};
            layer.expires_after(std::chrono::nanoseconds{options_.stranger_deadline});
            const auto [refused] =
                co_await stream.async_handshake(asio::ssl::stream_base::server, kAwaitable);
            if (refused) co_return;
            co_await session.run();
            layer.expires_after(std::chrono::seconds{1});
            co_await stream.async_shutdown(kAwaitable);
        } else {
            Layer stream{std::move(socket)};
            AdminSession session{stream, stream, *this, std::move(peer)};
            const Place place{std::move(self), tcp_live_, [&session] { session.close(); }};
            co_await session.run();
        }
    }

    using Layer = beast::basic_stream<Tcp, asio::any_io_executor>;

    asio::any_io_executor executor_;
    const AdminServerOptions options_;
    const Router router_;
    const std::function<void(const AdminDenied&)> on_denied_;
    std::optional<AdminAuth> auth_;
    std::optional<asio::ssl::context> tls_;
    std::optional<UnixDoor> door_;
    std::optional<Local::acceptor> local_acceptor_;
    std::optional<Tcp::acceptor> tcp_acceptor_;
    std::uint16_t port_ = 0;
    Live local_live_;
    Live tcp_live_;
    std::unordered_map<IpPrefix, std::size_t> of_peer_;  // TCP connections
    bool stopped_ = false;
};

Result<std::unique_ptr<AdminServer>> AdminServer::open(asio::any_io_executor executor,
                                                       AdminServerOptions options, Router router,
                                                       std::function<void(const AdminDenied&)> on_denied) {
    auto impl = std::make_shared<Impl>(std::move(executor), std::move(options), std::move(router),
                                       std::move(on_denied));
    if (auto opened = impl->open(); !opened) return opened.error();
    impl->start();
    return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() {
    impl_->stop();
}
Result<> AdminServer::reload_tls() {
    return impl_->reload_tls();
}
std::uint16_t AdminServer::port() const {
    return impl_->port();
}

}  // namespace sluice::http
