/* What one piece of work may take at once, and that a loop with more entries than its ring takes does not sleep. */

#include "inside.h"

#include <sys/ioctl.h>

/* ---- a receive that a callback begins ---- */

struct big {
    iouringnet_stream *stream;
    int fd, left;
    char *into;
    struct result result;
};

enum { INTO = 64 << 20 };

static void begins_big(void *user) {
    struct big *big = user;

    CHECK_OK(stream_recv_async(big->stream, big->into, INTO, ignore_completion, NULL, NULL));
    CHECK_EQ(ioctl(big->fd, FIONREAD, &big->left), 0);
}

TEST(a_receive_begun_in_a_callback_takes_1_mib_at_most) {
    enum { SENT = 3 << 20, TURN = 1 << 20 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct big big;
    int had = 0;

    config.recv_buffer = 16 << 20;
    p = tcp_pair_with(&config);
    big = (struct big){.stream = p.b.stream, .fd = descriptor_of(p.b.sink), .into = take(INTO)};
    memset(big.into, 1, SENT);
    CHECK_OK(sink_post(p.a.sink, big.into, SENT));
    for (int64_t end = now_ms() + patient(2000); had < 2 * TURN && now_ms() < end; nap())
        CHECK_EQ(ioctl(big.fd, FIONREAD, &had), 0);
    if (had < 2 * TURN)
        SKIP("the system's bound of receive buffers is too low");
    on_callback_thread(p.b.net, begins_big, &big);
    CHECK(big.left >= had - TURN);
    pair_close(&p);
    free(big.into);
}

/* ---- one try finds all that is there ---- */

static void tries_big(void *user) {
    struct big *big = user;

    CHECK_OK(stream_set_timeout(big->stream, 0));
    CHECK_OK(stream_recv_async(big->stream, big->into, INTO, result_store, &big->result, NULL));
}

/* by a thread, and by a callback, which is otherwise to take 1 MiB at most */
TEST(one_try_takes_all_that_is_there) {
    for (int in_callback = 0; in_callback < 2; in_callback++) {
        enum { SENT = 3 << 20 };
        iouringnet_config config = config_of_mode();
        struct pair p;
        struct big big;
        int had = 0;

        config.recv_buffer = 16 << 20;
        p = tcp_pair_with(&config);
        big = (struct big){.stream = p.b.stream, .fd = descriptor_of(p.b.sink), .into = take(INTO)};
        result_init(&big.result);
        pattern_fill(big.into, SENT, 0, 4);
        CHECK_OK(sink_post(p.a.sink, big.into, SENT));
        memset(big.into, 0, SENT);
        for (int64_t end = now_ms() + patient(5000); had < SENT && now_ms() < end; nap())
            CHECK_EQ(ioctl(big.fd, FIONREAD, &had), 0);
        if (had < SENT)
            SKIP("the system's bound of receive buffers is too low");
        if (in_callback)
            on_callback_thread(p.b.net, tries_big, &big);
        else
            tries_big(&big);
        CHECK_STATUS(result_wait(&big.result), IOURINGNET_TIMEOUT);
        CHECK_EQ(big.result.done.bytes, SENT);
        pattern_check(big.into, SENT, 0, 4);
        pair_close(&p);
        free(big.into);
    }
}

/* ---- more entries than places in the ring ---- */

enum { MANY = 60 };

struct crowd {
    iouringnet_stream *streams[MANY];
    char bytes[MANY];
    struct result results[MANY];
};

static void receives_on_all(void *user) {
    struct crowd *crowd = user;

    for (int i = 0; i < MANY; i++)
        CHECK_OK(stream_recv_async(crowd->streams[i], &crowd->bytes[i], 1, result_store, &crowd->results[i], NULL));
}

TEST(receives_begun_in_one_round_beyond_the_ring_all_reach_the_kernel) {
    static struct crowd crowd;
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_sink *sinks[MANY];
    pid_t loop;
    int peers[MANY];

    config.ring_entries = 8;
    net = net_with(&config);
    loop = thread_named("iouringnet-recv");
    for (int i = 0; i < MANY; i++) {
        peers[i] = raw_peer(net, &sinks[i], &crowd.streams[i]);
        result_init(&crowd.results[i]);
    }
    on_callback_thread(net, receives_on_all, &crowd);
    EVENTUALLY(thread_sleeps(loop));
    raw_send(peers[MANY - 1], "x", 1); /* the last one that was begun: nothing else wakes the loop */
    CHECK(latch_wait_ms(&crowd.results[MANY - 1].latch, patient(10000)));
    CHECK_OK(crowd.results[MANY - 1].done.status);
    for (int i = 0; i < MANY; i++) {
        stream_close(crowd.streams[i]);
        connection_abort(sinks[i], NULL);
        raw_close(peers[i]);
    }
    CHECK_OK(net_stop(net));
}
