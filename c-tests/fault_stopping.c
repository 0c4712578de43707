/* What other threads see while a net stops: refusals that hold for every handle, and counts that are counts.
   Promise 10. */

#include "support.h"

/* ---- after one call has said STOPPED, nothing more is accepted ---- */

enum { PAIRS = 32, TIMERS = 300 };

struct stopping {
    struct pair pairs[PAIRS];
    struct latch ready;
};

static void is_refused(iouringnet_status status, const char *what) {
    if (status != IOURINGNET_STOPPED && status != IOURINGNET_BAD_HANDLE)
        fprintf(stderr, "%s said %s after another call had said STOPPED\n", what, iouringnet_errname(status));
    CHECK(status == IOURINGNET_STOPPED || status == IOURINGNET_BAD_HANDLE);
}

/* asks one stream until it says STOPPED, and then has every sink asked to send */
static void ask_until_stopped(struct stopping *s, bool may_block) {
    iouringnet_status status;
    const void *data;
    size_t size;

    latch_open(&s->ready);
    do
        status = stream_peek(s->pairs[0].a.stream, 1, &data, &size);
    while (status == 0);
    is_refused(status, "stream_peek");
    for (int i = PAIRS - 1; i >= 0; i--) {
        iouringnet_sink *sink = s->pairs[i].a.sink;

        is_refused(sink_post(sink, "late", 4), "sink_post");
        is_refused(sink_send_async(sink, "late", 4, never, NULL, NULL), "sink_send_async");
        is_refused(sink_flush_async(sink, never, NULL, NULL), "sink_flush_async");
        if (!may_block)
            continue;
        is_refused(sink_send(sink, "late", 4, NULL), "sink_send");
        is_refused(sink_flush(sink), "sink_flush");
    }
}

static void *ask_by_thread(void *user) {
    ask_until_stopped(user, true);
    return NULL;
}

/* where a send goes past the sink's lock */
static void ask_by_callback(void *user, const iouringnet_completion *done) {
    (void)done;
    ask_until_stopped(user, false);
}

static void stop_beside(bool by_callback) {
    enum { ROUNDS = 20 };

    for (int round = 0; round < ROUNDS; round++) {
        iouringnet_net *net = net_of_mode();
        struct stopping s;
        pthread_t thread;

        for (int i = 0; i < PAIRS; i++)
            s.pairs[i] = tcp_pair_in(net, net);
        /* members that the stop ends before it comes to the sinks */
        for (int i = 0; i < TIMERS; i++)
            CHECK_OK(net_call(net, 3600 * 1000, ignore_completion, NULL, NULL));
        latch_init(&s.ready, 1);
        if (by_callback)
            CHECK_OK(net_call(net, 0, ask_by_callback, &s, NULL));
        else
            thread = spawn(ask_by_thread, &s);
        latch_wait(&s.ready);
        CHECK_OK(net_stop(net));
        if (!by_callback)
            join(thread);
    }
}

TEST(no_thread_sends_once_a_call_has_said_stopped) {
    stop_beside(false);
}

TEST(no_callback_sends_once_a_call_has_said_stopped) {
    stop_beside(true);
}

/* ---- a send of a callback that is under way as the stop begins ---- */

struct sending {
    struct end end;
    struct latch ready;
    char data[65536];
};

static void sends_again(void *user, const iouringnet_completion *done) {
    struct sending *s = user;

    if (done->status != 0 || sink_post(s->end.sink, s->data, sizeof s->data) != 0)
        return;
    latch_open(&s->ready);
    (void)net_call(s->end.net, 0, sends_again, s, NULL); /* refused once the net stops */
}

/* a timer that the stop ends, before it comes to the sink */
static void sends_late(void *user, const iouringnet_completion *done) {
    struct sending *s = user;

    CHECK_STATUS(done->status, IOURINGNET_STOPPED);
    is_refused(sink_post(s->end.sink, "late", 4), "sink_post");
}

static void *reads_all(void *user) {
    static char got[1 << 20];

    while (recv(*(int *)user, got, sizeof got, 0) > 0)
        ;
    raw_close(*(int *)user); /* or the stop would wait for it */
    return NULL;
}

