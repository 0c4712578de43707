/* The paths of older kernels: IOURINGNET_FEATURES_OFF switches off what they do not have, one feature at a
   time and all together, and everything goes on as before.
   Rule: Transfers and arguments. */

#include "support.h"

static const char all[] = "buffer_ring,defer_taskrun,coop_taskrun,no_iowait,multishot,send_msg_ring,silent_sends";

/* exact receives, in pieces that do not match the sends, from a server made of watches */
static void blocking_echo(iouringnet_net *net, iouringnet_listener *listener, const char *address, uint32_t seed) {
    enum { SIZE = 300000 };
    iouringnet_sink *sink, *server_sink;
    iouringnet_stream *stream, *server_stream;
    struct result accept = RESULT, send = RESULT;
    char *data = take(SIZE), *got = take(SIZE), byte;
    size_t at = 0;

    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    CHECK_OK(net_dial(net, address, NULL, &sink, &stream));
    CHECK_OK(result_wait(&accept));
    server_sink = accept.done.sink;
    server_stream = accept.done.stream;
    CHECK_OK(watch_data(server_stream, echo_data, server_sink));
    pattern_fill(data, SIZE, 0, seed);
    CHECK_OK(sink_send_async(sink, data, SIZE, result_store, &send, NULL));
    for (size_t piece = 1; at < SIZE; piece = piece * 3 + 1) {
        size_t size = piece < SIZE - at ? piece : SIZE - at;

        CHECK_OK(stream_recv(stream, got + at, size, NULL));
        at += size;
    }
    pattern_check(got, SIZE, 0, seed);
    CHECK_OK(result_wait(&send));
    for (int i = 0; i < 200; i++) {
        char word[16];

        memset(word, i, sizeof word);
        CHECK_OK(sink_send(sink, word, sizeof word, NULL));
        CHECK_OK(stream_recv(stream, got, sizeof word, NULL));
        CHECK_MEM(got, word, sizeof word);
    }
    sink_close(sink);
    EVENTUALLY(stream_recv(server_stream, &byte, 1, NULL) != IOURINGNET_BUSY);
    CHECK_STATUS(stream_recv(server_stream, &byte, 1, NULL), IOURINGNET_EOF);
    sink_close(server_sink);
    stream_close(server_stream);
    CHECK_STATUS(stream_recv(stream, &byte, 1, NULL), IOURINGNET_EOF);
    stream_close(stream);
    free(data);
    free(got);
}

/* a watch that leaves half, pauses and resumes */
struct halves {
    iouringnet_stream *stream;
    struct ending ending;
    char *got;
    size_t taken;
};

static size_t take_half(void *user, iouringnet_status status, const void *data, size_t size) {
    struct halves *halves = user;
    size_t half = (size + 1) / 2;

    if (status == 0) {
        memcpy(halves->got + halves->taken, data, half);
        halves->taken += half;
        if (halves->taken % 7 == 0) {
            CHECK_OK(stream_pause(halves->stream));
            CHECK_OK(stream_resume(halves->stream));
        }
    }
    ending_note(&halves->ending, status);
    return half;
}

static void watched_halves(iouringnet_net *net, uint32_t seed) {
    enum { SIZE = 500000 };
    struct mixed m = mixed_pair_in(net, 0);
    struct halves halves = {m.stream, ENDING, take(SIZE + 1), 0};
    char *data = take(SIZE);
    size_t rest = 0;

    pattern_fill(data, SIZE, 0, seed);
    CHECK_OK(watch_data(m.stream, take_half, &halves));
    raw_send(m.peer, data, SIZE);
    raw_half_close(m.peer);
    CHECK_STATUS(ending_wait(&halves.ending), IOURINGNET_EOF);
    /* what the watch left is still receivable */
    while (stream_recv_some(m.stream, halves.got + halves.taken, SIZE + 1 - halves.taken, &rest) == 0)
        halves.taken += rest;
    CHECK_EQ(halves.taken, SIZE);
    pattern_check(halves.got, SIZE, 0, seed);
    mixed_close(&m);
    free(halves.got);
    free(data);
}

