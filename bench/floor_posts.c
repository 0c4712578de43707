/* floor_posts: eight threads that send messages of 64 bytes on one connection (posts.h), each by a send(2) of its own that
 * waits for room. */
#define _GNU_SOURCE

#include "posts.h"
#include "server.h"

#include <pthread.h>

struct sender {
    pthread_t thread;
    uint32_t number;
    int fd;
};

static void *send_messages(void *user) {
    struct sender *s = user;
    struct post post;
    uint64_t sequence = 0;
    do
        make_post(&post, s->number, sequence++);
    while (send(s->fd, &post, sizeof post, MSG_NOSIGNAL) == sizeof post);
    shutdown(s->fd, SHUT_RDWR); /* a message that went out in part cannot be mended: the client sees the end */
    return NULL;
}

int main(void) {
    fill_pattern();
    int listener = listen_here(0);
    for (;;) {
        int fd = accept_next(listener);
        struct sender senders[POST_THREADS];
        for (uint32_t i = 0; i < POST_THREADS; i++) {
            senders[i] = (struct sender){.number = i, .fd = fd};
            errno = pthread_create(&senders[i].thread, NULL, send_messages, &senders[i]);
            if (errno != 0)
                die("pthread_create");
        }
        for (uint32_t i = 0; i < POST_THREADS; i++)
            pthread_join(senders[i].thread, NULL);
        close(fd);
    }
}
