// peer_asio_stream: one-way streams (stream.h) with Asio: async_read_some into a buffer of the session's, and a chain of
// async_write. Compiled twice, as peer_asio is.
#include "stream.h"

#include <asio.hpp>

#include <array>
#include <cstdio>
#include <memory>
#include <utility>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void start() {
        auto self(shared_from_this());
        asio::async_read(socket_, asio::buffer(&request_, sizeof request_),
                         [this, self](std::error_code error, std::size_t) {
            if (!error && request_.send_size <= MOST_PIECE)
                answer();
        });
    }

private:
    void answer() {
        auto self(shared_from_this());
        asio::async_write(socket_, asio::buffer(&request_, sizeof request_),
                          [this, self](std::error_code error, std::size_t) {
            if (error)
                return;
            if (request_.send_size > 0)
                send_more();
            else
                receive();
        });
    }

    void send_more() {
        auto self(shared_from_this());
        auto piece = asio::buffer(pattern_at(request_.number, offset_), request_.send_size);
        offset_ += request_.send_size;
        asio::async_write(socket_, piece, [this, self](std::error_code error, std::size_t) {
            if (!error)
                send_more();
        });
    }

    void receive() {
        auto self(shared_from_this());
        socket_.async_read_some(asio::buffer(data_), [this, self](std::error_code error, std::size_t size) {
            if (!error) {
                upload_took(&upload_, request_.number, data_.data(), size);
                receive();
            } else if (error == asio::error::eof) {
                tell_count();
            }
        });
    }

    void tell_count() {
        auto self(shared_from_this());
        count_ = upload_answer(&upload_);
        asio::async_write(socket_, asio::buffer(&count_, sizeof count_), [self](std::error_code, std::size_t) {});
    }

    tcp::socket socket_;
    stream_request request_{};
    std::uint64_t offset_ = 0; // of a download
    upload upload_{};
    std::uint64_t count_ = 0;
    std::array<char, STREAM_BUFFER> data_;
};

class server {
public:
    explicit server(asio::io_context &context)
        : acceptor_(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
        std::printf("listening on 127.0.0.1:%d\n", acceptor_.local_endpoint().port());
        std::fflush(stdout);
        accept();
    }

private:
    void accept() {
        acceptor_.async_accept([this](std::error_code error, tcp::socket socket) {
            if (!error) {
                socket.set_option(tcp::no_delay(true), error);
                std::make_shared<session>(std::move(socket))->start();
            }
            accept();
        });
    }

    tcp::acceptor acceptor_;
};

int main() {
    fill_pattern();
    asio::io_context context(1); // one thread runs it, which spares it some of its locks
    server streams(context);
    context.run();
}
