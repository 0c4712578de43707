/* Watches of streams: what is consumed, kept, paused, resumed, told once and last.
   Rule: Watches. */

#include "inside.h"

/* ---- bytes ---- */

struct watcher {
    struct pair *pair;
    struct latch enough, over;
    size_t want;     /* opens `enough` when so much has been consumed */
    size_t consumed; /* the callbacks alone write; read by the test after a latch */
    int calls;
    int ends;
    iouringnet_status status;
    uint32_t seed;
    atomic_bool paused; /* set around stream_pause: no call may start then */
};

static void watcher_init(struct watcher *self, struct pair *pair, size_t want, uint32_t seed) {
    memset(self, 0, sizeof *self);
    self->pair = pair;
    self->want = want;
    self->seed = seed;
    latch_init(&self->enough, 1);
    latch_init(&self->over, 1);
}

/* the part that all watchers share; true: there is data to consume */
static bool watcher_call(struct watcher *self, iouringnet_status status, const void *data, size_t size) {
    CHECK_EQ(self->ends, 0);
    self->calls++;
    if (status == 0) {
        CHECK(!atomic_load(&self->paused));
        CHECK(data != NULL && size > 0);
        pattern_check(data, size, self->consumed, self->seed);
        return true;
    }
    CHECK(data == NULL && size == 0);
    self->ends++;
    self->status = status;
    latch_open(&self->over);
    return false;
}

static size_t watcher_consume(struct watcher *self, size_t size) {
    bool before = self->consumed < self->want;
    self->consumed += size;
    if (before && self->consumed >= self->want)
        latch_open(&self->enough);
    return size;
}

static size_t consumes_all(void *user, iouringnet_status status, const void *data, size_t size) {
    return watcher_call(user, status, data, size) ? watcher_consume(user, size) : 0;
}

static size_t consumes_by_halves(void *user, iouringnet_status status, const void *data, size_t size) {
    return watcher_call(user, status, data, size) ? watcher_consume(user, (size + 1) / 2) : 0;
}

static void send_pattern(iouringnet_sink *sink, size_t from, size_t to, size_t piece, uint32_t seed) {
    char *data = take(piece);
    for (size_t at = from; at < to; at += piece) {
        if (piece > to - at)
            piece = to - at;
        pattern_fill(data, piece, at, seed);
        CHECK_OK(sink_send(sink, data, piece, NULL));
    }
    free(data);
}

TEST(consumes_by_halves_and_ends_once) {
    enum { SIZE = 1 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;
    char into[8];

    watcher_init(&self, &p, SIZE / 2, 1);
    CHECK_OK(watch_data(p.b.stream, consumes_by_halves, &self));
    send_pattern(p.a.sink, 0, SIZE, 5000, 1);
    latch_wait(&self.enough);
    sink_close(p.a.sink);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_EOF);
    /* halving never takes the last ones at once: what was left stays receivable after the watch */
    CHECK(self.consumed <= SIZE);
    for (size_t at = self.consumed; at < SIZE; at++) {
        CHECK_OK(stream_recv(p.b.stream, into, 1, NULL));
        pattern_check(into, 1, at, 1);
    }
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, NULL), IOURINGNET_EOF);
    pair_close(&p);
    CHECK_EQ(self.ends, 1);
}

TEST(arrives_whole_in_any_pieces) {
    enum { SIZE = 8 << 20 };
    static const size_t pieces[] = {1000, 65536, SIZE};

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct pair p = tcp_pair_apart();
        struct watcher self;

        watcher_init(&self, &p, SIZE, 2);
        CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
        send_pattern(p.a.sink, 0, SIZE, pieces[i], 2);
        latch_wait(&self.enough);
        CHECK_EQ(self.consumed, SIZE);
        pair_close(&p);
    }
}

static void resumes(void *user, const iouringnet_completion *done) {
    struct watcher *self = user;
    CHECK_OK(done->status);
    CHECK_OK(stream_resume(self->pair->b.stream));
}

