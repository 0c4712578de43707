/* Watches and posts: what is consumed, kept, paused, resumed, told once and last; FULL and room again.
   Rule: Watches. */

#include "inside.h"

/* ---- stream_watch ---- */

struct watcher {
    struct pair *pair;
    struct latch enough, over;
    size_t want;            /* opens `enough` when so much has been consumed */
    size_t consumed;        /* the callbacks alone write; read by the test after a latch */
    int calls;
    int ends;
    iouringnet_status status;
    uint32_t seed;
    atomic_bool paused;     /* set around stream_pause: no call may start then */
};

static void watcher_init(struct watcher *self, struct pair *pair, size_t want, uint32_t seed)
{
    memset(self, 0, sizeof *self);
    self->pair = pair;
    self->want = want;
    self->seed = seed;
    latch_init(&self->enough, 1);
    latch_init(&self->over, 1);
}

/* the part that all watchers share; true: there is data to consume */
static bool watcher_call(struct watcher *self, iouringnet_status status, const void *data, size_t size)
{
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

static size_t watcher_consume(struct watcher *self, size_t size)
{
    bool before = self->consumed < self->want;
    self->consumed += size;
    if (before && self->consumed >= self->want)
        latch_open(&self->enough);
    return size;
}

static size_t consumes_all(void *user, iouringnet_status status, const void *data, size_t size)
{
    return watcher_call(user, status, data, size) ? watcher_consume(user, size) : 0;
}

static size_t consumes_by_halves(void *user, iouringnet_status status, const void *data, size_t size)
{
    return watcher_call(user, status, data, size) ? watcher_consume(user, (size + 1) / 2) : 0;
}

static void send_pattern(iouringnet_sink *sink, size_t from, size_t to, size_t piece, uint32_t seed)
{
    char *data = take(piece);
    for (size_t at = from; at < to; at += piece) {
        if (piece > to - at)
            piece = to - at;
        pattern_fill(data, piece, at, seed);
        CHECK_OK(sink_send(sink, data, piece, NULL));
    }
    free(data);
}

TEST(consumes_by_halves_and_ends_once)
{
    enum { SIZE = 1 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;
    char into[8];

    watcher_init(&self, &p, SIZE / 2, 1);
    CHECK_OK(stream_watch(p.b.stream, consumes_by_halves, &self));
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

TEST(arrives_whole_in_any_pieces)
{
    enum { SIZE = 8 << 20 };
    static const size_t pieces[] = {1000, 65536, SIZE};

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct pair p = tcp_pair_apart();
        struct watcher self;

        watcher_init(&self, &p, SIZE, 2);
        CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
        send_pattern(p.a.sink, 0, SIZE, pieces[i], 2);
        latch_wait(&self.enough);
        CHECK_EQ(self.consumed, SIZE);
        pair_close(&p);
    }
}

static void resumes(void *user, const iouringnet_completion *done)
{
    struct watcher *self = user;
    CHECK_OK(done->status);
    CHECK_OK(stream_resume(self->pair->b.stream));
}

/* leaves a little of each call but the last, and pauses now and then until a timer resumes */
static size_t leaves_and_pauses(void *user, iouringnet_status status, const void *data, size_t size)
{
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
TEST(a_flood_is_left_in_part_and_paused)
{
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, SIZE, 18);
    CHECK_OK(stream_watch(p.b.stream, leaves_and_pauses, &self));
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
TEST(begins_with_what_was_buffered)
{
    struct pair p = tcp_pair();
    struct watcher self;
    char into[100];

    watcher_init(&self, &p, 900, 3);
    send_pattern(p.a.sink, 0, 1000, 1000, 3);
    CHECK_OK(stream_recv(p.b.stream, into, 100, NULL));
    pattern_check(into, 100, 0, 3);
    self.consumed = 100;
    self.want = 1000;
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
    latch_wait(&self.enough);
    pair_close(&p);
}

TEST(paused_and_resumed_from_another_thread)
{
    enum { ROUNDS = 200, PIECE = 10000 };
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, (size_t)ROUNDS * PIECE, 4);
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
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

static size_t pauses_each_time(void *user, iouringnet_status status, const void *data, size_t size)
{
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    CHECK_OK(stream_pause(self->pair->b.stream));
    self->consumed += size;
    latch_open(&self->enough);
    return size;
}

TEST(paused_during_the_callback)
{
    struct pair p = tcp_pair();
    struct watcher self;
    size_t sent = 0;

    watcher_init(&self, &p, 0, 5);
    CHECK_OK(stream_watch(p.b.stream, pauses_each_time, &self));
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
static size_t resumes_inside(void *user, iouringnet_status status, const void *data, size_t size)
{
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

TEST(resumed_during_the_callback)
{
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 100, 6);
    CHECK_OK(stream_watch(p.b.stream, resumes_inside, &self));
    send_pattern(p.a.sink, 0, 100, 100, 6);
    latch_wait(&self.enough);
    CHECK_EQ(self.calls, 5);
    pair_close(&p);
}

/* a pause and a resume inside every call that has not seen all of a message yet: each is owed a further call, and the rest of
   the message and other connections come nevertheless */
static size_t resumes_inside_until_whole(void *user, iouringnet_status status, const void *data, size_t size)
{
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

TEST(resumed_during_each_callback_until_a_message_is_whole)
{
    struct pair p = tcp_pair(), other = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 100, 6);
    CHECK_OK(stream_watch(p.b.stream, resumes_inside_until_whole, &self));
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
static size_t resumes_inside_50_times(void *user, iouringnet_status status, const void *data, size_t size)
{
    struct watcher *self = user;
    if (watcher_call(self, status, data, size) && self->calls < 50) {
        CHECK_OK(stream_pause(self->pair->b.stream));
        CHECK_OK(stream_resume(self->pair->b.stream));
    }
    return 0;
}

TEST(resumed_during_each_callback_until_after_the_end)
{
    struct pair p = tcp_pair();
    struct watcher self;
    char into[40];

    watcher_init(&self, &p, 0, 6);
    send_pattern(p.a.sink, 0, 40, 40, 6);
    sink_close(p.a.sink);
    /* so that the loop meets it while calls are owed */
    EVENTUALLY(has_met_fin(descriptor_of(p.b.sink)));
    CHECK_OK(stream_watch(p.b.stream, resumes_inside_50_times, &self));
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_EOF);
    CHECK_EQ(self.calls, 51);
    CHECK_OK(stream_recv(p.b.stream, into, 40, NULL));
    pattern_check(into, 40, 0, 6);
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, NULL), IOURINGNET_EOF);
    pair_close(&p);
}

/* kept bytes alone do not bring a call: only new bytes or the end of a pause do */
static size_t keeps_until_told(void *user, iouringnet_status status, const void *data, size_t size)
{
    struct watcher *self = user;
    if (!watcher_call(self, status, data, size))
        return 0;
    latch_open(&self->enough);
    return 0;
}

TEST(a_resume_shows_the_kept_bytes_once)
{
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 0, 7);
    CHECK_OK(stream_watch(p.b.stream, keeps_until_told, &self));
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

TEST(a_pause_holds_the_peer_back)
{
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair_apart();
    struct watcher self;
    struct result sent = RESULT;
    char *data = take(SIZE);

    pattern_fill(data, SIZE, 0, 8);
    watcher_init(&self, &p, SIZE, 8);
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
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

TEST(the_end_waits_for_resume)
{
    struct pair p = tcp_pair_apart();
    struct watcher self;

    watcher_init(&self, &p, 10, 9);
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
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

TEST(a_close_does_not_wait_for_resume)
{
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 1, 10);
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
    CHECK_OK(stream_pause(p.b.stream));
    send_pattern(p.a.sink, 0, 10, 10, 10);
    stream_close(p.b.stream);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_CLOSED);
    CHECK_EQ(self.calls, 1);
    pair_close(&p);
}

TEST(keeping_too_much_ends_with_too_big)
{
    iouringnet_config config;
    struct pair p;
    struct watcher self;
    char *into = take(200000);
    size_t count;

    config_of_mode(&config);
    config.buffer_max = 100000;
    p = tcp_pair_with(&config);
    watcher_init(&self, &p, 0, 11);
    CHECK_OK(stream_watch(p.b.stream, keeps_until_told, &self));
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
static size_t consumes_messages(void *user, iouringnet_status status, const void *data, size_t size)
{
    if (!watcher_call(user, status, data, size))
        return 0;
    return watcher_consume(user, size - size % 100000);
}

TEST(keeping_up_to_buffer_max_is_fine)
{
    enum { SIZE = 4000000 };
    iouringnet_config config;
    struct pair p;
    struct watcher self;

    config_of_mode(&config);
    config.buffer_max = 100000;
    p = tcp_pair_with(&config);
    watcher_init(&self, &p, SIZE, 17);
    CHECK_OK(stream_watch(p.b.stream, consumes_messages, &self));
    send_pattern(p.a.sink, 0, SIZE, 77777, 17);
    latch_wait(&self.enough);
    CHECK_EQ(latch_left(&self.over), 1);
    CHECK_EQ(self.consumed, SIZE);
    pair_close(&p);
}

static size_t takes_more_than_shown(void *user, iouringnet_status status, const void *data, size_t size)
{
    return watcher_call(user, status, data, size) ? size + 1 : 0;
}

TEST(consuming_more_than_shown_ends_with_invalid)
{
    struct pair p = tcp_pair();
    struct watcher self;

    watcher_init(&self, &p, 0, 12);
    CHECK_OK(stream_watch(p.b.stream, takes_more_than_shown, &self));
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
};

static size_t arms_again(void *user, iouringnet_status status, const void *data, size_t size)
{
    struct rearming *self = user;
    if (watcher_call(&self->watcher, status, data, size))
        return watcher_consume(&self->watcher, size);
    self->watcher.ends = 0;
    if (--self->rounds > 0)
        CHECK_OK(stream_watch(self->watcher.pair->b.stream, arms_again, self));
    return 0;
}

TEST(armed_again_in_the_last_call)
{
    struct pair p = tcp_pair();
    struct rearming self = {.rounds = 3};

    watcher_init(&self.watcher, &p, 100, 13);
    latch_reset(&self.watcher.over, 2);
    CHECK_OK(stream_watch(p.b.stream, arms_again, &self));
    CHECK_OK(stream_watch(p.b.stream, NULL, NULL));
    EVENTUALLY(latch_left(&self.watcher.over) == 1);
    CHECK_OK(stream_watch(p.b.stream, NULL, NULL));
    latch_wait(&self.watcher.over);
    send_pattern(p.a.sink, 0, 100, 100, 13);
    latch_wait(&self.watcher.enough);
    pair_close(&p);
    CHECK_EQ(self.rounds, 0);
}

TEST(a_watch_and_receives_exclude_each_other)
{
    struct pair p = tcp_pair();
    struct watcher self;
    struct result result = RESULT;
    const void *shown;
    size_t size;
    char into[4];

    watcher_init(&self, &p, 10, 14);
    CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &result, NULL));
    CHECK_STATUS(stream_watch(p.b.stream, consumes_all, &self), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "1234", 4, NULL));
    CHECK_OK(result_wait(&result));
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
    CHECK_STATUS(stream_recv(p.b.stream, into, 4, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_recv_some(p.b.stream, into, 4, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(stream_fill(p.b.stream, 4), IOURINGNET_BUSY);
    CHECK_STATUS(stream_peek(p.b.stream, 4, &shown, &size), IOURINGNET_BUSY);
    send_pattern(p.a.sink, 0, 10, 10, 14);
    latch_wait(&self.enough);
    pair_close(&p);
}

/* alone */ TEST(a_quiet_watch_times_out)
{
    struct pair p = tcp_pair();
    struct watcher self;
    int64_t began;

    watcher_init(&self, &p, 50, 15);
    CHECK_OK(stream_set_timeout(p.b.stream, 200));
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
    /* progress starts the time anew: five pieces, more than the timeout in all */
    for (size_t i = 0; i < 5; i++) {
        struct result timer = RESULT;
        began = now_ms();
        send_pattern(p.a.sink, i * 10, i * 10 + 10, 10, 15);
        CHECK_OK(net_call(p.a.net, 80, result_store, &timer, NULL));
        CHECK_OK(result_wait(&timer));
    }
    latch_wait(&self.enough);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 199, 10000);
    pair_close(&p);
}

/* alone */ TEST(paused_time_does_not_count)
{
    struct pair p = tcp_pair();
    struct watcher self;
    struct result timer = RESULT;

    watcher_init(&self, &p, 10, 16);
    CHECK_OK(stream_set_timeout(p.b.stream, 150));
    CHECK_OK(stream_watch(p.b.stream, consumes_all, &self));
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

static size_t takes_longer_than_the_limit(void *user, iouringnet_status status, const void *data, size_t size)
{
    struct dawdler *self = user;
    char next;

    if (!watcher_call(&self->watcher, status, data, size))
        return 0;
    for (int64_t end = now_ms() + 150; now_ms() < end;)
        nap();
    watcher_consume(&self->watcher, size);
    if (self->watcher.calls == 4) {
        stream_close(self->stream);
    } else {
        pattern_fill(&next, 1, self->watcher.consumed, 18);
        raw_send(self->fd, &next, 1);
    }
    return size;
}

/* alone */ TEST(a_callbacks_own_time_does_not_count)
{
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    struct dawdler self;
    char first;

    self.fd = raw_peer(net, &sink, &self.stream);
    watcher_init(&self.watcher, NULL, 4, 18);
    CHECK_OK(stream_set_timeout(self.stream, 100));
    CHECK_OK(stream_watch(self.stream, takes_longer_than_the_limit, &self));
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

/* ---- sink_post and sink_watch ---- */

struct room {
    atomic_int told;
    struct latch room, over;
    iouringnet_status status;
    int ends;
};

static void tells_room(void *user, const iouringnet_completion *done)
{
    struct room *room = user;
    CHECK_EQ(room->ends, 0);
    if (done->status == 0) {
        atomic_fetch_add(&room->told, 1);
        latch_open(&room->room);
    } else {
        room->ends++;
        room->status = done->status;
        latch_open(&room->over);
    }
}

static void *reads_to_end(void *user)
{
    struct end *end = user;
    char *into = take(1 << 20);
    size_t at = 0, count;
    iouringnet_status status;

    while ((status = stream_recv_some(end->stream, into, 1 << 20, &count)) == 0) {
        pattern_check(into, count, at, 20);
        at += count;
    }
    CHECK_STATUS(status, IOURINGNET_EOF);
    free(into);
    return (void *)at;
}

TEST(posts_beyond_the_mark)
{
    enum { SIZE = 48 << 20, PIECE = 64 << 10 };
    iouringnet_config config;
    struct pair p;
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char *data = take(PIECE);
    pthread_t reader = 0;
    void *taken;
    int fulls = 0;

    config_of_mode(&config);
    config.post_mark = 256 << 10;
    p = tcp_pair_with(&config);
    CHECK_OK(sink_watch(p.a.sink, tells_room, &room));
    for (size_t at = 0; at < SIZE;) {
        iouringnet_status status;

        pattern_fill(data, PIECE, at, 20);
        status = sink_post(p.a.sink, data, PIECE);
        if (status == 0) {
            at += PIECE;
            continue;
        }
        CHECK_STATUS(status, IOURINGNET_FULL);
        /* nothing reads before the first FULL, so that there is one for certain */
        if (fulls++ == 0)
            reader = spawn(reads_to_end, &p.b);
        latch_wait(&room.room);
        latch_reset(&room.room, 1);
    }
    CHECK(fulls > 0);
    sink_close(p.a.sink);
    CHECK_EQ(pthread_join(reader, &taken), 0);
    CHECK_EQ((size_t)taken, SIZE);
    latch_wait(&room.over);
    CHECK_STATUS(room.status, IOURINGNET_CLOSED);
    CHECK_EQ(room.told, fulls);
    pair_close(&p);
    free(data);
}

TEST(a_post_of_64_mib_on_an_empty_sink)
{
    enum { SIZE = 64 << 20 };
    struct pair p = tcp_pair();
    char *data = take(SIZE);
    pthread_t reader;
    void *taken;

    pattern_fill(data, SIZE, 0, 20);
    CHECK_OK(sink_post(p.a.sink, data, SIZE));
    memset(data, 0, SIZE);
    CHECK_STATUS(sink_post(p.a.sink, data, 1), IOURINGNET_FULL);
    reader = spawn(reads_to_end, &p.b);
    CHECK_OK(sink_flush(p.a.sink));
    sink_close(p.a.sink);
    CHECK_EQ(pthread_join(reader, &taken), 0);
    CHECK_EQ((size_t)taken, SIZE);
    pair_close(&p);
    free(data);
}

TEST(room_is_told_at_once_when_armed_late)
{
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    size_t total = jam(&p.a);
    char *into = take(total);

    CHECK_OK(stream_recv(p.b.stream, into, total, NULL));
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_OK(sink_watch(p.a.sink, tells_room, &room));
    latch_wait(&room.room);
    settle(p.a.net);
    CHECK_EQ(room.told, 1);
    CHECK_STATUS(sink_watch(p.a.sink, tells_room, &room), IOURINGNET_BUSY);
    CHECK_OK(sink_watch(p.a.sink, NULL, NULL));
    latch_wait(&room.over);
    CHECK_STATUS(room.status, IOURINGNET_CANCELLED);
    /* the sink itself goes on */
    CHECK_OK(sink_send(p.a.sink, "on", 2, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 2, NULL));
    pair_close(&p);
    free(into);
}

/* a watch that has ended does not swallow what the next one is to be told */
TEST(room_is_told_to_the_next_watch)
{
    struct pair p = tcp_pair();
    struct room first = {0, LATCH(1), LATCH(1), 0, 0}, second = {0, LATCH(1), LATCH(1), 0, 0};
    size_t total;
    char *into;

    CHECK_OK(sink_watch(p.a.sink, tells_room, &first));
    CHECK_OK(sink_watch(p.a.sink, NULL, NULL));
    latch_wait(&first.over);
    total = jam(&p.a);
    into = take(total);
    CHECK_OK(stream_recv(p.b.stream, into, total, NULL));
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_OK(sink_watch(p.a.sink, tells_room, &second));
    latch_wait(&second.room);
    CHECK_EQ(first.told, 0);
    pair_close(&p);
    free(into);
}

TEST(no_room_is_told_without_a_full)
{
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char into[4];

    CHECK_OK(sink_watch(p.a.sink, tells_room, &room));
    CHECK_OK(sink_post(p.a.sink, "1234", 4));
    CHECK_OK(stream_recv(p.b.stream, into, 4, NULL));
    settle(p.a.net);
    CHECK_EQ(room.told, 0);
    sink_close(p.a.sink);
    latch_wait(&room.over);
    CHECK_STATUS(room.status, IOURINGNET_CLOSED);
    pair_close(&p);
}

TEST(a_failed_post_is_told)
{
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    int fd = raw_peer_sized(net, 16384, 0, &sink, &stream);

    CHECK_OK(sink_watch(sink, tells_room, &room));
    jam_sink(sink);
    raw_reset(fd);
    latch_wait(&room.over);
    CHECK_STATUS(room.status, -ECONNRESET);
    CHECK_STATUS(sink_post(sink, "x", 1), -ECONNRESET);
    CHECK_STATUS(sink_send(sink, "x", 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_flush(sink), -ECONNRESET);
    sink_close(sink);
    stream_close(stream);
    CHECK_OK(net_stop(net));
    CHECK_EQ(room.ends, 1);
}

TEST(flush_waits_for_what_was_accepted)
{
    enum { SIZE = 16 << 20 };
    struct pair p = tcp_pair();
    struct result sent = RESULT, flushed = RESULT;
    iouringnet_sink_info info;
    char *data = take(SIZE), *into = take(SIZE);

    pattern_fill(data, SIZE, 0, 21);
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, result_store, &sent, NULL));
    CHECK_OK(sink_flush_async(p.a.sink, result_store, &flushed, NULL));
    settle(p.a.net);
    CHECK_EQ(flushed.calls, 0);
    /* a flush that is late takes nothing with it */
    CHECK_OK(sink_set_timeout(p.a.sink, 30));
    CHECK_STATUS(sink_flush(p.a.sink), IOURINGNET_TIMEOUT);
    CHECK_OK(stream_recv(p.b.stream, into, SIZE, NULL));
    CHECK_OK(result_wait(&flushed));
    CHECK_EQ(sent.calls, 1);
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_MEM(into, data, SIZE);
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(p.a.sink, &info));
    CHECK_EQ(info.unsent, 0);
    pair_close(&p);
    free(data);
    free(into);
}

/* posts that make no progress for the sink's timeout break it, and that is told */
TEST(posts_without_progress_time_out)
{
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};

    jam(&p.a);
    CHECK_OK(sink_watch(p.a.sink, tells_room, &room));
    CHECK_OK(sink_set_timeout(p.a.sink, 50));
    latch_wait(&room.over);
    CHECK_STATUS(room.status, IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_post(p.a.sink, "x", 1), IOURINGNET_TIMEOUT);
    pair_close(&p);
    CHECK_EQ(room.ends, 1);
}

/* a send without a limit of its own has waited for long; the time of a post behind it begins with the post */
TEST(a_post_behind_a_stuck_send_has_its_own_time)
{
    enum { SIZE = 32 << 20, LIMIT_MS = 200 };
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct result stuck = RESULT;
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char *data = take(SIZE);
    int64_t posted;
    int fd = raw_peer_sized(net, 16384, 0, &sink, &stream);

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(sink, data, SIZE, result_store, &stuck, NULL));
    CHECK_OK(sink_set_timeout(sink, LIMIT_MS));
    CHECK_OK(sink_watch(sink, tells_room, &room));
    CHECK(!latch_wait_ms(&stuck.latch, 3 * LIMIT_MS / 2));
    posted = now_ms();
    CHECK_OK(sink_post(sink, "x", 1));
    latch_wait(&room.over);
    /* a clock that counts whole milliseconds may show one less than has passed */
    CHECK_BETWEEN(now_ms() - posted, LIMIT_MS - 1, WAIT_MS);
    CHECK_STATUS(room.status, IOURINGNET_TIMEOUT);
    CHECK_STATUS(result_wait(&stuck), IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_post(sink, "x", 1), IOURINGNET_TIMEOUT);
    sink_close(sink);
    stream_close(stream);
    raw_close(fd);
    CHECK_OK(net_stop(net));
    free(data);
}

