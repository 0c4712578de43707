/* ours_callback: the echo server with the library's callbacks: listener_watch, connection_watch, sink_post.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll
 *   --no-spin       asleep whenever there is nothing to do
 *   --own-loop      without a receive thread: the main thread runs the callbacks, by net_dispatch
 *
 * What a client sends while it does not read stays unconsumed until there is room again. */
#define _GNU_SOURCE

#include "ours.h"

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static void hang_up(struct connection *c) {
    connection_close(c->sink, c->stream);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) {
        hang_up(c);
        return 0;
    }
    iouringnet_status posted = sink_post(c->sink, data, size);
    if (posted == IOURINGNET_OK)
        return size;
    if (posted == IOURINGNET_FULL) {
        stream_pause(c->stream);
        return 0;
    }
    hang_up(c);
    return size;
}

static void on_room(void *user, iouringnet_status status) {
    struct connection *c = user;
    if (status == IOURINGNET_OK)
        stream_resume(c->stream);
    else
        hang_up(c);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->sink = done->sink;
    c->stream = done->stream;
    if (connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        hang_up(c);
        free(c);
    }
}

int main(int argc, char **argv) {
    struct ours ours = start_ours(argc, argv);
    check(listener_watch(ours.listener, on_connection, NULL), "listener_watch");
    announce_ours(&ours);
    serve_until_sigterm(ours.net);
    return stop_net(ours.net);
}
