// peer_asio_coroutines: the echo server of Asio's C++20 coroutine examples, with TCP_NODELAY: a coroutine for each connection.
// Compiled twice, as peer_asio.cpp is: for epoll and for io_uring.
#include <asio.hpp>

#include <array>
#include <cstdio>
#include <exception>
#include <utility>

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

static awaitable<void> echo(tcp::socket socket) {
    std::array<char, 16 * 1024> data;
    try {
        socket.set_option(tcp::no_delay(true));
        for (;;) {
            std::size_t size = co_await socket.async_read_some(asio::buffer(data), use_awaitable);
            co_await asio::async_write(socket, asio::buffer(data, size), use_awaitable);
        }
    } catch (const std::exception &) {
        // The connection has ended, and the socket closes with the coroutine.
    }
}

static awaitable<void> accept(tcp::acceptor acceptor) {
    for (;;) {
        std::error_code error;
        tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(use_awaitable, error));
        if (!error)
            asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

int main() {
    asio::io_context context(1); // one thread runs it, which spares it some of its locks
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(context, accept(std::move(acceptor)), asio::detached);
    context.run();
}
