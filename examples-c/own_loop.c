/* own_loop: an echo server without a thread of its own: its main thread runs all callbacks.
 *
 * What it teaches:
 *   - dispatch = IOURINGNET_BY_CALLER: the net has no callback thread, and net_dispatch runs the callbacks;
 *   - net_wake, which a signal handler may call: the next net_dispatch returns, and the loop looks at `quit`;
 *   - that callbacks and the rest of the program need no mutex, because they share one thread;
 *   - net_stop on the dispatching thread, which runs the callbacks that are left.
 *
 * The echo itself is in own_loop_echo.h.
 *
 * To compile it:   cc -o own_loop own_loop.c -liouringnet
 * To try it:       ./own_loop &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#define _GNU_SOURCE /* for sigaction under -std=c11 */

#include <signal.h>

#include "own_loop_echo.h"

static iouringnet_net *net;
static volatile sig_atomic_t quit;

static void on_signal(int number) {
    (void)number;
    quit = 1;
    net_wake(net); /* the one function of the library that a signal handler may call */
}

int main(int argc, char **argv) {
    int code;
    const char *address = address_of("own_loop", argc, argv, &code);
    if (address == NULL)
        return code;
    net = start_echo("own_loop", address);
    if (net == NULL)
        return 1;

    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    iouringnet_status status = IOURINGNET_OK;
    while (!quit && status == IOURINGNET_OK)
        status = net_dispatch(net, IOURINGNET_NO_TIMEOUT);

    /* From here on a second signal ends the program at once, and no handler meets a net that is gone. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    return stop_echo("own_loop", net, status);
}
