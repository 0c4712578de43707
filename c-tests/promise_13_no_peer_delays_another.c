/* Promise 13: an idle, slow or flooding peer delays no other connection; a callback that takes long delays
   callbacks and nothing else. */

#include "support.h"

#include <poll.h>
#include <sched.h>

/* Blocking round trips of one connection. A loop that sleeps while there is work for it costs each of them
   the length of its sleep, 100 ms where this was seen, so the bound is far above what any machine needs
   and far below that. */
enum { TRIPS = 300, TRIPS_MS = 12000 };

static void round_trips(struct pair *p) {
    int64_t began = now_ms();
    char got[64], word[64];

    for (int i = 0; i < TRIPS; i++) {
        memset(word, i, sizeof word);
        CHECK_OK(sink_send(p->a.sink, word, sizeof word, NULL));
        CHECK_OK(stream_recv(p->b.stream, got, sizeof got, NULL));
        CHECK_MEM(got, word, sizeof word);
        CHECK_OK(sink_send(p->b.sink, got, sizeof got, NULL));
        CHECK_OK(stream_recv(p->a.stream, got, sizeof got, NULL));
        CHECK_MEM(got, word, sizeof word);
    }
    CHECK_BETWEEN(now_ms() - began, 0, patient(TRIPS_MS));
}

/* what an idle connection may be doing */
enum idle { IDLE_UNTOUCHED, IDLE_WATCHED, IDLE_RECEIVING, IDLE_KINDS };

struct idler {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer;
    char into[8];
    struct result recv;
    struct ending watch;
};

static void idler_start(struct idler *idler, iouringnet_listener *listener, const char *address, enum idle how) {
    idler->peer = raw_dial(address);
    CHECK_OK(listener_accept(listener, &idler->sink, &idler->stream));
    result_init(&idler->recv);
    ending_init(&idler->watch);
    if (how == IDLE_WATCHED)
        CHECK_OK(watch_data(idler->stream, ending_store_data, &idler->watch));
    if (how == IDLE_RECEIVING)
        CHECK_OK(stream_recv_async(idler->stream, idler->into, 8, result_store, &idler->recv, NULL));
}

static void idle_connections(enum idle how) {
    enum { ENTRIES = 64, MORE = 2000, IDLERS = ENTRIES + MORE };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    struct idler *idlers;
    struct pair p;

    need_descriptors(2 * IDLERS);
    watchdog(120);
    config.ring_entries = ENTRIES;
    net = net_with(&config);
    listener = bind_loopback(net, &address);
    idlers = take(IDLERS * sizeof *idlers);
    p = tcp_pair_in(net, net);
    round_trips(&p);
    idler_start(&idlers[0], listener, address.text, how);
    round_trips(&p);
    for (int i = 1; i < IDLERS; i++)
        idler_start(&idlers[i], listener, address.text, how);
    round_trips(&p);
    CHECK_EQ(stats_of(net).connections, IDLERS + 2);
    /* each of them is served when it wakes, the first and the last alike */
    for (int i = 0; i < IDLERS; i++)
        raw_send(idlers[i].peer, "awake...", 8);
    for (int i = 0; i < IDLERS; i++) {
        struct idler *idler = &idlers[i];

        if (how == IDLE_UNTOUCHED)
            CHECK_OK(stream_recv(idler->stream, idler->into, 8, NULL));
        if (how == IDLE_RECEIVING)
            CHECK_OK(result_wait(&idler->recv));
        if (how == IDLE_WATCHED)
            EVENTUALLY(atomic_load(&idler->watch.events) > 0);
        else
            CHECK_MEM(idler->into, "awake...", 8);
    }
    for (int i = 0; i < IDLERS; i++) {
        sink_close(idlers[i].sink);
        stream_close(idlers[i].stream);
        raw_close(idlers[i].peer);
    }
    pair_close(&p);
    CHECK_OK(net_stop(net));
    if (how == IDLE_WATCHED)
        for (int i = 0; i < IDLERS; i++)
            CHECK_EQ(idlers[i].watch.ends, 1);
    free(idlers);
}

