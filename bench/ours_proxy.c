/* ours_proxy: a proxy with the library's watches and posts: a connection to the backend for each one that it accepts, and bytes
 * both ways. Usage: ours_proxy [--no-first-try] BACKEND
 *
 * All callbacks run on one thread, which owns the pairs. Its one invariant: a pair is freed by the last call of its last
 * watch. */
#define _GNU_SOURCE

#include "ours.h"

struct pair;

struct end {
    struct pair *pair;
    struct end *other;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

struct pair {
    struct end client, backend;
    int watches; /* those whose last call is still to come */
    int streams; /* those that have not ended */
};

static iouringnet_net *net;
static const char *backend;

static void watch_ended(struct pair *p) {
    if (--p->watches == 0)
        free(p);
}

static void close_end(struct end *e) {
    sink_close(e->sink);
    stream_close(e->stream);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct end *from = user;
    struct pair *p = from->pair;
    if (status != IOURINGNET_OK) {
        if (status == IOURINGNET_EOF)
            sink_close(from->other->sink);
        else
            sink_abort(from->other->sink);
        if (--p->streams == 0) {
            close_end(&p->client);
            close_end(&p->backend);
        }
        watch_ended(p);
        return 0;
    }
    iouringnet_status posted = sink_post(from->other->sink, data, size);
    if (posted == IOURINGNET_FULL) {
        stream_pause(from->stream);
        return 0;
    }
    if (posted != IOURINGNET_OK)
        sink_abort(from->sink); /* nobody wants what this end brings; its stream ends with the connection */
    return size;
}

static void on_room(void *user, const iouringnet_completion *done) {
    struct end *e = user;
    if (done->status == IOURINGNET_OK)
        stream_resume(e->other->stream);
    else
        watch_ended(e->pair);
}

static void begin(struct end *e) {
    struct pair *p = e->pair;
    p->watches += sink_watch(e->sink, on_room, e) == IOURINGNET_OK;
    if (stream_watch(e->stream, on_data, e) == IOURINGNET_OK)
        p->watches++, p->streams++;
    else
        sink_abort(e->sink);
}

static void on_dialled(void *user, const iouringnet_completion *done) {
    struct pair *p = user;
    if (done->status != IOURINGNET_OK) {
        sink_abort(p->client.sink);
        stream_close(p->client.stream);
        free(p);
        return;
    }
    p->backend.sink = done->sink;
    p->backend.stream = done->stream;
    p->watches = 1; /* none ends before all have begun */
    begin(&p->client);
    begin(&p->backend);
    if (p->streams == 0) {
        close_end(&p->client);
        close_end(&p->backend);
    }
    watch_ended(p);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != IOURINGNET_OK)
        return;
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        die("calloc");
    p->client = (struct end){.pair = p, .other = &p->backend, .sink = done->sink, .stream = done->stream};
    p->backend = (struct end){.pair = p, .other = &p->client};
    check(net_dial_async(net, backend, NULL, on_dialled, p, NULL), "net_dial_async");
}

int main(int argc, char **argv) {
    backend = argc > 1 ? argv[--argc] : "";
    address_of(backend);
    struct ours ours = start_ours(argc, argv);
    net = ours.net;
    check(listener_watch(ours.listener, on_connection, NULL), "listener_watch");
    announce_ours(&ours);
    wait_for_sigterm();
    return stop_net(net);
}
