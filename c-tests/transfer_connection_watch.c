/* The watch of a connection: the order of its calls, its one end, and what the end says.
   Rule: Watches. */

#include "inside.h"

/* What a watch has called, one letter for each call: d bytes, D the last call of data; R the last call of room; o the
   callback of an operation; e the end. Calls for room are counted apart, because full sockets take bytes at their own
   pace. The callback thread alone writes. */
struct calls {
    char order[64];
    size_t count;
    atomic_int rooms;
    iouringnet_status data, room, end;
    iouringnet_sink *sink; /* with `closes`: data's last call closes both halves */
    iouringnet_stream *stream;
    bool closes;
    struct latch shown, data_over, room_told, room_over, over;
};

static void calls_init(struct calls *calls) {
    memset(calls, 0, sizeof *calls);
    latch_init(&calls->shown, 1);
    latch_init(&calls->data_over, 1);
    latch_init(&calls->room_told, 1);
    latch_init(&calls->room_over, 1);
    latch_init(&calls->over, 1);
}

static void note(struct calls *calls, char letter) {
    CHECK(calls->count + 1 < sizeof calls->order);
    CHECK(strchr(calls->order, 'e') == NULL); /* nothing comes after the end */
    calls->order[calls->count++] = letter;
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct calls *calls = user;

    note(calls, status == 0 ? 'd' : 'D');
    if (status == 0) {
        latch_open(&calls->shown);
        return size;
    }
    CHECK(data == NULL);
    calls->data = status;
    latch_open(&calls->data_over);
    if (calls->closes)
        connection_close(calls->sink, calls->stream);
    return 0;
}

static void on_room(void *user, iouringnet_status status) {
    struct calls *calls = user;

    CHECK(strchr(calls->order, 'R') == NULL && strchr(calls->order, 'e') == NULL);
    if (status == 0) {
        atomic_fetch_add(&calls->rooms, 1);
        latch_open(&calls->room_told);
        return;
    }
    note(calls, 'R');
    calls->room = status;
    latch_open(&calls->room_over);
}

static void on_end(void *user, iouringnet_status status) {
    struct calls *calls = user;

    note(calls, 'e');
    calls->end = status;
    latch_open(&calls->over);
}

static void on_operation(void *user, const iouringnet_completion *done) {
    (void)done;
    note(user, 'o');
}

static const iouringnet_connection_callbacks all = {sizeof all, on_data, on_room, on_end};
static const iouringnet_connection_callbacks data_and_end = {sizeof all, on_data, NULL, on_end};
static const iouringnet_connection_callbacks only_data = {sizeof all, on_data, NULL, NULL};
static const iouringnet_connection_callbacks only_room = {sizeof all, NULL, on_room, NULL};
static const iouringnet_connection_callbacks only_end = {sizeof all, NULL, NULL, on_end};

static iouringnet_status end_of(struct calls *calls) {
    latch_wait(&calls->over);
    return calls->end;
}

/* a connection with a plain peer, all of whose calls are noted */
struct noted {
    struct mixed m;
    struct calls calls;
    int rooms; /* calls for room at the close */
};

static void noted_with(struct noted *noted, const iouringnet_config *config, int rcvbuf) {
    noted->m = mixed_pair_with(config, rcvbuf);
    calls_init(&noted->calls);
    noted->calls.sink = noted->m.sink;
    noted->calls.stream = noted->m.stream;
    CHECK_OK(connection_watch(noted->m.sink, noted->m.stream, &all, &noted->calls));
}

static void noted_begin(struct noted *noted, int rcvbuf) {
    iouringnet_config config = config_of_mode();

    noted_with(noted, &config, rcvbuf);
}

static void is(struct calls *calls, const char *order) {
    if (strcmp(calls->order, order) != 0)
        fprintf(stderr, "the calls came as %s, and not as %s\n", calls->order, order);
    CHECK(strcmp(calls->order, order) == 0);
}

/* ---- order, and once ---- */

