/* peer_libuv_stream: one-way streams (stream.h) with libuv: uv_read_start into one buffer, and a chain of uv_write, two at a
 * time, so that there is always one to go on with. */
#define _GNU_SOURCE

#include "peer_libuv.h"
#include "stream.h"

#define AT_A_TIME 2

struct connection {
    uv_tcp_t tcp;
    uv_write_t writes[AT_A_TIME];
    size_t request_size; /* bytes of the request that have come */
    struct stream_request request;
    uint64_t offset; /* of a download */
    struct upload upload;
};

static char buffer[STREAM_BUFFER];

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void hang_up(struct connection *c) {
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *into) {
    (void)handle;
    (void)suggested;
    *into = uv_buf_init(buffer, sizeof buffer);
}

static void on_written(uv_write_t *write, int status);

static void send_more(struct connection *c, uv_write_t *write) {
    uv_buf_t piece = uv_buf_init((char *)(uintptr_t)pattern_at(c->request.number, c->offset), c->request.send_size);
    c->offset += c->request.send_size;
    if (uv_write(write, (uv_stream_t *)&c->tcp, &piece, 1, on_written) != 0)
        hang_up(c);
}

static void on_written(uv_write_t *write, int status) {
    struct connection *c = write->handle->data;
    if (status < 0)
        hang_up(c);
    else if (!uv_is_closing((uv_handle_t *)&c->tcp))
        send_more(c, write);
}

/* Eight bytes, for which the socket has room. */
static void answer(struct connection *c, uint64_t number) {
    uv_buf_t piece = uv_buf_init((char *)&number, sizeof number);
    if (uv_try_write((uv_stream_t *)&c->tcp, &piece, 1) != sizeof number)
        hang_up(c);
}

static void begin(struct connection *c) {
    uint64_t same;
    memcpy(&same, &c->request, sizeof same);
    if (c->request.send_size > MOST_PIECE) {
        hang_up(c);
        return;
    }
    answer(c, same);
    for (int i = 0; i < AT_A_TIME && c->request.send_size > 0 && !uv_is_closing((uv_handle_t *)&c->tcp); i++)
        send_more(c, &c->writes[i]);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *read) {
    struct connection *c = stream->data;
    if (size < 0) {
        if (size == UV_EOF && c->request_size == sizeof c->request && c->request.send_size == 0)
            answer(c, upload_answer(&c->upload));
        hang_up(c);
        return;
    }
    if (c->request_size == sizeof c->request) {
        upload_took(&c->upload, c->request.number, read->base, (size_t)size);
        return;
    }
    size_t wanted = sizeof c->request - c->request_size; /* the client sends no more before it is answered */
    if ((size_t)size > wanted) {
        hang_up(c);
        return;
    }
    memcpy((char *)&c->request + c->request_size, read->base, (size_t)size);
    c->request_size += (size_t)size;
    if (c->request_size == sizeof c->request)
        begin(c);
}

static void on_connection(uv_stream_t *server, int status) {
    if (status < 0)
        return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    uv_tcp_init(server->loop, &c->tcp);
    c->tcp.data = c;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read) != 0)
        hang_up(c);
}

int main(void) {
    raise_descriptor_limit();
    fill_pattern();
    return serve(on_connection);
}
