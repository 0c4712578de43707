/* echo_server: sends back what each client sends. It works only in callbacks.
 *
 * What it teaches:
 *   - accepting with listener_watch, receiving with connection_watch, sending with sink_post;
 *   - back-pressure, if a client sends but does not read: sink_post returns IOURINGNET_FULL, stream_pause
 *     makes TCP hold the client back, and the watch reports when there is room again;
 *   - the log: the library hands over lines, and the program adds the time;
 *   - when a program can free the memory of a connection: in the `end` of its watch;
 *   - that a program which works only in callbacks needs no mutex: one thread runs all of them.
 *
 * To compile it:   cc -o echo_server echo_server.c -liouringnet
 * To try it:       ./echo_server &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#define _GNU_SOURCE /* for sigset_t, sigwait and localtime_r under -std=c11 */

#include <iouringnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "start.h"

#define DEFAULT_ADDRESS "127.0.0.1:7000"

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

/* Gets bytes from the client. Returns how many of them it has consumed. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) { /* the last call; usually IOURINGNET_EOF: all bytes are already posted */
        connection_close(c->sink, c->stream);
        return 0;
    }
    iouringnet_status posted = sink_post(c->sink, data, size);
    if (posted == IOURINGNET_OK)
        return size;
    if (posted == IOURINGNET_FULL) {
        /* The client does not read. sink_post took nothing, so this consumes nothing. The library keeps the bytes
         * and shows them again after stream_resume. Until then the client can send only what the kernel's
         * buffers hold. */
        stream_pause(c->stream);
        return 0;
    }
    connection_abort(c->sink, c->stream); /* the connection is broken */
    return size;
}

/* Status 0 reports room again after IOURINGNET_FULL. Any other status tells that the connection is broken. */
static void on_room(void *user, iouringnet_status status) {
    struct connection *c = user;
    if (status == IOURINGNET_OK)
        stream_resume(c->stream);
    else
        connection_abort(c->sink, c->stream);
}

/* The connection is over: both halves are closed, and posted bytes have gone out. No other callback follows. */
static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

/* The listener's watch gets each new connection. From now on the program owns it. */
static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */

    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        fprintf(stderr, "echo_server: no memory for a connection\n");
        connection_abort(done->sink, done->stream);
        return;
    }
    c->sink = done->sink;
    c->stream = done->stream;
    if (connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        connection_abort(c->sink, c->stream); /* no callback follows */
        free(c);
    }
}

static int failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "echo_server: cannot %s: %s\n", what, iouringnet_strerror(status));
    return 1;
}

/* Binds, serves until one of `signals` arrives, and returns the exit code. */
static int serve(iouringnet_net *net, const char *address, const sigset_t *signals) {
    iouringnet_listener *listener;
    iouringnet_address bound;
    iouringnet_status status = net_bind(net, address, NULL, &listener);
    if (status != IOURINGNET_OK) {
        fprintf(stderr, "echo_server: cannot bind %s: %s\n", address, iouringnet_strerror(status));
        return 1;
    }
    status = listener_watch(listener, on_connection, NULL);
    if (status != IOURINGNET_OK)
        return failed("accept", status);
    status = listener_address(listener, &bound);
    if (status != IOURINGNET_OK)
        return failed("tell the address", status);

    printf("listening on %s\n", bound.text);
    fflush(stdout); /* a program that reads this through a pipe waits for the line */

    int signal_number;
    sigwait(signals, &signal_number);
    return 0;
}

/* Prints one line of the library's log. It runs on both threads of the net, and one call of fprintf prints a whole
 * line. */
static void print_log(void *user, int32_t level, const char *text) {
    static const char *const names[] = {"", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    (void)user;
    struct timespec now;
    struct tm local;
    char clock[sizeof "hh:mm:ss"];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
    fprintf(stderr, "%s.%06ld %-5s %s\n", clock, now.tv_nsec / 1000, names[level], text);
}

static const char usage[] =
    "usage: echo_server [ADDRESS] [--log] [--no-first-try]\n"
    "  ADDRESS         where to listen, HOST:PORT; default: " DEFAULT_ADDRESS "; port 0 takes a free one\n"
    "  --log           print each connection that begins or ends, with the time\n"
    "  --no-first-try  send and receive by the loops alone, without asking the kernel first\n";

int main(int argc, char **argv) {
    const char *address = NULL;
    iouringnet_config config;
    iouringnet_config_init(&config);
    answer_questions(argc, argv, usage);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") == 0) {
            config.first_try = IOURINGNET_OFF;
        } else if (strcmp(argv[i], "--log") == 0) {
            config.log = print_log;
            config.log_level = IOURINGNET_LOG_DEBUG;
        } else if (argv[i][0] == '-' || address != NULL) {
            return refuse_arguments(usage);
        } else {
            address = argv[i];
        }
    }

    /* Block the signals before any thread starts, so that sigwait receives them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    iouringnet_net *net = start_net("echo_server", &config);
    if (net == NULL)
        return 1;
    int code = serve(net, address != NULL ? address : DEFAULT_ADDRESS, &signals);

    /* Closes the listener and every connection. Posted bytes go out first, and every connection gets its end.
     * Therefore nothing is left to free when net_stop returns. */
    iouringnet_status status = net_stop(net);
    if (status == IOURINGNET_TIMEOUT)
        fprintf(stderr, "echo_server: stopped, though some clients had not read all of their echo\n");
    else if (status != IOURINGNET_OK)
        code = failed("stop", status);
    return code;
}
