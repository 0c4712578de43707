/* Receives that callbacks begin one after the other. The library then receives ahead: what comes while no
   receive waits, and everything else that may follow then on the stream.
   Promise 6. */

#include "inside.h"

#include <sys/ioctl.h>

/* a chain of receives of up to four bytes, which stops after `left` of them, or at an error */
struct chain {
    iouringnet_stream *stream;
    char into[4], got[64];
    size_t bytes;
    int left;
    iouringnet_status last;
    struct latch idle;
};

static void chain_next(void *user);

static void chain_received(void *user, const iouringnet_completion *done) {
    struct chain *chain = user;

    CHECK(chain->bytes + done->bytes <= sizeof chain->got);
    memcpy(chain->got + chain->bytes, chain->into, done->bytes);
    chain->bytes += done->bytes;
    chain->last = done->status;
    if (done->status == 0 && --chain->left > 0)
        chain_next(chain);
    else
        latch_open(&chain->idle);
}

static void chain_next(void *user) {
    struct chain *chain = user;

    CHECK_OK(stream_recv_some_async(chain->stream, chain->into, sizeof chain->into, chain_received, chain, NULL));
}

static void chain_begin(struct chain *chain, struct mixed *m, int receives) {
    memset(chain, 0, sizeof *chain);
    latch_init(&chain->idle, 1);
    chain->stream = m->stream;
    chain->left = receives;
    on_callback_thread(m->net, chain_next, chain);
}

/* a stream whose chain has received two messages and begins no more */
static struct mixed rested_with(const iouringnet_config *config) {
    struct mixed m = mixed_pair_with(config, 0);
    struct chain chain;

    chain_begin(&chain, &m, 2);
    raw_send(m.peer, "1st.", 4);
    EVENTUALLY(raw_unacknowledged(m.peer) == 0);
    settle(m.net);
    raw_send(m.peer, "2nd.", 4);
    latch_wait(&chain.idle);
    CHECK_OK(chain.last);
    CHECK_MEM(chain.got, "1st.2nd.", 8);
    return m;
}

static struct mixed rested(void) {
    iouringnet_config config = config_of_mode();

    return rested_with(&config);
}

/* the peer sends, and the library has had time to receive */
static void comes(struct mixed *m, const char *text) {
    raw_send(m->peer, text, strlen(text));
    EVENTUALLY(raw_unacknowledged(m->peer) == 0);
    settle(m->net);
}

TEST(what_comes_while_no_receive_waits_is_received_in_order) {
    for (int by_chain = 0; by_chain < 2; by_chain++) {
        struct mixed m = rested();
        char got[16];

        comes(&m, "three");
        comes(&m, "four");
        comes(&m, "five");
        if (by_chain) {
            struct chain chain;

            chain_begin(&chain, &m, 4);
            comes(&m, "end");
            latch_wait(&chain.idle);
            CHECK_OK(stream_recv(m.stream, got, 16 - chain.bytes, NULL));
            memcpy(chain.got + chain.bytes, got, 16 - chain.bytes);
            CHECK_MEM(chain.got, "threefourfiveend", 16);
        } else {
            CHECK_OK(stream_recv(m.stream, got, 9, NULL));
            comes(&m, "end");
            CHECK_OK(stream_recv(m.stream, got + 9, 7, NULL));
            CHECK_MEM(got, "threefourfiveend", 16);
        }
        mixed_close(&m);
    }
}

/* a program that takes `size` bytes in all by calls of every kind, each begun in the callback of the one before */
struct taker {
    iouringnet_net *net;
    iouringnet_stream *stream;
    size_t size, taken, wanted;
    uint32_t random;
    bool fills;
    unsigned char *into;
    struct latch over;
};

enum { LARGEST = 150000, TOTAL = 4 << 20 };

static void take_next(void *user);

static void taken(void *user, const iouringnet_completion *done) {
    struct taker *taker = user;

    CHECK_OK(done->status);
    pattern_check(taker->into, done->bytes, taker->taken, 7);
    taker->taken += done->bytes;
    take_next(taker);
}

static void filled(void *user, const iouringnet_completion *done) {
    struct taker *taker = user;
    const void *data;
    size_t shown;

    CHECK_OK(done->status);
    CHECK_OK(stream_peek(taker->stream, taker->wanted, &data, &shown));
    CHECK_EQ(shown, taker->wanted);
    pattern_check(data, shown, taker->taken, 7);
    CHECK_OK(stream_consume(taker->stream, shown));
    taker->taken += shown;
    take_next(taker);
}

