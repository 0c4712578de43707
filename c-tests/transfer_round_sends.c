/* The sends of callbacks leave together at the end of a round, as entries of the receive loop's ring, where that is cheaper
   than a system call for each. IOURINGNET_SENDS asks for one or the other; the harness asks for entries unless told
   otherwise. What a send promises is the same either way. */

#include "inside.h"

/* ---- which way they leave ---- */

struct posting {
    iouringnet_sink *sink;
    const char *data;
    size_t size;
};

static void post_once(void *user) {
    struct posting *posting = user;

    CHECK_OK(sink_post(posting->sink, posting->data, posting->size));
}

/* entries of the receive loop for ten posts of callbacks that find room */
static uint64_t entries_of_ten_posts(const char *sends) {
    struct mixed m;
    struct posting posting;
    uint64_t before, entries;
    char got[4];

    CHECK_EQ(setenv("IOURINGNET_SENDS", sends, 1), 0);
    m = mixed_pair();
    posting = (struct posting){m.sink, "post", 4};
    settle(m.net);
    before = stats_of(m.net).recv_entries;
    for (int i = 0; i < 10; i++) {
        on_callback_thread(m.net, post_once, &posting);
        raw_recv(m.peer, got, sizeof got);
        CHECK_MEM(got, "post", 4);
    }
    settle(m.net);
    entries = stats_of(m.net).recv_entries - before;
    mixed_close(&m);
    return entries;
}

static bool has_silent_sends(void) {
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    return (probe.features & IOURINGNET_FEATURE_SILENT_SENDS) != 0;
}

/* one mode */ TEST(posts_of_callbacks_leave_as_the_environment_asks) {
    need_io_uring();
    if (!has_silent_sends())
        SKIP("sends cannot complete silently here");
    CHECK_BETWEEN(entries_of_ten_posts("calls"), 0, 3);
    CHECK_BETWEEN(entries_of_ten_posts("entries"), 10, 13);
}

/* ---- tries that fall short ---- */

struct chain {
    iouringnet_net *net;
    iouringnet_sink *sink;
    struct latch over;
    size_t posted, all;
    uint32_t random;
};

/* posts pieces of all sizes until a post is refused, or four were taken, and then begins anew */
static void post_on(void *user, const iouringnet_completion *done) {
    static char piece[20000];
    struct chain *chain = user;

    CHECK_OK(done->status);
    for (int i = 0; i < 4 && chain->posted < chain->all; i++) {
        size_t size = chain->random % sizeof piece;
        iouringnet_status status;

        if (size > chain->all - chain->posted)
            size = chain->all - chain->posted;
        pattern_fill(piece, size, chain->posted, 5);
        status = sink_post(chain->sink, piece, size);
        if (status == IOURINGNET_FULL)
            break;
        CHECK_OK(status);
        memset(piece, 0xee, size); /* the sink has copied what it keeps */
        chain->posted += size;
        chain->random = chain->random * 1664525 + 1013904223;
        if (chain->random >> 31)
            break;
    }
    if (chain->posted == chain->all)
        latch_open(&chain->over);
    else
        CHECK_OK(net_call(chain->net, 0, post_on, chain, NULL));
}

