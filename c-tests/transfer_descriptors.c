/* Sockets that the program has already, as listeners and connections, and the descriptors behind handles.
   Rule: Descriptors. */

#include "inside.h"

#include <fcntl.h>
#include <sys/un.h>

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static bool may_block(int fd) {
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

/* a second descriptor of a socket, as another process would hold it */
static int held_by_another(int fd) {
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    CHECK(other >= 0);
    return other;
}

static int fd_of_sink(iouringnet_sink *sink) {
    int fd = -1;

    CHECK_OK(sink_fd(sink, &fd));
    return fd;
}

static int fd_of_listener(iouringnet_listener *listener) {
    int fd = -1;

    CHECK_OK(listener_fd(listener, &fd));
    return fd;
}

/* five bytes each way between a connection and its plain peer */
static void talk(iouringnet_sink *sink, iouringnet_stream *stream, int peer) {
    char got[5];

    CHECK_OK(sink_send(sink, "hello", 5, NULL));
    raw_recv(peer, got, 5);
    CHECK_MEM(got, "hello", 5);
    raw_send(peer, "world", 5);
    CHECK_OK(stream_recv(stream, got, 5, NULL));
    CHECK_MEM(got, "world", 5);
}

/* ---- listeners ---- */

TEST(an_adopted_listener_accepts) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address, found;
    iouringnet_listener *listener;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fd = raw_listen(&address), early = raw_dial(address.text), late, own;

    CHECK_OK(listener_adopt(net, fd, NULL, &listener));
    CHECK(!is_open(fd));
    own = fd_of_listener(listener);
    CHECK(!may_block(own));
    CHECK_EQ(fcntl(own, F_GETFD), FD_CLOEXEC);
    CHECK_OK(listener_address(listener, &found));
    CHECK_MEM(found.text, address.text, strlen(address.text) + 1);
    CHECK_EQ(stats_of(net).listeners, 1);

    /* a connection from before, and one from after */
    late = raw_dial(address.text);
    for (int i = 0; i < 2; i++) {
        int peer = i == 0 ? early : late;

        CHECK_OK(listener_accept(listener, &sink, &stream));
        talk(sink, stream, peer);
        sink_close(sink);
        stream_close(stream);
        raw_expect_eof(peer);
        raw_close(peer);
    }
    CHECK_OK(net_stop(net));
    CHECK_EQ(raw_try_dial(address.text), -1); /* nobody else held it */
}

TEST(others_go_on_with_an_adopted_listener_that_is_closed) {
    for (int stops = 0; stops < 2; stops++) {
        iouringnet_net *net = net_of_mode();
        iouringnet_address address;
        iouringnet_listener *listener;
        struct result accept = RESULT;
        int fd = raw_listen(&address), other = held_by_another(fd), waits, after;

        CHECK_OK(listener_adopt(net, fd, NULL, &listener));
        CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
        settle(net);
        if (stops) {
            CHECK_OK(net_stop(net));
            CHECK_STATUS(result_wait(&accept), IOURINGNET_STOPPED);
        } else {
            listener_close(listener);
            CHECK_STATUS(result_wait(&accept), IOURINGNET_CLOSED);
            EVENTUALLY(stats_of(net).listeners == 0);
            CHECK_OK(net_stop(net));
        }
        waits = raw_dial(address.text);
        EVENTUALLY((after = accept4(other, NULL, NULL, SOCK_CLOEXEC)) >= 0);
        raw_send(waits, "x", 1);
        raw_close(waits);
        raw_close(after);
        raw_close(other);
    }
}

