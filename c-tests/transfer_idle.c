/* The idle limit of a connection: what it ends, what moves it, and what it leaves alone.
   Rule: Timeouts. */

#include "forward.h"

enum { LIMIT_MS = 200, BIG = 32 << 20 };

static void idle(struct mixed *m, int64_t ms) {
    CHECK_OK(connection_set_idle_timeout(m->sink, m->stream, ms));
}

TEST(a_quiet_watch_ends_and_the_next_one_has_the_whole_time) {
    struct mixed m = mixed_pair();
    char byte;

    idle(&m, LIMIT_MS);
    pass(2 * LIMIT_MS); /* nothing waits */
    for (int i = 0; i < 2; i++) {
        struct ending ending = ENDING;
        int64_t began = now_ms();

        CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
        CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    }
    idle(&m, IOURINGNET_NO_TIMEOUT);
    raw_send(m.peer, "x", 1); /* the connection is whole */
    CHECK_OK(stream_recv(m.stream, &byte, 1, NULL));
    CHECK_OK(sink_send(m.sink, "y", 1, NULL));
    raw_recv(m.peer, &byte, 1);
    mixed_close(&m);
}

TEST(a_new_setting_begins_the_time_anew) {
    bool in_time = false;

    while (!in_time) {
        struct mixed m = mixed_pair();
        struct ending ending = ENDING;
        int64_t began = now_ms(), set;

        CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
        idle(&m, LIMIT_MS);
        pass(LIMIT_MS / 2);
        set = now_ms();
        idle(&m, LIMIT_MS);
        in_time = now_ms() - began < 3 * LIMIT_MS / 4; /* else a slow machine has let the first time pass */
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
        if (in_time)
            CHECK_BETWEEN(now_ms() - set, LIMIT_MS - 1, WAIT_MS);
        mixed_close(&m);
    }
}

TEST(bytes_in_either_direction_move_it) {
    for (int sends = 0; sends < 2; sends++) {
        struct mixed m = mixed_pair();
        struct ending ending = ENDING;
        int64_t began = now_ms(), last = began,
                longest = 0; /* time without a byte; a slow machine may exceed the limit */
        char byte;

        idle(&m, patient(LIMIT_MS));
        CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
        while (ending.ends == 0 && now_ms() - began < patient(4 * LIMIT_MS)) {
            if (sends) { /* a download: its client says nothing */
                CHECK_OK(sink_post(m.sink, "x", 1));
                raw_recv(m.peer, &byte, 1);
            } else {
                raw_send(m.peer, "x", 1);
            }
            if (longest < now_ms() - last)
                longest = now_ms() - last;
            last = now_ms();
            pass(LIMIT_MS / 8);
        }
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
        if (longest < now_ms() - last)
            longest = now_ms() - last;
        CHECK_BETWEEN(longest, patient(LIMIT_MS) - 1, WAIT_MS);
        mixed_close(&m);
    }
}

TEST(a_proxy_of_one_direction_is_not_cut) {
    struct route route;
    struct result back = RESULT;
    int64_t began = now_ms();
    char byte;

    route_begin(&route);
    idle(&route.from, patient(LIMIT_MS));
    idle(&route.to, patient(LIMIT_MS));
    route_forward(&route, IOURINGNET_ALL);
    CHECK_OK(stream_forward_async(route.to.stream, route.from.sink, IOURINGNET_ALL, result_store, &back, NULL));
    while (now_ms() - began < patient(4 * LIMIT_MS)) {
        raw_send(route.from.peer, "x", 1);
        raw_recv(route.to.peer, &byte, 1);
        CHECK_EQ(route.done.calls + back.calls, 0);
        pass(LIMIT_MS / 8);
    }
    CHECK_STATUS(result_wait(&route.done), IOURINGNET_TIMEOUT);
    CHECK_STATUS(result_wait(&back), IOURINGNET_TIMEOUT);
    CHECK_OK(op_release(route.op));
    route_end(&route);
}

/* the drain does not read */
static void held_forward(bool by_source) {
    struct route route;
    size_t sent;

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    sent = source_until_held(&route, 0);
    idle(by_source ? &route.from : &route.to, LIMIT_MS);
    CHECK_STATUS(result_wait(&route.done), IOURINGNET_TIMEOUT);
    CHECK_EQ(route.done.done.side, by_source ? IOURINGNET_SIDE_FROM : IOURINGNET_SIDE_TO);
    CHECK_BETWEEN(route.done.done.bytes, 1, sent);
    CHECK_OK(op_release(route.op));
    idle(&route.from, IOURINGNET_NO_TIMEOUT);
    idle(&route.to, IOURINGNET_NO_TIMEOUT);
    CHECK_OK(sink_post(route.to.sink, "more", 4)); /* the sink is good */
    connection_abort(route.to.sink, NULL);
    route_end(&route);
}

TEST(a_forward_that_is_held_ends_by_the_limit_of_either_connection) {
    held_forward(true);
    held_forward(false);
}

