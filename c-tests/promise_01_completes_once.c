/* Promise 1. An accepted operation completes exactly once; a refused one started nothing, and its
   callback never runs. Outputs are written only on success, counts of bytes excepted. `*op` is set
   before its callback can run. */

#include "inside.h"

TEST(a_send_completes_once) {
    struct pair p = tcp_pair();
    struct result sent = RESULT;
    char got[6];

    CHECK_OK(sink_send_async(p.a.sink, "hello", 6, result_store, &sent, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 6, NULL));
    CHECK_OK(result_wait(&sent));
    CHECK_EQ(sent.done.bytes, 6);
    pair_close(&p);
    CHECK_EQ(sent.calls, 1);
}

TEST(a_receive_completes_once) {
    struct pair p = tcp_pair();
    struct result received = RESULT;
    char got[6];

    CHECK_OK(stream_recv_async(p.b.stream, got, 6, result_store, &received, NULL));
    CHECK_OK(sink_send(p.a.sink, "hello", 6, NULL));
    CHECK_OK(result_wait(&received));
    CHECK_EQ(received.done.bytes, 6);
    CHECK_MEM(got, "hello", 6);
    pair_close(&p);
    CHECK_EQ(received.calls, 1);
}

/* every kind of operation, each cancelled after it was accepted, and each completing once whatever won */
TEST(cancelled_operations_complete_once) {
    enum { ROUNDS = 200 };
    static struct result results[ROUNDS];
    static char bytes[ROUNDS][16];
    struct pair p = tcp_pair();
    size_t received = 0;

    for (int i = 0; i < ROUNDS; i++) {
        iouringnet_op *op;
        result_init(&results[i]);
        CHECK_OK(stream_recv_async(p.b.stream, bytes[i], 16, result_store, &results[i], &op));
        if (i % 2)
            CHECK_OK(sink_send(p.a.sink, "0123456789abcdef", 16, NULL));
        CHECK_OK(op_cancel(op));
        CHECK_OK(op_release(op));
    }
    for (int i = 0; i < ROUNDS; i++) {
        iouringnet_status status = result_wait(&results[i]);
        CHECK(status == 0 || status == IOURINGNET_CANCELLED);
        CHECK_EQ(results[i].done.bytes, status == 0 ? 16 : 0);
        received += results[i].done.bytes;
    }
    /* what the cancelled ones did not take is still there */
    for (; received < ROUNDS / 2 * 16; received += 16)
        CHECK_OK(stream_recv(p.b.stream, bytes[0], 16, NULL));
    pair_close(&p);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(results[i].calls, 1);
}

TEST(each_kind_completes_once_at_stop) {
    enum { KINDS = 5 };
    struct result results[KINDS];
    struct pair p = tcp_pair();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(p.a.net, &address);
    char into[64];

    for (int i = 0; i < KINDS; i++)
        result_init(&results[i]);
    CHECK_OK(stream_recv_async(p.a.stream, into, 64, result_store, &results[0], NULL));
    CHECK_OK(stream_fill_async(p.b.stream, 64, result_store, &results[1], NULL));
    CHECK_OK(listener_accept_async(listener, result_store, &results[2], NULL));
    CHECK_OK(net_call(p.a.net, 3600000, result_store, &results[3], NULL));
    CHECK_OK(stream_recv_some_async(p.b.stream, into, 64, result_store, &results[4], NULL));
    CHECK_OK(net_stop(p.a.net));
    for (int i = 0; i < KINDS; i++) {
        CHECK_EQ(results[i].calls, 1);
        CHECK_STATUS(results[i].done.status, IOURINGNET_STOPPED);
    }
}

