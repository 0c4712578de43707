/* Threads that send small messages on one connection: the message, which both ends know. The server's threads begin when the
 * connection is accepted. */
#ifndef BENCH_POSTS_H
#define BENCH_POSTS_H

#include "pattern.h"

#include <string.h>

#define POST_THREADS 8

struct post {
    uint64_t sequence; /* of this thread's messages on this connection, from 0 */
    uint32_t thread;
    unsigned char filling[52];
};
_Static_assert(sizeof(struct post) == 64, "goes over the wire as it is");

static inline void make_post(struct post *post, uint32_t thread, uint64_t sequence) {
    post->sequence = sequence;
    post->thread = thread;
    memcpy(post->filling, pattern_at(thread, sequence), sizeof post->filling);
}

#endif
