/* Promise 7. End of stream, reset by the peer, timeout, cancellation, a closed handle and a stopped net
   are six different statuses; a reset is never reported as the end of stream. */

#include "support.h"

#include <sys/mman.h>
#include <sys/socket.h>

enum cause { END, RESET, LATE, CANCEL, CLOSE, STOP, CAUSES };

static const iouringnet_status status_of[CAUSES] = {
    IOURINGNET_EOF, -ECONNRESET, IOURINGNET_TIMEOUT, IOURINGNET_CANCELLED, IOURINGNET_CLOSED, IOURINGNET_STOPPED,
};

enum receive { RECV, RECV_LARGE, RECV_SOME, FILL, FILL_UNTIL, KINDS };

static char memory[KINDS][1 << 20];

/* one receive of this kind waits; the cause comes; the status must be the cause's own */
static void ended_by(enum receive kind, enum cause cause) {
    struct mixed m = mixed_pair();
    struct result result = RESULT;
    iouringnet_op *op = NULL;

    if (cause == LATE)
        CHECK_OK(stream_set_timeout(m.stream, 30));
    if (kind == RECV)
        CHECK_OK(stream_recv_async(m.stream, memory[kind], 100, result_store, &result, &op));
    else if (kind == RECV_LARGE)
        CHECK_OK(stream_recv_async(m.stream, memory[kind], sizeof memory[kind], result_store, &result, &op));
    else if (kind == RECV_SOME)
        CHECK_OK(stream_recv_some_async(m.stream, memory[kind], 100, result_store, &result, &op));
    else if (kind == FILL)
        CHECK_OK(stream_fill_async(m.stream, 100, result_store, &result, &op));
    else
        CHECK_OK(stream_fill_until_async(m.stream, "x", 1, 100, result_store, &result, &op));
    switch (cause) {
    case END: raw_half_close(m.peer); break;
    case RESET: raw_reset(m.peer); break;
    case CANCEL: CHECK_OK(op_cancel(op)); break;
    case CLOSE: stream_close(m.stream); break;
    case STOP: CHECK_OK(net_stop(m.net)); break;
    default: break;
    }
    CHECK_STATUS(result_wait(&result), status_of[cause]);
    CHECK_EQ(result.done.bytes, 0);
    CHECK_OK(op_release(op));
    if (cause != STOP) {
        connection_abort(m.sink, NULL);
        stream_close(m.stream);
        CHECK_OK(net_stop(m.net));
    }
    if (cause != RESET)
        raw_close(m.peer);
}

TEST(six_causes_of_a_small_receive) {
    for (int cause = 0; cause < CAUSES; cause++)
        ended_by(RECV, cause);
}

TEST(six_causes_of_a_large_receive) {
    for (int cause = 0; cause < CAUSES; cause++)
        ended_by(RECV_LARGE, cause);
}

TEST(six_causes_of_a_recv_some) {
    for (int cause = 0; cause < CAUSES; cause++)
        ended_by(RECV_SOME, cause);
}

TEST(six_causes_of_a_fill) {
    for (int cause = 0; cause < CAUSES; cause++)
        ended_by(FILL, cause);
}

TEST(six_causes_of_a_fill_until) {
    for (int cause = 0; cause < CAUSES; cause++)
        ended_by(FILL_UNTIL, cause);
}

struct watched {
    iouringnet_status status;
    struct latch latch;
};

static size_t stores_its_end(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watched *watched = user;
    (void)data;
    if (status != 0) {
        watched->status = status;
        latch_open(&watched->latch);
    }
    return size;
}

