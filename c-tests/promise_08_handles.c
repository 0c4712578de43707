/* Promise 8: a closed, foreign or made-up handle is BAD_HANDLE, never a crash and never another's
   connection; handles stay dead for ever; closing twice is harmless, closing NULL too. */

#include "support.h"

/* one live handle of each kind, so that no other token of their kind can be hit by chance */
struct one_of_each {
    struct handles h;
    int peer;
};

static struct one_of_each one_of_each(void) {
    struct one_of_each one;
    iouringnet_address address;

    one.h.net = net_of_mode();
    one.h.listener = bind_loopback(one.h.net, &address);
    one.peer = raw_peer(one.h.net, &one.h.sink, &one.h.stream);
    CHECK_OK(net_call(one.h.net, 3600 * 1000, NULL, NULL, &one.h.op));
    return one;
}

static void check_alive(struct one_of_each *one) {
    char got[4];
    iouringnet_address address;

    CHECK_OK(listener_address(one->h.listener, &address));
    CHECK_OK(sink_send(one->h.sink, "ping", 4, NULL));
    raw_recv(one->peer, got, 4);
    CHECK_MEM(got, "ping", 4);
    raw_send(one->peer, "pong", 4);
    CHECK_OK(stream_recv(one->h.stream, got, 4, NULL));
    CHECK_MEM(got, "pong", 4);
    CHECK_STATUS(op_wait(one->h.op, 0, NULL), IOURINGNET_PENDING);
}

static void end_of_each(struct one_of_each *one) {
    CHECK_OK(op_cancel(one->h.op));
    CHECK_STATUS(op_finish(one->h.op, NULL), IOURINGNET_CANCELLED);
    listener_close(one->h.listener);
    sink_close(one->h.sink);
    stream_close(one->h.stream);
    raw_close(one->peer);
    CHECK_OK(net_stop(one->h.net));
}

TEST(null_handles_are_refused) {
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of(NULL), "NULL, before any net");

    struct one_of_each one = one_of_each();
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of(NULL), "NULL");
    check_alive(&one);
    end_of_each(&one);
}

TEST(made_up_handles_are_refused) {
    static const uintptr_t values[] = {1,
                                       2,
                                       7,
                                       8,
                                       0x1000,
                                       0xdeadbeef,
                                       UINTPTR_MAX,
                                       UINTPTR_MAX - 1,
                                       UINTPTR_MAX / 2,
                                       (uintptr_t)1 << 63,
                                       (uintptr_t)0xaaaaaaaaaaaaaaaa,
                                       (uintptr_t)0x5555555555555555};
    struct one_of_each one = one_of_each();
    uint64_t random = 88172645463325252u;
    int local = 0;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of((void *)values[i]), "a made-up number");
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of(&local), "an address of the stack");
    for (int i = 0; i < 2000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of((void *)(uintptr_t)random), "a random number");
    }
    check_alive(&one);
    end_of_each(&one);
}

TEST(a_handle_with_one_wrong_bit_is_refused) {
    struct one_of_each one = one_of_each();

    for (unsigned bit = 0; bit < sizeof(uintptr_t) * 8; bit++) {
        uintptr_t flip = (uintptr_t)1 << bit;
        struct handles wrong = {
            (iouringnet_net *)((uintptr_t)one.h.net ^ flip),
            (iouringnet_listener *)((uintptr_t)one.h.listener ^ flip),
            (iouringnet_sink *)((uintptr_t)one.h.sink ^ flip),
            (iouringnet_stream *)((uintptr_t)one.h.stream ^ flip),
            (iouringnet_op *)((uintptr_t)one.h.op ^ flip),
        };
        char whose[64];

        snprintf(whose, sizeof whose, "bit %u of a live handle changed", bit);
        every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, wrong, whose);
    }
    check_alive(&one);
    end_of_each(&one);
}

TEST(handles_of_another_kind_are_refused) {
    struct one_of_each one = one_of_each();

    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_NET, handles_of(one.h.net), "a net");
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_LISTENER, handles_of(one.h.listener), "a listener");
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_SINK, handles_of(one.h.sink), "a sink");
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_STREAM, handles_of(one.h.stream), "a stream");
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_OP, handles_of(one.h.op), "an op");
    check_alive(&one);
    end_of_each(&one);
}

TEST(closed_handles_are_refused) {
    struct one_of_each one = one_of_each();

    CHECK_OK(op_cancel(one.h.op));
    CHECK_STATUS(op_finish(one.h.op, NULL), IOURINGNET_CANCELLED);
    listener_close(one.h.listener);
    sink_close(one.h.sink);
    stream_close(one.h.stream);
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL & ~KIND_NET, one.h, "a closed handle");
    CHECK_OK(net_stop(one.h.net));
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, one.h, "a handle of a stopped net");
    raw_close(one.peer);
}

TEST(an_aborted_sink_is_refused) {
    struct one_of_each one = one_of_each();
    char byte;

    connection_abort(one.h.sink, NULL);
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_SINK, one.h, "an aborted sink");
    /* the stream is still the caller's to close */
    CHECK_STATUS(stream_recv(one.h.stream, &byte, 1, NULL), IOURINGNET_CLOSED);
    raw_expect_reset(one.peer);
    end_of_each(&one);
}

TEST(handles_stay_dead_when_another_net_has_started) {
    struct one_of_each old = one_of_each();
    struct handles dead = old.h;

    CHECK_OK(net_stop(old.h.net));
    /* promise 10: an op keeps its result until it is released */
    CHECK_STATUS(op_finish(old.h.op, NULL), IOURINGNET_STOPPED);
    raw_close(old.peer);
    for (int i = 0; i < 3; i++) {
        struct one_of_each one = one_of_each();

        CHECK(one.h.net != dead.net && one.h.listener != dead.listener && one.h.sink != dead.sink);
        CHECK(one.h.stream != dead.stream && one.h.op != dead.op);
        every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, dead, "a handle of a net that stopped before");
        check_alive(&one);
        end_of_each(&one);
    }
}

