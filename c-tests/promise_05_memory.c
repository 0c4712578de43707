/* Promise 5. Memory given to an async operation is the library's until its completion: neither freed
   nor changed by the caller. Memory given to a blocking call or to `sink_post` is the caller's again
   on return. Peeked bytes live until the next call on that stream; bytes shown to a data callback live
   until it returns, even if it closes the stream.

   The other side of the same promise is what these tests look at: after the completion nothing
   touches the memory any more. It is unmapped then, so that a late write is an EFAULT, a crash or a
   lost byte. */

#include "harness.h"

#include <sys/mman.h>
#include <sys/socket.h>

static char *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void unmap(void *memory, size_t size) {
    CHECK_EQ(munmap(memory, size), 0);
}

TEST(a_sent_buffer_is_free_on_return) {
    enum { SIZE = 100000, ROUNDS = 50 };
    struct pair p = tcp_pair_apart();
    char *data = take(SIZE), *got = take((size_t)SIZE * ROUNDS);
    iouringnet_op *received;

    CHECK_OK(stream_recv_async(p.b.stream, got, (size_t)SIZE * ROUNDS, NULL, NULL, &received));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct iovec parts[2] = {{data, 10}, {data + 10, SIZE - 10}};
        pattern_fill(data, SIZE, (uint64_t)i * SIZE, 1);
        if (i % 2)
            CHECK_OK(sink_send(p.a.sink, data, SIZE, NULL));
        else
            CHECK_OK(sink_sendv(p.a.sink, parts, 2, NULL));
        memset(data, 0xee, SIZE);
    }
    CHECK_OK(op_finish(received, NULL));
    pattern_check(got, (size_t)SIZE * ROUNDS, 0, 1);
    pair_close(&p);
    free(data);
    free(got);
}

TEST(a_posted_buffer_is_free_on_return) {
    enum { SIZE = 3 << 20 };
    struct pair p = tcp_pair();
    size_t at = 0, got = 0;
    char *data = map(SIZE), *into = take(SIZE);

    /* larger than socket and mark: most of it is still unsent when the memory goes */
    pattern_fill(data, SIZE, 0, 2);
    CHECK_OK(sink_post(p.a.sink, data, SIZE));
    unmap(data, SIZE);
    for (; at < SIZE; at += got) {
        CHECK_OK(stream_recv_some(p.b.stream, into, SIZE, &got));
        pattern_check(into, got, at, 2);
    }
    pair_close(&p);
    free(into);
}

TEST(an_async_send_leaves_its_buffer_alone) {
    enum { SIZE = 8 << 20 };
    struct pair p = tcp_pair_apart();
    struct result sent = RESULT;
    size_t at = 0, got;
    char *data = map(SIZE), *into = take(1 << 20);

    pattern_fill(data, SIZE, 0, 3);
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, result_store, &sent, NULL));
    while (at < SIZE && latch_left(&sent.latch) > 0) {
        CHECK_OK(stream_recv_some(p.b.stream, into, 1 << 20, &got));
        pattern_check(into, got, at, 3);
        at += got;
    }
    CHECK_OK(result_wait(&sent));
    CHECK_EQ(sent.done.bytes, SIZE);
    unmap(data, SIZE); /* and the rest still arrives from the kernel */
    for (; at < SIZE; at += got) {
        CHECK_OK(stream_recv_some(p.b.stream, into, 1 << 20, &got));
        pattern_check(into, got, at, 3);
    }
    pair_close(&p);
    free(into);
}

TEST(sendv_async_copies_its_array_of_parts) {
    struct pair p = tcp_pair();
    struct result sent = RESULT;
    struct iovec *parts = take(100 * sizeof *parts);
    char *data = take(100 * 30000), *into = take(100 * 30000);

    pattern_fill(data, 100 * 30000, 0, 4);
    for (int i = 0; i < 100; i++)
        parts[i] = (struct iovec){data + i * 30000, 30000};
    CHECK_OK(sink_sendv_async(p.a.sink, parts, 100, result_store, &sent, NULL));
    memset(parts, 0xee, 100 * sizeof *parts);
    free(parts);
    CHECK_OK(stream_recv(p.b.stream, into, 100 * 30000, NULL));
    pattern_check(into, 100 * 30000, 0, 4);
    CHECK_OK(result_wait(&sent));
    CHECK_EQ(sent.done.bytes, 100 * 30000);
    pair_close(&p);
    free(data);
    free(into);
}

