/* many_cores: an echo server with one net for each core. All nets listen on one port, and the kernel spreads the connections
 * over them. */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve.h"

enum { NETS_MAX = 64 };

/* [worker] */
/* Everything that the callbacks of one net use. No other thread uses it, so it needs no lock. */
struct worker {
    iouringnet_net *net;
    iouringnet_listener *listener;
    unsigned long connections;
};
/* [end] */

struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    if (status == IOURINGNET_OK)
        status = sink_post(c->sink, data, size);
    if (status == IOURINGNET_OK)
        return size;
    if (status == IOURINGNET_FULL)
        stream_pause(c->stream);
    else
        connection_close(c->sink, c->stream);
    return 0;
}

static void on_room(void *user, iouringnet_status status) {
    struct client *c = user;
    if (status == IOURINGNET_OK)
        stream_resume(c->stream);
    else
        connection_close(c->sink, c->stream);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    struct worker *worker = user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    worker->connections++;
    struct client *c = malloc(sizeof *c);
    if (c != NULL)
        *c = (struct client){done->sink, done->stream};
    if (c == NULL || connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        free(c);
        connection_abort(done->sink, done->stream);
    }
}

/* [bind] */
/* Starts a net that shares the port of the others. The first one may ask for port 0; `bound` gets the port that it found. */
static iouringnet_status begin(struct worker *worker, const char *address, iouringnet_address *bound) {
    iouringnet_bind_options options;
    iouringnet_bind_options_init(&options);
    options.reuse_port = IOURINGNET_ON; /* also for the first one: the kernel asks each listener of the port */
    iouringnet_status status = net_bind(worker->net, address, &options, &worker->listener);
    if (status == IOURINGNET_OK)
        status = listener_address(worker->listener, bound);
    return status;
}

static iouringnet_status begin_all(struct worker *workers, int nets, const char *address, iouringnet_address *bound) {
    iouringnet_status status = IOURINGNET_OK;
    for (int i = 0; i < nets && status == IOURINGNET_OK; i++)
        status = begin(&workers[i], i == 0 ? address : bound->text, bound);
    for (int i = 0; i < nets && status == IOURINGNET_OK; i++)
        status = listener_watch(workers[i].listener, on_connection, &workers[i]);
    return status;
}
/* [end] */

int main(int argc, char **argv) {
    static struct worker workers[NETS_MAX];
    int nets = argc == 3 ? atoi(argv[2]) : (int)sysconf(_SC_NPROCESSORS_ONLN), signal_number, started = 0;
    if (argc < 2 || argc > 3 || argv[1][0] == '-' || nets < 1 || nets > NETS_MAX) {
        fprintf(stderr, "usage: many_cores ADDRESS [NETS]\n");
        return 2;
    }
    sigset_t signals = block_signals();
    iouringnet_address bound;
    while (started < nets && (workers[started].net = start_net("many_cores", NULL)) != NULL)
        started++;
    iouringnet_status status = started == nets ? begin_all(workers, nets, argv[1], &bound) : IOURINGNET_CANCELLED;
    if (status == IOURINGNET_OK) {
        printf("listening on %s\n", bound.text);
        fflush(stdout);
        sigwait(&signals, &signal_number);
    } else if (started == nets) {
        fprintf(stderr, "many_cores: cannot listen on %s: %s\n", argv[1], iouringnet_strerror(status));
    }
    for (int i = 0; i < started; i++) {
        net_stop(workers[i].net);
        printf("net %d: %lu connections\n", i, workers[i].connections);
    }
    return status != IOURINGNET_OK;
}