TEST(idle_connections_beyond_the_ring_delay_nothing) {
    idle_connections(IDLE_UNTOUCHED);
}

TEST(idle_watched_connections_beyond_the_ring_delay_nothing) {
    idle_connections(IDLE_WATCHED);
}

TEST(idle_receiving_connections_beyond_the_ring_delay_nothing) {
    idle_connections(IDLE_RECEIVING);
}

/* ---- flooding peers ---- */

struct flood {
    int fd;
    atomic_bool stop;
    atomic_size_t sent;
};

static void *flood_run(void *user) {
    static const char waste[65536];
    struct flood *flood = user;

    while (!atomic_load(&flood->stop)) {
        struct pollfd ready = {flood->fd, POLLOUT, 0};
        ssize_t went;

        if (poll(&ready, 1, 100) == 0)
            continue;
        went = send(flood->fd, waste, sizeof waste, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (went > 0)
            atomic_fetch_add(&flood->sent, (size_t)went);
        else if (errno != EAGAIN)
            break;
    }
    return NULL;
}

static size_t swallow(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)data;
    if (status == 0)
        atomic_fetch_add((atomic_size_t *)user, size);
    return size;
}

TEST(a_flooding_peer_delays_no_echo) {
    iouringnet_net *net = net_of_mode();
    struct mixed m = mixed_pair_in(net, 0), client = mixed_pair_in(net, 0);
    struct flood flood = {m.peer, false, 0};
    atomic_size_t taken = 0;
    pthread_t thread;
    int64_t began;

    CHECK_OK(watch_data(m.stream, swallow, &taken));
    CHECK_OK(watch_data(client.stream, echo_data, client.sink));
    thread = spawn(flood_run, &flood);
    EVENTUALLY(atomic_load(&taken) > 1 << 20);
    began = now_ms();
    for (int i = 0; i < TRIPS; i++) {
        char got[64], word[64];

        memset(word, i, sizeof word);
        raw_send(client.peer, word, sizeof word);
        raw_recv(client.peer, got, sizeof got);
        CHECK_MEM(got, word, sizeof word);
    }
    CHECK_BETWEEN(now_ms() - began, 0, patient(TRIPS_MS));
    atomic_store(&flood.stop, true);
    join(thread);
    /* the flood was served as well */
    EVENTUALLY(atomic_load(&taken) == atomic_load(&flood.sent));
    mixed_close(&m);
    mixed_close(&client);
    CHECK_OK(net_stop(net));
}

TEST(a_flood_that_nobody_reads_delays_no_echo) {
    struct pair p = tcp_pair();
    struct mixed m = mixed_pair_in(p.a.net, 0);
    struct flood flood = {m.peer, false, 0};
    atomic_size_t taken = 0;
    pthread_t thread;

    CHECK_OK(watch_data(m.stream, swallow, &taken));
    CHECK_OK(stream_pause(m.stream));
    thread = spawn(flood_run, &flood);
    EVENTUALLY(atomic_load(&flood.sent) > 0);
    round_trips(&p);
    CHECK_OK(stream_resume(m.stream));
    round_trips(&p);
    atomic_store(&flood.stop, true);
    join(thread);
    EVENTUALLY(atomic_load(&taken) == atomic_load(&flood.sent));
    mixed_close(&m);
    pair_close(&p);
}

/* ---- slow peers ---- */

TEST(a_slow_peer_delays_no_other_send) {
    enum { SLOW = 20 };
    struct pair p = tcp_pair();
    struct mixed slow[SLOW];
    char *data = take(4 << 20), *got = take(4 << 20);
    struct result send = RESULT;

    for (int i = 0; i < SLOW; i++) {
        slow[i] = mixed_pair_in(p.a.net, 4096);
        jam_sink(slow[i].sink);
    }
    round_trips(&p);
    /* also a send that has to go through the send loop, among those that wait there */
    pattern_fill(data, 4 << 20, 0, 1);
    CHECK_OK(sink_send_async(p.a.sink, data, 4 << 20, result_store, &send, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 4 << 20, NULL));
    CHECK_OK(result_wait(&send));
    pattern_check(got, 4 << 20, 0, 1);
    for (int i = 0; i < SLOW; i++) {
        connection_abort(slow[i].sink, NULL);
        mixed_close(&slow[i]);
    }
    pair_close(&p);
    free(data);
    free(got);
}

