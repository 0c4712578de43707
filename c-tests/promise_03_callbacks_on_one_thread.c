/* Promise 3. All callbacks of a net run on one thread, its receive loop's, one at a time, never inside
   a library call and never with a lock held: a program that works in callbacks alone needs no mutex.
   Callbacks of one handle come in order. */

#include "harness.h"

/* every kind of callback of one net notes its thread here */
struct notes {
    pthread_t threads[16];
    int count; /* plain int: the callbacks themselves are the only writers */
    bool inside;
    struct latch latch;
    iouringnet_sink *accepted_sink;
    iouringnet_stream *accepted_stream;
};

static void note(struct notes *notes) {
    CHECK(!notes->inside);
    notes->inside = true;
    CHECK(notes->count < 16);
    notes->threads[notes->count++] = pthread_self();
    notes->inside = false;
    latch_open(&notes->latch);
}

static void notes_completion(void *user, const iouringnet_completion *done) {
    (void)done;
    note(user);
}

static void notes_connection(void *user, const iouringnet_completion *done) {
    struct notes *notes = user;
    if (done->status == 0) {
        notes->accepted_sink = done->sink;
        notes->accepted_stream = done->stream;
    }
    note(notes);
}

static size_t notes_data(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)status;
    (void)data;
    note(user);
    return size;
}

static void notes_end(void *user, iouringnet_status status) {
    CHECK_OK(status);
    note(user);
}

static void expect_notes(struct notes *notes, int count) {
    latch_wait(&notes->latch);
    CHECK_EQ(notes->count, count);
    latch_reset(&notes->latch, 1);
}

TEST(every_kind_on_one_thread) {
    iouringnet_net *net = net_of_mode();
    struct notes notes = {.latch = LATCH(1)};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;
    char into[4];

    CHECK_OK(net_call(net, 0, notes_completion, &notes, NULL));
    expect_notes(&notes, 1);
    CHECK_OK(listener_accept_async(listener, notes_connection, &notes, NULL));
    CHECK_OK(net_dial(net, address.text, NULL, &sink, &stream));
    expect_notes(&notes, 2);
    CHECK_OK(stream_recv_async(stream, into, 4, notes_completion, &notes, NULL));
    CHECK_OK(sink_send(notes.accepted_sink, "abcd", 4, NULL));
    expect_notes(&notes, 3);
    CHECK_OK(sink_send_async(sink, "abcd", 4, notes_completion, &notes, NULL));
    expect_notes(&notes, 4);
    CHECK_OK(sink_flush_async(sink, notes_completion, &notes, NULL));
    expect_notes(&notes, 5);
    CHECK_OK(watch_data(notes.accepted_stream, notes_data, &notes));
    expect_notes(&notes, 6); /* the four bytes */
    CHECK_OK(stream_unwatch(notes.accepted_stream));
    expect_notes(&notes, 7); /* the last call */
    CHECK_OK(watch_sink(sink, NULL, notes_end, &notes));
    sink_close(sink);
    expect_notes(&notes, 8); /* all went out */
    CHECK_OK(stream_recv_async(stream, into, 4, notes_completion, &notes, &op));
    CHECK_OK(op_cancel(op));
    expect_notes(&notes, 9);
    CHECK_OK(op_release(op));
    CHECK_OK(listener_watch(listener, notes_connection, &notes));
    listener_close(listener);
    expect_notes(&notes, 10);
    CHECK_OK(net_dial_async(net, "127.0.0.1:1", NULL, notes_completion, &notes, NULL));
    expect_notes(&notes, 11);
    CHECK_OK(net_dial_async(net, "no-such-host.invalid:80", NULL, notes_completion, &notes, NULL));
    expect_notes(&notes, 12);
    stream_close(stream);
    sink_close(notes.accepted_sink);
    stream_close(notes.accepted_stream);
    CHECK_OK(net_call(net, 3600000, notes_completion, &notes, NULL));
    CHECK_OK(net_stop(net));
    expect_notes(&notes, 13); /* stopping completes it on the same thread too */
    for (int i = 0; i < notes.count; i++) {
        CHECK(pthread_equal(notes.threads[i], notes.threads[0]));
        CHECK(!pthread_equal(notes.threads[i], pthread_self()));
    }
}

TEST(two_nets_have_two_threads) {
    struct pair p = tcp_pair_apart();
    struct result first = RESULT, second = RESULT;

    CHECK_OK(net_call(p.a.net, 0, result_store, &first, NULL));
    CHECK_OK(net_call(p.b.net, 0, result_store, &second, NULL));
    result_wait(&first);
    result_wait(&second);
    CHECK(!pthread_equal(first.thread, second.thread));
    pair_close(&p);
}

