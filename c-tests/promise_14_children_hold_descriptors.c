/* A forked child holds every descriptor of its parent: what the parent ends has to end all the same. */

#include "support.h"

/* a child that does nothing for as long as the test takes */
static pid_t idle_child(void) {
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        child_begin();
        for (;;)
            pause();
    }
    return child;
}

static void end_child(pid_t child) {
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(child_wait(child), 128 + SIGKILL);
}

TEST(an_uncollected_connection_ends_while_a_child_lives) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_op *op;
    int64_t began;
    pid_t child;
    int fd;

    CHECK_OK(listener_accept_async(listener, NULL, NULL, &op));
    fd = raw_dial(address.text);
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    child = idle_child();
    began = now_ms();
    CHECK_OK(op_release(op));
    raw_expect_eof(fd);
    CHECK_BETWEEN(now_ms() - began, 0, patient(15000)); /* and not with the end of the child, after 30 s */
    end_child(child);
    raw_close(fd);
    CHECK_OK(net_stop(net));
}

static void waits(void *user, const iouringnet_completion *done) {
    struct latch *latches = user;

    CHECK_OK(done->status);
    latch_open(&latches[0]);
    latch_wait(&latches[1]);
}

TEST(a_closed_listeners_address_is_free_at_once) {
    for (int with_child = 0; with_child < 2; with_child++) {
        iouringnet_net *net = net_of_mode();
        struct latch latches[2] = {LATCH(1), LATCH(1)};
        struct ending ending = ENDING;
        iouringnet_address address;
        iouringnet_listener *listener = bind_loopback(net, &address), *again;
        pid_t child = 0;

        CHECK_OK(listener_watch(listener, ending_store, &ending));
        settle(net);
        CHECK_OK(net_call(net, 0, waits, latches, NULL));
        latch_wait(&latches[0]); /* from here on the loop does nothing that the close might leave to it */
        if (with_child)
            child = idle_child();
        listener_close(listener);
        CHECK_OK(net_bind(net, address.text, NULL, &again));
        latch_open(&latches[1]);
        CHECK_STATUS(ending_wait(&ending), IOURINGNET_CLOSED);
        CHECK_OK(net_stop(net));
        if (with_child)
            end_child(child);
    }
}

/* A child's descriptors of closed connections are ready for ever. The loops must not look at them again and again. */
TEST(closed_connections_that_a_child_holds_cost_nothing) {
    enum { SIZE = 8 << 20, MOST = 50 };
    iouringnet_net *net = net_of_mode();
    struct mixed watched = mixed_pair_in(net, 0), paused = mixed_pair_in(net, 0), full = mixed_pair_in(net, 0),
                 received = mixed_pair_in(net, 0);
    struct mixed *all[] = {&watched, &paused, &full, &received};
    struct ending bytes = ENDING, silence = ENDING, breaks = ENDING;
    struct result send = RESULT, receive = RESULT;
    iouringnet_stats before, after;
    char *data = take(SIZE), into[100];
    pid_t child;

    memset(data, 1, SIZE);
    CHECK_OK(watch_data(watched.stream, ending_store_data, &bytes));
    CHECK_OK(watch_data(paused.stream, ending_store_data, &silence));
    CHECK_OK(stream_pause(paused.stream));
    CHECK_OK(ending_watch(paused.sink, &breaks));
    CHECK_OK(sink_send_async(full.sink, data, SIZE, result_store, &send, NULL));
    CHECK_OK(stream_recv_async(received.stream, into, sizeof into, result_store, &receive, NULL));
    settle(net);
    EVENTUALLY(stats_of(net).send_enters > 0);
    child = idle_child();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        connection_abort(all[i]->sink, NULL);
        mixed_stop(all[i]);
    }
    EVENTUALLY(stats_of(net).connections == 0);
    settle(net);
    before = stats_of(net);
    pass(300);
    after = stats_of(net);
    CHECK_BETWEEN(after.recv_enters - before.recv_enters, 0, MOST);
    CHECK_BETWEEN(after.send_enters - before.send_enters, 0, MOST);
    end_child(child);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        raw_close(all[i]->peer);
    CHECK_OK(net_stop(net));
    free(data);
}
