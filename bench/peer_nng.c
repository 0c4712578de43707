/* peer_nng: an echo server with nng's byte streams, without any of its protocols: for each connection one aio that receives
 * and one that sends, of which one is at work at a time. Callbacks run in nng's own threads, whose number it takes from the
 * machine. */
#define _GNU_SOURCE

#include "server.h"

#include <nng/nng.h>

struct connection {
    nng_stream *stream;
    nng_aio *receive, *send;
    size_t sent, size; /* of what the buffer holds */
    unsigned char buffer[16 * 1024];
};

static nng_stream_listener *listener;
static nng_aio *accepted;

static void check(int status, const char *what) {
    if (status == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, nng_strerror(status));
    exit(1);
}

static void hang_up(struct connection *c) {
    nng_stream_free(c->stream);
    nng_aio_reap(c->receive); /* nng_aio_free would wait for the callback that calls this */
    nng_aio_reap(c->send);
    free(c);
}

static void receive(struct connection *c) {
    nng_iov buffer = {.iov_buf = c->buffer, .iov_len = sizeof c->buffer};
    nng_aio_set_iov(c->receive, 1, &buffer);
    nng_stream_recv(c->stream, c->receive);
}

static void send_rest(struct connection *c) {
    nng_iov rest = {.iov_buf = c->buffer + c->sent, .iov_len = c->size - c->sent};
    nng_aio_set_iov(c->send, 1, &rest);
    nng_stream_send(c->stream, c->send);
}

static void on_received(void *user) {
    struct connection *c = user;
    if (nng_aio_result(c->receive) != 0) {
        hang_up(c);
        return;
    }
    c->sent = 0;
    c->size = nng_aio_count(c->receive);
    send_rest(c);
}

static void on_sent(void *user) {
    struct connection *c = user;
    if (nng_aio_result(c->send) != 0) {
        hang_up(c);
        return;
    }
    c->sent += nng_aio_count(c->send);
    if (c->sent < c->size)
        send_rest(c);
    else
        receive(c);
}

static void on_connection(void *user) {
    (void)user;
    if (nng_aio_result(accepted) == 0) {
        struct connection *c = malloc(sizeof *c);
        if (!c)
            die("malloc");
        c->stream = nng_aio_get_output(accepted, 0);
        check(nng_aio_alloc(&c->receive, on_received, c), "nng_aio_alloc");
        check(nng_aio_alloc(&c->send, on_sent, c), "nng_aio_alloc");
        receive(c);
    }
    nng_stream_listener_accept(listener, accepted);
}

int main(void) {
    raise_descriptor_limit();
    int port;
    check(nng_stream_listener_alloc(&listener, "tcp://127.0.0.1:0"), "nng_stream_listener_alloc");
    check(nng_stream_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true), "nng_stream_listener_set_bool");
    check(nng_stream_listener_listen(listener), "nng_stream_listener_listen");
    check(nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), "nng_stream_listener_get_int");
    check(nng_aio_alloc(&accepted, on_connection, NULL), "nng_aio_alloc");
    nng_stream_listener_accept(listener, accepted);
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%d", port);
    announce(text);
    for (;;)
        pause();
}
