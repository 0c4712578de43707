/* What the programs that use the library have in common: the net, the listener, the threads of those that accept by blocking
 * calls, and the end. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include "server.h"

#include <iouringnet.h>
#include <signal.h>

struct ours {
    iouringnet_net *net;
    iouringnet_listener *listener;
};

static inline void check(iouringnet_status status, const char *what) {
    if (status == IOURINGNET_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, iouringnet_strerror(status));
    exit(1);
}

static inline uint32_t engine_of(const char *name) {
    if (strcmp(name, "epoll") == 0)
        return IOURINGNET_ENGINE_EPOLL;
    if (strcmp(name, "io_uring") == 0)
        return IOURINGNET_ENGINE_IO_URING;
    fprintf(stderr, "no engine is called %s\n", name);
    exit(2);
}

/* Starts a net as the command line says. SIGTERM is blocked from here on, in all threads. */
static inline iouringnet_net *start_net(int argc, char **argv) {
    iouringnet_net *net;
    iouringnet_config config;
    iouringnet_config_init(&config);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") == 0) {
            config.first_try = IOURINGNET_OFF;
        } else if (strcmp(argv[i], "--no-spin") == 0) {
            config.spin_us = IOURINGNET_NO_SPIN;
        } else if (strcmp(argv[i], "--engine") == 0 && i + 1 < argc) {
            config.engine = engine_of(argv[++i]);
        } else if (strcmp(argv[i], "--own-loop") == 0) {
            config.dispatch = IOURINGNET_BY_CALLER;
        } else {
            fprintf(stderr, "usage: %s [--no-first-try] [--no-spin] [--engine io_uring|epoll] [--own-loop]\n", argv[0]);
            exit(2);
        }
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    raise_descriptor_limit();
    check(net_start(&config, &net), "net_start");
    return net;
}

/* The same with a listener on a free port. */
static inline struct ours start_ours(int argc, char **argv) {
    struct ours ours = {.net = start_net(argc, argv)};
    check(net_bind(ours.net, "127.0.0.1:0", NULL, &ours.listener), "net_bind");
    return ours;
}

static inline void announce_ours(const struct ours *ours) {
    iouringnet_address address;
    check(listener_address(ours->listener, &address), "listener_address");
    announce(address.text);
}

static inline void wait_for_sigterm(void) {
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &number);
}

static iouringnet_net *dispatched;
static volatile sig_atomic_t terminated;

static inline void on_sigterm(int number) {
    (void)number;
    terminated = 1;
    (void)net_wake(dispatched);
}

/* Waits for SIGTERM. If the net has no thread for its callbacks, this thread runs them meanwhile. */
static inline void serve_until_sigterm(iouringnet_net *net) {
    if (net_wake(net) == IOURINGNET_INVALID) {
        wait_for_sigterm();
        return;
    }
    dispatched = net;
    struct sigaction action = {.sa_handler = on_sigterm};
    sigaction(SIGTERM, &action, NULL);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    while (!terminated)
        check(net_dispatch(net, IOURINGNET_NO_TIMEOUT), "net_dispatch");
}

/* The exit code. A client that left unread bytes behind makes net_stop say TIMEOUT, which is no failure here. */
static inline int stop_net(iouringnet_net *net) {
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_TIMEOUT)
        check(status, "net_stop");
    return 0;
}

/* Runs `accept_all` in a thread until SIGTERM, and returns the exit code. `accept_all` is given `user`, and returns when the
 * net stops. */
static inline int accept_until_sigterm(const struct ours *ours, void *(*accept_all)(void *), void *user) {
    pthread_t acceptor = start_thread(NULL, accept_all, user);
    announce_ours(ours);
    wait_for_sigterm();
    int code = stop_net(ours->net);
    pthread_join(acceptor, NULL);
    return code;
}

/* ---- Programs with a thread for each connection ---- */

struct accepted {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    void (*serve)(const struct accepted *);
};

struct acceptor {
    const struct ours *ours;
    void (*serve)(const struct accepted *);
};

static inline void *serve_accepted(void *user) {
    struct accepted c = *(struct accepted *)user;
    free(user);
    c.serve(&c);
    sink_close(c.sink);
    stream_close(c.stream);
    return NULL;
}

/* Ends when the net stops, and with it every wait of the other threads. */
static inline void *accept_for_threads(void *user) {
    const struct acceptor *acceptor = user;
    pthread_attr_t attributes;
    init_thread_attributes(&attributes);
    struct accepted c = {.serve = acceptor->serve};
    while (listener_accept(acceptor->ours->listener, &c.sink, &c.stream) == IOURINGNET_OK) {
        struct accepted *own = malloc(sizeof *own);
        if (!own)
            die("malloc");
        *own = c;
        start_thread(&attributes, serve_accepted, own);
    }
    pthread_attr_destroy(&attributes);
    return NULL;
}

/* Calls `serve` for each connection, in a thread of its own, until SIGTERM; closes the connection when `serve` returns. Returns
 * the exit code. */
static inline int serve_ours_in_threads(const struct ours *ours, void (*serve)(const struct accepted *)) {
    struct acceptor acceptor = {.ours = ours, .serve = serve};
    return accept_until_sigterm(ours, accept_for_threads, &acceptor);
}

#endif
