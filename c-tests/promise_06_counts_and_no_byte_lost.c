/* Promise 6. Every completion carries the number of bytes transferred, failed ones included, and no
   byte received is lost: a receive smaller than the read buffer takes all or nothing, so that what had
   arrived is still there for the next call; a larger one counts what it took. */

#include "harness.h"

#include <sys/socket.h>

enum { LARGE = 1 << 20 }; /* larger than the read buffer */

/* ---- receives cut short ---- */

/* alone */ TEST(five_bytes_hundred_asked) {
    struct pair p = tcp_pair();
    char into[100];
    size_t count = 77;
    int64_t began;

    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 100));
    began = now_ms();
    CHECK_STATUS(stream_recv(p.b.stream, into, 100, &count), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 100, patient(300));
    CHECK_EQ(count, 0);
    CHECK_OK(stream_recv(p.b.stream, into, 5, &count));
    CHECK_EQ(count, 5);
    CHECK_MEM(into, "hello", 5);
    pair_close(&p);
}

/* alone */ TEST(five_bytes_hundred_asked_async) {
    struct pair p = tcp_pair();
    struct result result = RESULT;
    iouringnet_op *op;
    char into[100];
    int64_t began;

    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 100));
    began = now_ms();
    CHECK_OK(stream_recv_async(p.b.stream, into, 100, result_store, &result, NULL));
    CHECK_STATUS(result_wait(&result), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 100, patient(300));
    CHECK_EQ(result.done.bytes, 0);
    CHECK_OK(stream_set_timeout(p.b.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_recv_async(p.b.stream, into, 5, NULL, NULL, &op));
    CHECK_OK(op_finish(op, NULL));
    CHECK_MEM(into, "hello", 5);
    pair_close(&p);
}

TEST(zero_timeout_is_one_try) {
    struct pair p = tcp_pair();
    char into[10];
    size_t count = 77;

    CHECK_OK(stream_set_timeout(p.b.stream, 0));
    CHECK_STATUS(stream_recv(p.b.stream, into, 10, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 0);
    CHECK_STATUS(stream_fill(p.b.stream, 1), IOURINGNET_TIMEOUT);
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    /* fewer than asked: nothing is taken; what is there can be had, at once, time and again */
    EVENTUALLY(stream_fill(p.b.stream, 5) == 0);
    for (int i = 0; i < 200; i++) {
        CHECK_STATUS(stream_recv(p.b.stream, into, 10, &count), IOURINGNET_TIMEOUT);
        CHECK_EQ(count, 0);
        CHECK_OK(stream_fill(p.b.stream, 5));
    }
    CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
    CHECK_MEM(into, "hello", 5);
    pair_close(&p);
}

/* bytes that come in two parts around a cancel or a timeout are both there afterwards */
TEST(a_cancelled_small_receive_takes_nothing) {
    struct pair p = tcp_pair();
    iouringnet_completion done;
    iouringnet_op *op;
    char into[100];

    CHECK_OK(stream_recv_async(p.b.stream, into, 100, NULL, NULL, &op));
    CHECK_OK(sink_send(p.a.sink, "first,", 6, NULL));
    settle(p.b.net);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, &done), IOURINGNET_CANCELLED);
    CHECK_EQ(done.bytes, 0);
    CHECK_OK(sink_send(p.a.sink, "second", 6, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 12, NULL));
    CHECK_MEM(into, "first,second", 12);
    pair_close(&p);
}

TEST(a_large_receive_counts_what_it_took) {
    struct pair p = tcp_pair();
    iouringnet_completion done;
    iouringnet_op *op;
    char *into = take(LARGE), *data = take(LARGE);
    size_t count = 0;

    pattern_fill(data, LARGE, 0, 1);
    CHECK_OK(sink_send(p.a.sink, data, 100000, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 100));
    CHECK_STATUS(stream_recv(p.b.stream, into, LARGE, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 100000);
    pattern_check(into, count, 0, 1);
    CHECK_OK(stream_set_timeout(p.b.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_recv_async(p.b.stream, into, LARGE, NULL, NULL, &op));
    CHECK_OK(sink_send(p.a.sink, data + 100000, 100000, NULL));
    settle(p.b.net);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, &done), IOURINGNET_CANCELLED);
    pattern_check(into, done.bytes, 100000, 1);
    count += done.bytes;
    /* whatever the cancelled one had not taken comes next */
    CHECK_OK(sink_send(p.a.sink, data + 200000, 50000, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 250000 - count, NULL));
    pattern_check(into, 250000 - count, count, 1);
    pair_close(&p);
    free(into);
    free(data);
}

