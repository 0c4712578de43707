/* ours_dial: dials with the library.
 *
 *                   by callbacks alone
 *   --blocking      by blocking calls, one thread for each connection
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll */
#define _GNU_SOURCE

#include "ours.h"

#include <pthread.h>

struct connection {
    iouringnet_net *net;
    const char *target;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    size_t received; /* of the answer, by callbacks */
    unsigned char message[DIAL_MESSAGE];
};

static void hang_up(struct connection *c) {
    sink_close(c->sink);
    stream_close(c->stream);
}

/* Whether all is well, so that a next one may begin. */
static bool goes_on(iouringnet_status status) {
    if (status == IOURINGNET_OK)
        return true;
    if (status == IOURINGNET_STOPPED || status == IOURINGNET_BAD_HANDLE)
        return false; /* this program ends */
    if (status == IOURINGNET_EOF)
        status = -ECONNRESET;
    if (status < -4095)
        check(status, "dial");
    dial_failed(-status);
    return false;
}

/* ---- By callbacks ---- */

static void dial(struct connection *c);

/* The answer, and then the other side's end. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    if (status == IOURINGNET_OK) {
        if (size > DIAL_MESSAGE - c->received)
            die("an answer longer than a message");
        memcpy(c->message + c->received, data, size);
        c->received += size;
        return size;
    }
    hang_up(c);
    if (status == IOURINGNET_EOF && c->received > 0 && c->received < DIAL_MESSAGE)
        die("an answer shorter than a message");
    if (status == IOURINGNET_EOF && c->received == DIAL_MESSAGE)
        status = IOURINGNET_OK;
    if (goes_on(status))
        dial(c);
    return 0;
}

static void on_dialled(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, NULL, NULL};
    struct connection *c = user;
    if (!goes_on(done->status))
        return;
    c->sink = done->sink;
    c->stream = done->stream;
    c->received = 0;
    iouringnet_status status = sink_post(c->sink, c->message, DIAL_MESSAGE);
    if (status == IOURINGNET_OK)
        status = connection_watch(NULL, c->stream, &callbacks, c);
    if (!goes_on(status))
        hang_up(c);
}

static void dial(struct connection *c) {
    goes_on(net_dial_async(c->net, c->target, NULL, on_dialled, c, NULL));
}

/* ---- By blocking calls ---- */

static void *dial_for_ever(void *user) {
    struct connection *c = user;
    while (goes_on(net_dial(c->net, c->target, NULL, &c->sink, &c->stream))) {
        iouringnet_status status = sink_send(c->sink, c->message, DIAL_MESSAGE, NULL);
        if (status == IOURINGNET_OK)
            status = stream_recv(c->stream, c->message, DIAL_MESSAGE, NULL);
        hang_up(c);
        if (!goes_on(status))
            break;
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct connection connections[DIALS];
    pthread_t threads[DIALS];
    bool blocking = argc > 1 && strcmp(argv[argc - 1], "--blocking") == 0;
    struct orders orders = take_orders();
    iouringnet_net *net = start_net(argc - blocking, argv);
    for (int i = 0; i < DIALS; i++) {
        struct connection *c = &connections[i];
        c->net = net;
        c->target = orders.target;
        memcpy(c->message, orders.message, DIAL_MESSAGE);
        if (!blocking) {
            dial(c);
            continue;
        }
        errno = pthread_create(&threads[i], NULL, dial_for_ever, c);
        if (errno != 0)
            die("pthread_create");
    }
    wait_for_sigterm();
    int code = stop_net(net);
    for (int i = 0; i < DIALS && blocking; i++)
        pthread_join(threads[i], NULL);
    return code;
}
