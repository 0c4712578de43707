/* A send that its limit cuts: the sink is torn if a part of it was out, and good if nothing was. And what a
   limit is in a drain, where the close timeout alone counts. */

#include "inside.h"

/* a connection whose socket is full, although nothing was sent by the sink */
struct full {
    struct mixed m;
    size_t size; /* so much the peer has to read for there to be room again */
};

/* The test fills the socket by itself: a send of the library's that fills it is cut in the middle. */
static struct full full_connection(void) {
    static const char waste[65536];
    struct latch never_opens = LATCH(1);
    struct full full = {0};
    iouringnet_config config = config_of_mode();
    size_t before;
    int fd;

    config.send_buffer = 65536;
    full.m = mixed_pair_with(&config, 65536);
    fd = descriptor_of(full.m.sink);
    do {
        ssize_t went;

        before = full.size;
        while ((went = send(fd, waste, sizeof waste, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
            full.size += (size_t)went;
        CHECK(errno == EAGAIN && full.size < 1 << 30);
    } while (!latch_wait_ms(&never_opens, patient(250)) && full.size > before);
    return full;
}

/* the sink goes on once the peer has read */
static void still_good(struct full *full) {
    char *got = take(full->size);

    raw_recv(full->m.peer, got, full->size);
    CHECK_OK(sink_set_timeout(full->m.sink, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(sink_send(full->m.sink, "good", 4, NULL));
    raw_recv(full->m.peer, got, 4);
    CHECK_MEM(got, "good", 4);
    free(got);
}

TEST(a_zero_timeout_send_that_found_no_room_leaves_the_sink_good) {
    struct full full = full_connection();
    struct iovec parts[2] = {{(void *)(uintptr_t) "ab", 2}, {(void *)(uintptr_t) "cd", 2}};
    struct result result = RESULT;
    size_t sent = 9;

    CHECK_OK(sink_set_timeout(full.m.sink, 0));
    CHECK_STATUS(sink_send(full.m.sink, "late", 4, &sent), IOURINGNET_TIMEOUT);
    CHECK_EQ(sent, 0);
    sent = 9;
    CHECK_STATUS(sink_sendv(full.m.sink, parts, 2, &sent), IOURINGNET_TIMEOUT);
    CHECK_EQ(sent, 0);
    CHECK_OK(sink_send_async(full.m.sink, "x", 1, result_store, &result, NULL));
    CHECK_STATUS(result_wait(&result), IOURINGNET_TIMEOUT);
    CHECK_EQ(result.done.bytes, 0);
    still_good(&full);
    mixed_close(&full.m);
}

TEST(a_send_that_waited_in_vain_for_room_leaves_the_sink_good) {
    enum { LIMIT_MS = 100 };
    struct full full = full_connection();
    struct result result = RESULT;
    int64_t began = now_ms();
    size_t sent = 9;

    CHECK_OK(sink_set_timeout(full.m.sink, LIMIT_MS));
    CHECK_STATUS(sink_send(full.m.sink, "late", 4, &sent), IOURINGNET_TIMEOUT);
    CHECK_EQ(sent, 0);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(10000));
    began = now_ms();
    CHECK_OK(sink_send_async(full.m.sink, "late", 4, result_store, &result, NULL));
    CHECK_STATUS(result_wait(&result), IOURINGNET_TIMEOUT);
    CHECK_EQ(result.done.bytes, 0);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(10000));
    still_good(&full);
    mixed_close(&full.m);
}

TEST(a_zero_timeout_send_that_was_cut_leaves_torn) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    char *data = take(SIZE);
    size_t sent = 0;

    memset(data, 1, SIZE);
    CHECK_OK(sink_set_timeout(m.sink, 0));
    CHECK_STATUS(sink_send(m.sink, data, SIZE, &sent), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(sent, 1, SIZE - 1);
    CHECK_OK(sink_set_timeout(m.sink, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_TORN);
    CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), IOURINGNET_TORN);
    sink_close(m.sink);
    stream_close(m.stream);
    raw_expect_reset(m.peer);
    mixed_close(&m);
    free(data);
}

TEST(a_flush_with_timeout_0_is_one_look) {
    struct mixed m = mixed_pair();
    struct result result = RESULT;

    CHECK_OK(sink_set_timeout(m.sink, 0));
    CHECK_OK(sink_flush(m.sink)); /* nothing is queued */
    CHECK_OK(sink_set_timeout(m.sink, IOURINGNET_NO_TIMEOUT));
    jam_sink(m.sink);
    CHECK_OK(sink_set_timeout(m.sink, 0));
    CHECK_OK(sink_flush_async(m.sink, result_store, &result, NULL));
    CHECK(latch_wait_ms(&result.latch, patient(10000)));
    CHECK_STATUS(result.done.status, IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_flush(m.sink), IOURINGNET_TIMEOUT);
    connection_abort(m.sink, NULL);
    mixed_close(&m);
}

/* sends accepted with a limit, which passes while the closed sink drains to a peer that only then reads */
TEST(the_limit_of_a_send_does_not_count_in_a_drain) {
    enum { SIZE = 16 << 20, LIMIT_MS = 300 };
    struct mixed m = mixed_pair_sized(65536);
    struct result large = RESULT, behind = RESULT;
    char *data = take(SIZE), *got = take(SIZE + 6);

    pattern_fill(data, SIZE, 0, 21);
    CHECK_OK(sink_set_timeout(m.sink, LIMIT_MS));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &large, NULL));
    CHECK_OK(sink_send_async(m.sink, "behind", 6, result_store, &behind, NULL));
    sink_close(m.sink);
    pass(3 * LIMIT_MS);
    CHECK_EQ(large.calls, 0);
    CHECK_EQ(raw_recv_to_end(m.peer, got, SIZE + 6), SIZE + 6);
    pattern_check(got, SIZE, 0, 21);
    CHECK_MEM(got + SIZE, "behind", 6);
    CHECK_OK(result_wait(&large));
    CHECK_EQ(large.done.bytes, SIZE);
    CHECK_OK(result_wait(&behind));
    mixed_close(&m);
    free(data);
    free(got);
}
