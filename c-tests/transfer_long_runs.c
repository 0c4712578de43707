/* Long runs and large ones: more messages than a counter counts, more connections than a list keeps, and what is left of them.
   Rule: Transfers and arguments. */

#include "inside.h"

/* ---- messages ---- */

enum { PLAYERS = 8, TURNS = 9000 };

struct player {
    iouringnet_sink *sink;
    int next;
    struct latch *over;
};

static size_t plays(void *user, iouringnet_status status, const void *data, size_t size) {
    struct player *player = user;
    unsigned char answer;

    if (status != 0)
        return 0;
    if (size != 1 || *(const unsigned char *)data != (unsigned char)player->next)
        CHECK(!"the next message, and no other");
    answer = (unsigned char)(player->next + 1);
    player->next += 2;
    if (player->next < TURNS)
        CHECK_OK(sink_post(player->sink, &answer, 1));
    else
        latch_open(player->over);
    return size;
}

/* The kernel counts the buffers of a loop's receives in 16 bits. */
TEST(seventy_thousand_messages_go_to_and_fro_on_one_loop) {
    iouringnet_net *net = net_of_mode();
    struct pair pairs[PLAYERS];
    struct player players[PLAYERS][2];
    struct latch over = LATCH(PLAYERS);

    watchdog(120);
    for (int i = 0; i < PLAYERS; i++) {
        pairs[i] = tcp_pair_in(net, net);
        players[i][0] = (struct player){pairs[i].a.sink, 1, &over};
        players[i][1] = (struct player){pairs[i].b.sink, 0, &over};
        CHECK_OK(watch_data(pairs[i].a.stream, plays, &players[i][0]));
        CHECK_OK(watch_data(pairs[i].b.stream, plays, &players[i][1]));
    }
    for (int i = 0; i < PLAYERS; i++)
        CHECK_OK(sink_post(pairs[i].a.sink, "", 1));
    latch_wait(&over);
    CHECK(stats_of(net).recv_completions > 65536);
    for (int i = 0; i < PLAYERS; i++)
        pair_close(&pairs[i]);
    CHECK_OK(net_stop(net));
}

/* ---- connections that wait for their collector ---- */

static void collect_and_close(iouringnet_net *net, iouringnet_listener *listener, const char *address, int count) {
    for (int i = 0; i < count; i++) {
        iouringnet_completion accepted, dialled;
        iouringnet_op *accept, *dial;

        iouringnet_completion_init(&accepted);
        iouringnet_completion_init(&dialled);
        CHECK_OK(listener_accept_async(listener, NULL, NULL, &accept));
        CHECK_OK(net_dial_async(net, address, NULL, NULL, NULL, &dial));
        CHECK_OK(op_finish(accept, &accepted));
        CHECK_OK(op_finish(dial, &dialled));
        connection_abort(dialled.sink, NULL);
        stream_close(dialled.stream);
        connection_abort(accepted.sink, NULL);
        stream_close(accepted.stream);
    }
    EVENTUALLY(stats_of(net).connections == 0);
}

TEST(connections_collected_from_their_ops_leave_nothing) {
    enum { FEW = 200, COUNT = 3000 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    size_t heap, grown;

    collect_and_close(net, listener, address.text, FEW);
    heap = heap_in_use();
    collect_and_close(net, listener, address.text, COUNT);
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    CHECK_BETWEEN(grown, 0, COUNT * 64);
    CHECK_OK(net_stop(net));
}

/* ---- what connections keep ---- */

enum { KEEPERS = 50, FLOOD = 200000, KEPT = 10 };

struct keeper {
    size_t shown; /* at the end of what the last call showed */
    atomic_bool whole;
};

/* all but the last few bytes of the flood */
static size_t keeps_few(void *user, iouringnet_status status, const void *data, size_t size) {
    struct keeper *keeper = user;

    (void)data;
    if (status != 0)
        return 0;
    keeper->shown += size;
    if (keeper->shown < FLOOD)
        return size;
    CHECK(size >= KEPT);
    atomic_store(&keeper->whole, true);
    return size - KEPT;
}

TEST(a_few_bytes_that_watches_keep_hold_little_memory) {
    iouringnet_net *net = net_of_mode();
    struct keeper keepers[KEEPERS];
    struct pair pairs[KEEPERS];
    char *data = take(FLOOD), kept[KEPT];
    size_t before = 0, each;

    memset(data, 7, FLOOD);
    for (int i = 0; i < KEEPERS; i++) {
        keepers[i].shown = 0;
        atomic_init(&keepers[i].whole, false);
        pairs[i] = tcp_pair_in(net, net);
        CHECK_OK(watch_data(pairs[i].b.stream, keeps_few, &keepers[i]));
        CHECK_OK(sink_send(pairs[i].a.sink, data, FLOOD, NULL));
        EVENTUALLY(atomic_load(&keepers[i].whole));
        if (i == 0) {
            settle(net);
            before = heap_in_use();
        }
    }
    settle(net);
    each = heap_in_use() > before ? (heap_in_use() - before) / (KEEPERS - 1) : 0;
    CHECK_BETWEEN(each, 0, 16384);
    for (int i = 0; i < KEEPERS; i++) {
        CHECK_OK(stream_unwatch(pairs[i].b.stream));
        EVENTUALLY(stream_recv(pairs[i].b.stream, kept, KEPT, NULL) == 0);
        CHECK_MEM(kept, data, KEPT);
        pair_close(&pairs[i]);
    }
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(a_large_fill_that_was_consumed_leaves_no_memory) {
    enum { LARGE = 32 << 20 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct sender sender = {.size = LARGE};
    char *data = take(LARGE);
    const void *shown;
    size_t heap, grown, size;
    pthread_t sends;

    config.buffer_max = LARGE;
    p = tcp_pair_with(&config);
    pattern_fill(data, LARGE, 0, 6);
    sender.sink = p.a.sink;
    sender.data = data;
    heap = heap_in_use();
    sends = spawn(sender_run, &sender);
    CHECK_OK(stream_fill(p.b.stream, LARGE));
    join(sends);
    CHECK_OK(sender.status);
    CHECK_OK(stream_peek(p.b.stream, LARGE, &shown, &size));
    CHECK_EQ(size, LARGE);
    pattern_check(shown, LARGE, 0, 6);
    CHECK_OK(stream_consume(p.b.stream, LARGE - 10));
    CHECK_OK(stream_consume(p.b.stream, 10));
    grown = heap_in_use() > heap ? heap_in_use() - heap : 0;
    CHECK_BETWEEN(grown, 0, 2 << 20);
    pair_close(&p);
    free(data);
}
