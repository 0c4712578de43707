/* Promise 12: every queue has a bound; beyond it FULL or LIMIT, with nothing taken; what must not fail needs
   no room; what a peer can make the library hold is bounded. */

#include "support.h"

#include <poll.h>

/* ---- operations in flight ---- */

enum { BOUND = 64, TRIES = 4 * BOUND };

static iouringnet_net *bounded_net(void) {
    iouringnet_config config = config_of_mode();

    config.max_operations = BOUND;
    return net_with(&config);
}

/* fills the net with timers up to its bound; gives how many it took */
static int fill_with_timers(iouringnet_net *net, iouringnet_op **ops) {
    for (int i = 0; i < TRIES; i++) {
        iouringnet_op *mark = (iouringnet_op *)ops;
        iouringnet_status status;

        ops[i] = mark;
        status = net_call(net, 3600 * 1000, NULL, NULL, &ops[i]);
        if (status == 0)
            continue;
        CHECK_STATUS(status, IOURINGNET_LIMIT);
        CHECK(ops[i] == mark);
        return i;
    }
    CHECK(!"the bound of operations holds");
    return 0;
}

TEST(operations_beyond_the_bound_are_refused) {
    iouringnet_net *net = bounded_net();
    iouringnet_address address;
    iouringnet_op *ops[TRIES];
    struct result again = RESULT;
    int taken = fill_with_timers(net, ops);

    CHECK_BETWEEN(taken, BOUND / 2, BOUND);
    CHECK_EQ(stats_of(net).operations, taken);
    CHECK_STATUS(net_call(net, 0, never, NULL, NULL), IOURINGNET_LIMIT);
    unused_address(&address);
    CHECK_STATUS(net_dial_async(net, address.text, NULL, never, NULL, NULL), IOURINGNET_LIMIT);
    CHECK_EQ(stats_of(net).operations, taken);
    /* one that ends makes room for one */
    CHECK_OK(op_cancel(ops[0]));
    CHECK_STATUS(op_finish(ops[0], NULL), IOURINGNET_CANCELLED);
    CHECK_OK(net_call(net, 0, result_store, &again, NULL));
    CHECK_OK(result_wait(&again));
    for (int i = 1; i < taken; i++) {
        CHECK_OK(op_cancel(ops[i]));
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
    }
    EVENTUALLY(stats_of(net).operations == 0);
    CHECK_OK(net_stop(net));
}

TEST(what_must_not_fail_needs_no_room) {
    iouringnet_net *net = bounded_net();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *accepting = bind_loopback(net, &address);
    struct pair p = tcp_pair_in(net, net), q = tcp_pair_in(net, net);
    struct ending stream = ENDING, sink = ENDING, watch = ENDING;
    struct result recv = RESULT, accept = RESULT;
    iouringnet_op *ops[TRIES], *op;
    char into[8], got[4];
    int taken;

    CHECK_OK(listener_accept_async(accepting, result_store, &accept, NULL));
    taken = fill_with_timers(net, ops);
    /* each direction of a connection has a place of its own */
    CHECK_OK(stream_recv_async(q.a.stream, into, 8, result_store, &recv, &op));
    CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    CHECK_OK(listener_watch(listener, ending_store, &watch));
    CHECK_OK(watch_data(p.a.stream, ending_store_data, &stream));
    CHECK_OK(ending_watch(p.a.sink, &sink));
    CHECK_OK(stream_pause(p.a.stream));
    CHECK_OK(stream_resume(p.a.stream));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&recv), IOURINGNET_CANCELLED);
    CHECK_OK(op_release(op));
    connection_abort(q.a.sink, NULL);
    CHECK_STATUS(stream_recv(q.b.stream, got, 1, NULL), -ECONNRESET);
    sink_close(p.a.sink);
    CHECK_OK(ending_wait(&sink));
    stream_close(p.a.stream);
    CHECK_STATUS(ending_wait(&stream), IOURINGNET_CLOSED);
    listener_close(listener);
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_CLOSED);
    listener_close(accepting);
    CHECK_STATUS(result_wait(&accept), IOURINGNET_CLOSED);
    for (int i = 0; i < taken; i++) {
        CHECK_OK(op_cancel(ops[i]));
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
    }
    pair_close(&p);
    pair_close(&q);
    CHECK_OK(net_stop(net));
}

