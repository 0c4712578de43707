/* Threads that wait on their own for bytes or for room, and others that come meanwhile: the order of the calls stays,
   and who had to hand its work on waits by itself the next time. */

#include "inside.h"

struct receiver {
    struct waiter waiter;
    iouringnet_stream *stream;
    char into[4];
};

static void *receives_four(void *user) {
    struct receiver *self = user;

    waiter_begins(&self->waiter);
    CHECK_OK(stream_recv(self->stream, self->into, 4, NULL));
    return NULL;
}

TEST(a_receive_that_waits_alone_stays_before_the_next) {
    struct pair p = tcp_pair();
    struct receiver first = {{0}, p.b.stream, ""};
    struct result second = RESULT;
    pthread_t thread = spawn(receives_four, &first);
    char into[4];

    waiter_sleeps(&first.waiter);
    CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &second, NULL));
    waiter_sleeps(&first.waiter); /* until its op is done, with the receive loop now */
    settle(p.b.net);
    CHECK_OK(sink_send(p.a.sink, "aaaabbbb", 8, NULL));
    join(thread);
    CHECK_OK(result_wait(&second));
    CHECK_MEM(first.into, "aaaa", 4);
    CHECK_MEM(into, "bbbb", 4);
    pair_close(&p);
}

TEST(a_receive_behind_a_thread_that_waits_ends_at_its_own_limit) {
    struct pair p = tcp_pair();
    struct receiver first = {{0}, p.b.stream, ""};
    struct result second = RESULT;
    pthread_t thread = spawn(receives_four, &first);
    char into[4];

    waiter_sleeps(&first.waiter);
    CHECK_OK(stream_set_timeout(p.b.stream, 50));
    CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &second, NULL));
    CHECK_STATUS(result_wait(&second), IOURINGNET_TIMEOUT);
    CHECK_OK(sink_send(p.a.sink, "four", 4, NULL));
    join(thread);
    CHECK_MEM(first.into, "four", 4);
    pair_close(&p);
}

TEST(a_receive_behind_a_thread_that_waits_is_cancelled) {
    struct pair p = tcp_pair();
    struct receiver first = {{0}, p.b.stream, ""};
    iouringnet_op *second;
    pthread_t thread = spawn(receives_four, &first);
    char into[4];

    waiter_sleeps(&first.waiter);
    CHECK_OK(stream_recv_async(p.b.stream, into, 4, NULL, NULL, &second));
    CHECK_OK(op_cancel(second));
    CHECK_STATUS(op_finish(second, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(sink_send(p.a.sink, "four", 4, NULL));
    join(thread);
    CHECK_MEM(first.into, "four", 4);
    pair_close(&p);
}

/* A thread that waits has a descriptor, which ends with it. */
/* one mode */ TEST(threads_that_have_waited_leave_no_descriptor) {
    struct pair p = tcp_pair();
    size_t before = count_entries("/proc/self/fd");

    for (int i = 0; i < 20; i++) {
        struct receiver self = {{0}, p.b.stream, ""};
        pthread_t thread = spawn(receives_four, &self);

        waiter_sleeps(&self.waiter);
        CHECK_OK(sink_send(p.a.sink, "four", 4, NULL));
        join(thread);
    }
    EVENTUALLY(count_entries("/proc/self/fd") < before + 10); /* this thread may have one too */
    pair_close(&p);
}

enum { SIZE = 16 << 20 };

struct sends_twice {
    struct waiter waiter;
    iouringnet_sink *sink;
    char *data;
    struct latch between, go;
};

static void *sends_twice(void *user) {
    struct sends_twice *self = user;

    waiter_begins(&self->waiter);
    CHECK_OK(sink_send(self->sink, self->data, SIZE, NULL));
    latch_open(&self->between);
    latch_wait(&self->go);
    CHECK_OK(sink_send(self->sink, self->data, SIZE, NULL));
    return NULL;
}

/* With the first try off no thread waits by itself. */
/* one mode */ TEST(a_thread_that_was_interrupted_waits_by_itself_again) {
    struct mixed m = mixed_pair();
    struct sends_twice self = {{0}, m.sink, take(SIZE), LATCH(1), LATCH(1)};
    struct result small = RESULT;
    char *got = take(SIZE + 1);
    pthread_t thread;
    uint64_t before;

    memset(self.data, 1, SIZE);
    thread = spawn(sends_twice, &self);
    waiter_sleeps(&self.waiter);
    CHECK_OK(
        sink_send_async(m.sink, "x", 1, result_store, &small, NULL)); /* has the thread hand its rest to the loop */
    raw_recv(m.peer, got, SIZE + 1);
    latch_wait(&self.between);
    CHECK_OK(result_wait(&small));
    EVENTUALLY(thread_sleeps(thread_named("iouringnet-send")));
    before = stats_of(m.net).send_wakes;
    CHECK(before > 0);
    latch_open(&self.go);
    raw_recv(m.peer, got, SIZE);
    join(thread);
    CHECK_EQ(stats_of(m.net).send_wakes, before); /* nothing was handed to the loop */
    mixed_close(&m);
    free(self.data);
    free(got);
}

/* ---- signals ---- */

enum { LIMIT_MS = 1500 };

struct limited {
    iouringnet_stream *stream;
    _Atomic bool is_over;
};

static void nothing_to_do(int signal) {
    (void)signal;
}

static void *receives_in_vain(void *user) {
    struct limited *self = user;
    int64_t began = now_ms();
    char byte;

    CHECK_STATUS(stream_recv(self->stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    atomic_store(&self->is_over, true);
    return NULL;
}

TEST(signals_do_not_prolong_a_receive) {
    struct pair p = tcp_pair();
    struct limited self = {p.a.stream, false};
    struct sigaction handled = {.sa_handler = nothing_to_do};
    int64_t began = now_ms();
    pthread_t thread;

    CHECK_EQ(sigaction(SIGUSR1, &handled, NULL), 0);
    CHECK_OK(stream_set_timeout(p.a.stream, LIMIT_MS));
    thread = spawn(receives_in_vain, &self);
    /* for as long as it waits, more often than its limit comes round */
    while (!atomic_load(&self.is_over)) {
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        CHECK_BETWEEN(now_ms() - began, 0, WAIT_MS);
        nap();
    }
    join(thread);
    pair_close(&p);
}
