/* net_call: a timer, and the way onto the callback thread.
   Rule: Timers. */

#include "support.h"

/* calls that a callback begins a while before it returns, so that the loop first sees them when part of their delay is over */
struct begun_early {
    iouringnet_net *net;
    int64_t began_us, ran_us;
    struct latch over;
};

static void ran(void *user, const iouringnet_completion *done) {
    struct begun_early *call = user;

    CHECK_OK(done->status);
    call->ran_us = now_us();
    latch_open(&call->over);
}

static void begins_and_goes_on(void *user) {
    struct begun_early *call = user;

    call->began_us = now_us();
    CHECK_OK(net_call(call->net, 2, ran, call, NULL));
    while (now_us() < call->began_us + 1500)
        ;
}

TEST(a_timer_fires_no_part_of_a_millisecond_early) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 50; i++) {
        struct begun_early call = {net, 0, 0, LATCH(1)};

        on_callback_thread(net, begins_and_goes_on, &call);
        latch_wait(&call.over);
        CHECK_BETWEEN(call.ran_us - call.began_us, 2000, WAIT_MS * 1000);
    }
    CHECK_OK(net_stop(net));
}

struct timed {
    struct result result;
    int64_t at;
};

static void timed_store(void *user, const iouringnet_completion *done) {
    struct timed *timed = user;

    timed->at = now_ms();
    result_store(&timed->result, done);
}

TEST(a_timer_never_fires_early) {
    static const int64_t delays[] = {0, 1, 2, 5, 20, 50, 100};
    iouringnet_net *net = net_of_mode();
    struct timed timed[sizeof delays / sizeof *delays];
    int64_t began = now_ms();

    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        result_init(&timed[i].result);
        CHECK_OK(net_call(net, delays[i], timed_store, &timed[i], NULL));
    }
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        CHECK_OK(result_wait(&timed[i].result));
        /* a clock that counts whole milliseconds may show one less than has passed */
        CHECK_BETWEEN(timed[i].at - began, delays[i] - 1, WAIT_MS);
        CHECK_EQ(timed[i].result.done.bytes, 0);
        CHECK(timed[i].result.done.sink == NULL && timed[i].result.done.stream == NULL);
    }
    CHECK_OK(net_stop(net));
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        CHECK_EQ(timed[i].result.calls, 1);
}

/* notes the order of the callbacks; the callback thread alone writes it */
struct order {
    struct latch latch;
    int next;
    int seen[256];
};

struct ordered {
    struct order *order;
    int number;
};

static void ordered_store(void *user, const iouringnet_completion *done) {
    struct ordered *ordered = user;

    CHECK_OK(done->status);
    ordered->order->seen[ordered->order->next++] = ordered->number;
    latch_open(&ordered->order->latch);
}

TEST(timers_fire_in_the_order_of_their_times) {
    enum { TIMERS = 40 };
    iouringnet_net *net = net_of_mode();
    struct order order = {LATCH(TIMERS), 0, {0}};
    struct ordered ordered[TIMERS];
    int64_t earliest[TIMERS], latest[TIMERS];
    int compared = 0;

    for (int i = 0; i < TIMERS; i++) {
        int64_t delay_ms = 20 + 5 * (i * 7 % TIMERS);

        ordered[i] = (struct ordered){&order, i};
        earliest[i] = now_ms() + delay_ms;
        CHECK_OK(net_call(net, delay_ms, ordered_store, &ordered[i], NULL));
        latest[i] = now_ms() + delay_ms + 1;
    }
    latch_wait(&order.latch);
    /* this thread may have been held up between two calls, so only times that are surely apart count */
    for (int i = 0; i < TIMERS; i++)
        for (int j = i + 1; j < TIMERS; j++) {
            int first = order.seen[i], second = order.seen[j];

            CHECK(earliest[first] <= latest[second]);
            compared += latest[first] < earliest[second];
        }
    CHECK(compared > 0);
    CHECK_OK(net_stop(net));
}

