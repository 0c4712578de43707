/* A stop while the callback thread is busy. */

#include "support.h"

enum { SENDS = 4 };

static void *stops(void *user) {
    CHECK_OK(net_stop(user));
    return NULL;
}

/* Everything that the net has open ends without the callback thread: its peer has ended its side. Only callbacks are
   left when the stop asks that thread to end. */
TEST(a_stop_behind_a_long_callback_loses_no_other) {
    struct mixed m = mixed_pair();
    struct busy busy = BUSY;
    struct result sent[SENDS];
    pthread_t stopper;
    char got[SENDS];

    mixed_peer_ends(&m);
    busy_begin(&busy, m.net);
    for (int i = 0; i < SENDS; i++) {
        result_init(&sent[i]);
        CHECK_OK(sink_send_async(m.sink, "x", 1, result_store, &sent[i], NULL));
    }
    raw_recv(m.peer, got, SENDS);
    stopper = spawn(stops, m.net);
    raw_expect_eof(m.peer);
    pass(100); /* in which the stop gets as far as it can */
    busy_end(&busy);
    join(stopper);
    for (int i = 0; i < SENDS; i++) {
        CHECK_EQ(sent[i].calls, 1);
        CHECK_OK(sent[i].done.status);
    }
    raw_close(m.peer);
}

/* The shutdown timeout passes while the callback thread is busy: the stream, whose receive that thread has to end, is
   closed when there is no time left to linger for a peer that keeps its side open. */
TEST(a_stop_behind_a_long_callback_keeps_its_time) {
    iouringnet_config config = config_of_mode();
    struct busy busy = BUSY;
    struct result received = RESULT;
    struct mixed m;
    pthread_t stopper;
    int64_t began;
    char byte;

    config.shutdown_timeout_ms = 200;
    config.linger_ms = WAIT_MS;
    m = mixed_pair_with(&config, 0);
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
    busy_begin(&busy, m.net);
    stopper = spawn(stops, m.net);
    raw_expect_eof(m.peer);
    pass(500); /* in which the timeout passes */
    began = now_ms();
    busy_end(&busy);
    join(stopper);
    CHECK_BETWEEN(now_ms() - began, 0, WAIT_MS / 3);
    CHECK_STATUS(received.done.status, IOURINGNET_STOPPED);
    raw_close(m.peer);
}
