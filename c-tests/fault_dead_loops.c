/* A loop that dies fails what is pending, and counts what the kernel has moved for it by then.
   Promise 11. */

#include "support.h"

#include <sys/ioctl.h>

enum { SIZE = 200000 };

/* holds the callback thread until it is told to go on */
struct held {
    struct latch begun, go;
};

static void hold(void *user, const iouringnet_completion *done)
{
    struct held *held = user;

    (void)done;
    latch_open(&held->begun);
    latch_wait(&held->go);
}

static int unacknowledged(int fd)
{
    int bytes = -1;

    CHECK_EQ(ioctl(fd, TIOCOUTQ, &bytes), 0);
    return bytes;
}

/* without spins, after which completions are taken, and where completions come while the loop does other things */
static iouringnet_net *net_that_is_told_early(void)
{
    iouringnet_config config;

    CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", "defer_taskrun,coop_taskrun", 1), 0);
    config_of_mode(&config);
    config.spin_us = IOURINGNET_NO_SPIN;
    return net_with(&config);
}

/* The peer sends `count` bytes while the loop that receives them runs a callback, behind which it dies. */
static size_t dies_behind_bytes(size_t size, size_t count)
{
    iouringnet_net *net = net_that_is_told_early();
    struct held held = {LATCH(1), LATCH(1)};
    struct result recv = RESULT;
    char *into = take(SIZE), *data = take(SIZE);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer = raw_peer(net, &sink, &stream);
    size_t written = 0;

    memset(into, 0, SIZE);
    memset(data, 1, SIZE);
    CHECK_OK(stream_recv_async(stream, into, size, result_store, &recv, NULL));
    settle(net);
    CHECK_OK(net_call(net, 0, hold, &held, NULL));
    latch_wait(&held.begun);
    raw_send(peer, data, count);
    EVENTUALLY(unacknowledged(peer) == 0);
    if (!refuse_enter())
        SKIP("no seccomp filter can be installed here");
    latch_open(&held.go);
    CHECK_STATUS(result_wait(&recv), IOURINGNET_PANIC);
    while (written < size && into[written] == 1)
        written++;
    CHECK_EQ(recv.done.bytes, written);
    net_stop(net);
    raw_close(peer);
    free(into);
    free(data);
    return written;
}

TEST(a_large_receive_counts_what_came_before_its_loop_died)
{
    /* one receive of the kernel takes what has come when the first bytes wake it */
    CHECK_BETWEEN(dies_behind_bytes(SIZE, SIZE / 2), 1, SIZE / 2);
}

TEST(a_small_receive_takes_nothing_where_its_loop_died_before_it_was_whole)
{
    CHECK_EQ(dies_behind_bytes(100, 50), 0);
}
