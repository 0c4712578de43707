/* peer_libuv: an echo server with libuv that writes at once what the socket takes, from the one buffer that all reads share;
 * only the rest is copied, and written when there is room. */
#define _GNU_SOURCE

#include "peer_libuv.h"

struct write {
    uv_write_t request;
    char rest[];
};

static char incoming[64 * 1024]; /* holds bytes only while on_read runs */

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(incoming, sizeof incoming);
}

static void hang_up(uv_stream_t *client) {
    if (!uv_is_closing((uv_handle_t *)client))
        uv_close((uv_handle_t *)client, on_closed);
}

static void on_written(uv_write_t *request, int status) {
    if (status < 0)
        hang_up(request->handle);
    free(request);
}

static void send_later(uv_stream_t *client, const char *rest, size_t size) {
    struct write *write = malloc(sizeof *write + size);
    if (!write)
        die("malloc");
    memcpy(write->rest, rest, size);
    uv_buf_t buffer = uv_buf_init(write->rest, (unsigned)size);
    if (uv_write(&write->request, client, &buffer, 1, on_written) != 0) {
        free(write);
        hang_up(client);
    }
}

static void on_read(uv_stream_t *client, ssize_t size, const uv_buf_t *buffer) {
    if (size < 0) {
        hang_up(client);
        return;
    }
    if (size == 0)
        return;
    uv_buf_t message = uv_buf_init(buffer->base, (unsigned)size);
    int sent = uv_try_write(client, &message, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        hang_up(client);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent < size)
        send_later(client, buffer->base + sent, (size_t)(size - sent));
}

static void on_connection(uv_stream_t *server, int status) {
    if (status < 0)
        return;
    uv_tcp_t *client = malloc(sizeof *client);
    if (!client)
        die("malloc");
    uv_tcp_init(server->loop, client);
    if (uv_accept(server, (uv_stream_t *)client) == 0 && uv_tcp_nodelay(client, 1) == 0 &&
        uv_read_start((uv_stream_t *)client, allocate, on_read) == 0)
        return;
    uv_close((uv_handle_t *)client, on_closed);
}

int main(void) {
    raise_descriptor_limit();
    return serve(on_connection);
}