TEST(posts_that_fall_short_lose_nothing) {
    enum { ALL = 2 << 20, PART = 3000 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct chain chain = {.over = LATCH(1), .all = ALL, .random = 7};
    char got[PART];

    config.send_buffer = 4096; /* a try takes a part of most posts */
    m = mixed_pair_with(&config, 0);
    chain.net = m.net;
    chain.sink = m.sink;
    CHECK_OK(net_call(m.net, 0, post_on, &chain, NULL));
    for (size_t at = 0; at < ALL; at += PART) {
        size_t size = ALL - at < PART ? ALL - at : PART;

        raw_recv(m.peer, got, size);
        pattern_check(got, size, at, 5);
    }
    latch_wait(&chain.over);
    mixed_close(&m);
}

/* ---- other threads beside the round ---- */

enum { RECORD = 8, RECORDS = 4000 };

struct mixing {
    iouringnet_net *net;
    iouringnet_sink *sink;
    int next;
    struct latch over;
};

static void post_record(void *user, const iouringnet_completion *done) {
    struct mixing *mixing = user;
    char record[16];
    int posts = 1 + mixing->next % 3;

    CHECK_OK(done->status);
    for (int i = 0; i < posts && mixing->next < RECORDS; i++) {
        snprintf(record, sizeof record, "C%07d", mixing->next++);
        CHECK_OK(sink_post(mixing->sink, record, RECORD));
    }
    if (mixing->next == RECORDS)
        latch_open(&mixing->over);
    else
        CHECK_OK(net_call(mixing->net, 0, post_record, mixing, NULL));
}

static void *send_records(void *user) {
    struct mixing *mixing = user;
    char record[16];

    for (int i = 0; i < RECORDS; i++) {
        snprintf(record, sizeof record, "T%07d", i);
        if (i % 3 == 0)
            CHECK_OK(sink_send(mixing->sink, record, RECORD, NULL));
        else
            CHECK_OK(sink_post(mixing->sink, record, RECORD));
        if (i % 100 == 0)
            CHECK_OK(sink_flush(mixing->sink));
    }
    return NULL;
}

TEST(a_thread_beside_callbacks_keeps_its_order_and_theirs) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct mixing mixing = {.over = LATCH(1)};
    pthread_t thread;
    int next[2] = {0, 0};

    config.send_buffer = 4096;
    m = mixed_pair_with(&config, 0);
    mixing.net = m.net;
    mixing.sink = m.sink;
    thread = spawn(send_records, &mixing);
    CHECK_OK(net_call(m.net, 0, post_record, &mixing, NULL));
    for (int i = 0; i < 2 * RECORDS; i++) {
        char record[16] = "", wanted[16];
        int whose;

        raw_recv(m.peer, record, RECORD);
        whose = record[0] == 'T';
        snprintf(wanted, sizeof wanted, "%c%07d", "CT"[whose], next[whose]++);
        CHECK_MEM(record, wanted, RECORD);
    }
    join(thread);
    latch_wait(&mixing.over);
    mixed_close(&m);
}

/* ---- more than a round holds ---- */

enum { MANY = 400, LONG_POST = 16 << 10 };

struct crowd {
    iouringnet_sink *sinks[MANY];
    iouringnet_stream *streams[MANY];
    int peers[MANY];
    int count;
    const char *data;
    size_t size;
};

static void post_to_all(void *user) {
    struct crowd *crowd = user;

    for (int i = 0; i < crowd->count; i++)
        CHECK_OK(sink_post(crowd->sinks[i], crowd->data, crowd->size));
}

