/* Deadlines: receives that wait behind one another end each at its own time, in whatever order they were asked for, and
   nothing ends a part of a millisecond early.
   Rule: Timeouts. */

#include "support.h"

TEST(receives_behind_one_another_end_each_at_its_time) {
    enum { COUNT = 4 };
    static const int64_t limits[COUNT] = {IOURINGNET_NO_TIMEOUT, 200, 1500 + 30000, 600};
    struct pair p = tcp_pair();
    struct result results[COUNT];
    char into[COUNT];
    int64_t began = now_ms();

    for (int i = 0; i < COUNT; i++) {
        result_init(&results[i]);
        CHECK_OK(stream_set_timeout(p.b.stream, limits[i]));
        CHECK_OK(stream_recv_async(p.b.stream, &into[i], 1, result_store, &results[i], NULL));
    }
    CHECK_STATUS(result_wait(&results[1]), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 199, patient(15000));
    CHECK_STATUS(result_wait(&results[3]), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 599, patient(15000));
    CHECK_OK(sink_send(p.a.sink, "xy", 2, NULL));
    CHECK_OK(result_wait(&results[0]));
    CHECK_OK(result_wait(&results[2]));
    pair_close(&p);
}

TEST(a_receive_behind_one_with_a_longer_limit_ends_at_its_own) {
    struct pair p = tcp_pair();
    struct result first = RESULT, second = RESULT;
    char into[2];

    CHECK_OK(stream_set_timeout(p.b.stream, 2 * WAIT_MS));
    CHECK_OK(stream_recv_async(p.b.stream, &into[0], 1, result_store, &first, NULL));
    settle(p.b.net); /* the receive loop has a deadline now */
    CHECK_OK(stream_set_timeout(p.b.stream, 100));
    CHECK_OK(stream_recv_async(p.b.stream, &into[1], 1, result_store, &second, NULL));
    CHECK_STATUS(result_wait(&second), IOURINGNET_TIMEOUT);
    CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
    CHECK_OK(result_wait(&first));
    pair_close(&p);
}

/* ---- never early ---- */

enum { LIMIT = 60, TIMES = 3 };

#define LASTS(call, status) \
    do { \
        for (int lasts_time = 0; lasts_time < TIMES; lasts_time++) { \
            int64_t lasts_began = now_us(); \
            CHECK_STATUS((call), (status)); \
            CHECK_BETWEEN(now_us() - lasts_began, LIMIT * 1000, WAIT_MS * 1000); \
        } \
    } while (0)

static iouringnet_status receive_by_op(iouringnet_stream *stream) {
    iouringnet_op *op;
    char byte;

    CHECK_OK(stream_recv_async(stream, &byte, 1, NULL, NULL, &op));
    return op_finish(op, NULL);
}

TEST(a_wait_for_an_op_lasts_its_time) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op;

    CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &op));
    LASTS(op_wait(op, LIMIT, NULL), IOURINGNET_PENDING);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_STOPPED);
}

TEST(receives_last_their_time) {
    struct pair p = tcp_pair();
    char byte;

    CHECK_OK(stream_set_timeout(p.a.stream, LIMIT));
    LASTS(stream_recv(p.a.stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
    LASTS(stream_recv_some(p.a.stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
    LASTS(stream_fill(p.a.stream, 1), IOURINGNET_TIMEOUT);
    LASTS(receive_by_op(p.a.stream), IOURINGNET_TIMEOUT);
    pair_close(&p);
}

/* They wait behind another one, so that nothing of them goes out and the sink stays good. */
TEST(sends_last_their_time) {
    enum { MUCH = 64 << 20 };
    struct pair p = tcp_pair_apart();
    char *data = take(MUCH);
    struct result much = RESULT;

    memset(data, 1, MUCH);
    CHECK_OK(sink_send_async(p.a.sink, data, MUCH, result_store, &much, NULL));
    CHECK_OK(sink_set_timeout(p.a.sink, LIMIT));
    LASTS(sink_send(p.a.sink, "x", 1, NULL), IOURINGNET_TIMEOUT);
    LASTS(sink_flush(p.a.sink), IOURINGNET_TIMEOUT);
    connection_abort(p.a.sink, NULL);
    CHECK_STATUS(result_wait(&much), IOURINGNET_CLOSED);
    pair_close(&p);
    free(data);
}

TEST(a_dial_lasts_its_time) {
    iouringnet_net *net = net_of_mode();
    struct full_listener full = full_listener();
    iouringnet_dial_options options;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = LIMIT;
    LASTS(net_dial(net, full.address.text, &options, &sink, &stream), IOURINGNET_TIMEOUT);
    full_listener_close(&full);
    CHECK_OK(net_stop(net));
}
