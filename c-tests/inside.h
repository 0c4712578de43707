/* What a test sees of the library inside this process without asking it: the descriptors of its connections
   and listeners, and its threads. */

#ifndef INSIDE_H
#define INSIDE_H

#include "support.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>

/* ---- descriptors ---- */

/* the port of an address of loopback as the library writes it */
static inline int port_of(const char *address) {
    const char *colon = strrchr(address, ':');

    CHECK(colon != NULL);
    return atoi(colon + 1);
}

/* the port at one end of a TCP socket over IPv4; -1: `fd` is none, or is not connected */
static inline int port_at(int fd, int (*end)(int, struct sockaddr *, socklen_t *)) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;

    if (end(fd, (struct sockaddr *)&at, &size) != 0 || at.sin_family != AF_INET)
        return -1;
    return ntohs(at.sin_port);
}

static inline int own_name(int fd, struct sockaddr *at, socklen_t *size) {
    return getsockname(fd, at, size);
}

static inline int peer_name(int fd, struct sockaddr *at, socklen_t *size) {
    return getpeername(fd, at, size);
}

/* the descriptor of this process with these two ports; peer -1: a listener's. It stays the library's. */
static inline int descriptor_with(int own, int peer) {
    for (int fd = 3; fd < 4096; fd++)
        if (port_at(fd, own_name) == own && port_at(fd, peer_name) == peer)
            return fd;
    CHECK(!"the connection has a descriptor");
    return -1;
}

static inline int descriptor_of(iouringnet_sink *sink) {
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(sink, &info));
    return descriptor_with(port_of(info.local.text), port_of(info.peer.text));
}

static inline int socket_option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;

    CHECK_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static inline struct tcp_info tcp_info_of(int fd) {
    struct tcp_info info;
    socklen_t size = sizeof info;

    memset(&info, 0, sizeof info);
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info;
}

/* the peer's FIN has come, whether or not somebody has received it */
static inline bool has_met_fin(int fd) {
    struct pollfd polled = {fd, POLLRDHUP, 0};

    CHECK(poll(&polled, 1, 0) >= 0);
    return (polled.revents & POLLRDHUP) != 0;
}

/* ---- threads ---- */

/* A thread of a test's, which says who it is before it makes the call that is to wait. */
struct waiter {
    _Atomic pid_t thread;
};

static inline void waiter_begins(struct waiter *waiter) {
    atomic_store(&waiter->thread, thread_id());
}

/* returns once the thread sleeps inside its call */
static inline void waiter_sleeps(struct waiter *waiter) {
    EVENTUALLY(atomic_load(&waiter->thread) != 0 && thread_sleeps(atomic_load(&waiter->thread)));
}

/* what this thread has run so far, in microseconds */
static inline int64_t processor_us(void) {
    struct timespec time;

    CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

#endif
