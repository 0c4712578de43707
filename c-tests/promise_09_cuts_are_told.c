/* Promise 9: callers learn what was cut: an abort resets and ends both halves, a cut send leaves its sink torn, and the
   program learns of a post that failed. */

#include "support.h"

/* ---- abort ---- */

TEST(abort_is_a_reset_and_ends_both_halves) {
    struct mixed m = mixed_pair();
    struct result recv = RESULT, send = RESULT, flush = RESULT;
    struct ending watch = ENDING;
    char into[8], *data = take(1 << 20);

    memset(data, 1, 1 << 20);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(stream_recv_async(m.stream, into, sizeof into, result_store, &recv, NULL));
    jam_sink(m.sink);
    CHECK_OK(sink_send_async(m.sink, data, 1 << 20, result_store, &send, NULL));
    CHECK_OK(sink_flush_async(m.sink, result_store, &flush, NULL));
    connection_abort(m.sink, NULL);
    CHECK_STATUS(result_wait(&send), IOURINGNET_CLOSED);
    CHECK_STATUS(result_wait(&flush), IOURINGNET_CLOSED);
    CHECK_STATUS(result_wait(&recv), IOURINGNET_CLOSED);
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_CLOSED);
    raw_expect_reset(m.peer);
    CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), IOURINGNET_CLOSED);
    stream_close(m.stream);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_OK(net_stop(m.net));
    CHECK_EQ(send.calls + flush.calls + recv.calls + watch.ends, 4);
    free(data);
}

TEST(abort_of_an_idle_connection_is_a_reset) {
    struct pair p = tcp_pair_apart();
    char byte;

    connection_abort(p.a.sink, NULL);
    CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), -ECONNRESET);
    CHECK_STATUS(stream_recv(p.a.stream, &byte, 1, NULL), IOURINGNET_CLOSED);
    pair_close(&p);
}

TEST(abort_after_the_stream_is_closed_is_a_reset) {
    struct pair p = tcp_pair_apart();
    char byte;

    stream_close(p.a.stream);
    connection_abort(p.a.sink, NULL);
    CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), -ECONNRESET);
    EVENTUALLY(stats_of(p.a.net).connections == 0);
    pair_close(&p);
}

/* ---- broken sinks ---- */

/* a sink of which a send was cut in the middle by `cut`; gives the bytes that went out */
static size_t cut_in_the_middle(iouringnet_sink *sink, bool by_timeout) {
    enum { SIZE = 64 << 20 };
    char *data = take(SIZE);
    size_t sent = 0;

    memset(data, 1, SIZE);
    if (by_timeout) {
        CHECK_OK(sink_set_timeout(sink, 100));
        CHECK_STATUS(sink_send(sink, data, SIZE, &sent), IOURINGNET_TIMEOUT);
    } else {
        iouringnet_completion done;
        iouringnet_op *op;
        size_t unsent = SIZE + 1;

        CHECK_OK(sink_send_async(sink, data, SIZE, NULL, NULL, &op));
        EVENTUALLY(unsent_of(sink) < SIZE);
        /* and until the peer's buffers are full, so that the cancel cannot come too late */
        for (int64_t moved = now_ms(); now_ms() < moved + 100; nap()) {
            size_t now = unsent_of(sink);

            if (now != unsent)
                moved = now_ms();
            unsent = now;
        }
        CHECK_OK(op_cancel(op));
        CHECK_STATUS(op_finish(op, &done), IOURINGNET_CANCELLED);
        sent = done.bytes;
    }
    CHECK(sent > 0 && sent < SIZE);
    free(data);
    return sent;
}

static void torn(bool by_timeout) {
    struct mixed m = mixed_pair();
    struct iovec part = {(void *)(uintptr_t) "data", 4};
    struct result send = RESULT;
    struct ending watch = ENDING;
    char byte;
    size_t sent = cut_in_the_middle(m.sink, by_timeout), left = 99;
    char *got = take(sent + 1);

    CHECK_STATUS(sink_send(m.sink, "more", 4, &left), IOURINGNET_TORN);
    CHECK_EQ(left, 0);
    CHECK_STATUS(sink_sendv(m.sink, &part, 1, NULL), IOURINGNET_TORN);
    CHECK_STATUS(sink_post(m.sink, "more", 4), IOURINGNET_TORN);
    CHECK_STATUS(sink_flush(m.sink), IOURINGNET_TORN);
    /* the error that an async operation's first try meets arrives in its completion */
    CHECK_OK(sink_send_async(m.sink, "more", 4, result_store, &send, NULL));
    CHECK_STATUS(result_wait(&send), IOURINGNET_TORN);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_TORN);
    /* the count is what the peer gets, and the stream goes on */
    raw_recv(m.peer, got, sent);
    CHECK_EQ(recv(m.peer, got, 1, MSG_DONTWAIT), -1);
    CHECK_EQ(errno, EAGAIN);
    raw_send(m.peer, "y", 1);
    CHECK_OK(stream_recv(m.stream, &byte, 1, NULL));
    /* closing a broken sink resets: a cut message must not look like a whole one */
    sink_close(m.sink);
    raw_expect_reset(m.peer);
    mixed_close(&m);
    CHECK_EQ(send.calls, 1);
    CHECK_EQ(watch.ends, 1);
    free(got);
}