TEST(an_unbuffered_receive_counts_what_it_took) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    char into[10];
    size_t count = 0;

    config.read_buffer = IOURINGNET_UNBUFFERED;
    p = tcp_pair_with(&config);
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 100));
    CHECK_STATUS(stream_recv(p.b.stream, into, 10, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 5);
    CHECK_MEM(into, "hello", 5);
    pair_close(&p);
}

TEST(the_end_before_enough_bytes) {
    struct pair p = tcp_pair();
    char into[100], *large = take(LARGE);
    size_t count = 77;

    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    sink_close(p.a.sink);
    CHECK_STATUS(stream_recv(p.b.stream, into, 100, &count), IOURINGNET_EOF);
    CHECK_EQ(count, 0);
    CHECK_STATUS(stream_fill(p.b.stream, 6), IOURINGNET_EOF);
    CHECK_OK(stream_recv(p.b.stream, into, 2, &count));
    CHECK_OK(stream_recv_some(p.b.stream, into + 2, 98, &count));
    CHECK_EQ(count, 3);
    CHECK_MEM(into, "hello", 5);
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, &count), IOURINGNET_EOF);
    CHECK_STATUS(stream_recv_some(p.b.stream, into, 1, &count), IOURINGNET_EOF);
    CHECK_EQ(count, 0);
    /* the other direction, received large: it counts */
    CHECK_OK(sink_send(p.b.sink, "goodbye", 7, NULL));
    sink_close(p.b.sink);
    CHECK_STATUS(stream_recv(p.a.stream, large, LARGE, &count), IOURINGNET_EOF);
    CHECK_EQ(count, 7);
    CHECK_MEM(large, "goodbye", 7);
    pair_close(&p);
    free(large);
}

TEST(bytes_before_a_reset_are_kept) {
    struct mixed m = mixed_pair();
    struct result result = RESULT;
    char into[100];
    size_t count = 77;

    CHECK_OK(stream_recv_async(m.stream, into, 100, result_store, &result, NULL));
    raw_send(m.peer, "hello", 5);
    settle(m.net);
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&result), -ECONNRESET);
    CHECK_EQ(result.done.bytes, 0);
    CHECK_OK(stream_recv(m.stream, into, 5, &count));
    CHECK_MEM(into, "hello", 5);
    CHECK_STATUS(stream_recv(m.stream, into, 1, &count), -ECONNRESET);
    CHECK_EQ(count, 0);
    mixed_stop(&m);
}

/* bytes that a plain peer has sent and whose arrival it does not know of */
/* the same where the sending half meets the reset first */
TEST(bytes_before_a_reset_outlive_a_failed_send) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 20; i++) {
        struct mixed m = mixed_pair_in(net, 0);
        int64_t end = now_ms() + WAIT_MS;
        iouringnet_status status;
        char into[8];

        raw_send(m.peer, "hello", 5);
        /* within the kernel a reset can overtake bytes that are still on their way */
        EVENTUALLY(raw_unacknowledged(m.peer) == 0);
        raw_reset(m.peer);
        while ((status = sink_send(m.sink, "x", 1, NULL)) == 0)
            CHECK(now_ms() < end);
        CHECK_STATUS(status, -ECONNRESET);
        CHECK_OK(stream_recv(m.stream, into, 5, NULL));
        CHECK_MEM(into, "hello", 5);
        CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), -ECONNRESET);
        sink_close(m.sink);
        stream_close(m.stream);
    }
    CHECK_OK(net_stop(net));
}

TEST(a_fill_that_fails_takes_nothing) {
    struct pair p = tcp_pair();
    const void *shown;
    size_t size;

    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 50));
    CHECK_STATUS(stream_fill(p.b.stream, 10), IOURINGNET_TIMEOUT);
    CHECK_OK(stream_peek(p.b.stream, 100, &shown, &size));
    CHECK_EQ(size, 5);
    CHECK_MEM(shown, "hello", 5);
    CHECK_STATUS(stream_consume(p.b.stream, 6), IOURINGNET_INVALID);
    CHECK_OK(stream_consume(p.b.stream, 5));
    CHECK_OK(stream_peek(p.b.stream, 100, &shown, &size));
    CHECK_EQ(size, 0);
    pair_close(&p);
}