/* a server and its clients that share plain variables without any lock */
struct shared {
    iouringnet_net *net;
    bool inside;
    uint64_t echoed; /* bytes; a race would lose some */
    uint64_t received;
    int clients_left;
    struct latch latch;
};
struct connection {
    struct shared *shared;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char byte[512];
    int rounds;
};
enum { CLIENTS = 20, ROUNDS = 100 };

static void enter(struct shared *shared) {
    CHECK(!shared->inside);
    shared->inside = true;
}

static size_t echoes(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *self = user;
    enter(self->shared);
    if (status == 0) {
        CHECK_OK(sink_post(self->sink, data, size));
        self->shared->echoed += size;
    } else {
        /* the test stops the net as soon as the clients are done */
        CHECK(status == IOURINGNET_EOF || status == IOURINGNET_STOPPED);
        sink_close(self->sink);
        stream_close(self->stream);
    }
    self->shared->inside = false;
    if (status != 0)
        free(self);
    return size;
}

static void accepts(void *user, const iouringnet_completion *done) {
    struct shared *shared = user;
    struct connection *self;

    if (done->status != 0)
        return;
    enter(shared);
    self = take(sizeof *self);
    *self = (struct connection){shared, done->sink, done->stream, {0}, 0};
    CHECK_OK(watch_data(self->stream, echoes, self));
    shared->inside = false;
}

static void client_round(void *user, const iouringnet_completion *done) {
    struct connection *self = user;
    struct shared *shared = self->shared;

    CHECK_OK(done->status);
    enter(shared);
    shared->received += done->bytes;
    if (++self->rounds == ROUNDS) {
        sink_close(self->sink);
        stream_close(self->stream);
        if (--shared->clients_left == 0)
            latch_open(&shared->latch);
    } else {
        CHECK_OK(sink_post(self->sink, self->byte, sizeof self->byte));
        CHECK_OK(stream_recv_async(self->stream, self->byte, sizeof self->byte, client_round, self, NULL));
    }
    shared->inside = false;
}

static void client_begins(void *user, const iouringnet_completion *done) {
    struct connection *self = user;

    CHECK_OK(done->status);
    enter(self->shared);
    self->sink = done->sink;
    self->stream = done->stream;
    CHECK_OK(sink_post(self->sink, self->byte, sizeof self->byte));
    CHECK_OK(stream_recv_async(self->stream, self->byte, sizeof self->byte, client_round, self, NULL));
    self->shared->inside = false;
}

TEST(no_mutex_is_needed) {
    static struct connection clients[CLIENTS];
    iouringnet_net *net = net_of_mode();
    struct shared shared = {net, false, 0, 0, CLIENTS, LATCH(1)};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);

    CHECK_OK(listener_watch(listener, accepts, &shared));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct connection){.shared = &shared};
        CHECK_OK(net_dial_async(net, address.text, NULL, client_begins, &clients[i], NULL));
    }
    latch_wait(&shared.latch);
    CHECK_OK(net_stop(net));
    CHECK_EQ(shared.received, (uint64_t)CLIENTS * ROUNDS * 512);
    CHECK_EQ(shared.echoed, (uint64_t)CLIENTS * ROUNDS * 512);
}

/* a submission inside a callback whose result is there at once still completes later, from the loop */
struct depth {
    struct pair *pair;
    bool in_call;
    int left;
    char into[8];
    struct latch latch;
};

static void goes_deeper(void *user, const iouringnet_completion *done) {
    struct depth *depth = user;

    CHECK_OK(done->status);
    CHECK(!depth->in_call);
    if (depth->left-- == 0) {
        latch_open(&depth->latch);
        return;
    }
    depth->in_call = true;
    switch (depth->left % 4) {
    case 0: CHECK_OK(sink_send_async(depth->pair->a.sink, "12345678", 8, goes_deeper, depth, NULL)); break;
    case 1: /* the bytes of the other case are buffered by now, or arrive later; both must hold */
        CHECK_OK(sink_post(depth->pair->a.sink, "12345678", 8));
        CHECK_OK(stream_recv_async(depth->pair->b.stream, depth->into, 8, goes_deeper, depth, NULL));
        break;
    case 2: CHECK_OK(stream_fill_async(depth->pair->b.stream, 0, goes_deeper, depth, NULL)); break;
    default: CHECK_OK(net_call(depth->pair->a.net, 0, goes_deeper, depth, NULL));
    }
    depth->in_call = false;
}

TEST(never_inside_a_library_call) {
    struct pair p = tcp_pair();
    struct depth depth = {&p, false, 4000, {0}, LATCH(1)};

    CHECK_OK(net_call(p.a.net, 0, goes_deeper, &depth, NULL));
    latch_wait(&depth.latch);
    pair_close(&p);
}

/* while a callback stands still, another thread can use the very same handles: no lock is held */
struct held {
    struct latch entered, leave, left;
};