TEST(bytes_then_the_last_call_then_the_end) {
    struct noted noted;

    noted_begin(&noted, 0);
    noted.calls.closes = true;
    raw_send(noted.m.peer, "x", 1);
    latch_wait(&noted.calls.shown);
    raw_half_close(noted.m.peer);
    CHECK_OK(end_of(&noted.calls));
    CHECK_STATUS(noted.calls.data, IOURINGNET_EOF);
    raw_expect_eof(noted.m.peer);
    mixed_close(&noted.m);
    is(&noted.calls, "dDe");
}

TEST(the_end_waits_for_both_halves) {
    struct noted noted;

    noted_begin(&noted, 0);
    sink_close(noted.m.sink);
    raw_expect_eof(noted.m.peer);
    settle(noted.m.net);
    is(&noted.calls, "");
    stream_close(noted.m.stream);
    CHECK_OK(end_of(&noted.calls));
    CHECK_STATUS(noted.calls.data, IOURINGNET_CLOSED);
    mixed_close(&noted.m);
    is(&noted.calls, "De");
}

TEST(callbacks_of_operations_come_before_the_end) {
    enum { SIZE = 1 << 20 };
    iouringnet_config config = config_of_mode();
    struct noted noted;
    char *data = take(SIZE), *got = take(3 * SIZE);

    memset(data, 1, SIZE);
    config.send_buffer = 64 << 10;
    noted_with(&noted, &config, 16384);
    for (int i = 0; i < 3; i++)
        CHECK_OK(sink_send_async(noted.m.sink, data, SIZE, on_operation, &noted.calls, NULL));
    connection_close(noted.m.sink, noted.m.stream);
    latch_wait(&noted.calls.data_over);
    settle(noted.m.net);
    CHECK(strchr(noted.calls.order, 'e') == NULL); /* the drain goes on */
    CHECK_EQ(raw_recv_to_end(noted.m.peer, got, 3 * SIZE), 3 * SIZE);
    CHECK_OK(end_of(&noted.calls));
    mixed_close(&noted.m);
    CHECK(strstr(noted.calls.order, "oe") != NULL);
    CHECK_EQ(noted.calls.count, 5);
    free(data);
    free(got);
}

TEST(receives_without_data_end_before_the_end) {
    struct mixed m = mixed_pair();
    struct calls calls;
    char into[4];

    calls_init(&calls);
    CHECK_OK(connection_watch(m.sink, m.stream, &only_end, &calls));
    CHECK_OK(stream_recv_async(m.stream, into, 4, on_operation, &calls, NULL));
    connection_close(m.sink, m.stream);
    CHECK_OK(end_of(&calls));
    mixed_close(&m);
    is(&calls, "oe");
}

/* ---- halves ---- */

TEST(a_sink_alone_and_a_stream_alone_have_ends_of_their_own) {
    struct mixed m = mixed_pair();
    struct calls sends, receives;

    calls_init(&sends);
    calls_init(&receives);
    CHECK_OK(connection_watch(m.sink, NULL, &only_end, &sends));
    CHECK_OK(connection_watch(NULL, m.stream, &data_and_end, &receives));
    sink_close(m.sink);
    CHECK_OK(end_of(&sends));
    settle(m.net);
    is(&receives, "");
    raw_send(m.peer, "x", 1);
    latch_wait(&receives.shown);
    stream_close(m.stream);
    CHECK_OK(end_of(&receives));
    mixed_close(&m);
    is(&sends, "e");
    is(&receives, "dDe");
}

