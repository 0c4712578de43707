/* What net_stats counts: each field, by what a program has done itself.
   Rule: Transfers and arguments. */

#include "inside.h"

/* The loop sleeps: the next who has something for it must wake it. */
static void loop_sleeps(pid_t thread) {
    EVENTUALLY(thread_sleeps(thread));
}

TEST(callbacks_and_wake_ups_are_counted) {
    enum { CALLS = 10 };
    iouringnet_net *net = net_of_mode();
    pid_t loop = thread_named("iouringnet-recv");
    iouringnet_stats before, after;

    loop_sleeps(loop);
    loop_sleeps(thread_named("iouringnet-send"));
    before = stats_of(net);
    for (int i = 0; i < CALLS; i++) {
        struct result called = RESULT;

        loop_sleeps(loop);
        CHECK_OK(net_call(net, 0, result_store, &called, NULL));
        CHECK_OK(result_wait(&called));
    }
    loop_sleeps(loop);
    after = stats_of(net);
    CHECK_EQ(after.callbacks - before.callbacks, CALLS);
    /* a loop that spins needs no wake-up, and one that sleeps needs one */
    CHECK_BETWEEN(after.recv_wakes - before.recv_wakes, CALLS / 2, CALLS);
    /* each wake-up is a completion, and no entry has asked for it */
    CHECK(after.recv_completions - before.recv_completions >= CALLS / 2);
    CHECK_EQ(after.recv_entries, before.recv_entries);
    CHECK(after.recv_enters - before.recv_enters >= CALLS / 2);
    CHECK_EQ(after.send_wakes, before.send_wakes);
    CHECK_EQ(after.send_entries, before.send_entries);
    CHECK_OK(net_stop(net));
}

TEST(the_calls_of_watches_are_counted_with_their_last_ones) {
    struct pair p = tcp_pair();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(p.b.net, &address);
    struct ending connections = ENDING, bytes = ENDING, room = ENDING;
    uint64_t before = stats_of(p.b.net).callbacks;

    CHECK_OK(listener_watch(listener, ending_store, &connections));
    CHECK_OK(listener_unwatch(listener));
    CHECK_STATUS(ending_wait(&connections), IOURINGNET_CANCELLED);
    CHECK_EQ(stats_of(p.b.net).callbacks - before, 1);
    CHECK_OK(watch_data(p.b.stream, ending_store_data, &bytes));
    CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
    EVENTUALLY(bytes.events > 0);
    CHECK_OK(stream_unwatch(p.b.stream));
    CHECK_STATUS(ending_wait(&bytes), IOURINGNET_CANCELLED);
    CHECK_EQ(stats_of(p.b.net).callbacks - before, 2 + (uint64_t)bytes.events);
    CHECK_OK(ending_watch(p.b.sink, &room));
    sink_close(p.b.sink);
    CHECK_OK(ending_wait(&room));
    CHECK_EQ(stats_of(p.b.net).callbacks - before, 3 + (uint64_t)bytes.events + (uint64_t)room.events);
    pair_close(&p);
}

/* also where messages come one by one, and nothing else happens to the watch */
TEST(the_calls_of_a_watch_that_goes_on_are_counted) {
    enum { MESSAGES = 20 };
    struct pair p = tcp_pair();
    struct ending bytes = ENDING;
    uint64_t before = stats_of(p.b.net).callbacks;

    CHECK_OK(watch_data(p.b.stream, ending_store_data, &bytes));
    for (int i = 1; i <= MESSAGES; i++) {
        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        EVENTUALLY(bytes.events == i);
    }
    CHECK_EQ(stats_of(p.b.net).callbacks - before, MESSAGES);
    CHECK_OK(stream_unwatch(p.b.stream));
    CHECK_STATUS(ending_wait(&bytes), IOURINGNET_CANCELLED);
    CHECK_EQ(stats_of(p.b.net).callbacks - before, MESSAGES + 1);
    pair_close(&p);
}

TEST(the_calls_of_a_listeners_watch_are_counted) {
    enum { CONNECTIONS = 5 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct ending connections = ENDING;
    uint64_t before = stats_of(net).callbacks;
    int fds[CONNECTIONS];

    CHECK_OK(listener_watch(listener, ending_store, &connections));
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = raw_dial(address.text);
        EVENTUALLY(connections.events == i + 1);
    }
    CHECK_EQ(stats_of(net).callbacks - before, CONNECTIONS);
    listener_close(listener);
    CHECK_STATUS(ending_wait(&connections), IOURINGNET_CLOSED);
    CHECK_EQ(stats_of(net).callbacks - before, CONNECTIONS + 1);
    for (int i = 0; i < CONNECTIONS; i++)
        raw_close(fds[i]);
    CHECK_OK(net_stop(net));
}