static void calls_in_order(int64_t delay_ms) {
    enum { CALLS = 256 };
    iouringnet_net *net = net_of_mode();
    struct order order = {LATCH(CALLS), 0, {0}};
    struct ordered ordered[CALLS];

    for (int i = 0; i < CALLS; i++) {
        ordered[i] = (struct ordered){&order, i};
        CHECK_OK(net_call(net, delay_ms, ordered_store, &ordered[i], NULL));
    }
    latch_wait(&order.latch);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(order.seen[i], i);
    CHECK_OK(net_stop(net));
}

TEST(calls_without_delay_run_in_order) {
    calls_in_order(0);
}

TEST(calls_of_one_delay_run_in_order) {
    calls_in_order(30);
}

/* what keeps the callback thread while two timers of one delay come due */
struct two_timers {
    iouringnet_net *net;
    iouringnet_sink *sink;
    struct result first, second;
    int64_t due;
    int order;
    int place[2];
};

enum { DELAY_MS = 10 };

static void first_store(void *user, const iouringnet_completion *done) {
    struct two_timers *timers = user;

    timers->place[0] = timers->order++;
    result_store(&timers->first, done);
}

static void second_store(void *user, const iouringnet_completion *done) {
    struct two_timers *timers = user;

    timers->place[1] = timers->order++;
    result_store(&timers->second, done);
}

static void takes_until_both_are_due(void *user, const iouringnet_completion *done) {
    struct two_timers *timers = user;

    CHECK_OK(done->status);
    while (now_ms() <= timers->due + 5)
        ;
}

/* the second timer comes to the loop in the same round as a callback that outlasts both times */
static void begins_the_second(void *user, const iouringnet_completion *done) {
    struct two_timers *timers = user;

    CHECK_OK(done->status);
    CHECK_OK(sink_send_async(timers->sink, NULL, 0, takes_until_both_are_due, timers, NULL));
    CHECK_OK(net_call(timers->net, DELAY_MS, second_store, timers, NULL));
    while (now_ms() < timers->due - 1)
        ;
}

static void begins_the_first(void *user) {
    struct two_timers *timers = user;

    timers->due = now_ms() + DELAY_MS;
    CHECK_OK(net_call(timers->net, DELAY_MS, first_store, timers, NULL));
    CHECK_OK(net_call(timers->net, 1, begins_the_second, timers, NULL));
}

TEST(calls_of_one_delay_run_in_order_behind_a_long_callback) {
    struct pair p = tcp_pair();

    for (int i = 0; i < 25; i++) {
        struct two_timers timers = {p.a.net, p.a.sink, RESULT, RESULT, 0, 0, {0, 0}};

        on_callback_thread(p.a.net, begins_the_first, &timers);
        CHECK_OK(result_wait(&timers.first));
        CHECK_OK(result_wait(&timers.second));
        CHECK_EQ(timers.place[0], 0);
        CHECK_EQ(timers.place[1], 1);
    }
    pair_close(&p);
}

TEST(a_cancelled_timer_is_told_at_once) {
    iouringnet_net *net = net_of_mode();
    struct result timer = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_call(net, 3600 * 1000, result_store, &timer, &op));
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    CHECK_STATUS(op_wait(op, 20, NULL), IOURINGNET_PENDING);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&timer), IOURINGNET_CANCELLED);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(net_stop(net));
    CHECK_EQ(timer.calls, 1);
}

TEST(cancelled_timers_leave_nothing_until_their_time) {
    enum { BATCHES = 20, WARM = 4, BATCH = 500 };
    iouringnet_net *net = net_of_mode();
    iouringnet_op *ops[BATCH];
    size_t heap = 0, grown;

    for (int batch = 0; batch < BATCHES; batch++) {
        if (batch == WARM)
            heap = heap_in_use();
        for (int i = 0; i < BATCH; i++)
            CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &ops[i]));
        settle(net); /* the loop minds their times */
        for (int i = 0; i < BATCH; i++)
            CHECK_OK(op_cancel(ops[i]));
        for (int i = 0; i < BATCH; i++)
            CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
        settle(net);
        CHECK_EQ(stats_of(net).operations, 0);
    }
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    CHECK_BETWEEN(grown, 0, (BATCHES - WARM) * BATCH * 16);
    CHECK_OK(net_stop(net));
}

