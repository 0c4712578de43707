/* peer_libuv_posts: eight threads that send messages of 64 bytes on one connection (posts.h) with libuv. Only the loop's thread
 * may write, so that the others put their messages into a queue, and wake the loop by uv_async_send; it writes the whole queue
 * at once. Where the queue is full they wait.
 *
 * Its one invariant: `queue.lock` guards all that the threads share. */
#define _GNU_SOURCE

#include "peer_libuv.h"
#include "posts.h"

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
    fill_pattern();
    check(uv_mutex_init(&queue.lock), "uv_mutex_init");
    check(uv_cond_init(&queue.room), "uv_cond_init");
    queue.bytes = malloc(QUEUE);
    queue.written = malloc(QUEUE);
    if (!queue.bytes || !queue.written)
        die("malloc");
    check(uv_async_init(uv_default_loop(), &wake, on_wake), "uv_async_init");
    return serve(on_connection);
}
