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
    iouringnet_net *net = net_of_mode();
    struct busy busy = {LATCH(1), LATCH(1)};
    struct latch never_opens = LATCH(1);
    struct result sent[SENDS];
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer = raw_peer(net, &sink, &stream);
    pthread_t stopper;
    char got[SENDS], byte;

    raw_half_close(peer);
    CHECK_STATUS(stream_recv(stream, &byte, 1, NULL), IOURINGNET_EOF);
    CHECK_OK(net_call(net, 0, holds, &busy, NULL));
    latch_wait(&busy.running);
    for (int i = 0; i < SENDS; i++) {
        result_init(&sent[i]);
        CHECK_OK(sink_send_async(sink, "x", 1, result_store, &sent[i], NULL));
    }
    raw_recv(peer, got, SENDS);
    stopper = spawn(stops, net);
    raw_expect_eof(peer);
    CHECK(!latch_wait_ms(&never_opens, 100)); /* in which the stop gets as far as it can */
    latch_open(&busy.go);
    join(stopper);
    for (int i = 0; i < SENDS; i++) {
        CHECK_EQ(sent[i].calls, 1);
        CHECK_OK(sent[i].done.status);
    }
    raw_close(peer);
}
