/* The modes of the load generator for echo servers:
 *
 *   closed loop  each connection has so many messages in flight and sends the next when one has come back;
 *   open loop    (--rate) messages leave at fixed moments, whatever the server does, and their latency counts from the
 *                moment at which they should have left: a server that stalls is charged for all that had to wait;
 *   blocking     (--blocking) one connection, send(2) and recv(2) without readiness: the plain ping-pong;
 *   reconnect    (--reconnect) the closed loop with a new connection for each message, which ends in good order;
 *   silent       (--silent) the same without a message: a connection is made, and both ends close it.
 *
 * Its one invariant: what comes back on a connection is what was sent there, to the byte and in order.
 */
#define _GNU_SOURCE

#include "load.h"

#include <sys/epoll.h>

struct connection {
    int fd;
    uint64_t number;     /* where in the pattern it starts */
    uint64_t asked, sent, received; /* bytes: to be sent so far, handed to the kernel, come back */
    uint64_t begun, ended;          /* messages; at most MOST_IN_FLIGHT between them */
    int64_t *starts;                /* of the messages in flight, a ring of `places` */
    uint64_t places;
};

static const unsigned char *expected(const struct connection *c, uint64_t offset) {
    return pattern_at(c->number, offset);
}

/* ---- Connections ---- */

/* Waits for a message that was sent: the server has then accepted the connection and serves it. */
static void await_greeting(struct connection *c) {
    size_t got = 0;
    while (got < options.size) {
        ssize_t n = recv(c->fd, incoming, options.size - got < IO_SIZE ? options.size - got : IO_SIZE, 0);
        if (n == 0)
            fail("the server closed a connection");
        if (n < 0)
            die("load: recv");
        if (memcmp(incoming, expected(c, got), (size_t)n) != 0)
            fail("the echo differs from what was sent");
        got += (size_t)n;
    }
    c->asked = c->sent = c->received = options.size;
    c->begun = c->ended = 1;
}

static void open_connection(struct connection *c, uint64_t number, uint64_t places) {
    *c = (struct connection){.fd = connect_there(), .number = number, .places = places};
    if (places > 0 && !(c->starts = calloc(places, sizeof *c->starts)))
        fail("out of memory");
    if (!send_all(c->fd, expected(c, 0), options.size))
        die("load: send");
}

/* With one message on each, `at_once` at the same time. */
static void open_connections(struct connection *all, int count, uint64_t first_number, uint64_t places, int at_once) {
    for (int open = 0, greeted = 0; open < count;) {
        for (; open < count && open - greeted < at_once; open++)
            open_connection(&all[open], first_number + (uint64_t)open, places);
        for (; greeted < open; greeted++)
            await_greeting(&all[greeted]);
    }
}

/* An idle connection must still be open, and nothing may have come on it. */
static void check_idle(const struct connection *c) {
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        fail("an idle connection did not stay open and silent");
}

/* ---- The loops ---- */

static int poller;

/* Edge-triggered: the kernel then looks at each connection once for a message, and not again in the next epoll_wait. So what
 * has come is taken until there is no more (pull), and room that is missed is told when it comes. */
static void watch(struct connection *c) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("load: epoll_ctl");
}

/* Hands the kernel as much of what was asked for as it takes. */
static void push(struct connection *c) {
    while (c->sent < c->asked) {
        uint64_t left = c->asked - c->sent;
        ssize_t n = send(c->fd, expected(c, c->sent), left < IO_SIZE ? left : IO_SIZE, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0)
            die("load: send");
        c->sent += (uint64_t)n;
    }
}

/* One more message, to be sent by the next push. */
static void begin_message(struct connection *c, int64_t at) {
    c->starts[c->begun++ % c->places] = at;
    c->asked += options.size;
    if (options.silent)
        shutdown(c->fd, SHUT_WR);
}

/* A connection that has had its answer and has seen the server's end makes place for a new one, which sends at once. The
 * handshake with this very machine is over when connect returns. */
static void reopen(struct connection *c) {
    int64_t now = now_ns();
    close(c->fd); /* takes it out of the poller, too */
    c->fd = connect_there();
    c->number += (uint64_t)options.connections;
    c->asked = c->sent = c->received = c->begun = c->ended = 0;
    watch(c);
    begin_message(c, now);
    push(c);
}

/* Takes what has come, and in the closed loop sends as many messages as have come back whole. Returns whether there may be
 * more: less than the buffer holds was all there was, but for the end, which is told together with the last bytes. */
