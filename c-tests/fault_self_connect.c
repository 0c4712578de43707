/* A dial to a port of this machine at which nobody listens. The kernel may choose the same port for the
   dialling socket, which then connects to itself (RFC 9293, simultaneous open).

   Each test has a network namespace of its own, in which the kernel has one port to choose from: there
   each connect(2) to this port connects to itself.
   Rule: Names and addresses. */

#include "own_namespace.h"
#include "support.h"

#include <netdb.h>

#define PORT 40000
#define PORT_TEXT "40000"

/* most times that a dial connects anew, from docs/CONTRACT.md */
enum { ANEW_MAX = 2 };

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    static struct sockaddr_in at;
    static struct addrinfo info;

    (void)service;
    (void)hints;
    CHECK(strcmp(node, "self.example") == 0);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    info.ai_family = AF_INET;
    info.ai_addr = (struct sockaddr *)&at;
    info.ai_addrlen = sizeof at;
    *result = &info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info) {
    (void)info;
}

/* Takes the callers' ports of this namespace from `from` to `to`; false: not allowed here. */
static bool ports(int from, int to) {
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
    bool written = file && fprintf(file, "%d %d\n", from, to) > 0;

    return file && fclose(file) == 0 && written;
}

static void namespace_with_one_port(void) {
    own_namespace();
    if (!ports(PORT, PORT))
        SKIP("the range of ports cannot be set here");
}

/* the test's own premise */
static void a_plain_socket_connects_to_itself(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in local;
    socklen_t size = sizeof local;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&local, &size), 0);
    CHECK_EQ(local.sin_port, at.sin_port);
    raw_reset(fd);
}

/* how many connections this namespace has begun */
static long begun(void) {
    FILE *file = fopen("/proc/thread-self/net/snmp", "re");
    char line[1024];
    long count = -1;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        sscanf(line, "Tcp: %*d %*d %*d %*d %ld", &count);
    fclose(file);
    CHECK(count >= 0);
    return count;
}

/* blocking, by callback and by op */
static void is_refused(iouringnet_net *net, const char *address) {
    struct result result = RESULT;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;

    CHECK_STATUS(net_dial(net, address, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_OK(net_dial_async(net, address, NULL, result_store, &result, NULL));
    CHECK_STATUS(result_wait(&result), -ECONNREFUSED);
    CHECK(result.done.sink == NULL && result.done.stream == NULL);
    CHECK_OK(net_dial_async(net, address, NULL, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), -ECONNREFUSED);
}

TEST(a_dial_that_connects_to_itself_is_refused) {
    iouringnet_net *net;

    namespace_with_one_port();
    a_plain_socket_connects_to_itself();
    net = net_of_mode();
    is_refused(net, "127.0.0.1:" PORT_TEXT);
    is_refused(net, "0.0.0.0:" PORT_TEXT);
    is_refused(net, "self.example:" PORT_TEXT);
    CHECK_EQ(stats_of(net).connections, 0);
    CHECK_OK(net_stop(net));
}

TEST(a_dial_by_ipv6_that_connects_to_itself_is_refused) {
    iouringnet_net *net;
    int fd;

    namespace_with_one_port();
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        SKIP("there is no IPv6 here");
    raw_close(fd);
    net = net_of_mode();
    is_refused(net, "[::1]:" PORT_TEXT);
    is_refused(net, "[::ffff:127.0.0.1]:" PORT_TEXT);
    CHECK_OK(net_stop(net));
}

TEST(a_dial_that_connected_to_itself_is_made_anew) {
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    long before;

    namespace_with_one_port();
    net = net_of_mode();
    before = begun();
    CHECK_STATUS(net_dial(net, "127.0.0.1:" PORT_TEXT, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_EQ(begun() - before, 1 + ANEW_MAX);
    before = begun();
    CHECK_STATUS(net_dial(net, "self.example:" PORT_TEXT, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_EQ(begun() - before, 1 + ANEW_MAX);
    CHECK_OK(net_stop(net));
}

/* What connected to itself must not hold the port: a server can be started there. */
TEST(a_dial_that_connected_to_itself_leaves_its_port_free) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int server, fd;

    namespace_with_one_port();
    net = net_of_mode();
    CHECK_STATUS(net_dial(net, "127.0.0.1:" PORT_TEXT, NULL, &sink, &stream), -ECONNREFUSED);
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(server, (struct sockaddr *)&at, sizeof at), 0); /* without SO_REUSEADDR */
    CHECK_EQ(listen(server, 1), 0);
    CHECK(ports(PORT, PORT + 10));
    CHECK_OK(net_dial(net, "127.0.0.1:" PORT_TEXT, NULL, &sink, &stream));
    fd = raw_accept(server);
    sink_close(sink);
    stream_close(stream);
    raw_close(fd);
    raw_close(server);
    CHECK_OK(net_stop(net));
}
