/* What the servers among the examples share: all but the work on a connection. */
#ifndef SERVE_H
#define SERVE_H

#include <signal.h>

#include "start.h"

/* Blocks SIGINT and SIGTERM: sigwait then receives them. The program calls this before any thread starts. */
static inline sigset_t block_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

/* Listens on `address`, and gives each connection to `on_connection`, until one of the signals arrives. Prints where it
 * listens, or why it cannot. */
static inline iouringnet_status serve_on(iouringnet_net *net, const char *program, const char *address,
                                         iouringnet_callback on_connection, void *user, const sigset_t *signals) {
    iouringnet_status status = listen_on(net, program, address, on_connection, user);
    int signal_number;
    if (status == IOURINGNET_OK)
        sigwait(signals, &signal_number);
    return status;
}

/* Closes the listener and every connection. What was posted goes out first, unless a client does not read it. Returns the
 * exit code of a program that has served with this status. */
static inline int stop_serving(iouringnet_net *net, iouringnet_status served) {
    iouringnet_status stopped = net_stop(net);
    return served == IOURINGNET_OK && (stopped == IOURINGNET_OK || stopped == IOURINGNET_TIMEOUT) ? 0 : 1;
}

/* All of it: starts a net, serves until one of the signals arrives, and stops the net. Returns the exit code. */
static inline int serve_until_signal(const char *program, const char *address, iouringnet_callback on_connection,
                                     void *user) {
    sigset_t signals = block_signals();
    iouringnet_net *net = start_net(program, NULL);
    if (net == NULL)
        return 1;
    return stop_serving(net, serve_on(net, program, address, on_connection, user, &signals));
}

#endif
