/* Promise 9: the watch of a sink tells that the peer has reset the connection, also while nothing is sent and nothing is
   received, and takes nothing else for it. */

#include "inside.h"

struct talk {
    struct mixed m;
    struct ending watch;
};

static void talk_begin(struct talk *talk) {
    talk->m = mixed_pair();
    ending_init(&talk->watch);
}

static void talk_watch(struct talk *talk) {
    CHECK_OK(ending_watch(talk->m.sink, &talk->watch));
}

/* the watch was told, and so is who sends */
static void talk_is_broken(struct talk *talk) {
    CHECK_STATUS(ending_wait(&talk->watch), -ECONNRESET);
    CHECK_STATUS(sink_post(talk->m.sink, "x", 1), -ECONNRESET);
}

static void talk_end(struct talk *talk) {
    mixed_stop(&talk->m);
    CHECK_EQ(talk->watch.ends, 1);
}

static void reset_and_end(struct talk *talk) {
    raw_reset(talk->m.peer);
    talk_is_broken(talk);
    talk_end(talk);
}

TEST(a_reset_is_told_where_nobody_ever_received) {
    struct talk talk;

    talk_begin(&talk);
    talk_watch(&talk);
    settle(talk.m.net);
    reset_and_end(&talk);
}

TEST(a_reset_is_told_to_a_watch_that_comes_after_it) {
    struct talk talk;
    char byte;

    talk_begin(&talk);
    CHECK_OK(stream_set_timeout(talk.m.stream, 0));
    raw_reset(talk.m.peer);
    EVENTUALLY(stream_recv(talk.m.stream, &byte, 1, NULL) == -ECONNRESET);
    talk_watch(&talk);
    talk_is_broken(&talk);
    talk_end(&talk);
}

TEST(a_reset_is_told_between_two_receives) {
    struct talk talk;
    char byte;

    talk_begin(&talk);
    talk_watch(&talk);
    raw_send(talk.m.peer, "x", 1);
    CHECK_OK(stream_recv(talk.m.stream, &byte, 1, NULL));
    settle(talk.m.net);
    reset_and_end(&talk);
}

TEST(a_reset_is_told_after_the_stream_is_closed) {
    struct talk talk;

    talk_begin(&talk);
    talk_watch(&talk);
    stream_close(talk.m.stream);
    settle(talk.m.net);
    reset_and_end(&talk);
}

/* The two orders in which a program arms its watches, each with a pause in the first call or from outside. */
struct paused {
    struct talk talk;
    bool in_callback;
    struct latch shown;
    char got[64];
    atomic_size_t size;
    struct ending end;
};

static size_t pausing(void *user, iouringnet_status status, const void *data, size_t size) {
    struct paused *p = user;

    if (status != 0) {
        ending_store_data(&p->end, status, NULL, 0);
        return 0;
    }
    memcpy(p->got + p->size, data, size);
    p->size += size;
    if (p->in_callback)
        CHECK_OK(stream_pause(p->talk.m.stream));
    latch_open(&p->shown);
    return size;
}

static void paused_begin(struct paused *p, bool sink_first, bool in_callback) {
    memset(p, 0, sizeof *p);
    latch_init(&p->shown, 1);
    ending_init(&p->end);
    p->in_callback = in_callback;
    talk_begin(&p->talk);
    if (sink_first)
        talk_watch(&p->talk);
    CHECK_OK(watch_data(p->talk.m.stream, pausing, p));
    if (!sink_first)
        talk_watch(&p->talk);
    raw_send(p->talk.m.peer, "one", 3);
    latch_wait(&p->shown);
    if (!in_callback)
        CHECK_OK(stream_pause(p->talk.m.stream));
    settle(p->talk.m.net);
}

/* what came before the reset is received in spite of it */
static void paused_end(struct paused *p, size_t more) {
    talk_is_broken(&p->talk);
    CHECK_EQ(p->end.ends, 0);
    p->in_callback = false;
    CHECK_OK(stream_resume(p->talk.m.stream));
    CHECK_STATUS(ending_wait(&p->end), -ECONNRESET);
    CHECK_EQ(p->size, 3 + more);
    CHECK_MEM(p->got, "onetwo", 3 + more);
    talk_end(&p->talk);
}

static void a_paused_stream(bool sink_first, bool in_callback) {
    struct paused p;

    paused_begin(&p, sink_first, in_callback);
    raw_reset(p.talk.m.peer);
    paused_end(&p, 0);
}

TEST(a_reset_is_told_while_the_stream_is_paused) {
    a_paused_stream(false, false);
}

TEST(a_reset_is_told_while_the_stream_is_paused_since_its_callback) {
    a_paused_stream(true, true);
}

TEST(bytes_before_a_reset_that_was_told_are_received) {
    struct paused p;

    paused_begin(&p, true, true);
    raw_send(p.talk.m.peer, "two", 3);
    settle(p.talk.m.net);
    raw_reset(p.talk.m.peer);
    paused_end(&p, 3);
}