static void endings(iouringnet_net *net) {
    struct pair p = tcp_pair_in(net, net);
    struct result recv = RESULT;
    iouringnet_op *op;
    char into[8];
    size_t got = 99;

    CHECK_OK(stream_set_timeout(p.a.stream, 20));
    CHECK_OK(sink_send(p.b.sink, "five!", 5, NULL));
    CHECK_STATUS(stream_recv(p.a.stream, into, 8, &got), IOURINGNET_TIMEOUT);
    CHECK_EQ(got, 0);
    CHECK_OK(stream_set_timeout(p.a.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_recv(p.a.stream, into, 5, NULL));
    CHECK_MEM(into, "five!", 5);
    CHECK_OK(stream_recv_async(p.b.stream, into, 8, result_store, &recv, &op));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&recv), IOURINGNET_CANCELLED);
    CHECK_OK(op_release(op));
    jam(&p.a);
    connection_abort(p.a.sink, NULL);
    CHECK_STATUS(stream_recv(p.a.stream, into, 1, NULL), IOURINGNET_CLOSED);
    pair_close(&p);
}

/* `bits`: of what the list names. */
static void works_without(const char *features, uint32_t bits) {
    iouringnet_probe_result probe;
    iouringnet_net *net;
    iouringnet_address address;
    iouringnet_listener *listener;

    need_engine();
    CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", features, 1), 0);
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(probe.status);
    CHECK_EQ(probe.features & bits, 0);
    CHECK(probe.text[strlen(probe.text) - 1] != ' ');
    net = net_of_mode();
    listener = bind_loopback(net, &address);
    for (uint32_t i = 0; i < 3; i++) {
        blocking_echo(net, listener, address.text, i);
        watched_halves(net, i);
    }
    endings(net);
    listener_close(listener);
    CHECK_OK(net_stop(net));
}

TEST(everything_works_without_all_of_them) {
    works_without(all, ~0u);
}

TEST(everything_works_without_defer_taskrun) {
    works_without("defer_taskrun", IOURINGNET_FEATURE_DEFER_TASKRUN);
}

TEST(everything_works_without_defer_and_coop_taskrun) {
    works_without("defer_taskrun,coop_taskrun", IOURINGNET_FEATURE_DEFER_TASKRUN | IOURINGNET_FEATURE_COOP_TASKRUN);
}

TEST(everything_works_without_buffer_rings) {
    works_without("buffer_ring", IOURINGNET_FEATURE_BUFFER_RING);
}

TEST(everything_works_without_no_iowait) {
    works_without("no_iowait", IOURINGNET_FEATURE_NO_IOWAIT);
}

TEST(everything_works_without_multishot) {
    works_without("multishot", IOURINGNET_FEATURE_MULTISHOT);
}

TEST(everything_works_without_send_msg_ring) {
    works_without("send_msg_ring", IOURINGNET_FEATURE_SEND_MSG_RING);
}

TEST(everything_works_without_silent_sends) {
    works_without("silent_sends", IOURINGNET_FEATURE_SILENT_SENDS);
}

TEST(words_that_name_no_feature_switch_nothing_off) {
    works_without("no_such_feature,,buffer_ring_or_so", 0);
}

TEST(a_flood_delays_no_echo_without_buffer_rings) {
    static const char waste[65536];
    iouringnet_net *net;
    struct mixed m, client;
    struct ending flood = ENDING;
    char got[64], word[64];

    CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", "buffer_ring", 1), 0);
    net = net_of_mode();
    m = mixed_pair_in(net, 0);
    client = mixed_pair_in(net, 0);
    CHECK_OK(watch_data(m.stream, ending_store_data, &flood));
    CHECK_OK(watch_data(client.stream, echo_data, client.sink));
    for (int i = 0; i < 200; i++) {
        raw_send(m.peer, waste, sizeof waste);
        memset(word, i, sizeof word);
        raw_send(client.peer, word, sizeof word);
        raw_recv(client.peer, got, sizeof got);
        CHECK_MEM(got, word, sizeof word);
    }
    mixed_close(&m);
    mixed_close(&client);
    CHECK_OK(net_stop(net));
}