TEST(a_cancel_that_comes_too_late_changes_nothing) {
    iouringnet_net *net = net_of_mode();
    struct result timer = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_call(net, 5, result_store, &timer, &op));
    CHECK_OK(result_wait(&timer));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_OK);
    settle(net);
    CHECK_EQ(timer.calls, 1);
    CHECK_OK(net_stop(net));
}

TEST(cancel_races_with_the_time_and_one_of_them_is_told) {
    enum { TIMERS = 500 };
    iouringnet_net *net = net_of_mode();
    struct result *timers = take(TIMERS * sizeof *timers);
    iouringnet_op **ops = take(TIMERS * sizeof *ops);

    for (int i = 0; i < TIMERS; i++) {
        result_init(&timers[i]);
        CHECK_OK(net_call(net, i % 4, result_store, &timers[i], &ops[i]));
    }
    for (int i = 0; i < TIMERS; i++) {
        CHECK_OK(op_cancel(ops[i]));
        CHECK_OK(op_release(ops[i]));
    }
    for (int i = 0; i < TIMERS; i++)
        if (result_wait(&timers[i]) != 0)
            CHECK_STATUS(timers[i].done.status, IOURINGNET_CANCELLED);
    CHECK_OK(net_stop(net));
    for (int i = 0; i < TIMERS; i++)
        CHECK_EQ(timers[i].calls, 1);
    free(timers);
    free(ops);
}

TEST(a_timer_goes_on_when_its_op_is_released) {
    iouringnet_net *net = net_of_mode();
    struct result timer = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_call(net, 20, result_store, &timer, &op));
    CHECK_OK(op_release(op));
    CHECK_STATUS(op_cancel(op), IOURINGNET_BAD_HANDLE);
    CHECK_OK(result_wait(&timer));
    CHECK_OK(net_stop(net));
}

TEST(a_timer_without_a_callback_is_waited_for) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op;
    int64_t began = now_ms();

    CHECK_OK(net_call(net, 50, NULL, NULL, &op));
    /* nobody else would learn of its end */
    CHECK_STATUS(op_release(op), IOURINGNET_BUSY);
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_BETWEEN(now_ms() - began, 49, patient(10000));
    CHECK_OK(op_release(op));
    CHECK_OK(net_stop(net));
}

/* ---- calls made in callbacks ---- */

struct nested {
    iouringnet_net *net;
    iouringnet_op *other;
    struct result inner;
    bool inside;
};

static void inner_store(void *user, const iouringnet_completion *done) {
    struct nested *nested = user;

    CHECK(!nested->inside);
    result_store(&nested->inner, done);
}

static void outer(void *user) {
    struct nested *nested = user;

    nested->inside = true;
    CHECK_OK(net_call(nested->net, 0, inner_store, nested, NULL));
    if (nested->other) {
        CHECK_OK(op_cancel(nested->other));
        CHECK_OK(op_release(nested->other));
    }
    nested->inside = false;
}

TEST(a_call_made_in_a_callback_runs_after_it) {
    struct nested nested = {net_of_mode(), NULL, RESULT, false};

    on_callback_thread(nested.net, outer, &nested);
    CHECK_OK(result_wait(&nested.inner));
    CHECK_OK(net_stop(nested.net));
    CHECK_EQ(nested.inner.calls, 1);
}

