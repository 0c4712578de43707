/* Promise 10: net_stop ends everything with a status, loses no accepted send that can still go out, joins
   both threads, and leaves nothing behind. */

#include "support.h"

TEST(stop_of_an_idle_net) {
    iouringnet_net *net = net_of_mode();

    CHECK_OK(net_stop(net));
    CHECK_STATUS(net_stop(net), IOURINGNET_BAD_HANDLE);
}

TEST(stop_ends_everything_that_waits) {
    iouringnet_net *net = net_of_mode();
    struct full_listener full = full_listener();
    struct pair p = tcp_pair_in(net, net), watched = tcp_pair_in(net, net);
    iouringnet_address address;
    iouringnet_listener *accepting = bind_loopback(net, &address), *watching = bind_loopback(net, &address);
    struct result timer = RESULT, dial = RESULT, named = RESULT, accept = RESULT, recv = RESULT, some = RESULT,
                  fill = RESULT;
    struct ending stream = ENDING, sink = ENDING, listener = ENDING;
    char into[2][8];

    CHECK_OK(net_call(net, 3600 * 1000, result_store, &timer, NULL));
    CHECK_OK(net_dial_async(net, full.address.text, NULL, result_store, &dial, NULL));
    CHECK_OK(net_dial_async(net, "no-such-host.invalid:80", NULL, result_store, &named, NULL));
    CHECK_OK(listener_accept_async(accepting, result_store, &accept, NULL));
    CHECK_OK(listener_watch(watching, ending_store, &listener));
    CHECK_OK(stream_recv_async(p.a.stream, into[0], 8, result_store, &recv, NULL));
    CHECK_OK(stream_recv_some_async(p.b.stream, into[1], 8, result_store, &some, NULL));
    CHECK_OK(stream_fill_async(p.b.stream, 8, result_store, &fill, NULL));
    CHECK_OK(watch_data(watched.a.stream, ending_store_data, &stream));
    CHECK_OK(ending_watch(watched.a.sink, &sink));
    CHECK_OK(net_stop(net));

    /* every outstanding callback has run by now: no waiting here */
    CHECK_EQ(timer.calls, 1);
    CHECK_STATUS(timer.done.status, IOURINGNET_STOPPED);
    CHECK_EQ(dial.calls, 1);
    CHECK_STATUS(dial.done.status, IOURINGNET_STOPPED);
    CHECK(dial.done.sink == NULL && dial.done.stream == NULL);
    CHECK_EQ(named.calls, 1);
    CHECK(named.done.status == IOURINGNET_STOPPED || named.done.status == IOURINGNET_NAME ||
          named.done.status == IOURINGNET_NAME_AGAIN);
    CHECK_EQ(accept.calls, 1);
    CHECK_STATUS(accept.done.status, IOURINGNET_STOPPED);
    CHECK_EQ(recv.calls, 1);
    CHECK_STATUS(recv.done.status, IOURINGNET_STOPPED);
    CHECK_EQ(some.calls, 1);
    CHECK_STATUS(some.done.status, IOURINGNET_STOPPED);
    CHECK_EQ(fill.calls, 1);
    CHECK_STATUS(fill.done.status, IOURINGNET_STOPPED);
    CHECK_EQ(listener.ends, 1);
    CHECK_STATUS(listener.status, IOURINGNET_STOPPED);
    CHECK_EQ(stream.ends, 1);
    CHECK_STATUS(stream.status, IOURINGNET_STOPPED);
    /* the sink's last call tells the end of its drain */
    CHECK_EQ(sink.ends, 1);
    full_listener_close(&full);
}

TEST(stop_lets_accepted_sends_go_out) {
    enum { SIZE = 8 << 20 };
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, SIZE, 1};
    struct result send = RESULT;
    char *data = take(SIZE);
    pthread_t thread;

    pattern_fill(data, SIZE, 0, 1);
    CHECK_OK(sink_send_async(m.sink, data, SIZE - 1000, result_store, &send, NULL));
    CHECK_OK(sink_post(m.sink, data + SIZE - 1000, 1000));
    thread = spawn(reader_run, &reader);
    CHECK_OK(net_stop(m.net));
    CHECK_EQ(send.calls, 1);
    CHECK_OK(send.done.status);
    CHECK_EQ(send.done.bytes, SIZE - 1000);
    join(thread);
    raw_close(m.peer);
    free(data);
}

