/* Each field of the options of a dial and of a bind, against a config that says something else.
   Rule: Transfers and arguments. */

#include "inside.h"

/* the options that a dial and a bind have in common, and what they come to */
struct row {
    const char *name;
    uint32_t nodelay;
    int64_t keepalive_ms;
    size_t send_buffer, recv_buffer;
    int want_nodelay, want_keepalive, want_send, want_recv; /* -1: not 2 * 40000 */
};

static const struct row rows[] = {
    {"nothing", 0, 0, 0, 0, 0, 1, 80000, 80000},
    {"nodelay on", IOURINGNET_ON, 0, 0, 0, 1, 1, 80000, 80000},
    {"no keepalive", 0, IOURINGNET_NO_TIMEOUT, 0, 0, 0, 0, 80000, 80000},
    {"buffers", 0, 0, 30000, 50000, 0, 1, 60000, 100000},
    {"buffers of the system", 0, 0, SIZE_MAX, SIZE_MAX, 0, 1, -1, -1},
    {"all", IOURINGNET_ON, 5000, 20000, 25000, 1, 1, 40000, 50000},
};

static iouringnet_config config_of_rows(void) {
    iouringnet_config config = config_of_mode();

    config.nodelay = IOURINGNET_OFF;
    config.keepalive_ms = 90000;
    config.send_buffer = config.recv_buffer = 40000;
    return config;
}

static void check_row(const struct row *row, const char *end, iouringnet_sink *sink) {
    int fd = descriptor_of(sink);
    int send = socket_option(fd, SOL_SOCKET, SO_SNDBUF), recv = socket_option(fd, SOL_SOCKET, SO_RCVBUF);

    fprintf(stderr, "%s, the %s end\n", row->name, end);
    CHECK_EQ(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), row->want_nodelay);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), row->want_keepalive);
    if (row->want_send > 0) {
        CHECK_EQ(send, row->want_send);
        CHECK_EQ(recv, row->want_recv);
    } else {
        CHECK(send != 80000 && recv != 80000);
    }
}

TEST(sockets_are_set_as_the_options_say) {
    iouringnet_config config = config_of_rows();
    iouringnet_net *net = net_with(&config);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        iouringnet_dial_options dial;
        iouringnet_bind_options bind;
        iouringnet_address address;
        iouringnet_listener *listener;
        struct end dialled, accepted;

        iouringnet_dial_options_init(&dial);
        iouringnet_bind_options_init(&bind);
        dial.nodelay = bind.nodelay = row->nodelay;
        dial.keepalive_ms = bind.keepalive_ms = row->keepalive_ms;
        dial.send_buffer = bind.send_buffer = row->send_buffer;
        dial.recv_buffer = bind.recv_buffer = row->recv_buffer;
        CHECK_OK(net_bind(net, "127.0.0.1:0", &bind, &listener));
        CHECK_OK(listener_address(listener, &address));
        CHECK_OK(net_dial(net, address.text, &dial, &dialled.sink, &dialled.stream));
        CHECK_OK(listener_accept(listener, &accepted.sink, &accepted.stream));
        check_row(row, "dialled", dialled.sink);
        check_row(row, "accepted", accepted.sink);
        end_close(&dialled);
        end_close(&accepted);
        listener_close(listener);
    }
    CHECK_OK(net_stop(net));
}

TEST(options_out_of_range_are_invalid) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_listener *listener;

    for (int i = 0; i < 4; i++) {
        iouringnet_dial_options dial;
        iouringnet_bind_options bind;

        iouringnet_dial_options_init(&dial);
        iouringnet_bind_options_init(&bind);
        dial.nodelay = bind.nodelay = i == 0 ? 4 : 0;
        dial.keepalive_ms = bind.keepalive_ms = i == 1 ? -2 : 0;
        dial.send_buffer = bind.send_buffer = i == 2 ? (size_t)INT32_MAX + 1 : 0;
        dial.recv_buffer = bind.recv_buffer = i == 3 ? SIZE_MAX - 1 : 0;
        CHECK_STATUS(net_dial(net, "127.0.0.1:1", &dial, &sink, &stream), IOURINGNET_INVALID);
        CHECK_STATUS(net_dial_async(net, "127.0.0.1:1", &dial, never, NULL, NULL), IOURINGNET_INVALID);
        CHECK_STATUS(net_bind(net, "127.0.0.1:0", &bind, &listener), IOURINGNET_INVALID);
    }
    CHECK_OK(net_stop(net));
}

/* ---- IPv6 alone ---- */

