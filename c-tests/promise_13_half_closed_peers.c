/* Promise 13: a peer that has half-closed, or sent an urgent byte, and takes nothing costs no thread, starves no other
   peer, and costs no more work of the loop than one that is open. */

#include "support.h"

#include <grp.h>

enum { PIECE = 64 << 10 };

enum how { HALF_CLOSED, URGENT, CLOSED_BY_US };

/* Connections whose peers read nothing, each with a send that waits for room. */
static void stuck_begin(iouringnet_net *net, struct mixed *stuck, size_t count, enum how how) {
    static char piece[PIECE];

    for (size_t i = 0; i < count; i++) {
        struct mixed *s = &stuck[i];

        *s = mixed_pair_in(net, 8 << 10);
        if (how == HALF_CLOSED)
            raw_half_close(s->peer);
        if (how == URGENT)
            CHECK_EQ(send(s->peer, "!", 1, MSG_OOB), 1);
        for (int n = 0; n < 4; n++)
            CHECK_OK(sink_post(s->sink, piece, sizeof piece));
        if (how == CLOSED_BY_US) {
            raw_half_close(s->peer);
            mixed_stop(s);
        }
    }
}

/* Wakes the senders a few hundred times each: every so many a kernel would have moved them to threads of its own. */
static void stuck_take_a_little(struct mixed *stuck, size_t count) {
    char into[4096];

    for (int round = 0; round < 40; round++)
        for (size_t i = 0; i < count; i++)
            raw_recv(stuck[i].peer, into, sizeof into);
}

static void stuck_end(struct mixed *stuck, size_t count) {
    for (size_t i = 0; i < count; i++) {
        raw_reset(stuck[i].peer);
        mixed_stop(&stuck[i]);
    }
}

static void no_kernel_thread_for(enum how how, size_t count) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct mixed *stuck;

    need_descriptors(2 * count);
    stuck = take(count * sizeof *stuck);
    config.send_buffer = 16 << 10;
    net = net_with(&config);
    stuck_begin(net, stuck, count, how);
    stuck_take_a_little(stuck, count);
    settle(net);
    CHECK_EQ(kernel_workers(), 0);
    for (size_t i = 0; i < count && how != CLOSED_BY_US; i++)
        CHECK(unsent_of(stuck[i].sink) > 0);
    stuck_end(stuck, count);
    CHECK_OK(net_stop(net));
    free(stuck);
}

TEST(half_closed_peers_that_read_little_cost_no_kernel_thread) {
    no_kernel_thread_for(HALF_CLOSED, 300);
}

TEST(urgent_bytes_cost_no_kernel_thread) {
    no_kernel_thread_for(URGENT, 60);
}

TEST(drains_to_half_closed_peers_cost_no_kernel_thread) {
    no_kernel_thread_for(CLOSED_BY_US, 60);
}

/* what an ordinary user with few processes left sees: root may have as many as it likes */
static void part_of_limits(void) {
    enum { STUCK = 30, SIZE = 1 << 20, USER = 61309 };
    struct rlimit few = {20, 20};
    struct mixed stuck[STUCK];
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct mixed m;
    struct reader reader;
    char *data = take(SIZE);
    pthread_t thread;

    if (setgroups(0, NULL) != 0 || setresgid(USER, USER, USER) != 0 || setresuid(USER, USER, USER) != 0)
        SKIP("only root can become an ordinary user");
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &few), 0);
    config.send_buffer = 16 << 10;
    net = net_with(&config);
    stuck_begin(net, stuck, STUCK, HALF_CLOSED);
    CHECK_EQ(kernel_workers(), 0);

    m = mixed_pair_in(net, 8 << 10);
    reader = (struct reader){m.peer, SIZE, 13};
    raw_half_close(m.peer);
    thread = spawn(reader_run, &reader);
    pattern_fill(data, SIZE, 0, reader.seed);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    sink_close(m.sink);
    join(thread);
    mixed_close(&m);
    stuck_end(stuck, STUCK);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(half_closed_peers_starve_no_other_where_processes_are_few) {
    const char *name = "half_closed_peers_starve_no_other_where_processes_are_few";

    if (part_is("limits")) {
        part_of_limits();
        return;
    }
    if (part_run(name, "limits") == 77)
        SKIP("only root can become an ordinary user");
}

/* completions of the send loop for 8 MiB to a peer that reads in small pieces */
static uint64_t completions_of_a_drain(bool half_closed) {
    enum { SIZE = 8 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE), into[8192];
    uint64_t completions;

    config.send_buffer = 64 << 10;
    config.post_mark = 2 * SIZE;
    m = mixed_pair_with(&config, 64 << 10);
    if (half_closed)
        raw_half_close(m.peer);
    memset(data, 5, SIZE);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    for (size_t got = 0; got < SIZE; got += sizeof into)
        raw_recv(m.peer, into, sizeof into);
    EVENTUALLY(unsent_of(m.sink) == 0);
    completions = stats_of(m.net).send_completions;
    mixed_close(&m);
    free(data);
    return completions;
}

/* The socket tells of room when a third of its buffer is free, and each time the loop sends twice at most: some 1,000
   completions for 8 MiB. A loop that is woken in vain has three for each of the peer's 1,024 reads, or no end of them; a
   send that waits in a thread of the kernel has one. */
TEST(a_half_closed_peer_makes_no_more_work_than_an_open_one) {
    CHECK_BETWEEN(completions_of_a_drain(false), 20, 2000);
    CHECK_BETWEEN(completions_of_a_drain(true), 20, 2000);
}