TEST(stop_closes_with_unread_input_in_order) {
    struct mixed m = mixed_pair();
    struct reader reader = {m.peer, 200000, 2};
    char *data = take(200000);
    pthread_t thread;

    pattern_fill(data, 200000, 0, 2);
    raw_send(m.peer, data, 50000);
    CHECK_OK(sink_send(m.sink, data, 200000, NULL));
    thread = spawn(reader_run, &reader);
    CHECK_OK(net_stop(m.net));
    join(thread);
    raw_close(m.peer);
    free(data);
}

TEST(stop_cuts_sends_at_the_shutdown_timeout) {
    enum { SIZE = 64 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result send = RESULT, behind = RESULT;
    char *data = take(SIZE);
    int64_t began;

    config.shutdown_timeout_ms = 200;
    m = mixed_pair_with(&config, 0);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK_OK(sink_send_async(m.sink, "behind", 6, result_store, &behind, NULL));
    began = now_ms();
    CHECK_STATUS(net_stop(m.net), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 199, patient(3000));
    CHECK_EQ(send.calls, 1);
    CHECK_STATUS(send.done.status, IOURINGNET_STOPPED);
    CHECK(send.done.bytes > 0 && send.done.bytes < SIZE);
    CHECK_EQ(behind.calls, 1);
    CHECK_STATUS(behind.done.status, IOURINGNET_STOPPED);
    /* stopped all the same, and the kernel holds nothing: the memory may go before the peer reads on */
    memset(data, 2, SIZE);
    free(data);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    CHECK_STATUS(net_stop(m.net), IOURINGNET_BAD_HANDLE);
}

/* the send is over, as the kernel has its bytes; that they reach the peer is the stop's business all the same */
TEST(stop_tells_of_bytes_cut_in_the_kernel) {
    enum { SIZE = 200000 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE);

    config.shutdown_timeout_ms = 200;
    config.close_timeout_ms = 10 * WAIT_MS; /* the stop does not wait for it */
    config.send_buffer = 1 << 20;
    /* it never reads before the stop, and has no room for all of it */
    m = mixed_pair_with(&config, 4096);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send(m.sink, data, SIZE, NULL));
    CHECK_STATUS(net_stop(m.net), IOURINGNET_TIMEOUT);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    free(data);
}

TEST(stop_cuts_nothing_of_a_peer_that_only_stays) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char got[5];

    config.shutdown_timeout_ms = 100;
    m = mixed_pair_with(&config, 0);
    /* its kernel acknowledges them; that it neither reads them nor closes loses nothing */
    CHECK_OK(sink_send(m.sink, "whole", 5, NULL));
    CHECK_OK(net_stop(m.net));
    raw_recv(m.peer, got, 5);
    CHECK_MEM(got, "whole", 5);
    raw_close(m.peer);
}

