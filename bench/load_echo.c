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

#include "load_echo.h"
#include "load_base.h"
#include "load_connections.h"
#include "load_measure.h"
#include "load_memory.h"
#include "load_options.h"
#include "load_ring.h"
#include "pattern.h"
#include "server.h"

struct connection {
    int fd;
    uint64_t number;                /* where in the pattern it starts */
    uint64_t asked, sent, received; /* bytes: to be sent so far, handed to the kernel, come back */
    uint64_t begun, ended;          /* messages; at most MOST_IN_FLIGHT between them */
    int64_t *starts;                /* of the messages in flight, a ring of `places` */
    uint64_t places;
    uint64_t tried; /* bytes of the last send, which counts as sent unless it is told otherwise */
    bool pushed;    /* it is among those that have something to send */
    bool sending;   /* a send waits for room */
    bool full;      /* the last one fell short: the next waits for room */
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

static struct connection **to_push; /* that have something to send */
static int push_count;
static int64_t now; /* when the last wait was over */

/* Has what was asked for leave with the next wait. */
static void push_later(struct connection *c) {
    if (c->pushed || c->sending || c->sent == c->asked)
        return;
    c->pushed = true;
    to_push[push_count++] = c;
}

/* All that was asked for, as far as the kernel takes it at once. What it does not take waits for room, and is told when it is
 * out. */
static void push(struct connection *c) {
    uint64_t left = c->asked - c->sent;
    c->tried = left < IO_SIZE ? left : IO_SIZE;
    c->sending = c->full || c->tried < left;
    ring_send(c->fd, c, expected(c, c->sent), c->tried, c->sending);
    c->sent += c->tried;
    c->pushed = false;
}

static void on_sent(void *connection, int result) {
    struct connection *c = connection;
    if (result < 0 && result != -EAGAIN) {
        errno = -result;
        die("load: send");
    }
    uint64_t taken = result > 0 ? (uint64_t)result : 0;
    c->sent -= c->tried - taken;
    c->sending = false;
    c->full = taken < c->tried;
    push_later(c);
}

/* One more message, which the caller sends. */
static void begin_message(struct connection *c, int64_t at) {
    c->starts[c->begun++ % c->places] = at;
    c->asked += options.size;
    if (options.silent)
        shutdown(c->fd, SHUT_WR);
}

/* The same, to leave with the next wait. */
static void send_message(struct connection *c, int64_t at) {
    begin_message(c, at);
    push_later(c);
}

/* A connection that has had its answer and has seen the server's end makes place for a new one, whose message leaves at once.
 * The handshake with this very machine is over when connect returns. */
static void reopen(struct connection *c) {
    int64_t at = now_ns();
    close(c->fd);
    c->fd = connect_there();
    c->number += (uint64_t)options.connections;
    c->asked = c->sent = c->received = c->begun = c->ended = 0;
    begin_message(c, at);
    if (!send_all(c->fd, expected(c, 0), options.size))
        die("load: send");
    c->sent = options.size;
    ring_receive(c->fd, c);
}

static void on_end(struct connection *c) {
    if (options.silent)
        count(c->starts[c->ended++ % c->places], now);
    if (!options.reconnect || c->begun == 0 || c->ended < c->begun)
        fail("the server closed a connection");
    reopen(c);
}

/* In the closed loop as many messages leave as have come back whole. */
static void on_echo(struct connection *c, const unsigned char *data, uint64_t size) {
    if (c->received + size > c->sent)
        fail("more came back than was sent");
    if (memcmp(data, expected(c, c->received), size) != 0)
        fail("the echo differs from what was sent");
    c->received += size;
    while (c->received >= (c->ended + 1) * options.size) {
        count(c->starts[c->ended++ % c->places], now);
        if (options.reconnect)
            shutdown(c->fd, SHUT_WR);
        else if (options.rate == 0 && !done)
            send_message(c, now);
    }
}

static void on_received(void *connection, const unsigned char *data, int result, bool goes_on) {
    struct connection *c = connection;
    if (result < 0 && result != -ENOBUFS) {
        errno = -result;
        die("load: recv");
    }
    if (result >= 0)
        last_progress = now;
    if (result > 0)
        on_echo(c, data, (uint64_t)result);
    if (result == 0)
        on_end(c);
    else if (!goes_on)
        ring_receive(c->fd, c);
}

/* Sends what is to be sent, waits so long for what comes, and sees to it. */
static void take_turn(int64_t most_ns) {
    for (int i = 0; i < push_count; i++)
        push(to_push[i]);
    push_count = 0;
    ring_wait(most_ns);
    now = now_ns();
    ring_deliver(on_received, on_sent);
    keep_time(now);
}

static void run_closed(struct connection *connections) {
    now = now_ns();
    for (int i = 0; i < options.connections; i++)
        for (int k = 0; k < options.in_flight; k++)
            send_message(&connections[i], now);
    while (!done)
        take_turn(SECOND / 10);
}

/* Message k is due at start + k / rate, on connection k mod N. Between due moments it polls without sleeping where the
 * next is nearer than a sleep is exact. */
static void run_open(struct connection *connections) {
    double gap = (double)SECOND / options.rate;
    uint64_t k = 0;
    while (!done) {
        now = now_ns();
        int64_t due = start + (int64_t)((double)k * gap);
        while (due <= now) {
            struct connection *c = &connections[k % (uint64_t)options.connections];
            if (c->begun - c->ended < c->places)
                send_message(c, due);
            else if (counting)
                dropped++; /* more are waiting than can be remembered: told, because their latency is in no figure */
            k++;
            due = start + (int64_t)((double)k * gap);
        }
        take_turn(due - now > 2000000 ? due - now - 1000000 : 0);
    }
    /* What is still out is waited for: left out, the longest latencies would be missing. */
    for (int i = 0; i < options.connections; i++)
        while (connections[i].ended < connections[i].begun)
            take_turn(SECOND / 10);
}

static void run_loop(struct connection *connections) {
    to_push = calloc((size_t)options.connections, sizeof(struct connection *));
    if (!to_push)
        fail("out of memory");
    open_ring(options.connections, options.size * (size_t)options.in_flight);
    for (int i = 0; i < options.connections; i++)
        ring_receive(connections[i].fd, &connections[i]);
    start_clock();
    if (options.mode == OPEN_LOOP)
        run_open(connections);
    else
        run_closed(connections);
}

static void run_blocking(struct connection *c) {
    start_clock();
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
        now = last_progress = now_ns();
        count(at, now);
        keep_time(now);
    }
}

void run_echo(void) {
    struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
    struct connection *idle = calloc((size_t)options.idle + 1, sizeof *idle);
    struct memory none_open = {0};
    if (!connections || !idle)
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
    if (options.mode == BLOCKING)
        run_blocking(&connections[0]);
    else
        run_loop(connections);
    for (int i = 0; i < options.idle; i++)
        check_idle(&idle[i]);
    report();
}
