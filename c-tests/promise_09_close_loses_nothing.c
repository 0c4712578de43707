/* Promise 9: closing loses nothing that was accepted, and a truncated stream never looks complete. */

#include "support.h"

#define BEFORE_CLOSE 200000

/* ---- nothing sent before a close is lost ---- */

TEST(close_sends_what_was_accepted_then_fin) {
    struct mixed m = mixed_pair_sized(4096);
    struct reader reader = {m.peer, BEFORE_CLOSE, 1};
    char *data = take(BEFORE_CLOSE);

    pattern_fill(data, BEFORE_CLOSE, 0, 1);
    for (size_t at = 0; at < BEFORE_CLOSE; at += 1000)
        CHECK_OK(sink_post(m.sink, data + at, 1000));
    sink_close(m.sink);
    stream_close(m.stream);
    /* only now does the peer begin to read */
    reader_run(&reader);
    mixed_close(&m);
    free(data);
}

TEST(close_with_unread_input_loses_nothing) {
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, BEFORE_CLOSE, 2};
    char *data = take(BEFORE_CLOSE), got[10];

    /* some of it in the read buffer, the rest in the kernel: a plain close(2) would reset here */
    pattern_fill(data, BEFORE_CLOSE, 0, 7);
    raw_send(m.peer, data, 150000);
    CHECK_OK(stream_recv(m.stream, got, sizeof got, NULL));
    pattern_fill(data, BEFORE_CLOSE, 0, 2);
    CHECK_OK(sink_send(m.sink, data, BEFORE_CLOSE, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    reader_run(&reader);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_OK(net_stop(m.net));
    free(data);
}

/* writes until told to stop; the connection may end under it */
struct writer {
    int fd;
    atomic_bool stop;
    struct latch started;
};

static void *writer_run(void *user) {
    static const char waste[4096];
    struct writer *writer = user;
    bool said = false;

    while (!atomic_load(&writer->stop)) {
        ssize_t went = send(writer->fd, waste, sizeof waste, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (went < 0 && errno != EAGAIN)
            break;
        if (!said)
            latch_open(&writer->started);
        said = true;
        if (went < 0)
            nap();
    }
    return NULL;
}

static void close_with_input_arriving(int peer_rcvbuf) {
    struct mixed m = mixed_pair_sized(peer_rcvbuf);
    struct writer writer = {m.peer, false, LATCH(1)};
    struct reader reader = {m.peer, BEFORE_CLOSE, 3};
    char *data = take(BEFORE_CLOSE);
    pthread_t thread = spawn(writer_run, &writer);

    pattern_fill(data, BEFORE_CLOSE, 0, 3);
    latch_wait(&writer.started);
    for (size_t at = 0; at < BEFORE_CLOSE; at += 50000)
        CHECK_OK(sink_post(m.sink, data + at, 50000));
    sink_close(m.sink);
    stream_close(m.stream);
    reader_run(&reader);
    atomic_store(&writer.stop, true);
    join(thread);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_OK(net_stop(m.net));
    free(data);
}

TEST(close_with_input_still_arriving_loses_nothing) {
    close_with_input_arriving(0);
}

TEST(close_with_input_still_arriving_and_a_slow_reader) {
    close_with_input_arriving(4096);
}

TEST(accepted_sends_complete_after_the_close) {
    enum { SENDS = 8, EACH = 1000000 };
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, (size_t)SENDS * EACH, 5};
    struct result results[SENDS];
    char *data = take((size_t)SENDS * EACH);
    pthread_t thread;

    pattern_fill(data, (size_t)SENDS * EACH, 0, 5);
    for (int i = 0; i < SENDS; i++) {
        result_init(&results[i]);
        CHECK_OK(sink_send_async(m.sink, data + (size_t)i * EACH, EACH, result_store, &results[i], NULL));
    }
    sink_close(m.sink);
    /* the close takes the handle at once, whatever still goes out */
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_BAD_HANDLE);
    thread = spawn(reader_run, &reader);
    for (int i = 0; i < SENDS; i++) {
        CHECK_OK(result_wait(&results[i]));
        CHECK_EQ(results[i].done.bytes, EACH);
    }
    join(thread);
    raw_close(m.peer);
    CHECK_STATUS(stream_recv(m.stream, data, 1, NULL), IOURINGNET_EOF);
    mixed_stop(&m);
    for (int i = 0; i < SENDS; i++)
        CHECK_EQ(results[i].calls, 1);
    free(data);
}

