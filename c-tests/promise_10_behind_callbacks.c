/* A stop while the callback thread is busy. */

#include "support.h"

enum { SENDS = 4 };

struct busy {
    struct latch running, go;
};

static void holds(void *user, const iouringnet_completion *done)
{
    struct busy *busy = user;

    CHECK_OK(done->status);
    latch_open(&busy->running);
    latch_wait(&busy->go);
}

static void *stops(void *user)
{
    CHECK_OK(net_stop(user));
    return NULL;
}

/* Everything that the net has open ends without the callback thread: its peer has ended its side. Only callbacks are
   left when the stop asks that thread to end. */
TEST(a_stop_behind_a_long_callback_loses_no_other)
{
    struct mixed m = mixed_pair();
    struct busy busy = {LATCH(1), LATCH(1)};
    struct latch never_opens = LATCH(1);
    struct result sent[SENDS];
    pthread_t stopper;
    char got[SENDS], byte;

    raw_half_close(m.peer);
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), IOURINGNET_EOF);
    CHECK_OK(net_call(m.net, 0, holds, &busy, NULL));
    latch_wait(&busy.running);
    for (int i = 0; i < SENDS; i++) {
        result_init(&sent[i]);
        CHECK_OK(sink_send_async(m.sink, "x", 1, result_store, &sent[i], NULL));
    }
    raw_recv(m.peer, got, SENDS);
    stopper = spawn(stops, m.net);
    raw_expect_eof(m.peer);
    CHECK(!latch_wait_ms(&never_opens, 100)); /* in which the stop gets as far as it can */
    latch_open(&busy.go);
    join(stopper);
    for (int i = 0; i < SENDS; i++) {
        CHECK_EQ(sent[i].calls, 1);
        CHECK_OK(sent[i].done.status);
    }
    raw_close(m.peer);
}

/* The shutdown timeout passes while the callback thread is busy: the stream, whose receive that thread has to end, is
   closed when there is no time left to linger for a peer that keeps its side open. */
TEST(a_stop_behind_a_long_callback_keeps_its_time)
{
    iouringnet_config config;
    struct busy busy = {LATCH(1), LATCH(1)};
    struct latch never_opens = LATCH(1);
    struct result received = RESULT;
    struct mixed m;
    pthread_t stopper;
    int64_t began;
    char byte;

    config_of_mode(&config);
    config.shutdown_timeout_ms = 200;
    config.linger_ms = WAIT_MS;
    m = mixed_pair_with(&config, 0);
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
    CHECK_OK(net_call(m.net, 0, holds, &busy, NULL));
    latch_wait(&busy.running);
    stopper = spawn(stops, m.net);
    raw_expect_eof(m.peer);
    CHECK(!latch_wait_ms(&never_opens, 500)); /* in which the timeout passes */
    began = now_ms();
    latch_open(&busy.go);
    join(stopper);
    CHECK_BETWEEN(now_ms() - began, 0, WAIT_MS / 3);
    CHECK_STATUS(received.done.status, IOURINGNET_STOPPED);
    raw_close(m.peer);
}
