/* Promise 2. Every function may be called from any thread, but not from a signal handler. Sends on one
   sink go out whole and in the order of the calls, never interleaved; receives on one stream complete
   in order. */

#include "harness.h"

/* a message of the tests with many senders: who, which one, how long, then a pattern made of both */
struct head {
    uint32_t sender;
    uint32_t number;
    uint32_t size;
};
enum { SENDERS = 8, LARGEST = 60000 };

enum how { BY_SEND, BY_SENDV, BY_POST, BY_ASYNC };

struct sender {
    iouringnet_sink *sink;
    uint32_t id;
    uint32_t messages;
    uint32_t largest;
    int how; /* -1: each way in turn */
};

static uint32_t size_of(uint32_t sender, uint32_t number, uint32_t largest) {
    return (sender * 7919u + number * 104729u) % largest + 1;
}

static void *sends_messages(void *user) {
    const struct sender *self = user;
    char *message = take(sizeof(struct head) + self->largest);

    for (uint32_t i = 0; i < self->messages; i++) {
        struct head head = {self->id, i, size_of(self->id, i, self->largest)};
        size_t size = sizeof head + head.size, sent = 0;
        int how = self->how >= 0 ? self->how : (int)(i % 4);

        memcpy(message, &head, sizeof head);
        pattern_fill(message + sizeof head, head.size, 0, head.sender * 1000 + head.number);
        if (how == BY_SEND) {
            CHECK_OK(sink_send(self->sink, message, size, &sent));
            CHECK_EQ(sent, size);
        } else if (how == BY_SENDV) {
            struct iovec parts[3] = {{message, sizeof head},
                                     {message + sizeof head, head.size / 2},
                                     {message + sizeof head + head.size / 2, head.size - head.size / 2}};
            CHECK_OK(sink_sendv(self->sink, parts, 3, &sent));
            CHECK_EQ(sent, size);
        } else if (how == BY_POST) {
            iouringnet_status status;
            while ((status = sink_post(self->sink, message, size)) == IOURINGNET_FULL)
                CHECK_OK(sink_flush(self->sink));
            CHECK_OK(status);
        } else {
            iouringnet_completion done;
            iouringnet_op *op;
            CHECK_OK(sink_send_async(self->sink, message, size, NULL, NULL, &op));
            CHECK_OK(op_finish(op, &done));
            CHECK_EQ(done.bytes, size);
        }
    }
    free(message);
    return NULL;
}

/* reads what all senders send: each message whole, and each sender's messages in the order it sent them */
static void receive_from_senders(iouringnet_stream *stream, uint32_t messages, uint32_t largest) {
    uint32_t next[SENDERS] = {0};
    char *body = take(largest);

    for (uint32_t i = 0; i < SENDERS * messages; i++) {
        struct head head;
        CHECK_OK(stream_recv(stream, &head, sizeof head, NULL));
        CHECK(head.sender < SENDERS);
        CHECK_EQ(head.number, next[head.sender]);
        CHECK_EQ(head.size, size_of(head.sender, head.number, largest));
        next[head.sender]++;
        CHECK_OK(stream_recv(stream, body, head.size, NULL));
        pattern_check(body, head.size, 0, head.sender * 1000 + head.number);
    }
    free(body);
}

static void many_senders(struct pair p, int how, uint32_t messages, uint32_t largest) {
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];

    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){p.a.sink, i, messages, largest, how};
        threads[i] = spawn(sends_messages, &senders[i]);
    }
    receive_from_senders(p.b.stream, messages, largest);
    for (int i = 0; i < SENDERS; i++)
        join(threads[i]);
    pair_close(&p);
}

TEST(eight_threads_send_on_one_sink) {
    many_senders(tcp_pair_apart(), BY_SEND, 100, LARGEST);
}

TEST(eight_threads_post_small_messages) {
    many_senders(tcp_pair(), BY_POST, 2000, 64);
}

TEST(eight_threads_every_way_of_sending) {
    many_senders(tcp_pair(), -1, 200, LARGEST);
}

/* a small send buffer: nearly every send is cut by the socket and must not let another one in between */
TEST(sends_through_a_narrow_socket_stay_whole) {
    iouringnet_config config = config_of_mode();

    config.send_buffer = 4096;
    config.recv_buffer = 4096;
    many_senders(tcp_pair_with(&config), -1, 24, LARGEST);
}

struct order {
    int next; /* written on the callback thread alone */
    struct latch latch;
};
struct numbered {
    struct order *order;
    int number;
};

static void in_turn(void *user, const iouringnet_completion *done) {
    struct numbered *self = user;
    CHECK_OK(done->status);
    CHECK_EQ(self->number, self->order->next);
    self->order->next++;
    latch_open(&self->order->latch);
}

