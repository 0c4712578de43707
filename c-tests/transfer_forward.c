/* Forwards: what a stream receives goes to a sink, all of it or so many bytes, after what either had before; nobody else
   may send or receive there meanwhile.
   Rule: Forwards. */

#include "forward.h"
#include "own_loop.h"

struct source {
    int fd;
    size_t size;
    uint32_t seed;
};

static void *source_run(void *user) {
    const struct source *source = user;
    char *data = take(source->size + 1);

    pattern_fill(data, source->size, 0, source->seed);
    raw_send(source->fd, data, source->size);
    raw_half_close(source->fd);
    free(data);
    return NULL;
}

TEST(everything_is_forwarded_to_the_end) {
    const size_t sizes[] = {0, 1, 1000, 70000, 8 << 20};

    for (int i = 0; i < 5; i++) {
        struct route route;
        struct source source = {.size = sizes[i], .seed = 3};
        struct reader reader = {.size = sizes[i] + 1, .seed = 3};
        pthread_t sends, reads;
        char last;

        route_begin(&route);
        source.fd = route.from.peer;
        reader.fd = route.to.peer;
        route_forward(&route, IOURINGNET_ALL);
        sends = spawn(source_run, &source);
        pattern_fill(&last, 1, sizes[i], 3);
        reads = spawn(reader_run, &reader);
        CHECK_EQ(route_ended(&route, 0, 0), sizes[i]);
        CHECK_OK(sink_send(route.to.sink, &last, 1, NULL)); /* it is open */
        sink_close(route.to.sink);
        join(sends);
        join(reads);
        route_end(&route);
    }
}

TEST(a_blocking_forward_counts_what_went) {
    struct route route;
    struct source source = {.size = 3 << 20, .seed = SOURCE_SEED};
    struct reader reader = {.size = 3 << 20, .seed = SOURCE_SEED};
    pthread_t sends, reads;
    size_t first = 77, second = 77, third = 77;

    route_begin(&route);
    source.fd = route.from.peer;
    reader.fd = route.to.peer;
    sends = spawn(source_run, &source);
    reads = spawn(reader_run, &reader);
    CHECK_OK(stream_forward(route.from.stream, route.to.sink, 1 << 20, &first));
    CHECK_EQ(first, 1 << 20);
    CHECK_OK(stream_forward(route.from.stream, route.to.sink, 100, NULL));
    CHECK_STATUS(stream_forward(route.from.stream, route.to.sink, 3 << 20, &second), IOURINGNET_EOF);
    CHECK_EQ(second, (2 << 20) - 100);
    CHECK_OK(stream_forward(route.from.stream, route.to.sink, IOURINGNET_ALL, &third));
    CHECK_EQ(third, 0);
    CHECK_STATUS(stream_forward(route.from.stream, route.to.sink, 1, &third), IOURINGNET_EOF);
    CHECK_EQ(third, 0);
    sink_close(route.to.sink);
    join(sends);
    join(reads);
    route_end(&route);
}

TEST(an_end_that_comes_too_early_is_the_sources) {
    struct route route;

    route_begin(&route);
    route_forward(&route, 10);
    raw_send(route.from.peer, "four", 4);
    raw_half_close(route.from.peer);
    CHECK_EQ(route_ended(&route, IOURINGNET_EOF, IOURINGNET_SIDE_FROM), 4);
    route_end(&route);
}

TEST(a_forward_takes_its_bytes_and_no_more) {
    struct route route;
    char got[16];

    route_begin(&route);
    raw_send(route.from.peer, "head body tail", 14);
    CHECK_OK(stream_fill(route.from.stream, 14));
    CHECK_OK(stream_recv(route.from.stream, got, 5, NULL));
    CHECK_MEM(got, "head ", 5);
    route_forward(&route, 5); /* of what is buffered */
    CHECK_EQ(route_ended(&route, 0, 0), 5);
    route_forward(&route, 0);
    CHECK_EQ(route_ended(&route, 0, 0), 0);
    CHECK_OK(stream_recv(route.from.stream, got, 2, NULL));
    CHECK_MEM(got, "ta", 2);
    route_forward(&route, 4); /* two that are buffered and two that come */
    raw_send(route.from.peer, "12345", 5);
    CHECK_EQ(route_ended(&route, 0, 0), 4);
    CHECK_OK(stream_recv(route.from.stream, got, 3, NULL));
    CHECK_MEM(got, "345", 3);
    raw_recv(route.to.peer, got, 9);
    CHECK_MEM(got, "body il12", 9);
    route_end(&route);
}

