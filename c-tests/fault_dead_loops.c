/* A loop that dies fails what is pending, and counts what the kernel has moved for it by then.
   Promise 11. */

#include "inside.h"

enum { SIZE = 200000 };

/* without spins, after which completions are taken, and where completions come while the loop does other things */
static iouringnet_net *net_that_is_told_early(void) {
    iouringnet_config config = config_of_mode();

    CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", "defer_taskrun,coop_taskrun", 1), 0);
    config.spin_us = IOURINGNET_NO_SPIN;
    return net_with(&config);
}

/* The peer sends `count` bytes while the loop that receives them runs a callback, behind which it dies. */
static size_t dies_behind_bytes(size_t size, size_t count) {
    iouringnet_net *net = net_that_is_told_early();
    struct busy busy = BUSY;
    struct result recv = RESULT;
    char *into = take(SIZE), *data = take(SIZE);
    struct mixed m = mixed_pair_in(net, 0);
    size_t written = 0;

    memset(into, 0, SIZE);
    memset(data, 1, SIZE);
    CHECK_OK(stream_recv_async(m.stream, into, size, result_store, &recv, NULL));
    settle(net);
    busy_begin(&busy, net);
    raw_send(m.peer, data, count);
    EVENTUALLY(raw_unacknowledged(m.peer) == 0);
    refuse_waits(EPERM, EVERY_THREAD);
    busy_end(&busy);
    CHECK_STATUS(result_wait(&recv), IOURINGNET_PANIC);
    while (written < size && into[written] == 1)
        written++;
    CHECK_EQ(recv.done.bytes, written);
    net_stop(net);
    raw_close(m.peer);
    free(into);
    free(data);
    return written;
}

TEST(a_large_receive_counts_what_came_before_its_loop_died) {
    /* Less than a socket takes that nobody reads. One receive of the ring takes what has come when the first bytes wake it. A
       loop over epoll receives nothing behind its callback. */
    enum { SENT = 50000 };

    CHECK_BETWEEN(dies_behind_bytes(SIZE, SENT), over_epoll() ? 0 : 1, SENT);
}

TEST(a_small_receive_takes_nothing_where_its_loop_died_before_it_was_whole) {
    CHECK_EQ(dies_behind_bytes(100, 50), 0);
}

/* ---- one loop dies, and the rest of the process goes on ---- */

/* in the thread of a callback alone, so that only its loop dies */
static void refuse_enter_here(void *user) {
    (void)user;
    refuse_waits(EPERM, THIS_THREAD);
}

struct errors {
    atomic_int count, refused;
    iouringnet_net *_Atomic net;
};

static void count_errors(void *user, int32_t level, const char *text) {
    struct errors *errors = user;
    iouringnet_net *net = atomic_load(&errors->net);
    iouringnet_stats stats;

    CHECK(text[0] != 0);
    if (level != IOURINGNET_LOG_ERROR || net == NULL)
        return;
    iouringnet_stats_init(&stats);
    atomic_fetch_add(&errors->count, 1);
    atomic_fetch_add(&errors->refused, net_stats(net, &stats) == IOURINGNET_IN_CALLBACK);
}

static bool is_ring(int fd) {
    char path[64], target[64] = "";

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof target - 1) > 0 && strcmp(target, "anon_inode:[io_uring]") == 0;
}

static iouringnet_net *net_with_logged_errors(struct errors *errors) {
    iouringnet_config config = config_of_mode();

    config.log = count_errors;
    config.log_user = errors;
    atomic_store(&errors->net, net_with(&config));
    return atomic_load(&errors->net);
}

/* gives a connection of the net, which stays open */
static struct pair its_receive_loop_dies(iouringnet_net *net) {
    struct pair p = tcp_pair_in(net, net);
    struct result recv = RESULT;
    char byte;

    CHECK_OK(stream_recv_async(p.b.stream, &byte, 1, result_store, &recv, NULL));
    on_callback_thread(net, refuse_enter_here, NULL);
    CHECK_STATUS(result_wait(&recv), IOURINGNET_PANIC);
    return p;
}

