/* peer_libuv_proxy: a proxy with libuv: a connection to the backend for each one that it accepts, and bytes both ways, written
 * at once as far as the socket takes them, from the one buffer that all reads share. Usage: peer_libuv_proxy BACKEND
 *
 * Only the rest is copied. Its one invariant: while a rest for one end waits for room there, nothing is read from the other, so
 * that an end of input, too, is seen only when all before it has been written. */
#define _GNU_SOURCE

#include "peer_libuv.h"

struct pair;

struct end {
    uv_tcp_t tcp; /* first: the handle is the end */
    struct pair *pair;
    struct end *other;
    uv_shutdown_t shutdown;
    bool input_ended;
};

struct pair {
    struct end client, backend;
    uv_connect_t connect;
    int open; /* handles that are not closed yet */
};

struct write {
    uv_write_t request;
    char rest[];
};

static char incoming[64 * 1024]; /* holds bytes only while on_read runs */
static struct sockaddr_in backend;

static void on_closed(uv_handle_t *handle) {
    struct pair *p = ((struct end *)handle)->pair;
    if (--p->open == 0)
        free(p);
}

static void hang_up(struct pair *p) {
    if (!uv_is_closing((uv_handle_t *)&p->client.tcp))
        uv_close((uv_handle_t *)&p->client.tcp, on_closed);
    if (!uv_is_closing((uv_handle_t *)&p->backend.tcp))
        uv_close((uv_handle_t *)&p->backend.tcp, on_closed);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(incoming, sizeof incoming);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void on_written(uv_write_t *request, int status) {
    struct end *from = ((struct end *)request->handle)->other;
    free(request);
    if (status < 0 || uv_read_start((uv_stream_t *)&from->tcp, allocate, on_read) != 0)
        hang_up(from->pair);
}

static void send_later(struct end *from, const char *rest, size_t size) {
    struct write *write = malloc(sizeof *write + size);
    if (!write)
        die("malloc");
    memcpy(write->rest, rest, size);
    uv_buf_t buffer = uv_buf_init(write->rest, (unsigned)size);
    uv_read_stop((uv_stream_t *)&from->tcp);
    if (uv_write(&write->request, (uv_stream_t *)&from->other->tcp, &buffer, 1, on_written) != 0) {
        free(write);
        hang_up(from->pair);
    }
}

static void on_shut_down(uv_shutdown_t *request, int status) {
    struct end *to = (struct end *)request->handle;
    if (status < 0 || to->input_ended)
        hang_up(to->pair);
}

static void on_end(struct end *from) {
    uv_stream_t *to = (uv_stream_t *)&from->other->tcp;
    from->input_ended = true;
    if (uv_is_closing((uv_handle_t *)to) || uv_shutdown(&from->other->shutdown, to, on_shut_down) != 0)
        hang_up(from->pair);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    struct end *from = (struct end *)stream;
    if (size < 0) {
        if (size == UV_EOF)
            on_end(from);
        else
            hang_up(from->pair);
        return;
    }
    if (size == 0)
        return;
    uv_buf_t bytes = uv_buf_init(buffer->base, (unsigned)size);
    int sent = uv_try_write((uv_stream_t *)&from->other->tcp, &bytes, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        hang_up(from->pair);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent < size)
        send_later(from, buffer->base + sent, (size_t)(size - sent));
}

static void on_connected(uv_connect_t *request, int status) {
    struct pair *p = ((struct end *)request->handle)->pair;
    if (status != 0 || uv_is_closing((uv_handle_t *)&p->client.tcp) ||
        uv_read_start((uv_stream_t *)&p->client.tcp, allocate, on_read) != 0 ||
        uv_read_start((uv_stream_t *)&p->backend.tcp, allocate, on_read) != 0)
        hang_up(p);
}

static void on_connection(uv_stream_t *server, int status) {
    if (status < 0)
        return;
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        die("calloc");
    p->open = 2;
    p->client.pair = p->backend.pair = p;
    p->client.other = &p->backend;
    p->backend.other = &p->client;
    uv_tcp_init(server->loop, &p->client.tcp);
    uv_tcp_init(server->loop, &p->backend.tcp);
    if (uv_accept(server, (uv_stream_t *)&p->client.tcp) != 0 || uv_tcp_nodelay(&p->client.tcp, 1) != 0 ||
        uv_tcp_nodelay(&p->backend.tcp, 1) != 0 ||
        uv_tcp_connect(&p->connect, &p->backend.tcp, (struct sockaddr *)&backend, on_connected) != 0)
        hang_up(p);
}

int main(int argc, char **argv) {
    raise_descriptor_limit();
    backend = address_of(argc == 2 ? argv[1] : "");
    return serve(on_connection);
}
