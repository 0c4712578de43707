/* Watches that end: which call is the last, what it finds, and what the stream says afterwards.
   Rule: Watches. */

#include "inside.h"

#include <sys/ioctl.h>

/* ---- several pieces at once, and a first call that ends the watch ---- */

enum { PIECES = 200000, SEED = 9 };
enum way { CONSUMES_TOO_MUCH, KEEPS_TOO_MUCH, UNWATCHES, CLOSES, PAUSES };

struct first {
    struct ending ending;
    iouringnet_stream *stream;
    enum way way;
    atomic_size_t consumed;
};

static size_t ends_in_its_first_call(void *user, iouringnet_status status, const void *data, size_t size) {
    struct first *first = user;

    if (status != 0) {
        CHECK(data == NULL);
        CHECK_EQ(size, 0);
        ending_note(&first->ending, status);
        return 0;
    }
    pattern_check(data, size, atomic_load(&first->consumed), SEED);
    ending_note(&first->ending, 0);
    switch (first->way) {
    case CONSUMES_TOO_MUCH: atomic_fetch_add(&first->consumed, size); return size + 1;
    case KEEPS_TOO_MUCH: return 0;
    case UNWATCHES: CHECK_OK(stream_unwatch(first->stream)); break;
    case CLOSES: stream_close(first->stream); break;
    case PAUSES: CHECK_OK(stream_pause(first->stream)); break;
    }
    atomic_fetch_add(&first->consumed, 100);
    return 100;
}

static void arms(void *user) {
    struct first *first = user;

    CHECK_OK(watch_data(first->stream, ends_in_its_first_call, first));
}

/* The bytes take several buffers, and are all there when the watch is armed. */
static struct pair pieces_that_wait(size_t buffer_max) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    char *data = take(PIECES);
    int left = 0, fd;

    config.recv_buffer = 4 * PIECES;
    config.buffer_max = buffer_max;
    p = tcp_pair_with(&config);
    fd = descriptor_of(p.b.sink);
    pattern_fill(data, PIECES, 0, SEED);
    CHECK_OK(sink_send(p.a.sink, data, PIECES, NULL));
    for (int64_t end = now_ms() + patient(5000); left < PIECES && now_ms() < end; nap())
        CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
    if (left < PIECES)
        SKIP("the system's bound of receive buffers is too low");
    free(data);
    return p;
}

/* what the watch has not consumed */
static void receive_the_rest(struct first *first) {
    size_t rest = PIECES - atomic_load(&first->consumed);
    char *got = take(rest);

    CHECK_OK(stream_recv(first->stream, got, rest, NULL));
    pattern_check(got, rest, atomic_load(&first->consumed), SEED);
    free(got);
}

static void ends_at_once(enum way way, iouringnet_status status) {
    struct pair p = pieces_that_wait(way == KEEPS_TOO_MUCH ? 16 << 10 : 0);
    struct first first = {.ending = ENDING, .stream = p.b.stream, .way = way};

    on_callback_thread(p.b.net, arms, &first);
    CHECK_STATUS(ending_wait(&first.ending), status);
    settle(p.b.net);
    CHECK_EQ(first.ending.events, 1);
    CHECK_EQ(first.ending.ends, 1);
    if (way != CLOSES)
        receive_the_rest(&first);
    pair_close(&p);
}

TEST(no_bytes_are_shown_after_a_call_that_consumed_too_much) {
    ends_at_once(CONSUMES_TOO_MUCH, IOURINGNET_INVALID);
}

TEST(no_bytes_are_shown_after_a_call_that_kept_too_much) {
    ends_at_once(KEEPS_TOO_MUCH, IOURINGNET_TOO_BIG);
}

TEST(no_bytes_are_shown_after_a_call_that_ended_the_watch) {
    ends_at_once(UNWATCHES, IOURINGNET_CANCELLED);
}

TEST(no_bytes_are_shown_after_a_call_that_closed_the_stream) {
    ends_at_once(CLOSES, IOURINGNET_CLOSED);
}

TEST(no_bytes_are_shown_after_a_call_that_paused) {
    struct pair p = pieces_that_wait(0);
    struct first first = {.ending = ENDING, .stream = p.b.stream, .way = PAUSES};

    on_callback_thread(p.b.net, arms, &first);
    EVENTUALLY(first.ending.events == 1);
    settle(p.b.net);
    settle(p.b.net);
    CHECK_EQ(first.ending.events, 1);
    CHECK_OK(stream_unwatch(p.b.stream));
    CHECK_STATUS(ending_wait(&first.ending), IOURINGNET_CANCELLED);
    CHECK_EQ(first.ending.events, 1);
    receive_the_rest(&first);
    pair_close(&p);
}