static void one_round_to(int count, size_t size) {
    static struct crowd crowd;
    iouringnet_net *net = net_of_mode();
    char *data = take(size), *got = take(size);

    pattern_fill(data, size, 0, 9);
    crowd.count = count;
    crowd.data = data;
    crowd.size = size;
    for (int i = 0; i < count; i++)
        crowd.peers[i] = raw_peer(net, &crowd.sinks[i], &crowd.streams[i]);
    for (int round = 0; round < 3; round++) {
        on_callback_thread(net, post_to_all, &crowd);
        for (int i = 0; i < count; i++) {
            raw_recv(crowd.peers[i], got, size);
            pattern_check(got, size, 0, 9);
        }
    }
    for (int i = 0; i < count; i++) {
        sink_close(crowd.sinks[i]);
        stream_close(crowd.streams[i]);
        raw_expect_eof(crowd.peers[i]);
        raw_close(crowd.peers[i]);
    }
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

TEST(a_round_sends_to_more_sinks_than_it_has_places) {
    one_round_to(MANY, 64);
}

TEST(a_round_sends_more_bytes_than_it_holds) {
    one_round_to(40, LONG_POST);
}

/* ---- ends ---- */

static void post_and_close(void *user) {
    struct posting *posting = user;

    post_once(posting);
    sink_close(posting->sink);
    CHECK_STATUS(sink_post(posting->sink, "late", 4), IOURINGNET_BAD_HANDLE);
}

TEST(a_close_in_the_same_callback_follows_the_post) {
    struct mixed m = mixed_pair();
    struct posting posting = {m.sink, "the last words", 14};
    char got[14];

    on_callback_thread(m.net, post_and_close, &posting);
    raw_recv(m.peer, got, sizeof got);
    CHECK_MEM(got, "the last words", 14);
    raw_expect_eof(m.peer);
    mixed_close(&m);
}

static void post_and_abort(void *user) {
    struct posting *posting = user;

    post_once(posting);
    connection_abort(posting->sink, NULL);
}

TEST(an_abort_in_the_same_callback_resets) {
    struct mixed m = mixed_pair();
    struct posting posting = {m.sink, "never mind", 10};

    on_callback_thread(m.net, post_and_abort, &posting);
    raw_expect_reset(m.peer);
    mixed_close(&m);
}

static void post_in_vain(void *user) {
    struct posting *posting = user;

    (void)sink_post(posting->sink, "x", 1); /* refused at once, or taken: then the watch is told */
}

TEST(a_reset_that_a_rounds_send_meets_is_told) {
    struct mixed m = mixed_pair();
    struct posting posting = {m.sink, NULL, 0};
    struct ending ending = ENDING;
    iouringnet_status status;

    CHECK_OK(ending_watch(m.sink, &ending));
    raw_reset(m.peer);
    on_callback_thread(m.net, post_in_vain, &posting);
    status = ending_wait(&ending);
    CHECK(status == -ECONNRESET || status == -EPIPE);
    CHECK_STATUS(sink_post(m.sink, "x", 1), status);
    mixed_stop(&m);
}

static void post_and_ask(void *user) {
    struct posting *posting = user;
    size_t unsent;

    post_once(posting);
    /* what waits for the round's end counts as unsent, and what has gone does not; the send loop may send meanwhile */
    unsent = unsent_of(posting->sink);
    CHECK(unsent == 0 || unsent == posting->size);
    CHECK_OK(sink_post(posting->sink, "more", 4));
}

TEST(a_question_in_the_callback_keeps_the_order) {
    struct mixed m = mixed_pair();
    struct posting posting = {m.sink, "some and ", 9};
    char got[13];

    on_callback_thread(m.net, post_and_ask, &posting);
    raw_recv(m.peer, got, sizeof got);
    CHECK_MEM(got, "some and more", 13);
    EVENTUALLY(unsent_of(m.sink) == 0);
    mixed_close(&m);
}

struct held {
    struct busy busy;
    struct posting posting;
};

static void post_and_wait(void *user, const iouringnet_completion *done) {
    struct held *held = user;

    post_once(&held->posting);
    busy_run(&held->busy, done);
}

static void *stop_net(void *user) {
    CHECK_OK(net_stop(user));
    return NULL;
}

TEST(a_stop_sends_what_a_round_has) {
    struct mixed m = mixed_pair();
    struct held held = {BUSY, {m.sink, "before the end", 14}};
    char got[14];
    pthread_t thread;

    CHECK_OK(net_call(m.net, 0, post_and_wait, &held, NULL));
    latch_wait(&held.busy.running);
    thread = spawn(stop_net, m.net);
    /* the stop takes the post from the round, or the round's end sends it */
    latch_open(&held.busy.go);
    raw_recv(m.peer, got, sizeof got);
    CHECK_MEM(got, "before the end", 14);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    join(thread);
}

/* ---- sends with a callback ---- */

enum { SENDS = 3000, SEND_ROOM = 40000 };

struct sending {
    iouringnet_sink *sink;
    char data[SEND_ROOM];
    size_t at, size;
    int left;
    struct latch over;
};

/* the memory is lent until the callback: each piece is filled anew in the callback of the one before */
static void send_next(void *user, const iouringnet_completion *done) {
    struct sending *sending = user;

    CHECK_OK(done->status);
    if (done->bytes > 0) {
        CHECK_EQ(done->bytes, sending->size);
        sending->at += sending->size;
    }
    if (sending->left-- == 0) {
        latch_open(&sending->over);
        return;
    }
    sending->size = 1 + (size_t)sending->left * 7919 % (sending->left % 4 == 0 ? SEND_ROOM : 700);
    pattern_fill(sending->data, sending->size, sending->at, 11);
    CHECK_OK(sink_send_async(sending->sink, sending->data, sending->size, send_next, sending, NULL));
}

static void send_a_chain(int send_buffer) {
    static struct sending sending = {.over = LATCH(1)};
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char got[5000];
    size_t all = 0;

    config.send_buffer = (uint32_t)send_buffer;
    m = mixed_pair_with(&config, 0);
    sending.sink = m.sink;
    sending.left = SENDS;
    for (int left = SENDS - 1; left >= 0; left--)
        all += 1 + (size_t)left * 7919 % (left % 4 == 0 ? SEND_ROOM : 700);
    CHECK_OK(net_call(m.net, 0, send_next, &sending, NULL));
    for (size_t at = 0, size; at < all; at += size) {
        size = all - at < sizeof got ? all - at : sizeof got;
        raw_recv(m.peer, got, size);
        pattern_check(got, size, at, 11);
    }
    latch_wait(&sending.over);
    mixed_close(&m);
}

TEST(a_chain_of_sends_completes_in_order) {
    send_a_chain(0);
}

TEST(a_chain_of_sends_that_fall_short_loses_nothing) {
    send_a_chain(4096);
}

struct both {
    iouringnet_sink *sink;
    struct result results[3];
    struct busy busy;
};

static void send_three_and_hold(void *user, const iouringnet_completion *done) {
    struct both *both = user;

    CHECK_OK(sink_send_async(both->sink, "one ", 4, result_store, &both->results[0], NULL));
    CHECK_OK(sink_send_async(both->sink, "two ", 4, result_store, &both->results[1], NULL));
    CHECK_OK(sink_post(both->sink, "three ", 6));
    CHECK_EQ(both->results[0].calls, 0); /* no callback runs inside a call */
    busy_run(&both->busy, done);
}

TEST(a_thread_takes_sends_with_callbacks_over) {
    struct mixed m = mixed_pair();
    struct both both = {m.sink, {RESULT, RESULT, RESULT}, BUSY};
    char got[18];

    CHECK_OK(net_call(m.net, 0, send_three_and_hold, &both, NULL));
    latch_wait(&both.busy.running);
    CHECK_OK(sink_send(m.sink, "four", 4, NULL)); /* waits neither for the callback nor passes its sends */
    raw_recv(m.peer, got, sizeof got);
    CHECK_MEM(got, "one two three four", 18);
    busy_end(&both.busy);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(result_wait(&both.results[i]));
        CHECK_EQ(both.results[i].done.bytes, 4);
        CHECK_EQ(both.results[i].calls, 1);
    }
    mixed_close(&m);
}

