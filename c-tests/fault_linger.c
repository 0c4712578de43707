/* Promise 9, a closed connection's last part: how long it is kept for a peer that has everything and does not close,
   and that nothing is lost where it is not kept. */

#include "support.h"

#include <netinet/tcp.h>
#include <sys/ioctl.h>

static iouringnet_net *lingering_net(int64_t linger_ms) {
    iouringnet_config config = config_of_mode();

    config.linger_ms = linger_ms;
    return net_with(&config);
}

/* longer than the default linger of 2 s and a round trip over loopback */
enum { QUIET_MS = 2300 };

/* ---- connections that were quiet before the close ---- */

struct crowd {
    struct latch greeted;
};

static void greet(void *user, const iouringnet_completion *done) {
    struct crowd *crowd = user;

    if (done->status != 0)
        return;
    CHECK_OK(sink_post(done->sink, "hello", 5));
    latch_open(&crowd->greeted);
}

/* alone */ TEST(a_stop_beside_a_thousand_idle_clients_is_quick) {
    enum { CLIENTS = 1000 };
    iouringnet_net *net;
    iouringnet_address address;
    iouringnet_listener *listener;
    struct crowd crowd = {LATCH(CLIENTS)};
    static int clients[CLIENTS];
    char got[5];
    int64_t began;

    need_descriptors(2 * CLIENTS);
    net = net_of_mode();
    listener = bind_loopback(net, &address);
    CHECK_OK(listener_watch(listener, greet, &crowd));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = raw_dial(address.text);
        raw_recv(clients[i], got, 5);
    }
    latch_wait(&crowd.greeted);
    pass(QUIET_MS);
    began = now_ms();
    CHECK_OK(net_stop(net));
    CHECK_BETWEEN(now_ms() - began, 0, patient(1000));
    for (int i = 0; i < CLIENTS; i++) {
        raw_expect_eof(clients[i]);
        raw_close(clients[i]);
    }
}

/* alone */ TEST(a_client_that_closes_first_after_a_quiet_while_ends_at_once) {
    struct mixed m = mixed_pair();
    char got[8];
    int64_t began;

    CHECK_OK(sink_send(m.sink, "question", 8, NULL));
    raw_recv(m.peer, got, 8);
    pass(QUIET_MS);
    /* what the peer sends does not end the quiet, whose bytes alone could be lost */
    raw_send(m.peer, "answer", 6);
    CHECK_OK(stream_recv(m.stream, got, 6, NULL));
    began = now_ms();
    mixed_stop(&m);
    CHECK_BETWEEN(now_ms() - began, 0, patient(1000));
    raw_expect_eof(m.peer);
    raw_close(m.peer);
}