/* each message is passed on at once */
TEST(messages_are_not_kept) {
    enum { MESSAGES = 500, SIZE = 24 };
    struct route route;

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    for (int i = 0; i < MESSAGES; i++) {
        char message[SIZE] = "", got[SIZE];

        snprintf(message, sizeof message, "message %05d", i);
        raw_send(route.from.peer, message, sizeof message);
        raw_recv(route.to.peer, got, sizeof got);
        CHECK_MEM(got, message, sizeof got);
    }
    raw_half_close(route.from.peer);
    CHECK_EQ(route_ended(&route, 0, 0), MESSAGES * SIZE);
    route_end(&route);
}

/* a proxy: both directions of two connections at once, and the ends passed on */
TEST(two_forwards_make_a_proxy) {
    enum { SIZE = 4 << 20 };
    struct route route;
    struct result back = RESULT;
    struct source one = {.size = SIZE, .seed = 1}, two = {.size = SIZE, .seed = 2};
    struct reader reads_one = {.size = SIZE, .seed = 1}, reads_two = {.size = SIZE, .seed = 2};
    pthread_t threads[4];

    route_begin(&route);
    one.fd = reads_two.fd = route.from.peer;
    two.fd = reads_one.fd = route.to.peer;
    route_forward(&route, IOURINGNET_ALL);
    CHECK_OK(stream_forward_async(route.to.stream, route.from.sink, IOURINGNET_ALL, result_store, &back, NULL));
    threads[0] = spawn(source_run, &one);
    threads[1] = spawn(source_run, &two);
    threads[2] = spawn(reader_run, &reads_one);
    threads[3] = spawn(reader_run, &reads_two);
    CHECK_EQ(route_ended(&route, 0, 0), SIZE);
    sink_close(route.to.sink);
    CHECK_OK(result_wait(&back));
    CHECK_EQ(back.done.bytes, SIZE);
    CHECK_EQ(back.done.side, 0);
    sink_close(route.from.sink);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    route_end(&route);
}

TEST(a_connection_may_be_forwarded_to_itself) {
    enum { SIZE = 5 << 20 };
    struct mixed m = mixed_pair();
    struct result done = RESULT;
    struct source source = {.fd = m.peer, .size = SIZE, .seed = 4};
    struct reader reader = {.fd = m.peer, .size = SIZE, .seed = 4};
    pthread_t sends, reads;

    CHECK_OK(stream_forward_async(m.stream, m.sink, IOURINGNET_ALL, result_store, &done, NULL));
    sends = spawn(source_run, &source);
    reads = spawn(reader_run, &reader);
    CHECK_OK(result_wait(&done));
    CHECK_EQ(done.done.bytes, SIZE);
    sink_close(m.sink);
    join(sends);
    join(reads);
    mixed_close(&m);
}

/* What the sink accepted before goes first, though the socket is full when the forward begins. */
TEST(earlier_sends_go_first) {
    enum { EARLIER = 2 << 20 };
    struct route route;
    struct result sent = RESULT;
    char *data = take(2 * EARLIER), *got = take(2 * EARLIER + 4);

    pattern_fill(data, 2 * EARLIER, 0, 6);
    route_begin(&route);
    CHECK_OK(sink_post(route.to.sink, data, EARLIER));
    CHECK_OK(sink_send_async(route.to.sink, data + EARLIER, EARLIER, result_store, &sent, NULL));
    CHECK(unsent_of(route.to.sink) > EARLIER);
    raw_send(route.from.peer, "last", 4);
    route_forward(&route, 4);
    settle(route.net);
    CHECK_EQ(route.done.calls, 0);
    raw_recv(route.to.peer, got, 2 * EARLIER + 4);
    CHECK_EQ(route_ended(&route, 0, 0), 4);
    CHECK_OK(result_wait(&sent));
    CHECK_MEM(got, data, 2 * EARLIER);
    CHECK_MEM(got + 2 * EARLIER, "last", 4);
    free(data);
    free(got);
    route_end(&route);
}

static void post_then_forward(void *user) {
    struct route *route = user;

    CHECK_OK(sink_post(route->to.sink, "one ", 4));
    CHECK_OK(sink_post(route->to.sink, "two ", 4));
    route_forward(route, 5);
    CHECK_STATUS(sink_post(route->to.sink, "four", 4), IOURINGNET_BUSY);
}