TEST(it_stands_still_while_paused_and_nothing_is_unsent) {
    struct mixed m = mixed_pair_sized(16384);
    struct ending ending = ENDING;
    struct ending room = ENDING;
    int64_t resumed;

    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    CHECK_OK(stream_pause(m.stream));
    idle(&m, LIMIT_MS);
    CHECK(!latch_wait_ms(&ending.latch, 4 * LIMIT_MS));
    resumed = now_ms();
    CHECK_OK(stream_resume(m.stream));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - resumed, LIMIT_MS / 2, WAIT_MS);
    ending_init(&ending);
    idle(&m, IOURINGNET_NO_TIMEOUT);
    CHECK_OK(ending_watch(m.sink, &room));
    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    CHECK_OK(stream_pause(m.stream));
    jam_sink(m.sink);
    idle(&m, LIMIT_MS);
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    CHECK_STATUS(ending_wait(&room), IOURINGNET_TIMEOUT);
    mixed_close(&m);
}

TEST(many_short_pauses_are_paused_time_too) {
    struct mixed m = mixed_pair();
    struct ending ending = ENDING;

    idle(&m, patient(LIMIT_MS));
    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    for (int64_t end = now_ms() + patient(4 * LIMIT_MS); now_ms() < end;) {
        CHECK_OK(stream_pause(m.stream));
        CHECK_OK(stream_resume(m.stream));
        CHECK(!latch_wait_ms(&ending.latch, LIMIT_MS / 50));
    }
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    mixed_close(&m);
}

TEST(posts_that_nobody_takes_break_the_sink) {
    struct mixed m = mixed_pair_sized(16384);
    struct ending room = ENDING;
    int64_t began;

    CHECK_OK(ending_watch(m.sink, &room));
    jam_sink(m.sink);
    pass(2 * LIMIT_MS);
    began = now_ms();
    idle(&m, LIMIT_MS);
    CHECK_STATUS(ending_wait(&room), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_TIMEOUT);
    mixed_close(&m);
}

TEST(the_first_send_and_every_flush_end) {
    struct mixed m = mixed_pair_sized(16384);
    struct result sent = RESULT, flushed = RESULT;
    char *data = take(BIG);

    memset(data, 1, BIG);
    CHECK_OK(sink_send_async(m.sink, data, BIG, result_store, &sent, NULL));
    CHECK_OK(sink_flush_async(m.sink, result_store, &flushed, NULL));
    idle(&m, LIMIT_MS);
    CHECK_STATUS(result_wait(&sent), IOURINGNET_TIMEOUT);
    CHECK_STATUS(result_wait(&flushed), IOURINGNET_TIMEOUT);
    mixed_close(&m);
    m = mixed_pair_sized(16384);
    idle(&m, LIMIT_MS);
    CHECK_STATUS(sink_send(m.sink, data, BIG, NULL), IOURINGNET_TIMEOUT);
    mixed_close(&m);
    free(data);
}

TEST(the_first_receive_ends_and_the_next_has_the_whole_time) {
    struct mixed m = mixed_pair();
    struct result first = RESULT, second = RESULT;
    int64_t began = now_ms(), between;
    char into[4];

    CHECK_OK(stream_recv_async(m.stream, into, 1, result_store, &first, NULL));
    CHECK_OK(stream_recv_async(m.stream, into + 1, 1, result_store, &second, NULL));
    idle(&m, LIMIT_MS);
    CHECK_STATUS(result_wait(&first), IOURINGNET_TIMEOUT);
    between = now_ms();
    CHECK_STATUS(result_wait(&second), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(between - began, LIMIT_MS - 1, WAIT_MS);
    CHECK_BETWEEN(now_ms() - between, LIMIT_MS - LIMIT_MS / 4, WAIT_MS);
    began = now_ms();
    CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - LIMIT_MS / 4, WAIT_MS);
    CHECK_STATUS(stream_fill(m.stream, 1), IOURINGNET_TIMEOUT);
    raw_send(m.peer, "x", 1);
    CHECK_OK(stream_recv(m.stream, into, 1, NULL));
    mixed_close(&m);
}

/* a drain after a close has limits of its own */
TEST(it_does_not_cut_a_drain) {
    struct mixed m = mixed_pair_sized(16384);
    size_t size;
    char *got;

    idle(&m, IOURINGNET_NO_TIMEOUT);
    jam_sink(m.sink);
    size = unsent_of(m.sink) + (size_t)64 * (1 << 20);
    idle(&m, LIMIT_MS / 4);
    sink_close(m.sink);
    pass(2 * LIMIT_MS);
    got = take(size);
    CHECK(raw_recv_to_end(m.peer, got, size) > 0);
    mixed_close(&m);
    free(got);
}

