#include "http/tls_context.hpp"

#include <openssl/err.h>

#include <array>

namespace sluice::http {
namespace {

int choose_alpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length,
                const unsigned char* offered, unsigned int offered_length, void* /*context*/) {
    static constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_length, kHttp11.data(), kHttp11.size(), offered, offered_length) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;  // the client speaks only what we don't (h2)
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Error openssl_error(std::string_view operation, std::string_view object) {
    std::array<char, 256> text{"unknown error"};
    if (const unsigned long code = ERR_peek_last_error(); code != 0)
        ERR_error_string_n(code, text.data(), text.size());
    ERR_clear_error();
    return Error{ErrorCode::kInvalid,
                 std::string{operation} + " " + std::string{object} + ": " + std::string{text.data()}};
}

Result<SslContext> make_server_tls(const std::string& certificate_file, const std::string& key_file) {
    ERR_clear_error();
    SslContext context{SSL_CTX_new(TLS_server_method()), SslDeleter{}};
    if (!context) return openssl_error("create", "TLS context");
    SSL_CTX* const raw = context.get();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(
        raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    // TLS 1.2: only suites with forward secrecy and authenticated encryption.
    if (SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        return openssl_error("set", "TLS 1.2 cipher suites");
    }
    if (SSL_CTX_use_certificate_chain_file(raw, certificate_file.c_str()) != 1) {
        return openssl_error("read certificate", certificate_file);
    }
    if (SSL_CTX_use_PrivateKey_file(raw, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
        return openssl_error("read private key", key_file);
    }
    if (SSL_CTX_check_private_key(raw) != 1)
        return openssl_error("match certificate with private key", key_file);
    SSL_CTX_set_alpn_select_cb(raw, choose_alpn, nullptr);
    return context;
}

}  // namespace sluice::http