TEST(the_death_of_a_loop_is_logged_as_an_error) {
    struct errors errors = {0, 0, NULL};
    iouringnet_net *net = net_with_logged_errors(&errors);

    its_receive_loop_dies(net);
    CHECK(atomic_load(&errors.count) > 0);
    CHECK_EQ(errors.refused, errors.count); /* such a line cannot call the library either */
    net_stop(net);
}

TEST(a_dead_loop_sleeps_where_it_has_nothing_to_do) {
    struct errors errors = {0, 0, NULL};
    iouringnet_net *net = net_with_logged_errors(&errors);
    struct pair p = its_receive_loop_dies(net);
    pid_t loop = thread_named("iouringnet-recv");

    EVENTUALLY(thread_sleeps(loop));
    stream_close(p.a.stream); /* wakes it */
    sink_close(p.a.sink);
    EVENTUALLY(thread_sleeps(loop));
    net_stop(net);
}

/* The number of the dead loop's ring may be that of a new net's ring: what wakes the dead loop must not go there. */
TEST(a_net_with_a_dead_loop_stops_beside_a_new_net) {
    enum { MOST = 64 };
    struct errors errors = {0, 0, NULL};
    struct pair p, other;
    bool was_ring[MOST];
    iouringnet_net *net;
    int closed = -1, ring = -1;
    char got[4];

    about_io_uring();
    net = net_with_logged_errors(&errors);
    for (int fd = 0; fd < MOST; fd++)
        was_ring[fd] = is_ring(fd);
    p = its_receive_loop_dies(net);
    for (int fd = 0; fd < MOST; fd++)
        if (was_ring[fd] && !is_ring(fd))
            closed = fd;
    CHECK(closed >= 0);
    CHECK_EQ(dup2(STDERR_FILENO, closed), closed); /* nothing else of the new net is to have the number */
    other = tcp_pair();
    for (int fd = 0; fd < MOST; fd++)
        if (!was_ring[fd] && is_ring(fd))
            ring = fd;
    CHECK(ring >= 0);
    CHECK_EQ(dup2(ring, closed), closed);
    stream_close(p.a.stream);
    stream_close(p.b.stream);
    net_stop(net);
    CHECK_OK(sink_send(other.a.sink, "ping", 4, NULL));
    CHECK_OK(stream_recv(other.b.stream, got, 4, NULL));
    pair_close(&other);
    close(closed);
}

/* ---- the watch of a connection ---- */

/* the last call of each callback, in the order in which they came */
struct last_calls {
    iouringnet_status data, room, end;
    char order[8];
    size_t count;
    struct latch told, over;
};

static size_t last_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct last_calls *last = user;

    (void)data;
    CHECK(status != 0 && last->count < 3);
    last->data = status;
    last->order[last->count++] = 'D';
    latch_open(&last->told);
    return size;
}

static void last_room(void *user, iouringnet_status status) {
    struct last_calls *last = user;

    CHECK(status != 0 && last->count < 3);
    last->room = status;
    last->order[last->count++] = 'R';
    latch_open(&last->told);
}

static void last_end(void *user, iouringnet_status status) {
    struct last_calls *last = user;

    CHECK(last->count < 3);
    last->end = status;
    last->order[last->count++] = 'e';
    latch_open(&last->over);
}

TEST(a_watched_connection_learns_that_its_loop_died) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, last_data, last_room, last_end};
    struct last_calls last = {.told = LATCH(2), .over = LATCH(1)};
    iouringnet_net *net = net_of_mode();
    struct mixed m = mixed_pair_in(net, 0);

    CHECK_OK(connection_watch(m.sink, m.stream, &callbacks, &last));
    settle(net);
    on_callback_thread(net, refuse_enter_here, NULL);
    latch_wait(&last.told);
    CHECK_STATUS(last.data, IOURINGNET_PANIC);
    CHECK_STATUS(last.room, IOURINGNET_PANIC);
    CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_PANIC);
    CHECK_STATUS(connection_watch(m.sink, m.stream, &callbacks, &last), IOURINGNET_PANIC);
    connection_close(m.sink, m.stream);
    latch_wait(&last.over);
    CHECK_STATUS(last.end, IOURINGNET_PANIC);
    CHECK_EQ(last.order[2], 'e');
    net_stop(net);
    CHECK_EQ(last.count, 3);
    raw_close(m.peer);
}