/* an operation keeps the timeout that was in force when it was accepted */
TEST(a_timeout_belongs_to_its_operation) {
    struct pair p = tcp_pair();
    struct result lasting = RESULT, late = RESULT;
    char into[2][10];

    CHECK_OK(stream_recv_async(p.b.stream, into[0], 10, result_store, &lasting, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, 50));
    /* behind one that waits for ever, its own deadline still counts */
    CHECK_OK(stream_recv_async(p.b.stream, into[1], 10, result_store, &late, NULL));
    CHECK_OK(stream_set_timeout(p.b.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(result_wait(&late), IOURINGNET_TIMEOUT);
    CHECK_EQ(lasting.calls, 0);
    CHECK_OK(sink_send(p.a.sink, "0123456789", 10, NULL));
    CHECK_OK(result_wait(&lasting));
    CHECK_MEM(into[0], "0123456789", 10);
    pair_close(&p);
}

/* sizes around the read buffer's, where all-or-nothing ends and counting begins; sent in two parts, so that
   the receive waits in the middle */
TEST(sizes_around_the_read_buffer) {
    enum { BUFFER = 4096 };
    static const size_t sizes[] = {1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER - 1, 2 * BUFFER + 1, 65536, 70000};
    iouringnet_config config = config_of_mode();
    struct pair p;
    char *data = take(70000), *into = take(70000);
    size_t at = 0;

    config.read_buffer = BUFFER;
    p = tcp_pair_with(&config);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t first = 0; first <= sizes[i]; first += sizes[i] / 3 + 1) {
            iouringnet_op *op;
            iouringnet_completion done;

            pattern_fill(data, sizes[i], at, 9);
            CHECK_OK(sink_send(p.a.sink, data, first, NULL));
            CHECK_OK(stream_recv_async(p.b.stream, into, sizes[i], NULL, NULL, &op));
            CHECK_OK(sink_send(p.a.sink, data + first, sizes[i] - first, NULL));
            CHECK_OK(op_finish(op, &done));
            CHECK_EQ(done.bytes, sizes[i]);
            pattern_check(into, sizes[i], at, 9);
            at += sizes[i];
        }
    }
    pair_close(&p);
    free(data);
    free(into);
}

TEST(a_receive_as_large_as_the_read_buffer_begins_with_what_is_buffered) {
    enum { BUFFER = 4096, BEFORE = 10 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    char data[BEFORE + BUFFER], into[BUFFER];
    struct result result = RESULT;

    config.read_buffer = BUFFER;
    p = tcp_pair_with(&config);
    pattern_fill(data, sizeof data, 0, 10);
    CHECK_OK(sink_send(p.a.sink, data, 3 * BEFORE, NULL));
    CHECK_OK(stream_fill(p.b.stream, 3 * BEFORE)); /* all of it is buffered */
    CHECK_OK(stream_recv(p.b.stream, into, BEFORE, NULL));
    CHECK_OK(stream_recv_async(p.b.stream, into, BUFFER, result_store, &result, NULL));
    CHECK_OK(sink_send(p.a.sink, data + 3 * BEFORE, sizeof data - 3 * BEFORE, NULL));
    CHECK_OK(result_wait(&result));
    pattern_check(into, BUFFER, BEFORE, 10);
    pair_close(&p);
}

/* ---- sends cut short ---- */

/* the peer reads to the end and must find exactly the bytes that the completions counted */
static void cut_send(bool cancel) {
    enum { SIZE = 24 << 20 };
    struct mixed m = mixed_pair_sized(16384);
    iouringnet_op *op;
    iouringnet_completion done;
    char *data = take(SIZE), *into = take(65536);
    size_t at = 0;

    pattern_fill(data, SIZE, 0, 2);
    if (!cancel)
        CHECK_OK(sink_set_timeout(m.sink, 100));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, NULL, NULL, &op));
    if (cancel) {
        CHECK_STATUS(op_wait(op, 100, NULL), IOURINGNET_PENDING);
        CHECK_OK(op_cancel(op));
    }
    CHECK_STATUS(op_finish(op, &done), cancel ? IOURINGNET_CANCELLED : IOURINGNET_TIMEOUT);
    CHECK(done.bytes > 0 && done.bytes < SIZE);
    while (at < done.bytes) {
        size_t piece = done.bytes - at < 65536 ? done.bytes - at : 65536;
        raw_recv(m.peer, into, piece);
        pattern_check(into, piece, at, 2);
        at += piece;
    }
    /* what is broken is closed by a reset, so the truncated stream does not look complete; nor does a
       byte more than counted arrive */
    sink_close(m.sink);
    stream_close(m.stream);
    CHECK(recv(m.peer, into, 1, 0) <= 0);
    mixed_close(&m);
    free(data);
    free(into);
}