/* ---- half-close ---- */

TEST(half_close_by_us_leaves_the_stream) {
    struct pair p = tcp_pair();
    char *data = take(BEFORE_CLOSE), *got = take(BEFORE_CLOSE), byte;

    pattern_fill(data, BEFORE_CLOSE, 0, 6);
    CHECK_OK(sink_send(p.a.sink, "last words", 10, NULL));
    sink_close(p.a.sink);
    CHECK_OK(stream_recv(p.b.stream, got, 10, NULL));
    CHECK_MEM(got, "last words", 10);
    CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), IOURINGNET_EOF);
    /* the other direction goes on, in its own time */
    for (size_t at = 0; at < BEFORE_CLOSE; at += 20000) {
        CHECK_OK(sink_send(p.b.sink, data + at, 20000, NULL));
        CHECK_OK(stream_recv(p.a.stream, got + at, 20000, NULL));
    }
    pattern_check(got, BEFORE_CLOSE, 0, 6);
    sink_close(p.b.sink);
    CHECK_STATUS(stream_recv(p.a.stream, &byte, 1, NULL), IOURINGNET_EOF);
    pair_close(&p);
    free(data);
    free(got);
}

TEST(half_close_by_the_peer_leaves_the_sink) {
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, BEFORE_CLOSE, 7};
    char *data = take(BEFORE_CLOSE), byte;
    pthread_t thread;

    pattern_fill(data, BEFORE_CLOSE, 0, 7);
    mixed_peer_ends(&m);
    thread = spawn(reader_run, &reader);
    CHECK_OK(sink_send(m.sink, data, BEFORE_CLOSE, NULL));
    sink_close(m.sink);
    join(thread);
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), IOURINGNET_EOF);
    mixed_close(&m);
    free(data);
}

TEST(closing_the_stream_leaves_the_sink) {
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, BEFORE_CLOSE, 8};
    char *data = take(BEFORE_CLOSE);
    pthread_t thread;

    pattern_fill(data, BEFORE_CLOSE, 0, 8);
    raw_send(m.peer, data, 5000);
    stream_close(m.stream);
    thread = spawn(reader_run, &reader);
    CHECK_OK(sink_send(m.sink, data, BEFORE_CLOSE, NULL));
    sink_close(m.sink);
    join(thread);
    mixed_close(&m);
    free(data);
}

TEST(closing_the_stream_ends_its_receives) {
    struct mixed m = mixed_pair();
    struct result first = RESULT, second = RESULT;
    char into[2][100];

    CHECK_OK(stream_recv_async(m.stream, into[0], 100, result_store, &first, NULL));
    CHECK_OK(stream_fill_async(m.stream, 100, result_store, &second, NULL));
    raw_send(m.peer, "part", 4);
    stream_close(m.stream);
    CHECK_STATUS(result_wait(&first), IOURINGNET_CLOSED);
    CHECK_STATUS(result_wait(&second), IOURINGNET_CLOSED);
    mixed_close(&m);
    CHECK_EQ(first.calls, 1);
    CHECK_EQ(second.calls, 1);
}

/* ---- both halves closed ---- */

TEST(a_closed_connection_waits_for_the_peers_fin) {
    struct mixed m = mixed_pair();
    char *waste = take(1000000);

    memset(waste, 0, 1000000);
    sink_close(m.sink);
    stream_close(m.stream);
    /* more than any receive buffer at its start holds: it must be discarded, not answered by a reset */
    raw_send(m.peer, waste, 1000000);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_OK(net_stop(m.net));
    free(waste);
}

