/* A peer that resets: in the middle of a send, of a receive, of a watch, before and after. The status is
   ECONNRESET, the count is right, what had arrived is not lost, and a reset never looks like an end.
   Rule: Transfers and arguments. */

#include "support.h"

#include <netinet/in.h>

/* bytes that the library has sent and its peer has not taken */
static void wait_until_some_went(iouringnet_sink *sink, size_t size) {
    EVENTUALLY(unsent_of(sink) > 0 && unsent_of(sink) < size);
}

TEST(a_reset_in_the_middle_of_an_async_send) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    struct result send = RESULT, behind = RESULT;
    char *data = take(SIZE), byte;

    memset(data, 1, SIZE);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    CHECK_OK(sink_send_async(m.sink, "behind", 6, result_store, &behind, NULL));
    wait_until_some_went(m.sink, SIZE + 6);
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&send), -ECONNRESET);
    CHECK(send.done.bytes > 0 && send.done.bytes < SIZE);
    CHECK_STATUS(result_wait(&behind), -ECONNRESET);
    CHECK_EQ(behind.done.bytes, 0);
    CHECK_STATUS(sink_post(m.sink, "x", 1), -ECONNRESET);
    /* the sending half met it first; the other is told the same, and no end of stream */
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), -ECONNRESET);
    mixed_stop(&m);
    free(data);
}

TEST(a_reset_in_the_middle_of_a_blocking_send) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    char *data = take(SIZE), waste[4096];
    struct sender sender = {m.sink, data, SIZE, 0, 0};
    pthread_t thread;

    memset(data, 1, SIZE);
    thread = spawn(sender_run, &sender);
    raw_recv(m.peer, waste, sizeof waste);
    raw_reset(m.peer);
    join(thread);
    CHECK_STATUS(sender.status, -ECONNRESET);
    CHECK(sender.sent > 0 && sender.sent < SIZE);
    mixed_stop(&m);
    free(data);
}

TEST(a_reset_in_the_middle_of_a_small_receive) {
    struct mixed m = mixed_pair();
    struct result recv = RESULT;
    char into[100];
    size_t got = 99;

    CHECK_OK(stream_recv_async(m.stream, into, sizeof into, result_store, &recv, NULL));
    raw_send(m.peer, "five!", 5);
    settle(m.net);
    CHECK_EQ(recv.calls, 0);
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&recv), -ECONNRESET);
    /* smaller than the read buffer: all or nothing, and what had been taken is still there */
    CHECK_EQ(recv.done.bytes, 0);
    CHECK_OK(stream_recv(m.stream, into, 5, NULL));
    CHECK_MEM(into, "five!", 5);
    CHECK_STATUS(stream_recv(m.stream, into, 1, &got), -ECONNRESET);
    CHECK_EQ(got, 0);
    CHECK_STATUS(stream_recv_some(m.stream, into, 1, NULL), -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "x", 1, NULL), -ECONNRESET);
    mixed_stop(&m);
}

TEST(a_reset_in_the_middle_of_a_large_receive) {
    enum { SIZE = 8 << 20, PART = 100000 };
    struct mixed m = mixed_pair();
    struct result recv = RESULT;
    char *into = take(SIZE), *data = take(PART);
    size_t taken;

    pattern_fill(data, PART, 0, 1);
    CHECK_OK(stream_recv_async(m.stream, into, SIZE, result_store, &recv, NULL));
    raw_send(m.peer, data, PART);
    settle(m.net);
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&recv), -ECONNRESET);
    /* larger than the read buffer: it counts what it took */
    taken = recv.done.bytes;
    CHECK_BETWEEN(taken, 1, PART);
    pattern_check(into, taken, 0, 1);
    CHECK_STATUS(stream_recv(m.stream, into, 1, NULL), -ECONNRESET);
    mixed_stop(&m);
    free(into);
    free(data);
}

