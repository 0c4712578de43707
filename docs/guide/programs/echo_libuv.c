/* echo_libuv: the task of docs/guide/11-coming-from.md with libuv. */
#define _GNU_SOURCE /* what uv.h needs under -std=c11 */

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* [callbacks] */
enum { UNSENT_MAX = 1 << 20 };

struct client {
    uv_tcp_t tcp;
    uv_timer_t idle;
    unsigned handles; /* of the two above that are open; the last one frees the client */
    bool paused;
};

struct write {
    uv_write_t request;
    char *bytes; /* libuv reads them until on_written */
};

static uint64_t idle_ms;

static void on_closed(uv_handle_t *handle) {
    struct client *c = handle->data;
    if (--c->handles == 0)
        free(c);
}

static void hang_up(struct client *c) {
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    uv_close((uv_handle_t *)&c->tcp, on_closed); /* writes that wait are cut */
    uv_close((uv_handle_t *)&c->idle, on_closed);
}

static void on_idle(uv_timer_t *timer) {
    hang_up(timer->data);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle;
    *buffer = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_shut(uv_shutdown_t *request, int status) {
    struct client *c = request->handle->data;
    (void)status;
    free(request);
    hang_up(c);
}

/* Ends this side when the writes that wait are done. */
static void finish(struct client *c) {
    uv_shutdown_t *request = malloc(sizeof *request);
    if (request == NULL || uv_shutdown(request, (uv_stream_t *)&c->tcp, on_shut) != 0) {
        free(request);
        hang_up(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void on_written(uv_write_t *request, int status) {
    struct write *w = (struct write *)request;
    struct client *c = request->handle->data;
    free(w->bytes);
    free(w);
    if (status < 0) {
        hang_up(c);
        return;
    }
    uv_timer_again(&c->idle);
    if (c->paused && uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) <= UNSENT_MAX / 2) {
        c->paused = false;
        uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read);
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    struct client *c = stream->data;
    struct write *w = size > 0 ? malloc(sizeof *w) : NULL;
    if (size == 0 || w == NULL) {
        free(buffer->base);
        if (size == UV_EOF)
            finish(c);
        else if (size != 0)
            hang_up(c);
        return;
    }
    uv_timer_again(&c->idle);
    w->bytes = buffer->base;
    uv_buf_t bytes = uv_buf_init(w->bytes, (unsigned)size);
    if (uv_write(&w->request, stream, &bytes, 1, on_written) != 0) {
        free(w->bytes);
        free(w);
        hang_up(c);
    } else if (uv_stream_get_write_queue_size(stream) >= UNSENT_MAX) {
        c->paused = true; /* the client does not read */
        uv_read_stop(stream);
    }
}

static void on_connection(uv_stream_t *server, int status) {
    struct client *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL)
        return;
    uv_tcp_init(server->loop, &c->tcp);
    uv_timer_init(server->loop, &c->idle);
    c->tcp.data = c->idle.data = c;
    c->handles = 2;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_timer_start(&c->idle, on_idle, idle_ms, idle_ms) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read) != 0)
        hang_up(c);
}
/* [end] */

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    uv_stop(signal->loop); /* writes that wait are lost */
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    uv_signal_t terminate;
    struct sockaddr_in address;
    int size = sizeof address, status;
    if (argc != 3)
        return 2;
    idle_ms = (uint64_t)atol(argv[2]);
    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(loop, &server);
    uv_signal_init(loop, &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address);
    status = uv_tcp_bind(&server, (const struct sockaddr *)&address, 0);
    if (status == 0)
        status = uv_listen((uv_stream_t *)&server, 4096, on_connection);
    if (status == 0)
        status = uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size);
    if (status != 0) {
        fprintf(stderr, "%s\n", uv_strerror(status));
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
