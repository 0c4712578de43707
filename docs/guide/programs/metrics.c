/* metrics: answers each HTTP request with the statistics of the net, as Prometheus reads them. */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "serve.h"

enum { REQUEST_MS = 5000, REQUEST_MAX_SIZE = 8 << 10 };

static iouringnet_net *net;

struct scrape {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

/* The request is here up to its empty line, or it does not come. */
static void on_request(void *user, const iouringnet_completion *done) {
    static char text[16 << 10]; /* one thread runs all callbacks */
    struct scrape *s = user;
    char head[128];
    size_t size;
    iouringnet_status status = done->status;
    if (status == 0)
        status = net_metrics(net, text, sizeof text, &size);
    if (status == 0) {
        int head_size = snprintf(head, sizeof head,
                                 "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                                 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                                 size);
        struct iovec parts[] = {{head, (size_t)head_size}, {text, size}};
        sink_postv(s->sink, parts, 2);
    }
    connection_close(s->sink, s->stream); /* what was posted still goes out */
    free(s);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status != 0)
        return; /* the listener is closed */
    struct scrape *s = malloc(sizeof *s);
    if (s != NULL) {
        *s = (struct scrape){done->sink, done->stream};
        stream_set_timeout(s->stream, REQUEST_MS);
        if (stream_fill_until_async(s->stream, "\r\n\r\n", 4, REQUEST_MAX_SIZE, on_request, s, NULL) == 0)
            return;
        free(s);
    }
    connection_abort(done->sink, done->stream);
}

int main(int argc, char **argv) {
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: metrics ADDRESS\n");
        return 2;
    }
    sigset_t signals = block_signals();
    net = start_net("metrics", NULL);
    if (net == NULL)
        return 1;
    return stop_serving(net, serve_on(net, "metrics", argv[1], on_connection, NULL, &signals));
}
