/* ours_http: the HTTP server with the library's callbacks: listener_watch, connection_watch, sink_post.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll
 *   --no-spin       asleep whenever there is nothing to do
 *
 * While a client does not read its answers, the stream is paused. */
#define _GNU_SOURCE

#include "http.h"
#include "ours.h"

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct http http;
};

static void hang_up(struct connection *c) {
    connection_close(c->sink, c->stream);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

/* IOURINGNET_FULL: the sink has no room, and its watch tells when it has. */
static iouringnet_status post_answers(struct connection *c) {
    iouringnet_status status = IOURINGNET_OK;
    while (c->http.due > 0 && status == IOURINGNET_OK) {
        status = sink_post(c->sink, HTTP_ANSWER, sizeof HTTP_ANSWER - 1);
        if (status == IOURINGNET_OK)
            c->http.due--;
    }
    return status;
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) {
        hang_up(c);
        return 0;
    }
    bool http = http_take(&c->http, data, size);
    iouringnet_status posted = post_answers(c);
    if (!http || (posted != IOURINGNET_OK && posted != IOURINGNET_FULL))
        hang_up(c);
    else if (posted == IOURINGNET_FULL)
        stream_pause(c->stream);
    return size;
}

static void on_room(void *user, iouringnet_status status) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) {
        hang_up(c);
        return;
    }
    iouringnet_status posted = post_answers(c);
    if (posted == IOURINGNET_OK)
        stream_resume(c->stream);
    else if (posted != IOURINGNET_FULL)
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
    http_init(&c->http);
    if (connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        hang_up(c);
        free(c);
    }
}

int main(int argc, char **argv) {
    struct ours ours = start_ours(argc, argv);
    check(listener_watch(ours.listener, on_connection, NULL), "listener_watch");
    announce_ours(&ours);
    wait_for_sigterm();
    return stop_net(ours.net);
}