TEST(sends_beyond_the_bound_are_refused_and_nothing_of_them_goes_out) {
    iouringnet_net *net = bounded_net();
    struct mixed m = mixed_pair_in(net, 0);
    size_t jammed = jam_sink(m.sink);
    struct result results[TRIES];
    uint32_t words[TRIES];
    char *got = take(jammed + TRIES * 4);
    iouringnet_status status = 0;
    int taken = 0;

    while (taken < TRIES) {
        words[taken] = (uint32_t)taken;
        result_init(&results[taken]);
        status = sink_send_async(m.sink, &words[taken], 4, result_store, &results[taken], NULL);
        if (status != 0)
            break;
        taken++;
    }
    CHECK_STATUS(status, IOURINGNET_LIMIT);
    CHECK_BETWEEN(taken, BOUND / 2, BOUND + 2);
    raw_recv(m.peer, got, jammed + (size_t)taken * 4);
    for (int i = 0; i < taken; i++) {
        CHECK_OK(result_wait(&results[i]));
        CHECK_EQ(results[i].done.bytes, 4);
        CHECK_MEM(got + jammed + (size_t)i * 4, &words[i], 4);
    }
    sink_close(m.sink);
    raw_expect_eof(m.peer);
    CHECK_EQ(results[taken].calls, 0);
    raw_close(m.peer);
    stream_close(m.stream);
    CHECK_OK(net_stop(net));
    free(got);
}

TEST(receives_beyond_the_bound_are_refused) {
    iouringnet_net *net = bounded_net();
    struct pair p = tcp_pair_in(net, net);
    struct result results[TRIES];
    uint32_t into[TRIES], word;
    iouringnet_status status = 0;
    int taken = 0;

    while (taken < TRIES) {
        result_init(&results[taken]);
        status = stream_recv_async(p.b.stream, &into[taken], 4, result_store, &results[taken], NULL);
        if (status != 0)
            break;
        taken++;
    }
    CHECK_STATUS(status, IOURINGNET_LIMIT);
    CHECK_BETWEEN(taken, BOUND / 2, BOUND + 2);
    for (int i = 0; i < taken; i++) {
        word = (uint32_t)i;
        CHECK_OK(sink_send(p.a.sink, &word, 4, NULL));
    }
    for (int i = 0; i < taken; i++) {
        CHECK_OK(result_wait(&results[i]));
        CHECK_EQ(into[i], i);
    }
    CHECK_EQ(results[taken].calls, 0);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

/* one connection whose callback begins the next operation of its half */
struct relay {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct latch round;
    int left;
    char byte;
};

static void receives_on(void *user, const iouringnet_completion *done) {
    struct relay *relay = user;

    CHECK_OK(done->status);
    if (--relay->left > 0)
        CHECK_OK(stream_recv_async(relay->stream, &relay->byte, 1, receives_on, relay, NULL));
    latch_open(&relay->round);
}

static void sends_on(void *user, const iouringnet_completion *done) {
    struct relay *relay = user;

    CHECK_OK(done->status);
    if (--relay->left > 0)
        CHECK_OK(sink_send_async(relay->sink, &relay->byte, 1, sends_on, relay, NULL));
    latch_open(&relay->round);
}

TEST(a_callback_begins_the_next_operation_of_its_half_beyond_the_bound) {
    enum { RELAYS = 5, ROUNDS = 20 };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct relay relays[RELAYS];
    int peers[RELAYS];
    char got[ROUNDS];

    /* one place for the whole net, beside the one that each half has */
    config.max_operations = 1;
    net = net_with(&config);
    for (int i = 0; i < RELAYS; i++) {
        relays[i] = (struct relay){NULL, NULL, LATCH(1), ROUNDS, 'x'};
        peers[i] = raw_peer(net, &relays[i].sink, &relays[i].stream);
        CHECK_OK(stream_recv_async(relays[i].stream, &relays[i].byte, 1, receives_on, &relays[i], NULL));
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < RELAYS; i++)
            raw_send(peers[i], "x", 1);
        for (int i = 0; i < RELAYS; i++) {
            latch_wait(&relays[i].round);
            latch_reset(&relays[i].round, 1);
        }
    }
    /* the other direction, with nothing to wait for */
    for (int i = 0; i < RELAYS; i++) {
        relays[i].left = ROUNDS;
        latch_reset(&relays[i].round, ROUNDS);
        CHECK_OK(sink_send_async(relays[i].sink, &relays[i].byte, 1, sends_on, &relays[i], NULL));
    }
    for (int i = 0; i < RELAYS; i++) {
        latch_wait(&relays[i].round);
        raw_recv(peers[i], got, ROUNDS);
        sink_close(relays[i].sink);
        stream_close(relays[i].stream);
        raw_expect_eof(peers[i]);
        raw_close(peers[i]);
    }
    CHECK_OK(net_stop(net));
}

