/* Promise 6: however a forward ends, its count is right, the rest stays in the stream, and the sink is whole. */

#include "forward.h"

/* a forward that waits for the drain, and has passed on a part of what the source sent */
static size_t held(struct route *route) {
    route_begin(route);
    route_forward(route, IOURINGNET_ALL);
    return source_until_held(route, 0);
}

TEST(a_cancelled_forward_loses_nothing) {
    struct route route;
    size_t sent = held(&route), went;

    CHECK_OK(op_cancel(route.op));
    went = route_ended(&route, IOURINGNET_CANCELLED, 0);
    CHECK_BETWEEN(went, 1, sent - 1);
    sink_is_good(&route, went);
    stream_has(&route, went, sent - went);
    route_end(&route);
}

/* one after the other, each cancelled while bytes move */
TEST(forwards_that_are_cancelled_again_and_again_lose_nothing) {
    enum { TIMES = 30 };
    struct route route;
    size_t sent = 0, went = 0;

    route_begin(&route);
    for (int i = 0; i < TIMES; i++) {
        char piece[5000];
        size_t now;

        pattern_fill(piece, sizeof piece, sent, SOURCE_SEED);
        route_forward(&route, IOURINGNET_ALL);
        raw_send(route.from.peer, piece, sizeof piece);
        sent += sizeof piece;
        if (i % 3 == 0)
            settle(route.net);
        CHECK_OK(op_cancel(route.op));
        now = route_ended(&route, IOURINGNET_CANCELLED, 0);
        drain_reads(&route, went, now);
        went += now;
        CHECK(went <= sent);
    }
    stream_has(&route, went, sent - went);
    route_end(&route);
}

TEST(a_forward_whose_sink_is_closed_loses_nothing) {
    struct route route;
    size_t sent = held(&route), went;
    char byte;

    sink_close(route.to.sink);
    went = route_ended(&route, IOURINGNET_CLOSED, IOURINGNET_SIDE_TO);
    CHECK_BETWEEN(went, 1, sent - 1);
    drain_reads(&route, 0, went);
    CHECK_EQ(raw_recv_to_end(route.to.peer, &byte, 1), 0);
    stream_has(&route, went, sent - went);
    route_end(&route);
}

TEST(a_forward_whose_sink_is_aborted_loses_nothing) {
    struct route route;
    size_t sent = held(&route), went;

    connection_abort(route.to.sink, NULL);
    went = route_ended(&route, IOURINGNET_CLOSED, IOURINGNET_SIDE_TO);
    stream_has(&route, went, sent - went);
    route_end(&route);
}

TEST(a_forward_whose_stream_is_closed_tears_nothing) {
    struct route route;
    size_t sent = held(&route), went;

    stream_close(route.from.stream);
    went = route_ended(&route, IOURINGNET_CLOSED, IOURINGNET_SIDE_FROM);
    CHECK_BETWEEN(went, 1, sent - 1);
    sink_is_good(&route, went);
    route_end(&route);
}

TEST(a_forward_from_an_aborted_connection_tears_nothing) {
    struct route route;
    size_t went;

    held(&route);
    connection_abort(route.from.sink, NULL);
    went = route_ended(&route, IOURINGNET_CLOSED, IOURINGNET_SIDE_FROM);
    sink_is_good(&route, went);
    route_end(&route);
}

/* a drain that reads to the end, and checks that all is the source's */
struct drain {
    int fd;
    size_t got;
};

static void *drain_run(void *user) {
    enum { PIECE = 64 << 10 };
    struct drain *drain = user;
    char *piece = take(PIECE);
    ssize_t got;

    while ((got = recv(drain->fd, piece, PIECE, 0)) > 0) {
        pattern_check(piece, (size_t)got, drain->got, SOURCE_SEED);
        drain->got += (size_t)got;
    }
    CHECK_EQ(got, 0);
    free(piece);
    return NULL;
}

