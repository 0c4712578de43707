/* Promise 2 and 3. Operations that callbacks and a thread begin on one handle complete in the order of their bytes, and so
   come their callbacks. */

#include "harness.h"

#include <sched.h>

/* Operations of a chain of callbacks and of a thread on the same handle. Each is a message of 8 bytes. */
enum { SHARED = 2000, SHARED_AT_ONCE = 4 };

struct shared {
    struct pair *pair;
    uint64_t next;              /* of the chain's messages */
    uint64_t ended[2 * SHARED]; /* what the callbacks have told, in their order */
    size_t count;
    struct latch over;
};
struct part {
    struct shared *shared;
    struct latch *bunch; /* NULL: the chain's */
    uint64_t message;
};

static void begin_next(struct part *part);

static void part_ends(void *user, const iouringnet_completion *done) {
    struct part *part = user;
    struct shared *shared = part->shared;

    CHECK_OK(done->status);
    CHECK_EQ(done->bytes, sizeof part->message);
    shared->ended[shared->count++] = part->message;
    if (part->bunch)
        latch_open(part->bunch);
    else if (shared->next < SHARED)
        begin_next(part);
    latch_open(&shared->over);
}

static void send_next(struct part *part) {
    part->message = part->shared->next++;
    CHECK_OK(sink_send_async(part->shared->pair->a.sink, &part->message, 8, part_ends, part, NULL));
}

static void receive_next(struct part *part) {
    part->shared->next++;
    CHECK_OK(stream_recv_async(part->shared->pair->b.stream, &part->message, 8, part_ends, part, NULL));
}

static bool chain_sends;

static void begin_next(struct part *part) {
    if (chain_sends)
        send_next(part);
    else
        receive_next(part);
}

static void chain_of_parts(void *user, const iouringnet_completion *done) {
    CHECK_OK(done->status);
    begin_next(user);
}

static void *parts_of_thread(void *user) {
    struct shared *shared = user;

    for (uint64_t i = 0; i < SHARED; i += SHARED_AT_ONCE) {
        struct latch bunch = LATCH(SHARED_AT_ONCE);
        struct part parts[SHARED_AT_ONCE];
        for (uint64_t j = 0; j < SHARED_AT_ONCE; j++) {
            parts[j] = (struct part){shared, &bunch, SHARED + i + j};
            if (chain_sends)
                CHECK_OK(sink_send_async(shared->pair->a.sink, &parts[j].message, 8, part_ends, &parts[j], NULL));
            else
                CHECK_OK(stream_recv_async(shared->pair->b.stream, &parts[j].message, 8, part_ends, &parts[j], NULL));
        }
        latch_wait(&bunch);
    }
    return NULL;
}

/* both at once, over one connection; `peer` does the other half of it meanwhile */
static struct shared *share_one(struct pair *p, bool sends, void (*peer)(struct shared *)) {
    struct shared *shared = take(sizeof *shared);
    struct part part = {shared, NULL, 0};
    pthread_t thread;

    *shared = (struct shared){.pair = p, .over = LATCH(2 * SHARED)};
    chain_sends = sends;
    CHECK_OK(net_call(sends ? p->a.net : p->b.net, 0, chain_of_parts, &part, NULL));
    thread = spawn(parts_of_thread, shared);
    peer(shared);
    join(thread);
    latch_wait(&shared->over);
    return shared;
}

static void receive_what_was_sent(struct shared *shared) {
    static uint64_t got[2 * SHARED];

    CHECK_OK(stream_recv(shared->pair->b.stream, got, sizeof got, NULL));
    latch_wait(&shared->over);
    CHECK_MEM(shared->ended, got, sizeof got);
}

TEST(callbacks_come_in_the_order_of_the_bytes_that_several_threads_send) {
    struct pair p = tcp_pair_apart();

    free(share_one(&p, true, receive_what_was_sent));
    pair_close(&p);
}

static void send_numbers(struct shared *shared) {
    for (uint64_t i = 0; i < 2 * SHARED; i++) {
        CHECK_OK(sink_send(shared->pair->a.sink, &i, sizeof i, NULL));
        if (i % 64 == 0)
            sched_yield();
    }
}

TEST(callbacks_come_in_the_order_of_the_bytes_that_several_threads_receive) {
    struct pair p = tcp_pair_apart();
    struct shared *shared = share_one(&p, false, send_numbers);

    for (uint64_t i = 0; i < 2 * SHARED; i++)
        CHECK_EQ(shared->ended[i], i);
    free(shared);
    pair_close(&p);
}