/* ---- posts ---- */

TEST(a_post_that_cannot_be_copied_is_refused) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("the sanitizer's allocator ends a process that is out of memory");
#else
    enum { QUEUED = 16 << 20, SIZE = 128 << 20 };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct mixed m, idle;
    iouringnet_sink_info before, after;
    struct rlimit limit;
    char *data = take(SIZE);
    char *got = take(QUEUED + 1);

    config.post_mark = SIZE;
    net = net_with(&config);
    m = mixed_pair_in(net, 0);
    idle = mixed_pair_in(net, 0);
    iouringnet_sink_info_init(&before);
    iouringnet_sink_info_init(&after);
    pattern_fill(data, SIZE, 0, 1);
    CHECK_OK(sink_post(m.sink, data, QUEUED));
    CHECK_OK(sink_info(m.sink, &before));
    CHECK(before.unsent > 0);
    limit = limit_memory(32 << 20);
    CHECK_STATUS(sink_post(m.sink, data, SIZE), -ENOMEM);
    /* here the socket takes a part first, unless the send loop alone sends */
    CHECK_STATUS(sink_post(idle.sink, data, SIZE), -ENOMEM);
    CHECK_STATUS(sink_post(idle.sink, data, 1), rings_only() ? 0 : -ENOMEM);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_OK(sink_info(m.sink, &after));
    CHECK(after.unsent <= before.unsent);
    CHECK_OK(sink_post(m.sink, data + QUEUED, 1));
    sink_close(m.sink);
    raw_recv(m.peer, got, QUEUED + 1);
    CHECK_MEM(got, data, QUEUED + 1);
    connection_abort(idle.sink, NULL);
    mixed_close(&m);
    mixed_close(&idle);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
#endif
}

TEST(a_full_post_takes_nothing) {
    enum { MARK = 65536 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct reader reader;
    size_t accepted = 0;
    char *data = take(64 << 20);
    pthread_t thread;
    int full = 0;

    config.post_mark = MARK;
    m = mixed_pair_with(&config, 0);
    pattern_fill(data, 64 << 20, 0, 1);
    /* until nothing moves any more */
    for (int64_t moved = now_ms(); full == 0 || now_ms() < moved + patient(100);) {
        iouringnet_status status = sink_post(m.sink, data + accepted, 1000);

        if (status == 0) {
            accepted += 1000;
            moved = now_ms();
            CHECK(accepted < 64 << 20);
        } else {
            CHECK_STATUS(status, IOURINGNET_FULL);
            full++;
            nap();
        }
        /* accepted below the mark, whatever the size: so never a whole post beyond it */
        CHECK(unsent_of(m.sink) < MARK + 1000);
    }
    CHECK(full > 0);
    sink_close(m.sink);
    reader = (struct reader){m.peer, accepted, 1};
    thread = spawn(reader_run, &reader);
    join(thread);
    mixed_close(&m);
    free(data);
}

TEST(a_send_is_not_bounded_by_the_mark) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct result send = RESULT;
    char *data = take(8 << 20), *got = take(8 << 20);

    config.post_mark = 4096;
    p = tcp_pair_with(&config);
    pattern_fill(data, 8 << 20, 0, 2);
    CHECK_OK(sink_send_async(p.a.sink, data, 8 << 20, result_store, &send, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 8 << 20, NULL));
    CHECK_OK(result_wait(&send));
    pattern_check(got, 8 << 20, 0, 2);
    pair_close(&p);
    free(data);
    free(got);
}