TEST(refused_for_arguments) {
    struct pair p = tcp_pair();
    iouringnet_op *op = NULL;
    char into[8];

    CHECK_STATUS(sink_send_async(p.a.sink, NULL, 8, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(sink_send_async(p.a.sink, "x", SIZE_MAX, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(sink_sendv_async(p.a.sink, NULL, 2, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_async(p.a.stream, NULL, 8, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_async(p.a.stream, into, SIZE_MAX, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_fill_async(p.a.stream, (size_t)1 << 30, never, NULL, &op), IOURINGNET_TOO_BIG);
    CHECK_STATUS(net_dial_async(p.a.net, "no port", NULL, never, NULL, &op), IOURINGNET_ADDRESS);
    CHECK_STATUS(net_call(p.a.net, -5, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_async((iouringnet_stream *)p.a.sink, into, 8, never, NULL, &op), IOURINGNET_BAD_HANDLE);
    CHECK(op == NULL);
    /* neither a callback nor an op: nobody would learn of the end */
    CHECK_STATUS(stream_recv_async(p.a.stream, into, 8, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_send_async(p.a.sink, "x", 1, NULL, NULL, NULL), IOURINGNET_INVALID);
    /* the refused ones left nothing behind: the stream takes a receive as if nothing had been */
    CHECK_OK(sink_send(p.b.sink, "12345678", 8, NULL));
    CHECK_OK(stream_recv(p.a.stream, into, 8, NULL));
    CHECK_MEM(into, "12345678", 8);
    settle(p.a.net);
    pair_close(&p);
}

static size_t ignore_data(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)data;
    if (status != 0)
        latch_open(user);
    return size;
}

TEST(refused_for_state) {
    struct pair p = tcp_pair();
    struct latch over = LATCH(1);
    char into[8];

    CHECK_OK(watch_data(p.a.stream, ignore_data, &over));
    CHECK_STATUS(stream_recv_async(p.a.stream, into, 8, never, NULL, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_fill_async(p.a.stream, 8, never, NULL, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_fill_until_async(p.a.stream, "x", 1, 8, never, NULL, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_recv(p.a.stream, into, 8, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(watch_data(p.a.stream, ignore_data, &over), IOURINGNET_BUSY);
    connection_abort(p.b.sink, NULL);
    latch_wait(&over);
    settle(p.a.net);
    pair_close(&p);
}

TEST(refused_beyond_the_limit) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct result first = RESULT, second = RESULT;
    struct result timers[4];
    int accepted = 0;
    char into[2];

    config.max_operations = 2;
    p = tcp_pair_with(&config);
    for (int i = 0; i < 4; i++) {
        iouringnet_status status;
        result_init(&timers[i]);
        status = net_call(p.a.net, 3600000, result_store, &timers[i], NULL);
        if (status == 0)
            accepted++;
        else
            CHECK_STATUS(status, IOURINGNET_LIMIT);
    }
    CHECK_EQ(accepted, 2);
    /* each direction of a connection brings room for one operation of its own */
    CHECK_OK(stream_recv_async(p.a.stream, into, 1, result_store, &first, NULL));
    CHECK_STATUS(stream_recv_async(p.a.stream, into + 1, 1, result_store, &second, NULL), IOURINGNET_LIMIT);
    CHECK_OK(sink_send(p.b.sink, "x", 1, NULL));
    CHECK_OK(result_wait(&first));
    pair_close(&p);
    CHECK_EQ(second.calls, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(timers[i].calls, i < 2 ? 1 : 0);
}

TEST(outputs_are_written_only_on_success) {
    struct pair p = tcp_pair();
    iouringnet_sink *const no_sink = (iouringnet_sink *)(uintptr_t)0x11;
    iouringnet_stream *const no_stream = (iouringnet_stream *)(uintptr_t)0x22;
    iouringnet_listener *const no_listener = (iouringnet_listener *)(uintptr_t)0x33;
    iouringnet_op *const no_op = (iouringnet_op *)(uintptr_t)0x44;
    iouringnet_net *const no_net = (iouringnet_net *)(uintptr_t)0x55;
    iouringnet_sink *sink = no_sink;
    iouringnet_stream *stream = no_stream;
    iouringnet_listener *listener = no_listener;
    iouringnet_op *op = no_op;
    iouringnet_net *other = no_net;
    iouringnet_address address, text;
    iouringnet_config config = config_of_mode();
    const void *data = &p;
    size_t count = 77, shown = 99;

    unused_address(&address);
    CHECK_STATUS(net_dial(p.a.net, address.text, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_STATUS(net_dial(p.a.net, "nonsense", NULL, &sink, &stream), IOURINGNET_ADDRESS);
    CHECK(sink == no_sink && stream == no_stream);
    CHECK_STATUS(net_bind(p.a.net, "nonsense", NULL, &listener), IOURINGNET_ADDRESS);
    CHECK(listener == no_listener);
    CHECK_STATUS(net_dial_async(p.a.net, "nonsense", NULL, never, NULL, &op), IOURINGNET_ADDRESS);
    CHECK(op == no_op);
    memset(&text, 'x', sizeof text);
    CHECK_STATUS(listener_address((iouringnet_listener *)p.a.sink, &text), IOURINGNET_BAD_HANDLE);
    CHECK_EQ(text.text[0], 'x');
    config.ring_entries = 3;
    CHECK_STATUS(net_start(&config, &other), IOURINGNET_INVALID);
    CHECK(other == no_net);
    sink_close(p.b.sink);
    CHECK_STATUS(stream_recv(p.a.stream, &text, 4, &count), IOURINGNET_EOF);
    CHECK_EQ(count, 0);
    stream_close(p.a.stream);
    CHECK_STATUS(stream_peek(p.a.stream, 10, &data, &shown), IOURINGNET_BAD_HANDLE);
    CHECK(data == &p && shown == 99);
    pair_close(&p);
}

struct early {
    iouringnet_op *op;
    struct latch latch;
};

static void reads_its_op(void *user, const iouringnet_completion *done) {
    struct early *early = user;
    CHECK_OK(done->status);
    /* were *op written after the callback could run, this would now and then see NULL */
    CHECK(early->op != NULL);
    CHECK_OK(op_wait(early->op, 0, NULL));
    CHECK_OK(op_release(early->op));
    latch_open(&early->latch);
}

TEST(op_is_set_before_its_callback) {
    enum { ROUNDS = 2000 };
    struct pair p = tcp_pair();
    char into[1];

    for (int i = 0; i < ROUNDS; i++) {
        struct early sent = {NULL, LATCH(1)}, received = {NULL, LATCH(1)}, called = {NULL, LATCH(1)};
        CHECK_OK(sink_send_async(p.a.sink, "x", 1, reads_its_op, &sent, &sent.op));
        CHECK_OK(stream_recv_async(p.b.stream, into, 1, reads_its_op, &received, &received.op));
        CHECK_OK(net_call(p.a.net, 0, reads_its_op, &called, &called.op));
        latch_wait(&sent.latch);
        latch_wait(&received.latch);
        latch_wait(&called.latch);
    }
    pair_close(&p);
}

TEST(op_keeps_its_result_until_released) {
    struct pair p = tcp_pair();
    iouringnet_completion done;
    iouringnet_op *op;
    char into[3];

    CHECK_OK(stream_recv_async(p.b.stream, into, 3, NULL, NULL, &op));
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    CHECK_STATUS(op_wait(op, 20, NULL), IOURINGNET_PENDING);
    CHECK_STATUS(op_release(op), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "abc", 3, NULL));
    for (int i = 0; i < 3; i++) {
        iouringnet_completion_init(&done);
        CHECK_OK(op_wait(op, WAIT_MS, &done));
        CHECK_OK(done.status);
        CHECK_EQ(done.bytes, 3);
    }
    CHECK_OK(op_cancel(op));
    CHECK_OK(op_release(op));
    CHECK_STATUS(op_release(op), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(op_cancel(op), IOURINGNET_BAD_HANDLE);
    pair_close(&p);
}

/* a callback that runs until it is let go */
struct lasting {
    iouringnet_op *op;
    struct latch running, go;
};

static void lasts(void *user, const iouringnet_completion *done) {
    struct lasting *lasting = user;

    CHECK_OK(done->status);
    CHECK_OK(op_wait(lasting->op, 0, NULL));
    latch_open(&lasting->running);
    latch_wait(&lasting->go);
}

static void finds_it_pending(void *user) {
    struct lasting *lasting = user;

    CHECK_STATUS(op_wait(lasting->op, 0, NULL), IOURINGNET_PENDING);
}

TEST(an_op_is_done_early_inside_its_own_callback_alone) {
    iouringnet_net *net = net_of_mode(), *other = net_of_mode();
    struct lasting lasting = {NULL, LATCH(1), LATCH(1)};

    CHECK_OK(net_call(net, 0, lasts, &lasting, &lasting.op));
    latch_wait(&lasting.running);
    /* the callback may still use what `user` points to: neither a thread nor another net's callback may free it */
    finds_it_pending(&lasting);
    on_callback_thread(other, finds_it_pending, &lasting);
    latch_open(&lasting.go);
    CHECK_OK(op_finish(lasting.op, NULL));
    CHECK_OK(net_stop(other));
    CHECK_OK(net_stop(net));
}

struct op_waiter {
    struct waiter waiter;
    iouringnet_op *op;
    iouringnet_status told; /* what the wait is to give */
};

/* without a limit, which would end the wait too */
static void *waits_on_op(void *user) {
    struct op_waiter *self = user;

    waiter_begins(&self->waiter);
    CHECK_STATUS(op_wait(self->op, IOURINGNET_NO_TIMEOUT, NULL), self->told);
    return NULL;
}

/* several threads that sleep in the wait for one op, until `end` ends it */
static void several_wait(iouringnet_op *op, iouringnet_status (*end)(iouringnet_op *op), iouringnet_status told) {
    enum { COUNT = 4 };
    struct op_waiter waiting[COUNT];
    pthread_t threads[COUNT];

    for (int i = 0; i < COUNT; i++) {
        waiting[i] = (struct op_waiter){{0}, op, told};
        threads[i] = spawn(waits_on_op, &waiting[i]);
    }
    for (int i = 0; i < COUNT; i++)
        waiter_sleeps(&waiting[i].waiter);
    CHECK_OK(end(op));
    for (int i = 0; i < COUNT; i++)
        join(threads[i]);
}

TEST(every_thread_that_waits_for_an_op_learns_its_end) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op;

    CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &op));
    several_wait(op, op_cancel, 0);
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(net_stop(net));
}

TEST(every_thread_that_waits_for_an_op_learns_its_release) {
    iouringnet_net *net = net_of_mode();
    struct result call = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_call(net, 3600 * 1000, result_store, &call, &op));
    several_wait(op, op_release, IOURINGNET_BAD_HANDLE);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(result_wait(&call), IOURINGNET_STOPPED);
}

TEST(release_detaches_and_overtakes_a_waiter) {
    struct pair p = tcp_pair();
    struct result received = RESULT;
    struct op_waiter waiting = {{0}, NULL, IOURINGNET_BAD_HANDLE};
    pthread_t thread;
    char into[3];

    CHECK_OK(stream_recv_async(p.b.stream, into, 3, result_store, &received, &waiting.op));
    thread = spawn(waits_on_op, &waiting);
    waiter_sleeps(&waiting.waiter);
    CHECK_OK(op_release(waiting.op));
    join(thread);
    /* detached, not cancelled */
    CHECK_EQ(received.calls, 0);
    CHECK_OK(sink_send(p.a.sink, "abc", 3, NULL));
    CHECK_OK(result_wait(&received));
    CHECK_MEM(into, "abc", 3);
    pair_close(&p);
}

/* The connection is there before the release, and the callback comes after it. */
TEST(a_connection_of_a_released_op_goes_to_its_callback) {
    iouringnet_net *net = net_of_mode();
    struct busy busy = BUSY;
    struct result dial = RESULT;
    iouringnet_address address;
    int listener = raw_listen(&address), peer;
    iouringnet_op *op;
    char got[4];

    busy_begin(&busy, net);
    CHECK_OK(net_dial_async(net, address.text, NULL, result_store, &dial, &op));
    CHECK_OK(op_release(op));
    busy_end(&busy);
    CHECK_OK(result_wait(&dial));
    CHECK(dial.done.sink != NULL && dial.done.stream != NULL);
    peer = raw_accept(listener);
    CHECK_OK(sink_send(dial.done.sink, "ping", 4, NULL));
    raw_recv(peer, got, 4);
    sink_close(dial.done.sink);
    stream_close(dial.done.stream);
    raw_close(peer);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

TEST(a_wait_without_a_completion_leaves_the_connection_to_the_next) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    int listener = raw_listen(&address), peer;
    iouringnet_completion first, second;
    iouringnet_op *op;

    iouringnet_completion_init(&first);
    iouringnet_completion_init(&second);
    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_wait(op, 0, &first));
    CHECK(first.sink != NULL && first.stream != NULL);
    CHECK_OK(op_wait(op, 0, &second));
    CHECK_OK(second.status);
    CHECK(second.sink == NULL && second.stream == NULL);
    CHECK_OK(op_release(op));
    peer = raw_accept(listener);
    CHECK_OK(sink_send(first.sink, "x", 1, NULL));
    sink_close(first.sink);
    stream_close(first.stream);
    raw_close(peer);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

TEST(size_zero_completes_at_once) {
    struct pair p = tcp_pair();
    struct result sent = RESULT, received = RESULT;
    size_t count = 7;

    CHECK_OK(sink_send(p.a.sink, NULL, 0, &count));
    CHECK_EQ(count, 0);
    count = 7;
    CHECK_OK(stream_recv(p.a.stream, NULL, 0, &count));
    CHECK_EQ(count, 0);
    CHECK_OK(sink_sendv(p.a.sink, NULL, 0, &count));
    CHECK_OK(sink_post(p.a.sink, NULL, 0));
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_OK(stream_fill(p.a.stream, 0));
    CHECK_OK(sink_send_async(p.a.sink, NULL, 0, result_store, &sent, NULL));
    CHECK_OK(stream_recv_async(p.a.stream, NULL, 0, result_store, &received, NULL));
    CHECK_OK(result_wait(&sent));
    CHECK_OK(result_wait(&received));
    pair_close(&p);
    CHECK_EQ(sent.calls, 1);
    CHECK_EQ(received.calls, 1);
}

/* a dial by op alone: releasing it without having collected the connection closes the connection */
TEST(an_uncollected_connection_is_closed) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_op *op;
    int listener = raw_listen(&address), fd;

    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &op));
    fd = raw_accept(listener);
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    raw_expect_eof(fd);
    raw_close(fd);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

TEST(a_dial_collected_through_its_op) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_completion done;
    iouringnet_op *op;
    int listener = raw_listen(&address), fd;
    char got[5];

    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &op));
    fd = raw_accept(listener);
    CHECK_OK(op_finish(op, &done));
    CHECK(done.sink != NULL && done.stream != NULL);
    CHECK_OK(sink_send(done.sink, "hello", 5, NULL));
    raw_recv(fd, got, 5);
    CHECK_MEM(got, "hello", 5);
    sink_close(done.sink);
    stream_close(done.stream);
    raw_expect_eof(fd);
    raw_close(fd);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

/* many connections, on which three threads submit, cancel and close at random, while the net is stopped in
   the midst of it: whatever was accepted completes once, whatever was refused never */
enum { CROWD = 24, CROWD_THREADS = 3, CROWD_ROUNDS = 4000 };

struct crowd {
    iouringnet_net *net;
    struct end ends[CROWD];
    atomic_long accepted, completed;
};

struct crowd_op {
    struct crowd *crowd;
    atomic_int calls;
    iouringnet_op *op;
    struct crowd_op *next;
    char bytes[3000];
};

static void crowd_done(void *user, const iouringnet_completion *done) {
    struct crowd_op *self = user;
    CHECK_EQ(atomic_fetch_add(&self->calls, 1), 0);
    CHECK(done->bytes <= sizeof self->bytes);
    atomic_fetch_add(&self->crowd->completed, 1);
}

static size_t crowd_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct crowd_op *self = user;
    (void)data;
    if (status != 0) {
        CHECK_EQ(atomic_fetch_add(&self->calls, 1), 0);
        atomic_fetch_add(&self->crowd->completed, 1);
    }
    return size / 2;
}

static void *crowd_member(void *user) {
    struct crowd *crowd = user;
    uint32_t random = (uint32_t)(uintptr_t)&crowd;
    struct crowd_op *mine = NULL;

    for (int i = 0; i < CROWD_ROUNDS; i++) {
        struct end *end;
        struct crowd_op *self = take(sizeof *self);
        iouringnet_status status;
        size_t size;

        random = random * 1664525u + 1013904223u;
        end = &crowd->ends[(random >> 8) % CROWD];
        size = (random >> 16) % sizeof self->bytes + 1;
        memset(self, 0, sizeof *self);
        self->crowd = crowd;
        /* counted before the call: the completion may come before it returns */
        atomic_fetch_add(&crowd->accepted, 1);
        switch (random >> 28) {
        case 0:
        case 1:
        case 2:
        case 3: status = stream_recv_async(end->stream, self->bytes, size, crowd_done, self, &self->op); break;
        case 4:
        case 5: status = stream_recv_some_async(end->stream, self->bytes, size, crowd_done, self, &self->op); break;
        case 6: status = stream_fill_async(end->stream, size, crowd_done, self, &self->op); break;
        case 7: status = watch_data(end->stream, crowd_data, self); break;
        case 8: status = sink_flush_async(end->sink, crowd_done, self, &self->op); break;
        case 9: status = net_call(crowd->net, (random >> 4) % 5, crowd_done, self, &self->op); break;
        default: status = sink_send_async(end->sink, self->bytes, size, crowd_done, self, &self->op);
        }
        if (status != 0) {
            atomic_fetch_sub(&crowd->accepted, 1);
            CHECK_EQ(self->calls, 0);
        }
        self->next = mine;
        mine = self;
        if (self->op && random % 4 == 0)
            CHECK_OK(op_cancel(self->op));
        switch ((random >> 2) % 1024) {
        case 0: sink_close(end->sink); break;
        case 1: stream_close(end->stream); break;
        case 2: connection_abort(end->sink, NULL); break;
        case 3:
        case 4:
        case 5:
            /* BUSY or not, watched or not: it must only be harmless */
            status = stream_unwatch(end->stream);
            CHECK(status == 0 || status == IOURINGNET_BAD_HANDLE || status == IOURINGNET_CLOSED ||
                  status == IOURINGNET_STOPPED);
            break;
        default: break;
        }
    }
    return mine;
}

static void crowd_run(bool stop_amid) {
    static struct crowd crowd;
    pthread_t threads[CROWD_THREADS];
    void *lists[CROWD_THREADS];
    iouringnet_config config = config_of_mode();
    iouringnet_status status;

    memset(&crowd, 0, sizeof crowd);
    config.shutdown_timeout_ms = 1000;
    crowd.net = net_with(&config);
    for (int i = 0; i < CROWD; i += 2) {
        struct pair p = tcp_pair_in(crowd.net, crowd.net);
        crowd.ends[i] = p.a;
        crowd.ends[i + 1] = p.b;
    }
    for (int i = 0; i < CROWD_THREADS; i++)
        threads[i] = spawn(crowd_member, &crowd);
    if (stop_amid) {
        settle(crowd.net);
        status = net_stop(crowd.net);
        CHECK(status == 0 || status == IOURINGNET_TIMEOUT);
    }
    for (int i = 0; i < CROWD_THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], &lists[i]), 0);
    if (!stop_amid) {
        status = net_stop(crowd.net);
        CHECK(status == 0 || status == IOURINGNET_TIMEOUT);
    }
    CHECK_EQ(crowd.completed, crowd.accepted);
    for (int i = 0; i < CROWD_THREADS; i++) {
        for (struct crowd_op *self = lists[i], *next; self; self = next) {
            next = self->next;
            CHECK(self->calls <= 1);
            if (self->op)
                CHECK_OK(op_release(self->op));
            free(self);
        }
    }
}

TEST(a_crowd_completes_once) {
    crowd_run(false);
}

TEST(a_crowd_stopped_amid_completes_once) {
    crowd_run(true);
}
