/* Listeners: what a close resets, and what excludes what.
   Rule: Watches. */

#include "support.h"

struct doors {
    struct ending ending;
    atomic_int got;
};

static void counts_doors(void *user, const iouringnet_completion *done) {
    struct doors *doors = user;

    if (done->status != 0) {
        ending_note(&doors->ending, done->status);
        return;
    }
    CHECK_EQ(doors->ending.ends, 0);
    atomic_fetch_add(&doors->got, 1);
    sink_close(done->sink);
    stream_close(done->stream);
}

TEST(a_close_resets_the_connections_that_wait) {
    struct doors doors = {ENDING, 0};
    struct busy busy = BUSY;
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    int fd;

    CHECK_OK(listener_watch(listener, counts_doors, &doors));
    settle(net);
    busy_begin(&busy, net);      /* the loop accepts nothing meanwhile */
    fd = raw_dial(address.text); /* it waits until the loop comes back */
    listener_close(listener);
    busy_end(&busy);
    CHECK_STATUS(ending_wait(&doors.ending), IOURINGNET_CLOSED);
    CHECK_EQ(doors.got, 0);
    raw_expect_reset(fd);
    raw_close(fd);
    CHECK_OK(net_stop(net));
}

/* A connection that comes while nobody wants it any more is left to the kernel, of which the reset at the close tells. */
TEST(an_accept_that_was_cancelled_and_a_watch_that_has_ended_take_nothing) {
    for (int watched = 0; watched < 2; watched++) {
        struct doors doors = {ENDING, 0};
        struct busy busy = BUSY;
        iouringnet_net *net = net_of_mode();
        iouringnet_address address;
        iouringnet_listener *listener = bind_loopback(net, &address);
        iouringnet_op *op = NULL;
        int fd;

        if (watched)
            CHECK_OK(listener_watch(listener, counts_doors, &doors));
        else
            CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
        settle(net);
        busy_begin(&busy, net);
        fd = raw_dial(address.text); /* it waits until the loop comes back */
        if (watched)
            CHECK_OK(listener_unwatch(listener));
        else
            CHECK_OK(op_cancel(op));
        busy_end(&busy);
        if (watched)
            CHECK_STATUS(ending_wait(&doors.ending), IOURINGNET_CANCELLED);
        else
            CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
        settle(net);
        CHECK_EQ(doors.got, 0);
        listener_close(listener);
        raw_expect_reset(fd);
        raw_close(fd);
        CHECK_OK(net_stop(net));
    }
}

TEST(pending_accepts_exclude_a_watch_and_a_watch_accepts) {
    iouringnet_net *net = net_of_mode();
    struct ending ending = ENDING;
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op, *refused;

    CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
    CHECK_STATUS(listener_watch(listener, never, NULL), IOURINGNET_BUSY);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    CHECK_OK(listener_watch(listener, ending_store, &ending));
    CHECK_STATUS(listener_watch(listener, never, NULL), IOURINGNET_BUSY);
    CHECK_STATUS(listener_accept(listener, &sink, &stream), IOURINGNET_BUSY);
    CHECK_STATUS(listener_accept_async(listener, NULL, NULL, &refused), IOURINGNET_BUSY);
    CHECK_OK(listener_unwatch(listener));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_CANCELLED);
    CHECK_OK(net_stop(net));
}

