/* When room is told after IOURINGNET_FULL, and what the bound of operations leaves as it was. */

#include "inside.h"

/* ---- room after a full sink ---- */

struct room {
    iouringnet_sink *sink;
    struct latch told, over;
    size_t most; /* unsent when room was told */
};

static void room_is_told(void *user, iouringnet_status status) {
    struct room *room = user;
    size_t unsent = unsent_of(room->sink);

    CHECK_OK(status);
    if (unsent > room->most)
        room->most = unsent;
    latch_open(&room->told);
}

static void room_ends(void *user, iouringnet_status status) {
    struct room *room = user;

    CHECK_STATUS(status, IOURINGNET_CLOSED);
    latch_open(&room->over);
}

TEST(room_is_told_when_half_of_the_mark_is_free) {
    enum { MARK = 4 << 20, PIECE = 16 << 10 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct room room = {NULL, LATCH(1), LATCH(1), 0};
    char *data = take(PIECE);
    size_t on_its_way = 0;

    config.post_mark = MARK;
    config.send_buffer = 65536; /* the kernel has little room, so that the loop goes by small steps */
    m = mixed_pair_with(&config, 16384);
    room.sink = m.sink;
    memset(data, 1, PIECE);
    CHECK_OK(watch_sink(m.sink, room_is_told, room_ends, &room));
    for (int full = 0; full < 3; full++) {
        iouringnet_status status;

        latch_reset(&room.told, 1);
        while ((status = sink_post(m.sink, data, PIECE)) == 0)
            on_its_way += PIECE;
        CHECK_STATUS(status, IOURINGNET_FULL);
        while (latch_left(&room.told) > 0) {
            CHECK(on_its_way >= PIECE); /* told at the latest with the last byte */
            raw_recv(m.peer, data, PIECE);
            on_its_way -= PIECE;
            if (unsent_of(m.sink) <= MARK / 2)
                settle(m.net); /* what is told has been heard before more is read */
        }
    }
    CHECK_BETWEEN(room.most, MARK / 4, MARK / 2);
    connection_abort(m.sink, m.stream);
    latch_wait(&room.over);
    mixed_close(&m);
    free(data);
}

/* half of it is no byte */
TEST(room_is_told_with_the_smallest_mark) {
    enum { SIZE = 8 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct room room = {NULL, LATCH(1), LATCH(1), 0};
    char *data = take(SIZE);

    config.post_mark = 1;
    m = mixed_pair_with(&config, 16384);
    room.sink = m.sink;
    memset(data, 1, SIZE);
    CHECK_OK(watch_sink(m.sink, room_is_told, room_ends, &room));
    CHECK_OK(sink_post(m.sink, data, SIZE));
    CHECK_STATUS(sink_post(m.sink, data, 1), IOURINGNET_FULL);
    raw_recv(m.peer, data, SIZE);
    latch_wait(&room.told);
    CHECK_EQ(room.most, 0);
    CHECK_OK(sink_post(m.sink, data, 1));
    connection_abort(m.sink, m.stream);
    latch_wait(&room.over);
    mixed_close(&m);
    free(data);
}

TEST(a_post_at_the_mark_is_refused) {
    enum { MARK = 16 << 20, PIECE = 8 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(MARK);
    size_t unsent;

    config.post_mark = MARK;
    config.send_buffer = 65536;
    m = mixed_pair_with(&config, 16384);
    memset(data, 1, MARK);
    CHECK_OK(sink_post(m.sink, data, PIECE));
    /* while the kernel takes more, there is room again */
    for (int i = 0; (unsent = unsent_of(m.sink)) < MARK; i++) {
        CHECK(i < 10000);
        CHECK_OK(sink_post(m.sink, data, MARK - unsent));
        nap();
    }
    CHECK_EQ(unsent, MARK);
    CHECK_STATUS(sink_post(m.sink, data, 1), IOURINGNET_FULL);
    CHECK_EQ(unsent_of(m.sink), MARK);
    connection_abort(m.sink, NULL);
    mixed_close(&m);
    free(data);
}

static void fills_in_a_round(void *user, const iouringnet_completion *done) {
    static const char data[1024];
    struct room *room = user;
    iouringnet_status status = 0;

    CHECK_OK(done->status);
    for (int i = 0; i < 1000 && status == 0; i++)
        status = sink_post(room->sink, data, sizeof data);
    CHECK_STATUS(status, IOURINGNET_FULL);
}

/* what a callback has posted leaves by one call at the end of its round, and that call is all there is to tell */
TEST(room_is_told_after_a_round_that_was_full) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct room room = {NULL, LATCH(1), LATCH(1), 0};

    config.post_mark = 64 << 10;
    m = mixed_pair_with(&config, 0);
    room.sink = m.sink;
    CHECK_OK(watch_sink(m.sink, room_is_told, room_ends, &room));
    CHECK_OK(net_call(m.net, 0, fills_in_a_round, &room, NULL));
    CHECK(latch_wait_ms(&room.told, patient(10000)));
    connection_abort(m.sink, m.stream);
    latch_wait(&room.over);
    mixed_close(&m);
}

/* ---- the bound of operations ---- */

struct limited {
    struct mixed m;
    struct result timer, sent;
    struct latch over;
    iouringnet_status status;
};

static void is_refused(void *user, const iouringnet_completion *done) {
    struct limited *self = user;

    CHECK_OK(done->status);
    /* the sink's own place is still that of the send of the round before, whose callback comes after this one */
    self->status = sink_send_async(self->m.sink, "no", 2, never, NULL, NULL);
    latch_open(&self->over);
}

static void occupies_all_places(void *user) {
    struct limited *self = user;

    CHECK_OK(net_call(self->m.net, 60000, result_store, &self->timer, NULL)); /* the net's one place */
    CHECK_OK(stream_recv_async(self->m.stream, NULL, 0, is_refused, self, NULL));
    CHECK_OK(sink_send_async(self->m.sink, "a", 1, result_store, &self->sent, NULL));
}

TEST(a_send_refused_in_a_callback_leaves_the_sink_free) {
    iouringnet_config config = config_of_mode();
    struct limited self = {.timer = RESULT, .sent = RESULT, .over = LATCH(1)};
    char got[3];

    config.max_operations = 1;
    self.m = mixed_pair_with(&config, 0);
    on_callback_thread(self.m.net, occupies_all_places, &self);
    latch_wait(&self.over);
    CHECK_STATUS(self.status, IOURINGNET_LIMIT);
    CHECK_OK(result_wait(&self.sent));
    CHECK_OK(sink_set_timeout(self.m.sink, WAIT_MS));
    CHECK_OK(sink_send(self.m.sink, "ok", 2, NULL));
    raw_recv(self.m.peer, got, 3);
    CHECK_MEM(got, "aok", 3);
    mixed_close(&self.m);
    CHECK_STATUS(self.timer.done.status, IOURINGNET_STOPPED);
}

struct blocked_sender {
    struct waiter waiter;
    struct sender sender;
};

static void *sends_much(void *user) {
    struct blocked_sender *self = user;

    waiter_begins(&self->waiter);
    return sender_run(&self->sender);
}

/* A send that waits on its caller's thread has no place, and another one has it hand its rest to the loop. With the
   first try off each send needs its place at once. */
/* one mode */ TEST(a_send_that_has_begun_goes_on_beyond_the_bound) {
    enum { SIZE = 16 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result timer = RESULT, small = RESULT;
    struct blocked_sender self = {.sender = {.data = NULL, .size = SIZE}};
    char *data = take(SIZE + 1);
    struct reader reader;
    pthread_t sends, reads;

    config.max_operations = 1;
    m = mixed_pair_with(&config, 0);
    self.sender.sink = m.sink;
    pattern_fill(data, SIZE + 1, 0, 9);
    self.sender.data = data;
    CHECK_OK(net_call(m.net, 60000, result_store, &timer, NULL)); /* the net's one place */
    sends = spawn(sends_much, &self);
    waiter_sleeps(&self.waiter);
    CHECK_OK(sink_send_async(m.sink, data + SIZE, 1, result_store, &small, NULL)); /* the sink's own */
    reader = (struct reader){m.peer, SIZE + 1, 9};
    reads = spawn(reader_run, &reader);
    join(sends);
    CHECK_OK(self.sender.status);
    CHECK_EQ(self.sender.sent, SIZE);
    CHECK_OK(result_wait(&small));
    sink_close(m.sink);
    join(reads);
    mixed_close(&m);
    free(data);
}

/* ---- a receive that has begun ---- */

struct blocked_receiver {
    iouringnet_stream *stream;
    struct waiter waiter;
    char byte;
    iouringnet_status status;
};

static void *receives_one(void *user) {
    struct blocked_receiver *self = user;

    waiter_begins(&self->waiter);
    self->status = stream_recv(self->stream, &self->byte, 1, NULL);
    return NULL;
}

/* A call that waits by itself needs no place, until another one takes the stream's own and sends it to the queue. */
/* one mode */ TEST(a_receive_that_has_begun_goes_on_beyond_the_bound) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result timer = RESULT, second = RESULT;
    struct blocked_receiver self = {.byte = 0};
    pthread_t thread;
    char byte;

    config.max_operations = 1;
    m = mixed_pair_with(&config, 0);
    self.stream = m.stream;
    CHECK_OK(net_call(m.net, 60000, result_store, &timer, NULL)); /* the net's one place */
    thread = spawn(receives_one, &self);
    waiter_sleeps(&self.waiter);
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &second, NULL)); /* the stream's own */
    CHECK_STATUS(stream_recv_async(m.stream, &byte, 1, never, NULL, NULL), IOURINGNET_LIMIT);
    raw_send(m.peer, "12", 2);
    join(thread);
    CHECK_OK(self.status);
    CHECK_EQ(self.byte, '1');
    CHECK_OK(result_wait(&second));
    CHECK_EQ(byte, '2');
    mixed_close(&m);
}