static size_t stands_still(void *user, iouringnet_status status, const void *data, size_t size) {
    struct held *held = user;
    (void)data;
    if (status != 0) {
        latch_open(&held->left);
        return 0;
    }
    latch_open(&held->entered);
    latch_wait(&held->leave);
    return size;
}

static void stands_still_too(void *user, const iouringnet_completion *done) {
    struct held *held = user;
    CHECK_OK(done->status);
    latch_open(&held->entered);
    latch_wait(&held->leave);
    latch_open(&held->left);
}

TEST(no_lock_is_held_in_a_data_callback) {
    struct pair p = tcp_pair();
    struct held held = {LATCH(1), LATCH(1), LATCH(1)};
    iouringnet_sink_info info;
    iouringnet_stats stats;

    CHECK_OK(watch_data(p.b.stream, stands_still, &held));
    CHECK_OK(sink_post(p.a.sink, "x", 1));
    latch_wait(&held.entered);
    CHECK_OK(stream_set_timeout(p.b.stream, WAIT_MS));
    CHECK_OK(stream_pause(p.b.stream));
    CHECK_OK(stream_resume(p.b.stream));
    CHECK_STATUS(watch_data(p.b.stream, stands_still, &held), IOURINGNET_BUSY);
    CHECK_OK(sink_post(p.b.sink, "y", 1));
    CHECK_OK(sink_send(p.b.sink, "y", 1, NULL));
    CHECK_OK(sink_set_timeout(p.b.sink, WAIT_MS));
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(p.b.sink, &info));
    iouringnet_stats_init(&stats);
    CHECK_OK(net_stats(p.b.net, &stats));
    sink_close(p.b.sink);
    stream_close(p.b.stream);
    latch_open(&held.leave);
    latch_wait(&held.left);
    pair_close(&p);
}

TEST(no_lock_is_held_in_a_completion) {
    struct pair p = tcp_pair();
    struct held held = {LATCH(1), LATCH(1), LATCH(1)};
    iouringnet_op *op;
    char into[1];

    CHECK_OK(stream_recv_async(p.b.stream, into, 1, stands_still_too, &held, &op));
    CHECK_OK(sink_post(p.a.sink, "x", 1));
    latch_wait(&held.entered);
    CHECK_OK(op_cancel(op));
    /* done for a waiter means that the callback has returned */
    CHECK_STATUS(op_wait(op, 10, NULL), IOURINGNET_PENDING);
    CHECK_OK(stream_set_timeout(p.b.stream, WAIT_MS));
    CHECK_OK(sink_send(p.b.sink, "y", 1, NULL));
    latch_open(&held.leave);
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_EQ(latch_left(&held.left), 0);
    CHECK_OK(op_release(op));
    pair_close(&p);
}

/* a watch's calls show the bytes in order and its end last, however they are cut */
struct reader {
    uint64_t at;
    int ends;
    struct latch latch;
};

static size_t reads_pattern(void *user, iouringnet_status status, const void *data, size_t size) {
    struct reader *reader = user;
    CHECK_EQ(reader->ends, 0);
    if (status != 0) {
        CHECK_STATUS(status, IOURINGNET_EOF);
        CHECK(data == NULL && size == 0);
        reader->ends++;
        latch_open(&reader->latch);
        return 0;
    }
    pattern_check(data, size, reader->at, 5);
    reader->at += size;
    return size;
}

TEST(calls_of_one_handle_come_in_order) {
    enum { SIZE = 4 << 20 };
    struct pair p = tcp_pair();
    struct reader reader = {0, 0, LATCH(1)};
    char *data = take(SIZE);

    pattern_fill(data, SIZE, 0, 5);
    CHECK_OK(watch_data(p.b.stream, reads_pattern, &reader));
    for (size_t at = 0, piece = 1; at < SIZE; at += piece, piece = piece * 3 % 65521) {
        if (piece > SIZE - at)
            piece = SIZE - at;
        CHECK_OK(sink_send(p.a.sink, data + at, piece, NULL));
    }
    sink_close(p.a.sink);
    latch_wait(&reader.latch);
    CHECK_EQ(reader.at, SIZE);
    pair_close(&p);
    CHECK_EQ(reader.ends, 1);
    free(data);
}

static void uses_much_stack(void *user, const iouringnet_completion *done) {
    volatile char much[7 << 20];

    CHECK_OK(done->status);
    for (size_t i = 0; i < sizeof much; i += 4096)
        much[i] = 1;
    CHECK_EQ(much[0], 1);
    latch_open(user);
}

TEST(a_callback_has_8_mib_of_stack) {
    iouringnet_net *net = net_of_mode();
    struct latch latch = LATCH(1);

    CHECK_OK(net_call(net, 0, uses_much_stack, &latch, NULL));
    latch_wait(&latch);
    CHECK_OK(net_stop(net));
}
