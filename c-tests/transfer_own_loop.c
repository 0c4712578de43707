/* A program's own loop: what net_dispatch returns, and what runs in it. */

#include "own_loop.h"
#include "proc.h"

/* ---- a watched echo ---- */

struct echo {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    pthread_t thread; /* that dispatches */
    int watches;
};

static size_t echoes(void *user, iouringnet_status status, const void *data, size_t size) {
    struct echo *echo = user;

    CHECK(pthread_equal(pthread_self(), echo->thread));
    if (status == 0) {
        CHECK_OK(sink_post(echo->sink, data, size));
        return size;
    }
    CHECK_STATUS(status, IOURINGNET_EOF);
    sink_close(echo->sink);
    stream_close(echo->stream);
    echo->watches--;
    return size;
}

static void accepts(void *user, const iouringnet_completion *done) {
    struct echo *echo = user;

    CHECK(pthread_equal(pthread_self(), echo->thread));
    if (done->status != 0)
        return;
    echo->sink = done->sink;
    echo->stream = done->stream;
    echo->watches++;
    CHECK_OK(watch_data(echo->stream, echoes, echo));
}

struct client {
    const char *address;
    iouringnet_net *net;
    atomic_bool done;
};

static void *client_run(void *user) {
    struct client *client = user;
    char got[64];
    int fd = raw_dial(client->address);

    for (int i = 0; i < 100; i++) {
        raw_send(fd, "ping of sixteen!", 16);
        raw_recv(fd, got, 16);
        CHECK_MEM(got, "ping of sixteen!", 16);
    }
    raw_half_close(fd);
    raw_expect_eof(fd);
    raw_close(fd);
    atomic_store(&client->done, true);
    CHECK_OK(net_wake(client->net));
    return NULL;
}

TEST(an_echo_runs_on_the_thread_that_dispatches) {
    iouringnet_net *net = own_loop();
    iouringnet_address address;
    struct echo echo = {.thread = pthread_self()};
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct client client = {.address = address.text, .net = net};
    iouringnet_status status = 0;
    pthread_t thread;

    CHECK_OK(listener_watch(listener, accepts, &echo));
    thread = spawn(client_run, &client);
    while (!atomic_load(&client.done) && status == 0)
        status = net_dispatch(net, IOURINGNET_NO_TIMEOUT);
    CHECK_OK(status);
    join(thread);
    DISPATCH_UNTIL(net, echo.watches == 0);
    CHECK_EQ(stats_of(net).engine, IOURINGNET_ENGINE_EPOLL);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(net_wake(net), IOURINGNET_BAD_HANDLE);
}

TEST(a_net_of_the_caller_has_no_receive_thread) {
    size_t threads = count_threads();
    iouringnet_net *net = own_loop();

    CHECK_EQ(count_threads(), threads + 1); /* the send loop's */
    CHECK_OK(net_stop(net));
    CHECK_EQ(count_threads(), threads);
}

/* ---- what it returns ---- */

TEST(a_dispatch_without_work_takes_its_time) {
    iouringnet_net *net = own_loop();
    int64_t began;

    dispatch_all(net);
    began = now_ms();
    CHECK_STATUS(net_dispatch(net, 60), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 60, 60 + patient(1000));
    began = now_ms();
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 0, patient(50));
    CHECK_STATUS(net_dispatch(net, -2), IOURINGNET_INVALID);
    CHECK_OK(net_stop(net));
}

static void count_call(void *user, const iouringnet_completion *done) {
    CHECK_OK(done->status);
    ++*(int *)user;
}

TEST(a_turn_runs_what_is_due_once) {
    iouringnet_net *net = own_loop();
    int calls = 0;

    for (int i = 0; i < 3; i++)
        CHECK_OK(net_call(net, 0, count_call, &calls, NULL));
    CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    DISPATCH_UNTIL(net, calls == 3);
    dispatch_all(net);
    CHECK_EQ(calls, 3);
    CHECK_OK(net_stop(net));
}

struct endless {
    iouringnet_net *net;
    int calls;
};

static void goes_on(void *user, const iouringnet_completion *done) {
    struct endless *endless = user;

    if (done->status != 0)
        return;
    endless->calls++;
    CHECK_OK(net_call(endless->net, 0, goes_on, endless, NULL));
}

TEST(a_callback_that_begins_the_next_leaves_it_to_a_later_turn) {
    iouringnet_net *net = own_loop();
    struct endless endless = {net, 0};

    CHECK_OK(net_call(net, 0, goes_on, &endless, NULL));
    for (int i = 0; i < 100; i++)
        CHECK_OK(net_dispatch(net, 1000));
    CHECK_BETWEEN(endless.calls, 20, 100);
    CHECK_OK(net_stop(net));
}

TEST(a_timer_ends_a_wait) {
    iouringnet_net *net = own_loop();
    int64_t began = now_ms();
    int calls = 0;

    CHECK_OK(net_call(net, 80, count_call, &calls, NULL));
    DISPATCH_UNTIL(net, calls == 1);
    CHECK_BETWEEN(now_ms() - began, 80, 80 + patient(2000));
    CHECK_OK(net_stop(net));
}