TEST(six_causes_of_a_watch) {
    for (int cause = 0; cause < CAUSES; cause++) {
        iouringnet_net *net = net_of_mode();
        struct watched watched = {0, LATCH(1)};
        struct mixed m = mixed_pair_in(net, 0);

        if (cause == LATE)
            CHECK_OK(connection_set_idle_timeout(m.sink, m.stream, 30));
        CHECK_OK(watch_data(m.stream, stores_its_end, &watched));
        if (cause == END)
            raw_half_close(m.peer);
        else if (cause == RESET)
            raw_reset(m.peer);
        else if (cause == CANCEL)
            CHECK_OK(stream_unwatch(m.stream));
        else if (cause == CLOSE)
            stream_close(m.stream);
        else if (cause == STOP)
            CHECK_OK(net_stop(net));
        latch_wait(&watched.latch);
        CHECK_STATUS(watched.status, status_of[cause]);
        if (cause != STOP) {
            connection_abort(m.sink, NULL);
            stream_close(m.stream);
            CHECK_OK(net_stop(net));
        }
        if (cause != RESET)
            raw_close(m.peer);
    }
}

TEST(causes_of_an_accept) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_op *op;

    CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
    listener_close(listener);
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CLOSED);
    listener = bind_loopback(net, &address);
    CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
    CHECK_OK(net_stop(net));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_STOPPED);
}

/* a listener that is full does not answer, so that a dial to it waits */
TEST(causes_of_a_dial) {
    iouringnet_net *net = net_of_mode();
    iouringnet_dial_options options;
    iouringnet_op *op;
    struct full_listener full = full_listener();

    iouringnet_dial_options_init(&options);
    options.timeout_ms = 50;
    CHECK_OK(net_dial_async(net, full.address.text, &options, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_TIMEOUT);
    CHECK_OK(net_dial_async(net, full.address.text, NULL, NULL, NULL, &op));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(net_dial_async(net, full.address.text, NULL, NULL, NULL, &op));
    CHECK_OK(net_stop(net));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_STOPPED);
    full_listener_close(&full);
}

TEST(causes_of_a_send) {
    enum { SIZE = 16 << 20 };
    static char data[SIZE];

    for (int cause = RESET; cause < CAUSES; cause++) {
        iouringnet_config config = config_of_mode();
        iouringnet_net *net;
        struct mixed m;
        struct result result = RESULT;
        iouringnet_op *op;

        config.shutdown_timeout_ms = 100;
        net = net_with(&config);
        m = mixed_pair_in(net, 16384);
        if (cause == LATE)
            CHECK_OK(sink_set_timeout(m.sink, 50));
        CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &result, &op));
        if (cause == RESET)
            raw_reset(m.peer);
        else if (cause == CANCEL)
            CHECK_OK(op_cancel(op));
        else if (cause == CLOSE)
            connection_abort(m.sink, NULL);
        else if (cause == STOP)
            CHECK_STATUS(net_stop(net), IOURINGNET_TIMEOUT);
        CHECK_STATUS(result_wait(&result), status_of[cause]);
        CHECK_OK(op_release(op));
        if (cause != STOP) {
            connection_abort(m.sink, NULL);
            stream_close(m.stream);
            CHECK_OK(net_stop(net));
        }
        if (cause != RESET)
            raw_close(m.peer);
    }
}

/* ---- a reset, whichever half meets it first ---- */

TEST(the_sink_meets_the_reset_first) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 50; i++) {
        char into[4];
        struct mixed m = mixed_pair_in(net, 0);
        int64_t end = now_ms() + WAIT_MS;
        iouringnet_status status;

        raw_reset(m.peer);
        while ((status = sink_send(m.sink, "x", 1, NULL)) == 0)
            CHECK(now_ms() < end);
        CHECK_STATUS(status, -ECONNRESET);
        /* the socket's error is consumed by now, and the kernel itself would read 0 */
        if (i % 3 == 0)
            CHECK_STATUS(stream_recv(m.stream, into, 4, NULL), -ECONNRESET);
        else if (i % 3 == 1)
            CHECK_STATUS(stream_recv_some(m.stream, into, 4, NULL), -ECONNRESET);
        else
            CHECK_STATUS(stream_fill(m.stream, 4), -ECONNRESET);
        CHECK_STATUS(stream_recv(m.stream, into, 4, NULL), -ECONNRESET);
        CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
        sink_close(m.sink);
        stream_close(m.stream);
    }
    CHECK_OK(net_stop(net));
}

