/* ours_posts: eight threads that send messages of 64 bytes on one connection (posts.h) by sink_post. Whoever is told that the
 * sink is full waits until its watch says that there is room.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll */
#define _GNU_SOURCE

#include "ours.h"
#include "posts.h"

#include <pthread.h>
#include <stdatomic.h>

/* Its one invariant: `rooms` grows after every FULL, so that a thread which read it before its post misses no room. */
struct room {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_uint_fast64_t rooms;
    bool ended;
};

struct sender {
    pthread_t thread;
    uint32_t number;
    iouringnet_sink *sink;
    struct room *room;
};

static void on_room(void *user, iouringnet_status status) {
    struct room *room = user;
    (void)status; /* the next post says what is wrong */
    pthread_mutex_lock(&room->lock);
    atomic_fetch_add(&room->rooms, 1);
    pthread_cond_broadcast(&room->changed);
    pthread_mutex_unlock(&room->lock);
}

static void on_end(void *user, iouringnet_status status) {
    struct room *room = user;
    (void)status;
    pthread_mutex_lock(&room->lock);
    room->ended = true;
    pthread_cond_broadcast(&room->changed);
    pthread_mutex_unlock(&room->lock);
}

/* Waits until there has been room since `seen` was read. */
static void wait_for_room(struct room *room, uint64_t seen) {
    pthread_mutex_lock(&room->lock);
    while (atomic_load(&room->rooms) == seen && !room->ended)
        pthread_cond_wait(&room->changed, &room->lock);
    pthread_mutex_unlock(&room->lock);
}

static void wait_for_end(struct room *room) {
    pthread_mutex_lock(&room->lock);
    while (!room->ended)
        pthread_cond_wait(&room->changed, &room->lock);
    pthread_mutex_unlock(&room->lock);
}

static void *send_messages(void *user) {
    struct sender *s = user;
    struct post post;
    for (uint64_t sequence = 0;; sequence++) {
        make_post(&post, s->number, sequence);
        for (;;) {
            uint64_t seen = atomic_load(&s->room->rooms);
            iouringnet_status status = sink_post(s->sink, &post, sizeof post);
            if (status == IOURINGNET_OK)
                break;
            if (status != IOURINGNET_FULL)
                return NULL;
            wait_for_room(s->room, seen);
        }
    }
}

static void serve(iouringnet_sink *sink) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, NULL, on_room, on_end};
    struct room room = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct sender senders[POST_THREADS];
    check(connection_watch(sink, NULL, &callbacks, &room), "connection_watch");
    for (uint32_t i = 0; i < POST_THREADS; i++) {
        senders[i] = (struct sender){.number = i, .sink = sink, .room = &room};
        errno = pthread_create(&senders[i].thread, NULL, send_messages, &senders[i]);
        if (errno != 0)
            die("pthread_create");
    }
    for (uint32_t i = 0; i < POST_THREADS; i++)
        pthread_join(senders[i].thread, NULL);
    sink_close(sink);
    wait_for_end(&room); /* nobody else has `room` any longer */
}

static void *accept_all(void *user) {
    struct ours *ours = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    while (listener_accept(ours->listener, &sink, &stream) == IOURINGNET_OK) {
        serve(sink);
        stream_close(stream);
    }
    return NULL;
}

int main(int argc, char **argv) {
    fill_pattern();
    struct ours ours = start_ours(argc, argv);
    return accept_until_sigterm(&ours, accept_all, &ours);
}
