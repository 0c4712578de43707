/* ours_proxy: a proxy with the library's watches and posts: a connection to the backend for each one that it accepts, and bytes
 * both ways. Usage: ours_proxy [--no-first-try] BACKEND
 *
 * All callbacks run on one thread, which owns the pairs. Its one invariant: a pair is freed by the end of its second
 * connection. */
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
    int open;    /* ends that are still to come */
    int streams; /* those that have not ended */
};

static iouringnet_net *net;
static const char *backend;

static void ended(struct pair *p) {
    if (--p->open == 0)
        free(p);
}

static void on_end(void *user, iouringnet_status status) {
    struct end *e = user;
    (void)status;
    ended(e->pair);
}

static void close_end(struct end *e) {
    connection_close(e->sink, e->stream);
}

/* its stream still gets a last call */
static void abort_end(struct end *e) {
    connection_abort(e->sink, NULL);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct end *from = user;
    struct pair *p = from->pair;
    if (status != IOURINGNET_OK) {
        if (status == IOURINGNET_EOF)
            sink_close(from->other->sink);
        else
            abort_end(from->other);
        if (--p->streams == 0) {
            close_end(&p->client);
            close_end(&p->backend);
        }
        return 0;
    }
    iouringnet_status posted = sink_post(from->other->sink, data, size);
    if (posted == IOURINGNET_FULL) {
        stream_pause(from->stream);
        return 0;
    }
    if (posted != IOURINGNET_OK)
        abort_end(from); /* nobody wants what this end brings; its stream ends with the connection */
    return size;
}

static void on_room(void *user, iouringnet_status status) {
    struct end *e = user;
    if (status == IOURINGNET_OK)
        stream_resume(e->other->stream);
    else
        abort_end(e);
}

static void begin(struct end *e) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    struct pair *p = e->pair;
    if (connection_watch(e->sink, e->stream, &callbacks, e) == IOURINGNET_OK)
        p->open++, p->streams++;
    else
        close_end(e);
}

static void on_dialled(void *user, const iouringnet_completion *done) {
    struct pair *p = user;
    if (done->status != IOURINGNET_OK) {
        connection_abort(p->client.sink, p->client.stream);
        free(p);
        return;
    }
    p->backend.sink = done->sink;
    p->backend.stream = done->stream;
    p->open = 1; /* none ends before all have begun */
    begin(&p->client);
    begin(&p->backend);
    if (p->streams == 0) {
        close_end(&p->client);
        close_end(&p->backend);
    }
    ended(p);
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
