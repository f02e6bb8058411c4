// The server's TLS settings and certificate, as OpenSSL keeps them.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.hpp"

namespace sluice::http {

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::shared_ptr<SSL_CTX>;
using Ssl = std::unique_ptr<SSL, SslDeleter>;

// TLS 1.2 and 1.3 with ALPN "http/1.1", forward-secret ciphers only, no renegotiation. The error names the
// file and says what is wrong with it; a key that is not the certificate's is an error too.
Result<SslContext> make_server_tls(const std::string& certificate_file, const std::string& key_file);

// "operation object: what OpenSSL says", and empties OpenSSL's error queue of this thread.
Error openssl_error(std::string_view operation, std::string_view object);

}  // namespace sluice::http