/* what was over at once has a callback too, with an op and without */
TEST(callbacks_of_what_is_over_at_once_are_counted) {
    enum { SENDS = 10 };
    struct mixed m = mixed_pair();
    uint64_t before = stats_of(m.net).callbacks;
    char got[2 * SENDS];

    for (int i = 0; i < SENDS; i++) {
        struct result alone = RESULT, with_op = RESULT;
        iouringnet_op *op;

        CHECK_OK(sink_send_async(m.sink, "x", 1, result_store, &alone, NULL));
        CHECK_OK(sink_send_async(m.sink, "x", 1, result_store, &with_op, &op));
        CHECK_OK(result_wait(&alone));
        CHECK_OK(op_finish(op, NULL));
    }
    raw_recv(m.peer, got, sizeof got);
    CHECK_EQ(stats_of(m.net).callbacks - before, 2 * SENDS);
    mixed_close(&m);
}

TEST(what_the_receive_loop_asks_of_the_kernel_is_counted) {
    enum { RECEIVES = 10 };
    struct pair p = tcp_pair();
    iouringnet_stats before, after;

    settle(p.b.net);
    before = stats_of(p.b.net);
    for (int i = 0; i < RECEIVES; i++) {
        struct result received = RESULT;
        char byte;

        CHECK_OK(stream_recv_async(p.b.stream, &byte, 1, result_store, &received, NULL));
        settle(p.b.net);
        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        CHECK_OK(result_wait(&received));
    }
    settle(p.b.net);
    after = stats_of(p.b.net);
    /* where there are no pools, a poll comes first */
    CHECK_BETWEEN(after.recv_entries - before.recv_entries, RECEIVES, 3 * RECEIVES);
    CHECK(after.recv_completions - before.recv_completions >= RECEIVES);
    CHECK(after.recv_enters - before.recv_enters >= RECEIVES);
    CHECK(after.callbacks - before.callbacks >= RECEIVES);
    pair_close(&p);
}

/* The kernel wakes the loop for bytes of a peer, and no call has to. */
TEST(bytes_of_a_peer_are_no_wake_ups) {
    enum { MESSAGES = 20 };
    struct mixed m = mixed_pair();
    pid_t loop = thread_named("iouringnet-recv");
    struct ending bytes = ENDING;
    iouringnet_stats before, after;

    CHECK_OK(watch_data(m.stream, ending_store_data, &bytes));
    settle(m.net);
    loop_sleeps(loop);
    before = stats_of(m.net);
    for (int i = 1; i <= MESSAGES; i++) {
        raw_send(m.peer, "x", 1);
        EVENTUALLY(bytes.events == i);
        loop_sleeps(loop);
    }
    after = stats_of(m.net);
    CHECK_EQ(after.recv_wakes, before.recv_wakes);
    CHECK_EQ(after.send_wakes, before.send_wakes);
    CHECK(after.recv_enters - before.recv_enters >= MESSAGES / 2);
    CHECK_BETWEEN(after.recv_completions - before.recv_completions, MESSAGES, 3 * MESSAGES);
    mixed_close(&m);
}

