/* Promise 9, what a closed connection may hold: its drain has a time for all of it, and its descriptor and memory go to
   whoever needs them, the oldest first. */

#include "support.h"

#include <poll.h>

/* ---- a drain has a time for all of it ---- */

/* a peer that makes progress all the time, and would need minutes for all of it; true: it has met the reset, which a socket
   reports once */
static bool take_a_little(int peer, size_t bytes) {
    char some[4096];

    return recv(peer, some, bytes, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static iouringnet_net *draining_net(int64_t drain_timeout_ms) {
    iouringnet_config config = config_of_mode();

    config.send_buffer = 4 << 20;
    config.drain_timeout_ms = drain_timeout_ms;
    return net_with(&config);
}

TEST(a_drain_with_a_little_progress_ends_at_its_timeout) {
    enum { SIZE = 64 << 20 };
    bool met = false;
    iouringnet_net *net = draining_net(1000);
    struct result send = RESULT, flush = RESULT;
    struct ending watch = ENDING;
    char *data = take(SIZE);
    struct mixed m = mixed_pair_in(net, 16384);
    int64_t began;

    memset(data, 1, SIZE);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK_OK(sink_flush_async(m.sink, result_store, &flush, NULL));
    began = now_ms();
    sink_close(m.sink);
    stream_close(m.stream);
    while (!latch_wait_ms(&send.latch, 20)) {
        met |= take_a_little(m.peer, 4096);
        CHECK(now_ms() - began < WAIT_MS);
    }
    CHECK_BETWEEN(now_ms() - began, 999, WAIT_MS);
    CHECK_STATUS(send.done.status, IOURINGNET_TIMEOUT);
    CHECK(send.done.bytes < SIZE);
    CHECK_STATUS(result_wait(&flush), IOURINGNET_TIMEOUT);
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_TIMEOUT);
    if (!met)
        raw_expect_reset(m.peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_EQ(stats_of(net).drains_timed_out, 1);
    CHECK_EQ(stats_of(net).drains_shed, 0);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

/* more than the peer's socket takes, and less than ours */
enum { IN_THE_KERNEL = 300000 };

static struct mixed with_a_full_kernel(iouringnet_net *net, char *data) {
    struct mixed m = mixed_pair_in(net, 16384);

    pattern_fill(data, IN_THE_KERNEL, 0, 1);
    CHECK_OK(sink_post(m.sink, data, IN_THE_KERNEL));
    EVENTUALLY(unsent_of(m.sink) == 0);
    return m;
}

TEST(a_drain_in_the_kernel_with_a_little_progress_ends_at_its_timeout) {
    bool met = false;
    iouringnet_net *net = draining_net(1000);
    char *data = take(IN_THE_KERNEL);
    struct mixed m = with_a_full_kernel(net, data);
    int64_t began = now_ms();

    sink_close(m.sink);
    stream_close(m.stream);
    while (stats_of(net).connections > 0) {
        met |= take_a_little(m.peer, 500);
        pass(20);
    }
    CHECK_BETWEEN(now_ms() - began, 999, patient(8000));
    CHECK_EQ(stats_of(net).drains_timed_out, 1);
    if (!met)
        raw_expect_reset(m.peer);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

/* until the stream is closed, the connection is the program's to end */
TEST(a_stream_closed_long_after_its_sink_leaves_the_peer_its_time) {
    iouringnet_net *net = draining_net(1500);
    char *data = take(IN_THE_KERNEL);
    struct mixed m = with_a_full_kernel(net, data);
    struct reader reader = {m.peer, IN_THE_KERNEL, 1};

    sink_close(m.sink);
    pass(2000);
    stream_close(m.stream);
    pass(300);
    reader_run(&reader);
    raw_close(m.peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_EQ(stats_of(net).drains_timed_out, 0);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(a_stream_closed_long_after_a_drain_leaves_the_peer_its_time) {
    enum { SIZE = 16 << 20, LAST = 200000 };
    int64_t drain_ms = patient(1500);
    iouringnet_net *net = draining_net(drain_ms);
    struct ending watch = ENDING;
    char *data = take(SIZE), *got = take(SIZE);
    struct mixed m = mixed_pair_in(net, 16384);

    pattern_fill(data, SIZE, 0, 2);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_post(m.sink, data, SIZE));
    CHECK(unsent_of(m.sink) > 0);
    sink_close(m.sink);
    raw_recv(m.peer, got, SIZE - LAST);
    /* the kernel has the rest, and the FIN behind it */
    CHECK_OK(ending_wait(&watch));
    pass(drain_ms + 500);
    stream_close(m.stream);
    pass(300);
    CHECK_EQ(raw_recv_to_end(m.peer, got + SIZE - LAST, LAST), LAST);
    pattern_check(got, SIZE, 0, 2);
    raw_close(m.peer);
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_EQ(stats_of(net).drains_timed_out, 0);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

TEST(a_drain_cut_by_the_close_timeout_is_counted) {
    enum { SIZE = 8 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE);

    config.close_timeout_ms = 100;
    config.drain_timeout_ms = IOURINGNET_NO_TIMEOUT;
    m = mixed_pair_with(&config, 16384);
    memset(data, 1, SIZE);
    CHECK_OK(sink_post(m.sink, data, SIZE));
    sink_close(m.sink);
    stream_close(m.stream);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_EQ(stats_of(m.net).drains_timed_out, 1);
    raw_expect_reset(m.peer);
    mixed_close(&m);
    free(data);
}

/* What goes out of the queue late leaves what is in the kernel no time of its own. */
TEST(a_drain_of_the_queue_and_of_the_kernel_has_one_time) {
    enum { SIZE = 16 << 20 };
    bool met = false;
    int64_t drain_ms = patient(4000);
    iouringnet_net *net = draining_net(drain_ms);
    struct ending watch = ENDING;
    char *data = take(SIZE);
    struct mixed m = mixed_pair_in(net, 262144);
    int64_t began, queued;

    memset(data, 1, SIZE);
    CHECK_OK(ending_watch(m.sink, &watch));
    CHECK_OK(sink_post(m.sink, data, SIZE));
    CHECK(unsent_of(m.sink) > 0);
    began = now_ms();
    sink_close(m.sink);
    stream_close(m.stream);
    while (now_ms() < began + drain_ms / 2)
        nap();
    while (!latch_wait_ms(&watch.latch, 0))
        met |= take_a_little(m.peer, 4096);
    queued = now_ms() - began;
    CHECK_OK(ending_wait(&watch));
    EVENTUALLY(stats_of(net).connections == 0);
    CHECK_BETWEEN(now_ms() - began, drain_ms - 1, queued + drain_ms - 1);
    CHECK_EQ(stats_of(net).drains_timed_out, 1);
    if (!met)
        raw_expect_reset(m.peer);
    raw_close(m.peer);
    CHECK_OK(net_stop(net));
    free(data);
}

struct cut {
    iouringnet_net *net;
    iouringnet_status status;
    uint64_t drains_timed_out;
};

static void cut_store(void *user, const iouringnet_completion *done) {
    struct cut *cut = user;

    cut->status = done->status;
    cut->drains_timed_out = stats_of(cut->net).drains_timed_out;
}

/* the last callback of a net that stops tells what was counted until then */
TEST(a_connection_that_a_stop_has_cut_is_no_drain_that_timed_out) {
    enum { SIZE = 16 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed lingering, sending;
    struct cut cut = {NULL, 0, 77};
    char *data = take(SIZE);

    config.send_buffer = 4 << 20;
    config.shutdown_timeout_ms = 200;
    config.close_timeout_ms = 10 * WAIT_MS; /* the stop does not wait for it */
    cut.net = net_with(&config);
    lingering = with_a_full_kernel(cut.net, data);
    mixed_stop(&lingering);
    sending = mixed_pair_in(cut.net, 16384);
    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(sending.sink, data, SIZE, cut_store, &cut, NULL));
    CHECK_STATUS(net_stop(cut.net), IOURINGNET_TIMEOUT);
    CHECK_STATUS(cut.status, IOURINGNET_STOPPED);
    CHECK_EQ(cut.drains_timed_out, 0);
    raw_expect_reset(lingering.peer);
    raw_expect_reset(sending.peer);
    raw_close(lingering.peer);
    raw_close(sending.peer);
    free(data);
}

TEST(posts_that_are_cut_while_the_sink_is_open_are_no_drain) {
    struct mixed m = mixed_pair_sized(16384);
    struct ending watch = ENDING;

    CHECK_OK(ending_watch(m.sink, &watch));
    jam_sink(m.sink);
    CHECK_OK(connection_set_idle_timeout(m.sink, m.stream, 50));
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_TIMEOUT);
    sink_close(m.sink);
    stream_close(m.stream);
    raw_expect_reset(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    CHECK_EQ(stats_of(m.net).drains_timed_out, 0);
    mixed_close(&m);
}

/* ---- a shortage of descriptors ---- */

enum { DESCRIPTORS = 260, HOLDERS = 240 };

/* takes every descriptor that is left */
static void take_the_rest(void) {
    while (fcntl(0, F_DUPFD_CLOEXEC, 0) >= 0)
        ;
    CHECK_EQ(errno, EMFILE);
}

static void limit_descriptors(void) {
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = DESCRIPTORS;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct channel {
    int from_parent[2], to_parent[2];
};

/* the peers, in a process of their own: they take a byte now and then, and one that is honest comes last */
static _Noreturn void peers_run(struct channel *channel) {
    static int holders[HOLDERS];
    iouringnet_address address;
    char got[8];
    int honest;

    child_begin();
    CHECK_EQ(read(channel->from_parent[0], &address, sizeof address), sizeof address);
    for (int i = 0; i < HOLDERS; i++)
        holders[i] = raw_dial_sized(address.text, 4096, 0);
    for (;;) {
        struct pollfd next = {channel->from_parent[0], POLLIN, 0};

        if (poll(&next, 1, 200) > 0)
            break;
        for (int i = 0; i < HOLDERS; i++)
            recv(holders[i], got, 1, MSG_DONTWAIT);
    }
    CHECK_EQ(read(channel->from_parent[0], got, 1), 1);
    honest = raw_dial(address.text);
    raw_recv(honest, got, 7);
    CHECK_MEM(got, "welcome", 7);
    CHECK_EQ(write(channel->to_parent[1], "w", 1), 1);
    raw_expect_eof(honest);
    /* the oldest had to go; before Linux 6.10 one more may, for the accept that waits next */
    raw_expect_reset(holders[0]);
    for (int i = 2; i < HOLDERS; i++) {
        int error = 0;
        socklen_t size = sizeof error;

        CHECK_EQ(getsockopt(holders[i], SOL_SOCKET, SO_ERROR, &error, &size), 0);
        CHECK_EQ(error, 0);
    }
    CHECK_EQ(write(channel->to_parent[1], "d", 1), 1);
    CHECK_EQ(read(channel->from_parent[0], got, 1), 0); /* until the parent has ended */
    _exit(0);
}

struct server {
    char *data;
    size_t size;
    atomic_int accepted;
    struct latch held;
};

static void serve_and_close(void *user, const iouringnet_completion *done) {
    struct server *server = user;
    bool holds = atomic_fetch_add(&server->accepted, 1) < HOLDERS;

    if (done->status != 0)
        return;
    CHECK_OK(holds ? sink_post(done->sink, server->data, server->size) : sink_post(done->sink, "welcome", 7));
    sink_close(done->sink);
    stream_close(done->stream);
    if (holds)
        latch_open(&server->held);
}

static void serves_beside_holders(int send_buffer, size_t size) {
    struct channel channel;
    struct server server = {take(size), size, 0, LATCH(HOLDERS)};
    iouringnet_config config = config_of_mode();
    iouringnet_address address;
    iouringnet_net *net;
    iouringnet_listener *listener;
    int64_t began;
    char byte;
    pid_t child;

    need_descriptors(HOLDERS);
    CHECK_EQ(pipe(channel.from_parent), 0);
    CHECK_EQ(pipe(channel.to_parent), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(channel.from_parent[1]);
        peers_run(&channel);
    }
    close(channel.from_parent[0]);
    close(channel.to_parent[1]);
    limit_descriptors();
    memset(server.data, 1, size);
    config.send_buffer = (size_t)send_buffer;
    net = net_with(&config);
    listener = bind_loopback(net, &address);
    CHECK_OK(listener_watch(listener, serve_and_close, &server));
    CHECK_EQ(write(channel.from_parent[1], &address, sizeof address), sizeof address);
    latch_wait(&server.held);
    settle(net);
    take_the_rest();
    began = now_ms();
    CHECK_EQ(write(channel.from_parent[1], "h", 1), 1);
    CHECK_EQ(read(channel.to_parent[0], &byte, 1), 1);
    CHECK_BETWEEN(now_ms() - began, 0, patient(2000));
    CHECK_EQ(read(channel.to_parent[0], &byte, 1), 1);
    CHECK_BETWEEN(stats_of(net).drains_shed, 1, 2);
    CHECK_EQ(stats_of(net).drains_timed_out, 0);
    close(channel.from_parent[1]);
    CHECK_EQ(child_wait(child), 0);
    CHECK_OK(net_stop(net));
    free(server.data);
}

/* alone */ TEST(an_honest_client_is_served_beside_peers_that_hold_queues) {
    serves_beside_holders(16384, 256 << 10);
}

/* alone */ TEST(an_honest_client_is_served_beside_peers_that_hold_the_kernels_bytes) {
    serves_beside_holders(200000, 100000);
}

/* ---- whoever makes a socket ---- */

enum { HELD = 8, HELD_SIZE = 8 << 20 };

static void hold_all(struct draining held[HELD], iouringnet_net *net, const char *data) {
    for (int i = 0; i < HELD; i++)
        draining_begin(&held[i], net, data, HELD_SIZE);
}

struct binding {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_status status;
};

static void binds(void *user) {
    struct binding *binding = user;

    binding->status = net_bind(binding->net, "127.0.0.1:0", NULL, &binding->listener);
}

TEST(sockets_are_made_at_the_cost_of_closed_connections) {
    iouringnet_net *net, *other;
    iouringnet_address address;
    struct draining held[HELD];
    struct result dial = RESULT;
    struct binding binding = {NULL, NULL, 0};
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_listener *listener;
    char *data = take(HELD_SIZE);
    int plain, shed = 0;

    limit_descriptors();
    net = net_of_mode();
    other = net_of_mode();
    memset(data, 1, HELD_SIZE);
    hold_all(held, net, data);
    plain = raw_listen(&address);
    take_the_rest();

    /* of whichever net of the process */
    CHECK_OK(net_dial(other, address.text, NULL, &sink, &stream));
    CHECK_STATUS(result_wait(&held[shed++].send), -EMFILE);
    CHECK_OK(net_dial_async(net, address.text, NULL, result_store, &dial, NULL));
    CHECK_OK(result_wait(&dial));
    CHECK_STATUS(result_wait(&held[shed++].send), -EMFILE);
    /* a listener takes two */
    CHECK_OK(net_bind(net, "127.0.0.1:0", NULL, &listener));
    CHECK_STATUS(result_wait(&held[shed++].send), -EMFILE);
    CHECK_STATUS(result_wait(&held[shed++].send), -EMFILE);
    /* a callback does not wait for the descriptor */
    binding.net = net;
    on_callback_thread(net, binds, &binding);
    CHECK_STATUS(binding.status, -EMFILE);
    CHECK_STATUS(result_wait(&held[shed++].send), -EMFILE);
    EVENTUALLY(net_bind(net, "127.0.0.1:0", NULL, &binding.listener) == 0);
    /* one for its second descriptor, and one more where this came before the first */
    CHECK_BETWEEN(stats_of(net).drains_shed, shed + 1, shed + 2);
    shed = (int)stats_of(net).drains_shed;
    for (int i = 0; i < HELD; i++) {
        if (i < shed)
            raw_expect_reset(held[i].peer);
        else
            CHECK_EQ(held[i].send.calls, 0);
    }
    CHECK_EQ(stats_of(other).drains_shed, 0);

    sink_close(sink);
    stream_close(stream);
    sink_close(dial.done.sink);
    stream_close(dial.done.stream);
    for (int i = 0; i < HELD; i++)
        raw_close(held[i].peer);
    raw_close(plain);
    CHECK_OK(net_stop(other));
    CHECK_OK(net_stop(net));
    for (int i = 0; i < HELD; i++)
        CHECK_EQ(held[i].send.calls, 1);
    free(data);
}

/* a peer that has everything is not reset: all that it can miss is a later answer to what it sends */
TEST(a_lingering_connection_that_has_to_go_has_lost_nothing) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_address address;
    struct mixed m;
    struct end dialled;
    int plain, error = 0;
    socklen_t size = sizeof error;
    char got[5];

    limit_descriptors();
    config.linger_ms = 10 * WAIT_MS;
    net = net_with(&config);
    m = mixed_pair_in(net, 0);
    plain = raw_listen(&address);
    CHECK_OK(sink_send(m.sink, "whole", 5, NULL));
    mixed_stop(&m);
    raw_recv(m.peer, got, 5);
    raw_expect_eof(m.peer);
    take_the_rest();
    CHECK_OK(net_dial(net, address.text, NULL, &dialled.sink, &dialled.stream));
    CHECK_EQ(stats_of(net).drains_shed, 1);
    CHECK_EQ(getsockopt(m.peer, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    CHECK_EQ(error, 0);
    connection_abort(dialled.sink, NULL);
    stream_close(dialled.stream);
    raw_close(m.peer);
    raw_close(plain);
    CHECK_OK(net_stop(net));
}

/* ---- a shortage of memory ---- */

TEST(a_post_without_memory_costs_the_oldest_closed_connection) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("the sanitizer's allocator ends a process that is out of memory");
#else
    enum { HOARD = 64 << 20, SIZE = 40 << 20 };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct mixed old, m;
    struct ending watch = ENDING;
    struct rlimit limit;
    char *data = take(HOARD);

    memset(data, 1, HOARD);
    config.post_mark = 2 * HOARD;
    net = net_with(&config);
    old = mixed_pair_in(net, 16384);
    m = mixed_pair_in(net, 16384);
    CHECK_OK(ending_watch(old.sink, &watch));
    CHECK_OK(sink_post(old.sink, data, HOARD));
    mixed_stop(&old);
    /* behind this one, of whose rest the queue has a copy, nothing of a post goes out before it is copied */
    CHECK_OK(sink_post(m.sink, data, 16 << 20));
    limit = limit_memory(16 << 20);
    CHECK_STATUS(sink_post(m.sink, data, SIZE), -ENOMEM);
    CHECK_STATUS(ending_wait(&watch), -ENOMEM);
    EVENTUALLY(sink_post(m.sink, data, SIZE) == 0);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_EQ(stats_of(net).drains_shed, 1);
    raw_expect_reset(old.peer);
    connection_abort(m.sink, NULL);
    mixed_close(&m);
    mixed_close(&old);
    CHECK_OK(net_stop(net));
    free(data);
#endif
}