/* leaves a little of each call but the last, and pauses now and then until a timer resumes */
static size_t leaves_and_pauses(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    if (self->calls % 7 == 0) {
        CHECK_OK(stream_pause(self->pair->b.stream));
        CHECK_OK(net_call(self->pair->b.net, 1, resumes, self, NULL));
    }
    if (self->consumed + size < self->want && size > 10)
        size -= 10;
    return watcher_consume(self, size);
}

/* more than a pool buffer takes at once, so that the loop receives by calls of its own */
TEST(a_flood_is_left_in_part_and_paused) {
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, SIZE, 18);
    CHECK_OK(watch_data(p.b.stream, leaves_and_pauses, &self));
    send_pattern(p.a.sink, 0, SIZE, 1 << 20, 18);
    latch_wait(&self.enough);
    CHECK_EQ(self.consumed, SIZE);
    send_pattern(p.a.sink, SIZE, SIZE + 100, 100, 18);
    sink_close(p.a.sink);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_EOF);
    CHECK_EQ(self.consumed, SIZE + 100);
    pair_close(&p);
    CHECK_EQ(self.ends, 1);
}

/* bytes that a receive had read ahead are the watch's first */
TEST(begins_with_what_was_buffered) {
    struct pair p = tcp_pair();
    struct watcher self;
    char into[100];

    watcher_init(&self, &p, 900, 3);
    send_pattern(p.a.sink, 0, 1000, 1000, 3);
    CHECK_OK(stream_recv(p.b.stream, into, 100, NULL));
    pattern_check(into, 100, 0, 3);
    self.consumed = 100;
    self.want = 1000;
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    latch_wait(&self.enough);
    pair_close(&p);
}

TEST(paused_and_resumed_from_another_thread) {
    enum { ROUNDS = 200, PIECE = 10000 };
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, (size_t)ROUNDS * PIECE, 4);
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    for (size_t i = 0; i < ROUNDS; i++) {
        CHECK_OK(stream_pause(p.b.stream));
        /* a call that had started before the pause may still run; behind it none starts. Passing
           through the callback thread puts the flag behind that call */
        if (i % 20 == 0) {
            settle(p.b.net);
            atomic_store(&self.paused, true);
        }
        send_pattern(p.a.sink, i * PIECE, (i + 1) * PIECE, PIECE, 4);
        if (i % 20 == 0) {
            settle(p.b.net);
            atomic_store(&self.paused, false);
        }
        CHECK_OK(stream_resume(p.b.stream));
    }
    latch_wait(&self.enough);
    pair_close(&p);
}

static size_t pauses_each_time(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    CHECK_OK(stream_pause(self->pair->b.stream));
    self->consumed += size;
    latch_open(&self->enough);
    return size;
}

TEST(paused_during_the_callback) {
    struct pair p = tcp_pair();
    struct watcher self;
    size_t sent = 0;

    watcher_init(&self, &p, 0, 5);
    CHECK_OK(watch_data(p.b.stream, pauses_each_time, &self));
    for (int i = 1; i <= 20; i++) {
        send_pattern(p.a.sink, sent, sent + 100, 100, 5);
        sent += 100;
        latch_wait(&self.enough);
        latch_reset(&self.enough, 1);
        CHECK_EQ(self.calls, i);
        CHECK_EQ(self.consumed, sent);
        CHECK_OK(stream_resume(p.b.stream));
    }
    pair_close(&p);
}

/* a pause and a resume inside one call owe a further call with the bytes that it kept */
static size_t resumes_inside(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    if (self->calls < 5) {
        CHECK_OK(stream_pause(self->pair->b.stream));
        CHECK_OK(stream_resume(self->pair->b.stream));
        return 0;
    }
    return watcher_consume(self, size);
}

TEST(resumed_during_the_callback) {
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 100, 6);
    CHECK_OK(watch_data(p.b.stream, resumes_inside, &self));
    send_pattern(p.a.sink, 0, 100, 100, 6);
    latch_wait(&self.enough);
    CHECK_EQ(self.calls, 5);
    pair_close(&p);
}

/* a pause and a resume inside every call that has not seen all of a message yet: each is owed a further call, and the rest of
   the message and other connections come nevertheless */
