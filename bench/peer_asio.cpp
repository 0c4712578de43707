// peer_asio: the asynchronous TCP echo server of Asio's C++11 examples, with TCP_NODELAY. Compiled twice: for epoll, and with
// ASIO_HAS_IO_URING and ASIO_DISABLE_EPOLL for io_uring.
#include <asio.hpp>

#include <array>
#include <cstdio>
#include <memory>
#include <utility>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void start() { read(); }

private:
    void read() {
        auto self(shared_from_this());
        socket_.async_read_some(asio::buffer(data_), [this, self](std::error_code error, std::size_t size) {
            if (!error)
                write(size);
        });
    }

    void write(std::size_t size) {
        auto self(shared_from_this());
        asio::async_write(socket_, asio::buffer(data_, size), [this, self](std::error_code error, std::size_t) {
            if (!error)
                read();
        });
    }

    tcp::socket socket_;
    std::array<char, 16 * 1024> data_;
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
    asio::io_context context(1); // one thread runs it, which spares it some of its locks
    server echo(context);
    context.run();
}