TEST(async_sends_go_out_and_complete_in_order) {
    enum { COUNT = 300, SIZE = 5000 };
    static struct numbered each[COUNT];
    struct pair p = tcp_pair();
    struct order order = {0, LATCH(COUNT)};
    char *sent = take((size_t)COUNT * SIZE), *got = take((size_t)COUNT * SIZE);

    pattern_fill(sent, (size_t)COUNT * SIZE, 0, 1);
    for (int i = 0; i < COUNT; i++) {
        each[i] = (struct numbered){&order, i};
        CHECK_OK(sink_send_async(p.a.sink, sent + (size_t)i * SIZE, SIZE, in_turn, &each[i], NULL));
    }
    CHECK_OK(stream_recv(p.b.stream, got, (size_t)COUNT * SIZE, NULL));
    CHECK_MEM(got, sent, (size_t)COUNT * SIZE);
    latch_wait(&order.latch);
    pair_close(&p);
    free(sent);
    free(got);
}

TEST(async_receives_complete_in_order) {
    enum { COUNT = 300 };
    static struct numbered each[COUNT];
    static char into[COUNT][700];
    struct pair p = tcp_pair();
    struct order order = {0, LATCH(COUNT)};
    size_t total = 0, at = 0;
    char *sent;

    for (int i = 0; i < COUNT; i++) {
        size_t size = (size_t)(i * 37 % 699 + 1);
        each[i] = (struct numbered){&order, i};
        CHECK_OK(stream_recv_async(p.b.stream, into[i], size, in_turn, &each[i], NULL));
        total += size;
    }
    sent = take(total);
    pattern_fill(sent, total, 0, 2);
    CHECK_OK(sink_send(p.a.sink, sent, total, NULL));
    latch_wait(&order.latch);
    for (int i = 0; i < COUNT; i++) {
        size_t size = (size_t)(i * 37 % 699 + 1);
        CHECK_MEM(into[i], sent + at, size);
        at += size;
    }
    pair_close(&p);
    free(sent);
}

/* blocking, asynchronous and posted bytes of one thread keep the order of its calls */
TEST(kinds_of_sends_keep_their_order) {
    enum { ROUNDS = 300, PIECE = 3000 };
    struct pair p = tcp_pair();
    struct order order = {0, LATCH(ROUNDS)};
    static struct numbered each[ROUNDS];
    size_t size = (size_t)ROUNDS * PIECE * 3;
    char *all = take(size), *got = take(size);
    iouringnet_op *received;

    pattern_fill(all, size, 0, 3);
    CHECK_OK(stream_recv_async(p.b.stream, got, size, NULL, NULL, &received));
    for (int i = 0; i < ROUNDS; i++) {
        char *at = all + (size_t)i * PIECE * 3;
        iouringnet_status status;
        each[i] = (struct numbered){&order, i};
        CHECK_OK(sink_send_async(p.a.sink, at, PIECE, in_turn, &each[i], NULL));
        while ((status = sink_post(p.a.sink, at + PIECE, PIECE)) == IOURINGNET_FULL)
            CHECK_OK(sink_flush(p.a.sink));
        CHECK_OK(status);
        CHECK_OK(sink_send(p.a.sink, at + 2 * PIECE, PIECE, NULL));
    }
    CHECK_OK(op_finish(received, NULL));
    CHECK_MEM(got, all, size);
    latch_wait(&order.latch);
    pair_close(&p);
    free(all);
    free(got);
}

/* sends from the callback thread and from another one on the same sink: each thread's own order holds */
struct both {
    struct pair *pair;
    struct latch done;
    uint32_t next;
};

static void sends_from_callback(void *user, const iouringnet_completion *done) {
    struct both *both = user;
    uint32_t message[2] = {1, both->next};

    CHECK_OK(done->status);
    for (int i = 0; i < 4 && both->next < 2000; i++) {
        iouringnet_status status = sink_post(both->pair->a.sink, message, sizeof message);
        if (status == IOURINGNET_FULL)
            break;
        CHECK_OK(status);
        message[1] = ++both->next;
    }
    if (both->next < 2000)
        CHECK_OK(net_call(both->pair->a.net, 0, sends_from_callback, both, NULL));
    else
        latch_open(&both->done);
}

static void *sends_from_thread(void *user) {
    struct both *both = user;
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t message[2] = {0, i};
        CHECK_OK(sink_send(both->pair->a.sink, message, sizeof message, NULL));
    }
    return NULL;
}

