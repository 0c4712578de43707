/* echo_server: sends back what each client sends. It works only in callbacks.
 *
 * What it teaches:
 *   - accepting with listener_watch, receiving with stream_watch, sending with sink_post;
 *   - back-pressure, if a client sends but does not read: sink_post returns IOURINGNET_FULL, stream_pause
 *     makes TCP hold the client back, and the sink's watch reports when there is room again;
 *   - when a program can free the memory of a connection: after the last call of both of its watches;
 *   - that a program which works only in callbacks needs no mutex: one thread runs all of them.
 *
 * To compile it:   cc -o echo_server echo_server.c -liouringnet
 * To try it:       ./echo_server &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int watches; /* whose last call has not come yet; at 0 the connection is freed */
};

/* Closes both halves. Posted bytes still go out, and then the client gets the end of the stream. Each watch gets
 * its last call, unless it has had it. Closing twice is harmless. */
static void hang_up(struct connection *c) {
    sink_close(c->sink);
    stream_close(c->stream);
}

/* The last call of a watch is its only call with a status that is not 0. The two watches of a connection end in
 * either order. Therefore the second one frees the connection. */
static void watch_ended(struct connection *c) {
    hang_up(c);
    c->watches--;
    if (c->watches == 0)
        free(c);
}

/* The stream's watch gets bytes from the client. Returns how many of them it has consumed. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) { /* usually IOURINGNET_EOF: all bytes are already posted */
        watch_ended(c);
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
    hang_up(c); /* the connection is broken; the last calls of the watches free it */
    return size;
}

/* The sink's watch: status 0 reports room again after IOURINGNET_FULL. */
static void on_room(void *user, const iouringnet_completion *done) {
    struct connection *c = user;
    if (done->status == IOURINGNET_OK)
        stream_resume(c->stream);
    else
        watch_ended(c);
}

/* The listener's watch gets each new connection. From now on the program owns it. */
static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */

    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        fprintf(stderr, "echo_server: no memory for a connection\n");
        sink_abort(done->sink);
        stream_close(done->stream);
        return;
    }
    c->sink = done->sink;
    c->stream = done->stream;
    if (sink_watch(c->sink, on_room, c) == IOURINGNET_OK)
        c->watches++;
    if (stream_watch(c->stream, on_data, c) == IOURINGNET_OK)
        c->watches++;
    if (c->watches < 2)
        hang_up(c); /* if one watch has begun, its last call frees the connection */
    if (c->watches == 0)
        free(c);
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
    if (status != IOURINGNET_OK)
        return failed("bind", status);
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

static int usage(void) {
    fprintf(stderr, "usage: echo_server [ADDRESS] [--no-first-try]\n"
                    "  ADDRESS         where to listen, 127.0.0.1:7000 unless given; port 0 takes a free one\n"
                    "  --no-first-try  send and receive by io_uring alone, without asking the kernel first\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *address = NULL;
    iouringnet_config config;
    iouringnet_config_init(&config);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") == 0)
            config.first_try = IOURINGNET_OFF;
        else if (argv[i][0] == '-' || address != NULL)
            return usage();
        else
            address = argv[i];
    }

    /* Block the signals before any thread starts, so that sigwait receives them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    iouringnet_net *net;
    iouringnet_status status = net_start(&config, &net);
    if (status != IOURINGNET_OK)
        return failed("start", status);
    int code = serve(net, address != NULL ? address : "127.0.0.1:7000", &signals);

    /* Closes the listener and every connection. Posted bytes go out first, and all watches get their last calls.
     * Therefore nothing is left to free when net_stop returns. */
    status = net_stop(net);
    if (status == IOURINGNET_TIMEOUT)
        fprintf(stderr, "echo_server: stopped, though some clients had not read all of their echo\n");
    else if (status != IOURINGNET_OK)
        code = failed("stop", status);
    return code;
}