/* the drain gets what the count says, and a whole end of the stream */
/* both halves end with it, and which one is first says nothing */
TEST(a_stop_is_the_fault_of_no_side) {
    enum { ROUTES = 20 };
    struct route routes[ROUTES];
    iouringnet_config config = config_of_mode();

    config.linger_ms = IOURINGNET_NO_LINGER;
    route_begin_with(&routes[0], config);
    for (int i = 1; i < ROUTES; i++) {
        routes[i].net = routes[0].net;
        routes[i].from = mixed_pair_in(routes[i].net, 0);
        routes[i].to = mixed_pair_in(routes[i].net, 0);
    }
    for (int i = 0; i < ROUTES; i++)
        route_forward(&routes[i], IOURINGNET_ALL);
    settle(routes[0].net);
    CHECK_OK(net_stop(routes[0].net));
    for (int i = 0; i < ROUTES; i++) {
        CHECK_EQ(route_ended(&routes[i], IOURINGNET_STOPPED, 0), 0);
        raw_close(routes[i].from.peer);
        raw_close(routes[i].to.peer);
    }
}

TEST(a_stop_tears_no_forward) {
    struct route route;
    struct drain drain = {0, 0};
    size_t sent = held(&route);
    pthread_t reader;

    drain.fd = route.to.peer;
    reader = spawn(drain_run, &drain);
    CHECK_OK(net_stop(route.net));
    CHECK_BETWEEN(route_ended(&route, IOURINGNET_STOPPED, 0), 1, sent);
    join(reader);
    CHECK_EQ(drain.got, route.done.done.bytes);
    raw_close(route.from.peer);
    raw_close(route.to.peer);
}

/* ---- what breaks on one side ---- */

TEST(a_sink_that_breaks_ends_a_forward_of_a_silent_source) {
    struct route route;
    char got[5];

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    settle(route.net);
    raw_reset(route.to.peer);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), 0);
    CHECK_STATUS(sink_post(route.to.sink, "x", 1), -ECONNRESET);
    raw_send(route.from.peer, "still", 5);
    CHECK_OK(stream_recv(route.from.stream, got, 5, NULL));
    CHECK_MEM(got, "still", 5);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

/* the same after bytes have moved, so that a receive is in flight that goes on by itself */
TEST(a_sink_that_breaks_ends_a_forward_between_two_messages) {
    struct route route;
    char got[3];

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    for (int i = 0; i < 20; i++) {
        raw_send(route.from.peer, "few", 3);
        raw_recv(route.to.peer, got, 3);
    }
    raw_reset(route.to.peer);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), 60);
    raw_send(route.from.peer, "few", 3);
    CHECK_OK(stream_recv(route.from.stream, got, 3, NULL));
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

/* the next message comes before the loop has seen the break, so a send meets it */
TEST(a_sink_that_breaks_just_before_a_message_loses_nothing) {
    struct route route;
    struct busy busy = BUSY;
    char got[4];

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    raw_send(route.from.peer, "x", 1);
    raw_recv(route.to.peer, got, 1);
    settle(route.net);
    busy_begin(&busy, route.net);
    raw_send(route.from.peer, "stay", 4);
    EVENTUALLY(raw_unacknowledged(route.from.peer) == 0);
    raw_reset(route.to.peer);
    busy_end(&busy);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), 1);
    CHECK_OK(stream_recv(route.from.stream, got, 4, NULL));
    CHECK_MEM(got, "stay", 4);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

TEST(a_sink_that_breaks_while_it_is_full_loses_nothing) {
    struct route route;
    size_t sent = held(&route), went;

    raw_reset(route.to.peer);
    went = route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO);
    stream_has(&route, went, sent - went);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

/* the same when the sink was full before, and its drain has read everything */
TEST(a_sink_that_breaks_after_it_was_full_ends_a_forward_of_a_silent_source) {
    struct route route;
    size_t sent = held(&route);
    char byte;

    drain_reads(&route, 0, sent);
    raw_send(route.from.peer, "x", 1); /* the forward goes on, and then waits for the source */
    raw_recv(route.to.peer, &byte, 1);
    settle(route.net);
    raw_reset(route.to.peer);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), sent + 1);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