TEST(dial_copies_its_address_and_options) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_dial_options options;
    iouringnet_op *op;
    iouringnet_completion done;
    char text[160];
    int listener = raw_listen(&address), fd;

    for (int i = 0; i < 2; i++) {
        /* a number, then a name of the hosts file; fault_names.c has one that is looked up */
        snprintf(text, sizeof text, "%s%s", i ? "localhost" : "127.0.0.1", strrchr(address.text, ':'));
        iouringnet_dial_options_init(&options);
        options.timeout_ms = WAIT_MS;
        CHECK_OK(net_dial_async(net, text, &options, NULL, NULL, &op));
        memset(text, 'x', sizeof text);
        memset(&options, 0xee, sizeof options);
        CHECK_OK(op_finish(op, &done));
        fd = raw_accept(listener);
        sink_close(done.sink);
        stream_close(done.stream);
        raw_close(fd);
    }
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

/* after a cancelled receive its memory goes, and the bytes that come later are all there for the next */
static void cancelled_receive(size_t size, bool some) {
    struct pair p = tcp_pair();
    iouringnet_op *op;
    iouringnet_completion done;
    char *into = map(size), *rest = take(size);

    if (some)
        CHECK_OK(stream_recv_some_async(p.b.stream, into, size, NULL, NULL, &op));
    else
        CHECK_OK(stream_recv_async(p.b.stream, into, size, NULL, NULL, &op));
    settle(p.b.net); /* so that it waits in the kernel, not in the library */
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, &done), IOURINGNET_CANCELLED);
    CHECK_EQ(done.bytes, 0);
    unmap(into, size);
    pattern_fill(rest, size, 0, 5);
    CHECK_OK(sink_post(p.a.sink, rest, size));
    memset(rest, 0, size);
    CHECK_OK(stream_recv(p.b.stream, rest, size, NULL));
    pattern_check(rest, size, 0, 5);
    pair_close(&p);
    free(rest);
}

TEST(a_cancelled_small_receive_lets_go) {
    cancelled_receive(4096, false);
}

TEST(a_cancelled_large_receive_lets_go) {
    cancelled_receive(1 << 20, false);
}

TEST(a_cancelled_recv_some_lets_go) {
    cancelled_receive(4096, true);
    cancelled_receive(1 << 20, true);
}

/* a receive into the caller's own memory, under way when something else ends it */
enum how { BY_TIMEOUT, BY_CLOSE, BY_ABORT, BY_STOP };

static void ended_receive(enum how how, iouringnet_status want) {
    enum { SIZE = 1 << 20 };
    struct mixed m = mixed_pair();
    struct result result = RESULT;
    char *into = map(SIZE);

    if (how == BY_TIMEOUT)
        CHECK_OK(stream_set_timeout(m.stream, 50));
    CHECK_OK(stream_recv_async(m.stream, into, SIZE, result_store, &result, NULL));
    raw_send(m.peer, "0123456789", 10);
    settle(m.net);
    if (how == BY_CLOSE)
        stream_close(m.stream);
    else if (how == BY_ABORT)
        connection_abort(m.sink, NULL);
    else if (how == BY_STOP)
        CHECK_OK(net_stop(m.net));
    CHECK_STATUS(result_wait(&result), want);
    CHECK(result.done.bytes <= 10);
    CHECK_MEM(into, "0123456789", result.done.bytes);
    unmap(into, SIZE);
    /* bytes that come now find no buffer of ours; whether they are read or refused is not the point */
    if (send(m.peer, "late", 4, MSG_NOSIGNAL) < 0)
        CHECK(errno == EPIPE || errno == ECONNRESET);
    if (how != BY_STOP) {
        settle(m.net);
        connection_abort(m.sink, NULL);
        stream_close(m.stream);
        CHECK_OK(net_stop(m.net));
    }
    raw_close(m.peer);
}

TEST(a_timed_out_receive_lets_go) {
    ended_receive(BY_TIMEOUT, IOURINGNET_TIMEOUT);
}

TEST(a_closed_receive_lets_go) {
    ended_receive(BY_CLOSE, IOURINGNET_CLOSED);
}

TEST(an_aborted_receive_lets_go) {
    ended_receive(BY_ABORT, IOURINGNET_CLOSED);
}

TEST(a_stopped_net_lets_go_of_receives) {
    ended_receive(BY_STOP, IOURINGNET_STOPPED);
}

/* a send that the peer does not read, under way when something else ends it */
static void ended_send(enum how how, iouringnet_status want) {
    enum { SIZE = 16 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result result = RESULT;
    char *data = map(SIZE);

    config.shutdown_timeout_ms = 100;
    m = mixed_pair_with(&config, 8192);
    if (how == BY_TIMEOUT)
        CHECK_OK(sink_set_timeout(m.sink, 50));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &result, NULL));
    settle(m.net);
    if (how == BY_ABORT)
        connection_abort(m.sink, NULL);
    else if (how == BY_STOP)
        CHECK_STATUS(net_stop(m.net), IOURINGNET_TIMEOUT);
    CHECK_STATUS(result_wait(&result), want);
    CHECK(result.done.bytes < SIZE);
    unmap(data, SIZE);
    if (how != BY_STOP) {
        settle(m.net);
        connection_abort(m.sink, NULL);
        stream_close(m.stream);
        CHECK_OK(net_stop(m.net));
    }
    raw_close(m.peer);
}

