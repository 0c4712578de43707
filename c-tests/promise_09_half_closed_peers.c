/* Promise 9: a peer that has ended its own side, as one that sends a request and then reads the answer does, gets
   everything that was accepted, however slowly it reads, and each byte that it takes is progress. */

#include "support.h"

/* The peer takes a piece every few milliseconds, for longer than the time without progress that ends a drain. */
enum { SIZE = 2 << 20, PIECE = 32 << 10, PAUSE_MS = 40, LIMIT_MS = 1200, SEED = 9 };

struct talk {
    struct mixed m;
    pthread_t reader;
    char *data;
};

static void *read_slowly(void *user) {
    const struct talk *talk = user;
    char *got = take(SIZE);

    for (size_t at = 0; at < SIZE; at += PIECE) {
        raw_recv(talk->m.peer, got + at, PIECE);
        pass(patient(PAUSE_MS));
    }
    raw_expect_eof(talk->m.peer);
    pattern_check(got, SIZE, 0, SEED);
    free(got);
    return NULL;
}

/* the peer has ended its side already, and its end was received */
static void talk_begin(struct talk *talk) {
    iouringnet_config config = config_of_mode();

    config.close_timeout_ms = patient(LIMIT_MS);
    config.shutdown_timeout_ms = WAIT_MS; /* a busy machine may be slow */
    config.send_buffer = 16 << 10;
    config.post_mark = 2 * SIZE;
    talk->m = mixed_pair_with(&config, 16 << 10);
    mixed_peer_ends(&talk->m);
    talk->data = take(SIZE);
    pattern_fill(talk->data, SIZE, 0, SEED);
    talk->reader = spawn(read_slowly, talk);
}

/* the peer has everything, and the end of the stream */
static void talk_end(struct talk *talk) {
    join(talk->reader);
    mixed_close(&talk->m);
    free(talk->data);
}

TEST(a_drain_to_a_half_closed_peer_goes_on_while_it_reads) {
    struct talk talk;

    talk_begin(&talk);
    CHECK_OK(sink_post(talk.m.sink, talk.data, SIZE));
    sink_close(talk.m.sink);
    talk_end(&talk);
}

TEST(a_stop_leaves_a_half_closed_peer_that_reads_its_time) {
    struct talk talk;

    talk_begin(&talk);
    CHECK_OK(sink_post(talk.m.sink, talk.data, SIZE));
    stream_close(talk.m.stream);
    CHECK_OK(net_stop(talk.m.net)); /* TIMEOUT would say that sends were cut */
    join(talk.reader);
    raw_close(talk.m.peer);
    free(talk.data);
}

TEST(a_send_that_drains_to_a_half_closed_peer_completes) {
    struct talk talk;
    struct result sent = RESULT;

    talk_begin(&talk);
    CHECK_OK(sink_send_async(talk.m.sink, talk.data, SIZE, result_store, &sent, NULL));
    sink_close(talk.m.sink);
    CHECK_OK(result_wait(&sent));
    CHECK_EQ(sent.done.bytes, SIZE);
    talk_end(&talk);
}

TEST(posts_under_a_time_limit_go_on_while_a_half_closed_peer_reads) {
    struct talk talk;

    talk_begin(&talk);
    CHECK_OK(sink_set_timeout(talk.m.sink, patient(LIMIT_MS)));
    CHECK_OK(sink_post(talk.m.sink, talk.data, SIZE));
    EVENTUALLY(unsent_of(talk.m.sink) == 0);
    sink_close(talk.m.sink);
    talk_end(&talk);
}

TEST(a_blocking_send_to_a_half_closed_peer_sends_all) {
    struct talk talk;
    size_t sent = 0;

    talk_begin(&talk);
    CHECK_OK(sink_send(talk.m.sink, talk.data, SIZE, &sent));
    CHECK_EQ(sent, SIZE);
    sink_close(talk.m.sink);
    talk_end(&talk);
}

TEST(what_a_half_closed_peer_takes_is_seen_as_it_is_taken) {
    struct talk talk;

    talk_begin(&talk);
    CHECK_OK(sink_post(talk.m.sink, talk.data, SIZE));
    for (size_t quarter = 3; quarter > 0; quarter--) {
        size_t unsent = unsent_of(talk.m.sink);

        EVENTUALLY((unsent = unsent_of(talk.m.sink)) <= quarter * SIZE / 4);
        CHECK(unsent > (quarter - 1) * SIZE / 4);
    }
    sink_close(talk.m.sink);
    talk_end(&talk);
}

/* a send of which the peer takes a part, and which then ends with `want`: by a cancel, or by its time limit */
static void a_cut_send(iouringnet_status want) {
    enum { TAKEN = 64 << 10, CUT_MS = 700 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    iouringnet_op *op;
    iouringnet_completion done;
    char *data = take(SIZE);

    config.send_buffer = 16 << 10;
    m = mixed_pair_with(&config, 16 << 10);
    mixed_peer_ends(&m);
    memset(data, 7, SIZE);
    if (want == IOURINGNET_TIMEOUT)
        CHECK_OK(sink_set_timeout(m.sink, CUT_MS));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, NULL, NULL, &op));
    raw_recv(m.peer, data, TAKEN);
    if (want == IOURINGNET_CANCELLED)
        CHECK_OK(op_cancel(op));
    iouringnet_completion_init(&done);
    CHECK_STATUS(op_finish(op, &done), want);
    CHECK_BETWEEN(done.bytes, TAKEN, SIZE - 1);
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_TORN);
    mixed_close(&m);
    free(data);
}

TEST(a_cancel_cuts_a_send_to_a_half_closed_peer) {
    a_cut_send(IOURINGNET_CANCELLED);
}

TEST(a_time_limit_cuts_a_send_to_a_half_closed_peer) {
    a_cut_send(IOURINGNET_TIMEOUT);
}