TEST(a_timed_out_send_counts_what_went) {
    cut_send(false);
}

TEST(a_cancelled_send_counts_what_went) {
    cut_send(true);
}

TEST(a_zero_timeout_send_is_one_try) {
    struct pair p = tcp_pair();
    struct iovec parts[2] = {{"he", 2}, {"llo", 3}};
    iouringnet_completion done;
    iouringnet_op *op;
    char into[5];
    size_t count;

    CHECK_OK(sink_set_timeout(p.a.sink, 0));
    for (int i = 0; i < 100; i++) {
        count = 0;
        if (i % 3 == 0) {
            CHECK_OK(sink_send(p.a.sink, "hello", 5, &count));
        } else if (i % 3 == 1) {
            CHECK_OK(sink_sendv(p.a.sink, parts, 2, &count));
        } else {
            CHECK_OK(sink_send_async(p.a.sink, "hello", 5, NULL, NULL, &op));
            CHECK_OK(op_finish(op, &done));
            count = done.bytes;
        }
        CHECK_EQ(count, 5);
        /* nothing is queued behind which this would have to wait */
        CHECK_OK(sink_flush(p.a.sink));
        CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
        CHECK_MEM(into, "hello", 5);
    }
    pair_close(&p);
}

enum { SENDS = 4 };

struct burst {
    iouringnet_sink *sink;
    struct result sent[SENDS];
};

static void sends_a_burst(void *user, const iouringnet_completion *done) {
    struct burst *burst = user;

    CHECK_OK(done->status);
    for (int i = 0; i < SENDS; i++)
        CHECK_OK(sink_send_async(burst->sink, "hello", 5, result_store, &burst->sent[i], NULL));
}

/* a callback's further small sends are collected, but one that may not wait is tried: the socket has room. By the rings alone it
   would have to wait behind the one before, if that is not out yet */
TEST(zero_timeout_sends_of_one_callback_are_each_tried) {
    struct pair p = tcp_pair();
    struct burst burst = {p.a.sink, {RESULT, RESULT, RESULT, RESULT}};
    char into[5];

    CHECK_OK(sink_set_timeout(p.a.sink, 0));
    CHECK_OK(net_call(p.a.net, 0, sends_a_burst, &burst, NULL));
    for (int i = 0; i < SENDS; i++) {
        if (result_wait(&burst.sent[i]) == IOURINGNET_TIMEOUT && i > 0 && rings_only())
            continue;
        CHECK_OK(burst.sent[i].done.status);
        CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
        CHECK_MEM(into, "hello", 5);
    }
    pair_close(&p);
}

static void posts_and_sends(void *user, const iouringnet_completion *done) {
    struct burst *burst = user;

    CHECK_OK(done->status);
    CHECK_OK(sink_post(burst->sink, "post ", 5));
    CHECK_OK(sink_send_async(burst->sink, "hello", 5, result_store, &burst->sent[0], NULL));
}

/* what a callback has posted is put off from the second time on; a send behind it that may not wait has it leave before */
TEST(zero_timeout_sends_behind_posts_are_each_tried) {
    struct pair p = tcp_pair();
    char into[5];

    CHECK_OK(sink_set_timeout(p.a.sink, 0));
    for (int i = 0; i < SENDS; i++) {
        struct burst burst = {p.a.sink, {RESULT}};

        CHECK_OK(net_call(p.a.net, 0, posts_and_sends, &burst, NULL));
        CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
        CHECK_MEM(into, "post ", 5);
        if (result_wait(&burst.sent[0]) == IOURINGNET_TIMEOUT && rings_only())
            continue;
        CHECK_OK(burst.sent[0].done.status);
        CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
        CHECK_MEM(into, "hello", 5);
    }
    pair_close(&p);
}