TEST(a_timed_out_send_lets_go) {
    ended_send(BY_TIMEOUT, IOURINGNET_TIMEOUT);
}

TEST(an_aborted_send_lets_go) {
    ended_send(BY_ABORT, IOURINGNET_CLOSED);
}

TEST(a_stopped_net_lets_go_of_sends) {
    ended_send(BY_STOP, IOURINGNET_STOPPED);
}

/* ---- memory that the library lends ---- */

TEST(peeked_bytes_live_until_the_next_call_on_the_stream) {
    struct pair p = tcp_pair();
    iouringnet_sink_info info;
    const void *shown;
    size_t size;
    char waste[4096] = {0};

    CHECK_OK(sink_send(p.a.sink, "peeked bytes", 12, NULL));
    CHECK_OK(stream_fill(p.b.stream, 12));
    CHECK_OK(stream_peek(p.b.stream, 100, &shown, &size));
    CHECK_EQ(size, 12);
    CHECK_MEM(shown, "peeked bytes", 12);
    /* more arrives, the other half and other connections work: the shown bytes stand still */
    for (int i = 0; i < 50; i++)
        CHECK_OK(sink_send(p.a.sink, waste, sizeof waste, NULL));
    CHECK_OK(sink_send(p.b.sink, "back", 4, NULL));
    CHECK_OK(stream_recv(p.a.stream, waste, 4, NULL));
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(p.b.sink, &info));
    settle(p.b.net);
    CHECK_MEM(shown, "peeked bytes", 12);
    CHECK_OK(stream_consume(p.b.stream, 12));
    pair_close(&p);
}

struct shown {
    struct pair *pair;
    struct latch shown, leave, over;
};

static size_t holds_its_bytes(void *user, iouringnet_status status, const void *data, size_t size) {
    struct shown *self = user;
    if (status != 0) {
        CHECK_STATUS(status, IOURINGNET_CLOSED);
        latch_open(&self->over);
        return 0;
    }
    pattern_check(data, size, 0, 6);
    stream_close(self->pair->b.stream);
    connection_abort(self->pair->b.sink, NULL);
    latch_open(&self->shown);
    latch_wait(&self->leave);
    pattern_check(data, size, 0, 6);
    return size;
}

TEST(shown_bytes_outlive_the_close_of_their_stream) {
    struct pair p = tcp_pair_apart();
    struct shown self = {&p, LATCH(1), LATCH(1), LATCH(1)};
    char data[2000];

    pattern_fill(data, sizeof data, 0, 6);
    CHECK_OK(watch_data(p.b.stream, holds_its_bytes, &self));
    CHECK_OK(sink_send(p.a.sink, data, sizeof data, NULL));
    latch_wait(&self.shown);
    /* the stream is closed by now, and other connections come and go */
    for (int i = 0; i < 20; i++) {
        struct pair other = tcp_pair_in(p.a.net, p.a.net);
        CHECK_OK(sink_post(other.a.sink, "other bytes", 11));
        CHECK_OK(stream_recv(other.b.stream, data, 11, NULL));
        pair_close(&other);
    }
    latch_open(&self.leave);
    latch_wait(&self.over);
    pair_close(&p);
}

/* kept bytes are shown again joined with the next ones, from memory that is valid each time */
struct keeper {
    size_t seen;
    struct latch latch;
    size_t want;
};

static size_t keeps_everything(void *user, iouringnet_status status, const void *data, size_t size) {
    struct keeper *keeper = user;
    if (status != 0)
        return 0;
    CHECK(size > keeper->seen);
    pattern_check(data, size, 0, 7);
    keeper->seen = size;
    if (size == keeper->want)
        latch_open(&keeper->latch);
    return 0;
}

TEST(kept_bytes_are_shown_again_whole) {
    struct pair p = tcp_pair();
    struct keeper keeper = {0, LATCH(1), 200000};
    char *data = take(200000);

    pattern_fill(data, 200000, 0, 7);
    CHECK_OK(watch_data(p.b.stream, keeps_everything, &keeper));
    for (size_t at = 0; at < 200000; at += 2000)
        CHECK_OK(sink_send(p.a.sink, data + at, 2000, NULL));
    latch_wait(&keeper.latch);
    pair_close(&p);
    free(data);
}
