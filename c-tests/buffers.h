/* What the tests about buffers share: memory that counts its ends, and a peer that checks numbered messages. */

#ifndef BUFFERS_H
#define BUFFERS_H

#include "support.h"

/* ---- memory with an end ---- */

/* memory that a buffer has adopted; `freed` opens at its end */
struct memory {
    struct latch freed;
    atomic_int ends;
    char *data;
    size_t size;
    pthread_t thread; /* that ended it */
};

static inline void memory_init(struct memory *memory, size_t size) {
    memset(memory, 0, sizeof *memory);
    latch_init(&memory->freed, 1);
    memory->data = take(size);
    memory->size = size;
    pattern_fill(memory->data, size, 0, 1);
}

static inline void memory_free(void *user, void *data, size_t size) {
    struct memory *memory = user;

    CHECK(data == memory->data);
    CHECK_EQ(size, memory->size);
    CHECK_EQ(atomic_fetch_add(&memory->ends, 1), 0);
    memory->thread = pthread_self();
    memory->data = NULL;
    free(data);
    latch_open(&memory->freed);
}

static inline iouringnet_buffer *adopt(struct memory *memory) {
    iouringnet_buffer *buffer = NULL;

    CHECK_OK(iouringnet_buffer_adopt(memory->data, memory->size, memory_free, memory, &buffer));
    return buffer;
}

/* a new memory of this size, adopted */
static inline iouringnet_buffer *adopted(struct memory *memory, size_t size) {
    memory_init(memory, size);
    return adopt(memory);
}

static inline iouringnet_buffer *made(const void *data, size_t size) {
    iouringnet_buffer *buffer = NULL;

    CHECK_OK(iouringnet_buffer_make(data, size, &buffer));
    return buffer;
}

/* Fills the socket of a sink whose peer takes nothing, and leaves most of its mark free. Gives how many bytes it has posted.
   The kernel may take some more later. */
static inline size_t fill_socket(iouringnet_sink *sink) {
    static const char waste[4096];
    int64_t end = now_ms() + WAIT_MS, still = now_ms();
    size_t total = 0;

    for (size_t unsent = 0; now_ms() < still + patient(50);) {
        size_t now = unsent_of(sink);

        CHECK(now_ms() < end);
        if (now == 0 || now != unsent) {
            if (now == 0) {
                CHECK_OK(sink_post(sink, waste, sizeof waste));
                total += sizeof waste;
            }
            still = now_ms();
        }
        unsent = now;
        nap();
    }
    return total;
}

/* a sink whose peer takes nothing, and which has a mark of `mark` bytes; 0: the usual one */
static inline struct mixed full_pair_of(size_t mark, size_t *filled) {
    iouringnet_config config = config_of_mode();
    struct mixed m;

    config.post_mark = mark;
    config.send_buffer = 16384;
    config.shutdown_timeout_ms = 100;
    m = mixed_pair_with(&config, 16384);
    *filled = fill_socket(m.sink);
    return m;
}

static inline struct mixed full_pair(size_t mark) {
    size_t filled;
    return full_pair_of(mark, &filled);
}

/* closes the sink; the peer gets so many bytes in all, and then the end */
static inline void peer_gets(struct mixed *m, size_t size) {
    char *got = take(size + 1);

    sink_close(m->sink);
    CHECK_EQ(raw_recv_to_end(m->peer, got, size + 1), size);
    free(got);
    mixed_close(m);
}

#endif