TEST(a_send_that_could_not_begin_counts_nothing) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair_sized(16384);
    struct result first = RESULT;
    char *data = take(SIZE), *into = take(SIZE);
    size_t count = 77;

    /* fills the pipe, without a deadline; what comes behind has one */
    pattern_fill(data, SIZE, 0, 8);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &first, NULL));
    CHECK_OK(sink_set_timeout(m.sink, 50));
    CHECK_STATUS(sink_send(m.sink, "never out", 9, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 0);
    count = 77;
    CHECK_OK(sink_set_timeout(m.sink, 0));
    CHECK_STATUS(sink_send(m.sink, "never out", 9, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 0);
    /* with no byte out the sink stays good */
    CHECK_OK(sink_set_timeout(m.sink, IOURINGNET_NO_TIMEOUT));
    raw_recv(m.peer, into, SIZE);
    CHECK_MEM(into, data, SIZE);
    CHECK_OK(result_wait(&first));
    CHECK_OK(sink_send(m.sink, "at last", 7, &count));
    CHECK_EQ(count, 7);
    raw_recv(m.peer, into, 7);
    CHECK_MEM(into, "at last", 7);
    sink_close(m.sink);
    raw_expect_eof(m.peer);
    mixed_close(&m);
    free(data);
    free(into);
}

TEST(a_send_into_a_reset_counts_what_went) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair_sized(16384);
    struct result sent = RESULT;
    char *data = take(SIZE);

    memset(data, 'x', SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &sent, NULL));
    raw_recv(m.peer, data + SIZE / 2, 1000);
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&sent), -ECONNRESET);
    CHECK(sent.done.bytes >= 1000 && sent.done.bytes < SIZE);
    mixed_stop(&m);
    free(data);
}

/* ---- watches ---- */

struct partial {
    size_t allowance; /* how many bytes the watch consumes in all */
    size_t consumed;
    struct latch paused, over;
    iouringnet_status status;
};

static size_t consumes_its_allowance(void *user, iouringnet_status status, const void *data, size_t size) {
    struct partial *self = user;
    size_t left = self->allowance - self->consumed;

    if (status != 0) {
        self->status = status;
        latch_open(&self->over);
        return 0;
    }
    if (size > left)
        size = left;
    pattern_check(data, size, self->consumed, 3);
    self->consumed += size;
    if (self->consumed == self->allowance)
        latch_open(&self->paused);
    return size;
}

TEST(a_watch_that_ends_leaves_its_bytes) {
    struct pair p = tcp_pair();
    struct partial self = {30000, 0, LATCH(1), LATCH(1), 0};
    char *data = take(100000), *into = take(100000);

    pattern_fill(data, 100000, 0, 3);
    CHECK_OK(watch_data(p.b.stream, consumes_its_allowance, &self));
    CHECK_OK(sink_send(p.a.sink, data, 60000, NULL));
    latch_wait(&self.paused);
    CHECK_OK(stream_unwatch(p.b.stream));
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_CANCELLED);
    CHECK_OK(sink_send(p.a.sink, data + 60000, 40000, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 70000, NULL));
    pattern_check(into, 70000, 30000, 3);
    pair_close(&p);
    free(data);
    free(into);
}

/* all of them have bytes at the same moment, and the first callback ends the watches of the others */
enum { CROWD = 20 };

struct crowd {
    struct member {
        struct pair pair;
        struct crowd *all;
        size_t got;
        struct latch over;
    } members[CROWD];
    struct latch held, hold;
    bool is_over;
};

static size_t holds_the_loop(void *user, iouringnet_status status, const void *data, size_t size) {
    struct member *self = user;

    (void)data;
    if (status != 0) {
        latch_open(&self->over);
        return 0;
    }
    latch_open(&self->all->held);
    latch_wait(&self->all->hold);
    return size;
}

static size_t ends_the_others(void *user, iouringnet_status status, const void *data, size_t size) {
    struct member *self = user;
    bool is_first = !self->all->is_over;

    (void)data;
    if (status != 0) {
        CHECK_STATUS(status, IOURINGNET_CANCELLED);
        latch_open(&self->over);
        return 0;
    }
    self->got += size;
    self->all->is_over = true;
    for (int i = 1; is_first && i < CROWD; i++)
        CHECK_OK(stream_unwatch(self->all->members[i].pair.b.stream));
    return size;
}

