/* Promise 10: net_stop joins both threads and leaves nothing behind: no descriptor, no thread, no memory. */

#include "support.h"

#include <sched.h>

static void one_cycle(void) {
    struct pair p = tcp_pair();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(p.a.net, &address);
    struct result recv = RESULT;
    struct ending watch = ENDING;
    iouringnet_op *op;
    char got[8];

    CHECK_OK(listener_watch(listener, ending_store, &watch));
    CHECK_OK(stream_recv_async(p.b.stream, got, 8, result_store, &recv, NULL));
    CHECK_OK(sink_send(p.a.sink, "8 bytes.", 8, NULL));
    CHECK_OK(result_wait(&recv));
    CHECK_OK(net_call(p.a.net, 3600 * 1000, NULL, NULL, &op));
    CHECK_OK(net_stop(p.a.net));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_STOPPED);
}

/* The kernel closes the thread's own descriptors after it has woken up whoever joins the thread. */
static void *ends_slowly(void *user) {
    if (unshare(CLONE_FILES) != 0)
        SKIP("no thread can have descriptors of its own here");
    for (int i = 0; i < 300; i++)
        CHECK(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    return user;
}

/* What the tests count by. */
TEST(a_joined_thread_counts_no_more) {
    size_t before = count_threads();

    for (int i = 0; i < 50; i++) {
        join(spawn(ends_slowly, NULL));
        CHECK_EQ(count_threads(), before);
    }
}

TEST(start_and_stop_leave_nothing) {
    struct footprint before = footprint();
    size_t heap, grown;

    /* tables grow with the first nets, and are kept */
    for (int i = 0; i < 10; i++)
        one_cycle();
    heap = heap_in_use();
    for (int i = 0; i < 100; i++)
        one_cycle();
    footprint_returns(before);
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    /* a net and its connections take far more than 1 KiB each time */
    CHECK_BETWEEN(grown, 0, 100 * 1024);
}

/* keeps what comes until it is much, which takes memory on the callback thread */
static size_t keeps_much(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)data;
    if (status != 0)
        return 0;
    if (size < 100000)
        return 0;
    latch_open(user);
    return size;
}

static void one_cycle_with_much(void) {
    static char data[100000];
    struct pair p = tcp_pair();
    struct latch had = LATCH(1);

    CHECK_OK(watch_data(p.b.stream, keeps_much, &had));
    CHECK_OK(sink_send(p.a.sink, data, sizeof data, NULL));
    latch_wait(&had);
    pair_close(&p);
}

TEST(nets_that_received_much_leave_nothing) {
    enum { CYCLES = 50 };
    size_t heap, grown;

    for (int i = 0; i < 10; i++)
        one_cycle_with_much();
    heap = heap_in_use();
    for (int i = 0; i < CYCLES; i++)
        one_cycle_with_much();
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    CHECK_BETWEEN(grown, 0, CYCLES * 10000);
}

TEST(connections_leave_nothing) {
    iouringnet_net *net = net_of_mode();
    size_t descriptors = 0, heap = 0, grown;

    for (int i = 0; i < 2000; i++) {
        struct pair p;
        char got[4];

        if (i == 500) {
            EVENTUALLY(stats_of(net).connections == 0);
            descriptors = count_entries("/proc/self/fd");
            heap = heap_in_use();
        }
        p = tcp_pair_in(net, net);
        CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
        CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
        end_close(&p.a);
        end_close(&p.b);
    }
    EVENTUALLY(stats_of(net).connections == 0);
    EVENTUALLY(stats_of(net).operations == 0);
    EVENTUALLY(count_entries("/proc/self/fd") == descriptors);
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    CHECK_BETWEEN(grown, 0, 1500 * 64);
    CHECK_OK(net_stop(net));
}

TEST(a_process_may_end_without_stopping) {
    static struct result recv = RESULT;
    static char into[8];
    struct pair p;

    if (!rest_is_a_part(__func__))
        return;
    p = tcp_pair();
    jam(&p.a);
    CHECK_OK(stream_recv_async(p.a.stream, into, 8, result_store, &recv, NULL));
    exit(0);
}
