/* Sends with different limits behind one another: each ends at its own time, and a limit that has passed or no longer counts
   does not keep the send loop busy. */

#include "support.h"

#include <time.h>

enum { SIZE = 16 << 20, LIMIT_MS = 200, LOOK_MS = 1000, MOST_MS = 50 };

/* a send that is stuck, with the limit that the sink has */
struct stuck {
    struct mixed m;
    struct result send;
    char *data;
};

static void stuck_begin(struct stuck *stuck, int64_t limit_ms) {
    stuck->m = mixed_pair_sized(16384);
    stuck->data = take(SIZE);
    result_init(&stuck->send);
    memset(stuck->data, 1, SIZE);
    CHECK_OK(sink_set_timeout(stuck->m.sink, limit_ms));
    CHECK_OK(sink_send_async(stuck->m.sink, stuck->data, SIZE, result_store, &stuck->send, NULL));
}

static void stuck_end(struct stuck *stuck) {
    connection_abort(stuck->m.sink, NULL);
    mixed_close(&stuck->m);
    CHECK_EQ(stuck->send.calls, 1);
    free(stuck->data);
}

static int64_t processor_ms(void) {
    struct timespec time;

    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* nothing moves: no thread has anything to do */
static void check_loops_sleep(void) {
    int64_t before = processor_ms();

    pass(patient(LOOK_MS));
    CHECK_BETWEEN(processor_ms() - before, 0, patient(MOST_MS));
}

TEST(a_send_behind_one_with_a_longer_limit_ends_at_its_own) {
    struct stuck stuck;
    struct result behind = RESULT, last = RESULT;
    int64_t began;

    stuck_begin(&stuck, 10 * WAIT_MS);
    CHECK_OK(sink_set_timeout(stuck.m.sink, LIMIT_MS));
    began = now_ms();
    CHECK_OK(sink_send_async(stuck.m.sink, "behind", 6, result_store, &behind, NULL));
    CHECK_OK(sink_set_timeout(stuck.m.sink, 10 * WAIT_MS));
    CHECK_OK(sink_send_async(stuck.m.sink, "last", 4, result_store, &last, NULL));
    CHECK_STATUS(result_wait(&behind), IOURINGNET_TIMEOUT);
    CHECK_EQ(behind.done.bytes, 0);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    settle(stuck.m.net);
    CHECK_EQ(stuck.send.calls, 0);
    CHECK_EQ(last.calls, 0);
    stuck_end(&stuck);
    CHECK_STATUS(last.done.status, IOURINGNET_CLOSED);
}

/* The loop sleeps until it learns of the limit, and nothing but the send tells it. */
TEST(a_send_behind_one_without_a_limit_ends_at_its_own) {
    struct stuck stuck;
    struct result behind = RESULT;
    int64_t began;

    stuck_begin(&stuck, IOURINGNET_NO_TIMEOUT);
    CHECK_OK(sink_set_timeout(stuck.m.sink, LIMIT_MS));
    pass(2 * LIMIT_MS);
    began = now_ms();
    CHECK_OK(sink_send_async(stuck.m.sink, "behind", 6, result_store, &behind, NULL));
    CHECK_STATUS(result_wait(&behind), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    CHECK_EQ(stuck.send.calls, 0);
    stuck_end(&stuck);
}

TEST(a_limit_that_has_passed_lets_the_send_loop_sleep) {
    struct stuck stuck;
    struct result behind = RESULT;

    stuck_begin(&stuck, IOURINGNET_NO_TIMEOUT);
    CHECK_OK(sink_set_timeout(stuck.m.sink, LIMIT_MS));
    CHECK_OK(sink_send_async(stuck.m.sink, "behind", 6, result_store, &behind, NULL));
    CHECK_STATUS(result_wait(&behind), IOURINGNET_TIMEOUT);
    check_loops_sleep();
    CHECK_EQ(stuck.send.calls, 0);
    stuck_end(&stuck);
}

TEST(a_limit_that_passes_in_a_drain_lets_the_send_loop_sleep) {
    struct stuck stuck;

    stuck_begin(&stuck, LIMIT_MS);
    sink_close(stuck.m.sink);
    pass(2 * LIMIT_MS);
    check_loops_sleep();
    CHECK_EQ(stuck.send.calls, 0);
    raw_reset(stuck.m.peer);
    CHECK_STATUS(result_wait(&stuck.send), -ECONNRESET);
    stream_close(stuck.m.stream);
    CHECK_OK(net_stop(stuck.m.net));
    free(stuck.data);
}