/* a connection is the first one's who has asked */
TEST(accepts_take_connections_in_the_order_of_the_calls) {
    enum { COUNT = 4 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_op *ops[COUNT];

    for (int i = 0; i < COUNT; i++)
        CHECK_OK(listener_accept_async(listener, NULL, NULL, &ops[i]));
    for (int i = 0; i < COUNT; i++) {
        iouringnet_completion done;
        int fd = raw_dial(address.text);

        iouringnet_completion_init(&done);
        CHECK_OK(op_finish(ops[i], &done));
        for (int k = i + 1; k < COUNT; k++)
            CHECK_STATUS(op_wait(ops[k], 0, NULL), IOURINGNET_PENDING);
        connection_abort(done.sink, NULL);
        stream_close(done.stream);
        raw_close(fd);
    }
    CHECK_OK(net_stop(net));
}

struct arrivals {
    struct ending ending;
    iouringnet_completion done[3];
};

static void keeps_arrivals(void *user, const iouringnet_completion *done) {
    struct arrivals *arrivals = user;

    CHECK_EQ(done->size, sizeof *done);
    CHECK_EQ(done->bytes, 0);
    if (done->status == 0) {
        CHECK(done->sink != NULL && done->stream != NULL);
        CHECK(arrivals->ending.events < 3);
        arrivals->done[arrivals->ending.events] = *done;
    } else {
        CHECK(done->sink == NULL && done->stream == NULL);
    }
    ending_note(&arrivals->ending, done->status);
}

TEST(a_watch_gives_each_connection_whole_and_once) {
    enum { COUNT = 3 };
    struct arrivals arrivals = {.ending = ENDING};
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    char name[COUNT] = {'0', '1', '2'}, got;
    int fds[COUNT];

    CHECK_OK(listener_watch(listener, keeps_arrivals, &arrivals));
    for (int i = 0; i < COUNT; i++) {
        fds[i] = raw_dial(address.text);
        EVENTUALLY(arrivals.ending.events == i + 1);
    }
    listener_close(listener);
    CHECK_STATUS(ending_wait(&arrivals.ending), IOURINGNET_CLOSED);
    CHECK_EQ(arrivals.ending.events, COUNT);
    for (int i = 0; i < COUNT; i++) {
        raw_send(fds[i], &name[i], 1);
        CHECK_OK(stream_recv(arrivals.done[i].stream, &got, 1, NULL));
        CHECK_EQ(got, name[i]);
        CHECK_OK(sink_send(arrivals.done[i].sink, &got, 1, NULL));
        raw_recv(fds[i], &got, 1);
        CHECK_EQ(got, name[i]);
        sink_close(arrivals.done[i].sink);
        stream_close(arrivals.done[i].stream);
        raw_close(fds[i]);
    }
    CHECK_OK(net_stop(net));
}

/* ---- a watch goes on ---- */

struct door {
    struct latch opened, over;
    iouringnet_status status;
    int ends;
};

static void lets_in(void *user, const iouringnet_completion *done) {
    struct door *door = user;
    CHECK_EQ(door->ends, 0);
    if (done->status == 0) {
        sink_close(done->sink);
        stream_close(done->stream);
        latch_open(&door->opened);
    } else {
        door->ends++;
        door->status = done->status;
        latch_open(&door->over);
    }
}

TEST(a_listener_stops_accepting_and_goes_on) {
    iouringnet_net *net = net_of_mode();
    struct door door = {LATCH(1), LATCH(1), 0, 0};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fd;

    for (int i = 0; i < 3; i++) {
        latch_reset(&door.opened, 1);
        latch_reset(&door.over, 1);
        door.ends = 0;
        CHECK_OK(listener_watch(listener, lets_in, &door));
        CHECK_STATUS(listener_accept(listener, &sink, &stream), IOURINGNET_BUSY);
        CHECK_STATUS(listener_watch(listener, lets_in, &door), IOURINGNET_BUSY);
        fd = raw_dial(address.text);
        latch_wait(&door.opened);
        raw_expect_eof(fd);
        raw_close(fd);
        CHECK_OK(listener_unwatch(listener));
        latch_wait(&door.over);
        CHECK_STATUS(door.status, IOURINGNET_CANCELLED);
        /* without the watch, accept takes the next connection */
        fd = raw_dial(address.text);
        CHECK_OK(listener_accept(listener, &sink, &stream));
        sink_close(sink);
        stream_close(stream);
        raw_expect_eof(fd);
        raw_close(fd);
    }
    CHECK_OK(net_stop(net));
}