TEST(fifty_blocked_sends_make_no_kernel_threads) {
    enum { PEERS = 50, SIZE = 16 << 20, WAKES = 300 };
    iouringnet_config config = config_of_mode();
    struct mixed blocked[PEERS];
    struct result sends[PEERS];
    iouringnet_op *ops[PEERS];
    size_t threads;
    char *data = take(SIZE), *waste = take(65536);
    struct pair p;

    watchdog(120);
    config.send_buffer = 16384;
    p = tcp_pair_with(&config);
    memset(data, 1, SIZE);
    round_trips(&p);
    threads = count_threads();
    for (int i = 0; i < PEERS; i++) {
        blocked[i] = mixed_pair_in(p.a.net, 16384);
        result_init(&sends[i]);
        CHECK_OK(sink_send_async(blocked[i].sink, data, SIZE, result_store, &sends[i], &ops[i]));
    }
    /* each peer takes a little at a time, so that each waiting send wakes far more often than the kernel
       lets a request wake before it hands it to a worker */
    for (int wake = 0; wake < WAKES; wake++)
        for (int i = 0; i < PEERS; i++)
            raw_recv(blocked[i].peer, waste, 16384);
    CHECK_EQ(kernel_workers(), 0);
    CHECK_EQ(count_threads(), threads);
    for (int i = 0; i < PEERS; i++)
        CHECK_EQ(sends[i].calls, 0);
    /* and each of them can still be ended, one way or the other */
    for (int i = 0; i < PEERS; i++) {
        if (i % 3 == 0) {
            CHECK_OK(op_cancel(ops[i]));
            CHECK_STATUS(result_wait(&sends[i]), IOURINGNET_CANCELLED);
            CHECK(sends[i].done.bytes >= (size_t)WAKES * 16384 && sends[i].done.bytes < SIZE);
            sink_close(blocked[i].sink);
        } else if (i % 3 == 1) {
            connection_abort(blocked[i].sink, NULL);
            CHECK_STATUS(result_wait(&sends[i]), IOURINGNET_CLOSED);
        } else {
            size_t left = SIZE - (size_t)WAKES * 16384;

            sink_close(blocked[i].sink);
            while (left > 0) {
                size_t piece = left < 65536 ? left : 65536;

                raw_recv(blocked[i].peer, waste, piece);
                left -= piece;
            }
            raw_expect_eof(blocked[i].peer);
            CHECK_OK(result_wait(&sends[i]));
            CHECK_EQ(sends[i].done.bytes, SIZE);
        }
        CHECK_OK(op_release(ops[i]));
        mixed_close(&blocked[i]);
    }
    CHECK_EQ(kernel_workers(), 0);
    round_trips(&p);
    pair_close(&p);
    free(data);
    free(waste);
}

/* ---- callbacks that take long ---- */

struct held {
    struct busy busy;
    iouringnet_sink *sink;
};

static void posts_and_holds(void *user, const iouringnet_completion *done) {
    struct held *held = user;

    CHECK_OK(sink_post(held->sink, "first ", 6)); /* goes out at once */
    CHECK_OK(sink_post(held->sink, "again ", 6));
    busy_run(&held->busy, done);
}

/* what waits for a full socket does not interrupt what runs; where every send goes through the send loop, it may */
TEST(the_send_loop_interrupts_nobody_but_without_the_first_try) {
    iouringnet_net *net = net_of_mode();

    CHECK_EQ(sched_getscheduler(thread_named("iouringnet-send")), rings_only() ? SCHED_OTHER : SCHED_BATCH);
    CHECK_EQ(sched_getscheduler(thread_named("iouringnet-recv")), SCHED_OTHER);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
    CHECK_OK(net_stop(net));
}