static iouringnet_status dial_four(iouringnet_net *net, const iouringnet_address *of_six) {
    iouringnet_address four;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status;

    CHECK_OK(iouringnet_address_make(&four, "127.0.0.1", port_of(of_six->text)));
    status = net_dial(net, four.text, NULL, &sink, &stream);
    if (status == 0) {
        sink_close(sink);
        stream_close(stream);
    }
    return status;
}

TEST(an_ipv6_listener_takes_ipv4_unless_its_options_say_otherwise) {
    iouringnet_net *net = net_of_mode();
    iouringnet_bind_options options;
    iouringnet_listener *listener;
    iouringnet_address address;

    iouringnet_bind_options_init(&options);
    options.ipv6_only = IOURINGNET_OFF;
    if (net_bind(net, "[::]:0", &options, &listener) != 0)
        SKIP("there is no IPv6 here");
    CHECK_OK(listener_address(listener, &address));
    CHECK_OK(dial_four(net, &address));
    options.ipv6_only = IOURINGNET_ON;
    CHECK_OK(net_bind(net, "[::]:0", &options, &listener));
    CHECK_OK(listener_address(listener, &address));
    CHECK_STATUS(dial_four(net, &address), -ECONNREFUSED);
    options.ipv6_only = IOURINGNET_SYSTEM;
    CHECK_STATUS(net_bind(net, "[::]:0", &options, &listener), IOURINGNET_INVALID);
    options.ipv6_only = IOURINGNET_ON; /* without meaning */
    CHECK_OK(net_bind(net, "127.0.0.1:0", &options, &listener));
    CHECK_OK(net_stop(net));
}

/* ---- the local address ---- */

static iouringnet_status dial_from(iouringnet_net *net, const char *address, const char *from,
                                   iouringnet_address *local) {
    iouringnet_dial_options options;
    iouringnet_sink_info info;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status;
    char text[64];

    iouringnet_dial_options_init(&options);
    snprintf(text, sizeof text, "%s", from);
    options.from = text;
    status = net_dial(net, address, &options, &sink, &stream);
    memset(text, 'x', sizeof text - 1);
    if (status != 0)
        return status;
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(sink, &info));
    *local = info.local;
    connection_abort(sink, NULL); /* the port is free at once */
    stream_close(stream);
    return 0;
}

TEST(a_dial_begins_where_its_options_say) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address, local, again;
    int fd = raw_listen(&address);

    CHECK_OK(dial_from(net, address.text, "127.0.0.7", &local));
    CHECK_MEM(local.text, "127.0.0.7:", 10);
    CHECK_OK(dial_from(net, address.text, local.text, &again)); /* the same port once more */
    CHECK_MEM(again.text, local.text, strlen(local.text) + 1);
    CHECK_STATUS(dial_from(net, address.text, "::1", &local), -EADDRNOTAVAIL);
    CHECK_STATUS(dial_from(net, address.text, "[::1]:7", &local), -EADDRNOTAVAIL);
    CHECK_STATUS(dial_from(net, "[::1]:7", "127.0.0.1", &local), -EADDRNOTAVAIL);
    CHECK_STATUS(dial_from(net, address.text, "192.0.2.1", &local), -EADDRNOTAVAIL);
    CHECK_STATUS(dial_from(net, address.text, "", &local), IOURINGNET_ADDRESS);
    CHECK_STATUS(dial_from(net, address.text, "localhost", &local), IOURINGNET_ADDRESS);
    CHECK_STATUS(dial_from(net, address.text, "localhost:7", &local), IOURINGNET_ADDRESS);
    CHECK_STATUS(dial_from(net, address.text, "127.0.0.1:x", &local), IOURINGNET_ADDRESS);
    CHECK_STATUS(dial_from(net, address.text, "fe80::1%nosuchif0", &local), -ENODEV);
    raw_close(fd);
    CHECK_OK(net_stop(net));
}

TEST(a_dial_over_ipv6_begins_where_its_options_say) {
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener;
    iouringnet_address address, local, again;

    if (net_bind(net, "[::1]:0", NULL, &listener) != 0)
        SKIP("there is no IPv6 here");
    CHECK_OK(listener_address(listener, &address));
    CHECK_OK(dial_from(net, address.text, "::1", &local));
    CHECK_MEM(local.text, "[::1]:", 6);
    CHECK_OK(dial_from(net, address.text, local.text, &again));
    CHECK_MEM(again.text, local.text, strlen(local.text) + 1);
    CHECK_OK(net_stop(net));
}
