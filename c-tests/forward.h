/* What the tests of forwards share: a net with two connections, each with a plain peer. The source sends to the stream that
   is forwarded from, and the drain reads from the sink that is forwarded to. */

#ifndef FORWARD_H
#define FORWARD_H

#include "inside.h"

struct route {
    iouringnet_net *net;
    struct mixed from, to; /* from.peer is the source, to.peer the drain */
    struct result done;
    iouringnet_op *op;
};

/* small buffers at the sink: a drain that does not read soon holds the source back */
static inline void route_begin_with(struct route *route, iouringnet_config config) {
    config.send_buffer = 16 << 10;
    config.post_mark = 4 << 20;
    route->net = net_with(&config);
    route->from = mixed_pair_in(route->net, 0);
    route->to = mixed_pair_in(route->net, 16 << 10);
    result_init(&route->done);
}

static inline void route_begin(struct route *route) {
    route_begin_with(route, config_of_mode());
}

static inline void route_forward(struct route *route, size_t size) {
    result_init(&route->done);
    CHECK_OK(stream_forward_async(route->from.stream, route->to.sink, size, result_store, &route->done, &route->op));
}

/* the forward is over, with this status of this side; gives its count */
static inline size_t route_ended(struct route *route, iouringnet_status status, uint32_t side) {
    iouringnet_completion done;

    CHECK_STATUS(result_wait(&route->done), status);
    CHECK_EQ(route->done.done.side, side);
    iouringnet_completion_init(&done);
    CHECK_STATUS(op_finish(route->op, &done), status);
    CHECK_EQ(done.side, side);
    CHECK_EQ(done.bytes, route->done.done.bytes);
    return done.bytes;
}

static inline void route_end(struct route *route) {
    mixed_close(&route->from);
    mixed_close(&route->to);
    CHECK_OK(net_stop(route->net));
}

/* ---- a source that sends without waiting until it is held back ---- */

enum { SOURCE_SEED = 5 };

/* what the source has sent so far, once nothing has moved for a while and the drain has bytes that it has not read; the
   pattern goes on from `sent` */
static inline size_t source_until_held(struct route *route, size_t sent) {
    enum { PIECE = 64 << 10, QUIET_MS = 100 };
    char *piece = take(PIECE);
    int64_t moved = now_ms();
    char first;

    while (now_ms() < moved + patient(QUIET_MS)) {
        ssize_t went;

        pattern_fill(piece, PIECE, sent, SOURCE_SEED);
        went = send(route->from.peer, piece, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (went > 0) {
            sent += (size_t)went;
            moved = now_ms();
        } else {
            nap();
        }
        CHECK(sent < (size_t)256 << 20);
    }
    free(piece);
    /* on a busy machine the loop may be late */
    EVENTUALLY(recv(route->to.peer, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    return sent;
}

/* the drain reads exactly these bytes of the source's pattern */
static inline void drain_reads(struct route *route, size_t offset, size_t size) {
    char *got = take(size + 1);

    raw_recv(route->to.peer, got, size);
    pattern_check(got, size, offset, SOURCE_SEED);
    free(got);
}

/* the stream still has these bytes of the source's pattern */
static inline void stream_has(struct route *route, size_t offset, size_t size) {
    char *got = take(size + 1);

    CHECK_OK(stream_recv(route->from.stream, got, size, NULL));
    pattern_check(got, size, offset, SOURCE_SEED);
    free(got);
}

/* the sink is whole: what is posted comes right behind the `size` bytes that were forwarded */
static inline void sink_is_good(struct route *route, size_t size) {
    char got[3];

    CHECK_OK(sink_post(route->to.sink, "end", 3));
    drain_reads(route, 0, size);
    raw_recv(route->to.peer, got, 3);
    CHECK_MEM(got, "end", 3);
}

#endif
