/* peer_libuv_dial: dials with libuv, and writes at once what the socket takes, which on a new connection is all. The next
 * connection begins when the one before it has been closed. */
#define _GNU_SOURCE

#include "peer_libuv.h"

struct connection {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write; /* of what was not taken at once */
    size_t received;
    bool over; /* something failed: no next one */
    char message[DIAL_MESSAGE];
};

static struct sockaddr_in target;

static void dial(struct connection *c);

static void on_closed(uv_handle_t *handle) {
    struct connection *c = handle->data;
    if (!c->over)
        dial(c);
}

static void hang_up(struct connection *c, int status) {
    if (status < 0) {
        dial_failed(-status);
        c->over = true;
    }
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* Straight into the message: an answer comes only when all of it has been sent, so that it is in the kernel. */
static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)suggested;
    struct connection *c = handle->data;
    *buffer = uv_buf_init(c->message + c->received, (unsigned)(DIAL_MESSAGE - c->received));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    (void)buffer;
    struct connection *c = stream->data;
    if (size < 0) {
        hang_up(c, size == UV_EOF ? -ECONNRESET : (int)size);
        return;
    }
    c->received += (size_t)size;
    if (c->received == DIAL_MESSAGE)
        hang_up(c, 0);
}

static void on_written(uv_write_t *request, int status) {
    struct connection *c = request->data;
    if (status < 0 && status != UV_ECANCELED)
        hang_up(c, status);
}

/* Returns 0 or an error. */
static int send_message(struct connection *c) {
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_buf_t message = uv_buf_init(c->message, DIAL_MESSAGE);
    int sent = uv_try_write(stream, &message, 1);
    if (sent == DIAL_MESSAGE)
        return 0;
    if (sent < 0 && sent != UV_EAGAIN)
        return sent;
    if (sent < 0)
        sent = 0;
    uv_buf_t rest = uv_buf_init(c->message + sent, (unsigned)(DIAL_MESSAGE - sent));
    return uv_write(&c->write, stream, &rest, 1, on_written);
}

static void on_connected(uv_connect_t *request, int status) {
    struct connection *c = request->data;
    if (status == 0)
        status = send_message(c);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read);
    if (status < 0)
        hang_up(c, status);
}

static void dial(struct connection *c) {
    c->received = 0;
    check(uv_tcp_init(uv_default_loop(), &c->tcp), "uv_tcp_init");
    c->tcp.data = c->connect.data = c->write.data = c;
    check(uv_tcp_nodelay(&c->tcp, 1), "uv_tcp_nodelay");
    check(uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&target, on_connected), "uv_tcp_connect");
}

int main(void) {
    static struct connection connections[DIALS];
    signal(SIGPIPE, SIG_IGN);
    struct orders orders = take_orders();
    target = address_of(orders.target);
    for (int i = 0; i < DIALS; i++) {
        memcpy(connections[i].message, orders.message, DIAL_MESSAGE);
        dial(&connections[i]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    pause(); /* for SIGTERM: the other side has ended */
    return 0;
}