TEST(what_the_send_loop_asks_of_the_kernel_is_counted) {
    enum { SENDS = 10 };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_stats before, after;
    struct pair p;
    pid_t loop;

    config.first_try = IOURINGNET_OFF; /* every send is the loop's */
    net = net_with(&config);
    loop = thread_named("iouringnet-send");
    p = tcp_pair_in(net, net);
    loop_sleeps(loop);
    before = stats_of(net);
    for (int i = 0; i < SENDS; i++) {
        char byte;

        loop_sleeps(loop);
        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        CHECK_OK(stream_recv(p.b.stream, &byte, 1, NULL));
    }
    loop_sleeps(loop);
    after = stats_of(net);
    CHECK_EQ(after.send_entries - before.send_entries, SENDS);
    CHECK_EQ(after.send_wakes - before.send_wakes, SENDS);
    /* each wake-up is one too */
    CHECK_EQ(after.send_completions - before.send_completions, 2 * SENDS);
    CHECK(after.send_enters - before.send_enters >= SENDS);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

TEST(what_is_open_is_counted) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener, *second;
    iouringnet_op *timer;
    struct pair p;

    CHECK_EQ(stats_of(net).listeners, 0);
    listener = bind_loopback(net, &address);
    second = bind_loopback(net, &address);
    CHECK_EQ(stats_of(net).listeners, 2);
    listener_close(listener);
    EVENTUALLY(stats_of(net).listeners == 1);
    listener_close(second);
    EVENTUALLY(stats_of(net).listeners == 0);

    CHECK_EQ(stats_of(net).connections, 0);
    p = tcp_pair_in(net, net);
    CHECK_EQ(stats_of(net).connections, 2);
    sink_close(p.a.sink);
    CHECK_EQ(stats_of(net).connections, 2); /* half of it is open */
    stream_close(p.a.stream);
    end_close(&p.b);
    EVENTUALLY(stats_of(net).connections == 0);

    CHECK_EQ(stats_of(net).operations, 0);
    CHECK_OK(net_call(net, 60000, NULL, NULL, &timer));
    CHECK_EQ(stats_of(net).operations, 1);
    CHECK_OK(op_cancel(timer));
    CHECK_STATUS(op_finish(timer, NULL), IOURINGNET_CANCELLED);
    CHECK_EQ(stats_of(net).operations, 0);
    CHECK_EQ(stats_of(net).accept_errors, 0);
    CHECK_OK(net_stop(net));
}

static size_t eats(void *user, iouringnet_status status, const void *data, size_t size) {
    size_t *eaten = user;

    (void)data;
    if (status == 0)
        __atomic_fetch_add(eaten, size, __ATOMIC_SEQ_CST);
    return size;
}

/* What a watch asks the kernel for at once is bounded, so that little can come after a pause. */
TEST(a_watch_asks_anew_after_as_many_bytes_as_it_may_keep) {
    enum { MESSAGES = 400, SIZE = 1000, MAX = 16 << 10 };
    static size_t eaten;
    iouringnet_config config = config_of_mode();
    struct pair p;
    char message[SIZE] = "";
    uint64_t before, entries;

    config.buffer_max = MAX;
    p = tcp_pair_with(&config);
    CHECK_OK(watch_data(p.b.stream, eats, &eaten));
    settle(p.b.net);
    before = stats_of(p.b.net).recv_entries;
    for (size_t i = 1; i <= MESSAGES; i++) {
        CHECK_OK(sink_send(p.a.sink, message, SIZE, NULL));
        EVENTUALLY(__atomic_load_n(&eaten, __ATOMIC_SEQ_CST) == i * SIZE);
    }
    settle(p.b.net);
    entries = stats_of(p.b.net).recv_entries - before;
    CHECK_BETWEEN(entries, MESSAGES * SIZE / MAX / 2, 3 * MESSAGES);
    pair_close(&p);
}

struct posts {
    iouringnet_net *net;
    struct latch ran;
};

static void has_run(void *user, const iouringnet_completion *done) {
    struct posts *posts = user;

    CHECK_OK(done->status);
    latch_open(&posts->ran);
}

static size_t posts_a_call(void *user, iouringnet_status status, const void *data, size_t size) {
    struct posts *posts = user;

    (void)data;
    if (status == 0)
        CHECK_OK(net_call(posts->net, 0, has_run, posts, NULL));
    return size;
}

/* The bytes wake the loop, and its callback's work finds it awake. */
TEST(a_callback_that_gives_its_own_loop_work_wakes_nobody) {
    enum { COUNT = 50 };
    iouringnet_net *net = net_of_mode();
    pid_t loop = thread_named("iouringnet-recv");
    struct posts posts = {net, LATCH(1)};
    struct mixed m = mixed_pair_in(net, 0);
    uint64_t before;

    CHECK_OK(watch_data(m.stream, posts_a_call, &posts));
    settle(net);
    loop_sleeps(loop);
    before = stats_of(net).recv_wakes;
    for (int i = 0; i < COUNT; i++) {
        raw_send(m.peer, "x", 1);
        latch_wait(&posts.ran);
        latch_reset(&posts.ran, 1);
        loop_sleeps(loop);
    }
    CHECK_BETWEEN(stats_of(net).recv_wakes - before, 0, COUNT / 5);
    sink_close(m.sink);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
}
