/* ticker: sends each client a line again and again, by a timer. The state of a client has two users, the watch of the
 * connection and the timer, and the program counts them. */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve.h"

enum { PERIOD_MS = 50 };

static iouringnet_net *net;

/* [state] */
struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    unsigned ticks;
    unsigned users; /* the watch and the timer; the last one frees the client */
};

static void let_go(struct client *c) {
    if (--c->users == 0)
        free(c);
}
/* [end] */

/* [tick] */
static void on_tick(void *user, const iouringnet_completion *done) {
    struct client *c = user;
    iouringnet_status status = done->status; /* IOURINGNET_STOPPED: the net is being stopped */
    if (status == 0) {
        char text[32];
        int size = snprintf(text, sizeof text, "tick %u\n", ++c->ticks);
        status = sink_post(c->sink, text, (size_t)size); /* IOURINGNET_BAD_HANDLE: the connection is closed */
        if (status == IOURINGNET_FULL)
            status = 0; /* a client that does not read misses this tick */
    }
    if (status == 0)
        status = net_call(net, PERIOD_MS, on_tick, c, NULL);
    if (status != 0)
        let_go(c);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    let_go(user);
}
/* [end] */

/* Ignores what a client sends, and closes when the client has ended its side. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    (void)data;
    if (status != 0)
        connection_close(c->sink, c->stream);
    return size;
}

/* [begin] */
static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, NULL, on_end};
    (void)user;
    if (done->status != 0)
        return; /* the listener is closed */
    struct client *c = malloc(sizeof *c);
    if (c != NULL)
        *c = (struct client){done->sink, done->stream, 0, 1}; /* the watch is the first user */
    if (c == NULL || connection_watch(c->sink, c->stream, &callbacks, c) != 0) {
        connection_abort(done->sink, done->stream);
        free(c);
        return;
    }
    if (net_call(net, 0, on_tick, c, NULL) == 0)
        c->users++;
    else
        connection_abort(c->sink, c->stream); /* `on_end` follows */
}
/* [end] */

int main(int argc, char **argv) {
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: ticker ADDRESS\n");
        return 2;
    }
    sigset_t signals = block_signals();
    net = start_net("ticker", NULL);
    if (net == NULL)
        return 1;
    return stop_serving(net, serve_on(net, "ticker", argv[1], on_connection, NULL, &signals));
}
