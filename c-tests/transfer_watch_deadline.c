/* The deadline of a watch: what does not move it, what does, and what it leaves alone.
   Rule: Timeouts. */

#include "forward.h"

enum { LIMIT_MS = 200 };

/* sends a byte every few milliseconds until it is told to stop */
struct trickle {
    int peer;
    atomic_bool over;
    size_t sent;
};

static void *trickles(void *user) {
    struct trickle *trickle = user;

    while (!atomic_load(&trickle->over)) {
        raw_send(trickle->peer, "x", 1);
        trickle->sent++;
        pass(LIMIT_MS / 20);
    }
    return NULL;
}

struct counted {
    struct ending ending;
    atomic_size_t bytes;
};

static size_t counts(void *user, iouringnet_status status, const void *data, size_t size) {
    struct counted *counted = user;

    (void)data;
    atomic_fetch_add(&counted->bytes, size);
    ending_note(&counted->ending, status);
    return size;
}

TEST(bytes_do_not_move_the_deadline_and_none_is_lost) {
    struct mixed m = mixed_pair();
    struct counted counted = {.ending = ENDING};
    struct trickle trickle = {.peer = m.peer};
    pthread_t thread;
    int64_t began;
    char *rest;

    CHECK_OK(watch_data(m.stream, counts, &counted));
    began = now_ms();
    CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
    thread = spawn(trickles, &trickle);
    CHECK_STATUS(ending_wait(&counted.ending), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    CHECK(counted.bytes > 0);
    atomic_store(&trickle.over, true);
    join(thread);
    /* the stream goes on, with every byte that the watch was not shown */
    raw_send(m.peer, "!", 1);
    rest = take(trickle.sent + 1);
    CHECK_OK(stream_recv(m.stream, rest, trickle.sent + 1 - counted.bytes, NULL));
    CHECK_EQ(rest[trickle.sent - counted.bytes], '!');
    mixed_close(&m);
    free(rest);
}

TEST(it_counts_from_the_arming_and_for_each_watch) {
    struct mixed m = mixed_pair();

    CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
    pass(LIMIT_MS);
    for (int i = 0; i < 2; i++) {
        struct ending ending = ENDING;
        int64_t began = now_ms();

        CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
        CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    }
    mixed_close(&m);
}

TEST(it_counts_while_the_watch_is_paused) {
    struct mixed m = mixed_pair();
    struct ending ending = ENDING;

    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    CHECK_OK(stream_pause(m.stream));
    CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    mixed_close(&m);
}

TEST(it_bounds_a_forward) {
    iouringnet_net *net = net_of_mode();
    struct mixed from = mixed_pair_in(net, 0), to = mixed_pair_in(net, 0);
    struct ending ending = ENDING;
    char got[4];

    CHECK_OK(stream_set_deadline(from.stream, LIMIT_MS));
    CHECK_OK(watch_data(from.stream, ending_store_data, &ending));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    for (int i = 0; i < 2; i++) { /* each has the whole time */
        struct result forwarded = RESULT;
        int64_t began = now_ms();

        CHECK_OK(stream_forward_async(from.stream, to.sink, IOURINGNET_ALL, result_store, &forwarded, NULL));
        raw_send(from.peer, "here", 4);
        raw_recv(to.peer, got, 4);
        CHECK_STATUS(result_wait(&forwarded), IOURINGNET_TIMEOUT);
        CHECK_EQ(forwarded.done.bytes, 4);
        CHECK_EQ(forwarded.done.side, IOURINGNET_SIDE_FROM);
        CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    }
    mixed_close(&from);
    mixed_close(&to);
    CHECK_OK(net_stop(net));
}

TEST(it_is_set_anew_and_taken_away) {
    struct mixed m = mixed_pair();
    struct ending ending = ENDING;
    int64_t began = now_ms();

    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    for (int i = 0; i < 10; i++) {
        CHECK_OK(stream_set_deadline(m.stream, patient(10 * LIMIT_MS)));
        pass(LIMIT_MS / 4);
    }
    CHECK_EQ(ending.ends, 0);
    CHECK(now_ms() - began > LIMIT_MS);
    CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
    CHECK_OK(stream_set_deadline(m.stream, IOURINGNET_NO_TIMEOUT));
    CHECK(!latch_wait_ms(&ending.latch, 2 * LIMIT_MS));
    raw_half_close(m.peer);
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_EOF);
    mixed_close(&m);
}