TEST(limits_of_operations_touch_neither_watches_nor_posts_nor_forwards) {
    struct route route;
    struct ending ending = ENDING, room = ENDING;
    struct mixed m;

    route_begin(&route);
    CHECK_OK(stream_set_timeout(route.from.stream, LIMIT_MS / 4));
    CHECK_OK(sink_set_timeout(route.to.sink, LIMIT_MS / 4));
    route_forward(&route, IOURINGNET_ALL);
    m = mixed_pair_in(route.net, 16384);
    CHECK_OK(stream_set_timeout(m.stream, LIMIT_MS / 4));
    CHECK_OK(sink_set_timeout(m.sink, LIMIT_MS / 4));
    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    CHECK_OK(ending_watch(m.sink, &room));
    jam_sink(m.sink);
    CHECK(!latch_wait_ms(&ending.latch, 2 * LIMIT_MS));
    CHECK_EQ(ending.ends + room.ends + route.done.calls, 0);
    raw_half_close(route.from.peer);
    CHECK_OK(result_wait(&route.done));
    CHECK_OK(op_release(route.op));
    connection_abort(m.sink, m.stream);
    mixed_close(&m);
    route_end(&route);
}

TEST(a_new_connection_has_the_limit_of_the_config) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct ending dialled = ENDING, accepted = ENDING;

    config.idle_timeout_ms = LIMIT_MS;
    p = tcp_pair_with(&config);
    CHECK_OK(watch_data(p.a.stream, ending_store_data, &dialled));
    CHECK_OK(watch_data(p.b.stream, ending_store_data, &accepted));
    CHECK_STATUS(ending_wait(&dialled), IOURINGNET_TIMEOUT);
    CHECK_STATUS(ending_wait(&accepted), IOURINGNET_TIMEOUT);
    ending_init(&dialled);
    CHECK_OK(connection_set_idle_timeout(p.a.sink, NULL, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(watch_data(p.a.stream, ending_store_data, &dialled));
    CHECK(!latch_wait_ms(&dialled.latch, 2 * LIMIT_MS));
    pair_close(&p);
    CHECK_STATUS(ending_wait(&dialled), IOURINGNET_CLOSED);
}

TEST(the_handles_and_times_that_it_takes) {
    iouringnet_net *net = net_of_mode();
    struct mixed m = mixed_pair_in(net, 0), other = mixed_pair_in(net, 0);

    CHECK_STATUS(connection_set_idle_timeout(m.sink, m.stream, 0), IOURINGNET_INVALID);
    CHECK_STATUS(connection_set_idle_timeout(m.sink, m.stream, -2), IOURINGNET_INVALID);
    CHECK_STATUS(connection_set_idle_timeout(m.sink, other.stream, 1), IOURINGNET_INVALID);
    CHECK_STATUS(connection_set_idle_timeout(NULL, NULL, 1), IOURINGNET_BAD_HANDLE);
    CHECK_OK(connection_set_idle_timeout(m.sink, NULL, INT64_MAX));
    CHECK_OK(connection_set_idle_timeout(NULL, m.stream, 1));
    sink_close(m.sink);
    CHECK_OK(connection_set_idle_timeout(m.sink, m.stream, 1));
    stream_close(m.stream);
    CHECK_STATUS(connection_set_idle_timeout(m.sink, m.stream, 1), IOURINGNET_BAD_HANDLE);
    stream_close(other.stream);
    CHECK_OK(connection_set_idle_timeout(other.sink, other.stream, 1));
    mixed_close(&m);
    mixed_close(&other);
    CHECK_OK(net_stop(net));
}

/* each watch has one last call, by the limit or by the stop, whichever comes first */
TEST(a_stop_or_an_abort_meanwhile) {
    enum { COUNT = 20, ROUNDS = 5 };

    for (int round = 0; round < ROUNDS; round++) {
        iouringnet_config config = config_of_mode();
        iouringnet_net *net;
        struct mixed m[COUNT];
        struct ending endings[COUNT];

        config.linger_ms = IOURINGNET_NO_LINGER;
        net = net_with(&config);
        for (int i = 0; i < COUNT; i++) {
            m[i] = mixed_pair_in(net, 0);
            ending_init(&endings[i]);
            CHECK_OK(watch_data(m[i].stream, ending_store_data, &endings[i]));
        }
        for (int i = 0; i < COUNT; i++)
            idle(&m[i], i % 4 == 0 ? WAIT_MS : 1 + i % 4);
        for (int i = 0; i < COUNT; i += 5)
            connection_abort(m[i].sink, m[i].stream);
        CHECK_OK(net_stop(net));
        for (int i = 0; i < COUNT; i++) {
            iouringnet_status status = ending_wait(&endings[i]);

            CHECK_EQ(endings[i].ends, 1);
            if (i % 5 == 0)
                CHECK(status == IOURINGNET_CLOSED || status == IOURINGNET_TIMEOUT);
            else if (i % 4 == 0)
                CHECK_STATUS(status, IOURINGNET_STOPPED);
            else
                CHECK(status == IOURINGNET_STOPPED || status == IOURINGNET_TIMEOUT);
            mixed_close(&m[i]);
        }
    }
}