TEST(a_callback_cancels_another_timer) {
    struct nested nested = {net_of_mode(), NULL, RESULT, false};
    struct result timer = RESULT;

    CHECK_OK(net_call(nested.net, 3600 * 1000, result_store, &timer, &nested.other));
    on_callback_thread(nested.net, outer, &nested);
    CHECK_STATUS(result_wait(&timer), IOURINGNET_CANCELLED);
    CHECK_OK(result_wait(&nested.inner));
    CHECK_OK(net_stop(nested.net));
    CHECK_EQ(timer.calls, 1);
}

struct endless {
    iouringnet_net *net;
    atomic_bool stop;
    struct latch over;
    atomic_size_t rounds;
};

static void again(void *user, const iouringnet_completion *done) {
    struct endless *endless = user;

    CHECK_OK(done->status);
    atomic_fetch_add(&endless->rounds, 1);
    if (atomic_load(&endless->stop))
        latch_open(&endless->over);
    else
        CHECK_OK(net_call(endless->net, 0, again, endless, NULL));
}

TEST(calls_that_call_again_for_ever_starve_nothing) {
    struct endless endless = {net_of_mode(), false, LATCH(1), 0};
    struct pair p = tcp_pair_in(endless.net, endless.net);
    struct result timer = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_call(endless.net, 0, again, &endless, NULL));
    EVENTUALLY(atomic_load(&endless.rounds) > 0);
    for (int i = 0; i < 200; i++) {
        char got[4];

        /* by the ring, whatever the mode: the loop has to see its completions between the calls */
        CHECK_OK(stream_recv_async(p.b.stream, got, 4, NULL, NULL, &op));
        CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
        CHECK_OK(op_finish(op, NULL));
    }
    CHECK_OK(net_call(endless.net, 10, result_store, &timer, NULL));
    CHECK_OK(result_wait(&timer));
    atomic_store(&endless.stop, true);
    latch_wait(&endless.over);
    pair_close(&p);
    CHECK_OK(net_stop(endless.net));
}

TEST(ten_thousand_timers_at_once) {
    enum { TIMERS = 10000 };
    iouringnet_net *net = net_of_mode();
    struct result *timers = take(TIMERS * sizeof *timers);

    for (int i = 0; i < TIMERS; i++) {
        result_init(&timers[i]);
        CHECK_OK(net_call(net, i * 7919 % 200, result_store, &timers[i], NULL));
    }
    for (int i = 0; i < TIMERS; i++)
        CHECK_OK(result_wait(&timers[i]));
    EVENTUALLY(stats_of(net).operations == 0);
    CHECK_OK(net_stop(net));
    for (int i = 0; i < TIMERS; i++)
        CHECK_EQ(timers[i].calls, 1);
    free(timers);
}

/* ---- beside messages ---- */

static size_t send_back(void *user, iouringnet_status status, const void *data, size_t size) {
    if (status == 0)
        CHECK_OK(sink_post(user, data, size));
    return size;
}

TEST(calls_and_timers_come_beside_messages_and_a_long_spin) {
    iouringnet_config config = config_of_mode();
    struct pair p;

    config.spin_us = 1000; /* as long as may be; the messages are what it may be worth */
    p = tcp_pair_with(&config);
    CHECK_OK(watch_data(p.b.stream, send_back, p.b.sink));
    for (int i = 0; i < 3000; i++) {
        struct result call = RESULT;
        char back;

        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        CHECK_OK(stream_recv(p.a.stream, &back, 1, NULL));
        if (i % 10 == 0) {
            CHECK_OK(net_call(p.a.net, 0, result_store, &call, NULL));
            CHECK_OK(result_wait(&call));
        }
        if (i % 500 == 0) {
            struct timed timed;
            int64_t began = now_ms();

            result_init(&timed.result);
            CHECK_OK(net_call(p.a.net, 2, timed_store, &timed, NULL));
            CHECK_OK(result_wait(&timed.result));
            CHECK_BETWEEN(timed.at - began, 1, WAIT_MS);
        }
    }
    pair_close(&p);
}