static void later(void *user, const iouringnet_completion *done) {
    CHECK_OK(done->status);
    take_next(user);
}

static void take_next(void *user) {
    struct taker *taker = user;
    size_t left = taker->size - taker->taken;
    uint32_t random = taker->random * 1664525 + 1013904223;
    size_t most = (random & 0x700) == 0 ? LARGEST : (random & 0x1000) ? 900 : 40;

    taker->random = random;
    if (left == 0) {
        latch_open(&taker->over);
        return;
    }
    taker->wanted = 1 + (random >> 13) % most;
    if (taker->wanted > left)
        taker->wanted = left;
    switch ((random >> 5) & 7) {
    case 0:
        if (taker->fills)
            CHECK_OK(stream_fill_async(taker->stream, taker->wanted, filled, taker, NULL));
        else
            CHECK_OK(net_call(taker->net, 1, later, taker, NULL));
        return;
    case 1:
    case 2: CHECK_OK(stream_recv_async(taker->stream, taker->into, taker->wanted, taken, taker, NULL)); return;
    case 3: {
        iouringnet_op *op;

        CHECK_OK(stream_recv_async(taker->stream, taker->into, taker->wanted, taken, taker, &op));
        CHECK_OK(op_release(op));
        return;
    }
    default: CHECK_OK(stream_recv_some_async(taker->stream, taker->into, taker->wanted, taken, taker, NULL));
    }
}

struct giver {
    int peer;
    size_t size;
};

static void *give(void *user) {
    struct giver *giver = user;
    unsigned char *data = take(giver->size);
    uint32_t random = 1;

    pattern_fill(data, giver->size, 0, 7);
    for (size_t given = 0; given < giver->size;) {
        size_t most = (random & 0x30) == 0 ? 200000 : 300, size;

        random = random * 1664525 + 1013904223;
        size = 1 + (random >> 8) % most;
        if (size > giver->size - given)
            size = giver->size - given;
        raw_send(giver->peer, data + given, size);
        given += size;
    }
    free(data);
    return NULL;
}

TEST(a_chain_of_every_kind_of_receive_gets_every_byte_in_order) {
    static const size_t read_buffers[] = {0, 1024, 5000, IOURINGNET_UNBUFFERED};

    for (size_t i = 0; i < sizeof read_buffers / sizeof *read_buffers; i++) {
        iouringnet_config config = config_of_mode();
        struct taker taker = {.size = TOTAL, .random = (uint32_t)i + 1, .over = LATCH(1)};
        struct giver giver = {.size = TOTAL};
        struct mixed m;
        pthread_t thread;

        config.read_buffer = read_buffers[i];
        taker.fills = read_buffers[i] != IOURINGNET_UNBUFFERED;
        m = mixed_pair_with(&config, 0);
        taker.net = m.net;
        taker.stream = m.stream;
        taker.into = take(LARGEST);
        giver.peer = m.peer;
        thread = spawn(give, &giver);
        on_callback_thread(m.net, take_next, &taker);
        latch_wait(&taker.over);
        join(thread);
        CHECK_EQ(taker.taken, taker.size);
        free(taker.into);
        mixed_close(&m);
    }
}

TEST(the_end_that_comes_while_no_receive_waits_is_kept) {
    struct mixed m = rested();
    char got[4];

    comes(&m, "rest");
    raw_half_close(m.peer);
    settle(m.net);
    CHECK_OK(stream_recv(m.stream, got, 4, NULL));
    CHECK_MEM(got, "rest", 4);
    CHECK_STATUS(stream_recv(m.stream, got, 4, NULL), IOURINGNET_EOF);
    CHECK_STATUS(stream_recv(m.stream, got, 4, NULL), IOURINGNET_EOF);
    mixed_close(&m);
}

TEST(a_reset_that_comes_while_no_receive_waits_is_kept) {
    struct mixed m = rested();
    struct chain chain;
    struct ending ending = ENDING;

    CHECK_OK(ending_watch(m.sink, &ending));
    raw_reset(m.peer);
    CHECK_STATUS(ending_wait(&ending), -ECONNRESET);
    chain_begin(&chain, &m, 1);
    latch_wait(&chain.idle);
    CHECK_STATUS(chain.last, -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "late", 4, NULL), -ECONNRESET);
    m.peer = -1;
    end_close(&(struct end){m.net, m.sink, m.stream});
    CHECK_OK(net_stop(m.net));
}

