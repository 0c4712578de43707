/* Promise 10, by net_stop_async: the stop does not wait, its callback is the net's last, and it is legal in callbacks. */

#include "own_loop.h"
#include "proc.h"

static atomic_int later; /* callbacks that were outstanding when the net stopped */

static void count_stopped(void *user, const iouringnet_completion *done) {
    (void)user;
    CHECK_STATUS(done->status, IOURINGNET_STOPPED);
    atomic_fetch_add(&later, 1);
}

/* the end of a stop: all other callbacks have run, and the net refuses work */
struct stopping {
    iouringnet_net *net;
    int before; /* callbacks that come before */
    struct result stop;
    iouringnet_status started;
};

static void last_of_all(void *user, const iouringnet_completion *done) {
    struct stopping *ending = user;
    iouringnet_status status = net_call(ending->net, 0, never, NULL, NULL);

    CHECK_EQ(later, ending->before);
    CHECK(status == IOURINGNET_STOPPED || status == IOURINGNET_BAD_HANDLE);
    result_store(&ending->stop, done);
}

static iouringnet_status status_of(iouringnet_net *net) {
    iouringnet_stats stats;

    iouringnet_stats_init(&stats);
    return net_stats(net, &stats);
}

static void stop_inside(void *user, const iouringnet_completion *done) {
    struct stopping *ending = user;

    CHECK_OK(done->status);
    CHECK_STATUS(net_stop(ending->net), IOURINGNET_IN_CALLBACK);
    ending->started = net_stop_async(ending->net, last_of_all, ending, NULL);
    CHECK_STATUS(net_call(ending->net, 0, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(net_stop_async(ending->net, never, NULL, NULL), IOURINGNET_STOPPED);
}

TEST(a_stop_begun_in_a_callback_ends_everything_and_its_callback_is_the_last) {
    enum { TIMERS = 100 };
    struct stopping ending = {.net = net_of_mode(), .before = TIMERS + 2, .stop = RESULT};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(ending.net, &address);
    struct mixed m = mixed_pair_in(ending.net, 0);
    char into[4];

    for (int i = 0; i < TIMERS; i++)
        CHECK_OK(net_call(ending.net, 60000, count_stopped, NULL, NULL));
    CHECK_OK(listener_accept_async(listener, count_stopped, NULL, NULL));
    CHECK_OK(stream_recv_async(m.stream, into, 4, count_stopped, NULL, NULL));
    CHECK_OK(net_call(ending.net, 0, stop_inside, &ending, NULL));
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    CHECK_OK(result_wait(&ending.stop));
    CHECK_OK(ending.started);
    EVENTUALLY(status_of(ending.net) == IOURINGNET_BAD_HANDLE);
    CHECK_EQ(ending.stop.calls, 1);
    CHECK_EQ(later, TIMERS + 2);
}

TEST(a_stop_that_cuts_bytes_says_so_later_too) {
    iouringnet_config config = config_of_mode();
    struct stopping ending = {.stop = RESULT};
    struct mixed m;

    config.shutdown_timeout_ms = 100;
    ending.net = net_with(&config);
    m = mixed_pair_in(ending.net, 16384);
    jam_sink(m.sink);
    CHECK_OK(net_stop_async(ending.net, last_of_all, &ending, NULL));
    CHECK_STATUS(net_stop_async(ending.net, never, NULL, NULL), IOURINGNET_STOPPED);
    CHECK_STATUS(result_wait(&ending.stop), IOURINGNET_TIMEOUT);
    raw_close(m.peer);
    EVENTUALLY(status_of(ending.net) == IOURINGNET_BAD_HANDLE);
}

TEST(a_stop_can_be_waited_for_by_an_op_and_by_another_stop) {
    for (int i = 0; i < 20; i++) {
        iouringnet_net *net = net_of_mode();
        iouringnet_op *op = NULL;
        iouringnet_status other;

        CHECK_STATUS(net_stop_async(net, NULL, NULL, NULL), IOURINGNET_INVALID);
        CHECK_OK(net_stop_async(net, NULL, NULL, &op));
        CHECK_OK(op_cancel(op)); /* has no effect */
        other = net_stop(net);
        CHECK(other == 0 || other == IOURINGNET_BAD_HANDLE);
        CHECK_OK(op_finish(op, NULL));
        EVENTUALLY(status_of(net) == IOURINGNET_BAD_HANDLE);
        CHECK_STATUS(net_stop_async(net, never, NULL, NULL), IOURINGNET_BAD_HANDLE);
    }
}

TEST(a_stop_without_waiting_leaves_no_thread_and_no_descriptor) {
    struct footprint before;
    struct result result = RESULT;
    iouringnet_net *net = net_of_mode();

    CHECK_OK(net_stop(net)); /* what the process keeps is there now */
    before = footprint();
    net = net_of_mode();
    CHECK_OK(net_stop_async(net, result_store, &result, NULL));
    CHECK_OK(result_wait(&result));
    footprint_returns(before);
}

/* ---- a net that the program dispatches ---- */

static void dispatched_net_stops(bool in_callback) {
    iouringnet_config config = own_loop_config();
    struct stopping ending = {.before = 2, .stop = RESULT};
    struct dialled dialled;
    iouringnet_status status = 0;
    char into[4];

    config.linger_ms = IOURINGNET_NO_LINGER;
    CHECK_OK(net_start(&config, &ending.net));
    dialled = dialled_in(ending.net);
    CHECK_OK(net_call(ending.net, 60000, count_stopped, NULL, NULL));
    CHECK_OK(stream_recv_async(dialled.stream, into, 4, count_stopped, NULL, NULL));
    if (in_callback)
        CHECK_OK(net_call(ending.net, 0, stop_inside, &ending, NULL));
    else
        CHECK_OK(net_stop_async(ending.net, last_of_all, &ending, NULL));
    while (status == 0)
        status = net_dispatch(ending.net, WAIT_MS);
    CHECK_STATUS(status, IOURINGNET_STOPPED);
    CHECK_EQ(ending.stop.calls, 1);
    CHECK(pthread_equal(ending.stop.thread, pthread_self()));
    CHECK_OK(ending.stop.done.status);
    CHECK_EQ(later, 2);
    EVENTUALLY(status_of(ending.net) == IOURINGNET_BAD_HANDLE);
    raw_expect_eof(dialled.peer);
    raw_close(dialled.peer);
}

TEST(a_dispatched_net_ends_by_a_stop_that_does_not_wait) {
    dispatched_net_stops(false);
}

TEST(a_dispatched_net_ends_by_a_stop_in_a_callback) {
    dispatched_net_stops(true);
}

/* the operations in flight are as many as the config allows */
TEST(a_stop_needs_no_room) {
    iouringnet_config config = config_of_mode();
    struct stopping ending = {.before = 1, .stop = RESULT};

    config.max_operations = 1;
    ending.net = net_with(&config);
    CHECK_OK(net_call(ending.net, 60000, count_stopped, NULL, NULL));
    CHECK_STATUS(net_call(ending.net, 0, never, NULL, NULL), IOURINGNET_LIMIT);
    CHECK_OK(net_stop_async(ending.net, last_of_all, &ending, NULL));
    CHECK_OK(result_wait(&ending.stop));
    EVENTUALLY(status_of(ending.net) == IOURINGNET_BAD_HANDLE);
}
