/* Promise 4. A blocking call inside a callback of any net is refused (IN_CALLBACK) instead of hanging.
   Closing, aborting, cancelling and submitting are legal there, also on the handle whose callback is
   running. */

#include "harness.h"

struct scene {
    struct pair pair;
    iouringnet_listener *listener;
    iouringnet_address address;
    iouringnet_op *unfinished;
};

/* every call that can block, on handles with which it would otherwise wait or succeed */
static void tries_to_block(void *user) {
    struct scene *scene = user;
    struct iovec part = {scene, 4};
    iouringnet_sink *sink = NULL;
    iouringnet_stream *stream = NULL;
    size_t count;
    char into[4];

    CHECK_STATUS(net_dial(scene->pair.a.net, scene->address.text, NULL, &sink, &stream), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(listener_accept(scene->listener, &sink, &stream), IOURINGNET_IN_CALLBACK);
    CHECK(sink == NULL && stream == NULL);
    CHECK_STATUS(sink_send(scene->pair.a.sink, "abcd", 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(sink_sendv(scene->pair.a.sink, &part, 1, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(sink_flush(scene->pair.a.sink), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_recv(scene->pair.b.stream, into, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_recv_some(scene->pair.b.stream, into, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_fill(scene->pair.b.stream, 4), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_fill_until(scene->pair.b.stream, "x", 1, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(stream_forward(scene->pair.b.stream, scene->pair.b.sink, 4, &count), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(op_wait(scene->unfinished, 1, NULL), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(op_wait(scene->unfinished, IOURINGNET_NO_TIMEOUT, NULL), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(net_stop(scene->pair.a.net), IOURINGNET_IN_CALLBACK);
    CHECK_STATUS(net_stop(scene->pair.b.net), IOURINGNET_IN_CALLBACK);
    /* a look is no wait */
    CHECK_STATUS(op_wait(scene->unfinished, 0, NULL), IOURINGNET_PENDING);
}

static void set_scene(struct scene *scene) {
    scene->pair = tcp_pair_apart();
    scene->listener = bind_loopback(scene->pair.a.net, &scene->address);
    CHECK_OK(net_call(scene->pair.b.net, 3600000, NULL, NULL, &scene->unfinished));
}

static void clear_scene(struct scene *scene) {
    CHECK_OK(op_cancel(scene->unfinished));
    CHECK_STATUS(op_finish(scene->unfinished, NULL), IOURINGNET_CANCELLED);
    listener_close(scene->listener);
    pair_close(&scene->pair);
}

TEST(every_blocking_call_is_refused) {
    struct scene scene;
    char into[3];

    set_scene(&scene);
    on_callback_thread(scene.pair.a.net, tries_to_block, &scene);
    /* refused means nothing was sent, taken or stopped */
    CHECK_OK(sink_send(scene.pair.a.sink, "abc", 3, NULL));
    CHECK_OK(stream_recv(scene.pair.b.stream, into, 3, NULL));
    CHECK_MEM(into, "abc", 3);
    clear_scene(&scene);
}

TEST(in_callbacks_of_another_net_too) {
    struct scene scene;
    iouringnet_net *third = net_of_mode();

    set_scene(&scene);
    on_callback_thread(third, tries_to_block, &scene);
    CHECK_OK(net_stop(third));
    clear_scene(&scene);
}

struct watching {
    struct scene *scene;
    struct latch latch;
};

static size_t blocks_in_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct watching *self = user;
    (void)status;
    (void)data;
    tries_to_block(self->scene);
    latch_open(&self->latch);
    return size;
}

static void blocks_in_completion(void *user, const iouringnet_completion *done) {
    struct watching *self = user;
    tries_to_block(self->scene);
    if (done->status == 0 && done->sink) {
        sink_close(done->sink);
        stream_close(done->stream);
    }
    latch_open(&self->latch);
}

static void blocks_in_end(void *user, iouringnet_status status) {
    struct watching *self = user;

    CHECK_OK(status);
    tries_to_block(self->scene);
    latch_open(&self->latch);
}

/* each kind of callback, and a watch's last call as well */
TEST(in_every_kind_of_callback) {
    struct scene scene;
    struct pair other;
    struct watching self = {&scene, LATCH(1)};
    iouringnet_listener *listener;
    iouringnet_address address;
    char into[1];

    set_scene(&scene);
    other = tcp_pair_in(scene.pair.a.net, scene.pair.a.net);
    listener = bind_loopback(scene.pair.a.net, &address);

    CHECK_OK(watch_data(other.b.stream, blocks_in_data, &self));
    CHECK_OK(sink_send(other.a.sink, "x", 1, NULL));
    latch_wait(&self.latch);
    latch_reset(&self.latch, 1);
    stream_close(other.b.stream);
    latch_wait(&self.latch);
    latch_reset(&self.latch, 1);
    CHECK_OK(watch_sink(other.b.sink, NULL, blocks_in_end, &self));
    sink_close(other.b.sink);
    latch_wait(&self.latch);
    latch_reset(&self.latch, 1);
    CHECK_OK(sink_send_async(other.a.sink, "x", 1, blocks_in_completion, &self, NULL));
    latch_wait(&self.latch);
    latch_reset(&self.latch, 1);
    CHECK_OK(stream_recv_async(other.a.stream, into, 1, blocks_in_completion, &self, NULL));
    latch_wait(&self.latch);
    latch_reset(&self.latch, 3); /* the dial, the connection, the listener's end */
    CHECK_OK(listener_watch(listener, blocks_in_completion, &self));
    CHECK_OK(net_dial_async(scene.pair.a.net, address.text, NULL, blocks_in_completion, &self, NULL));
    EVENTUALLY(latch_left(&self.latch) == 1);
    listener_close(listener);
    latch_wait(&self.latch);
    pair_close(&other);
    clear_scene(&scene);
}

/* ---- what is legal: closing the handle whose callback is running ---- */

struct closing {
    struct pair *pair;
    iouringnet_listener *listener;
    iouringnet_op *op;
    struct latch latch, freed;
    bool abort;
    char into[8];
};

static size_t closes_its_stream(void *user, iouringnet_status status, const void *data, size_t size) {
    struct closing *self = user;
    if (status == 0) {
        CHECK_MEM(data, "bytes", 5);
        if (self->abort)
            connection_abort(self->pair->b.sink, NULL);
        else
            sink_close(self->pair->b.sink);
        stream_close(self->pair->b.stream);
        /* shown bytes live until the callback returns, the close notwithstanding */
        CHECK_MEM(data, "bytes", 5);
        CHECK_STATUS(stream_pause(self->pair->b.stream), IOURINGNET_BAD_HANDLE);
        latch_open(&self->latch);
    } else {
        CHECK_STATUS(status, IOURINGNET_CLOSED);
        latch_open(&self->freed);
    }
    return size;
}

static void close_in_data_callback(bool abort) {
    struct pair p = tcp_pair();
    struct closing self = {.pair = &p, .latch = LATCH(1), .freed = LATCH(1), .abort = abort};
    char byte;

    CHECK_OK(watch_data(p.b.stream, closes_its_stream, &self));
    CHECK_OK(sink_send(p.a.sink, "bytes", 5, NULL));
    latch_wait(&self.latch);
    latch_wait(&self.freed);
    CHECK_STATUS(stream_recv(p.a.stream, &byte, 1, NULL), abort ? -ECONNRESET : IOURINGNET_EOF);
    pair_close(&p);
}

TEST(a_data_callback_closes_its_stream) {
    close_in_data_callback(false);
}

TEST(a_data_callback_aborts_its_connection) {
    close_in_data_callback(true);
}

static void closes_all(void *user, const iouringnet_completion *done) {
    struct closing *self = user;
    CHECK_OK(done->status);
    CHECK_OK(op_cancel(self->op));
    CHECK_OK(op_wait(self->op, 0, NULL));
    CHECK_OK(op_release(self->op));
    end_close(&self->pair->a);
    end_close(&self->pair->b);
    latch_open(&self->latch);
}

TEST(a_completion_closes_everything) {
    for (int i = 0; i < 2; i++) {
        struct pair p = tcp_pair();
        struct closing self = {.pair = &p, .latch = LATCH(1)};

        if (i == 0) {
            CHECK_OK(stream_recv_async(p.b.stream, self.into, 4, closes_all, &self, &self.op));
            CHECK_OK(sink_send(p.a.sink, "abcd", 4, NULL));
        } else {
            CHECK_OK(sink_send_async(p.a.sink, "abcd", 4, closes_all, &self, &self.op));
        }
        latch_wait(&self.latch);
        CHECK_OK(net_stop(p.a.net));
    }
}

static void closes_the_listener(void *user, const iouringnet_completion *done) {
    struct closing *self = user;
    if (done->status == 0) {
        connection_abort(done->sink, NULL);
        stream_close(done->stream);
        listener_close(self->listener);
        latch_open(&self->latch);
    } else {
        CHECK_STATUS(done->status, IOURINGNET_CLOSED);
        latch_open(&self->freed);
    }
}

TEST(an_accept_callback_closes_its_listener) {
    iouringnet_net *net = net_of_mode();
    struct closing self = {.latch = LATCH(1), .freed = LATCH(1)};
    iouringnet_address address;
    int fd;

    self.listener = bind_loopback(net, &address);
    CHECK_OK(listener_watch(self.listener, closes_the_listener, &self));
    /* the reset may come before connect returns */
    fd = raw_try_dial(address.text);
    CHECK(fd >= 0 || errno == ECONNRESET);
    latch_wait(&self.latch);
    latch_wait(&self.freed);
    if (fd >= 0) {
        raw_expect_reset(fd);
        raw_close(fd);
    }
    CHECK_OK(net_stop(net));
}

static void room_closes_the_sink(void *user, iouringnet_status status) {
    struct closing *self = user;
    CHECK_OK(status);
    sink_close(self->pair->a.sink);
    latch_open(&self->latch);
}

static void sink_has_ended(void *user, iouringnet_status status) {
    struct closing *self = user;
    CHECK_OK(status);
    latch_open(&self->freed);
}

TEST(a_room_callback_closes_its_sink) {
    struct pair p = tcp_pair();
    struct closing self = {.pair = &p, .latch = LATCH(1), .freed = LATCH(1)};
    size_t total, got, taken = 0;
    char *into = take(1 << 20);
    iouringnet_status status;

    /* armed after the FULL: filling the pipe may meet FULL and room again on its way */
    total = jam(&p.a);
    CHECK_OK(watch_sink(p.a.sink, room_closes_the_sink, sink_has_ended, &self));
    while ((status = stream_recv_some(p.b.stream, into, 1 << 20, &got)) == 0)
        taken += got;
    CHECK_STATUS(status, IOURINGNET_EOF);
    latch_wait(&self.latch);
    latch_wait(&self.freed);
    CHECK_EQ(taken, total);
    pair_close(&p);
    free(into);
}

/* cancelling another operation of the same stream, and submitting a new one there */
struct chain {
    struct pair *pair;
    iouringnet_op *victim;
    struct result victims, fresh;
    char into[3][4];
};

static void cancels_and_submits(void *user, const iouringnet_completion *done) {
    struct chain *chain = user;
    CHECK_OK(done->status);
    CHECK_OK(op_cancel(chain->victim));
    CHECK_OK(stream_recv_async(chain->pair->b.stream, chain->into[2], 4, result_store, &chain->fresh, NULL));
}

TEST(a_completion_cancels_and_submits_on_its_stream) {
    struct pair p = tcp_pair();
    struct chain chain = {&p, NULL, RESULT, RESULT, {{0}}};

    CHECK_OK(stream_recv_async(p.b.stream, chain.into[0], 4, cancels_and_submits, &chain, NULL));
    CHECK_OK(stream_recv_async(p.b.stream, chain.into[1], 4, result_store, &chain.victims, &chain.victim));
    CHECK_OK(sink_send(p.a.sink, "abcd", 4, NULL));
    CHECK_STATUS(result_wait(&chain.victims), IOURINGNET_CANCELLED);
    CHECK_OK(sink_send(p.a.sink, "efgh", 4, NULL));
    CHECK_OK(result_wait(&chain.fresh));
    CHECK_MEM(chain.into[0], "abcd", 4);
    CHECK_MEM(chain.into[2], "efgh", 4);
    CHECK_OK(op_release(chain.victim));
    pair_close(&p);
}

static void starts_and_binds(void *user) {
    struct closing *self = user;
    iouringnet_address address;
    self->listener = bind_loopback(self->pair->a.net, &address);
    CHECK_OK(listener_watch(self->listener, closes_the_listener, self));
    listener_close(self->listener);
}

TEST(binding_and_watching_are_legal) {
    struct pair p = tcp_pair();
    struct closing self = {.pair = &p, .latch = LATCH(1), .freed = LATCH(1)};

    on_callback_thread(p.a.net, starts_and_binds, &self);
    latch_wait(&self.freed);
    pair_close(&p);
}

/* Its lookup may block. */
static void binds_a_name(void *user) {
    iouringnet_listener *listener = NULL;

    CHECK_STATUS(net_bind(user, "localhost:0", NULL, &listener), IOURINGNET_IN_CALLBACK);
    CHECK(listener == NULL);
}

TEST(binding_a_name_is_refused) {
    iouringnet_net *net = net_of_mode();

    on_callback_thread(net, binds_a_name, net);
    CHECK_OK(net_stop(net));
}