/* ---- what a peer can make the library hold ---- */

/* how much a peer gets rid of before TCP holds it back */
static size_t pushed_until_held_back(int peer) {
    static const char waste[65536];
    size_t pushed = 0;

    for (;;) {
        struct pollfd ready = {peer, POLLOUT, 0};
        ssize_t went;

        if (poll(&ready, 1, 300) == 0)
            return pushed;
        went = send(peer, waste, sizeof waste, MSG_NOSIGNAL | MSG_DONTWAIT);
        CHECK(went > 0 || errno == EAGAIN);
        if (went > 0)
            pushed += (size_t)went;
        CHECK(pushed < 256 << 20);
    }
}

static size_t pause_at_once(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)data;
    if (status == IOURINGNET_OK)
        CHECK_OK(stream_pause(user));
    return size;
}

TEST(a_peer_that_floods_is_held_back) {
    enum { KERNEL = 4 << 20 }; /* what small socket buffers can hold at both ends, generously */
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_address address;
    iouringnet_listener *listener;
    struct ending watch = ENDING;
    char byte;

    config.recv_buffer = 65536;
    net = net_with(&config);
    listener = bind_loopback(net, &address);
    /* nobody reads; a small receive was served; a watch is paused from the start, or when bytes come */
    for (int how = 0; how < 4; how++) {
        int peer = raw_dial_sized(address.text, 0, 65536);
        iouringnet_sink *sink;
        iouringnet_stream *stream;

        CHECK_OK(listener_accept(listener, &sink, &stream));
        if (how == 1) {
            raw_send(peer, "xy", 2);
            CHECK_OK(stream_recv(stream, &byte, 1, NULL));
        }
        if (how == 2) {
            CHECK_OK(watch_data(stream, ending_store_data, &watch));
            CHECK_OK(stream_pause(stream));
        }
        if (how == 3)
            CHECK_OK(watch_data(stream, pause_at_once, stream));
        CHECK(pushed_until_held_back(peer) < KERNEL + (1 << 20));
        connection_abort(sink, NULL);
        stream_close(stream);
        raw_close(peer);
    }
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_CLOSED);
    CHECK_OK(net_stop(net));
}

struct hoarder {
    struct ending ending;
    size_t most;
};

static size_t hoard(void *user, iouringnet_status status, const void *data, size_t size) {
    struct hoarder *hoarder = user;

    (void)data;
    if (size > hoarder->most)
        hoarder->most = size;
    ending_note(&hoarder->ending, status);
    return 0; /* keeps everything */
}

TEST(a_watch_that_keeps_too_much_ends) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct hoarder hoarder = {ENDING, 0};
    char *data = take(1 << 20), *got = take(1 << 20);

    config.buffer_max = 100000;
    m = mixed_pair_with(&config, 0);
    pattern_fill(data, 1 << 20, 0, 3);
    CHECK_OK(watch_data(m.stream, hoard, &hoarder));
    raw_send(m.peer, data, 1 << 20);
    CHECK_STATUS(ending_wait(&hoarder.ending), IOURINGNET_TOO_BIG);
    CHECK(hoarder.most <= 100000 + 65536);
    /* what it kept is still there for receives */
    CHECK_OK(stream_recv(m.stream, got, 1 << 20, NULL));
    pattern_check(got, 1 << 20, 0, 3);
    mixed_close(&m);
    CHECK_EQ(hoarder.ending.ends, 1);
    free(data);
    free(got);
}