struct collected {
    struct ending ending;
    size_t bytes;
};

static size_t collect(void *user, iouringnet_status status, const void *data, size_t size) {
    struct collected *collected = user;

    (void)data;
    collected->bytes += size;
    ending_note(&collected->ending, status);
    return size;
}

TEST(a_reset_ends_a_watch) {
    struct mixed m = mixed_pair();
    struct collected collected = {ENDING, 0};
    struct ending watch = ENDING;

    CHECK_OK(watch_data(m.stream, collect, &collected));
    CHECK_OK(ending_watch(m.sink, &watch));
    raw_send(m.peer, "data", 4);
    EVENTUALLY(atomic_load(&collected.ending.events) > 0);
    raw_reset(m.peer);
    CHECK_STATUS(ending_wait(&collected.ending), -ECONNRESET);
    CHECK_EQ(collected.bytes, 4);
    sink_close(m.sink);
    /* the sink's last call tells its end: nothing was left unsent, or the reset was met first */
    ending_wait(&watch);
    CHECK(watch.status == IOURINGNET_CLOSED || watch.status == -ECONNRESET);
    mixed_stop(&m);
    CHECK_EQ(collected.ending.ends, 1);
    CHECK_EQ(watch.ends, 1);
}

TEST(a_reset_after_data_and_fin_is_no_clean_end_for_the_sink) {
    enum { SIZE = 64 << 20 };
    struct mixed m = mixed_pair();
    struct result send = RESULT;
    char *data = take(SIZE), got[4];

    memset(data, 1, SIZE);
    raw_send(m.peer, "last", 4);
    raw_half_close(m.peer);
    CHECK_OK(stream_recv(m.stream, got, 4, NULL));
    CHECK_STATUS(stream_recv(m.stream, got, 1, NULL), IOURINGNET_EOF);
    CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &send, NULL));
    wait_until_some_went(m.sink, SIZE);
    /* closing with unread input resets */
    raw_close(m.peer);
    CHECK_STATUS(result_wait(&send), -ECONNRESET);
    CHECK(send.done.bytes < SIZE);
    mixed_stop(&m);
    free(data);
}

TEST(a_reset_while_a_dial_is_being_answered) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    int listener = raw_listen(&address);

    /* accepted and reset at once, over and over: a dial succeeds or says ECONNRESET, and nothing is lost */
    for (int i = 0; i < 100; i++) {
        struct result dial = RESULT;
        char byte;

        CHECK_OK(net_dial_async(net, address.text, NULL, result_store, &dial, NULL));
        raw_reset(raw_accept(listener));
        if (result_wait(&dial) == 0) {
            CHECK_STATUS(stream_recv(dial.done.stream, &byte, 1, NULL), -ECONNRESET);
            sink_close(dial.done.sink);
            stream_close(dial.done.stream);
        } else {
            CHECK_STATUS(dial.done.status, -ECONNRESET);
        }
    }
    EVENTUALLY(stats_of(net).connections == 0);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

static void count_and_close(void *user, const iouringnet_completion *done) {
    if (done->status == 0) {
        sink_close(done->sink);
        stream_close(done->stream);
        atomic_fetch_add((atomic_int *)user, 1);
    }
}

TEST(connections_reset_in_the_backlog_do_not_end_a_watch) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    atomic_int accepted = 0;
    int before;

    /* reset while nobody accepts yet */
    for (int i = 0; i < 50; i++)
        raw_reset(raw_dial(address.text));
    CHECK_OK(listener_watch(listener, count_and_close, &accepted));
    EVENTUALLY((uint64_t)accepted + stats_of(net).accept_errors >= 50);
    before = accepted;
    for (int i = 0; i < 50; i++) {
        int client = raw_dial(address.text);

        raw_expect_eof(client);
        raw_close(client);
    }
    EVENTUALLY(accepted == before + 50);
    listener_close(listener);
    CHECK_OK(net_stop(net));
}