static void send_and_abort(void *user) {
    struct both *both = user;

    CHECK_OK(sink_send_async(both->sink, "never mind", 10, result_store, &both->results[0], NULL));
    connection_abort(both->sink, NULL);
}

TEST(an_abort_in_the_same_callback_ends_the_send) {
    struct mixed m = mixed_pair();
    struct both both = {m.sink, {RESULT, RESULT, RESULT}, BUSY};
    iouringnet_status status;

    on_callback_thread(m.net, send_and_abort, &both);
    status = result_wait(&both.results[0]);
    CHECK(status == IOURINGNET_CLOSED || (status == 0 && both.results[0].done.bytes == 10));
    mixed_close(&m);
    CHECK_EQ(both.results[0].calls, 1);
}

static void send_in_vain(void *user) {
    struct both *both = user;

    CHECK_OK(sink_send_async(both->sink, "x", 1, result_store, &both->results[0], NULL));
}

TEST(a_reset_ends_a_send_of_a_round_with_its_cause) {
    struct mixed m = mixed_pair();
    struct both both = {m.sink, {RESULT, RESULT, RESULT}, BUSY};
    iouringnet_status status;

    raw_reset(m.peer);
    on_callback_thread(m.net, send_in_vain, &both);
    status = result_wait(&both.results[0]);
    CHECK(status == -ECONNRESET || status == -EPIPE);
    CHECK_EQ(both.results[0].done.bytes, 0);
    mixed_stop(&m);
}

/* ---- posts of bytes that a callback is shown ---- */

enum { ECHOES = 12, ECHO_SIZE = 1 << 20, ECHO_PART = 16 << 10 };

struct echo {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer;
    uint32_t seed;
};