TEST(one_try_finds_what_has_come) {
    struct mixed m = rested();
    struct chain chain;
    char got[8];

    CHECK_OK(stream_set_timeout(m.stream, 0));
    CHECK_STATUS(stream_recv_some(m.stream, got, 8, NULL), IOURINGNET_TIMEOUT);
    for (int by_chain = 0; by_chain < 2; by_chain++) {
        CHECK_OK(stream_set_timeout(m.stream, IOURINGNET_NO_TIMEOUT));
        chain_begin(&chain, &m, 1); /* the library receives ahead again */
        comes(&m, "seen");
        latch_wait(&chain.idle);
        comes(&m, "unseen");
        CHECK_OK(stream_set_timeout(m.stream, 0));
        chain_begin(&chain, &m, by_chain ? 3 : 1);
        latch_wait(&chain.idle);
        CHECK_MEM(chain.got, "unseen", chain.bytes);
        if (by_chain) {
            CHECK_EQ(chain.bytes, 6);
            CHECK_STATUS(chain.last, IOURINGNET_TIMEOUT);
        } else {
            CHECK_OK(stream_recv(m.stream, got, 2, NULL));
            CHECK_MEM(got, "en", 2);
            CHECK_STATUS(stream_recv_some(m.stream, got, 8, NULL), IOURINGNET_TIMEOUT);
        }
    }
    mixed_close(&m);
}

TEST(a_receive_that_ends_early_loses_no_byte) {
    struct mixed m = rested();
    struct result late = RESULT;
    iouringnet_op *op;
    char got[8];

    CHECK_OK(stream_recv_async(m.stream, got, 8, NULL, NULL, &op));
    comes(&m, "half");
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(stream_set_timeout(m.stream, 50));
    CHECK_OK(stream_recv_async(m.stream, got, 8, result_store, &late, NULL));
    CHECK_STATUS(result_wait(&late), IOURINGNET_TIMEOUT);
    CHECK_EQ(late.done.bytes, 0);
    comes(&m, "half");
    CHECK_OK(stream_recv(m.stream, got, 8, NULL));
    CHECK_MEM(got, "halfhalf", 8);
    mixed_close(&m);
}

/* the same by callbacks alone: of two receives the first is late, and the second gets the bytes */
struct late {
    iouringnet_stream *stream;
    struct result first, second;
    char into[8];
};

