/* How many bytes have gone each way: sink_info counts what the kernel took and gave, however it was sent and received.
   Rule: Transfers and arguments. */

#include "forward.h"

static iouringnet_sink_info info_of(iouringnet_sink *sink) {
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(sink, &info));
    return info;
}

#define EXPECT(sink, all_sent, all_received) \
    do { \
        EVENTUALLY(info_of(sink).sent == (all_sent)); \
        EVENTUALLY(info_of(sink).received == (all_received)); \
    } while (0)

TEST(totals_count_every_way_to_send_and_receive) {
    struct pair p = tcp_pair();
    struct iovec parts[2] = {{(void *)(uintptr_t) "abc", 3}, {(void *)(uintptr_t) "de", 2}};
    struct result sent = RESULT, received = RESULT;
    char got[16];

    EXPECT(p.a.sink, 0, 0);
    CHECK_OK(sink_send(p.a.sink, "0123456789", 10, NULL));
    CHECK_OK(sink_sendv(p.a.sink, parts, 2, NULL));
    CHECK_OK(sink_post(p.a.sink, "1234", 4));
    CHECK_OK(sink_send_async(p.a.sink, "123456", 6, result_store, &sent, NULL));
    CHECK_OK(result_wait(&sent));
    EXPECT(p.a.sink, 25, 0);
    CHECK_OK(stream_recv(p.b.stream, got, 10, NULL));
    CHECK_OK(stream_fill(p.b.stream, 15));
    EXPECT(p.b.sink, 0, 25); /* with what is in the buffer */
    CHECK_OK(stream_recv_async(p.b.stream, got, 16, result_store, &received, NULL));
    CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
    CHECK_OK(result_wait(&received));
    EXPECT(p.a.sink, 26, 0);
    EXPECT(p.b.sink, 0, 26);
    pair_close(&p);
}

/* what the loops send and receive, in pieces, while sockets are full */
TEST(totals_count_what_the_loops_move) {
    enum { SIZE = 6 << 20 };
    struct pair p = tcp_pair();
    struct result sent = RESULT, received = RESULT;
    char *data = take(SIZE), *got = take(SIZE);

    pattern_fill(data, SIZE, 0, 1);
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, result_store, &sent, NULL));
    CHECK_OK(stream_recv_async(p.b.stream, got, SIZE, result_store, &received, NULL));
    CHECK_OK(result_wait(&sent));
    CHECK_OK(result_wait(&received));
    EXPECT(p.a.sink, SIZE, 0);
    EXPECT(p.b.sink, 0, SIZE);
    free(data);
    free(got);
    pair_close(&p);
}

/* an echo by a watch and its posts, some of which leave together with the round */
TEST(totals_count_an_echo) {
    enum { MESSAGES = 300 };
    struct mixed m = mixed_pair();
    const iouringnet_connection_callbacks echo = {sizeof echo, echo_data, NULL, NULL};
    char message[100], got[100];

    memset(message, 'm', sizeof message);
    CHECK_OK(connection_watch(NULL, m.stream, &echo, m.sink));
    for (int i = 0; i < MESSAGES; i++) {
        raw_send(m.peer, message, sizeof message);
        raw_recv(m.peer, got, sizeof got);
    }
    EXPECT(m.sink, MESSAGES * 100, MESSAGES * 100);
    mixed_close(&m);
}

TEST(totals_count_a_forward) {
    struct route route;
    size_t sent;

    route_begin(&route);
    route_forward(&route, IOURINGNET_ALL);
    sent = source_until_held(&route, 0);
    raw_half_close(route.from.peer);
    drain_reads(&route, 0, sent);
    CHECK_EQ(route_ended(&route, 0, 0), sent);
    EXPECT(route.from.sink, 0, sent);
    EXPECT(route.to.sink, sent, 0);
    route_end(&route);
}
