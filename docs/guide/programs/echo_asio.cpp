// echo_asio: the task of docs/guide/11-coming-from.md with Asio.
#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

using asio::ip::tcp;

/* [callbacks] */
class client : public std::enable_shared_from_this<client> {
public:
    client(tcp::socket socket, std::chrono::milliseconds idle)
        : socket_(std::move(socket)), timer_(socket_.get_executor()), idle_(idle) {}

    // The next read waits for the write, so the client is held back and one array suffices.
    void read() {
        wait();
        socket_.async_read_some(asio::buffer(data_),
                                [self = shared_from_this()](std::error_code error, std::size_t size) {
            if (!error)
                self->write(size);
            else
                self->finish();
        });
    }

private:
    void write(std::size_t size) {
        wait();
        asio::async_write(socket_, asio::buffer(data_, size),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
            if (!error)
                self->read();
            else
                self->finish();
        });
    }

    // Starts the time of one read or write anew.
    void wait() {
        timer_.expires_after(idle_);
        timer_.async_wait([self = shared_from_this()](std::error_code error) {
            if (!error)
                self->finish();
        });
    }

    void finish() {
        std::error_code ignored;
        timer_.cancel(ignored);
        socket_.close(ignored); // what is pending ends with operation_aborted; the last handler frees the client
    }

    tcp::socket socket_;
    asio::steady_timer timer_;
    std::chrono::milliseconds idle_;
    std::array<char, 64 * 1024> data_;
};
/* [end] */

static void accept(tcp::acceptor &acceptor, std::chrono::milliseconds idle) {
    acceptor.async_accept([&acceptor, idle](std::error_code error, tcp::socket socket) {
        if (error == asio::error::operation_aborted)
            return;
        if (!error) {
            socket.set_option(tcp::no_delay(true), error);
            std::make_shared<client>(std::move(socket), idle)->read();
        }
        accept(acceptor, idle);
    });
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    try {
        asio::io_context context(1);
        tcp::acceptor acceptor(
            context, tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(std::atoi(argv[1]))));
        asio::signal_set signals(context, SIGTERM);
        signals.async_wait([&context](std::error_code, int) { context.stop(); }); // bytes that wait are lost
        std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
        std::fflush(stdout);
        accept(acceptor, std::chrono::milliseconds(std::atol(argv[2])));
        context.run();
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "echo_asio: %s\n", error.what());
        return 1;
    }
}