TEST(a_thread_and_the_callbacks_share_a_sink) {
    struct pair p = tcp_pair_apart();
    struct both both = {&p, LATCH(1), 0};
    uint32_t next[2] = {0, 0};
    pthread_t thread;

    CHECK_OK(net_call(p.a.net, 0, sends_from_callback, &both, NULL));
    thread = spawn(sends_from_thread, &both);
    for (int i = 0; i < 4000; i++) {
        uint32_t message[2];
        CHECK_OK(stream_recv(p.b.stream, message, sizeof message, NULL));
        CHECK(message[0] < 2);
        CHECK_EQ(message[1], next[message[0]]);
        next[message[0]]++;
    }
    latch_wait(&both.done);
    join(thread);
    pair_close(&p);
}

/* a chain of large sends, two at a time: those of one round leave together, in their order, and so do their ends */
enum { CHAIN_PIECE = 64 << 10, CHAIN = 64 * CHAIN_PIECE };
struct chain {
    iouringnet_sink *sink;
    char *data;
    size_t begun, ended;
    struct latch done;
};
struct link {
    struct chain *chain;
    size_t at;
};

static void begin_link(struct chain *chain);

static void link_ends(void *user, const iouringnet_completion *done) {
    struct link *link = user;
    struct chain *chain = link->chain;

    CHECK_OK(done->status);
    CHECK_EQ(done->bytes, CHAIN_PIECE);
    CHECK_EQ(link->at, chain->ended);
    chain->ended += CHAIN_PIECE;
    free(link);
    if (chain->begun < CHAIN)
        begin_link(chain);
    if (chain->ended == CHAIN)
        latch_open(&chain->done);
}

static void begin_link(struct chain *chain) {
    struct link *link = take(sizeof *link);

    *link = (struct link){chain, chain->begun};
    chain->begun += CHAIN_PIECE;
    CHECK_OK(sink_send_async(chain->sink, chain->data + link->at, CHAIN_PIECE, link_ends, link, NULL));
}

static void chain_begins(void *user, const iouringnet_completion *done) {
    CHECK_OK(done->status);
    begin_link(user);
    begin_link(user);
}

TEST(large_sends_of_callbacks_keep_their_order) {
    struct pair p = tcp_pair_apart();
    struct chain chain = {p.a.sink, take(CHAIN), 0, 0, LATCH(1)};
    char *got = take(CHAIN);

    pattern_fill(chain.data, CHAIN, 0, 5);
    CHECK_OK(net_call(p.a.net, 0, chain_begins, &chain, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, CHAIN, NULL));
    pattern_check(got, CHAIN, 0, 5);
    latch_wait(&chain.done);
    pair_close(&p);
    free(got);
    free(chain.data);
}

/* the same connection's two halves from two threads, both ways at once */
struct half {
    struct end *end;
    uint32_t seed;
};
enum { BOTH_WAYS = 8 << 20 };

static void *writes_half(void *user) {
    struct half *half = user;
    char *data = take(BOTH_WAYS);
    pattern_fill(data, BOTH_WAYS, 0, half->seed);
    CHECK_OK(sink_send(half->end->sink, data, BOTH_WAYS, NULL));
    free(data);
    return NULL;
}

static void *reads_half(void *user) {
    struct half *half = user;
    char *data = take(BOTH_WAYS);
    CHECK_OK(stream_recv(half->end->stream, data, BOTH_WAYS, NULL));
    pattern_check(data, BOTH_WAYS, 0, half->seed);
    free(data);
    return NULL;
}

TEST(both_directions_at_once) {
    struct pair p = tcp_pair();
    struct half ab_out = {&p.a, 1}, ab_in = {&p.b, 1}, ba_out = {&p.b, 2}, ba_in = {&p.a, 2};
    pthread_t threads[4] = {spawn(writes_half, &ab_out), spawn(reads_half, &ab_in), spawn(writes_half, &ba_out),
                            spawn(reads_half, &ba_in)};

    for (int i = 0; i < 4; i++)
        join(threads[i]);
    pair_close(&p);
}

/* many threads dial, echo and close in one net; each sees its own bytes alone */
static void *dials_and_echoes(void *user) {
    struct pair *nets = user;
    for (uint32_t i = 0; i < 30; i++) {
        struct pair p = tcp_pair_in(nets->a.net, nets->b.net);
        uintptr_t mine = (uintptr_t)&p + i, back = 0;
        CHECK_OK(sink_send(p.a.sink, &mine, sizeof mine, NULL));
        CHECK_OK(stream_recv(p.b.stream, &back, sizeof back, NULL));
        CHECK(back == mine);
        pair_close(&p);
    }
    return NULL;
}

TEST(threads_dial_and_close_at_once) {
    struct pair p = tcp_pair_apart();
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        threads[i] = spawn(dials_and_echoes, &p);
    for (int i = 0; i < 8; i++)
        join(threads[i]);
    pair_close(&p);
}