TEST(a_refused_adoption_leaves_the_listeners_descriptor) {
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener = (iouringnet_listener *)&net;
    iouringnet_bind_options options;
    iouringnet_address address;
    int fd = raw_listen(&address), null = open("/dev/null", O_RDONLY | O_CLOEXEC), pair[2], other, client;
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    raw_pair(pair);
    CHECK_EQ(bind(local, (struct sockaddr *)&name, sizeof name.sun_family), 0);
    CHECK_EQ(listen(local, 1), 0);
    CHECK_STATUS(listener_adopt(net, -1, NULL, &listener), -EBADF);
    CHECK_STATUS(listener_adopt(net, null, NULL, &listener), -ENOTSOCK);
    CHECK_STATUS(listener_adopt(net, pair[0], NULL, &listener), IOURINGNET_INVALID);
    CHECK_STATUS(listener_adopt(net, deaf, NULL, &listener), IOURINGNET_INVALID);
    CHECK_STATUS(listener_adopt(net, local, NULL, &listener), IOURINGNET_INVALID);
    CHECK_STATUS(listener_adopt(net, fd, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_adopt(NULL, fd, NULL, &listener), IOURINGNET_BAD_HANDLE);
    iouringnet_bind_options_init(&options);
    options.backlog = 1;
    CHECK_STATUS(listener_adopt(net, fd, &options, &listener), IOURINGNET_INVALID);
    options.backlog = 0;
    options.reuse_port = IOURINGNET_ON;
    CHECK_STATUS(listener_adopt(net, fd, &options, &listener), IOURINGNET_INVALID);
    options.reuse_port = 0;
    options.ipv6_only = IOURINGNET_OFF;
    CHECK_STATUS(listener_adopt(net, fd, &options, &listener), IOURINGNET_INVALID);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(listener_adopt(net, fd, NULL, &listener), IOURINGNET_BAD_HANDLE);

    CHECK(listener == (iouringnet_listener *)&net);
    CHECK(may_block(fd) && may_block(deaf) && may_block(local) && may_block(pair[0]) && is_open(null));
    client = raw_dial(address.text);
    other = raw_accept(fd);
    raw_close(other);
    raw_close(client);
    for (int i = 0; i < 2; i++)
        raw_close(pair[i]);
    raw_close(fd);
    raw_close(deaf);
    raw_close(local);
    close(null);
}

TEST(connections_of_an_adopted_listener_have_its_options) {
    iouringnet_net *net = net_of_mode();
    iouringnet_bind_options options;

    iouringnet_bind_options_init(&options);
    options.nodelay = IOURINGNET_OFF;
    options.keepalive_ms = 90000;
    for (int own = 0; own < 2; own++) {
        iouringnet_address address;
        iouringnet_listener *listener;
        iouringnet_sink *sink;
        iouringnet_stream *stream;
        int peer;

        CHECK_OK(listener_adopt(net, raw_listen(&address), own ? &options : NULL, &listener));
        peer = raw_dial(address.text);
        CHECK_OK(listener_accept(listener, &sink, &stream));
        CHECK_EQ(socket_option(fd_of_sink(sink), IPPROTO_TCP, TCP_NODELAY), !own);
        CHECK_EQ(socket_option(fd_of_sink(sink), SOL_SOCKET, SO_KEEPALIVE), own);
        raw_close(peer);
    }
    CHECK_OK(net_stop(net));
}

/* ---- connections ---- */

TEST(an_adopted_connection_sends_and_receives) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fds[2], own, before, keepalive = 1;
    char got[6];

    raw_pair(fds);
    raw_send(fds[1], "before", 6);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_KEEPALIVE, &keepalive, sizeof keepalive), 0);
    before = socket_option(fds[0], SOL_SOCKET, SO_SNDBUF);
    CHECK_OK(connection_adopt(net, fds[0], &sink, &stream));
    CHECK(!is_open(fds[0]));
    CHECK_EQ(stats_of(net).connections, 1);
    own = fd_of_sink(sink);
    CHECK(!may_block(own));
    CHECK_EQ(fcntl(own, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(socket_option(own, IPPROTO_TCP, TCP_NODELAY), 0); /* the config's is on */
    CHECK_EQ(socket_option(own, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(socket_option(own, SOL_SOCKET, SO_SNDBUF), before);

    CHECK_OK(stream_recv(stream, got, 6, NULL));
    CHECK_MEM(got, "before", 6);
    talk(sink, stream, fds[1]);
    CHECK_EQ(send(fds[1], "!", 1, MSG_OOB), 1); /* an urgent byte is in its place */
    raw_send(fds[1], "next", 4);
    CHECK_OK(stream_recv(stream, got, 5, NULL));
    CHECK_MEM(got, "!next", 5);
    sink_close(sink);
    raw_expect_eof(fds[1]);
    raw_close(fds[1]);
    CHECK_STATUS(stream_recv(stream, got, 1, NULL), IOURINGNET_EOF);
    stream_close(stream);
    CHECK_OK(net_stop(net));
}

TEST(the_close_of_an_adopted_connection_ends_it_for_all_who_hold_it) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fds[2], other;

    raw_pair(fds);
    other = held_by_another(fds[0]);
    CHECK_OK(connection_adopt(net, fds[0], &sink, &stream));
    sink_close(sink);
    stream_close(stream);
    raw_expect_eof(fds[1]);
    raw_close(fds[1]);
    CHECK_OK(net_stop(net));
    raw_close(other);
}

TEST(a_refused_adoption_leaves_the_connections_descriptor) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink = (iouringnet_sink *)&net;
    iouringnet_stream *stream = (iouringnet_stream *)&net;
    iouringnet_address address;
    int listening = raw_listen(&address), fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fds[2], dead[2], local[2];
    char got[2];

    raw_pair(fds);
    raw_pair(dead);
    raw_reset(dead[1]);
    EVENTUALLY(tcp_info_of(dead[0]).tcpi_state == TCP_CLOSE);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local), 0);
    CHECK_STATUS(connection_adopt(net, -1, &sink, &stream), -EBADF);
    CHECK_STATUS(connection_adopt(net, listening, &sink, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(connection_adopt(net, fresh, &sink, &stream), -ENOTCONN);
    CHECK_STATUS(connection_adopt(net, dead[0], &sink, &stream), -ENOTCONN);
    CHECK_STATUS(connection_adopt(net, local[0], &sink, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(connection_adopt(net, fds[0], NULL, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(connection_adopt(net, fds[0], &sink, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(connection_adopt(NULL, fds[0], &sink, &stream), IOURINGNET_BAD_HANDLE);
    CHECK_EQ(stats_of(net).connections, 0);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(connection_adopt(net, fds[0], &sink, &stream), IOURINGNET_BAD_HANDLE);

    CHECK(sink == (iouringnet_sink *)&net && stream == (iouringnet_stream *)&net);
    CHECK(may_block(fds[0]) && may_block(fresh) && may_block(dead[0]) && may_block(local[0]));
    raw_send(fds[0], "ok", 2);
    raw_recv(fds[1], got, 2);
    raw_close(listening);
    raw_close(fresh);
    raw_close(dead[0]);
    for (int i = 0; i < 2; i++) {
        raw_close(fds[i]);
        raw_close(local[i]);
    }
}

struct late {
    iouringnet_net *net;
    int fd, listening;
    iouringnet_status connection, listener;
};

/* a timer that net_stop ends */
static void adopt_late(void *user, const iouringnet_completion *done) {
    struct late *late = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_listener *listener;

    CHECK_STATUS(done->status, IOURINGNET_STOPPED);
    late->connection = connection_adopt(late->net, late->fd, &sink, &stream);
    late->listener = listener_adopt(late->net, late->listening, NULL, &listener);
}

TEST(a_net_that_stops_leaves_descriptors_alone) {
    struct late late = {.net = net_of_mode()};
    iouringnet_address address;
    int fds[2];
    char got[2];

    raw_pair(fds);
    late.fd = fds[0];
    late.listening = raw_listen(&address);
    CHECK_OK(net_call(late.net, 60000, adopt_late, &late, NULL));
    CHECK_OK(net_stop(late.net));
    CHECK_STATUS(late.connection, IOURINGNET_STOPPED);
    CHECK_STATUS(late.listener, IOURINGNET_STOPPED);
    raw_send(fds[0], "ok", 2);
    raw_recv(fds[1], got, 2);
    raw_close(raw_dial(address.text));
    raw_close(raw_accept(late.listening));
    raw_close(late.listening);
    raw_close(fds[0]);
    raw_close(fds[1]);
}

/* ---- the descriptors behind handles ---- */

TEST(handles_tell_their_descriptors) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct pair p = tcp_pair_in(net, net);
    int fd = -7, off = 0;

    CHECK_EQ(fd_of_listener(listener), descriptor_with(port_of(address.text), -1));
    CHECK_EQ(fd_of_sink(p.a.sink), descriptor_of(p.a.sink));
    CHECK_EQ(setsockopt(fd_of_sink(p.a.sink), IPPROTO_TCP, TCP_NODELAY, &off, sizeof off), 0);
    CHECK_EQ(socket_option(descriptor_of(p.a.sink), IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK_STATUS(sink_fd(p.a.sink, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_fd(listener, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_fd((iouringnet_sink *)listener, &fd), IOURINGNET_BAD_HANDLE);
    sink_close(p.a.sink);
    listener_close(listener);
    CHECK_STATUS(sink_fd(p.a.sink, &fd), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(listener_fd(listener, &fd), IOURINGNET_BAD_HANDLE);
    CHECK_EQ(fd, -7);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}