/* posts what it is shown: as a whole, or in two pieces, of which the round takes the first and collects the second */
static size_t echo_shown(void *user, iouringnet_status status, const void *data, size_t size) {
    struct echo *echo = user;
    size_t first = echo->seed % 2 == 0 ? size : size / 2;

    if (status != 0)
        return size;
    CHECK_OK(sink_post(echo->sink, data, first));
    CHECK_OK(sink_post(echo->sink, (const char *)data + first, size - first));
    return size;
}

static void *feed(void *user) {
    struct echo *echo = user;
    char part[ECHO_PART];

    for (size_t at = 0; at < ECHO_SIZE; at += sizeof part) {
        pattern_fill(part, sizeof part, at, echo->seed);
        raw_send(echo->peer, part, sizeof part);
    }
    raw_half_close(echo->peer);
    return NULL;
}

static void *check_echo(void *user) {
    struct echo *echo = user;
    char part[ECHO_PART];

    for (size_t at = 0; at < ECHO_SIZE; at += sizeof part) {
        raw_recv(echo->peer, part, sizeof part);
        pattern_check(part, sizeof part, at, echo->seed);
    }
    return NULL;
}

static void echo_to_all(int send_buffer) {
    static struct echo echoes[ECHOES];
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    pthread_t threads[2 * ECHOES];

    config.send_buffer = (uint32_t)send_buffer;
    config.post_mark = (size_t)64 << 20; /* the callback does not look for FULL */
    net = net_with(&config);
    for (int i = 0; i < ECHOES; i++) {
        struct echo *echo = &echoes[i];

        echo->seed = (uint32_t)i;
        echo->peer = raw_peer(net, &echo->sink, &echo->stream);
        CHECK_OK(watch_data(echo->stream, echo_shown, echo));
        threads[2 * i] = spawn(feed, echo);
        threads[2 * i + 1] = spawn(check_echo, echo);
    }
    for (int i = 0; i < 2 * ECHOES; i++)
        join(threads[i]);
    for (int i = 0; i < ECHOES; i++) {
        sink_close(echoes[i].sink);
        stream_close(echoes[i].stream);
        raw_expect_eof(echoes[i].peer);
        raw_close(echoes[i].peer);
    }
    CHECK_OK(net_stop(net));
}

TEST(what_a_callback_is_shown_is_sent_as_it_was) {
    echo_to_all(0);
}

TEST(what_a_callback_is_shown_is_sent_as_it_was_in_short_tries) {
    echo_to_all(4096);
}

/* ---- completions that find no place ---- */

enum { FLOOD = 300, FLOOD_ROUNDS = 40 };

struct flood {
    int fds[FLOOD];
};

static void *flood_and_check(void *user) {
    struct flood *flood = user;
    char sent[64], got[64];

    for (int round = 0; round < FLOOD_ROUNDS; round++) {
        pattern_fill(sent, sizeof sent, (uint64_t)round, 13);
        for (int i = 0; i < FLOOD; i++)
            raw_send(flood->fds[i], sent, sizeof sent);
        for (int i = 0; i < FLOOD; i++) {
            raw_recv(flood->fds[i], got, sizeof got);
            CHECK_MEM(got, sent, sizeof got);
        }
    }
    return NULL;
}

/* Without DEFER_TASKRUN completions come at any system call, more of them than the smallest ring has places for. A round whose
   enter has not decided all sends must then go on. */
TEST(a_round_goes_on_when_completions_find_no_place) {
    static struct echo echoes[FLOOD];
    static struct flood flood;
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    pthread_t thread;

    CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", "defer_taskrun,multishot", 1), 0);
    config.ring_entries = 8;
    net = net_with(&config);
    for (int i = 0; i < FLOOD; i++) {
        flood.fds[i] = echoes[i].peer = raw_peer(net, &echoes[i].sink, &echoes[i].stream);
        CHECK_OK(watch_data(echoes[i].stream, echo_shown, &echoes[i]));
    }
    thread = spawn(flood_and_check, &flood);
    join(thread);
    for (int i = 0; i < FLOOD; i++) {
        sink_close(echoes[i].sink);
        stream_close(echoes[i].stream);
        raw_close(echoes[i].peer);
    }
    CHECK_OK(net_stop(net));
}