TEST(a_reset_is_told_after_the_peers_end) {
    struct talk talk;
    struct ending end;

    talk_begin(&talk);
    ending_init(&end);
    talk_watch(&talk);
    CHECK_OK(watch_data(talk.m.stream, ending_store_data, &end));
    raw_half_close(talk.m.peer);
    CHECK_STATUS(ending_wait(&end), IOURINGNET_EOF);
    settle(talk.m.net);
    CHECK_EQ(talk.watch.ends, 0);
    reset_and_end(&talk);
}

TEST(bytes_and_the_peers_end_are_no_reset) {
    struct talk talk;
    char got[4];

    talk_begin(&talk);
    talk_watch(&talk);
    settle(talk.m.net);
    raw_send(talk.m.peer, "last", 4);
    raw_half_close(talk.m.peer);
    for (int i = 0; i < 50; i++)
        settle(talk.m.net);
    CHECK_EQ(talk.watch.ends, 0);
    CHECK_OK(sink_send(talk.m.sink, "more", 4, NULL));
    raw_recv(talk.m.peer, got, 4);
    CHECK_MEM(got, "more", 4);
    CHECK_OK(stream_recv(talk.m.stream, got, 4, NULL));
    CHECK_MEM(got, "last", 4);
    sink_close(talk.m.sink);
    CHECK_OK(ending_wait(&talk.watch));
    raw_close(talk.m.peer);
    talk_end(&talk);
}

TEST(a_watch_whose_sink_has_closed_is_told_of_no_reset) {
    struct talk talk;
    char byte;

    talk_begin(&talk);
    talk_watch(&talk);
    settle(talk.m.net);
    sink_close(talk.m.sink);
    CHECK_OK(ending_wait(&talk.watch));
    raw_reset(talk.m.peer);
    CHECK_STATUS(stream_recv(talk.m.stream, &byte, 1, NULL), -ECONNRESET);
    talk_end(&talk);
}

/* polls leave nothing behind */
TEST(hundreds_of_watched_sinks_come_and_go) {
    iouringnet_net *net = net_of_mode();
    size_t descriptors = 0;

    for (int i = 0; i < 300; i++) {
        struct talk talk = {.m = mixed_pair_in(net, 0)};

        ending_init(&talk.watch);
        talk_watch(&talk);
        if (i % 2)
            settle(net);
        raw_reset(talk.m.peer);
        if (i % 3)
            CHECK_STATUS(ending_wait(&talk.watch), -ECONNRESET);
        mixed_stop(&talk.m);
        EVENTUALLY(talk.watch.over);
        if (i == 10)
            descriptors = count_entries("/proc/self/fd");
    }
    EVENTUALLY(count_entries("/proc/self/fd") <= descriptors);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_OK(net_stop(net));
}

/* ---- calls on a sink that is broken ---- */

TEST(an_empty_call_on_a_torn_sink_says_so) {
    enum { SIZE = 64 << 20 };
    struct talk talk;
    struct result send = RESULT, flush = RESULT;
    char *data = take(SIZE);
    size_t sent = 0;

    talk_begin(&talk);
    memset(data, 1, SIZE);
    CHECK_OK(sink_set_timeout(talk.m.sink, 0));
    CHECK_STATUS(sink_send(talk.m.sink, data, SIZE, &sent), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(sent, 1, SIZE - 1);
    CHECK_OK(sink_set_timeout(talk.m.sink, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(sink_send(talk.m.sink, "", 0, NULL), IOURINGNET_TORN);
    CHECK_STATUS(sink_sendv(talk.m.sink, NULL, 0, NULL), IOURINGNET_TORN);
    CHECK_OK(sink_send_async(talk.m.sink, "", 0, result_store, &send, NULL));
    CHECK_STATUS(result_wait(&send), IOURINGNET_TORN);
    CHECK_STATUS(sink_post(talk.m.sink, "", 0), IOURINGNET_TORN);
    CHECK_STATUS(sink_flush(talk.m.sink), IOURINGNET_TORN);
    CHECK_OK(sink_flush_async(talk.m.sink, result_store, &flush, NULL));
    CHECK_STATUS(result_wait(&flush), IOURINGNET_TORN);
    talk_watch(&talk);
    CHECK_STATUS(ending_wait(&talk.watch), IOURINGNET_TORN);
    raw_close(talk.m.peer);
    talk_end(&talk);
    free(data);
}

/* the first post after the reset, which the call itself meets; without the first try the loop meets it later */
TEST(a_post_that_meets_a_reset_says_so) {
    enum { ROUNDS = 20 };

    for (int i = 0; i < ROUNDS; i++) {
        struct talk talk;
        struct pollfd broken = {.events = 0};

        talk_begin(&talk);
        broken.fd = descriptor_of(talk.m.sink);
        raw_reset(talk.m.peer);
        CHECK_EQ(poll(&broken, 1, (int)WAIT_MS), 1);
        CHECK_STATUS(sink_post(talk.m.sink, "x", 1), rings_only() ? 0 : -ECONNRESET);
        EVENTUALLY(sink_post(talk.m.sink, "x", 1) != 0);
        CHECK_STATUS(sink_post(talk.m.sink, "x", 1), -ECONNRESET);
        talk_watch(&talk);
        CHECK_STATUS(ending_wait(&talk.watch), -ECONNRESET);
        talk_end(&talk);
    }
}
