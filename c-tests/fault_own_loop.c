/* A program's own loop: which threads may do what, how it stops, and how it breaks. */

#include "own_loop.h"

static void count_call(void *user, const iouringnet_completion *done) {
    if (done->status == 0)
        ++*(int *)user;
}

/* ---- which thread ---- */

static void *dispatches_elsewhere(void *user) {
    CHECK_STATUS(net_dispatch(user, 0), IOURINGNET_INVALID);
    CHECK_STATUS(net_dispatch(user, IOURINGNET_NO_TIMEOUT), IOURINGNET_INVALID);
    return NULL;
}

TEST(another_thread_does_not_dispatch) {
    iouringnet_net *net = own_loop();
    int calls = 0;

    CHECK_OK(net_call(net, 0, count_call, &calls, NULL));
    join(spawn(dispatches_elsewhere, net));
    CHECK_EQ(calls, 0);
    DISPATCH_UNTIL(net, calls == 1);
    CHECK_OK(net_stop(net));
}

struct inside {
    iouringnet_net *own, *other;
    int calls;
};

static void tries_inside(struct inside *inside) {
    iouringnet_config config = own_loop_config();
    iouringnet_net *net = NULL;
    int fd = -1;

    CHECK_STATUS(net_dispatch(inside->own, 0), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(net_stop(inside->own), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_IN_CALLBACK);
    CHECK(net == NULL);
    CHECK_OK(net_wake(inside->own));
    CHECK_OK(net_fd(inside->own, &fd));
    inside->calls++;
}

static void tries_in_completion(void *user, const iouringnet_completion *done) {
    CHECK_OK(done->status);
    tries_inside(user);
}

static void tries_in_call(void *user) {
    tries_inside(user);
}

TEST(nobody_dispatches_inside_a_callback) {
    struct inside inside = {own_loop(), net_of_mode(), 0};

    CHECK_OK(net_call(inside.own, 0, tries_in_completion, &inside, NULL));
    DISPATCH_UNTIL(inside.own, inside.calls == 1);
    on_callback_thread(inside.other, tries_in_call, &inside);
    CHECK_EQ(inside.calls, 2);
    CHECK_OK(net_stop(inside.other));
    CHECK_OK(net_stop(inside.own));
}

/* ---- calls that wait ---- */

TEST(the_dispatching_thread_does_not_wait_for_itself) {
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct iovec part = {&dialled, 4};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *named = NULL;
    iouringnet_sink *sink = NULL;
    iouringnet_stream *stream = NULL;
    iouringnet_op *op;
    size_t count = 7;
    char into[8];

    raw_send(dialled.peer, "abcd", 4);
    EVENTUALLY(raw_unacknowledged(dialled.peer) == 0);
    CHECK_STATUS(net_dial(net, address.text, NULL, &sink, &stream), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(listener_accept(listener, &sink, &stream), IOURINGNET_IN_CALLBACK);
    CHECK(sink == NULL && stream == NULL);
    CHECK_STATUS(sink_send(dialled.sink, "abcd", 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_EQ(count, 0);
    CHECK_STATUS(sink_sendv(dialled.sink, &part, 1, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(sink_flush(dialled.sink), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_recv(dialled.stream, into, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_recv_some(dialled.stream, into, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_fill(dialled.stream, 4), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_fill_until(dialled.stream, "d", 1, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_OK(net_call(net, 0, NULL, NULL, &op));
    CHECK_STATUS(op_wait(op, 1, NULL), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(op_wait(op, IOURINGNET_NO_TIMEOUT, NULL), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    DISPATCH_UNTIL(net, op_wait(op, 0, NULL) == 0);
    CHECK_OK(op_release(op));
    CHECK_OK(net_bind(net, "localhost:0", NULL, &named));

    /* refused means that nothing was sent or taken */
    CHECK_OK(stream_recv_async(dialled.stream, into, 4, NULL, NULL, &op));
    DISPATCH_UNTIL(net, op_wait(op, 0, NULL) == 0);
    CHECK_MEM(into, "abcd", 4);
    CHECK_OK(op_release(op));
    CHECK_OK(sink_post(dialled.sink, "xy", 2));
    raw_recv(dialled.peer, into, 2);
    CHECK_MEM(into, "xy", 2);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

/* another net's handles are another matter: their net has a thread of its own */
TEST(the_dispatching_thread_may_wait_for_another_net) {
    iouringnet_net *net = own_loop();
    struct pair pair = tcp_pair();
    char into[4];

    CHECK_OK(sink_send(pair.a.sink, "abcd", 4, NULL));
    CHECK_OK(stream_recv(pair.b.stream, into, 4, NULL));
    pair_close(&pair);
    CHECK_OK(net_stop(net));
}

struct caller {
    iouringnet_net *net;
    const char *address;
    int listener;
    atomic_bool done;
};

static void *calls_and_waits(void *user) {
    struct caller *caller = user;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;
    char into[4];
    size_t size;
    int peer;

    CHECK_OK(net_dial(caller->net, caller->address, NULL, &sink, &stream));
    peer = raw_accept(caller->listener);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(sink_send(sink, "ping", 4, NULL));
        raw_recv(peer, into, 4);
        raw_send(peer, "pong", 4);
        CHECK_OK(stream_recv(stream, into, 4, NULL));
        CHECK_MEM(into, "pong", 4);
    }
    raw_send(peer, "line\n", 5);
    CHECK_OK(stream_fill_until(stream, "\n", 1, 64, &size));
    CHECK_EQ(size, 5);
    CHECK_OK(stream_consume(stream, size));
    CHECK_OK(stream_recv_async(stream, into, 4, NULL, NULL, &op)); /* the receive loop serves it */
    raw_send(peer, "late", 4);
    CHECK_OK(op_wait(op, IOURINGNET_NO_TIMEOUT, NULL));
    CHECK_MEM(into, "late", 4);
    CHECK_OK(op_release(op));
    CHECK_OK(net_call(caller->net, 20, NULL, NULL, &op));
    CHECK_OK(op_wait(op, IOURINGNET_NO_TIMEOUT, NULL));
    CHECK_OK(op_release(op));
    CHECK_OK(sink_flush(sink));
    sink_close(sink);
    stream_close(stream);
    raw_expect_eof(peer);
    raw_close(peer);
    atomic_store(&caller->done, true);
    CHECK_OK(net_wake(caller->net));
    return NULL;
}

TEST(other_threads_wait_while_somebody_dispatches) {
    iouringnet_net *net = own_loop();
    iouringnet_address address;
    struct caller caller = {.net = net, .listener = raw_listen(&address), .address = address.text};
    pthread_t thread = spawn(calls_and_waits, &caller);

    while (!atomic_load(&caller.done))
        CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    join(thread);
    raw_close(caller.listener);
    CHECK_OK(net_stop(net));
}

/* ---- the stop ---- */

struct ended {
    iouringnet_status status;
    int calls;
    pthread_t thread;
};

static void note_end(void *user, const iouringnet_completion *done) {
    struct ended *ended = user;

    ended->status = done->status;
    ended->calls++;
    ended->thread = pthread_self();
}

static size_t note_data_end(void *user, iouringnet_status status, const void *data, size_t size) {
    struct ended *ended = user;

    (void)data;
    if (status != 0) {
        ended->status = status;
        ended->calls++;
        ended->thread = pthread_self();
    }
    return size;
}

static void ended_here(const struct ended *ended, iouringnet_status status) {
    CHECK_EQ(ended->calls, 1);
    CHECK_STATUS(ended->status, status);
    CHECK(pthread_equal(ended->thread, pthread_self()));
}

TEST(a_stop_on_the_dispatching_thread_runs_what_is_left) {
    enum { SIZE = 4 << 20 };
    iouringnet_net *net = own_loop();
    struct dialled one = dialled_in(net), two = dialled_in(net);
    struct ended recv = {0}, watch = {0}, timer = {0};
    struct reader reader = {one.peer, SIZE, 3};
    char into[4], *data = take(SIZE);
    iouringnet_status posted;
    pthread_t thread;

    pattern_fill(data, SIZE, 0, 3);
    CHECK_OK(stream_recv_async(one.stream, into, 4, note_end, &recv, NULL));
    CHECK_OK(watch_data(two.stream, note_data_end, &watch));
    CHECK_OK(net_call(net, 3600000, note_end, &timer, NULL));
    posted = sink_post(one.sink, data, SIZE); /* the mark is looked at before, so it takes all */
    CHECK_OK(posted);
    thread = spawn(reader_run, &reader);
    raw_half_close(two.peer);
    CHECK_OK(net_stop(net));
    ended_here(&recv, IOURINGNET_STOPPED);
    CHECK_EQ(watch.calls, 1); /* the peer's end or the stop, which came first */
    ended_here(&timer, IOURINGNET_STOPPED);
    join(thread);
    raw_close(one.peer);
    raw_close(two.peer);
    free(data);
}

TEST(a_stop_that_cuts_says_so) {
    enum { SIZE = 8 << 20 };
    iouringnet_config config = own_loop_config();
    iouringnet_net *net;
    struct dialled dialled;
    struct ended send = {0};
    char *data = take(SIZE);
    int64_t began;

    config.shutdown_timeout_ms = 100;
    CHECK_OK(net_start(&config, &net));
    dialled = dialled_in(net);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(dialled.sink, data, SIZE, note_end, &send, NULL));
    began = now_ms();
    CHECK_STATUS(net_stop(net), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 100, 100 + patient(3000));
    ended_here(&send, IOURINGNET_STOPPED);
    raw_close(dialled.peer);
    free(data);
}

static bool is_stopping(iouringnet_net *net) {
    iouringnet_listener *listener;
    iouringnet_status status = net_bind(net, "127.0.0.1:0", NULL, &listener);

    if (status == 0)
        listener_close(listener);
    return status == IOURINGNET_STOPPED;
}

/* The send loop ends the last sink, on its own thread, and no callback tells of it. */
TEST(a_stop_that_cuts_posts_ends) {
    enum { SIZE = 8 << 20 };
    iouringnet_config config = own_loop_config();
    iouringnet_net *net;
    struct dialled dialled;
    char *data = take(SIZE);
    int64_t began;

    config.shutdown_timeout_ms = 100;
    config.linger_ms = IOURINGNET_NO_LINGER;
    CHECK_OK(net_start(&config, &net));
    dialled = dialled_in(net);
    memset(data, 1, SIZE);
    CHECK_OK(sink_post(dialled.sink, data, SIZE));
    stream_close(dialled.stream);
    dispatch_all(net);
    began = now_ms();
    CHECK_STATUS(net_stop(net), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 100, 100 + patient(3000));
    raw_close(dialled.peer);
    free(data);
}

struct stopping {
    iouringnet_net *net;
    iouringnet_status status;
    atomic_bool stopped;
};

static void *stops(void *user) {
    struct stopping *stopping = user;

    stopping->status = net_stop(stopping->net);
    atomic_store(&stopping->stopped, true);
    return NULL;
}

TEST(dispatches_carry_out_the_stop_of_another_thread) {
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct ended recv = {0};
    struct stopping stopping = {.net = net};
    iouringnet_status status;
    char into[4];
    pthread_t thread;

    CHECK_OK(stream_recv_async(dialled.stream, into, 4, note_end, &recv, NULL));
    dispatch_all(net);
    thread = spawn(stops, &stopping);
    EVENTUALLY(is_stopping(net));
    pass(30);
    CHECK(!atomic_load(&stopping.stopped)); /* nobody dispatches */
    CHECK_EQ(recv.calls, 0);
    raw_half_close(dialled.peer);
    while ((status = net_dispatch(net, IOURINGNET_NO_TIMEOUT)) == 0)
        ;
    CHECK_STATUS(status, IOURINGNET_STOPPED);
    ended_here(&recv, IOURINGNET_STOPPED);
    join(thread);
    CHECK_OK(stopping.status);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_BAD_HANDLE);
    raw_close(dialled.peer);
}

TEST(the_dispatching_thread_may_join_a_stop) {
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct stopping stopping = {.net = net};
    pthread_t thread = spawn(stops, &stopping);
    iouringnet_status status;

    EVENTUALLY(is_stopping(net));
    raw_half_close(dialled.peer);
    status = net_stop(net);
    CHECK(status == 0 || status == IOURINGNET_BAD_HANDLE);
    join(thread);
    CHECK_OK(stopping.status);
    raw_close(dialled.peer);
}

static void *wakes_until_stopped(void *user) {
    iouringnet_status status;

    while ((status = net_wake(user)) == 0)
        ;
    CHECK_STATUS(status, IOURINGNET_BAD_HANDLE);
    return NULL;
}

TEST(wakes_meet_a_stop) {
    for (int i = 0; i < 20; i++) {
        iouringnet_net *net = own_loop();
        pthread_t one = spawn(wakes_until_stopped, net), two = spawn(wakes_until_stopped, net);

        for (int turn = 0; turn < 10; turn++)
            CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
        CHECK_OK(net_stop(net));
        join(one);
        join(two);
    }
}

/* ---- the thread ends ---- */

struct abandoning {
    iouringnet_net *net;
    struct dialled dialled;
    struct ended recv, timer;
    struct latch ready, go;
    char into[4];
    pthread_t thread;
};

static void *abandons(void *user) {
    struct abandoning *self = user;

    self->thread = pthread_self();
    self->net = own_loop();
    self->dialled = dialled_in(self->net);
    CHECK_OK(stream_recv_async(self->dialled.stream, self->into, 4, note_end, &self->recv, NULL));
    CHECK_OK(net_call(self->net, 3600000, note_end, &self->timer, NULL));
    dispatch_all(self->net);
    latch_open(&self->ready);
    latch_wait(&self->go);
    return NULL;
}

static void *waits_for_a_call(void *user) {
    iouringnet_op *op = user;
    iouringnet_completion done;

    iouringnet_completion_init(&done);
    CHECK_OK(op_wait(op, IOURINGNET_NO_TIMEOUT, &done));
    CHECK_STATUS(done.status, IOURINGNET_PANIC);
    CHECK_OK(op_release(op));
    return NULL;
}

TEST(a_thread_that_ends_takes_its_net_with_it) {
    struct abandoning self = {.ready = LATCH(1), .go = LATCH(1)};
    size_t descriptors = count_entries("/proc/self/fd");
    pthread_t thread = spawn(abandons, &self), waiter;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;

    latch_wait(&self.ready);
    CHECK_OK(net_call(self.net, 3600000, NULL, NULL, &op));
    waiter = spawn(waits_for_a_call, op);
    latch_open(&self.go);
    join(thread);
    join(waiter);
    CHECK_EQ(self.recv.calls, 1);
    CHECK_STATUS(self.recv.status, IOURINGNET_PANIC);
    CHECK(pthread_equal(self.recv.thread, self.thread));
    CHECK_EQ(self.timer.calls, 1);
    CHECK_STATUS(self.timer.status, IOURINGNET_PANIC);
    raw_expect_reset(self.dialled.peer);
    raw_close(self.dialled.peer);
    CHECK_STATUS(net_dial(self.net, "127.0.0.1:9", NULL, &sink, &stream), IOURINGNET_PANIC);
    CHECK_STATUS(sink_post(self.dialled.sink, "x", 1), IOURINGNET_PANIC);
    CHECK_STATUS(net_call(self.net, 0, never, NULL, NULL), IOURINGNET_PANIC);
    CHECK_STATUS(net_dispatch(self.net, 0), IOURINGNET_INVALID);
    CHECK_OK(net_stop(self.net));
    CHECK_EQ(count_entries("/proc/self/fd"), descriptors);
    CHECK_STATUS(net_stop(self.net), IOURINGNET_BAD_HANDLE);
}

static void must_not_run(void *user, const iouringnet_completion *done) {
    (void)user;
    (void)done;
    _exit(9);
}

/* The end of the process is not the end of the thread: the program's state may be gone. */
TEST(the_end_of_the_process_runs_no_callback) {
    if (part_is("exits")) {
        iouringnet_net *net = own_loop();

        CHECK_OK(net_call(net, 3600000, must_not_run, NULL, NULL));
        dispatch_all(net);
        exit(0);
    }
    CHECK_EQ(part_run("the_end_of_the_process_runs_no_callback", "exits"), 0);
}

/* ---- a loop dies ---- */

static void refuse_epoll(enum reach reach) {
#ifdef SYS_epoll_wait
    refuse_call(SYS_epoll_wait, EPERM, reach);
#endif
    refuse_call(SYS_epoll_pwait, EPERM, reach);
    refuse_call(SYS_epoll_pwait2, EPERM, reach);
}

static void is_dead(iouringnet_net *net, int fd) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    for (int i = 0; i < 3; i++) {
        CHECK(is_readable(fd, 0));
        CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_PANIC);
        CHECK_STATUS(net_dispatch(net, IOURINGNET_NO_TIMEOUT), IOURINGNET_PANIC);
    }
    CHECK_STATUS(net_call(net, 0, never, NULL, NULL), IOURINGNET_PANIC);
    CHECK_STATUS(net_dial(net, "127.0.0.1:9", NULL, &sink, &stream), IOURINGNET_IN_CALLBACK);
}

TEST(a_loop_that_dies_says_panic) {
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct ended recv = {0}, timer = {0};
    char into[4];
    int fd;

    CHECK_OK(net_fd(net, &fd));
    CHECK_OK(stream_recv_async(dialled.stream, into, 4, note_end, &recv, NULL));
    CHECK_OK(net_call(net, 3600000, note_end, &timer, NULL));
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    refuse_epoll(THIS_THREAD);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_PANIC);
    for (int i = 0; i < 1000 && (recv.calls == 0 || timer.calls == 0); i++)
        CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_PANIC);
    ended_here(&recv, IOURINGNET_PANIC);
    ended_here(&timer, IOURINGNET_PANIC);
    is_dead(net, fd);
    raw_expect_reset(dialled.peer);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

static int lowest_free_descriptor(void) {
    int fd = dup(0);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
    return fd;
}

/* The waits of the send loop alone: a net makes two eventfds, and then the send loop's epoll descriptor. */
static void refuse_send_loop(int first_descriptor) {
    uint32_t epoll = (uint32_t)first_descriptor + 2;

#ifdef SYS_epoll_wait
    refuse_call_where(SYS_epoll_wait, WHERE_ARGUMENT_IS, 0, epoll, EPERM, EVERY_THREAD);
#endif
    refuse_call_where(SYS_epoll_pwait, WHERE_ARGUMENT_IS, 0, epoll, EPERM, EVERY_THREAD);
    refuse_call_where(SYS_epoll_pwait2, WHERE_ARGUMENT_IS, 0, epoll, EPERM, EVERY_THREAD);
}

/* the send loop has its own thread, and dies while nobody dispatches */
TEST(a_send_loop_that_dies_makes_the_descriptor_readable) {
    enum { SIZE = 8 << 20 };
    int first = lowest_free_descriptor(), fd;
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct ended recv = {0}, send = {0};
    char into[4], *data = take(SIZE);

    memset(data, 1, SIZE);
    CHECK_OK(net_fd(net, &fd));
    CHECK_OK(stream_recv_async(dialled.stream, into, 4, note_end, &recv, NULL));
    dispatch_all(net);
    refuse_send_loop(first);
    CHECK_OK(sink_send_async(dialled.sink, data, SIZE, note_end, &send, NULL)); /* wakes up the send loop */
    CHECK(is_readable(fd, WAIT_MS));
    for (int i = 0; i < 1000 && (recv.calls == 0 || send.calls == 0); i++) {
        iouringnet_status status = net_dispatch(net, 10);

        CHECK(status == IOURINGNET_PANIC || status == 0);
        nap();
    }
    if (recv.status != -ECONNRESET) /* the dying loop resets the connection before it has told the stream */
        ended_here(&recv, IOURINGNET_PANIC);
    CHECK_EQ(recv.calls, 1);
    CHECK_EQ(send.calls, 1);
    is_dead(net, fd);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

/* ---- a forked child ---- */

TEST(a_child_has_no_loop) {
    iouringnet_net *net = own_loop();
    int calls = 0, fd = -1;
    pid_t pid;

    CHECK_OK(net_call(net, 0, count_call, &calls, NULL));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child_begin();
        CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_FORKED);
        CHECK_STATUS(net_wake(net), IOURINGNET_FORKED);
        CHECK_STATUS(net_fd(net, &fd), IOURINGNET_FORKED);
        CHECK_EQ(calls, 0);
#ifdef __SANITIZE_ADDRESS__
        _exit(0); /* the memory of the parent's loops is copied, and nothing in the child points at all of it */
#endif
        pthread_exit(NULL);
    }
    CHECK_EQ(child_wait(pid), 0);
    DISPATCH_UNTIL(net, calls == 1);
    CHECK_OK(net_stop(net));
}
