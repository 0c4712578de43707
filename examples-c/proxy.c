/* proxy: passes each connection on to a backend, both ways.
 *
 * What it teaches:
 *   - stream_forward_async: the library receives, sends, and holds back the side that is faster. The program sees no byte;
 *   - passing an end on: a side that has ended its stream may still receive, so only its own direction is closed;
 *   - `side` of a completion, which says whether the client or the backend has failed;
 *   - when a program can free a pair of connections: after the callbacks of both forwards.
 *
 * To compile it:   cc -o proxy proxy.c -liouringnet
 * To try it:       ./proxy 127.0.0.1:7001 example.org:80 &   then   curl -H 'Host: example.org' http://127.0.0.1:7001/
 */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start.h"

/* A client and its backend. All callbacks run on one thread, so no lock is needed. */
struct pair {
    iouringnet_address name; /* of the client */
    struct end {
        iouringnet_sink *sink;
        iouringnet_stream *stream;
    } client, backend;
    int forwards; /* whose callback has not come yet; at 0 the pair is freed */
    size_t up, down;
};

static iouringnet_net *net;
static const char *backend;

static void abort_pair(struct pair *p) {
    connection_abort(p->client.sink, p->client.stream);
    connection_abort(p->backend.sink, p->backend.stream);
}

static void free_pair(struct pair *p) {
    connection_close(p->client.sink, p->client.stream);
    connection_close(p->backend.sink, p->backend.stream);
    printf("%s: %zu bytes to the backend, %zu bytes back\n", p->name.text, p->up, p->down);
    free(p);
}

/* One direction has ended. If the sender ended it in order, the receiver learns that, and the other direction goes on. */
static void forwarded(struct pair *p, const iouringnet_completion *done, iouringnet_sink *to, const char *side) {
    if (done->side != 0)
        fprintf(stderr, "proxy: %s: the %s: %s\n", p->name.text, side, iouringnet_strerror(done->status));
    if (done->status == IOURINGNET_OK)
        sink_close(to);
    else
        abort_pair(p); /* neither side may take a part for the whole */
    if (--p->forwards == 0)
        free_pair(p);
}

static void on_up(void *user, const iouringnet_completion *done) {
    struct pair *p = user;
    p->up = done->bytes;
    forwarded(p, done, p->backend.sink, done->side == IOURINGNET_SIDE_FROM ? "client" : "backend");
}

static void on_down(void *user, const iouringnet_completion *done) {
    struct pair *p = user;
    p->down = done->bytes;
    forwarded(p, done, p->client.sink, done->side == IOURINGNET_SIDE_FROM ? "backend" : "client");
}

static void on_dialled(void *user, const iouringnet_completion *done) {
    struct pair *p = user;
    iouringnet_status up = done->status, down = done->status;
    if (done->status == IOURINGNET_OK) {
        p->backend = (struct end){done->sink, done->stream};
        up = stream_forward_async(p->client.stream, p->backend.sink, IOURINGNET_ALL, on_up, p, NULL);
        down = stream_forward_async(p->backend.stream, p->client.sink, IOURINGNET_ALL, on_down, p, NULL);
        p->forwards = (up == IOURINGNET_OK) + (down == IOURINGNET_OK);
    }
    if (p->forwards == 2)
        return;
    fprintf(stderr, "proxy: %s: cannot reach %s: %s\n", p->name.text, backend, iouringnet_strerror(up ? up : down));
    abort_pair(p); /* if one forward has begun, it ends by this, and frees the pair */
    if (p->forwards == 0)
        free_pair(p);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != IOURINGNET_OK) /* the listener is closed */
        return;
    struct pair *p = calloc(1, sizeof *p);
    iouringnet_sink_info info;
    iouringnet_sink_info_init(&info);
    if (p != NULL && sink_info(done->sink, &info) == IOURINGNET_OK) {
        p->name = info.peer;
        p->client = (struct end){done->sink, done->stream};
        if (net_dial_async(net, backend, NULL, on_dialled, p, NULL) == IOURINGNET_OK)
            return;
    }
    connection_abort(done->sink, done->stream);
    free(p);
}

static int serve(const char *address, const sigset_t *signals) {
    iouringnet_listener *listener;
    iouringnet_address bound;
    int signal_number;
    iouringnet_status status = net_bind(net, address, NULL, &listener);
    if (status == IOURINGNET_OK)
        status = listener_address(listener, &bound);
    if (status == IOURINGNET_OK)
        status = listener_watch(listener, on_connection, NULL);
    if (status != IOURINGNET_OK) {
        fprintf(stderr, "proxy: cannot listen on %s: %s\n", address, iouringnet_strerror(status));
        return 1;
    }
    printf("listening on %s\n", bound.text);
    sigwait(signals, &signal_number);
    return 0;
}

static const char usage[] = "usage: proxy ADDRESS BACKEND\n"
                            "  ADDRESS  where to listen, HOST:PORT; port 0 takes a free one\n"
                            "  BACKEND  where each connection is passed on to, HOST:PORT\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-')
        return refuse_arguments(usage);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread starts, so that sigwait receives them */
    setvbuf(stdout, NULL, _IOLBF, 0);       /* a program that reads this through a pipe gets whole lines at once */
    backend = argv[2];
    net = start_net("proxy", NULL);
    if (net == NULL)
        return 1;
    int code = serve(argv[1], &signals);
    net_stop(net); /* ends every forward, and its callback frees the pair; TIMEOUT: a client did not read its rest */
    return code;
}
