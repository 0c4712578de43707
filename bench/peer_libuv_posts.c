/* peer_libuv_posts: eight threads that send messages of 64 bytes on one connection (posts.h) with libuv. Only the loop's thread
 * may write, so that the others put their messages into a queue, and wake the loop by uv_async_send; it writes the whole queue
 * at once. Where the queue is full they wait.
 *
 * Its one invariant: `queue.lock` guards all that the threads share. */
#define _GNU_SOURCE

#include "posts.h"
#include "server.h"

#include <signal.h>
#include <uv.h>

#define QUEUE (1024 * 1024) /* bytes, as the library's default mark is */

static struct {
    uv_mutex_t lock;
    uv_cond_t room;
    unsigned char *bytes, *written; /* being filled, and being written; they change places */
    size_t size;
    bool ended;
} queue;

static uv_async_t wake;
static uv_tcp_t *client; /* the first connection; no other is served */
static uv_write_t writing;
static bool is_writing;
static uv_thread_t threads[POST_THREADS];

static void check(int status, const char *what) {
    if (status == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
    exit(1);
}

static void send_messages(void *user) {
    uint32_t thread = (uint32_t)(uintptr_t)user;
    struct post post;
    for (uint64_t sequence = 0;; sequence++) {
        make_post(&post, thread, sequence);
        uv_mutex_lock(&queue.lock);
        while (queue.size + sizeof post > QUEUE && !queue.ended)
            uv_cond_wait(&queue.room, &queue.lock);
        bool ended = queue.ended;
        if (!ended) {
            memcpy(queue.bytes + queue.size, &post, sizeof post);
            queue.size += sizeof post;
        }
        uv_mutex_unlock(&queue.lock);
        if (ended)
            return;
        uv_async_send(&wake);
    }
}

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void hang_up(void) {
    if (!client)
        return;
    uv_mutex_lock(&queue.lock);
    queue.ended = true;
    uv_cond_broadcast(&queue.room);
    uv_mutex_unlock(&queue.lock);
    for (int i = 0; i < POST_THREADS; i++)
        uv_thread_join(&threads[i]);
    uv_close((uv_handle_t *)client, on_closed);
    client = NULL;
}

static void write_queue(void);

static void on_written(uv_write_t *request, int status) {
    (void)request;
    is_writing = false;
    if (status < 0)
        hang_up();
    else
        write_queue();
}

static void write_queue(void) {
    if (!client || is_writing)
        return;
    uv_mutex_lock(&queue.lock);
    unsigned char *bytes = queue.bytes;
    size_t size = queue.size;
    if (size > 0) {
        queue.bytes = queue.written;
        queue.written = bytes;
        queue.size = 0;
        uv_cond_broadcast(&queue.room);
    }
    uv_mutex_unlock(&queue.lock);
    if (size == 0)
        return;
    uv_buf_t piece = uv_buf_init((char *)bytes, (unsigned)size);
    is_writing = true;
    if (uv_write(&writing, (uv_stream_t *)client, &piece, 1, on_written) != 0) {
        is_writing = false;
        hang_up();
    }
}

static void on_wake(uv_async_t *async) {
    (void)async;
    write_queue();
}

static void on_connection(uv_stream_t *server, int status) {
    static bool served;
    if (status < 0 || served)
        return;
    served = true;
    client = malloc(sizeof *client);
    if (!client)
        die("malloc");
    check(uv_tcp_init(server->loop, client), "uv_tcp_init");
    check(uv_accept(server, (uv_stream_t *)client), "uv_accept");
    check(uv_tcp_nodelay(client, 1), "uv_tcp_nodelay");
    for (uintptr_t i = 0; i < POST_THREADS; i++)
        check(uv_thread_create(&threads[i], send_messages, (void *)i), "uv_thread_create");
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* a client that resets its connection would end the program */
    fill_pattern();
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    struct sockaddr_in address;
    int size = sizeof address;
    check(uv_mutex_init(&queue.lock), "uv_mutex_init");
    check(uv_cond_init(&queue.room), "uv_cond_init");
    queue.bytes = malloc(QUEUE);
    queue.written = malloc(QUEUE);
    if (!queue.bytes || !queue.written)
        die("malloc");
    check(uv_async_init(loop, &wake, on_wake), "uv_async_init");
    check(uv_tcp_init(loop, &server), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&server, (const struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&server, BACKLOG, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size), "uv_tcp_getsockname");
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    announce(text);
    return uv_run(loop, UV_RUN_DEFAULT);
}