TEST(the_stream_meets_the_reset_first) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 50; i++) {
        char into[4];
        struct mixed m = mixed_pair_in(net, 0);

        raw_reset(m.peer);
        CHECK_STATUS(stream_recv(m.stream, into, 4, NULL), -ECONNRESET);
        /* never EPIPE, and never a success */
        CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
        CHECK_STATUS(sink_post(m.sink, "x", 1), -ECONNRESET);
        CHECK_STATUS(sink_flush(m.sink), -ECONNRESET);
        CHECK_STATUS(stream_recv_some(m.stream, into, 4, NULL), -ECONNRESET);
        sink_close(m.sink);
        stream_close(m.stream);
    }
    CHECK_OK(net_stop(net));
}

/* both halves at work while the reset comes: whoever is first, nobody reads an end of stream */
static void *sends_until_reset(void *user) {
    int64_t end = now_ms() + WAIT_MS;
    iouringnet_status status;

    while ((status = sink_send(user, "0123456789", 10, NULL)) == 0)
        CHECK(now_ms() < end);
    CHECK_STATUS(status, -ECONNRESET);
    return NULL;
}

TEST(a_reset_is_never_an_end) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 300; i++) {
        struct watched watched = {0, LATCH(1)};
        pthread_t sender;
        char into[16];
        struct mixed m = mixed_pair_in(net, 0);

        if (i % 2)
            CHECK_OK(watch_data(m.stream, stores_its_end, &watched));
        sender = spawn(sends_until_reset, m.sink);
        raw_recv(m.peer, into, 10);
        raw_reset(m.peer);
        if (i % 2) {
            latch_wait(&watched.latch);
            CHECK_STATUS(watched.status, -ECONNRESET);
        } else {
            CHECK_STATUS(stream_recv(m.stream, into, 16, NULL), -ECONNRESET);
        }
        join(sender);
        sink_close(m.sink);
        stream_close(m.stream);
    }
    CHECK_OK(net_stop(net));
}

/* a peer that closes with input unread resets; after our own half-close too that is no clean end */
TEST(a_reset_after_our_half_close) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 20; i++) {
        char into[4];
        struct mixed m = mixed_pair_in(net, 0);

        CHECK_OK(sink_send(m.sink, "unread", 6, NULL));
        sink_close(m.sink);
        if (i % 2)
            settle(net); /* our FIN is out */
        raw_reset(m.peer);
        CHECK_STATUS(stream_recv(m.stream, into, 4, NULL), -ECONNRESET);
        stream_close(m.stream);
    }
    CHECK_OK(net_stop(net));
}

TEST(an_end_is_not_a_reset) {
    iouringnet_net *net = net_of_mode();

    for (int i = 0; i < 50; i++) {
        char into[16];
        struct mixed m = mixed_pair_in(net, 0);

        raw_send(m.peer, "bye", 3);
        raw_half_close(m.peer);
        CHECK_OK(stream_recv(m.stream, into, 3, NULL));
        CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), IOURINGNET_EOF);
        CHECK_STATUS(stream_recv_some(m.stream, into, 1, NULL), IOURINGNET_EOF);
        CHECK_STATUS(stream_fill(m.stream, 1), IOURINGNET_EOF);
        /* the end of one half leaves the other working */
        CHECK_OK(sink_send(m.sink, "still here", 10, NULL));
        raw_recv(m.peer, into, 10);
        sink_close(m.sink);
        raw_expect_eof(m.peer);
        mixed_close(&m);
    }
    CHECK_OK(net_stop(net));
}

/* ---- a reset of our own, and errors that are not the connection's ---- */

