/* Local addresses and IPv6 where the system has few ports or other defaults. Each test has a network namespace of its own.
   Rule: Names and addresses. */

#include "inside.h"
#include "own_namespace.h"

struct from {
    iouringnet_net *net;
    iouringnet_sink *sinks[64];
    iouringnet_stream *streams[64];
    size_t count;
};

/* a connection that stays open; its local port */
static iouringnet_status dial(struct from *from, const char *address, const char *local, int *port) {
    iouringnet_dial_options options;
    iouringnet_sink_info info;
    iouringnet_status status;
    size_t i = from->count;

    CHECK(i < 64);
    iouringnet_dial_options_init(&options);
    options.from = local;
    status = net_dial(from->net, address, &options, &from->sinks[i], &from->streams[i]);
    if (status == 0) {
        iouringnet_sink_info_init(&info);
        CHECK_OK(sink_info(from->sinks[i], &info));
        *port = port_of(info.local.text);
        from->count++;
    }
    return status;
}

static void all_close(struct from *from) {
    while (from->count > 0) {
        from->count--;
        connection_abort(from->sinks[from->count], from->streams[from->count]);
    }
    CHECK_OK(net_stop(from->net));
}

/* a port is chosen by both addresses: each peer has all ports */
/* one mode */ TEST(dials_from_one_address_have_all_its_ports_for_each_peer) {
    enum { PORTS = 8, FIRST = 40000 };
    struct from from = {.count = 0};
    iouringnet_address peers[2];
    int fds[2];

    own_namespace();
    for (int i = 0; i < 2; i++)
        fds[i] = raw_listen_sized(&peers[i], 0, 0, 64);
    set_of_namespace("/proc/sys/net/ipv4/ip_local_port_range", "40000 40007\n");
    from.net = net_of_mode();
    for (int i = 0; i < 2; i++) {
        bool used[PORTS] = {false};
        int port = 0;

        for (int j = 0; j < PORTS; j++) {
            CHECK_OK(dial(&from, peers[i].text, "127.0.0.7", &port));
            CHECK_BETWEEN(port, FIRST, FIRST + PORTS - 1);
            CHECK(!used[port - FIRST]);
            used[port - FIRST] = true;
        }
        CHECK_STATUS(dial(&from, peers[i].text, "127.0.0.7", &port), -EADDRNOTAVAIL);
    }
    all_close(&from);
    for (int i = 0; i < 2; i++)
        raw_close(fds[i]);
}

/* one mode */ TEST(one_local_port_reaches_several_peers) {
    struct from from = {.net = NULL};
    iouringnet_address peers[2];
    int first = 0, second = 0;
    char local[32];
    int fds[2];

    own_namespace();
    for (int i = 0; i < 2; i++)
        fds[i] = raw_listen(&peers[i]);
    from.net = net_of_mode();
    CHECK_OK(dial(&from, peers[0].text, "127.0.0.7", &first));
    snprintf(local, sizeof local, "127.0.0.7:%d", first);
    CHECK_OK(dial(&from, peers[1].text, local, &second));
    CHECK_EQ(second, first);
    CHECK_STATUS(dial(&from, peers[0].text, local, &second), -EADDRNOTAVAIL); /* this connection is there already */
    all_close(&from);
    for (int i = 0; i < 2; i++)
        raw_close(fds[i]);
}

/* one mode */ TEST(the_options_decide_about_ipv4_whatever_the_system_says) {
    iouringnet_bind_options options;
    struct from from = {.net = NULL};
    iouringnet_listener *listener;

    own_namespace();
    set_of_namespace("/proc/sys/net/ipv6/bindv6only", "1\n");
    from.net = net_of_mode();
    for (int off = 0; off < 2; off++) {
        iouringnet_address address, four;
        int port;

        iouringnet_bind_options_init(&options);
        options.ipv6_only = off ? IOURINGNET_OFF : 0;
        if (net_bind(from.net, "[::]:0", &options, &listener) != 0)
            SKIP("there is no IPv6 here");
        CHECK_OK(listener_address(listener, &address));
        CHECK_OK(iouringnet_address_make(&four, "127.0.0.1", (uint16_t)port_of(address.text)));
        CHECK_STATUS(dial(&from, four.text, NULL, &port), off ? 0 : -ECONNREFUSED);
    }
    all_close(&from);
}