static void begin_both(void *user) {
    struct late *late = user;

    CHECK_OK(stream_set_timeout(late->stream, 300));
    CHECK_OK(stream_recv_async(late->stream, late->into, 8, result_store, &late->first, NULL));
    CHECK_OK(stream_set_timeout(late->stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_recv_async(late->stream, late->into, 4, result_store, &late->second, NULL));
}

TEST(a_late_receive_leaves_its_bytes_to_the_next) {
    struct mixed m = rested();
    struct late late = {.stream = m.stream, .first = RESULT, .second = RESULT};

    on_callback_thread(m.net, begin_both, &late);
    raw_send(m.peer, "half", 4);
    CHECK_STATUS(result_wait(&late.first), IOURINGNET_TIMEOUT);
    CHECK_EQ(late.first.done.bytes, 0);
    CHECK_OK(result_wait(&late.second));
    CHECK_MEM(late.into, "half", 4);
    mixed_close(&m);
}

/* bytes that a callback has peeked at, while more of them arrive */
struct look {
    iouringnet_stream *stream;
    const void *data;
    size_t shown;
    struct latch over;
};

static void looks(void *user, const iouringnet_completion *done) {
    struct look *look = user;

    CHECK_OK(done->status);
    CHECK_OK(stream_peek(look->stream, 100, &look->data, &look->shown));
    latch_open(&look->over);
}

static void fills(void *user) {
    struct look *look = user;

    CHECK_OK(stream_fill_async(look->stream, 4, looks, look, NULL));
}

TEST(what_a_peek_shows_stays_while_bytes_arrive) {
    struct mixed m = rested();
    struct look look = {.stream = m.stream, .over = LATCH(1)};
    unsigned char bytes[20000], got[20000];

    on_callback_thread(m.net, fills, &look);
    comes(&m, "peek");
    latch_wait(&look.over);
    CHECK_EQ(look.shown, 4);
    pattern_fill(bytes, sizeof bytes, 0, 3);
    for (size_t sent = 0; sent < sizeof bytes; sent += 5000) {
        raw_send(m.peer, bytes + sent, 5000);
        EVENTUALLY(raw_unacknowledged(m.peer) == 0);
        settle(m.net);
        CHECK_MEM(look.data, "peek", 4);
    }
    CHECK_OK(stream_consume(m.stream, 4));
    CHECK_OK(stream_recv(m.stream, got, sizeof got, NULL));
    CHECK_MEM(got, bytes, sizeof got);
    mixed_close(&m);
}

/* shows what a watch saw, in order */
struct seen {
    struct ending ending;
    char text[64];
    atomic_size_t size;
};

static size_t sees(void *user, iouringnet_status status, const void *data, size_t size) {
    struct seen *seen = user;

    if (status != 0) {
        ending_note(&seen->ending, status);
        return 0;
    }
    memcpy(seen->text + seen->size, data, size);
    atomic_fetch_add(&seen->size, size);
    return size;
}

TEST(a_watch_goes_on_where_a_chain_has_stopped) {
    struct mixed m = rested();
    struct seen seen = {.ending = ENDING};
    char got[4];

    comes(&m, "before,");
    CHECK_OK(watch_data(m.stream, sees, &seen));
    EVENTUALLY(atomic_load(&seen.size) == 7);
    comes(&m, "beside,");
    comes(&m, "behind");
    EVENTUALLY(atomic_load(&seen.size) == 20);
    CHECK_MEM(seen.text, "before,beside,behind", 20);
    CHECK_OK(stream_unwatch(m.stream));
    CHECK_STATUS(ending_wait(&seen.ending), IOURINGNET_CANCELLED);
    comes(&m, "last");
    CHECK_OK(stream_recv(m.stream, got, 4, NULL));
    CHECK_MEM(got, "last", 4);
    mixed_close(&m);
}

/* receives of two threads: the first by an op, the second in a callback, the third by a blocking call */
TEST(receives_of_other_threads_keep_their_order_with_a_chain) {
    struct mixed m = rested();
    struct chain chain;
    iouringnet_op *op;
    char first[4], third[4];

    CHECK_OK(stream_recv_async(m.stream, first, 4, NULL, NULL, &op));
    chain_begin(&chain, &m, 1);
    comes(&m, "1st.2nd.3rd.");
    CHECK_OK(op_finish(op, NULL));
    latch_wait(&chain.idle);
    CHECK_OK(stream_recv(m.stream, third, 4, NULL));
    CHECK_MEM(first, "1st.", 4);
    CHECK_MEM(chain.got, "2nd.", 4);
    CHECK_MEM(third, "3rd.", 4);
    mixed_close(&m);
}

TEST(a_stream_that_rests_closes_and_stops) {
    for (int how = 0; how < 3; how++) {
        struct mixed m = rested();
        char got[4];

        comes(&m, "left");
        if (how == 0)
            CHECK_OK(net_stop(m.net)); /* the stream is open, and so is the sink */
        if (how == 1)
            stream_close(m.stream);
        if (how == 2)
            connection_abort(m.sink, NULL);
        if (how == 1) {
            CHECK_STATUS(stream_recv(m.stream, got, 4, NULL), IOURINGNET_BAD_HANDLE);
            CHECK_OK(sink_send(m.sink, "goes", 4, NULL));
            raw_recv(m.peer, got, 4);
        }
        if (how == 0) {
            close(m.peer);
            continue;
        }
        mixed_close(&m);
    }
}

/* Promise 12: what a peer can make the library buffer has a bound. */
TEST(a_program_that_stops_receiving_holds_its_peer_back) {
    enum { READ_BUFFER = 8192, SENT = 60000 };

    for (size_t piece = 3000; piece <= SENT; piece *= 20) {
        iouringnet_config config = config_of_mode();
        struct mixed m;
        unsigned char bytes[SENT], got[SENT];
        int left, fd;

        config.read_buffer = READ_BUFFER;
        m = rested_with(&config);
        fd = descriptor_of(m.sink);
        pattern_fill(bytes, sizeof bytes, 0, 4);
        for (size_t sent = 0; sent < sizeof bytes; sent += piece) {
            raw_send(m.peer, bytes + sent, piece);
            EVENTUALLY(raw_unacknowledged(m.peer) == 0);
            settle(m.net);
        }
        CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
        CHECK_BETWEEN(left, SENT - READ_BUFFER, SENT);
        CHECK_OK(stream_recv(m.stream, got, sizeof got, NULL));
        CHECK_MEM(got, bytes, sizeof got);
        mixed_close(&m);
    }
}