static size_t resumes_inside_until_whole(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    if (size < 100) {
        CHECK_OK(stream_pause(self->pair->b.stream));
        CHECK_OK(stream_resume(self->pair->b.stream));
        return 0;
    }
    return watcher_consume(self, size);
}

TEST(resumed_during_each_callback_until_a_message_is_whole) {
    struct pair p = tcp_pair(), other = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 100, 6);
    CHECK_OK(watch_data(p.b.stream, resumes_inside_until_whole, &self));
    send_pattern(p.a.sink, 0, 40, 40, 6);
    for (int i = 0; i < 20; i++) {
        char byte = 0;
        CHECK_OK(sink_send(other.a.sink, "x", 1, NULL));
        CHECK_OK(stream_fill(other.b.stream, 1));
        CHECK_OK(stream_recv(other.b.stream, &byte, 1, NULL));
        CHECK_EQ(byte, 'x');
    }
    send_pattern(p.a.sink, 40, 100, 60, 6);
    latch_wait(&self.enough);
    pair_close(&other);
    pair_close(&p);
}

/* the end of the stream comes after the calls that are owed, and what they left stays receivable */
static size_t resumes_inside_50_times(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (watcher_call(self, status, data, size) && self->calls < 50) {
        CHECK_OK(stream_pause(self->pair->b.stream));
        CHECK_OK(stream_resume(self->pair->b.stream));
    }
    return 0;
}

TEST(resumed_during_each_callback_until_after_the_end) {
    struct pair p = tcp_pair();
    struct watcher self;
    char into[40];

    watcher_init(&self, &p, 0, 6);
    send_pattern(p.a.sink, 0, 40, 40, 6);
    sink_close(p.a.sink);
    /* so that the loop meets it while calls are owed */
    EVENTUALLY(has_met_fin(descriptor_of(p.b.sink)));
    CHECK_OK(watch_data(p.b.stream, resumes_inside_50_times, &self));
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_EOF);
    CHECK_EQ(self.calls, 51);
    CHECK_OK(stream_recv(p.b.stream, into, 40, NULL));
    pattern_check(into, 40, 0, 6);
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, NULL), IOURINGNET_EOF);
    pair_close(&p);
}

/* kept bytes alone do not bring a call: only new bytes or the end of a pause do */
static size_t keeps_until_told(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    latch_open(&self->enough);
    return 0;
}

TEST(a_resume_shows_the_kept_bytes_once) {
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 0, 7);
    CHECK_OK(watch_data(p.b.stream, keeps_until_told, &self));
    send_pattern(p.a.sink, 0, 100, 100, 7);
    latch_wait(&self.enough);
    settle(p.b.net);
    CHECK_EQ(self.calls, 1);
    /* a resume without a pause owes nothing */
    CHECK_OK(stream_resume(p.b.stream));
    settle(p.b.net);
    CHECK_EQ(self.calls, 1);
    CHECK_OK(stream_pause(p.b.stream));
    latch_reset(&self.enough, 1);
    CHECK_OK(stream_resume(p.b.stream));
    latch_wait(&self.enough);
    settle(p.b.net);
    CHECK_EQ(self.calls, 2);
    pair_close(&p);
}

TEST(a_pause_holds_the_peer_back) {
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;
    struct result sent = RESULT;
    char *data = take(SIZE);

    pattern_fill(data, SIZE, 0, 8);
    watcher_init(&self, &p, SIZE, 8);
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    CHECK_OK(stream_pause(p.b.stream));
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, result_store, &sent, NULL));
    /* far more than buffer_max is offered; it waits at the peer and does not end the watch */
    CHECK(!latch_wait_ms(&sent.latch, 300));
    CHECK_EQ(latch_left(&self.over), 1);
    CHECK_OK(stream_resume(p.b.stream));
    latch_wait(&self.enough);
    CHECK_OK(result_wait(&sent));
    CHECK_EQ(self.consumed, SIZE);
    pair_close(&p);
    free(data);
}

