// A daemon on a Unix socket that gives the answers of a test, and sluicectl run against it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cli/sluicectl.hpp"

namespace sluice {

// Answers each request with the next of the bytes it was given, then closes that connection.
class FakeDaemon {
  public:
    explicit FakeDaemon(std::vector<std::string> answers) : answers_(std::move(answers)) {
        std::string folder = testing::TempDir() + "/sluicectl-XXXXXX";
        if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
        folder_ = folder;
        acceptor_.emplace(context_, boost::asio::local::stream_protocol::endpoint{path()});
        thread_ = std::thread{[this] { serve(); }};
    }
    ~FakeDaemon() {
        if (thread_.joinable()) thread_.join();
        std::filesystem::remove_all(folder_);
    }
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;

    std::string path() const { return folder_ + "/admin.sock"; }
    // Once every answer was given.
    const std::vector<boost::beast::http::request<boost::beast::http::string_body>>& requests() {
        thread_.join();
        return requests_;
    }

  private:
    void serve() {
        for (const auto& answer : answers_) {
            boost::asio::local::stream_protocol::socket socket{context_};
            acceptor_->accept(socket);
            boost::beast::flat_buffer buffer;
            boost::beast::http::request<boost::beast::http::string_body> request;
            boost::system::error_code ignored;  // a client that goes early is the test's intention
            boost::beast::http::read(socket, buffer, request, ignored);
            requests_.push_back(std::move(request));
            boost::asio::write(socket, boost::asio::buffer(answer), ignored);
        }
    }

    std::vector<std::string> answers_;
    std::string folder_;
    boost::asio::io_context context_;
    std::optional<boost::asio::local::stream_protocol::acceptor> acceptor_;
    std::vector<boost::beast::http::request<boost::beast::http::string_body>> requests_;
    std::thread thread_;
};

inline std::string answer(int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) +
           " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nConnection: close\r\n\r\n" + body;
}

struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
};

inline Outcome sluicectl(const std::string& socket, std::vector<std::string> arguments, bool terminal = false,
                         int looks = 1) {
    std::ostringstream out;
    std::ostringstream err;
    const SluicectlEnvironment environment{.out = out,
                                           .err = err,
                                           .out_is_terminal = terminal,
                                           .socket_path = socket,
                                           .no_color = false,
                                           .wait = [&looks](double) { return --looks > 0; }};
    const auto code = static_cast<int>(run_sluicectl(arguments, environment));
    return {code, out.str(), err.str()};
}

inline Outcome ask(const std::string& answer_bytes, const std::vector<std::string>& arguments) {
    FakeDaemon daemon{{answer_bytes}};
    return sluicectl(daemon.path(), arguments);
}

// One piece of a chunked body.
inline std::string chunk(const std::string& data) {
    std::ostringstream text;
    text << std::hex << data.size() << "\r\n" << data << "\r\n";
    return text.str();
}

}  // namespace sluice