/* ---- wakes and signals ---- */

struct waking {
    iouringnet_net *net;
    struct latch *go;
    atomic_bool woken;
};

static void *wakes(void *user) {
    struct waking *waking = user;

    latch_wait(waking->go);
    pass(30);
    atomic_store(&waking->woken, true);
    CHECK_OK(net_wake(waking->net));
    return NULL;
}

TEST(a_wake_ends_the_present_dispatch_or_the_next) {
    iouringnet_net *net = own_loop();
    struct latch go = LATCH(1);
    struct waking waking = {.net = net, .go = &go};
    pthread_t thread = spawn(wakes, &waking);

    dispatch_all(net);
    latch_open(&go);
    CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK(atomic_load(&waking.woken));
    join(thread);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_TIMEOUT); /* one wake, one return */
    CHECK_OK(net_wake(net));
    CHECK_OK(net_wake(net));
    CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_TIMEOUT);
    CHECK_OK(net_stop(net));
}

static iouringnet_net *signalled_net;
static volatile sig_atomic_t signals;

static void on_signal(int number) {
    (void)number;
    signals++;
    if (signalled_net) {
        errno = 77;
        if (net_wake(signalled_net) != 0 || errno != 77)
            _exit(3);
    }
}

static void handle_alarm(iouringnet_net *net) {
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    signalled_net = net;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static void *signals_main(void *user) {
    pthread_t *main_thread = user;

    pass(60);
    CHECK_EQ(pthread_kill(*main_thread, SIGUSR1), 0);
    return NULL;
}

TEST(a_signal_handler_on_the_thread_ends_a_wait) {
    iouringnet_net *net = own_loop();
    pthread_t self = pthread_self(), thread;

    handle_alarm(NULL);
    dispatch_all(net);
    thread = spawn(signals_main, &self);
    CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK_EQ(signals, 1);
    join(thread);
    CHECK_OK(net_stop(net));
}

TEST(a_signal_handler_wakes_the_next_dispatch) {
    iouringnet_net *net = own_loop();

    dispatch_all(net);
    handle_alarm(net);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(signals, 1);
    CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_TIMEOUT);
    CHECK_OK(net_stop(net));
}

/* ---- ops ---- */

struct sending {
    iouringnet_net *net;
    int peer;
    size_t size;
};

static void *reads_all(void *user) {
    struct sending *sending = user;
    char *into = take(sending->size);

    pass(60);
    raw_recv(sending->peer, into, sending->size);
    free(into);
    return NULL;
}

/* the send loop ends the op, on a thread of its own */
TEST(an_op_that_another_thread_ends_ends_a_wait) {
    enum { SIZE = 16 << 20 };
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    struct sending sending = {net, dialled.peer, SIZE};
    char *data = take(SIZE);
    iouringnet_op *op;
    pthread_t thread;
    iouringnet_status status;

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(dialled.sink, data, SIZE, NULL, NULL, &op));
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    CHECK_STATUS(op_wait(op, 10, NULL), IOURINGNET_IN_CALLBACK);
    thread = spawn(reads_all, &sending);
    while ((status = op_wait(op, 0, NULL)) == IOURINGNET_PENDING)
        CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(status);
    join(thread);
    CHECK_OK(op_release(op));
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(an_op_that_the_turn_ends_ends_a_wait) {
    iouringnet_net *net = own_loop();
    struct dialled dialled = dialled_in(net);
    char into[4];
    iouringnet_op *op;
    iouringnet_status status;

    CHECK_OK(stream_recv_async(dialled.stream, into, 4, NULL, NULL, &op));
    dispatch_all(net);
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    raw_send(dialled.peer, "abcd", 4);
    while ((status = op_wait(op, 0, NULL)) == IOURINGNET_PENDING)
        CHECK_OK(net_dispatch(net, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(status);
    CHECK_MEM(into, "abcd", 4);
    CHECK_OK(op_release(op));
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

/* ---- several nets ---- */

TEST(one_thread_dispatches_two_nets) {
    iouringnet_net *first = own_loop(), *second = own_loop();
    int calls[2] = {0, 0};

    CHECK_OK(net_call(first, 0, count_call, &calls[0], NULL));
    CHECK_OK(net_call(second, 0, count_call, &calls[1], NULL));
    DISPATCH_UNTIL(second, calls[1] == 1);
    CHECK_EQ(calls[0], 0);
    DISPATCH_UNTIL(first, calls[0] == 1);
    CHECK_EQ(calls[1], 1);
    CHECK_OK(net_stop(first));
    CHECK_OK(net_call(second, 0, count_call, &calls[1], NULL));
    DISPATCH_UNTIL(second, calls[1] == 2);
    CHECK_OK(net_stop(second));
}

/* ---- the config ---- */

TEST(what_cannot_be_with_a_loop_of_the_caller_is_refused) {
    iouringnet_config config = own_loop_config();
    iouringnet_net *net = NULL;

    config.engine = IOURINGNET_ENGINE_IO_URING;
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    config = own_loop_config();
    config.recv_cpu = IOURINGNET_CPU(0);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    config = own_loop_config();
    config.dispatch = 2;
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    CHECK(net == NULL);
}
