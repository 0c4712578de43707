/* What the floors that serve by epoll have in common: the poller, and how connections are accepted. Each has its own loop. Its
 * one invariant: level-triggered alone, so that an event which was served in part comes again. */
#ifndef BENCH_EPOLL_H
#define BENCH_EPOLL_H

#include "server.h"

#include <sys/epoll.h>

#define MOST_EVENTS 256

static int poller;

static inline void watch_as(int fd, int operation, uint32_t events, epoll_data_t data) {
    struct epoll_event event = {.events = events, .data = data};
    if (epoll_ctl(poller, operation, fd, &event) != 0)
        die("epoll_ctl");
}

/* The same with events that name the descriptor. */
static inline void watch(int fd, int operation, uint32_t events) {
    watch_as(fd, operation, events, (epoll_data_t){.fd = fd});
}

static inline void open_poller(void) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
}

/* The next connection; -1: there is none now. */
static inline int accept_now(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
        return -1;
    if (fd < 0 || fd >= MOST_DESCRIPTORS)
        die("accept");
    set_nodelay(fd);
    return fd;
}

/* Has the poller watch all connections that wait. */
static inline void accept_all(int listener) {
    for (int fd; (fd = accept_now(listener)) >= 0;)
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

/* Returns how many events came. */
static inline int wait_for_events(struct epoll_event events[MOST_EVENTS]) {
    int n = epoll_wait(poller, events, MOST_EVENTS, -1);
    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    return n;
}

#endif