TEST(watches_that_make_no_sense_are_refused) {
    struct pair p = tcp_pair();
    struct calls calls;
    iouringnet_connection_callbacks none = {sizeof none, NULL, NULL, NULL}, small = all;

    calls_init(&calls);
    small.size = sizeof small - 1;
    CHECK_STATUS(connection_watch(NULL, NULL, &all, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(p.a.sink, p.a.stream, NULL, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(p.a.sink, p.a.stream, &none, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(p.a.sink, p.a.stream, &small, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(p.a.sink, NULL, &data_and_end, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(NULL, p.a.stream, &only_room, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch(p.a.sink, p.b.stream, &all, &calls), IOURINGNET_INVALID);
    CHECK_STATUS(connection_watch((iouringnet_sink *)p.a.stream, p.a.stream, &all, &calls), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(connection_watch(p.a.sink, (iouringnet_stream *)p.a.sink, &all, &calls), IOURINGNET_BAD_HANDLE);
    CHECK_OK(sink_send(p.b.sink, "x", 1, NULL));
    pair_close(&p);
    is(&calls, "");
}

/* a refused watch leaves nothing behind, on neither half */
TEST(a_half_takes_one_callback_of_each_kind) {
    struct mixed m = mixed_pair_sized(16384);
    struct calls calls, refused;
    struct result received = RESULT;
    char byte;

    calls_init(&calls);
    calls_init(&refused);
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
    jam_sink(m.sink);
    while (sink_post(m.sink, "x", 1) == 0)
        ;
    CHECK_STATUS(connection_watch(m.sink, m.stream, &all, &refused), IOURINGNET_BUSY);
    raw_send(m.peer, "x", 1);
    CHECK_OK(result_wait(&received));
    CHECK_OK(connection_watch(m.sink, m.stream, &all, &calls));
    CHECK_STATUS(connection_watch(m.sink, m.stream, &all, &refused), IOURINGNET_BUSY);
    CHECK_STATUS(connection_watch(m.sink, NULL, &only_room, &refused), IOURINGNET_BUSY);
    CHECK_STATUS(connection_watch(m.sink, NULL, &only_end, &refused), IOURINGNET_BUSY);
    CHECK_STATUS(connection_watch(NULL, m.stream, &only_end, &refused), IOURINGNET_BUSY);
    CHECK_STATUS(connection_watch(NULL, m.stream, &only_data, &refused), IOURINGNET_BUSY);
    connection_abort(m.sink, m.stream);
    CHECK_STATUS(end_of(&calls), IOURINGNET_CLOSED);
    mixed_close(&m);
    is(&calls, "De");
    is(&refused, "");
}

TEST(the_callbacks_are_read_during_the_call) {
    struct mixed m = mixed_pair();
    struct calls calls;
    iouringnet_connection_callbacks local = all;

    calls_init(&calls);
    CHECK_OK(connection_watch(m.sink, m.stream, &local, &calls));
    memset(&local, 0xee, sizeof local);
    raw_send(m.peer, "x", 1);
    latch_wait(&calls.shown);
    connection_close(m.sink, m.stream);
    CHECK_OK(end_of(&calls));
    mixed_close(&m);
    is(&calls, "dDe");
}

/* ---- what the end says ---- */

TEST(the_end_after_an_abort) {
    struct noted noted;

    noted_begin(&noted, 16384);
    jam_sink(noted.m.sink);
    connection_abort(noted.m.sink, noted.m.stream);
    CHECK_STATUS(end_of(&noted.calls), IOURINGNET_CLOSED);
    CHECK_STATUS(noted.calls.data, IOURINGNET_CLOSED);
    raw_expect_reset(noted.m.peer);
    mixed_close(&noted.m);
    is(&noted.calls, "De");
}

TEST(the_end_of_a_stream_alone_tells_an_abort_from_a_close) {
    struct mixed m = mixed_pair();
    struct calls calls;

    calls_init(&calls);
    CHECK_OK(connection_watch(NULL, m.stream, &only_end, &calls));
    connection_abort(m.sink, NULL); /* the stream's handle stays */
    settle(m.net);
    is(&calls, "");
    stream_close(m.stream);
    CHECK_STATUS(end_of(&calls), IOURINGNET_CLOSED);
    mixed_close(&m);
}

TEST(the_end_of_a_stream_alone_tells_a_reset) {
    struct mixed m = mixed_pair();
    struct calls calls;

    calls_init(&calls);
    CHECK_OK(connection_watch(NULL, m.stream, &data_and_end, &calls));
    raw_reset(m.peer);
    latch_wait(&calls.data_over);
    CHECK_STATUS(calls.data, -ECONNRESET);
    stream_close(m.stream);
    CHECK_STATUS(end_of(&calls), -ECONNRESET);
    mixed_stop(&m);
    is(&calls, "De");
}

/* the end of the stream is no error */
TEST(the_end_of_a_stream_alone_after_the_peers_end) {
    struct mixed m = mixed_pair();
    struct calls calls;

    calls_init(&calls);
    CHECK_OK(connection_watch(NULL, m.stream, &data_and_end, &calls));
    raw_half_close(m.peer);
    latch_wait(&calls.data_over);
    CHECK_STATUS(calls.data, IOURINGNET_EOF);
    stream_close(m.stream);
    CHECK_OK(end_of(&calls));
    mixed_close(&m);
    is(&calls, "De");
}

TEST(the_end_after_a_reset_by_the_peer) {
    struct noted noted;

    noted_begin(&noted, 0);
    noted.calls.closes = true;
    raw_reset(noted.m.peer);
    CHECK_STATUS(end_of(&noted.calls), -ECONNRESET);
    CHECK_STATUS(noted.calls.data, -ECONNRESET);
    mixed_stop(&noted.m);
}

/* nobody has asked the kernel before the close */
TEST(a_reset_that_only_the_close_meets) {
    struct mixed m = mixed_pair();
    struct calls calls;
    int fd = descriptor_of(m.sink);

    calls_init(&calls);
    CHECK_OK(connection_watch(m.sink, m.stream, &only_end, &calls));
    raw_reset(m.peer);
    EVENTUALLY(tcp_info_of(fd).tcpi_state == TCP_CLOSE);
    connection_close(m.sink, m.stream);
    CHECK_STATUS(end_of(&calls), -ECONNRESET);
    mixed_stop(&m);
}

TEST(the_end_of_a_drain_that_a_limit_cuts) {
    iouringnet_config config = config_of_mode();
    struct noted noted;

    config.close_timeout_ms = 50;
    noted_with(&noted, &config, 16384);
    jam_sink(noted.m.sink);
    connection_close(noted.m.sink, noted.m.stream);
    CHECK_STATUS(end_of(&noted.calls), IOURINGNET_TIMEOUT);
    mixed_close(&noted.m);
}

static void torn_begin(struct noted *noted) {
    size_t size = 64 << 20;
    char *data = take(size);

    memset(data, 1, size);
    noted_begin(noted, 16384);
    CHECK_OK(sink_set_timeout(noted->m.sink, 50));
    CHECK_STATUS(sink_send(noted->m.sink, data, size, NULL), IOURINGNET_TIMEOUT);
    latch_wait(&noted->calls.room_over);
    CHECK_STATUS(noted->calls.room, IOURINGNET_TORN);
    free(data);
}

TEST(the_end_of_a_torn_sink) {
    struct noted noted;

    torn_begin(&noted);
    connection_close(noted.m.sink, noted.m.stream);
    CHECK_STATUS(end_of(&noted.calls), IOURINGNET_TORN);
    mixed_close(&noted.m);
    is(&noted.calls, "RDe");
}

/* the first cause stays */
TEST(the_end_of_a_torn_sink_that_is_aborted) {
    struct noted noted;

    torn_begin(&noted);
    connection_abort(noted.m.sink, noted.m.stream);
    CHECK_STATUS(end_of(&noted.calls), IOURINGNET_TORN);
    mixed_close(&noted.m);
    is(&noted.calls, "RDe");
}

/* ---- before net_stop returns ---- */

enum { MANY = 20 };

static void stop_many(bool cut, iouringnet_status want) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct mixed m[MANY];
    struct calls calls[MANY];

    config.shutdown_timeout_ms = cut ? 100 : 20000;
    config.linger_ms = IOURINGNET_NO_LINGER;
    net = net_with(&config);
    for (int i = 0; i < MANY; i++) {
        m[i] = mixed_pair_in(net, 16384);
        calls_init(&calls[i]);
        CHECK_OK(connection_watch(m[i].sink, m[i].stream, &all, &calls[i]));
        if (cut)
            jam_sink(m[i].sink);
    }
    CHECK_STATUS(net_stop(net), cut ? IOURINGNET_TIMEOUT : 0);
    for (int i = 0; i < MANY; i++) {
        is(&calls[i], "De");
        CHECK_STATUS(calls[i].data, IOURINGNET_STOPPED);
        CHECK_STATUS(calls[i].end, want);
        raw_close(m[i].peer);
    }
}

TEST(every_end_comes_before_net_stop_returns) {
    stop_many(false, 0);
}

TEST(a_stop_that_cuts_says_so_in_the_end) {
    stop_many(true, IOURINGNET_STOPPED);
}

/* the peer has everything, and keeps its side open: the connection lingers, and the end does not wait for that */
TEST(the_end_does_not_wait_for_the_linger) {
    iouringnet_config config = config_of_mode();
    struct noted noted;

    config.linger_ms = 3 * WAIT_MS;
    noted_with(&noted, &config, 0);
    CHECK_OK(sink_send(noted.m.sink, "bye", 3, NULL));
    connection_close(noted.m.sink, noted.m.stream);
    CHECK_OK(end_of(&noted.calls));
    CHECK_EQ(stats_of(noted.m.net).connections, 1);
    mixed_close(&noted.m);
}

/* ---- unwatch ---- */

enum { THEN_NOTHING, THEN_RECEIVE, THEN_WATCH };

struct switching {
    struct calls *calls;
    iouringnet_stream *stream;
    int then;
    char into[4];
    struct result received;
    struct latch shown, cancelled;
};

static size_t second_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct switching *switching = user;

    (void)data;
    if (status == 0)
        latch_open(&switching->shown);
    else
        note(switching->calls, 'D');
    return size;
}

static size_t first_data(void *user, iouringnet_status status, const void *data, size_t size) {
    static const iouringnet_connection_callbacks next = {sizeof next, second_data, NULL, NULL};
    struct switching *switching = user;

    (void)data;
    if (status == 0) {
        CHECK_OK(stream_unwatch(switching->stream));
        return size - 4; /* the rest is for what follows */
    }
    CHECK_STATUS(status, IOURINGNET_CANCELLED);
    if (switching->then == THEN_RECEIVE)
        CHECK_OK(stream_recv_async(switching->stream, switching->into, 4, result_store, &switching->received, NULL));
    if (switching->then == THEN_WATCH)
        CHECK_OK(connection_watch(NULL, switching->stream, &next, switching));
    latch_open(&switching->cancelled);
    return 0;
}

static void end_of_switching(void *user, iouringnet_status status) {
    struct switching *switching = user;

    on_end(switching->calls, status);
}

static void switches(int then) {
    static const iouringnet_connection_callbacks first = {sizeof first, first_data, NULL, end_of_switching};
    struct mixed m = mixed_pair();
    struct calls calls;
    struct switching switching = {&calls, m.stream, then, "", RESULT, LATCH(1), LATCH(1)};

    calls_init(&calls);
    CHECK_OK(connection_watch(m.sink, m.stream, &first, &switching));
    raw_send(m.peer, "firstrest", 9);
    latch_wait(&switching.cancelled);
    if (then == THEN_NOTHING) {
        CHECK_OK(stream_recv(m.stream, switching.into, 4, NULL));
        CHECK_OK(stream_unwatch(m.stream)); /* there is none: nothing happens */
    } else if (then == THEN_RECEIVE)
        CHECK_OK(result_wait(&switching.received));
    else
        latch_wait(&switching.shown);
    if (then != THEN_WATCH)
        CHECK_MEM(switching.into, "rest", 4);
    settle(m.net);
    is(&calls, ""); /* the end is for the close */
    connection_close(m.sink, m.stream);
    CHECK_OK(end_of(&calls));
    mixed_close(&m);
    is(&calls, then == THEN_WATCH ? "De" : "e");
}

TEST(an_unwatched_stream_can_be_received_from) {
    switches(THEN_NOTHING);
}

TEST(a_receive_begins_in_the_last_call_of_data) {
    switches(THEN_RECEIVE);
}

TEST(another_data_callback_begins_in_the_last_call_of_data) {
    switches(THEN_WATCH);
}

/* ---- room ---- */

static void closes_and_counts(void *user) {
    struct noted *noted = user;

    connection_close(noted->m.sink, noted->m.stream);
    noted->rooms = noted->calls.rooms;
}

TEST(room_comes_after_full_and_is_silent_after_the_close) {
    struct noted noted;
    size_t total;
    char *got;

    noted_begin(&noted, 16384);
    total = jam_sink(noted.m.sink);
    got = take(total);
    raw_recv(noted.m.peer, got, total);
    latch_wait(&noted.calls.room_told);
    CHECK_OK(sink_flush(noted.m.sink));
    settle(noted.m.net);
    total = jam_sink(noted.m.sink);
    got = realloc(got, total);
    CHECK(got != NULL);
    on_callback_thread(noted.m.net, closes_and_counts, &noted);
    CHECK_EQ(raw_recv_to_end(noted.m.peer, got, total), total);
    CHECK_OK(end_of(&noted.calls));
    mixed_close(&noted.m);
    is(&noted.calls, "De");
    CHECK_EQ(noted.calls.rooms, noted.rooms);
    free(got);
}

TEST(room_tells_a_reset_while_the_stream_is_paused) {
    struct noted noted;

    noted_begin(&noted, 0);
    CHECK_OK(stream_pause(noted.m.stream));
    settle(noted.m.net);
    raw_reset(noted.m.peer);
    latch_wait(&noted.calls.room_over);
    CHECK_STATUS(noted.calls.room, -ECONNRESET);
    is(&noted.calls, "R");
    connection_close(noted.m.sink, noted.m.stream);
    CHECK_STATUS(end_of(&noted.calls), -ECONNRESET);
    mixed_stop(&noted.m);
    is(&noted.calls, "RDe");
}

/* ---- abort ---- */

TEST(an_abort_ends_a_drain_by_way_of_the_stream) {
    enum { SIZE = 8 << 20 };
    for (int stale = 0; stale < 2; stale++) {
        struct noted noted;
        struct result sent = RESULT;
        char *data = take(SIZE);

        memset(data, 1, SIZE);
        noted_begin(&noted, 16384);
        CHECK_OK(sink_send_async(noted.m.sink, data, SIZE, result_store, &sent, NULL));
        sink_close(noted.m.sink);
        settle(noted.m.net);
        CHECK_EQ(sent.calls, 0);
        connection_abort(stale ? noted.m.sink : NULL, noted.m.stream);
        CHECK_STATUS(result_wait(&sent), IOURINGNET_CLOSED);
        CHECK_STATUS(end_of(&noted.calls), IOURINGNET_CLOSED);
        raw_expect_reset(noted.m.peer);
        CHECK_STATUS(stream_pause(noted.m.stream), IOURINGNET_BAD_HANDLE);
        mixed_close(&noted.m);
        free(data);
    }
}

/* the sink is gone, its bytes are out, and the peer keeps its side open */
TEST(an_abort_resets_after_the_fin_too) {
    iouringnet_config config = config_of_mode();
    struct noted noted;

    config.linger_ms = 3 * WAIT_MS;
    noted_with(&noted, &config, 0);
    sink_close(noted.m.sink);
    raw_expect_eof(noted.m.peer);
    settle(noted.m.net);
    connection_abort(NULL, noted.m.stream);
    CHECK_OK(end_of(&noted.calls)); /* everything had gone */
    EVENTUALLY(stats_of(noted.m.net).connections == 0);
    mixed_close(&noted.m);
}

TEST(an_abort_of_one_handle_leaves_the_other_to_the_caller) {
    struct pair p = tcp_pair();
    char byte;

    connection_abort(NULL, p.a.stream);
    CHECK_STATUS(sink_send(p.a.sink, "x", 1, NULL), IOURINGNET_CLOSED);
    CHECK_STATUS(sink_post(p.a.sink, "x", 1), IOURINGNET_CLOSED);
    CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), -ECONNRESET);
    connection_abort(p.b.sink, NULL);
    CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), IOURINGNET_CLOSED);
    connection_abort(NULL, NULL);
    connection_close(NULL, NULL);
    pair_close(&p);
}