/* ---- afterwards ---- */

static iouringnet_status watch_again(iouringnet_stream *stream) {
    struct ending ending = ENDING;

    CHECK_OK(watch_data(stream, ending_store_data, &ending));
    ending_wait(&ending);
    CHECK_EQ(ending.events, 0);
    return ending.status;
}

/* the same status from every call, as often as it is asked */
static void ends_for_ever(bool reset, iouringnet_status status) {
    struct mixed m = mixed_pair();
    struct ending ending = ENDING;
    const void *data;
    size_t size;
    char byte;

    CHECK_OK(watch_data(m.stream, ending_store_data, &ending));
    settle(m.net);
    if (reset)
        raw_reset(m.peer);
    else
        raw_half_close(m.peer);
    CHECK_STATUS(ending_wait(&ending), status);
    for (int i = 0; i < 3; i++) {
        struct result received = RESULT;

        CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), status);
        CHECK_STATUS(watch_again(m.stream), status);
        CHECK_STATUS(stream_recv_some(m.stream, &byte, 1, NULL), status);
        CHECK_STATUS(stream_fill(m.stream, 1), status);
        CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
        CHECK_STATUS(result_wait(&received), status);
        CHECK_OK(stream_peek(m.stream, 1, &data, &size));
        CHECK_EQ(size, 0);
    }
    sink_close(m.sink);
    stream_close(m.stream);
    if (!reset)
        raw_close(m.peer);
    CHECK_OK(net_stop(m.net));
}

TEST(a_reset_that_ended_a_watch_is_told_ever_after) {
    ends_for_ever(true, -ECONNRESET);
}

TEST(an_end_that_ended_a_watch_is_told_ever_after) {
    ends_for_ever(false, IOURINGNET_EOF);
}

TEST(only_a_watch_can_be_paused_and_resumed) {
    struct pair p = tcp_pair();
    struct ending ending = ENDING;

    CHECK_STATUS(stream_pause(p.b.stream), IOURINGNET_INVALID);
    CHECK_STATUS(stream_resume(p.b.stream), IOURINGNET_INVALID);
    CHECK_OK(watch_data(p.b.stream, ending_store_data, &ending));
    CHECK_OK(stream_pause(p.b.stream));
    CHECK_OK(stream_pause(p.b.stream));
    CHECK_OK(stream_resume(p.b.stream));
    CHECK_OK(stream_resume(p.b.stream));
    CHECK_OK(stream_unwatch(p.b.stream));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_CANCELLED);
    CHECK_STATUS(stream_pause(p.b.stream), IOURINGNET_INVALID);
    CHECK_STATUS(stream_resume(p.b.stream), IOURINGNET_INVALID);
    CHECK_OK(stream_unwatch(p.b.stream)); /* there is none to end */
    pair_close(&p);
}

/* ---- an aborted connection ---- */

TEST(the_stream_of_an_aborted_connection_gives_nothing) {
    struct pair p = tcp_pair();
    struct result received = RESULT, filled = RESULT;
    const void *data = &p;
    size_t size = 77;
    char into[8];

    CHECK_OK(sink_send(p.a.sink, "abcdefgh", 8, NULL));
    CHECK_OK(stream_fill(p.b.stream, 8));
    connection_abort(p.b.sink, NULL);
    CHECK_STATUS(stream_peek(p.b.stream, 8, &data, &size), IOURINGNET_CLOSED);
    CHECK(data == &p);
    CHECK_EQ(size, 77);
    CHECK_STATUS(stream_consume(p.b.stream, 1), IOURINGNET_CLOSED);
    CHECK_STATUS(stream_consume(p.b.stream, 0), IOURINGNET_CLOSED);
    CHECK_STATUS(stream_recv(p.b.stream, into, 1, &size), IOURINGNET_CLOSED);
    CHECK_EQ(size, 0);
    CHECK_STATUS(stream_recv_some(p.b.stream, into, 1, &size), IOURINGNET_CLOSED);
    CHECK_EQ(size, 0);
    CHECK_STATUS(stream_fill(p.b.stream, 1), IOURINGNET_CLOSED);
    CHECK_STATUS(watch_data(p.b.stream, never_data, NULL), IOURINGNET_CLOSED);
    CHECK_OK(stream_recv_async(p.b.stream, into, 8, result_store, &received, NULL));
    CHECK_STATUS(result_wait(&received), IOURINGNET_CLOSED);
    CHECK_EQ(received.done.bytes, 0);
    CHECK_OK(stream_fill_async(p.b.stream, 8, result_store, &filled, NULL));
    CHECK_STATUS(result_wait(&filled), IOURINGNET_CLOSED);
    pair_close(&p);
}