TEST(it_leaves_receives_alone_and_refuses_no_time) {
    struct mixed m = mixed_pair();
    struct result received = RESULT;
    char byte;

    CHECK_STATUS(stream_set_deadline(m.stream, 0), IOURINGNET_INVALID);
    CHECK_STATUS(stream_set_deadline(m.stream, -2), IOURINGNET_INVALID);
    CHECK_OK(stream_set_deadline(m.stream, 1));
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
    CHECK(!latch_wait_ms(&received.latch, LIMIT_MS));
    raw_send(m.peer, "x", 1);
    CHECK_OK(result_wait(&received));
    mixed_close(&m);
}

/* ---- what does not move it, and what does ---- */

TEST(pauses_and_resumes_do_not_move_it) {
    struct mixed m = mixed_pair();
    struct ending ending = ENDING;
    int64_t last = now_ms() + WAIT_MS;

    CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    while (stream_pause(m.stream) == 0) { /* INVALID: the watch has ended */
        pass(LIMIT_MS / 20);
        if (stream_resume(m.stream) == 0)
            pass(LIMIT_MS / 20);
        CHECK(now_ms() < last);
    }
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    mixed_close(&m);
}

TEST(a_shorter_one_set_anew_counts) {
    for (int paused = 0; paused < 2; paused++) {
        struct mixed m = mixed_pair();
        struct ending ending = ENDING;
        int64_t began;

        CHECK_OK(stream_set_deadline(m.stream, 3600000));
        CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
        if (paused)
            CHECK_OK(stream_pause(m.stream));
        began = now_ms();
        CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
        CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
        mixed_close(&m);
    }
}

/* ---- what a deadline leaves behind ---- */

/* takes one byte of each call */
static size_t takes_one(void *user, iouringnet_status status, const void *data, size_t size) {
    struct counted *counted = user;

    (void)data;
    ending_note(&counted->ending, status);
    if (status != 0)
        return size;
    atomic_fetch_add(&counted->bytes, 1);
    return 1;
}

TEST(bytes_that_a_watch_has_left_or_was_not_shown_stay) {
    for (int paused = 0; paused < 2; paused++) {
        struct mixed m = mixed_pair();
        struct counted counted = {.ending = ENDING};
        char rest[4];

        CHECK_OK(watch_data(m.stream, takes_one, &counted));
        if (paused)
            CHECK_OK(stream_pause(m.stream));
        raw_send(m.peer, "abcd", 4);
        if (paused)
            EVENTUALLY(raw_unacknowledged(m.peer) == 0);
        else
            EVENTUALLY(counted.bytes > 0);
        CHECK_OK(stream_set_deadline(m.stream, LIMIT_MS));
        CHECK_STATUS(ending_wait(&counted.ending), IOURINGNET_TIMEOUT);
        CHECK_EQ(counted.bytes, !paused);
        CHECK_OK(stream_recv(m.stream, rest, 4 - counted.bytes, NULL));
        CHECK_MEM(rest, &"abcd"[counted.bytes], 4 - counted.bytes);
        mixed_close(&m);
    }
}

/* the drain does not read */
TEST(it_bounds_a_forward_that_is_held) {
    struct route route;
    size_t sent, went;
    char *rest;

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    sent = source_until_held(&route, 0);
    CHECK_OK(stream_set_deadline(route.from.stream, LIMIT_MS));
    CHECK_STATUS(result_wait(&route.done), IOURINGNET_TIMEOUT);
    went = route.done.done.bytes;
    CHECK_OK(op_release(route.op));
    CHECK_BETWEEN(went, 1, sent);
    rest = take(sent - went);
    CHECK_OK(stream_recv(route.from.stream, rest, sent - went, NULL));
    pattern_check(rest, sent - went, went, SOURCE_SEED);
    free(rest);
    CHECK_OK(sink_post(route.to.sink, "more", 4)); /* the sink is good */
    connection_abort(route.to.sink, NULL);
    route_end(&route);
}
