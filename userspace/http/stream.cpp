#include "http/stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace sluice::http {

using Status = Stream::Status;

namespace {

// The bare system calls: glibc's recv() and send() are cancellation points, which in a program with threads costs
// two atomic updates a call; nobody cancels a worker.
ssize_t receive(int fd, std::span<char> into, int flags) {
    return ::syscall(SYS_recvfrom, fd, into.data(), into.size(), flags, nullptr, nullptr);
}
ssize_t transmit(int fd, std::string_view bytes) {
    return ::syscall(SYS_sendto, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace

void set_no_delay(int fd) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // fails on Unix sockets, which don't delay
}

void Stream::note(std::uint32_t events) {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end_seen_ = true;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_ = true;
    if (ssl_) readable_ = writable_ = true;  // TLS may wait for either to do the other
}

Stream::Io Stream::read(std::span<char> into) {
    if (ssl_) {
        const int size = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
        return tls_result(SSL_read(ssl_.get(), into.data(), size), readable_);
    }
    ssize_t n = 0;
    do {
        n = receive(fd_.get(), into, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        // Edge-triggered: a short read has emptied the socket, and whatever comes later is a new edge
        // (epoll(7)).
        if (static_cast<std::size_t>(n) < into.size() && !end_seen_) readable_ = false;
        return {Status::kOk, static_cast<std::size_t>(n)};
    }
    if (n == 0) return {Status::kEnd};
    if (errno != EAGAIN) return {Status::kFailed};
    readable_ = false;
    return {Status::kBlocked};
}

Stream::Io Stream::peek(std::span<char> into) {
    ssize_t n = 0;
    do {
        n = receive(fd_.get(), into, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n > 0) return {Status::kOk, static_cast<std::size_t>(n)};
    if (n == 0) return {Status::kEnd};
    if (errno != EAGAIN) return {Status::kFailed};
    readable_ = false;
    return {Status::kBlocked};
}

Stream::Io Stream::write(std::string_view bytes) {
    if (ssl_) {
        const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
        const Io result = tls_result(SSL_write(ssl_.get(), bytes.data(), size), writable_);
        return result.status == Status::kEnd ? Io{Status::kFailed} : result;
    }
    ssize_t n = 0;
    do {
        n = transmit(fd_.get(), bytes);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return {Status::kOk, static_cast<std::size_t>(n)};
    if (errno != EAGAIN) return {Status::kFailed};
    writable_ = false;
    return {Status::kBlocked};
}

bool Stream::start_tls(SSL_CTX& context) {
    ssl_.reset(SSL_new(&context));
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd_.get()) != 1) return false;
    SSL_set_accept_state(ssl_.get());
    return true;
}

Stream::Io Stream::handshake() {
    const int returned = SSL_do_handshake(ssl_.get());
    if (returned == 1) return {Status::kOk};
    const Io result = tls_result(returned, readable_);
    if (result.status == Status::kBlocked) return result;
    return {BIO_number_read(SSL_get_rbio(ssl_.get())) == 0 ? Status::kEnd : Status::kFailed};
}

Stream::Io Stream::tls_result(int returned, bool& ready) {
    if (returned > 0) return {Status::kOk, static_cast<std::size_t>(returned)};
    const int error = SSL_get_error(ssl_.get(), returned);
    ERR_clear_error();
    switch (error) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            ready = false;  // whichever it waits for: note() takes any event as both
            return {Status::kBlocked};
        case SSL_ERROR_ZERO_RETURN:
            return {Status::kEnd};
        default:
            return {Status::kFailed};
    }
}

void Stream::shut_write() {
    if (ssl_ && SSL_is_init_finished(ssl_.get()) != 0) {
        SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }
    ::shutdown(fd_.get(), SHUT_WR);
}

void Stream::reset_on_close() {
    const linger at_once{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void Stream::close() {
    ssl_.reset();
    fd_.reset();
}

}  // namespace sluice::http
