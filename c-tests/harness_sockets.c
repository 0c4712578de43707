/* The harness of the C tests: plain sockets as the peer. Every wait is bounded. */

#include "inside.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

static void bound_waits(int fd) {
    struct timeval span = {WAIT_MS / 1000, 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span), 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &span, sizeof span), 0);
}

/* before listen and connect, because the window is agreed upon there */
static int raw_socket(int rcvbuf, int sndbuf) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    bound_waits(fd);
    if (rcvbuf)
        CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf), 0);
    if (sndbuf)
        CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf), 0);
    return fd;
}

static void address_text(int fd, iouringnet_address *address) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;

    CHECK_EQ(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(address->text, sizeof address->text, "127.0.0.1:%u", ntohs(at.sin_port));
}

static int raw_bind(iouringnet_address *address, int rcvbuf, int sndbuf) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = raw_socket(rcvbuf, sndbuf);

    CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    address_text(fd, address);
    return fd;
}

int raw_listen_sized(iouringnet_address *address, int rcvbuf, int sndbuf, int backlog) {
    int fd = raw_bind(address, rcvbuf, sndbuf);

    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}

int raw_listen(iouringnet_address *address) {
    return raw_listen_sized(address, 0, 0, 4096);
}

int raw_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd >= 0);
    bound_waits(fd);
    return fd;
}

static int raw_connect(int fd, const char *address) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(address, ':');

    CHECK(colon != NULL);
    at.sin_port = htons((uint16_t)atoi(colon + 1));
    return connect(fd, (struct sockaddr *)&at, sizeof at);
}

int raw_try_dial(const char *address) {
    int fd = raw_socket(0, 0), error;

    if (raw_connect(fd, address) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

int raw_dial_sized(const char *address, int rcvbuf, int sndbuf) {
    int fd = raw_socket(rcvbuf, sndbuf);

    CHECK_EQ(raw_connect(fd, address), 0);
    return fd;
}

int raw_dial(const char *address) {
    return raw_dial_sized(address, 0, 0);
}

int raw_peer_sized(iouringnet_net *net, int rcvbuf, iouringnet_sink **sink, iouringnet_stream **stream) {
    iouringnet_address address;
    int listener = raw_listen_sized(&address, rcvbuf, 0, 16);
    int fd;

    CHECK_OK(net_dial(net, address.text, NULL, sink, stream));
    fd = raw_accept(listener);
    close(listener);
    return fd;
}

int raw_peer(iouringnet_net *net, iouringnet_sink **sink, iouringnet_stream **stream) {
    return raw_peer_sized(net, 0, sink, stream);
}

struct mixed mixed_pair_in(iouringnet_net *net, int rcvbuf) {
    struct mixed mixed = {.net = net};

    mixed.peer = raw_peer_sized(net, rcvbuf, &mixed.sink, &mixed.stream);
    return mixed;
}

struct mixed mixed_pair_with(const iouringnet_config *config, int rcvbuf) {
    struct mixed mixed = mixed_pair_in(net_with(config), rcvbuf);
    mixed.owns_net = true;
    return mixed;
}

struct mixed mixed_pair_sized(int rcvbuf) {
    iouringnet_config config = config_of_mode();
    return mixed_pair_with(&config, rcvbuf);
}

struct mixed mixed_pair(void) {
    return mixed_pair_sized(0);
}

void mixed_peer_ends(struct mixed *mixed) {
    char byte;

    raw_half_close(mixed->peer);
    CHECK_STATUS(stream_recv(mixed->stream, &byte, 1, NULL), IOURINGNET_EOF);
}

void mixed_stop(struct mixed *mixed) {
    sink_close(mixed->sink);
    stream_close(mixed->stream);
    if (mixed->owns_net)
        CHECK_OK(net_stop(mixed->net));
}

void mixed_close(struct mixed *mixed) {
    sink_close(mixed->sink);
    stream_close(mixed->stream);
    raw_close(mixed->peer);
    if (mixed->owns_net)
        CHECK_OK(net_stop(mixed->net));
}

void raw_pair(int fds[2]) {
    iouringnet_address address;
    int listener = raw_listen(&address);

    fds[0] = raw_dial(address.text);
    fds[1] = raw_accept(listener);
    close(listener);
}

void raw_send(int fd, const void *data, size_t size) {
    const char *bytes = data;
    while (size > 0) {
        ssize_t went = send(fd, bytes, size, MSG_NOSIGNAL);
        if (went < 0 && errno == EINTR)
            continue;
        CHECK(went > 0);
        bytes += went;
        size -= (size_t)went;
    }
}

/* recv that knows about EINTR; gives -errno */
static ssize_t raw_read(int fd, void *into, size_t size) {
    for (;;) {
        ssize_t got = recv(fd, into, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        return got < 0 ? -errno : got;
    }
}

void raw_recv(int fd, void *into, size_t size) {
    char *bytes = into;
    while (size > 0) {
        ssize_t got = raw_read(fd, bytes, size);
        CHECK(got > 0);
        bytes += got;
        size -= (size_t)got;
    }
}

size_t raw_recv_to_end(int fd, void *into, size_t room) {
    char *bytes = into, spare;
    size_t taken = 0;

    for (;;) {
        ssize_t got = taken < room ? raw_read(fd, bytes + taken, room - taken) : raw_read(fd, &spare, 1);
        CHECK(got >= 0);
        if (got == 0)
            return taken;
        CHECK(taken < room);
        taken += (size_t)got;
    }
}

void raw_expect_eof(int fd) {
    char byte;
    CHECK_EQ(raw_read(fd, &byte, 1), 0);
}

void raw_expect_reset(int fd) {
    static _Thread_local char waste[65536];
    ssize_t got;

    while ((got = raw_read(fd, waste, sizeof waste)) > 0)
        ;
    CHECK_EQ(got, -ECONNRESET);
}

void raw_half_close(int fd) {
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
}

int raw_unacknowledged(int fd) {
    int bytes = -1;
    CHECK_EQ(ioctl(fd, TIOCOUTQ, &bytes), 0);
    return bytes;
}

void raw_reset(int fd) {
    struct linger none = {1, 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    CHECK_EQ(close(fd), 0);
}

void raw_close(int fd) {
    CHECK_EQ(close(fd), 0);
}

void unused_address(iouringnet_address *address) {
    raw_bind(address, 0, 0); /* the process keeps it */
}

static bool takes_more(int fd) {
    struct pollfd polled = {fd, POLLOUT, 0};

    CHECK(poll(&polled, 1, 0) >= 0);
    return (polled.revents & POLLOUT) != 0;
}

size_t jam_sink(iouringnet_sink *sink) {
    static const char waste[65536];
    int fd = descriptor_of(sink);
    size_t total = 0, unsent = 0;
    int64_t moved = now_ms(), end = moved + WAIT_MS;
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    /* The pipe is full once a refused post is followed by 100 ms in which nothing moves. A socket that takes more waits for a
       loop that has not run yet. */
    while (now_ms() < moved + patient(100) || takes_more(fd)) {
        iouringnet_status status = sink_post(sink, waste, sizeof waste);

        CHECK(now_ms() < end);
        if (status == 0)
            total += sizeof waste;
        else
            CHECK_STATUS(status, IOURINGNET_FULL);
        CHECK_OK(sink_info(sink, &info));
        if (status == 0 || info.unsent != unsent)
            moved = now_ms();
        else
            nap();
        unsent = info.unsent;
    }
    CHECK(unsent > 0);
    return total;
}

size_t jam(struct end *end) {
    return jam_sink(end->sink);
}
