/* What the programs that use the library have in common: the net, the listener and the end. */
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

/* Starts a net as the command line says. SIGTERM is blocked from here on, in all threads. */
static inline iouringnet_net *start_net(int argc, char **argv) {
    iouringnet_net *net;
    iouringnet_config config;
    iouringnet_config_init(&config);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") != 0) {
            fprintf(stderr, "usage: %s [--no-first-try]\n", argv[0]);
            exit(2);
        }
        config.first_try = IOURINGNET_OFF;
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

/* The exit code. A client that left unread bytes behind makes net_stop say TIMEOUT, which is no failure here. */
static inline int stop_net(iouringnet_net *net) {
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_TIMEOUT)
        check(status, "net_stop");
    return 0;
}

#endif