TEST(posts_of_the_same_callback_go_first) {
    struct route route;
    char got[13];

    route_begin(&route);
    raw_send(route.from.peer, "three", 5);
    CHECK_OK(stream_fill(route.from.stream, 5));
    on_callback_thread(route.net, post_then_forward, &route);
    CHECK_EQ(route_ended(&route, 0, 0), 5);
    raw_recv(route.to.peer, got, 13);
    CHECK_MEM(got, "one two three", 13);
    route_end(&route);
}

static void sends_are_refused(void *user) {
    struct route *route = user;
    iouringnet_sink *sink = route->to.sink;
    struct iovec part = {(void *)(uintptr_t) "x", 1};

    CHECK_STATUS(sink_post(sink, "x", 1), IOURINGNET_BUSY);
    CHECK_STATUS(sink_postv(sink, &part, 1), IOURINGNET_BUSY);
    CHECK_STATUS(sink_send_async(sink, "x", 1, never, NULL, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(sink_sendv_async(sink, &part, 1, never, NULL, NULL), IOURINGNET_BUSY);
}

TEST(nobody_else_sends_or_receives_meanwhile) {
    struct route route;
    const iouringnet_connection_callbacks watch = {sizeof watch, never_data, NULL, NULL};
    struct result flushed = RESULT;
    char byte;
    const void *data;
    size_t size;

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    for (int i = 0; i < 2; i++) {
        sends_are_refused(&route);
        on_callback_thread(route.net, sends_are_refused, &route);
        CHECK_STATUS(sink_send(route.to.sink, "x", 1, NULL), IOURINGNET_BUSY);
        CHECK_STATUS(stream_forward(route.to.stream, route.to.sink, 1, NULL), IOURINGNET_BUSY);
        CHECK_STATUS(stream_forward(route.from.stream, route.from.sink, 1, NULL), IOURINGNET_BUSY);
        CHECK_STATUS(stream_recv(route.from.stream, &byte, 1, NULL), IOURINGNET_BUSY);
        CHECK_STATUS(stream_fill(route.from.stream, 1), IOURINGNET_BUSY);
        CHECK_STATUS(stream_peek(route.from.stream, 1, &data, &size), IOURINGNET_BUSY);
        CHECK_STATUS(stream_consume(route.from.stream, 0), IOURINGNET_BUSY);
        CHECK_STATUS(connection_watch(NULL, route.from.stream, &watch, NULL), IOURINGNET_BUSY);
        CHECK_STATUS(stream_pause(route.from.stream), IOURINGNET_INVALID);
        CHECK_STATUS(stream_resume(route.from.stream), IOURINGNET_INVALID);
        CHECK_OK(sink_flush(route.to.sink));
        CHECK_OK(sink_flush_async(route.to.sink, result_store, &flushed, NULL));
        CHECK_OK(result_wait(&flushed));
        result_init(&flushed);
        raw_send(route.from.peer, "on", 2); /* the same with a receive in flight */
        raw_recv(route.to.peer, &byte, 1);
        raw_recv(route.to.peer, &byte, 1);
    }
    /* the other halves are free */
    CHECK_OK(sink_send(route.from.sink, "x", 1, NULL));
    raw_send(route.to.peer, "y", 1);
    CHECK_OK(stream_recv(route.to.stream, &byte, 1, NULL));
    raw_half_close(route.from.peer);
    CHECK_EQ(route_ended(&route, 0, 0), 4);
    CHECK_OK(sink_send(route.to.sink, "z", 1, NULL));
    CHECK_STATUS(stream_recv(route.from.stream, &byte, 1, NULL), IOURINGNET_EOF);
    route_end(&route);
}

TEST(a_forward_waits_for_nobody_who_receives) {
    struct route route;
    struct result received = RESULT;
    char byte;

    route_begin(&route);
    CHECK_OK(stream_recv_async(route.from.stream, &byte, 1, result_store, &received, NULL));
    CHECK_STATUS(stream_forward(route.from.stream, route.to.sink, 1, NULL), IOURINGNET_BUSY);
    CHECK_OK(sink_send(route.to.sink, "x", 1, NULL)); /* a refused one leaves the sink as it was */
    raw_send(route.from.peer, "y", 1);
    CHECK_OK(result_wait(&received));
    CHECK_OK(stream_forward(route.from.stream, route.to.sink, 0, NULL));
    CHECK_OK(sink_send(route.to.sink, "z", 1, NULL));
    route_end(&route);
}

/* once */ TEST(forwards_need_halves_of_one_net) {
    struct route route;
    struct mixed other = mixed_pair();
    size_t count = 77;
    iouringnet_op *op = (iouringnet_op *)&route;

    route_begin(&route);
    CHECK_STATUS(stream_forward(route.from.stream, other.sink, 1, &count), IOURINGNET_INVALID);
    CHECK_EQ(count, 0);
    CHECK_STATUS(stream_forward_async(other.stream, route.to.sink, 1, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_forward_async(route.from.stream, route.to.sink, 1, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_forward(NULL, route.to.sink, 1, &count), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(stream_forward(route.from.stream, NULL, 1, &count), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(stream_forward(route.from.stream, (iouringnet_sink *)route.to.stream, 1, &count),
                 IOURINGNET_BAD_HANDLE);
    CHECK(op == (iouringnet_op *)&route);
    CHECK_OK(sink_send(route.to.sink, "x", 1, NULL));
    mixed_close(&other);
    route_end(&route);
}

/* one forward after the other, each begun by the callback of the one before: frames of a size that is read first */
struct relay {
    struct route route;
    struct latch over;
    unsigned char head;
    int frames;
    iouringnet_status status;
};

static void on_head(void *user, const iouringnet_completion *done);

static void on_frame(void *user, const iouringnet_completion *done) {
    struct relay *relay = user;

    CHECK_OK(done->status);
    CHECK_EQ(done->bytes, relay->head);
    relay->frames++;
    CHECK_OK(stream_recv_async(relay->route.from.stream, &relay->head, 1, on_head, relay, NULL));
}

static void on_head(void *user, const iouringnet_completion *done) {
    struct relay *relay = user;

    relay->status = done->status;
    if (done->status != 0)
        latch_open(&relay->over);
    else
        CHECK_OK(
            stream_forward_async(relay->route.from.stream, relay->route.to.sink, relay->head, on_frame, relay, NULL));
}

TEST(callbacks_may_forward_frame_by_frame) {
    enum { FRAMES = 2000 };
    struct relay relay = {.over = LATCH(1)};
    char *frames = take(FRAMES * 256), *bodies = take(FRAMES * 256), *got = take(FRAMES * 256);
    size_t size = 0, body = 0;

    route_begin(&relay.route);
    for (int i = 0; i < FRAMES; i++) {
        unsigned char length = (unsigned char)(i * 37);

        frames[size++] = (char)length;
        pattern_fill(frames + size, length, body, 8);
        pattern_fill(bodies + body, length, body, 8);
        size += length;
        body += length;
    }
    CHECK_OK(stream_recv_async(relay.route.from.stream, &relay.head, 1, on_head, &relay, NULL));
    raw_send(relay.route.from.peer, frames, size / 2);
    raw_recv(relay.route.to.peer, got, body / 2 - 300);
    raw_send(relay.route.from.peer, frames + size / 2, size - size / 2);
    raw_half_close(relay.route.from.peer);
    raw_recv(relay.route.to.peer, got + body / 2 - 300, body - (body / 2 - 300));
    latch_wait(&relay.over);
    CHECK_STATUS(relay.status, IOURINGNET_EOF);
    CHECK_EQ(relay.frames, FRAMES);
    CHECK_MEM(got, bodies, body);
    free(frames);
    free(bodies);
    free(got);
    route_end(&relay.route);
}

TEST(a_forward_runs_in_a_programs_own_loop) {
    enum { SIZE = 60000 };
    iouringnet_net *net = own_loop();
    struct dialled from = dialled_in(net), to = dialled_in(net);
    struct result done = RESULT;
    char data[SIZE], got[SIZE];

    pattern_fill(data, SIZE, 0, 9);
    CHECK_STATUS(stream_forward(from.stream, to.sink, 1, NULL), IOURINGNET_IN_CALLBACK);
    CHECK_OK(stream_forward_async(from.stream, to.sink, IOURINGNET_ALL, result_store, &done, NULL));
    raw_send(from.peer, data, SIZE);
    raw_half_close(from.peer);
    DISPATCH_UNTIL(net, done.calls == 1);
    CHECK_OK(done.done.status);
    CHECK_EQ(done.done.bytes, SIZE);
    raw_recv(to.peer, got, SIZE);
    CHECK_MEM(got, data, SIZE);
    raw_close(from.peer);
    raw_close(to.peer);
    CHECK_OK(net_stop(net));
}