TEST(watches_that_end_as_their_bytes_come_leave_them) {
    struct crowd crowd = {.held = LATCH(1), .hold = LATCH(1)};
    size_t whole = 0, left = 0;

    for (int i = 0; i < CROWD; i++) {
        struct member *member = &crowd.members[i];

        member->pair = tcp_pair();
        member->all = &crowd;
        member->over = (struct latch)LATCH(1);
        CHECK_OK(watch_data(member->pair.b.stream, i == 0 ? holds_the_loop : ends_the_others, member));
    }
    CHECK_OK(sink_send(crowd.members[0].pair.a.sink, "!", 1, NULL));
    latch_wait(&crowd.held);
    for (int i = 1; i < CROWD; i++)
        CHECK_OK(sink_send(crowd.members[i].pair.a.sink, "hello", 5, NULL));
    latch_open(&crowd.hold);
    for (int i = 1; i < CROWD; i++) {
        struct member *member = &crowd.members[i];
        char into[5];

        latch_wait(&member->over);
        if (member->got == 0) {
            CHECK_OK(stream_recv(member->pair.b.stream, into, 5, NULL));
            CHECK_MEM(into, "hello", 5);
            left++;
        } else {
            CHECK_EQ(member->got, 5);
            whole++;
        }
    }
    CHECK(whole >= 1);
    CHECK_EQ(whole + left, CROWD - 1);
    for (int i = 0; i < CROWD; i++)
        pair_close(&crowd.members[i].pair);
    latch_wait(&crowd.members[0].over);
}

/* receives of all kinds and sizes, with tiny timeouts and cancels in between, against a sender that
   dribbles: the bytes that they give, in order, are the bytes that were sent */
struct dribble {
    iouringnet_sink *sink;
    size_t size;
};

static void *dribbles(void *user) {
    struct dribble *self = user;
    char *data = take(self->size);
    uint32_t random = 12345;

    pattern_fill(data, self->size, 0, 4);
    for (size_t at = 0, piece; at < self->size; at += piece) {
        random = random * 1664525u + 1013904223u;
        piece = (random >> 8) % 40000 + 1;
        if (piece > self->size - at)
            piece = self->size - at;
        CHECK_OK(sink_send(self->sink, data + at, piece, NULL));
        if (random % 8 == 0)
            nap(); /* lets the receiver run dry now and then; nothing depends on it */
    }
    sink_close(self->sink);
    free(data);
    return NULL;
}

TEST(random_receives_lose_nothing) {
    enum { SIZE = 12 << 20, MOST = 150000 };
    struct pair p = tcp_pair_apart();
    struct dribble dribble = {p.a.sink, SIZE};
    pthread_t thread = spawn(dribbles, &dribble);
    char *into = take(MOST);
    uint32_t random = 777;
    size_t at = 0, cut = 0;

    while (at < SIZE) {
        iouringnet_status status;
        iouringnet_op *op;
        iouringnet_completion done;
        size_t size, count = 0;

        random = random * 1664525u + 1013904223u;
        size = (random >> 8) % (random & 64 ? 3000 : MOST) + 1;
        if (size > SIZE - at)
            size = SIZE - at;
        CHECK_OK(stream_set_timeout(p.b.stream, random % 4 == 0 ? 0 : random % 4 == 1 ? 1 : IOURINGNET_NO_TIMEOUT));
        switch (random >> 28) {
        case 0:
        case 1:
        case 2:
        case 3: status = stream_recv(p.b.stream, into, size, &count); break;
        case 4:
        case 5:
        case 6:
        case 7: status = stream_recv_some(p.b.stream, into, size, &count); break;
        case 8:
        case 9: status = stream_fill(p.b.stream, size); break;
        default:
            CHECK_OK(
                (random & 32 ? stream_recv_async : stream_recv_some_async)(p.b.stream, into, size, NULL, NULL, &op));
            if (random & 16)
                CHECK_OK(op_cancel(op));
            status = op_finish(op, &done);
            count = done.bytes;
        }
        if (status != 0) {
            CHECK(status == IOURINGNET_TIMEOUT || status == IOURINGNET_CANCELLED);
            cut++;
        }
        pattern_check(into, count, at, 4);
        at += count;
    }
    CHECK(cut > 0);
    CHECK_OK(stream_set_timeout(p.b.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, NULL), IOURINGNET_EOF);
    join(thread);
    pair_close(&p);
    free(into);
}