TEST(the_end_waits_for_resume) {
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, 10, 9);
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    CHECK_OK(stream_pause(p.b.stream));
    send_pattern(p.a.sink, 0, 10, 10, 9);
    sink_close(p.a.sink);
    settle(p.b.net);
    CHECK_EQ(latch_left(&self.over), 1);
    CHECK_OK(stream_resume(p.b.stream));
    latch_wait(&self.enough);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_EOF);
    pair_close(&p);
}

TEST(a_close_does_not_wait_for_resume) {
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 1, 10);
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    CHECK_OK(stream_pause(p.b.stream));
    send_pattern(p.a.sink, 0, 10, 10, 10);
    stream_close(p.b.stream);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_CLOSED);
    CHECK_EQ(self.calls, 1);
    pair_close(&p);
}

TEST(keeping_too_much_ends_with_too_big) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct watcher self;
    char *into = take(200000);
    size_t count;

    config.buffer_max = 100000;
    p = tcp_pair_with(&config);
    watcher_init(&self, &p, 0, 11);
    CHECK_OK(watch_data(p.b.stream, keeps_until_told, &self));
    send_pattern(p.a.sink, 0, 200000, 5000, 11);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_TOO_BIG);
    /* kept and later bytes are still receivable */
    CHECK_OK(stream_recv(p.b.stream, into, 200000, &count));
    pattern_check(into, 200000, 0, 11);
    pair_close(&p);
    CHECK_EQ(self.ends, 1);
    free(into);
}

/* a parser of messages of just buffer_max bytes never keeps so many, whatever arrives with them */
static size_t consumes_messages(void *user, iouringnet_status status, const void *data, size_t size) {
    if (!watcher_call(user, status, data, size))
        return 0;
    return watcher_consume(user, size - size % 100000);
}

TEST(keeping_up_to_buffer_max_is_fine) {
    enum { SIZE = 4000000 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct watcher self;

    config.buffer_max = 100000;
    p = tcp_pair_with(&config);
    watcher_init(&self, &p, SIZE, 17);
    CHECK_OK(watch_data(p.b.stream, consumes_messages, &self));
    send_pattern(p.a.sink, 0, SIZE, 77777, 17);
    latch_wait(&self.enough);
    CHECK_EQ(latch_left(&self.over), 1);
    CHECK_EQ(self.consumed, SIZE);
    pair_close(&p);
}

static size_t takes_more_than_shown(void *user, iouringnet_status status, const void *data, size_t size) {
    return watcher_call(user, status, data, size) ? size + 1 : 0;
}

TEST(consuming_more_than_shown_ends_with_invalid) {
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 0, 12);
    CHECK_OK(watch_data(p.b.stream, takes_more_than_shown, &self));
    send_pattern(p.a.sink, 0, 10, 10, 12);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_INVALID);
    pair_close(&p);
    CHECK_EQ(self.calls, 2);
}

/* arming again is legal inside the last call, and refused before it */
struct rearming {
    struct watcher watcher;
    int rounds;
    atomic_int armed; /* so often again */
};

static size_t arms_again(void *user, iouringnet_status status, const void *data, size_t size) {
    struct rearming *self = user;
    if (watcher_call(&self->watcher, status, data, size))
        return watcher_consume(&self->watcher, size);
    self->watcher.ends = 0;
    if (--self->rounds > 0) {
        CHECK_OK(watch_data(self->watcher.pair->b.stream, arms_again, self));
        atomic_fetch_add(&self->armed, 1);
    }
    return 0;
}

TEST(armed_again_in_the_last_call) {
    struct pair p = tcp_pair();
    struct rearming self = {.rounds = 3};

    watcher_init(&self.watcher, &p, 100, 13);
    latch_reset(&self.watcher.over, 2);
    CHECK_OK(watch_data(p.b.stream, arms_again, &self));
    CHECK_OK(stream_unwatch(p.b.stream));
    EVENTUALLY(atomic_load(&self.armed) == 1);
    CHECK_OK(stream_unwatch(p.b.stream));
    latch_wait(&self.watcher.over);
    send_pattern(p.a.sink, 0, 100, 100, 13);
    latch_wait(&self.watcher.enough);
    pair_close(&p);
    CHECK_EQ(self.rounds, 0);
}