static bool pull(struct connection *c, bool ended) {
    ssize_t n = recv(c->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (n == 0 && options.silent) {
        int64_t now = last_progress = now_ns();
        keep_time(now);
        count(c->starts[c->ended++ % c->places], now);
    }
    if (n == 0 && options.reconnect && c->begun > 0 && c->ended == c->begun) {
        reopen(c);
        return false;
    }
    if (n == 0)
        fail("the server closed a connection");
    if (n < 0)
        die("load: recv");
    if (c->received + (uint64_t)n > c->sent)
        fail("more came back than was sent");
    if (memcmp(incoming, expected(c, c->received), (size_t)n) != 0)
        fail("the echo differs from what was sent");
    c->received += (uint64_t)n;
    int64_t now = last_progress = now_ns();
    keep_time(now);
    while (c->received >= (c->ended + 1) * options.size) {
        int64_t at = c->starts[c->ended++ % c->places];
        count(at, now);
        if (options.reconnect)
            shutdown(c->fd, SHUT_WR);
        else if (options.rate == 0 && !done)
            begin_message(c, now);
    }
    push(c);
    return ended || n == sizeof incoming;
}

static void serve_events(int timeout_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, timeout_ms);
    if (n < 0 && errno != EINTR)
        die("load: epoll_wait");
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        push(c);
        while (events[i].events & ~(uint32_t)EPOLLOUT && pull(c, events[i].events & EPOLLRDHUP))
            ;
    }
}

static void run_closed(struct connection *connections) {
    for (int i = 0; i < options.connections; i++) {
        int64_t now = now_ns();
        for (int k = 0; k < options.in_flight; k++)
            begin_message(&connections[i], now);
        push(&connections[i]);
    }
    while (!done) {
        serve_events(100);
        keep_time(now_ns());
    }
}

/* Message k is due at start + k / rate, on connection k mod N. Between due moments it polls without sleeping where the
 * next is nearer than a sleep is exact. */
static void run_open(struct connection *connections) {
    double gap = (double)SECOND / options.rate;
    uint64_t k = 0;
    while (!done) {
        int64_t now = now_ns();
        int64_t due = start + (int64_t)((double)k * gap);
        while (due <= now) {
            struct connection *c = &connections[k % (uint64_t)options.connections];
            if (c->begun - c->ended < c->places) {
                begin_message(c, due);
                push(c);
            } else if (counting) {
                dropped++; /* more are waiting than can be remembered: told, because their latency is in no figure */
            }
            k++;
            due = start + (int64_t)((double)k * gap);
        }
        keep_time(now);
        serve_events(due - now > 2000000 ? (int)((due - now) / 1000000 - 1) : 0);
    }
    /* What is still out is waited for: left out, the longest latencies would be missing. */
    for (int i = 0; i < options.connections; i++)
        while (connections[i].ended < connections[i].begun) {
            serve_events(100);
            keep_time(now_ns());
        }
}

static void run_blocking(struct connection *c) {
    while (!done) {
        int64_t at = now_ns();
        if (!send_all(c->fd, expected(c, c->sent), options.size))
            die("load: send");
        c->sent += options.size;
        for (size_t got = 0; got < options.size;) {
            ssize_t n = recv(c->fd, incoming, options.size - got < IO_SIZE ? options.size - got : IO_SIZE, 0);
            if (n == 0)
                fail("the server closed the connection");
            if (n < 0)
                die("load: recv");
            if (memcmp(incoming, expected(c, c->received), (size_t)n) != 0)
                fail("the echo differs from what was sent");
            c->received += (uint64_t)n, got += (size_t)n;
        }
        int64_t now = last_progress = now_ns();
        count(at, now);
        keep_time(now);
    }
}

void run_echo(void) {
    struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
    struct connection *idle = calloc((size_t)options.idle + 1, sizeof *idle);
    struct memory none_open = {0};
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !idle || poller < 0)
        fail("out of memory");
    if (options.mode == MEMORY)
        none_open = settled_memory();
    /* One after the other where memory is measured, so that the server need not keep the messages of many. */
    open_connections(idle, options.idle, (uint64_t)options.connections, 0, options.mode == MEMORY ? 1 : 64);
    if (options.mode == MEMORY) {
        struct memory all_open = settled_memory();
        for (int i = 0; i < options.idle; i++)
            check_idle(&idle[i]);
        report_memory(&none_open, &all_open);
        return;
    }
    open_connections(connections, options.connections, 0,
                     options.mode == OPEN_LOOP ? MOST_IN_FLIGHT : (uint64_t)options.in_flight, 64);
    for (int i = 0; i < options.connections; i++)
        watch(&connections[i]);

    start_clock();
    if (options.mode == BLOCKING)
        run_blocking(&connections[0]);
    else if (options.mode == OPEN_LOOP)
        run_open(connections);
    else
        run_closed(connections);

    for (int i = 0; i < options.idle; i++)
        check_idle(&idle[i]);
    report();
}