TEST(stop_tells_of_a_drain_cut_by_the_close_timeout) {
    enum { SIZE = 32 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result send = RESULT;
    char *data = take(SIZE);

    config.close_timeout_ms = 100;
    config.shutdown_timeout_ms = WAIT_MS;
    m = mixed_pair_with(&config, 4096);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK_STATUS(net_stop(m.net), IOURINGNET_TIMEOUT);
    CHECK_EQ(send.calls, 1);
    CHECK_STATUS(send.done.status, IOURINGNET_TIMEOUT);
    CHECK(send.done.bytes < SIZE);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    free(data);
}

/* ---- while a stop is under way ---- */

struct stopping {
    iouringnet_net *net;
    iouringnet_status status;
    atomic_bool returned;
};

static void *stop_run(void *user) {
    struct stopping *stopping = user;

    stopping->status = net_stop(stopping->net);
    atomic_store(&stopping->returned, true);
    return NULL;
}

TEST(a_stopping_net_refuses_new_work) {
    iouringnet_net *net = net_of_mode();
    struct pair p = tcp_pair_in(net, net);
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *other = NULL;
    struct busy busy = BUSY;
    struct stopping stopping = {net, 0, false};
    char into[8];
    pthread_t thread;

    busy_begin(&busy, net);
    thread = spawn(stop_run, &stopping);
    EVENTUALLY(net_call(net, 0, ignore_completion, NULL, NULL) == IOURINGNET_STOPPED);
    CHECK_STATUS(net_call(net, 0, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(net_dial_async(net, address.text, NULL, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(net_bind(net, "127.0.0.1:0", NULL, &other), IOURINGNET_STOPPED);
    CHECK_STATUS(listener_accept_async(listener, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(stream_recv_async(p.a.stream, into, 8, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(sink_send_async(p.a.sink, "x", 1, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(sink_post(p.a.sink, "x", 1), IOURINGNET_STOPPED);
    /* it awaits the callback that runs */
    CHECK(!atomic_load(&stopping.returned));
    busy_end(&busy);
    join(thread);
    CHECK_OK(stopping.status);
}

TEST(concurrent_stops_get_one_result) {
    enum { CALLERS = 4 };
    iouringnet_net *net = net_of_mode();
    struct busy busy = BUSY;
    struct stopping stopping[CALLERS];
    pthread_t threads[CALLERS];

    busy_begin(&busy, net);
    for (int i = 0; i < CALLERS; i++) {
        stopping[i] = (struct stopping){net, 0, false};
        threads[i] = spawn(stop_run, &stopping[i]);
    }
    EVENTUALLY(net_call(net, 0, ignore_completion, NULL, NULL) == IOURINGNET_STOPPED);
    for (int i = 0; i < CALLERS; i++)
        CHECK(!atomic_load(&stopping[i].returned));
    busy_end(&busy);
    for (int i = 0; i < CALLERS; i++)
        join(threads[i]);
    for (int i = 0, stopped = 0; i < CALLERS; i++) {
        /* a thread that came to its call after the stop was over finds no net */
        CHECK(stopping[i].status == 0 || stopping[i].status == IOURINGNET_BAD_HANDLE);
        stopped += stopping[i].status == 0;
        CHECK(i < CALLERS - 1 || stopped > 0);
    }
}

TEST(concurrent_stops_get_one_result_also_a_bad_one) {
    enum { CALLERS = 4, SIZE = 64 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct stopping stopping[CALLERS];
    pthread_t threads[CALLERS];
    char *data = take(SIZE);
    int cut = 0;

    config.shutdown_timeout_ms = 500;
    m = mixed_pair_with(&config, 0);
    memset(data, 1, SIZE);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    for (int i = 0; i < CALLERS; i++) {
        stopping[i] = (struct stopping){m.net, 0, false};
        threads[i] = spawn(stop_run, &stopping[i]);
    }
    for (int i = 0; i < CALLERS; i++)
        join(threads[i]);
    for (int i = 0; i < CALLERS; i++) {
        CHECK(stopping[i].status == IOURINGNET_TIMEOUT || stopping[i].status == IOURINGNET_BAD_HANDLE);
        cut += stopping[i].status == IOURINGNET_TIMEOUT;
    }
    CHECK(cut > 0);
    raw_close(m.peer);
    free(data);
}

static void stop_here(void *user) {
    CHECK_STATUS(net_stop(user), IOURINGNET_IN_CALLBACK);
}

TEST(stop_inside_a_callback_is_refused) {
    iouringnet_net *net = net_of_mode(), *other = net_of_mode();

    on_callback_thread(net, stop_here, net);
    on_callback_thread(net, stop_here, other);
    /* refused means that nothing was stopped */
    on_callback_thread(other, stop_here, net);
    CHECK_OK(net_stop(other));
    CHECK_OK(net_stop(net));
}

/* ---- blocking calls of other threads ---- */

struct waiting {
    iouringnet_net *net;
    iouringnet_listener *listener;
    struct end end;
    iouringnet_op *op;
    iouringnet_address *full;
    struct latch begun;
    iouringnet_status recv, accept, wait, call, dial;
    pid_t threads[4];
};

static void begin(struct waiting *waiting, int number) {
    waiting->threads[number] = thread_id();
    latch_open(&waiting->begun);
}

static void *wait_recv(void *user) {
    struct waiting *waiting = user;
    char byte;

    begin(waiting, 0);
    waiting->recv = stream_recv(waiting->end.stream, &byte, 1, NULL);
    return NULL;
}

static void *wait_accept(void *user) {
    struct waiting *waiting = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    begin(waiting, 1);
    waiting->accept = listener_accept(waiting->listener, &sink, &stream);
    return NULL;
}

static void *wait_dial(void *user) {
    struct waiting *waiting = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    begin(waiting, 2);
    waiting->dial = net_dial(waiting->net, waiting->full->text, NULL, &sink, &stream);
    return NULL;
}

static void *wait_op(void *user) {
    struct waiting *waiting = user;
    iouringnet_completion done;

    iouringnet_completion_init(&done);
    begin(waiting, 3);
    waiting->call = op_wait(waiting->op, IOURINGNET_NO_TIMEOUT, &done);
    waiting->wait = done.status;
    return NULL;
}

TEST(stop_ends_the_blocking_calls_of_other_threads) {
    for (int round = 0; round < 5; round++) {
        iouringnet_net *net = net_of_mode();
        struct full_listener full = full_listener();
        iouringnet_address address;
        struct waiting waiting = {
            net, bind_loopback(net, &address), tcp_pair_in(net, net).a, NULL, &full.address, LATCH(4), 0, 0, 0, 0, 0,
            {0}};
        pthread_t threads[4];

        CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &waiting.op));
        threads[0] = spawn(wait_recv, &waiting);
        threads[1] = spawn(wait_accept, &waiting);
        threads[2] = spawn(wait_op, &waiting);
        threads[3] = spawn(wait_dial, &waiting);
        latch_wait(&waiting.begun);
        /* a call that is only about to begin would find a dead handle, so all are asleep in theirs first */
        for (int i = 0; i < 4; i++)
            EVENTUALLY(thread_sleeps(waiting.threads[i]));
        CHECK_OK(net_stop(net));
        for (int i = 0; i < 4; i++)
            join(threads[i]);
        CHECK_STATUS(waiting.recv, IOURINGNET_STOPPED);
        CHECK_STATUS(waiting.accept, IOURINGNET_STOPPED);
        CHECK_STATUS(waiting.dial, IOURINGNET_STOPPED);
        CHECK_OK(waiting.call);
        CHECK_STATUS(waiting.wait, IOURINGNET_STOPPED);
        CHECK_OK(op_release(waiting.op));
        full_listener_close(&full);
    }
}

TEST(stop_ends_a_blocking_send_of_another_thread) {
    enum { SIZE = 64 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE);
    struct sender sender = {NULL, data, SIZE, 0, 0};
    pthread_t thread;

    config.shutdown_timeout_ms = 200;
    m = mixed_pair_with(&config, 0);
    memset(data, 1, SIZE);
    sender.sink = m.sink;
    thread = spawn(sender_run, &sender);
    EVENTUALLY(unsent_of(m.sink) > 0);
    CHECK_STATUS(net_stop(m.net), IOURINGNET_TIMEOUT);
    join(thread);
    CHECK_STATUS(sender.status, IOURINGNET_STOPPED);
    CHECK(sender.sent > 0 && sender.sent < SIZE);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    free(data);
}

TEST(ops_keep_their_results_after_the_stop) {
    iouringnet_net *net = net_of_mode();
    struct pair p = tcp_pair_in(net, net);
    iouringnet_op *sent, *received, *timer, *dialled;
    iouringnet_completion done;
    iouringnet_address address;
    char into[8];

    bind_loopback(net, &address);
    CHECK_OK(sink_send_async(p.a.sink, "word", 4, NULL, NULL, &sent));
    CHECK_OK(op_wait(sent, WAIT_MS, NULL));
    CHECK_OK(stream_recv_async(p.a.stream, into, 8, NULL, NULL, &received));
    CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &timer));
    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &dialled));
    CHECK_OK(op_wait(dialled, WAIT_MS, NULL));
    CHECK_OK(net_stop(net));

    CHECK_STATUS(op_finish(sent, &done), IOURINGNET_OK);
    CHECK_EQ(done.bytes, 4);
    CHECK_STATUS(op_finish(received, &done), IOURINGNET_STOPPED);
    CHECK_EQ(done.bytes, 0);
    CHECK_STATUS(op_finish(timer, NULL), IOURINGNET_STOPPED);
    CHECK_OK(op_release(dialled));
    CHECK_STATUS(op_release(sent), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(op_wait(received, 0, NULL), IOURINGNET_BAD_HANDLE);
}

static void check_says_stopped(iouringnet_op *op) {
    /* each time it is asked */
    for (int i = 0; i < 3; i++) {
        iouringnet_completion done;

        iouringnet_completion_init(&done);
        CHECK_OK(op_wait(op, 0, &done));
        CHECK_STATUS(done.status, IOURINGNET_STOPPED);
        CHECK(done.sink == NULL && done.stream == NULL);
    }
    CHECK_OK(op_release(op));
}

TEST(stop_closes_connections_that_nobody_collected) {
    enum { EACH = 20 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address bound, dialled;
    iouringnet_listener *listener = bind_loopback(net, &bound);
    iouringnet_op *accepts[EACH], *dials[EACH];
    int peers[2][EACH], plain = raw_listen(&dialled);

    for (int i = 0; i < EACH; i++) {
        CHECK_OK(listener_accept_async(listener, NULL, NULL, &accepts[i]));
        peers[0][i] = raw_dial(bound.text);
        CHECK_OK(net_dial_async(net, dialled.text, NULL, NULL, NULL, &dials[i]));
        peers[1][i] = raw_accept(plain);
        /* they are done, and without a completion to fill in nothing is collected */
        CHECK_OK(op_wait(accepts[i], WAIT_MS, NULL));
        CHECK_OK(op_wait(dials[i], WAIT_MS, NULL));
    }
    CHECK_OK(net_stop(net));
    for (int i = 0; i < EACH; i++) {
        raw_expect_eof(peers[0][i]);
        raw_expect_eof(peers[1][i]);
        check_says_stopped(accepts[i]);
        check_says_stopped(dials[i]);
        raw_close(peers[0][i]);
        raw_close(peers[1][i]);
    }
    raw_close(plain);
}

TEST(no_callback_runs_after_the_stop) {
    for (int round = 0; round < 20; round++) {
        iouringnet_net *net = net_of_mode();
        struct pair p = tcp_pair_in(net, net);
        struct result timers[50], recvs[20];
        char into[20][4];
        int ran = 0, after = 0;

        for (int i = 0; i < 50; i++) {
            result_init(&timers[i]);
            CHECK_OK(net_call(net, i % 5, result_store, &timers[i], NULL));
        }
        for (int i = 0; i < 20; i++) {
            result_init(&recvs[i]);
            CHECK_OK(stream_recv_async(p.b.stream, into[i], 4, result_store, &recvs[i], NULL));
            CHECK_OK(sink_post(p.a.sink, "data", 4));
        }
        CHECK_OK(net_stop(net));
        for (int i = 0; i < 50; i++) {
            CHECK_EQ(timers[i].calls, 1);
            CHECK(timers[i].done.status == 0 || timers[i].done.status == IOURINGNET_STOPPED);
        }
        for (int i = 0; i < 20; i++) {
            ran += recvs[i].calls;
            /* receives complete in order, so the first that was stopped is followed by stopped ones alone */
            CHECK(recvs[i].done.status == (after ? IOURINGNET_STOPPED : recvs[i].done.status));
            CHECK(recvs[i].done.status == 0 || recvs[i].done.status == IOURINGNET_STOPPED);
            after |= recvs[i].done.status != 0;
        }
        CHECK_EQ(ran, 20);
    }
}

TEST(stopping_one_net_leaves_the_other) {
    struct pair p = tcp_pair_apart(), q;
    char got[8];

    q = tcp_pair_in(p.b.net, p.b.net);
    CHECK_OK(sink_send(p.a.sink, "farewell", 8, NULL));
    CHECK_OK(net_stop(p.a.net));
    CHECK_OK(stream_recv(p.b.stream, got, 8, NULL));
    CHECK_MEM(got, "farewell", 8);
    CHECK_STATUS(stream_recv(p.b.stream, got, 1, NULL), IOURINGNET_EOF);
    CHECK_OK(sink_send(q.a.sink, "still up", 8, NULL));
    CHECK_OK(stream_recv(q.b.stream, got, 8, NULL));
    CHECK_MEM(got, "still up", 8);
    end_close(&q.a);
    end_close(&q.b);
    end_close(&p.b);
    CHECK_OK(net_stop(p.b.net));
}

/* ---- from within callbacks, with everything moving ---- */

struct storm {
    iouringnet_net *net;
    iouringnet_address address;
    atomic_int begun, ended;
};

static void storm_on(void *user, const iouringnet_completion *done);

/* each callback begins the next operation, until the net refuses */
static void storm_next(struct storm *storm) {
    iouringnet_status status;

    atomic_fetch_add(&storm->begun, 1);
    status = net_dial_async(storm->net, storm->address.text, NULL, storm_on, storm, NULL);
    if (status != 0) {
        CHECK_STATUS(status, IOURINGNET_STOPPED);
        atomic_fetch_add(&storm->ended, 1);
    }
}

static void storm_on(void *user, const iouringnet_completion *done) {
    struct storm *storm = user;

    if (done->status == 0) {
        connection_abort(done->sink, NULL);
        stream_close(done->stream);
    }
    storm_next(storm);
    atomic_fetch_add(&storm->ended, 1);
}

static void storm_accept(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status == 0) {
        sink_close(done->sink);
        stream_close(done->stream);
    }
}

TEST(stop_amid_callbacks_that_begin_new_work) {
    for (int round = 0; round < 5; round++) {
        struct storm storm = {net_of_mode(), {{0}}, 0, 0};
        iouringnet_listener *listener = bind_loopback(storm.net, &storm.address);

        CHECK_OK(listener_watch(listener, storm_accept, NULL));
        for (int i = 0; i < 10; i++)
            storm_next(&storm);
        EVENTUALLY(atomic_load(&storm.begun) > 200);
        CHECK_OK(net_stop(storm.net));
        CHECK_EQ(storm.begun, storm.ended);
    }
}