TEST(a_broken_sink_takes_no_forward) {
    struct route route;
    char got[4];

    route_begin(&route);
    raw_reset(route.to.peer);
    EVENTUALLY(sink_post(route.to.sink, "x", 1) == -ECONNRESET);
    raw_send(route.from.peer, "stay", 4);
    route_forward(&route, IOURINGNET_ALL);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), 0);
    CHECK_OK(stream_recv(route.from.stream, got, 4, NULL));
    CHECK_MEM(got, "stay", 4);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

/* The first send that meets the break is the forward's own: nothing else runs on the receive loop before. */
TEST(bytes_that_a_broken_sink_refuses_stay_in_the_stream) {
    struct busy busy = BUSY;
    struct route route;
    char got[5];

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    raw_send(route.from.peer, "first", 5);
    raw_recv(route.to.peer, got, 5);
    busy_begin(&busy, route.net);
    raw_reset(route.to.peer);
    raw_send(route.from.peer, "stay", 4);
    pass(20);
    busy_end(&busy);
    CHECK_EQ(route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_TO), 5);
    CHECK_OK(stream_recv(route.from.stream, got, 4, NULL));
    CHECK_MEM(got, "stay", 4);
    mixed_close(&route.from);
    sink_close(route.to.sink);
    stream_close(route.to.stream);
    CHECK_OK(net_stop(route.net));
}

static void note_room(void *user, iouringnet_status status) {
    ending_note(user, status);
}

/* resets while others hold the connection too: the watch of its sink polls the same socket */
static void source_resets(bool watched) {
    struct route route;
    const iouringnet_connection_callbacks room = {sizeof room, NULL, note_room, NULL};
    struct ending watch = ENDING;
    size_t went;

    if (watched) {
        route_begin(&route);
        CHECK_OK(connection_watch(route.from.sink, NULL, &room, &watch));
        route_forward(&route, IOURINGNET_ALL);
        source_until_held(&route, 0);
    } else {
        held(&route);
    }
    raw_reset(route.from.peer);
    went = route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_FROM);
    if (watched)
        CHECK_STATUS(ending_wait(&watch), -ECONNRESET);
    sink_is_good(&route, went);
    stream_has(&route, went, 1); /* what has come is still there */
    sink_close(route.from.sink);
    stream_close(route.from.stream);
    mixed_close(&route.to);
    CHECK_OK(net_stop(route.net));
}

TEST(a_source_that_resets_while_it_is_held_back_ends_the_forward) {
    source_resets(false);
}

TEST(a_source_that_resets_ends_the_forward_and_is_told_to_the_watch) {
    source_resets(true);
}

/* The source resets after the forward has learned of room, and before it goes on. The stream keeps more than the room takes, so
   no receive meets the reset. */
TEST(a_source_that_resets_as_the_drain_makes_room_ends_the_forward) {
    enum { ROOM = 20 << 10 };
    struct busy before = BUSY, between = BUSY;
    struct route route;
    size_t went;

    held(&route);
    busy_begin(&before, route.net);
    drain_reads(&route, 0, ROOM);
    pass(200); /* acknowledgements come late; then the send loop tells the forward of the room */
    CHECK_OK(sink_send_async(route.from.sink, "x", 1, busy_run, &between, NULL)); /* its callback runs behind that */
    pass(20);
    busy_end(&before);
    latch_wait(&between.running);
    raw_reset(route.from.peer);
    pass(20);
    busy_end(&between);
    went = route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_FROM);
    CHECK_OK(sink_post(route.to.sink, "end", 3));
    drain_reads(&route, ROOM, went - ROOM);
    stream_has(&route, went, 1);
    sink_close(route.from.sink);
    stream_close(route.from.stream);
    mixed_close(&route.to);
    CHECK_OK(net_stop(route.net));
}

TEST(a_source_that_resets_after_our_end_ends_the_forward) {
    struct route route;

    held(&route);
    sink_close(route.from.sink);
    raw_expect_eof(route.from.peer);
    raw_reset(route.from.peer);
    sink_is_good(&route, route_ended(&route, -ECONNRESET, IOURINGNET_SIDE_FROM));
    stream_close(route.from.stream);
    mixed_close(&route.to);
    CHECK_OK(net_stop(route.net));
}

