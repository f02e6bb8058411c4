// A connected, non-blocking socket, plain or TLS, that remembers what epoll has said about it.
//
// Reads and writes are tried at once and block only when the kernel says so (speculative I/O): a request that
// is already there costs one recv and one send.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/unique_fd.hpp"
#include "http/tls_context.hpp"

namespace sluice::http {

class Stream {
  public:
    enum class Status : std::uint8_t {
        kOk,       // some bytes were moved
        kBlocked,  // none now; readable() or writable() says when to try again
        kEnd,      // read: the other side has closed its direction
        kFailed,   // reset, or broken TLS
    };
    struct Io {
        Status status;
        std::size_t bytes = 0;
    };

    Stream() = default;
    explicit Stream(UniqueFd fd) : fd_(std::move(fd)) {}

    int fd() const { return fd_.get(); }
    bool is_open() const { return static_cast<bool>(fd_); }
    bool tls() const { return ssl_ != nullptr; }

    // Takes in what epoll reported for the descriptor (registered edge-triggered, EPOLLIN | EPOLLOUT |
    // EPOLLRDHUP).
    void note(std::uint32_t events);
    bool readable() const { return readable_; }
    bool writable() const { return writable_; }
    // Nothing can be there to read before epoll says so; `writable` likewise.
    void wait_for_events(bool writable) {
        readable_ = false;
        writable_ = writable;
    }
    // The other side will send nothing more, though some of what it sent may still be there to read.
    bool end_seen() const { return end_seen_; }
    // What peek() has seen is not enough: readable() again when more comes.
    void wait_for_more() { readable_ = false; }

    Io read(std::span<char> into);
    Io write(std::string_view bytes);
    // Looks at the first bytes without taking them; before start_tls() only.
    Io peek(std::span<char> into);

    // Turns the stream into the server's end of TLS.
    bool start_tls(SSL_CTX& context);
    // kOk: done. kEnd: closed before the first byte of a handshake.
    Io handshake();

    // Tells the other side that no more will come (TLS close_notify, then FIN).
    void shut_write();
    // Close with a reset: the other side sees that something was cut off, and does not take it for the end.
    void reset_on_close();
    void close();

  private:
    Io tls_result(int returned, bool& ready);

    UniqueFd fd_;
    Ssl ssl_;
    bool readable_ = true;
    bool writable_ = true;
    bool end_seen_ = false;  // EPOLLRDHUP. A short read does not mean that nothing is left
};

// Makes a socket non-delaying: what is written is complete, waiting for more only costs time.
void set_no_delay(int fd);

}  // namespace sluice::http