/* arming is accepted also then, and so there is a last call */
TEST(a_watch_of_a_broken_sink_is_told_the_cause)
{
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char byte;
    int fd = raw_peer(net, &sink, &stream);

    raw_reset(fd);
    CHECK_STATUS(stream_recv(stream, &byte, 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_send(sink, "x", 1, NULL), -ECONNRESET);
    for (int i = 0; i < 3; i++) {
        struct room room = {0, LATCH(1), LATCH(1), 0, 0};

        CHECK_OK(sink_watch(sink, tells_room, &room));
        latch_wait(&room.over);
        CHECK_STATUS(room.status, -ECONNRESET);
        CHECK_EQ(room.told, 0);
    }
    sink_close(sink);
    stream_close(stream);
    CHECK_OK(net_stop(net));
}

/* ---- listener_watch ---- */

struct door {
    struct latch opened, over;
    iouringnet_status status;
    int ends;
};

static void lets_in(void *user, const iouringnet_completion *done)
{
    struct door *door = user;
    CHECK_EQ(door->ends, 0);
    if (done->status == 0) {
        sink_close(done->sink);
        stream_close(done->stream);
        latch_open(&door->opened);
    } else {
        door->ends++;
        door->status = done->status;
        latch_open(&door->over);
    }
}

TEST(a_listener_stops_accepting_and_goes_on)
{
    iouringnet_net *net = net_of_mode();
    struct door door = {LATCH(1), LATCH(1), 0, 0};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fd;

    for (int i = 0; i < 3; i++) {
        latch_reset(&door.opened, 1);
        latch_reset(&door.over, 1);
        door.ends = 0;
        CHECK_OK(listener_watch(listener, lets_in, &door));
        CHECK_STATUS(listener_accept(listener, &sink, &stream), IOURINGNET_BUSY);
        CHECK_STATUS(listener_watch(listener, lets_in, &door), IOURINGNET_BUSY);
        fd = raw_dial(address.text);
        latch_wait(&door.opened);
        raw_expect_eof(fd);
        raw_close(fd);
        CHECK_OK(listener_watch(listener, NULL, NULL));
        latch_wait(&door.over);
        CHECK_STATUS(door.status, IOURINGNET_CANCELLED);
        /* without the watch, accept takes the next connection */
        fd = raw_dial(address.text);
        CHECK_OK(listener_accept(listener, &sink, &stream));
        sink_close(sink);
        stream_close(stream);
        raw_expect_eof(fd);
        raw_close(fd);
    }
    CHECK_OK(net_stop(net));
}