TEST(no_callback_sends_once_one_was_stopped_as_it_sent) {
    enum { ROUNDS = 250, LATE = 2000 };
    int64_t end = now_ms() + 20000; /* where so many rounds take minutes */

    for (int round = 0; round < ROUNDS && now_ms() < end; round++) {
        iouringnet_config config = config_of_mode();
        struct sending *s = take(sizeof *s);
        pthread_t reader;
        int peer;

        config.send_buffer = 4 << 20;
        memset(s, 0, sizeof *s);
        latch_init(&s->ready, 3);
        s->end.net = net_with(&config);
        for (int i = 0; i < LATE; i++)
            CHECK_OK(net_call(s->end.net, 3600 * 1000, sends_late, s, NULL));
        peer = raw_peer(s->end.net, &s->end.sink, &s->end.stream);
        reader = spawn(reads_all, &peer);
        CHECK_OK(net_call(s->end.net, 0, sends_again, s, NULL));
        latch_wait(&s->ready);
        CHECK_OK(net_stop(s->end.net));
        join(reader);
        free(s);
    }
}

/* ---- a connection that is collected too late ---- */

static void *stops_net(void *user) {
    CHECK_OK(net_stop(user));
    return NULL;
}

TEST(a_connection_collected_while_its_net_stops_is_none_each_time) {
    enum { SIZE = 8 << 20 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_op *dial;
    char *data = take(SIZE);
    int listening = raw_listen(&address), peer;
    struct mixed draining = mixed_pair_in(net, 16384);
    pthread_t stopper;

    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &dial));
    peer = raw_accept(listening);
    CHECK_OK(op_wait(dial, WAIT_MS, NULL)); /* without a completion to fill in nothing is collected */
    memset(data, 1, SIZE);
    CHECK_OK(sink_post(draining.sink, data, SIZE)); /* which the stop waits for */
    stopper = spawn(stops_net, net);
    EVENTUALLY(net_call(net, 3600 * 1000, ignore_completion, NULL, NULL) == IOURINGNET_STOPPED);
    for (int i = 0; i < 3; i++) {
        iouringnet_completion done;

        iouringnet_completion_init(&done);
        CHECK_OK(op_wait(dial, 0, &done));
        CHECK_STATUS(done.status, IOURINGNET_STOPPED);
        CHECK(done.sink == NULL && done.stream == NULL);
    }
    raw_recv(draining.peer, data, SIZE);
    raw_expect_eof(draining.peer);
    raw_close(draining.peer);
    join(stopper);
    CHECK_OK(op_release(dial));
    raw_close(peer);
    raw_close(listening);
    free(data);
}

/* ---- statistics ---- */

enum { READERS = 2, DIALLERS = 6, BINDERS = 4, ALL = READERS + DIALLERS + BINDERS };

struct counted {
    iouringnet_net *net;
    iouringnet_address address;
    struct latch ready;
};

/* counts that stand for things are never below zero, which would show as a huge number */
static void *read_counts(void *user) {
    struct counted *c = user;
    iouringnet_stats stats;

    iouringnet_stats_init(&stats);
    latch_open(&c->ready);
    while (net_stats(c->net, &stats) == 0) {
        CHECK_BETWEEN(stats.connections, 0, 100000);
        CHECK_BETWEEN(stats.listeners, 0, 100000);
        CHECK_BETWEEN(stats.operations, 0, 100000);
    }
    return NULL;
}

static void *dial_until_stopped(void *user) {
    struct counted *c = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    latch_open(&c->ready);
    while (net_dial(c->net, c->address.text, NULL, &sink, &stream) == 0) {
        connection_abort(sink, NULL);
        stream_close(stream);
    }
    return NULL;
}

static void *bind_until_stopped(void *user) {
    struct counted *c = user;
    iouringnet_listener *listener;

    latch_open(&c->ready);
    while (net_bind(c->net, "127.0.0.1:0", NULL, &listener) == 0)
        listener_close(listener);
    return NULL;
}

/* ends when the listening socket is shut down */
static void *accept_and_close(void *user) {
    int listening = *(int *)user, accepted;

    while ((accepted = accept(listening, NULL, NULL)) >= 0)
        raw_close(accepted);
    return NULL;
}

TEST(counts_are_never_below_zero_while_a_net_stops) {
    enum { ROUNDS = 20 };
    struct counted c;
    int listening = raw_listen(&c.address);
    pthread_t acceptor = spawn(accept_and_close, &listening);

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[ALL];

        c.net = net_of_mode();
        latch_init(&c.ready, ALL);
        for (int i = 0; i < ALL; i++)
            threads[i] = spawn(i < READERS              ? read_counts
                               : i < READERS + DIALLERS ? dial_until_stopped
                                                        : bind_until_stopped,
                               &c);
        latch_wait(&c.ready);
        CHECK_OK(net_stop(c.net));
        for (int i = 0; i < ALL; i++)
            join(threads[i]);
    }
    CHECK_EQ(shutdown(listening, SHUT_RDWR), 0);
    join(acceptor);
    raw_close(listening);
}
