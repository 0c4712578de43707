/* Who holds a buffer's memory, when it ends and on which thread, whatever happens to the sinks that hold it.
   Rule: Buffers. */

#include "buffers.h"

enum { SIZE = 100000 };

/* ---- what can be refused ---- */

static void free_never(void *user, void *data, size_t size) {
    (void)user;
    (void)data;
    (void)size;
    CHECK(!"memory that was not adopted is not freed");
}

static void free_nothing(void *user, void *data, size_t size) {
    (void)data;
    (void)size;
    if (user != NULL)
        atomic_fetch_add((atomic_int *)user, 1);
}

TEST(what_cannot_be_a_buffer_is_refused) {
    char data[8] = "8 bytes";
    iouringnet_buffer *buffer = (iouringnet_buffer *)data, *untouched = buffer, *whole, *part;

    CHECK_STATUS(iouringnet_buffer_make(NULL, 1, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_make(data, (size_t)PTRDIFF_MAX + 1, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_make(data, 8, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_adopt(NULL, 1, free_never, NULL, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_adopt(data, SIZE_MAX, free_never, NULL, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_adopt(data, 8, NULL, NULL, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_adopt(data, 8, free_never, NULL, NULL), IOURINGNET_INVALID);
    whole = made(data, 8);
    CHECK_STATUS(iouringnet_buffer_slice(whole, 9, 0, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_slice(whole, 0, 9, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_slice(whole, 1, SIZE_MAX, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_slice(whole, SIZE_MAX, 2, &buffer), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_buffer_slice(whole, 0, 8, NULL), IOURINGNET_INVALID);
    CHECK_OK(iouringnet_buffer_slice(whole, 8, 0, &part));
    iouringnet_buffer_release(part);
    CHECK_STATUS(iouringnet_buffer_slice(part, 0, 0, &buffer), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(iouringnet_buffer_slice(NULL, 0, 0, &buffer), IOURINGNET_BAD_HANDLE);
    CHECK(buffer == untouched);
    iouringnet_buffer_release(whole);
    iouringnet_buffer_release(whole);
    iouringnet_buffer_release(NULL);
    iouringnet_buffer_release((iouringnet_buffer *)data);
}

TEST(a_post_of_a_bad_buffer_is_refused) {
    struct pair p = tcp_pair();
    iouringnet_buffer *buffer = made("bytes", 5);
    char got[5];

    CHECK_STATUS(sink_post_buffer(p.a.sink, NULL, 0, NULL), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(sink_post_buffer(p.a.sink, NULL, 0, (iouringnet_buffer *)p.a.sink), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(sink_post_buffer((iouringnet_sink *)buffer, NULL, 0, buffer), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(sink_post_buffer(p.a.sink, NULL, 1, buffer), IOURINGNET_INVALID);
    CHECK_STATUS(sink_post_buffer(p.a.sink, got, PTRDIFF_MAX, buffer), IOURINGNET_INVALID);
    CHECK_OK(sink_post_buffer(p.a.sink, NULL, 0, buffer));
    iouringnet_buffer_release(buffer);
    CHECK_STATUS(sink_post_buffer(p.a.sink, NULL, 0, buffer), IOURINGNET_BAD_HANDLE);
    CHECK_OK(stream_recv(p.b.stream, got, 5, NULL));
    CHECK_MEM(got, "bytes", 5);
    sink_close(p.a.sink);
    buffer = made("bytes", 5);
    CHECK_STATUS(sink_post_buffer(p.a.sink, NULL, 0, buffer), IOURINGNET_BAD_HANDLE);
    iouringnet_buffer_release(buffer);
    pair_close(&p);
}

/* ---- where the memory ends ---- */

TEST(an_unused_buffer_ends_in_the_release_of_its_last_part) {
    struct memory memory;
    iouringnet_buffer *whole = adopted(&memory, SIZE), *part, *smaller;

    CHECK_OK(iouringnet_buffer_slice(whole, 10, 100, &part));
    iouringnet_buffer_release(whole);
    CHECK_OK(iouringnet_buffer_slice(part, 10, 10, &smaller));
    iouringnet_buffer_release(part);
    CHECK_EQ(memory.ends, 0);
    iouringnet_buffer_release(smaller);
    CHECK_EQ(memory.ends, 1);
    CHECK(pthread_equal(memory.thread, pthread_self()));
    whole = adopted(&memory, 0);
    iouringnet_buffer_release(whole);
    CHECK_EQ(memory.ends, 1);
}

static void note_thread(void *user) {
    *(pthread_t *)user = pthread_self();
}

/* what the destructor of a buffer may do, on a callback thread */
struct lively {
    iouringnet_sink *sink;
    iouringnet_buffer *next;
    struct latch done;
    pthread_t thread;
    iouringnet_status send, post;
    size_t unsent;
};

static void free_and_call(void *user, void *data, size_t size) {
    struct lively *lively = user;

    (void)data;
    CHECK_EQ(size, SIZE);
    lively->thread = pthread_self();
    lively->send = sink_send(lively->sink, "no", 2, NULL);
    lively->unsent = unsent_of(lively->sink);
    lively->post = sink_post_buffer(lively->sink, "last", 4, lively->next);
    iouringnet_buffer_release(lively->next);
    latch_open(&lively->done);
}

static void post_and_release(void *user) {
    struct lively *lively = user;
    static char data[SIZE];
    iouringnet_buffer *buffer;

    CHECK_OK(iouringnet_buffer_adopt(data, SIZE, free_and_call, lively, &buffer));
    CHECK_OK(sink_post_buffer(lively->sink, "head", 4, buffer));
    iouringnet_buffer_release(buffer);
}

/* the last holder is a queue; no lock is held, or the calls of the destructor would hang */
static void ends_as_a_callback(bool posted_in_callback) {
    struct mixed m = full_pair(0);
    struct lively lively = {.sink = m.sink, .done = LATCH(1)};
    pthread_t callbacks;
    uint64_t before;
    char *got = take(SIZE);

    lively.next = made("bytes", 5);
    on_callback_thread(m.net, note_thread, &callbacks);
    if (posted_in_callback)
        on_callback_thread(m.net, post_and_release, &lively);
    else
        post_and_release(&lively);
    CHECK_EQ(latch_left(&lively.done), 1);
    settle(m.net);
    before = stats_of(m.net).callbacks;
    for (int64_t end = now_ms() + WAIT_MS; !latch_wait_ms(&lively.done, 1);) {
        CHECK(recv(m.peer, got, SIZE, MSG_DONTWAIT) > 0 || errno == EAGAIN);
        CHECK(now_ms() < end);
    }
    CHECK(pthread_equal(lively.thread, callbacks));
    CHECK_STATUS(lively.send, IOURINGNET_IN_CALLBACK);
    CHECK_OK(lively.post);
    CHECK_EQ(lively.unsent, 0);
    CHECK(stats_of(m.net).callbacks > before);
    sink_close(m.sink);
    while (recv(m.peer, got, SIZE, 0) > 0)
        ;
    mixed_close(&m);
    free(got);
}

TEST(memory_that_a_queue_held_last_ends_as_a_callback) {
    ends_as_a_callback(false);
}

TEST(memory_that_a_callback_posted_ends_as_a_callback) {
    ends_as_a_callback(true);
}

/* the destructor begins when the calling code holds nothing of the library */
TEST(a_post_that_goes_at_once_leaves_the_memory_to_the_caller) {
    struct pair p = tcp_pair();
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);
    char *got = take(SIZE);

    for (int i = 0; i < 3; i++) {
        CHECK_OK(sink_post_buffer(p.a.sink, NULL, 0, buffer));
        CHECK_OK(stream_recv(p.b.stream, got, SIZE, NULL));
        pattern_check(got, SIZE, 0, 1);
    }
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_EQ(memory.ends, 0);
    iouringnet_buffer_release(buffer);
    latch_wait(&memory.freed);
    pair_close(&p);
    free(got);
}

static void free_at_a_cancellation_point(void *user, void *data, size_t size) {
    (void)data;
    (void)size;
    pthread_testcancel();
    atomic_fetch_add((atomic_int *)user, 1);
}

static void *release_when_cancelled(void *user) {
    static char data[SIZE];
    iouringnet_buffer *buffer;

    CHECK_OK(iouringnet_buffer_adopt(data, SIZE, free_at_a_cancellation_point, user, &buffer));
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    iouringnet_buffer_release(buffer);
    atomic_fetch_add((atomic_int *)user, 1);
    pthread_testcancel();
    return NULL;
}

TEST(no_destructor_is_cancelled) {
    atomic_int steps = 0;

    join(spawn(release_when_cancelled, &steps));
    CHECK_EQ(steps, 2);
}

/* ---- ends of sinks ---- */

enum ending_of { ABORT, RESET, TIMEOUT, STOP, ENDINGS };

static void end_in_this_way(struct mixed *m, enum ending_of how) {
    switch (how) {
    case ABORT: connection_abort(m->sink, m->stream); break;
    case RESET:
        raw_reset(m->peer);
        m->peer = -1;
        EVENTUALLY(sink_post(m->sink, "x", 1) == -ECONNRESET);
        break;
    case TIMEOUT:
        CHECK_OK(connection_set_idle_timeout(m->sink, NULL, 1));
        EVENTUALLY(sink_post(m->sink, "x", 1) == IOURINGNET_TIMEOUT);
        break;
    case STOP:
    case ENDINGS:
        CHECK_STATUS(net_stop(m->net), IOURINGNET_TIMEOUT);
        m->owns_net = false;
        break;
    }
}

TEST(a_sink_that_ends_gives_its_buffers_up) {
    for (int how = 0; how < ENDINGS; how++) {
        struct mixed m = full_pair(8 << 20);
        struct memory memory;
        iouringnet_buffer *buffer = adopted(&memory, SIZE), *part;

        CHECK_OK(iouringnet_buffer_slice(buffer, 1, SIZE / 2, &part));
        CHECK_OK(sink_post_buffer(m.sink, "head", 4, buffer));
        CHECK_OK(sink_post_buffer(m.sink, NULL, 0, part));
        CHECK_OK(sink_post_buffer(m.sink, NULL, 0, buffer));
        iouringnet_buffer_release(buffer);
        iouringnet_buffer_release(part);
        CHECK_EQ(memory.ends, 0);
        end_in_this_way(&m, (enum ending_of)how);
        if (how != STOP)
            latch_wait(&memory.freed);
        CHECK_EQ(memory.ends, 1); /* when net_stop has returned, without a wait */
        sink_close(m.sink);
        stream_close(m.stream);
        if (m.peer >= 0)
            raw_close(m.peer);
        if (m.owns_net)
            CHECK_OK(net_stop(m.net));
    }
}

TEST(a_broken_sink_takes_no_buffer) {
    struct mixed m = full_pair(0);
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);

    raw_reset(m.peer);
    EVENTUALLY(sink_post_buffer(m.sink, "head", 4, buffer) == -ECONNRESET);
    settle(m.net);
    iouringnet_buffer_release(buffer);
    latch_wait(&memory.freed);
    CHECK_EQ(memory.ends, 1);
    mixed_stop(&m);
}

/* a sink that refuses never holds what it refused */
TEST(a_refused_buffer_ends_in_the_callers_release) {
    struct mixed m = full_pair(1000);
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);

    while (sink_post(m.sink, "more", 4) == 0)
        ;
    CHECK_STATUS(sink_post_buffer(m.sink, "head", 4, buffer), IOURINGNET_FULL);
    iouringnet_buffer_release(buffer);
    CHECK_EQ(memory.ends, 1);
    CHECK(pthread_equal(memory.thread, pthread_self()));
    mixed_close(&m);
}

/* ---- nets ---- */

TEST(buffers_outlive_nets) {
    enum { NETS = 3 };
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE), *part;
    char *got = take(SIZE);

    CHECK_OK(iouringnet_buffer_slice(buffer, SIZE / 2, SIZE / 2, &part));
    for (int i = 0; i < NETS; i++) {
        struct pair p = tcp_pair_apart();

        CHECK_OK(sink_post_buffer(p.a.sink, NULL, 0, i == 0 ? part : buffer));
        CHECK_OK(sink_post_buffer(p.b.sink, NULL, 0, part));
        CHECK_OK(stream_recv(p.b.stream, got, i == 0 ? SIZE / 2 : SIZE, NULL));
        pattern_check(got, i == 0 ? SIZE / 2 : SIZE, i == 0 ? SIZE / 2 : 0, 1);
        CHECK_OK(stream_recv(p.a.stream, got, SIZE / 2, NULL));
        pattern_check(got, SIZE / 2, SIZE / 2, 1);
        pair_close(&p);
    }
    iouringnet_buffer_release(buffer);
    CHECK_EQ(memory.ends, 0);
    iouringnet_buffer_release(part);
    CHECK_EQ(memory.ends, 1);
    free(got);
}

TEST(a_net_whose_loops_die_gives_its_buffers_up) {
    struct mixed m = full_pair(0);
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);

    CHECK_OK(sink_post_buffer(m.sink, "head", 4, buffer));
    iouringnet_buffer_release(buffer);
    refuse_waits(EPERM, EVERY_THREAD);
    net_call(m.net, 0, ignore_completion, NULL, NULL); /* wakes the loop that dies */
    EVENTUALLY(sink_post(m.sink, "x", 1) == IOURINGNET_PANIC);
    latch_wait(&memory.freed);
    net_stop(m.net);
    CHECK_EQ(memory.ends, 1);
    raw_close(m.peer);
}

/* ---- all at once ---- */

enum { SINKS = 6, THREADS = 4, BUFFERS = 400 };

struct storm {
    struct mixed m[SINKS];
    atomic_int ends;
    atomic_bool over;
};

static void free_counted(void *user, void *data, size_t size) {
    struct storm *storm = user;

    CHECK(size > 0);
    memset(data, 0xee, size); /* whatever still reads it shows */
    free(data);
    atomic_fetch_add(&storm->ends, 1);
}

/* fills each buffer with one byte, so that a peer sees what was freed early */
static void *storm_run(void *user) {
    struct storm *storm = user;

    for (int number = 0; number < BUFFERS; number++) {
        size_t size = 1 + (size_t)number * 97 % 30000;
        iouringnet_buffer *buffer, *part;
        char *data = take(size);

        memset(data, 0x11, size);
        CHECK_OK(iouringnet_buffer_adopt(data, size, free_counted, storm, &buffer));
        for (int i = 0; i < SINKS; i++) {
            CHECK_OK(iouringnet_buffer_slice(buffer, size / 3, size - size / 3, &part));
            sink_post_buffer(storm->m[i].sink, "\x11\x11", 2, i % 2 ? buffer : part);
            iouringnet_buffer_release(part);
        }
        iouringnet_buffer_release(buffer);
    }
    return NULL;
}

static void *storm_read(void *user) {
    const struct mixed *m = user;
    char got[5000];
    ssize_t count;

    while ((count = recv(m->peer, got, sizeof got, 0)) > 0)
        for (ssize_t i = 0; i < count; i++)
            CHECK_EQ(got[i], 0x11);
    return NULL;
}

/* Some peers read, one does not. Sinks are closed and aborted meanwhile, and the net stops. */
TEST(each_memory_ends_once_whatever_ends_its_sinks) {
    iouringnet_config config = config_of_mode();
    struct storm *storm = take(sizeof *storm);
    pthread_t posting[THREADS], reading[SINKS];
    iouringnet_net *net;
    iouringnet_status stopped;

    memset(storm, 0, sizeof *storm);
    config.send_buffer = 16384;
    config.shutdown_timeout_ms = 200;
    net = net_with(&config);
    for (int i = 0; i < SINKS; i++) {
        storm->m[i] = mixed_pair_in(net, 16384);
        if (i != 0)
            reading[i] = spawn(storm_read, &storm->m[i]);
    }
    for (int i = 0; i < THREADS; i++)
        posting[i] = spawn(storm_run, storm);
    EVENTUALLY(storm->ends > BUFFERS);
    sink_close(storm->m[1].sink);
    connection_abort(storm->m[2].sink, NULL);
    join(posting[0]);
    stopped = net_stop(net);
    CHECK(stopped == 0 || stopped == IOURINGNET_TIMEOUT);
    for (int i = 1; i < THREADS; i++)
        join(posting[i]);
    CHECK_EQ(storm->ends, THREADS * BUFFERS);
    for (int i = 0; i < SINKS; i++) {
        if (i != 0)
            join(reading[i]);
        raw_close(storm->m[i].peer);
    }
    free(storm);
}

/* releases race with posts: either the post finds the buffer, or it is refused */
struct race {
    iouringnet_sink *sink;
    iouringnet_buffer *_Atomic buffer;
    atomic_bool over;
};

static void *race_run(void *user) {
    struct race *race = user;

    while (!atomic_load(&race->over)) {
        iouringnet_status status = sink_post_buffer(race->sink, "\x11", 1, atomic_load(&race->buffer));
        CHECK(status == 0 || status == IOURINGNET_BAD_HANDLE || status == IOURINGNET_FULL);
    }
    return NULL;
}

TEST(a_release_races_with_posts) {
    enum { TIMES = 2000 };
    struct mixed m = mixed_pair();
    struct race race = {.sink = m.sink};
    struct storm *storm = take(sizeof *storm);
    pthread_t posting, reading = spawn(storm_read, &m);

    memset(storm, 0, sizeof *storm);
    posting = spawn(race_run, &race);
    for (int i = 0; i < TIMES; i++) {
        char *data = take(3000);
        iouringnet_buffer *buffer;

        memset(data, 0x11, 3000);
        CHECK_OK(iouringnet_buffer_adopt(data, 3000, free_counted, storm, &buffer));
        atomic_store(&race.buffer, buffer);
        sched_yield();
        iouringnet_buffer_release(buffer);
    }
    atomic_store(&race.over, true);
    join(posting);
    mixed_stop(&m);
    join(reading);
    raw_close(m.peer);
    CHECK_EQ(storm->ends, TIMES);
    free(storm);
}

/* nets stop while a thread releases: a stop holds no buffer, so each memory ends in its release */
struct releasing {
    pthread_t thread;
    atomic_int ends;
    atomic_bool over;
};

static void free_here(void *user, void *data, size_t size) {
    struct releasing *releasing = user;

    (void)data;
    (void)size;
    CHECK(pthread_equal(pthread_self(), releasing->thread));
    atomic_fetch_add_explicit(&releasing->ends, 1, memory_order_relaxed);
}

static void *release_run(void *user) {
    enum { COUNT = 20000 };
    struct releasing *releasing = user;
    iouringnet_buffer **buffers = take(COUNT * sizeof *buffers);
    static char byte;
    int made = 0;

    releasing->thread = pthread_self();
    while (!atomic_load(&releasing->over)) {
        for (int i = 0; i < COUNT; i++)
            CHECK_OK(iouringnet_buffer_adopt(&byte, 1, free_here, releasing, &buffers[i]));
        for (int i = 0; i < COUNT; i++)
            iouringnet_buffer_release(buffers[i]);
        made += COUNT;
    }
    CHECK_EQ(releasing->ends, made);
    free(buffers);
    return NULL;
}

/* once */ TEST(a_stop_ends_no_buffer_that_is_released_meanwhile) {
    enum { TIMES = 300, RELEASERS = 3 };
    struct releasing releasing[RELEASERS];
    pthread_t threads[RELEASERS];

    memset(releasing, 0, sizeof releasing);
    for (int i = 0; i < RELEASERS; i++)
        threads[i] = spawn(release_run, &releasing[i]);
    for (int i = 0; i < TIMES; i++)
        CHECK_OK(net_stop(net_of_mode()));
    for (int i = 0; i < RELEASERS; i++)
        atomic_store(&releasing[i].over, true);
    for (int i = 0; i < RELEASERS; i++)
        join(threads[i]);
}

TEST(constant_memory_needs_a_function_that_does_nothing) {
    static const char text[] = "static bytes";
    struct pair p = tcp_pair();
    atomic_int ends = 0;
    iouringnet_buffer *buffer;
    char got[sizeof text];

    CHECK_OK(iouringnet_buffer_adopt((void *)(uintptr_t)text, sizeof text, free_nothing, &ends, &buffer));
    CHECK_OK(sink_post_buffer(p.a.sink, NULL, 0, buffer));
    iouringnet_buffer_release(buffer);
    CHECK_OK(stream_recv(p.b.stream, got, sizeof got, NULL));
    CHECK_MEM(got, text, sizeof text);
    CHECK_EQ(ends, 1);
    pair_close(&p);
}