TEST(a_source_that_ends_while_it_is_held_back_gets_everything_through) {
    struct route route;
    size_t sent = held(&route);

    raw_half_close(route.from.peer);
    sink_close(route.from.sink); /* both directions have ended */
    drain_reads(&route, 0, sent);
    CHECK_EQ(route_ended(&route, 0, 0), sent);
    route_end(&route);
}

TEST(a_drain_that_ends_its_side_gets_everything) {
    struct route route;
    size_t sent;

    route_begin(&route);
    raw_half_close(route.to.peer);
    route_forward(&route, IOURINGNET_ALL);
    sent = source_until_held(&route, 0);
    drain_reads(&route, 0, sent / 2);
    CHECK_EQ(route.done.calls, 0);
    raw_half_close(route.from.peer);
    drain_reads(&route, sent / 2, sent - sent / 2);
    CHECK_EQ(route_ended(&route, 0, 0), sent);
    route_end(&route);
}

/* ---- the order of the last callbacks ---- */

struct order {
    struct latch over;
    int ended, forwarded; /* when, in the order of callbacks */
    int calls;
};

static void note_end(void *user, iouringnet_status status) {
    struct order *order = user;

    (void)status;
    order->ended = ++order->calls;
    latch_open(&order->over);
}

static void note_forwarded(void *user, const iouringnet_completion *done) {
    struct order *order = user;

    (void)done;
    order->forwarded = ++order->calls;
}

/* the end of a connection comes after the callbacks of forwards from it and to it */
TEST(the_end_of_a_watch_comes_after_the_forward) {
    const iouringnet_connection_callbacks end = {sizeof end, NULL, NULL, note_end};

    for (int i = 0; i < 4; i++) {
        struct route route;
        struct order order = {LATCH(1), 0, 0, 0};
        struct mixed *closed;

        route_begin(&route);
        closed = i % 2 ? &route.from : &route.to;
        CHECK_OK(connection_watch(closed->sink, closed->stream, &end, &order));
        if (i / 2)
            CHECK_OK(sink_post(route.to.sink, "first", 5));
        CHECK_OK(stream_forward_async(route.from.stream, route.to.sink, IOURINGNET_ALL, note_forwarded, &order, NULL));
        connection_close(closed->sink, closed->stream);
        latch_wait(&order.over);
        CHECK_EQ(order.forwarded, 1);
        CHECK_EQ(order.ended, 2);
        route_end(&route);
    }
}

/* ---- back-pressure ---- */

static int64_t processor_of_process_us(void) {
    struct timespec time;

    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

TEST(a_full_sink_holds_the_source_back) {
    struct route route;
    size_t before = heap_in_use(), sent = held(&route), read = 0;
    int64_t used;

    CHECK(heap_in_use() < before + (4 << 20));
    used = processor_of_process_us();
    pass(300);
    CHECK(processor_of_process_us() - used < 50000); /* nobody spins */
    for (int round = 0; round < 5; round++) {        /* it goes on as the drain does */
        size_t half = (sent - read) / 2, more;

        drain_reads(&route, read, half);
        read += half;
        more = source_until_held(&route, sent);
        CHECK(more > sent);
        sent = more;
    }
    raw_half_close(route.from.peer);
    drain_reads(&route, read, sent - read);
    CHECK_EQ(route_ended(&route, 0, 0), sent);
    route_end(&route);
}

/* what a forward holds is not what a callback leaves: `buffer_max` does not end it */
TEST(small_buffers_do_not_end_a_forward) {
    const size_t read_buffers[] = {0, 100, IOURINGNET_UNBUFFERED};

    for (int i = 0; i < 3; i++) {
        iouringnet_config config = config_of_mode();
        struct route route;
        size_t sent;

        config.read_buffer = read_buffers[i];
        config.buffer_max = 1000;
        route_begin_with(&route, config);
        route_forward(&route, IOURINGNET_ALL);
        sent = source_until_held(&route, 0);
        raw_half_close(route.from.peer);
        drain_reads(&route, 0, sent);
        CHECK_EQ(route_ended(&route, 0, 0), sent);
        route_end(&route);
    }
}
