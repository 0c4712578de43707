/* ours_stream_callback: one-way streams (stream.h) with the library's callbacks. Uploads come by connection_watch; a download is a
 * chain of sink_send_async, two at a time, so that there is always one to go on with.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll */
#define _GNU_SOURCE

#include "ours.h"
#include "stream.h"

#define AT_A_TIME 2

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int users; /* the watch, and the sends under way; at 0 the connection is freed */
    bool asked;
    struct stream_request request;
    uint64_t offset; /* of a download */
    struct upload upload;
};

static void hang_up(struct connection *c) {
    sink_close(c->sink);
    stream_close(c->stream);
}

static void user_ended(struct connection *c) {
    hang_up(c);
    if (--c->users == 0)
        free(c);
}

static void on_sent(void *user, const iouringnet_completion *done);

/* Whether the next send is under way. */
static bool send_more(struct connection *c) {
    const unsigned char *piece = pattern_at(c->request.number, c->offset);
    c->offset += c->request.send_size;
    return sink_send_async(c->sink, piece, c->request.send_size, on_sent, c, NULL) == IOURINGNET_OK;
}

static void on_sent(void *user, const iouringnet_completion *done) {
    struct connection *c = user;
    if (done->status != IOURINGNET_OK || !send_more(c))
        user_ended(c);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status != IOURINGNET_OK) {
        uint64_t answer = upload_answer(&c->upload);
        if (status == IOURINGNET_EOF && c->asked && c->request.send_size == 0)
            sink_post(c->sink, &answer, sizeof answer);
        user_ended(c);
        return 0;
    }
    if (c->asked) {
        upload_took(&c->upload, c->request.number, data, size);
        return size;
    }
    if (size < sizeof c->request)
        return 0;
    memcpy(&c->request, data, sizeof c->request);
    c->asked = true;
    if (c->request.send_size > MOST_PIECE || sink_post(c->sink, &c->request, sizeof c->request) != IOURINGNET_OK)
        hang_up(c); /* the watch's last call frees the connection */
    else if (c->request.send_size > 0)
        for (int i = 0; i < AT_A_TIME; i++)
            c->users += send_more(c);
    return sizeof c->request;
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, NULL, NULL};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->sink = done->sink;
    c->stream = done->stream;
    c->users = 1;
    if (connection_watch(NULL, c->stream, &callbacks, c) != IOURINGNET_OK)
        user_ended(c);
}

int main(int argc, char **argv) {
    fill_pattern();
    struct ours ours = start_ours(argc, argv);
    check(listener_watch(ours.listener, on_connection, NULL), "listener_watch");
    announce_ours(&ours);
    wait_for_sigterm();
    return stop_net(ours.net);
}