TEST(a_watch_and_receives_exclude_each_other) {
    struct pair p = tcp_pair();
    struct watcher self;
    struct result result = RESULT;
    const void *shown;
    size_t size;
    char into[4];

    watcher_init(&self, &p, 10, 14);
    CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &result, NULL));
    CHECK_STATUS(watch_data(p.b.stream, consumes_all, &self), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "1234", 4, NULL));
    CHECK_OK(result_wait(&result));
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    CHECK_STATUS(stream_recv(p.b.stream, into, 4, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_recv_some(p.b.stream, into, 4, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_fill(p.b.stream, 4), IOURINGNET_BUSY);
    CHECK_STATUS(stream_peek(p.b.stream, 4, &shown, &size), IOURINGNET_BUSY);
    send_pattern(p.a.sink, 0, 10, 10, 14);
    latch_wait(&self.enough);
    pair_close(&p);
}

/* alone */ TEST(a_quiet_watch_times_out) {
    struct pair p = tcp_pair();
    struct watcher self;
    int64_t began;

    watcher_init(&self, &p, 50, 15);
    CHECK_OK(connection_set_idle_timeout(NULL, p.b.stream, 600));
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    /* progress starts the time anew: five pieces, more than the timeout in all */
    for (size_t i = 0; i < 5; i++) {
        struct result timer = RESULT;
        began = now_ms();
        send_pattern(p.a.sink, i * 10, i * 10 + 10, 10, 15);
        CHECK_OK(net_call(p.a.net, 150, result_store, &timer, NULL));
        CHECK_OK(result_wait(&timer));
    }
    latch_wait(&self.enough);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 599, patient(10000));
    pair_close(&p);
}

/* alone */ TEST(paused_time_does_not_count) {
    struct pair p = tcp_pair();
    struct watcher self;
    struct result timer = RESULT;

    watcher_init(&self, &p, 10, 16);
    CHECK_OK(connection_set_idle_timeout(NULL, p.b.stream, 150));
    CHECK_OK(watch_data(p.b.stream, consumes_all, &self));
    CHECK_OK(stream_pause(p.b.stream));
    CHECK_OK(net_call(p.a.net, 400, result_store, &timer, NULL));
    CHECK_OK(result_wait(&timer));
    CHECK_EQ(latch_left(&self.over), 1);
    CHECK_OK(stream_resume(p.b.stream));
    send_pattern(p.a.sink, 0, 10, 10, 16);
    latch_wait(&self.enough);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_TIMEOUT);
    pair_close(&p);
}

/* a callback longer than the limit, at whose return there are bytes again */
struct dawdler {
    struct watcher watcher;
    iouringnet_stream *stream;
    int fd;
};

static size_t takes_longer_than_the_limit(void *user, iouringnet_status status, const void *data, size_t size) {
    struct dawdler *self = user;
    char next;

    if (!watcher_call(&self->watcher, status, data, size))
        return 0;
    pass(150);
    watcher_consume(&self->watcher, size);
    if (self->watcher.calls == 4) {
        stream_close(self->stream);
    } else {
        pattern_fill(&next, 1, self->watcher.consumed, 18);
        raw_send(self->fd, &next, 1);
    }
    return size;
}

/* alone */ TEST(a_callbacks_own_time_does_not_count) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    struct dawdler self;
    char first;

    self.fd = raw_peer(net, &sink, &self.stream);
    watcher_init(&self.watcher, NULL, 4, 18);
    CHECK_OK(connection_set_idle_timeout(NULL, self.stream, 100));
    CHECK_OK(watch_data(self.stream, takes_longer_than_the_limit, &self));
    pattern_fill(&first, 1, 0, 18);
    raw_send(self.fd, &first, 1);
    latch_wait(&self.watcher.over);
    /* the close in the fourth call, and not the limit */
    CHECK_STATUS(self.watcher.status, IOURINGNET_CLOSED);
    CHECK_EQ(self.watcher.calls, 5);
    sink_close(sink);
    raw_close(self.fd);
    CHECK_OK(net_stop(net));
    CHECK_EQ(self.watcher.ends, 1);
}