/* ---- a peer that sends as fast as it is received ---- */

enum { LARGE = 64 << 20, TURN = 1 << 20 };

struct large {
    iouringnet_stream *stream;
    char *into;
    struct result received;
};

static void begin_large(void *user, const iouringnet_completion *done) {
    struct large *large = user;

    CHECK_OK(done->status);
    CHECK_OK(stream_recv_async(large->stream, large->into, LARGE, result_store, &large->received, NULL));
}

/* however much is asked for at once, the loop's thread takes no more than 1 MiB of it before others have their turn: neither in
   the callback that asks, nor by one entry */
TEST(a_large_receive_is_taken_in_turns) {
    struct pair p = tcp_pair();
    struct large large = {p.b.stream, take(LARGE), RESULT};
    char *data = take(LARGE);
    iouringnet_stats before, after;

    iouringnet_stats_init(&before);
    iouringnet_stats_init(&after);
    pattern_fill(data, LARGE, 0, 3);
    CHECK_OK(net_stats(p.a.net, &before));
    CHECK_OK(net_call(p.a.net, 0, begin_large, &large, NULL));
    CHECK_OK(sink_send(p.a.sink, data, LARGE, NULL));
    CHECK_OK(result_wait(&large.received));
    CHECK_EQ(large.received.done.bytes, LARGE);
    pattern_check(large.into, LARGE, 0, 3);
    CHECK_OK(net_stats(p.a.net, &after));
    CHECK(after.recv_entries - before.recv_entries >= LARGE / TURN - 1);
    pair_close(&p);
    free(data);
    free(large.into);
}

TEST(a_long_callback_does_not_hold_up_the_send_loop) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair();
    struct busy busy = BUSY;
    struct reader reader = {m.peer, SIZE, 2};
    char *data = take(SIZE);
    pthread_t thread;

    pattern_fill(data, SIZE, 0, 2);
    busy_begin(&busy, m.net);
    thread = spawn(reader_run, &reader);
    /* a blocked send, woken by the send loop itself */
    CHECK_OK(sink_send(m.sink, data, SIZE, NULL));
    sink_close(m.sink);
    join(thread);
    busy_end(&busy);
    mixed_close(&m);
    free(data);
}

TEST(another_threads_send_takes_a_batched_sink_over) {
    struct mixed m = mixed_pair();
    struct held held = {BUSY, m.sink};
    char got[18];

    CHECK_OK(net_call(m.net, 0, posts_and_holds, &held, NULL));
    latch_wait(&held.busy.running);
    /* the callback's second post is collected for its round, which goes on: this send must not wait for it, nor pass it */
    CHECK_OK(sink_send(m.sink, "second", 6, NULL));
    raw_recv(m.peer, got, 18);
    CHECK_MEM(got, "first again second", 18);
    busy_end(&held.busy);
    mixed_close(&m);
}

TEST(a_long_callback_of_one_net_delays_no_other_net) {
    iouringnet_net *net = net_of_mode();
    struct pair p = tcp_pair();
    struct busy busy = BUSY;

    busy_begin(&busy, net);
    round_trips(&p);
    busy_end(&busy);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

/* ---- a sleeping loop sees new work at once ---- */

TEST(a_sleeping_loop_is_woken_for_every_kind_of_work) {
    struct pair p = tcp_pair();
    int64_t began = now_ms();

    for (int i = 0; i < TRIPS; i++) {
        struct result call = RESULT, recv = RESULT;
        iouringnet_op *op;
        char into[4];

        CHECK_OK(net_call(p.a.net, 0, result_store, &call, NULL));
        CHECK_OK(result_wait(&call));
        CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &recv, &op));
        CHECK_OK(op_cancel(op));
        CHECK_STATUS(result_wait(&recv), IOURINGNET_CANCELLED);
        CHECK_OK(op_release(op));
    }
    CHECK_BETWEEN(now_ms() - began, 0, patient(TRIPS_MS));
    pair_close(&p);
}
