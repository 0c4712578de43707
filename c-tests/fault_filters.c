/* Filters of system calls that are installed while nets run, as a sandbox does after its start: a call that is refused
   from then on has a way around it, and nothing hangs or spins.
   Promise 11. */

#include "inside.h"

#include <sys/epoll.h>

/* ---- what wakes a loop up ---- */

enum { REGISTER_SEND_MSG_RING = 31 };

/* A loop that sleeps is woken by a completion that the kernel posts to its ring. Where that is refused, its eventfd wakes it. */
static void both_loops_wake_up(int error) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair();
    pid_t receives = thread_named("iouringnet-recv"), sends = thread_named("iouringnet-send");
    char *data = take(SIZE);
    struct reader reader = {m.peer, SIZE, 1};
    pthread_t reading = 0;

    pattern_fill(data, SIZE, 0, 1);
    refuse_call_where(SYS_io_uring_register, WHERE_ARGUMENT_IS, 1, REGISTER_SEND_MSG_RING, error, EVERY_THREAD);
    for (int i = 0; i < 5; i++) {
        struct result call = RESULT;

        EVENTUALLY(thread_sleeps(receives));
        CHECK_OK(net_call(m.net, 0, result_store, &call, NULL));
        CHECK_OK(result_wait(&call));
    }
    for (size_t at = 0; at < SIZE; at += SIZE / 4) {
        struct result send = RESULT;

        EVENTUALLY(thread_sleeps(sends));
        CHECK_OK(sink_send_async(m.sink, data + at, SIZE / 4, result_store, &send, NULL));
        if (at == 0)
            reading = spawn(reader_run, &reader);
        CHECK_OK(result_wait(&send));
    }
    sink_close(m.sink);
    join(reading);
    mixed_close(&m);
    free(data);
}

TEST(loops_wake_up_where_completions_may_not_be_sent) {
    both_loops_wake_up(EPERM);
}

TEST(loops_wake_up_where_completions_cannot_be_sent) {
    both_loops_wake_up(ENOSYS);
}

/* ---- a thread that waits by itself ---- */

struct waits {
    struct waiter waiter;
    struct mixed m;
    char *data;
    size_t size;
    int error;
    int64_t limit_ms;
};

static void may_not_wait(struct waits *self) {
    refuse_call(SYS_ppoll, self->error, THIS_THREAD);
    waiter_begins(&self->waiter);
}

static void *receives(void *user) {
    struct waits *self = user;

    may_not_wait(self);
    CHECK_OK(stream_recv(self->m.stream, self->data, self->size, NULL));
    return NULL;
}

static void *sends(void *user) {
    struct waits *self = user;

    may_not_wait(self);
    CHECK_OK(sink_send(self->m.sink, self->data, self->size, NULL));
    return NULL;
}

static void *receives_in_vain(void *user) {
    struct waits *self = user;
    int64_t began = now_ms();

    may_not_wait(self);
    CHECK_STATUS(stream_recv(self->m.stream, self->data, self->size, NULL), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, self->limit_ms - 1, WAIT_MS);
    return NULL;
}

/* The loop waits in place of a thread that may not: the thread sleeps until its operation is over. */
static void operations_of_threads_that_may_not_wait(int error) {
    enum { SIZE = 16 << 20 };
    struct waits self = {{0}, mixed_pair(), take(SIZE), 4, error, 0};
    char *got = take(SIZE);
    pthread_t thread = spawn(receives, &self);

    waiter_sleeps(&self.waiter);
    raw_send(self.m.peer, "ping", 4);
    join(thread);
    CHECK_MEM(self.data, "ping", 4);

    self.size = SIZE;
    pattern_fill(self.data, SIZE, 0, 7);
    atomic_store(&self.waiter.thread, 0);
    thread = spawn(sends, &self);
    waiter_sleeps(&self.waiter);
    raw_recv(self.m.peer, got, SIZE);
    pattern_check(got, SIZE, 0, 7);
    join(thread);

    self.limit_ms = 300;
    CHECK_OK(stream_set_timeout(self.m.stream, self.limit_ms));
    atomic_store(&self.waiter.thread, 0);
    join(spawn(receives_in_vain, &self));
    connection_abort(self.m.sink, NULL);
    mixed_close(&self.m);
    free(self.data);
    free(got);
}

/* With the first try off no thread waits by itself. */
/* one mode */ TEST(a_loop_waits_for_a_thread_that_may_not) {
    operations_of_threads_that_may_not_wait(EPERM);
}

/* one mode */ TEST(a_loop_waits_for_a_thread_that_cannot) {
    operations_of_threads_that_may_not_wait(ENOSYS);
}

/* ---- the send loop ---- */

/* Over epoll the wait for room is one more descriptor in an epoll set, and the system limits their number. Nobody would see
   room in the full socket, so the sink breaks, and no loop asks again and again. */
TEST(a_full_sink_whose_wait_is_refused_breaks) {
    enum { SIZE = 16 << 20 };
    struct mixed m = mixed_pair();
    struct result send = RESULT;
    char *data = take(SIZE), *got = take(SIZE);

    pattern_fill(data, SIZE, 0, 9);
    refuse_call_where(SYS_epoll_ctl, WHERE_ARGUMENT_IS, 1, EPOLL_CTL_ADD, ENOSPC, EVERY_THREAD);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    if (over_epoll()) {
        CHECK_STATUS(result_wait(&send), -ENOSPC);
        CHECK_STATUS(sink_send(m.sink, data, 1, NULL), -ENOSPC);
    } else {
        raw_recv(m.peer, got, SIZE);
        pattern_check(got, SIZE, 0, 9);
        CHECK_OK(result_wait(&send));
    }
    connection_abort(m.sink, NULL);
    mixed_close(&m);
    free(data);
    free(got);
}
