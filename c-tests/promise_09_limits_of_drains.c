/* What the limits of a drain count: the close timeout from the close on and from each byte that the peer has taken, also
   from the kernel alone; and what a drain keeps and costs. */

#include "inside.h"

enum { SIZE = 8 << 20 };

static iouringnet_net *closing_net(int64_t close_timeout_ms) {
    iouringnet_config config = config_of_mode();

    config.close_timeout_ms = close_timeout_ms;
    config.drain_timeout_ms = IOURINGNET_NO_TIMEOUT;
    config.send_buffer = 4 << 20;
    return net_with(&config);
}

TEST(the_close_timeout_counts_from_the_close) {
    enum { CLOSE_MS = 400 };
    iouringnet_net *net = closing_net(CLOSE_MS);
    struct result send = RESULT;
    char *data = take(SIZE);
    struct mixed m = mixed_pair_in(net, 16384);
    int64_t began;

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    /* longer than the close timeout there is no progress, and no close */
    CHECK(!latch_wait_ms(&send.latch, 2 * CLOSE_MS));
    began = now_ms();
    sink_close(m.sink);
    CHECK_STATUS(result_wait(&send), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, CLOSE_MS - 1, WAIT_MS);
    stream_close(m.stream);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(a_blocking_send_under_way_ends_at_the_close_timeout) {
    enum { CLOSE_MS = 400 };
    iouringnet_net *net = closing_net(CLOSE_MS);
    char *data = take(SIZE);
    struct mixed m = mixed_pair_in(net, 16384);
    struct sender sender = {m.sink, data, SIZE, 0, 0};
    pthread_t thread;
    int64_t began;

    memset(data, 1, SIZE);
    thread = spawn(sender_run, &sender);
    EVENTUALLY(unsent_of(m.sink) > 0);
    pass(2 * CLOSE_MS);
    began = now_ms();
    sink_close(m.sink);
    join(thread);
    CHECK_BETWEEN(now_ms() - began, CLOSE_MS - 1, WAIT_MS);
    CHECK_STATUS(sender.status, IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(sender.sent, 1, SIZE - 1);
    stream_close(m.stream);
    raw_expect_reset(m.peer);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

/* The kernel has everything, and the peer takes it bit by bit, for longer than the close timeout. */
TEST(what_a_peer_takes_of_the_kernels_bytes_is_progress) {
    enum { IN_THE_KERNEL = 200000, PIECE = 10000, CLOSE_MS = 1500, PAUSE_MS = 200 };
    iouringnet_net *net = closing_net(patient(CLOSE_MS));
    char *data = take(IN_THE_KERNEL), *got = take(IN_THE_KERNEL);
    struct mixed m = mixed_pair_in(net, 16384);

    pattern_fill(data, IN_THE_KERNEL, 0, 3);
    CHECK_OK(sink_post(m.sink, data, IN_THE_KERNEL));
    EVENTUALLY(unsent_of(m.sink) == 0);
    sink_close(m.sink);
    stream_close(m.stream);
    for (size_t at = 0; at < IN_THE_KERNEL; at += PIECE) {
        raw_recv(m.peer, got + at, PIECE);
        pass(patient(PAUSE_MS));
    }
    pattern_check(got, IN_THE_KERNEL, 0, 3);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_EQ(stats_of(net).drains_timed_out, 0);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

/* Both loops may meet the reset: the one that discards input, and the one that sends. */
TEST(a_drain_cut_by_the_peer_has_the_peers_error) {
    enum { ROUNDS = 40 };
    iouringnet_net *net = closing_net(30000);
    char *data = take(SIZE);

    memset(data, 1, SIZE);
    for (int i = 0; i < ROUNDS; i++) {
        struct result send = RESULT;
        struct ending watch = ENDING;
        struct mixed m = mixed_pair_in(net, 16384);

        CHECK_OK(ending_watch(m.sink, &watch));
        CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
        sink_close(m.sink);
        stream_close(m.stream);
        settle(net);
        raw_reset(m.peer);
        CHECK_STATUS(result_wait(&send), -ECONNRESET);
        CHECK_STATUS(ending_wait(&watch), -ECONNRESET);
        EVENTUALLY(watch.over);
    }
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_OK(net_stop(net));
    free(data);
}

/* The peer stays: nothing but the library ends what waited for room. */
TEST(a_closed_connection_that_had_waited_for_room_gives_its_descriptor_back) {
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result send = RESULT;
    char *data = take(SIZE), *got = take(SIZE);
    int fd;

    config.linger_ms = 1;
    m = mixed_pair_with(&config, 16384);
    fd = descriptor_of(m.sink);
    pattern_fill(data, SIZE, 0, 4);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK(!latch_wait_ms(&send.latch, 50));
    raw_recv(m.peer, got, SIZE);
    pattern_check(got, SIZE, 0, 4);
    CHECK_OK(result_wait(&send));
    sink_close(m.sink);
    stream_close(m.stream);
    raw_expect_eof(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    EVENTUALLY(port_at(fd, own_name) == -1);
    mixed_close(&m);
    free(data);
    free(got);
}

/* The peer ends its own side before the close, or behind it: the connection is open as long as it drains. */
static void drains_to_a_half_closed_peer(bool before) {
    iouringnet_net *net = closing_net(10 * WAIT_MS);
    struct result send = RESULT;
    char *data = take(SIZE), *got = take(SIZE);
    struct mixed m = mixed_pair_in(net, 16384);
    int fd = descriptor_of(m.sink);

    pattern_fill(data, SIZE, 0, 5);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    if (before)
        mixed_peer_ends(&m);
    sink_close(m.sink);
    stream_close(m.stream);
    if (!before)
        raw_half_close(m.peer);
    EVENTUALLY(has_met_fin(fd));
    pass(200);
    CHECK_EQ(send.calls, 0);
    CHECK_EQ(stats_of(net).connections, 1);
    CHECK_EQ(raw_recv_to_end(m.peer, got, SIZE), SIZE);
    pattern_check(got, SIZE, 0, 5);
    CHECK_OK(result_wait(&send));
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_EQ(stats_of(net).drains_timed_out, 0);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

TEST(a_drain_to_a_peer_that_has_half_closed_is_an_open_connection) {
    drains_to_a_half_closed_peer(true);
}

TEST(a_drain_to_a_peer_that_half_closes_is_an_open_connection) {
    drains_to_a_half_closed_peer(false);
}
