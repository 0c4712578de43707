/* peer_libuv_http: the HTTP server with libuv. An answer is written at once; only what the socket does not take is queued.
 *
 * While a client does not read its answers, the server does not read its requests. */
#define _GNU_SOURCE

#include "http.h"
#include "peer_libuv.h"

static char incoming[64 * 1024]; /* holds bytes only while on_read runs */

struct connection {
    uv_tcp_t tcp; /* first: a handle is its connection */
    uv_write_t write;
    bool writing; /* `write` is under way */
    struct http http;
};

static void on_read(uv_stream_t *client, ssize_t size, const uv_buf_t *buffer);

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(incoming, sizeof incoming);
}

static void hang_up(struct connection *c) {
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void send_answers(struct connection *c);

static void on_written(uv_write_t *request, int status) {
    struct connection *c = (struct connection *)request->handle;
    c->writing = false;
    if (status == 0)
        send_answers(c);
    if (status < 0 || (!c->writing && !uv_is_closing((uv_handle_t *)&c->tcp) &&
                       uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read) != 0))
        hang_up(c);
}

/* Up to the first answer that the socket does not take whole: reading goes on once that is written. */
static void send_answers(struct connection *c) {
    uv_stream_t *client = (uv_stream_t *)&c->tcp;
    while (c->http.due > 0 && !c->writing) {
        uv_buf_t answer = uv_buf_init((char *)HTTP_ANSWER, sizeof HTTP_ANSWER - 1);
        int sent = uv_try_write(client, &answer, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            hang_up(c);
            return;
        }
        c->http.due--;
        if (sent == (int)answer.len)
            continue;
        size_t out = sent > 0 ? (size_t)sent : 0;
        uv_buf_t rest = uv_buf_init(answer.base + out, (unsigned)(answer.len - out));
        uv_read_stop(client);
        if (uv_write(&c->write, client, &rest, 1, on_written) != 0) {
            hang_up(c);
            return;
        }
        c->writing = true;
    }
}

static void on_read(uv_stream_t *client, ssize_t size, const uv_buf_t *buffer) {
    struct connection *c = (struct connection *)client;
    if (size == 0)
        return;
    if (size < 0) {
        hang_up(c);
        return;
    }
    bool http = http_take(&c->http, buffer->base, (size_t)size);
    send_answers(c);
    if (!http)
        hang_up(c);
}

static void on_connection(uv_stream_t *server, int status) {
    if (status < 0)
        return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    http_init(&c->http);
    uv_tcp_init(server->loop, &c->tcp);
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read) != 0)
        hang_up(c);
}

int main(void) {
    raise_descriptor_limit();
    return serve(on_connection);
}