/* the peer's kernel has it all, and the linger is over before the peer sends and reads: it has lost nothing by that */
TEST(a_peer_that_sends_after_a_linger_that_was_over_reads_everything) {
    enum { SIZE = 50000 };
    iouringnet_net *net = lingering_net(300);
    struct mixed m = mixed_pair_in(net, 0);
    int unsent;
    char *data = take(SIZE), *got = take(SIZE);

    pattern_fill(data, SIZE, 0, 1);
    CHECK_OK(sink_send(m.sink, data, SIZE, NULL));
    EVENTUALLY(ioctl(m.peer, FIONREAD, &unsent) == 0 && unsent == SIZE);
    pass(400);
    sink_close(m.sink);
    stream_close(m.stream);
    EVENTUALLY(stats_of(net).connections == 0);
    raw_send(m.peer, "late", 4);
    raw_recv(m.peer, got, SIZE);
    pattern_check(got, SIZE, 0, 1);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

/* a peer that is at its socket has the time to answer our FIN, and then meets the end and no reset */
/* alone */ TEST(a_peer_may_answer_the_fin_after_a_quiet_while) {
    enum { ROUNDS = 20, IN_TIME_MS = 25 };
    iouringnet_net *net = lingering_net(100);
    int in_time = 0;

    for (int i = 0; i < ROUNDS && !in_time; i++) {
        struct mixed m = mixed_pair_in(net, 0);
        int error = 0, on = 1;
        socklen_t size = sizeof error;
        char got[5];
        int64_t closed;

        CHECK_OK(sink_send(m.sink, "hello", 5, NULL));
        raw_recv(m.peer, got, 5);
        pass(200);
        closed = now_ms();
        sink_close(m.sink);
        stream_close(m.stream);
        raw_expect_eof(m.peer);
        /* the FIN is acknowledged now, and not with the answer */
        CHECK_EQ(setsockopt(m.peer, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on), 0);
        pass_until(closed + 15);
        raw_send(m.peer, "answer", 6);
        in_time = now_ms() - closed <= IN_TIME_MS;
        if (in_time) {
            /* a reset would be here already: over loopback it comes within the send */
            CHECK_EQ(getsockopt(m.peer, SOL_SOCKET, SO_ERROR, &error, &size), 0);
            CHECK_EQ(error, 0);
            raw_expect_eof(m.peer);
        }
        raw_close(m.peer);
    }
    CHECK_OK(net_stop(net));
    if (!in_time)
        SKIP("the machine is too busy");
}

/* ---- connections that were not ---- */

TEST(a_connection_that_was_not_quiet_lingers) {
    iouringnet_net *net = lingering_net(WAIT_MS);
    struct mixed m = mixed_pair_in(net, 0);
    char got[5];

    CHECK_OK(sink_send(m.sink, "hello", 5, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    pass(500);
    raw_send(m.peer, "late", 4);
    raw_send(m.peer, "later", 5);
    CHECK_EQ(raw_recv_to_end(m.peer, got, 5), 5);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
}

TEST(a_linger_lasts_as_long_as_the_config_says) {
    int64_t linger_ms = patient(500);
    iouringnet_net *net = lingering_net(linger_ms);
    struct mixed m = mixed_pair_in(net, 0);
    int64_t began = now_ms();

    CHECK_OK(sink_send(m.sink, "hello", 5, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_BETWEEN(now_ms() - began, linger_ms - 1, patient(1900));
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
}

TEST(without_a_linger_a_connection_ends_with_the_acknowledgement) {
    enum { SIZE = 4 << 20 };
    iouringnet_net *net = lingering_net(IOURINGNET_NO_LINGER);
    struct mixed m = mixed_pair_in(net, 16384);
    struct reader reader = {m.peer, SIZE, 2};
    char *data = take(SIZE);
    int64_t began;

    pattern_fill(data, SIZE, 0, 2);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    sink_close(m.sink);
    stream_close(m.stream);
    settle(net);
    CHECK_EQ(stats_of(net).connections, 1);
    reader_run(&reader);
    began = now_ms();
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_BETWEEN(now_ms() - began, 0, 1500);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

/* ---- the time counts from the acknowledgement ---- */

/* more than the peer's socket takes, and less than ours */
enum { IN_THE_KERNEL = 300000 };

/* `quiet_ms` lie between what was sent and the close */
static int full_peer(iouringnet_net *net, char *data, int64_t quiet_ms) {
    struct mixed m = mixed_pair_in(net, 16384);

    pattern_fill(data, IN_THE_KERNEL, 0, 4);
    CHECK_OK(sink_post(m.sink, data, IN_THE_KERNEL));
    EVENTUALLY(unsent_of(m.sink) == 0);
    pass(quiet_ms);
    sink_close(m.sink);
    stream_close(m.stream);
    return m.peer;
}

static iouringnet_net *roomy_net(int64_t linger_ms) {
    iouringnet_config config = config_of_mode();

    config.send_buffer = 4 << 20;
    config.linger_ms = linger_ms;
    return net_with(&config);
}

TEST(a_slow_reader_that_sends_late_loses_nothing) {
    iouringnet_net *net = roomy_net(300);
    char *data = take(IN_THE_KERNEL), *got = take(IN_THE_KERNEL);
    int peer = full_peer(net, data, 0);

    /* long after the FIN, and the linger would have been over */
    pass(1000);
    raw_send(peer, "late", 4);
    CHECK_EQ(raw_recv_to_end(peer, got, IN_THE_KERNEL), IN_THE_KERNEL);
    pattern_check(got, IN_THE_KERNEL, 0, 4);
    raw_close(peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

/* the linger would be over if it counted from the last bytes that went out, or from the FIN */
static void late_bytes_after_the_acknowledgement(int64_t quiet_before_ms, int64_t quiet_after_ms) {
    enum { KEPT = 5000 };
    iouringnet_net *net = roomy_net(2000);
    char *data = take(IN_THE_KERNEL), *got = take(IN_THE_KERNEL);
    int peer = full_peer(net, data, quiet_before_ms);

    pass(quiet_after_ms);
    /* with this read the peer's kernel has room for the rest, and acknowledges everything */
    raw_recv(peer, got, IN_THE_KERNEL - KEPT);
    pass(400);
    raw_send(peer, "late", 4);
    raw_send(peer, "later", 5);
    CHECK_EQ(raw_recv_to_end(peer, got + IN_THE_KERNEL - KEPT, KEPT), KEPT);
    pattern_check(got, IN_THE_KERNEL, 0, 4);
    raw_close(peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

TEST(a_linger_counts_from_the_acknowledgement_and_not_from_the_fin) {
    late_bytes_after_the_acknowledgement(0, 2200);
}

TEST(a_linger_counts_from_the_acknowledgement_and_not_from_the_last_bytes) {
    late_bytes_after_the_acknowledgement(3000, 300);
}

TEST(a_connection_closed_while_it_drained_ends_after_the_linger) {
    enum { SIZE = 8 << 20 };
    iouringnet_net *net = lingering_net(200);
    struct mixed m = mixed_pair_in(net, 16384);
    struct reader reader = {m.peer, SIZE, 5};
    char *data = take(SIZE);

    pattern_fill(data, SIZE, 0, 5);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    sink_close(m.sink);
    stream_close(m.stream);
    reader_run(&reader);
    /* the peer stays */
    EVENTUALLY(stats_of(net).connections == 0);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(a_peer_that_only_sends_does_not_keep_a_closed_connection) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    char *data = take(IN_THE_KERNEL);
    int peer;

    config.send_buffer = 4 << 20;
    config.close_timeout_ms = 600;
    net = net_with(&config);
    peer = full_peer(net, data, 0);
    /* what it sends is not the progress that the close timeout asks for: it takes nothing */
    for (int64_t end = now_ms() + WAIT_MS; stats_of(net).connections > 0; pass(50)) {
        send(peer, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        CHECK(now_ms() < end);
    }
    raw_expect_reset(peer);
    raw_close(peer);
    CHECK_OK(net_stop(net));
    free(data);
}
