/* ours_chain: the echo server as a chain of the library's operations. A connection has one operation at a time, and the
 * callback of each begins the next: stream_recv_some_async, sink_send_async, and so on.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll
 *   --no-spin       asleep whenever there is nothing to do
 *   --own-loop      without a receive thread: the main thread runs the callbacks, by net_dispatch */
#define _GNU_SOURCE

#include "ours.h"

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    unsigned char piece[16 * 1024]; /* as in Asio's servers */
};

static void end_connection(struct connection *c) {
    sink_close(c->sink);
    stream_close(c->stream);
    free(c);
}

static void on_sent(void *user, const iouringnet_completion *done);

static void on_received(void *user, const iouringnet_completion *done) {
    struct connection *c = user;
    if (done->status != IOURINGNET_OK ||
        sink_send_async(c->sink, c->piece, done->bytes, on_sent, c, NULL) != IOURINGNET_OK)
        end_connection(c);
}

static void receive_next(struct connection *c) {
    if (stream_recv_some_async(c->stream, c->piece, sizeof c->piece, on_received, c, NULL) != IOURINGNET_OK)
        end_connection(c);
}

static void on_sent(void *user, const iouringnet_completion *done) {
    struct connection *c = user;
    if (done->status == IOURINGNET_OK)
        receive_next(c);
    else
        end_connection(c);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != IOURINGNET_OK)
        return;
    struct connection *c = malloc(sizeof *c);
    if (!c)
        die("malloc");
    c->sink = done->sink;
    c->stream = done->stream;
    receive_next(c);
}

int main(int argc, char **argv) {
    struct ours ours = start_ours(argc, argv);
    check(listener_watch(ours.listener, on_connection, NULL), "listener_watch");
    announce_ours(&ours);
    serve_until_sigterm(ours.net);
    return stop_net(ours.net);
}