enum how { BLOCKING, BLOCKING_LARGE, ASYNC, ASYNC_LARGE, HOWS };

struct receiving {
    iouringnet_stream *stream;
    enum how how;
    struct latch begun;
    struct result result;
    iouringnet_status status;
};

static void *receives_until_the_abort(void *user) {
    struct receiving *self = user;
    size_t size = self->how == BLOCKING || self->how == ASYNC ? 1 : sizeof memory[0];

    latch_open(&self->begun);
    if (self->how == BLOCKING || self->how == BLOCKING_LARGE) {
        self->status = stream_recv(self->stream, memory[0], size, NULL);
    } else {
        CHECK_OK(stream_recv_async(self->stream, memory[0], size, result_store, &self->result, NULL));
        self->status = result_wait(&self->result);
    }
    return NULL;
}

static void an_abort_meets(int64_t spin_us) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    config.spin_us = spin_us;
    net = net_with(&config);
    for (int i = 0; i < 400; i++) {
        iouringnet_sink *sink;
        struct receiving self = {.how = i % HOWS, .begun = LATCH(1), .result = RESULT};
        int fd = raw_peer(net, &sink, &self.stream);
        pthread_t thread = spawn(receives_until_the_abort, &self);
        volatile int idle = 0;

        latch_wait(&self.begun);
        /* each round at another moment of the receive: its first try, its spin, its wait */
        while (idle < i / HOWS * 2000)
            idle++;
        connection_abort(sink, NULL);
        join(thread);
        CHECK_STATUS(self.status, IOURINGNET_CLOSED);
        raw_expect_reset(fd);
        stream_close(self.stream);
        raw_close(fd);
    }
    CHECK_OK(net_stop(net));
}

TEST(an_abort_is_no_reset_by_the_peer_for_a_spinning_receive) {
    an_abort_meets(1000);
}

TEST(an_abort_is_no_reset_by_the_peer_for_a_sleeping_receive) {
    an_abort_meets(IOURINGNET_NO_SPIN);
}

TEST(an_error_of_one_send_is_not_the_end_of_the_stream) {
    iouringnet_net *net = net_of_mode();
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(none != MAP_FAILED);
    for (int async = 0; async < 2; async++) {
        iouringnet_op *op;
        char into[2];
        struct mixed m = mixed_pair_in(net, 0);

        if (async) {
            CHECK_OK(sink_send_async(m.sink, none, 4096, NULL, NULL, &op));
            CHECK_STATUS(op_finish(op, NULL), -EFAULT);
        } else {
            CHECK_STATUS(sink_send(m.sink, none, 4096, NULL), -EFAULT);
        }
        raw_send(m.peer, "ab", 2);
        raw_half_close(m.peer);
        CHECK_OK(stream_recv(m.stream, into, 2, NULL));
        CHECK_MEM(into, "ab", 2);
        CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), IOURINGNET_EOF);
        CHECK_STATUS(stream_recv_some(m.stream, into, 1, NULL), IOURINGNET_EOF);
        mixed_close(&m);
    }
    CHECK_EQ(munmap(none, 4096), 0);
    CHECK_OK(net_stop(net));
}

/* one mode */ TEST(statuses_have_names_and_texts) {
    for (int i = 0; i < CAUSES; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(status_of[i] != status_of[j]);
            CHECK(strcmp(iouringnet_strerror(status_of[i]), iouringnet_strerror(status_of[j])) != 0);
            CHECK(strcmp(iouringnet_errname(status_of[i]), iouringnet_errname(status_of[j])) != 0);
        }
    }
    CHECK_EQ(strcmp(iouringnet_errname(IOURINGNET_EOF), "IOURINGNET_EOF"), 0);
    CHECK(iouringnet_strerror(0)[0] != 0);
    CHECK(iouringnet_strerror(12345)[0] != 0);
    CHECK(iouringnet_strerror(INT32_MIN)[0] != 0);
}