/* The table of handles grows in steps: some of these nets have exactly as many handles as it has places. */
TEST(no_handle_of_a_stopped_net_is_left) {
    enum { MOST = 70 };

    for (int count = 1; count < MOST; count++) {
        iouringnet_net *net = net_of_mode();
        iouringnet_listener *listeners[MOST];
        iouringnet_address address;

        for (int i = 0; i < count; i++)
            listeners[i] = bind_loopback(net, &address);
        CHECK_OK(net_stop(net));
        for (int i = 0; i < count; i++)
            CHECK_STATUS(listener_address(listeners[i], &address), IOURINGNET_BAD_HANDLE);
    }
}

TEST(closing_twice_harms_no_successor) {
    iouringnet_net *net = net_of_mode();
    struct handles old[8];

    /* each round takes the slots that the round before gave back; all old handles are closed again on it */
    for (int round = 0; round < 8; round++) {
        struct one_of_each one = {handles_of(NULL), -1};
        iouringnet_address address;

        one.h.net = net;
        one.h.listener = bind_loopback(net, &address);
        one.peer = raw_peer(net, &one.h.sink, &one.h.stream);
        CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &one.h.op));
        for (int i = 0; i < round; i++) {
            sink_close(old[i].sink);
            stream_close(old[i].stream);
            connection_abort(old[i].sink, NULL);
            listener_close(old[i].listener);
            CHECK_STATUS(op_release(old[i].op), IOURINGNET_BAD_HANDLE);
        }
        check_alive(&one);
        old[round] = one.h;
        CHECK_OK(op_cancel(one.h.op));
        CHECK_STATUS(op_finish(one.h.op, NULL), IOURINGNET_CANCELLED);
        listener_close(one.h.listener);
        sink_close(one.h.sink);
        stream_close(one.h.stream);
        raw_close(one.peer);
        EVENTUALLY(stats_of(net).connections == 0);
    }
    CHECK_OK(net_stop(net));
}

TEST(a_slot_reused_100000_times_does_not_revive_its_handle) {
    struct pair p = tcp_pair();
    iouringnet_op *first;

    CHECK_OK(stream_recv_async(p.b.stream, NULL, 0, NULL, NULL, &first));
    CHECK_OK(op_finish(first, NULL));
    for (int i = 0; i < 100000; i++) {
        iouringnet_op *op;

        /* a size of 0 completes at once: the cheapest op there is */
        CHECK_OK(stream_recv_async(p.b.stream, NULL, 0, NULL, NULL, &op));
        CHECK(op != first);
        CHECK_STATUS(op_wait(first, 0, NULL), IOURINGNET_BAD_HANDLE);
        CHECK_OK(op_wait(op, WAIT_MS, NULL));
        CHECK_OK(op_release(op));
    }
    every_call_gives(IOURINGNET_BAD_HANDLE, KIND_ALL, handles_of(first), "an op whose slot was reused 100,000 times");
    pair_close(&p);
}

TEST(a_reused_timer_slot_does_not_revive_its_handle) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *ops[64], *old[64];

    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 64; i++)
            CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &ops[i]));
        for (int i = 0; i < 64; i++) {
            if (round > 0) {
                CHECK_STATUS(op_cancel(old[i]), IOURINGNET_BAD_HANDLE);
                CHECK_STATUS(op_release(old[i]), IOURINGNET_BAD_HANDLE);
            }
            CHECK_OK(op_cancel(ops[i]));
        }
        for (int i = 0; i < 64; i++) {
            CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
            old[i] = ops[i];
        }
    }
    CHECK_OK(net_stop(net));
}

/* ---- handles that are closed while others use them ---- */

struct race {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    pthread_barrier_t *start;
};

static void *use_while_closed(void *user) {
    struct race *race = user;
    iouringnet_status status;
    char byte;

    pthread_barrier_wait(race->start);
    do
        status = sink_post(race->sink, "x", 1);
    while (status == IOURINGNET_OK || status == IOURINGNET_FULL);
    /* closed before the call, or while it was in it */
    if (status != IOURINGNET_CLOSED)
        CHECK_STATUS(status, IOURINGNET_BAD_HANDLE);
    status = stream_recv(race->stream, &byte, 1, NULL);
    if (status != IOURINGNET_CLOSED)
        CHECK_STATUS(status, IOURINGNET_BAD_HANDLE);
    return NULL;
}

static void *close_it(void *user) {
    struct race *race = user;

    pthread_barrier_wait(race->start);
    sink_close(race->sink);
    stream_close(race->stream);
    return NULL;
}

TEST(closing_races_with_using_and_closing) {
    iouringnet_net *net = net_of_mode();

    for (int round = 0; round < 50; round++) {
        struct pair p = tcp_pair_in(net, net);
        pthread_barrier_t start;
        struct race race = {p.a.sink, p.a.stream, &start};
        pthread_t threads[4];

        CHECK_EQ(pthread_barrier_init(&start, NULL, 4), 0);
        for (int i = 0; i < 4; i++)
            threads[i] = spawn(i < 2 ? use_while_closed : close_it, &race);
        for (int i = 0; i < 4; i++)
            join(threads[i]);
        pthread_barrier_destroy(&start);
        every_call_gives(IOURINGNET_BAD_HANDLE, KIND_SINK | KIND_STREAM,
                         (struct handles){NULL, NULL, p.a.sink, p.a.stream, NULL}, "a handle closed by two threads");
        pair_close(&p);
    }
    CHECK_OK(net_stop(net));
}