TEST(close_after_the_peers_end_loses_nothing) {
    iouringnet_net *net = net_of_mode();

    /* the end of the stream received or not, bytes before it unread or not, and both orders of closing */
    for (int i = 0; i < 8; i++) {
        struct mixed m = mixed_pair_in(net, 0);
        char got[5];

        if (i & 1)
            raw_send(m.peer, "unread", 6);
        raw_half_close(m.peer);
        if ((i & 3) == 2)
            CHECK_STATUS(stream_recv(m.stream, got, 1, NULL), IOURINGNET_EOF);
        CHECK_OK(sink_send(m.sink, "last ", 5, NULL));
        CHECK_OK(sink_post(m.sink, "words", 5));
        if (i & 4)
            stream_close(m.stream);
        sink_close(m.sink);
        if (!(i & 4))
            stream_close(m.stream);
        raw_recv(m.peer, got, 5);
        CHECK(memcmp(got, "last ", 5) == 0);
        raw_recv(m.peer, got, 5);
        CHECK(memcmp(got, "words", 5) == 0);
        raw_expect_eof(m.peer);
        raw_close(m.peer);
        EVENTUALLY(stats_of(net).connections == 0);
    }
    CHECK_OK(net_stop(net));
}

TEST(a_peer_that_never_closes_does_not_keep_the_connection) {
    struct mixed m = mixed_pair();

    CHECK_EQ(stats_of(m.net).connections, 1);
    CHECK_OK(sink_send(m.sink, "bye", 3, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    EVENTUALLY(stats_of(m.net).connections == 0);
    mixed_close(&m);
}

/* ---- the close timeout ---- */

TEST(a_close_without_progress_resets) {
    enum { SIZE = 64 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result send = RESULT, flush = RESULT;
    struct ending watch = ENDING;
    char *data = take(SIZE);

    config.close_timeout_ms = 200;
    m = mixed_pair_with(&config, 0);
    memset(data, 1, SIZE);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK_OK(sink_flush_async(m.sink, result_store, &flush, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    CHECK_STATUS(result_wait(&send), IOURINGNET_TIMEOUT);
    CHECK(send.done.bytes < SIZE);
    CHECK_STATUS(result_wait(&flush), IOURINGNET_TIMEOUT);
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_TIMEOUT);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_OK(net_stop(m.net));
    CHECK_EQ(send.calls, 1);
    CHECK_EQ(flush.calls, 1);
    CHECK_EQ(watch.ends, 1);
    free(data);
}

TEST(a_drain_in_the_kernel_without_progress_resets) {
    /* the kernel has taken it all, and the peer reads none of it: no less cut off, so no less a reset */
    enum { SIZE = 500000 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE);

    config.close_timeout_ms = 300;
    m = mixed_pair_with(&config, 4096);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send(m.sink, data, SIZE, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    EVENTUALLY(stats_of(m.net).connections == 0);
    raw_expect_reset(m.peer);
    mixed_close(&m);
    free(data);
}

TEST(a_close_with_progress_outlives_the_close_timeout) {
    enum { SIZE = 16 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct ending watch = ENDING;
    char *data = take(SIZE), *got = take(SIZE);
    size_t at = 0;

    config.close_timeout_ms = patient(1000);
    config.send_buffer = 65536;
    m = mixed_pair_with(&config, 65536);
    pattern_fill(data, SIZE, 0, 9);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_post(m.sink, data, SIZE));
    sink_close(m.sink);
    stream_close(m.stream);
    /* more than two close timeouts, never one without progress */
    for (int64_t began = now_ms(); now_ms() < began + patient(2500) && at < SIZE / 2; pass(patient(1))) {
        raw_recv(m.peer, got + at, 4096);
        at += 4096;
    }
    at += raw_recv_to_end(m.peer, got + at, SIZE - at);
    CHECK_EQ(at, SIZE);
    pattern_check(got, SIZE, 0, 9);
    CHECK_OK(ending_wait(&watch));
    mixed_close(&m);
    CHECK_EQ(watch.ends, 1);
    free(data);
    free(got);
}

TEST(the_end_comes_after_the_drain) {
    struct mixed m = mixed_pair();
    struct ending watch = ENDING;
    struct reader reader;
    char *data = take(32 << 20);
    pthread_t thread;

    pattern_fill(data, 32 << 20, 0, 10);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_post(m.sink, data, 32 << 20));
    sink_close(m.sink);
    CHECK(!latch_wait_ms(&watch.latch, 0));
    reader = (struct reader){m.peer, 32 << 20, 10};
    thread = spawn(reader_run, &reader);
    CHECK_OK(ending_wait(&watch));
    join(thread);
    mixed_close(&m);
    CHECK_EQ(watch.ends, 1);
    free(data);
}

TEST(the_end_tells_of_a_drain_cut_by_the_peer) {
    struct mixed m = mixed_pair();
    struct ending watch = ENDING;

    CHECK_OK(ending_watch(m.sink, &watch));
    jam_sink(m.sink);
    CHECK_EQ(watch.ends, 0);
    sink_close(m.sink);
    raw_reset(m.peer);
    CHECK_STATUS(ending_wait(&watch), -ECONNRESET);
    mixed_stop(&m);
    CHECK_EQ(watch.ends, 1);
}

/* ---- close inside callbacks and from other threads, with everything in flight ---- */

struct crowd {
    struct pair p;
    struct result recv, send, flush;
    struct ending watch;
    char into[16];
    char *data;
};

/* a connection with each kind of operation pending on the end that the test will close */
static void crowd_start(struct crowd *crowd, iouringnet_net *net) {
    crowd->p = tcp_pair_in(net, net);
    crowd->data = take(1 << 20);
    memset(crowd->data, 1, 1 << 20);
    result_init(&crowd->recv);
    result_init(&crowd->send);
    result_init(&crowd->flush);
    ending_init(&crowd->watch);
    CHECK_OK(ending_watch(crowd->p.a.sink, &crowd->watch));
    CHECK_OK(stream_recv_async(crowd->p.a.stream, crowd->into, sizeof crowd->into, result_store, &crowd->recv, NULL));
    jam(&crowd->p.a);
    CHECK_OK(sink_send_async(crowd->p.a.sink, crowd->data, 1 << 20, result_store, &crowd->send, NULL));
    CHECK_OK(sink_flush_async(crowd->p.a.sink, result_store, &crowd->flush, NULL));
}

static void crowd_close(void *user) {
    struct crowd *crowd = user;

    stream_close(crowd->p.a.stream);
    sink_close(crowd->p.a.sink);
}

static void crowd_abort(void *user) {
    struct crowd *crowd = user;

    connection_abort(crowd->p.a.sink, NULL);
    stream_close(crowd->p.a.stream);
}

static void *crowd_close_thread(void *user) {
    crowd_close(user);
    return NULL;
}

/* the other end reads, so everything accepted goes out and completes as if the sink were open */
static void crowd_drained(struct crowd *crowd) {
    size_t taken = 0, got = 0;
    iouringnet_status status;
    char *waste = take(1 << 20);

    CHECK_STATUS(result_wait(&crowd->recv), IOURINGNET_CLOSED);
    while ((status = stream_recv_some(crowd->p.b.stream, waste, 1 << 20, &got)) == 0)
        taken += got;
    CHECK_STATUS(status, IOURINGNET_EOF);
    CHECK(taken > 1 << 20);
    CHECK_OK(result_wait(&crowd->send));
    CHECK_EQ(crowd->send.done.bytes, 1 << 20);
    CHECK_OK(result_wait(&crowd->flush));
    CHECK_OK(ending_wait(&crowd->watch));
    free(waste);
}

static void crowd_end(struct crowd *crowd) {
    pair_close(&crowd->p);
    free(crowd->data);
    CHECK_EQ(crowd->recv.calls, 1);
    CHECK_EQ(crowd->send.calls, 1);
    CHECK_EQ(crowd->flush.calls, 1);
    CHECK_EQ(crowd->watch.ends, 1);
}

TEST(close_inside_a_callback_with_operations_in_flight) {
    iouringnet_net *net = net_of_mode();
    struct crowd crowd;

    crowd_start(&crowd, net);
    on_callback_thread(net, crowd_close, &crowd);
    crowd_drained(&crowd);
    crowd_end(&crowd);
    CHECK_OK(net_stop(net));
}

TEST(close_from_another_thread_with_operations_in_flight) {
    iouringnet_net *net = net_of_mode();
    struct crowd crowd;

    crowd_start(&crowd, net);
    join(spawn(crowd_close_thread, &crowd));
    crowd_drained(&crowd);
    crowd_end(&crowd);
    CHECK_OK(net_stop(net));
}

TEST(abort_inside_a_callback_with_operations_in_flight) {
    iouringnet_net *net = net_of_mode();
    struct crowd crowd;

    crowd_start(&crowd, net);
    on_callback_thread(net, crowd_abort, &crowd);
    CHECK_STATUS(result_wait(&crowd.recv), IOURINGNET_CLOSED);
    CHECK_STATUS(result_wait(&crowd.send), IOURINGNET_CLOSED);
    CHECK_STATUS(result_wait(&crowd.flush), IOURINGNET_CLOSED);
    CHECK_STATUS(ending_wait(&crowd.watch), IOURINGNET_CLOSED);
    crowd_end(&crowd);
    CHECK_OK(net_stop(net));
}

/* a blocking call that another thread's close must end */
struct blocked {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct latch begun;
    iouringnet_status status;
};

static void *blocked_recv(void *user) {
    struct blocked *blocked = user;
    char byte;

    latch_open(&blocked->begun);
    blocked->status = stream_recv(blocked->stream, &byte, 1, NULL);
    return NULL;
}

TEST(close_ends_a_blocking_receive_of_another_thread) {
    for (int round = 0; round < 20; round++) {
        struct pair p = tcp_pair();
        struct blocked blocked = {p.a.sink, p.a.stream, LATCH(1), 0};
        pthread_t thread = spawn(blocked_recv, &blocked);

        latch_wait(&blocked.begun);
        /* early rounds close while the call spins, later ones while it sleeps */
        for (int i = 0; i < round; i++)
            nap();
        stream_close(p.a.stream);
        join(thread);
        if (blocked.status != IOURINGNET_BAD_HANDLE || round > 5)
            CHECK_STATUS(blocked.status, IOURINGNET_CLOSED);
        pair_close(&p);
    }
}

TEST(close_lets_a_blocking_send_of_another_thread_finish) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    char *data = take(SIZE);
    struct sender sender = {m.sink, data, SIZE, 0, 0};
    struct reader reader = {m.peer, SIZE, 12};
    pthread_t thread;

    pattern_fill(data, SIZE, 0, 12);
    thread = spawn(sender_run, &sender);
    EVENTUALLY(unsent_of(m.sink) > 0);
    sink_close(m.sink);
    reader_run(&reader);
    join(thread);
    CHECK_OK(sender.status);
    CHECK_EQ(sender.sent, SIZE);
    mixed_close(&m);
    free(data);
}

TEST(abort_ends_a_blocking_send_of_another_thread) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    char *data = take(SIZE);
    struct sender sender = {m.sink, data, SIZE, 0, 0};
    pthread_t thread;

    memset(data, 1, SIZE);
    thread = spawn(sender_run, &sender);
    EVENTUALLY(unsent_of(m.sink) > 0);
    connection_abort(m.sink, NULL);
    join(thread);
    CHECK_STATUS(sender.status, IOURINGNET_CLOSED);
    CHECK(sender.sent < SIZE);
    raw_expect_reset(m.peer);
    mixed_close(&m);
    free(data);
}

TEST(close_while_the_peer_sends_before_it_reads) {
    /* with nobody to take the peer's bytes both sides would wait for each other until the close timeout */
    enum { MUCH = 20 << 20 };
    struct mixed m = mixed_pair();
    struct result sent = RESULT;
    char *data = take(MUCH), *got = take(MUCH);

    pattern_fill(data, MUCH, 0, 13);
    CHECK_OK(sink_send_async(m.sink, data, MUCH, result_store, &sent, NULL));
    stream_close(m.stream);
    sink_close(m.sink);
    raw_send(m.peer, data, MUCH);
    raw_recv(m.peer, got, MUCH);
    CHECK_MEM(got, data, MUCH);
    raw_expect_eof(m.peer);
    CHECK_OK(result_wait(&sent));
    mixed_close(&m);
    free(data);
    free(got);
}