TEST(a_send_cut_by_its_timeout_leaves_torn) {
    torn(true);
}

TEST(a_send_cut_by_a_cancel_leaves_torn) {
    torn(false);
}

TEST(sends_queued_behind_a_cut_one_get_torn) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    struct result first = RESULT, second = RESULT, flush = RESULT;
    iouringnet_op *op;
    char *data = take(SIZE);

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &first, &op));
    EVENTUALLY(unsent_of(m.sink) > 0 && unsent_of(m.sink) < SIZE);
    CHECK_OK(sink_send_async(m.sink, "behind", 6, result_store, &second, NULL));
    CHECK_OK(sink_flush_async(m.sink, result_store, &flush, NULL));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&first), IOURINGNET_CANCELLED);
    CHECK(first.done.bytes > 0);
    CHECK_STATUS(result_wait(&second), IOURINGNET_TORN);
    CHECK_EQ(second.done.bytes, 0);
    CHECK_STATUS(result_wait(&flush), IOURINGNET_TORN);
    CHECK_OK(op_release(op));
    mixed_close(&m);
    free(data);
}

TEST(a_send_cut_before_its_first_byte_leaves_the_sink_good) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair_sized(65536);
    struct result first = RESULT;
    char *data = take(SIZE), *got = take(SIZE + 4);
    size_t sent = 99;
    iouringnet_completion done;
    iouringnet_op *op;

    /* waits without a limit, and the sends below behind it; a limit of posts would count for queued ones too */
    pattern_fill(data, SIZE, 0, 11);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &first, NULL));
    EVENTUALLY(unsent_of(m.sink) > 0);
    CHECK_OK(sink_set_timeout(m.sink, 50));
    CHECK_STATUS(sink_send(m.sink, "late", 4, &sent), IOURINGNET_TIMEOUT);
    CHECK_EQ(sent, 0);
    /* one try, and none behind queued work */
    CHECK_OK(sink_set_timeout(m.sink, 0));
    CHECK_STATUS(sink_send(m.sink, "late", 4, &sent), IOURINGNET_TIMEOUT);
    CHECK_OK(sink_set_timeout(m.sink, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(sink_send_async(m.sink, "late", 4, NULL, NULL, &op));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, &done), IOURINGNET_CANCELLED);
    CHECK_EQ(done.bytes, 0);
    CHECK_OK(sink_send_async(m.sink, "good", 4, NULL, NULL, &op));
    raw_recv(m.peer, got, SIZE + 4);
    pattern_check(got, SIZE, 0, 11);
    CHECK_MEM(got + SIZE, "good", 4);
    CHECK_OK(result_wait(&first));
    CHECK_OK(op_finish(op, NULL));
    sink_close(m.sink);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    mixed_stop(&m);
    free(data);
    free(got);
}

/* ---- failed posts ---- */

TEST(a_post_that_fails_later_is_told) {
    struct mixed m = mixed_pair();
    struct result flush = RESULT;
    struct ending watch = ENDING;

    jam_sink(m.sink);
    CHECK_OK(sink_flush_async(m.sink, result_store, &flush, NULL));
    /* armed after a FULL, it owes one call with 0 once there is room; the reset comes first */
    CHECK_OK(ending_watch(m.sink, &watch));
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&flush), -ECONNRESET);
    CHECK_STATUS(ending_wait(&watch), -ECONNRESET);
    /* the first cause stays, in every later call */
    CHECK_STATUS(sink_post(m.sink, "x", 1), -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_flush(m.sink), -ECONNRESET);
    mixed_stop(&m);
    CHECK_EQ(watch.ends, 1);
    CHECK_EQ(flush.calls, 1);
}

TEST(a_post_to_a_dead_peer_fails_at_the_call) {
    struct mixed m = mixed_pair();
    iouringnet_status status = 0;
    char byte;

    raw_reset(m.peer);
    EVENTUALLY((status = sink_post(m.sink, "x", 1)) != 0);
    CHECK_STATUS(status, -ECONNRESET);
    CHECK_STATUS(sink_post(m.sink, "x", 1), -ECONNRESET);
    /* promise 7: the other half does not see an end of stream, though the sink consumed the error */
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), -ECONNRESET);
    mixed_stop(&m);
}
