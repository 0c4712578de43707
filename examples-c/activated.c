/* activated: a daytime server that systemd starts when the first client comes. Its sockets are open before it runs.
 *
 * What it teaches:
 *   - socket activation: LISTEN_FDS says how many listening sockets the program inherits, from descriptor 3 on, and
 *     LISTEN_PID says for which process;
 *   - listener_adopt: each of these sockets becomes a listener of the net. Clients that came earlier are accepted too;
 *   - that the end of the program refuses no client: listener_close and net_stop leave an adopted socket open in
 *     systemd, which starts the program again.
 *
 * To compile it:   cc -o activated activated.c -liouringnet
 * To try it:       systemd-socket-activate -l 127.0.0.1:7013 ./activated   then   nc 127.0.0.1 7013
 */
#define _GNU_SOURCE /* for sigset_t, sigwait and gmtime_r under -std=c11 */

#include <iouringnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "start.h"

#define FIRST_DESCRIPTOR 3
#define LISTENERS_MAX 16

/* How many sockets this process inherits. The variables may be left over from a parent, so the process compares. */
static int inherited(void) {
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    int sockets = atoi(count);
    return sockets < 0 ? 0 : sockets;
}

/* The listener's watch gets each new connection: it sends the time and closes. Posted bytes go out after the close. */
static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    time_t now = time(NULL);
    struct tm utc;
    char line[64];
    gmtime_r(&now, &utc);
    size_t size = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S UTC\r\n", &utc);
    iouringnet_status status = sink_post(done->sink, line, size);
    if (status != IOURINGNET_OK)
        fprintf(stderr, "activated: a client gets no time: %s\n", iouringnet_strerror(status));
    sink_close(done->sink);
    stream_close(done->stream);
}

/* Accepts from the socket `fd`, which is the library's if this succeeds. */
static int serve_socket(iouringnet_net *net, int fd) {
    iouringnet_listener *listener;
    iouringnet_address address;
    iouringnet_status status = listener_adopt(net, fd, NULL, &listener);
    if (status == IOURINGNET_OK)
        status = listener_address(listener, &address);
    if (status == IOURINGNET_OK)
        status = listener_watch(listener, on_connection, NULL);
    if (status != IOURINGNET_OK) {
        fprintf(stderr, "activated: cannot listen by descriptor %d: %s\n", fd, iouringnet_strerror(status));
        return 1;
    }
    printf("listening on %s\n", address.text);
    fflush(stdout);
    return 0;
}

static const char usage[] =
    "usage: activated\n"
    "  sends the time to each client of the sockets that it inherits by LISTEN_FDS and LISTEN_PID\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc > 1)
        return refuse_arguments(usage);
    int sockets = inherited();
    if (sockets == 0 || sockets > LISTENERS_MAX) {
        fprintf(stderr, "activated: expects 1 to %d sockets by LISTEN_FDS, and got %d\n", LISTENERS_MAX, sockets);
        return 1;
    }

    /* Block the signals before any thread starts, so that sigwait receives them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    iouringnet_net *net = start_net("activated", NULL);
    if (net == NULL)
        return 1;
    int code = 0;
    for (int i = 0; i < sockets && code == 0; i++)
        code = serve_socket(net, FIRST_DESCRIPTOR + i);
    if (code == 0) {
        int signal_number;
        sigwait(&signals, &signal_number);
    }
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_OK) {
        fprintf(stderr, "activated: stopped: %s\n", iouringnet_strerror(status));
        code = 1;
    }
    return code;
}