TEST(a_fill_beyond_the_buffer_is_refused) {
    iouringnet_config config = config_of_mode();
    struct pair p;

    config.buffer_max = 100000;
    p = tcp_pair_with(&config);
    CHECK_STATUS(stream_fill(p.a.stream, 100001), IOURINGNET_TOO_BIG);
    CHECK_STATUS(stream_fill(p.a.stream, SIZE_MAX / 4), IOURINGNET_TOO_BIG);
    pair_close(&p);
}

/* ---- what waits ---- */

/* what a fill asks for is not taken before the peer has sent it */
TEST(a_large_fill_takes_memory_as_its_bytes_come) {
    enum { SIZE = 5 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result fill = RESULT;
    iouringnet_op *op;
    const void *shown;
    size_t before, grown, size;
    char *data = take(SIZE);

    config.buffer_max = 1 << 30;
    m = mixed_pair_with(&config, 0);
    pattern_fill(data, SIZE, 0, 4);
    before = heap_in_use();
    raw_send(m.peer, data, 1000);
    CHECK_OK(stream_set_timeout(m.stream, 50));
    CHECK_STATUS(stream_fill(m.stream, 1 << 30), IOURINGNET_TIMEOUT);
    grown = heap_in_use() > before ? heap_in_use() - before : 0;
    CHECK_BETWEEN(grown, 0, 16 << 20);
    CHECK_OK(stream_set_timeout(m.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_fill_async(m.stream, 1 << 30, result_store, &fill, &op));
    settle(m.net);
    CHECK_EQ(fill.calls, 0);
    grown = heap_in_use() > before ? heap_in_use() - before : 0;
    CHECK_BETWEEN(grown, 0, 16 << 20);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&fill), IOURINGNET_CANCELLED);
    CHECK_OK(op_release(op));
    /* one that takes several steps is whole all the same */
    result_init(&fill);
    CHECK_OK(stream_fill_async(m.stream, SIZE, result_store, &fill, NULL));
    raw_send(m.peer, data + 1000, SIZE - 1000);
    CHECK_OK(result_wait(&fill));
    CHECK_OK(stream_peek(m.stream, SIZE, &shown, &size));
    CHECK_EQ(size, SIZE);
    pattern_check(shown, SIZE, 0, 4);
    mixed_close(&m);
    free(data);
}

/* one mode */ TEST(a_buffer_beyond_1_gib_is_invalid) {
    static const size_t sizes[] = {((size_t)1 << 30) + 1, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        iouringnet_net *net = NULL;
        iouringnet_config config = config_of_mode();

        config.buffer_max = sizes[i];
        CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
        CHECK(net == NULL);
    }
}

TEST(a_waiting_small_receive_holds_no_buffer) {
    enum { PAIRS = 500 };
    iouringnet_net *net;
    struct pair *pairs;
    struct result *results;
    char(*into)[4];
    size_t before, each;

    need_descriptors(2 * PAIRS);
    net = net_of_mode();
    pairs = take(PAIRS * sizeof *pairs);
    results = take(PAIRS * sizeof *results);
    into = take(PAIRS * sizeof *into);
    before = heap_in_use();
    for (int i = 0; i < PAIRS; i++) {
        char got[4];

        pairs[i] = tcp_pair_in(net, net);
        /* a read buffer that was in use once must not stay */
        CHECK_OK(sink_send(pairs[i].a.sink, "once", 4, NULL));
        CHECK_OK(stream_recv(pairs[i].b.stream, got, 4, NULL));
        result_init(&results[i]);
        CHECK_OK(stream_recv_async(pairs[i].b.stream, into[i], 4, result_store, &results[i], NULL));
    }
    /* a connection is two ends here, and one of the two waits in a receive */
    each = heap_in_use() > before ? (heap_in_use() - before) / (2 * PAIRS) : 0;
    CHECK_BETWEEN(each, 0, 8192);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_OK(sink_post(pairs[i].a.sink, "here", 4));
        CHECK_OK(result_wait(&results[i]));
        CHECK_MEM(into[i], "here", 4);
        pair_close(&pairs[i]);
    }
    CHECK_OK(net_stop(net));
    free(pairs);
    free(results);
    free(into);
}
