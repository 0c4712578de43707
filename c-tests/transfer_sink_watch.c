/* Posts and the watches of sinks: FULL and room again, calls that bring a failure, and flushes.
   Rule: Watches. */

#include "inside.h"

struct room {
    atomic_int told;
    struct latch room, over;
    iouringnet_status status;
    int ends;
};

static void tells_room(void *user, iouringnet_status status) {
    struct room *room = user;
    CHECK_EQ(room->ends, 0);
    if (status == 0) {
        atomic_fetch_add(&room->told, 1);
        latch_open(&room->room);
    } else {
        room->ends++;
        room->status = status;
        latch_open(&room->over);
    }
}

/* repeats what a broken sink has told */
static void tells_end(void *user, iouringnet_status status) {
    struct room *room = user;
    if (room->ends++ == 0) {
        room->status = status;
        latch_open(&room->over);
    }
    CHECK_STATUS(status, room->status);
}

static void *reads_to_end(void *user) {
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

TEST(posts_beyond_the_mark) {
    enum { SIZE = 48 << 20, PIECE = 64 << 10 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char *data = take(PIECE);
    pthread_t reader = 0;
    void *taken;
    int fulls = 0;

    config.post_mark = 256 << 10;
    p = tcp_pair_with(&config);
    CHECK_OK(watch_sink(p.a.sink, tells_room, tells_end, &room));
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
    CHECK_OK(room.status);
    CHECK_EQ(room.told, fulls);
    pair_close(&p);
    free(data);
}

TEST(a_post_of_64_mib_on_an_empty_sink) {
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

TEST(room_is_told_at_once_when_armed_late) {
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    size_t total = jam(&p.a);
    char *into = take(total);

    CHECK_OK(stream_recv(p.b.stream, into, total, NULL));
    CHECK_OK(sink_flush(p.a.sink));
    CHECK_OK(watch_sink(p.a.sink, tells_room, tells_end, &room));
    latch_wait(&room.room);
    settle(p.a.net);
    CHECK_EQ(room.told, 1);
    CHECK_STATUS(watch_sink(p.a.sink, tells_room, tells_end, &room), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "on", 2, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 2, NULL));
    pair_close(&p);
    free(into);
}

TEST(no_room_is_told_without_a_full) {
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char into[4];

    CHECK_OK(watch_sink(p.a.sink, tells_room, tells_end, &room));
    CHECK_OK(sink_post(p.a.sink, "1234", 4));
    CHECK_OK(stream_recv(p.b.stream, into, 4, NULL));
    settle(p.a.net);
    CHECK_EQ(room.told, 0);
    sink_close(p.a.sink);
    latch_wait(&room.over);
    CHECK_OK(room.status);
    pair_close(&p);
}

TEST(a_failed_post_is_told) {
    struct mixed m = mixed_pair_sized(16384);
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};

    CHECK_OK(watch_sink(m.sink, tells_room, tells_end, &room));
    jam_sink(m.sink);
    raw_reset(m.peer);
    latch_wait(&room.over);
    CHECK_STATUS(room.status, -ECONNRESET);
    CHECK_STATUS(sink_post(m.sink, "x", 1), -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_flush(m.sink), -ECONNRESET);
    mixed_stop(&m);
    CHECK_EQ(room.ends, 2); /* the cause, and the end */
}

TEST(flush_waits_for_what_was_accepted) {
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

TEST(a_flush_waits_for_the_send_of_another_thread) {
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair();
    char *data = take(SIZE), *got = take(SIZE);
    struct sender first = {p.a.sink, data, SIZE, 0, IOURINGNET_PENDING};
    struct result flushed = RESULT;
    pthread_t thread;

    pattern_fill(data, SIZE, 0, 4);
    thread = spawn(sender_run, &first);
    EVENTUALLY(unsent_of(p.a.sink) > 0);
    CHECK_OK(sink_flush_async(p.a.sink, result_store, &flushed, NULL));
    settle(p.a.net);
    CHECK_EQ(flushed.calls, 0);
    CHECK_OK(stream_recv(p.b.stream, got, SIZE, NULL));
    CHECK_OK(result_wait(&flushed));
    join(thread);
    CHECK_OK(first.status);
    CHECK_MEM(got, data, SIZE);
    pair_close(&p);
    free(data);
    free(got);
}

/* posts of which the kernel takes none for the idle limit break the sink, and that is told */
TEST(posts_without_progress_time_out) {
    struct pair p = tcp_pair();
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};

    jam(&p.a);
    CHECK_OK(watch_sink(p.a.sink, tells_room, tells_end, &room));
    CHECK_OK(connection_set_idle_timeout(p.a.sink, NULL, 50));
    latch_wait(&room.over);
    CHECK_STATUS(room.status, IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_post(p.a.sink, "x", 1), IOURINGNET_TIMEOUT);
    pair_close(&p);
    CHECK_EQ(room.ends, 2); /* the cause, and the end */
}

/* a send has waited for long; the time of a post behind it begins with the limit, and takes the send with it */
TEST(a_post_behind_a_stuck_send_has_its_own_time) {
    enum { SIZE = 32 << 20, LIMIT_MS = 200 };
    struct mixed m = mixed_pair_sized(16384);
    struct result stuck = RESULT;
    struct room room = {0, LATCH(1), LATCH(1), 0, 0};
    char *data = take(SIZE);
    int64_t posted;

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &stuck, NULL));
    CHECK_OK(watch_sink(m.sink, tells_room, tells_end, &room));
    CHECK(!latch_wait_ms(&stuck.latch, 3 * LIMIT_MS / 2));
    posted = now_ms();
    CHECK_OK(sink_post(m.sink, "x", 1));
    CHECK_OK(connection_set_idle_timeout(m.sink, NULL, LIMIT_MS));
    latch_wait(&room.over);
    /* a clock that counts whole milliseconds may show one less than has passed */
    CHECK_BETWEEN(now_ms() - posted, LIMIT_MS - 1, WAIT_MS);
    CHECK_STATUS(room.status, IOURINGNET_TIMEOUT);
    CHECK_STATUS(result_wait(&stuck), IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_TIMEOUT);
    mixed_close(&m);
    free(data);
}

/* arming is accepted also then, and so there is a last call */
TEST(a_watch_of_a_broken_sink_is_told_the_cause) {
    struct mixed m = mixed_pair();
    char byte;

    raw_reset(m.peer);
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
    for (int i = 0; i < 3; i++) {
        struct room room = {0, LATCH(1), LATCH(1), 0, 0};

        CHECK_OK(watch_sink(m.sink, tells_room, NULL, &room));
        latch_wait(&room.over);
        CHECK_STATUS(room.status, -ECONNRESET);
        CHECK_EQ(room.told, 0);
    }
    mixed_stop(&m);
}
