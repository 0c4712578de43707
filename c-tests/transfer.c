/* Bytes from one end to the other: exact receives, large and many transfers, peeks, addresses. What
   the promises take for granted.
   Rule: Transfers and arguments. */

#include "support.h"

#include <sys/mman.h>

TEST(one_receive_across_many_small_sends) {
    enum { SIZE = 50000 };
    struct pair p = tcp_pair();
    char *data = take(SIZE), *into = take(SIZE);
    iouringnet_op *op;
    size_t count;

    pattern_fill(data, SIZE, 0, 1);
    /* once into the waiting receive, once with everything sent before it */
    CHECK_OK(stream_recv_async(p.b.stream, into, SIZE, NULL, NULL, &op));
    for (size_t at = 0; at < SIZE; at += 100)
        CHECK_OK(sink_send(p.a.sink, data + at, 100, NULL));
    CHECK_OK(op_finish(op, NULL));
    CHECK_MEM(into, data, SIZE);
    memset(into, 0, SIZE);
    for (size_t at = 0; at < SIZE; at += 100)
        CHECK_OK(sink_send(p.a.sink, data + at, 100, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, SIZE, &count));
    CHECK_EQ(count, SIZE);
    CHECK_MEM(into, data, SIZE);
    pair_close(&p);
    free(data);
    free(into);
}

TEST(one_receive_across_a_large_send) {
    enum { SIZE = 32 << 20 };
    struct pair p = tcp_pair();
    char *data = take(SIZE), *into = take(SIZE);
    iouringnet_op *op;
    size_t count;

    pattern_fill(data, SIZE, 0, 2);
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, NULL, NULL, &op));
    CHECK_OK(stream_recv(p.b.stream, into, SIZE, &count));
    CHECK_EQ(count, SIZE);
    CHECK_MEM(into, data, SIZE);
    CHECK_OK(op_finish(op, NULL));
    pair_close(&p);
    free(data);
    free(into);
}

TEST(many_small_receives_of_one_large_send) {
    enum { SIZE = 1 << 20 };
    struct pair p = tcp_pair();
    char *data = take(SIZE), into[777];
    iouringnet_op *op;
    size_t at = 0;

    pattern_fill(data, SIZE, 0, 3);
    CHECK_OK(sink_send_async(p.a.sink, data, SIZE, NULL, NULL, &op));
    for (size_t piece = 1; at < SIZE; at += piece, piece = piece * 7 % 776 + 1) {
        if (piece > SIZE - at)
            piece = SIZE - at;
        CHECK_OK(stream_recv(p.b.stream, into, piece, NULL));
        CHECK_MEM(into, data + at, piece);
    }
    CHECK_OK(op_finish(op, NULL));
    pair_close(&p);
    free(data);
}

TEST(recv_some_gives_what_is_there) {
    struct pair p = tcp_pair();
    char into[100];
    size_t count;

    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_recv_some(p.b.stream, into, 100, &count));
    CHECK_EQ(count, 5);
    CHECK_MEM(into, "hello", 5);
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_recv_some(p.b.stream, into, 2, &count));
    CHECK_EQ(count, 2);
    CHECK_OK(stream_recv_some(p.b.stream, into, 100, &count));
    CHECK_EQ(count, 3);
    CHECK_MEM(into, "llo", 3);
    pair_close(&p);
}

/* ---- an echo server in callbacks, as the clients' peer ---- */

struct server {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    int open; /* callbacks alone touch it */
    int most_open;
};
struct session {
    struct server *server;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static size_t session_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct session *self = user;
    if (status == 0) {
        iouringnet_status posted = sink_post(self->sink, data, size);
        if (posted == 0)
            return size;
        CHECK_STATUS(posted, IOURINGNET_FULL);
        CHECK_OK(stream_pause(self->stream));
        return 0;
    }
    CHECK_STATUS(status, IOURINGNET_EOF);
    connection_close(self->sink, self->stream);
    self->server->open--;
    return 0;
}

static void session_room(void *user, iouringnet_status status) {
    struct session *self = user;
    CHECK_OK(status);
    CHECK_OK(stream_resume(self->stream));
}

static void session_ends(void *user, iouringnet_status status) {
    CHECK_OK(status);
    free(user);
}

static void session_begins(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, session_data, session_room,
                                                              session_ends};
    struct server *server = user;
    struct session *self;

    if (done->status != 0)
        return;
    self = take(sizeof *self);
    *self = (struct session){server, done->sink, done->stream};
    if (++server->open > server->most_open)
        server->most_open = server->open;
    CHECK_OK(connection_watch(self->sink, self->stream, &callbacks, self));
}

static void server_start(struct server *server) {
    memset(server, 0, sizeof *server);
    server->net = net_of_mode();
    server->listener = bind_loopback(server->net, &server->address);
    CHECK_OK(listener_watch(server->listener, session_begins, server));
}

struct client {
    struct server *server;
    iouringnet_net *net;
    struct latch *connected;
    uint32_t id;
    uint32_t messages;
    size_t size;
    size_t window; /* messages under way at once */
};

static void *client_run(void *user) {
    const struct client *self = user;
    char *message = take(self->size), *back = take(self->size);
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK_OK(net_dial(self->net, self->server->address.text, NULL, &sink, &stream));
    /* a first byte each way: the server has taken the connection */
    CHECK_OK(sink_send(sink, "!", 1, NULL));
    CHECK_OK(stream_recv(stream, back, 1, NULL));
    if (self->connected) {
        latch_open(self->connected);
        latch_wait(self->connected);
    }
    for (uint32_t i = 0; i < self->messages + self->window; i++) {
        if (i < self->messages) {
            pattern_fill(message, self->size, i * self->size, self->id);
            CHECK_OK(sink_send(sink, message, self->size, NULL));
        }
        if (i >= self->window) {
            CHECK_OK(stream_recv(stream, back, self->size, NULL));
            pattern_check(back, self->size, (i - self->window) * self->size, self->id);
        }
    }
    sink_close(sink);
    CHECK_STATUS(stream_recv(stream, back, 1, NULL), IOURINGNET_EOF);
    stream_close(stream);
    free(message);
    free(back);
    return NULL;
}

static void run_clients(uint32_t count, uint32_t messages, size_t size, size_t window) {
    struct server server;
    struct client *clients = take(count * sizeof *clients);
    pthread_t *threads = take(count * sizeof *threads);
    struct latch connected = LATCH((int)count);
    iouringnet_net *net;

    server_start(&server);
    net = net_of_mode();
    for (uint32_t i = 0; i < count; i++) {
        clients[i] = (struct client){&server, net, &connected, i, messages, size, window};
        threads[i] = spawn(client_run, &clients[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        join(threads[i]);
    CHECK_OK(net_stop(net));
    CHECK_OK(net_stop(server.net));
    CHECK_EQ(server.open, 0);
    CHECK_EQ(server.most_open, count);
    free(clients);
    free(threads);
}

TEST(echo_1000_chunks_of_8_kib) {
    run_clients(1, 1000, 8192, 0);
}

TEST(echo_1000_chunks_of_8_kib_in_flight) {
    run_clients(1, 1000, 8192, 16);
}

TEST(clients_3) {
    run_clients(3, 200, 4096, 0);
}

TEST(clients_96) {
    run_clients(96, 40, 4096, 2);
}

/* the same in one net, so that server and clients share both loops */
TEST(clients_96_in_callbacks_of_one_net) {
    struct server server;
    struct pair *pairs = take(96 * sizeof *pairs);
    struct result *results = take(96 * sizeof *results);
    char(*into)[4096] = take(96 * sizeof *into), message[4096];

    server_start(&server);
    for (int i = 0; i < 96; i++)
        CHECK_OK(net_dial(server.net, server.address.text, NULL, &pairs[i].a.sink, &pairs[i].a.stream));
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 96; i++) {
            result_init(&results[i]);
            CHECK_OK(stream_recv_async(pairs[i].a.stream, into[i], 4096, result_store, &results[i], NULL));
            pattern_fill(message, 4096, round * 4096, i);
            CHECK_OK(sink_post(pairs[i].a.sink, message, 4096));
        }
        for (uint32_t i = 0; i < 96; i++) {
            CHECK_OK(result_wait(&results[i]));
            pattern_check(into[i], 4096, round * 4096, i);
        }
    }
    for (int i = 0; i < 96; i++) {
        sink_close(pairs[i].a.sink);
        CHECK_STATUS(stream_recv(pairs[i].a.stream, into[i], 1, NULL), IOURINGNET_EOF);
        stream_close(pairs[i].a.stream);
    }
    CHECK_OK(net_stop(server.net));
    CHECK_EQ(server.open, 0);
    free(pairs);
    free(results);
    free(into);
}

/* ---- 5 GiB in one call: lengths beyond 32 bits ---- */

enum { MARKS = 5 };
static const uint64_t large_size = (uint64_t)5 << 30;
static const uint64_t mark_at[MARKS] = {0, ((uint64_t)1 << 31) - 3, ((uint64_t)1 << 32) - 3,
                                        ((uint64_t)1 << 32) + 12345, ((uint64_t)5 << 30) - 7};

static void *discards_5_gib(void *user) {
    enum { PIECE = 8 << 20 };
    char *piece = take(PIECE), seen[MARKS][7];
    uint64_t at = 0;

    for (; at < large_size; at += PIECE) {
        CHECK_OK(stream_recv(user, piece, PIECE, NULL));
        for (int i = 0; i < MARKS; i++) {
            for (uint64_t k = 0; k < 7; k++) {
                uint64_t place = mark_at[i] + k;
                if (place >= at && place < at + PIECE)
                    seen[i][k] = piece[place - at];
            }
        }
    }
    CHECK_EQ(at, large_size);
    for (int i = 0; i < MARKS; i++)
        CHECK_MEM(seen[i], "marked!", 7);
    CHECK_STATUS(stream_recv(user, piece, 1, NULL), IOURINGNET_EOF);
    free(piece);
    return NULL;
}

/* one mode */ TEST(send_5_gib_in_one_call) {
    struct pair p = tcp_pair_apart();
    size_t sent = 0;
    pthread_t thread;
    /* untouched pages are all the one page of zeros: this costs address space, not memory */
    char *data = mmap(NULL, large_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    watchdog(120);
    CHECK(data != MAP_FAILED);
    for (int i = 0; i < MARKS; i++)
        memcpy(data + mark_at[i], "marked!", 7);
    thread = spawn(discards_5_gib, p.b.stream);
    CHECK_OK(sink_send(p.a.sink, data, large_size, &sent));
    CHECK_EQ(sent, large_size);
    sink_close(p.a.sink);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    pair_close(&p);
    CHECK_EQ(munmap(data, large_size), 0);
}

/* more parts than one sendmsg takes */
TEST(sendv_of_5000_parts) {
    enum { PARTS = 5000, SIZE = PARTS * 37 };
    struct pair p = tcp_pair();
    struct iovec *parts = take(PARTS * sizeof *parts);
    char *data = take(SIZE), *into = take(SIZE);
    iouringnet_op *op;
    size_t sent = 0;

    pattern_fill(data, SIZE, 0, 4);
    for (int i = 0; i < PARTS; i++)
        parts[i] = (struct iovec){data + i * 37, 37};
    /* an empty part is no part */
    parts[7].iov_len = 0;
    parts[8] = (struct iovec){data + 7 * 37, 2 * 37};
    CHECK_OK(stream_recv_async(p.b.stream, into, SIZE, NULL, NULL, &op));
    CHECK_OK(sink_sendv(p.a.sink, parts, PARTS, &sent));
    CHECK_EQ(sent, SIZE);
    CHECK_OK(op_finish(op, NULL));
    CHECK_MEM(into, data, SIZE);
    pair_close(&p);
    free(parts);
    free(data);
    free(into);
}

/* ---- peeks ---- */

static void expect_peek(iouringnet_stream *stream, size_t max, const char *want) {
    const void *data = NULL;
    size_t size = 99;
    CHECK_OK(stream_peek(stream, max, &data, &size));
    CHECK_EQ(size, strlen(want));
    CHECK_MEM(data, want, size);
}

TEST(hello_world_peeks) {
    struct pair p = tcp_pair();
    char into[16];

    CHECK_OK(sink_send(p.a.sink, "hello world", 11, NULL));
    CHECK_OK(stream_fill(p.b.stream, 11));
    CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
    CHECK_MEM(into, "hello", 5);
    expect_peek(p.b.stream, 100, " world");
    expect_peek(p.b.stream, 100, " world");
    expect_peek(p.b.stream, 3, " wo");
    CHECK_OK(stream_recv(p.b.stream, into, 6, NULL));
    CHECK_MEM(into, " world", 6);
    expect_peek(p.b.stream, 100, "");
    pair_close(&p);
}

/* a receive alone, without fill, brings more than asked into the buffer: that is what it is for */
TEST(a_receive_reads_ahead) {
    struct pair p = tcp_pair();
    char into[16];

    CHECK_OK(sink_send(p.a.sink, "hello world", 11, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
    expect_peek(p.b.stream, 100, " world");
    CHECK_OK(stream_consume(p.b.stream, 1));
    expect_peek(p.b.stream, 100, "world");
    pair_close(&p);
}

TEST(a_peek_does_no_io) {
    struct pair p = tcp_pair();

    expect_peek(p.b.stream, 100, "");
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    settle(p.b.net);
    expect_peek(p.b.stream, 100, "");
    CHECK_OK(stream_fill(p.b.stream, 1));
    expect_peek(p.b.stream, 100, "hello");
    pair_close(&p);
}

TEST(unbuffered_never_peeks_anything) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    char into[16];

    config.read_buffer = IOURINGNET_UNBUFFERED;
    p = tcp_pair_with(&config);
    CHECK_OK(sink_send(p.a.sink, "hello world", 11, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 5, NULL));
    CHECK_MEM(into, "hello", 5);
    expect_peek(p.b.stream, 100, "");
    CHECK_STATUS(stream_fill(p.b.stream, 6), IOURINGNET_INVALID);
    CHECK_OK(stream_recv(p.b.stream, into, 6, NULL));
    CHECK_MEM(into, " world", 6);
    expect_peek(p.b.stream, 100, "");
    pair_close(&p);
}

TEST(fill_up_to_buffer_max) {
    enum { MOST = 1 << 20 };
    struct pair p = tcp_pair();
    char *data = take(MOST);
    const void *shown;
    size_t size;

    pattern_fill(data, MOST, 0, 5);
    CHECK_STATUS(stream_fill(p.b.stream, MOST + 1), IOURINGNET_TOO_BIG);
    CHECK_OK(sink_post(p.a.sink, data, MOST));
    CHECK_OK(stream_fill(p.b.stream, MOST));
    CHECK_OK(stream_peek(p.b.stream, SIZE_MAX, &shown, &size));
    CHECK(size >= MOST);
    pattern_check(shown, MOST, 0, 5);
    CHECK_OK(stream_consume(p.b.stream, MOST));
    pair_close(&p);
    free(data);
}

TEST(peek_waits_for_pending_receives) {
    struct pair p = tcp_pair();
    struct result result = RESULT;
    const void *shown;
    size_t size;
    char into[4];

    CHECK_OK(stream_recv_async(p.b.stream, into, 4, result_store, &result, NULL));
    CHECK_STATUS(stream_peek(p.b.stream, 10, &shown, &size), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "1234", 4, NULL));
    CHECK_OK(result_wait(&result));
    expect_peek(p.b.stream, 10, "");
    pair_close(&p);
}

struct receiver {
    iouringnet_stream *stream;
    iouringnet_status status;
    char got[4];
};

static void *receiver_run(void *user) {
    struct receiver *receiver = user;

    receiver->status = stream_recv(receiver->stream, receiver->got, sizeof receiver->got, NULL);
    return NULL;
}

/* whoever waits in a blocking call does not keep a second call from its own time limit */
TEST(a_call_behind_a_blocked_receive_has_its_own_time) {
    enum { LIMIT_MS = 50 };
    struct pair p = tcp_pair();
    struct receiver first = {p.b.stream, IOURINGNET_PENDING, ""};
    struct result second = RESULT, third = RESULT;
    const void *shown;
    size_t size;
    char into[4];
    pthread_t thread = spawn(receiver_run, &first);

    EVENTUALLY(stream_peek(p.b.stream, 10, &shown, &size) == IOURINGNET_BUSY);
    CHECK_OK(stream_set_timeout(p.b.stream, LIMIT_MS));
    CHECK_OK(stream_recv_async(p.b.stream, into, sizeof into, result_store, &second, NULL));
    CHECK_STATUS(result_wait(&second), IOURINGNET_TIMEOUT);
    CHECK_OK(stream_set_timeout(p.b.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_recv_async(p.b.stream, into, sizeof into, result_store, &third, NULL));
    CHECK_OK(sink_send(p.a.sink, "12345678", 8, NULL));
    join(thread);
    CHECK_OK(first.status);
    CHECK_MEM(first.got, "1234", 4);
    CHECK_OK(result_wait(&third));
    CHECK_MEM(into, "5678", 4);
    pair_close(&p);
}

TEST(a_call_behind_a_blocked_send_has_its_own_time) {
    enum { SIZE = 32 << 20, LIMIT_MS = 50 };
    struct pair p = tcp_pair();
    char *data = take(SIZE), *got = take(SIZE);
    struct sender first = {p.a.sink, data, SIZE, 0, IOURINGNET_PENDING};
    struct result second = RESULT;
    iouringnet_sink_info info;
    pthread_t thread;

    iouringnet_sink_info_init(&info);
    pattern_fill(data, SIZE, 0, 3);
    thread = spawn(sender_run, &first);
    EVENTUALLY(sink_info(p.a.sink, &info) == IOURINGNET_OK && info.unsent > 0);
    CHECK_OK(sink_set_timeout(p.a.sink, LIMIT_MS));
    CHECK_OK(sink_send_async(p.a.sink, "x", 1, result_store, &second, NULL));
    CHECK_STATUS(result_wait(&second), IOURINGNET_TIMEOUT);
    sink_close(p.a.sink); /* takes what was accepted */
    CHECK_OK(stream_recv(p.b.stream, got, SIZE, NULL));
    pattern_check(got, SIZE, 0, 3);
    CHECK_STATUS(stream_recv(p.b.stream, got, 1, NULL), IOURINGNET_EOF);
    join(thread);
    CHECK_OK(first.status);
    CHECK_EQ(first.sent, SIZE);
    pair_close(&p);
    free(data);
    free(got);
}

/* length-prefixed frames, the way that fill, peek and consume are for */
TEST(frames_by_fill_and_peek) {
    enum { FRAMES = 500 };
    struct pair p = tcp_pair_apart();
    char *body = take(70000);

    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t size = i * 131 % 70000;
        struct iovec parts[2] = {{&size, sizeof size}, {body, size}};
        iouringnet_op *op;
        const void *shown;
        size_t there;

        pattern_fill(body, size, 0, i);
        CHECK_OK(sink_sendv_async(p.a.sink, parts, 2, NULL, NULL, &op));
        CHECK_OK(stream_fill(p.b.stream, sizeof size));
        CHECK_OK(stream_peek(p.b.stream, sizeof size, &shown, &there));
        CHECK_MEM(shown, &size, sizeof size);
        CHECK_OK(stream_fill(p.b.stream, sizeof size + size));
        CHECK_OK(stream_peek(p.b.stream, sizeof size + size, &shown, &there));
        CHECK_EQ(there, sizeof size + size);
        pattern_check((const char *)shown + sizeof size, size, 0, i);
        CHECK_OK(stream_consume(p.b.stream, there));
        CHECK_OK(op_finish(op, NULL));
    }
    pair_close(&p);
    free(body);
}

/* ---- addresses ---- */

TEST(dial_to_a_closed_port) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;

    unused_address(&address);
    CHECK_STATUS(net_dial(net, address.text, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_OK(net_dial_async(net, address.text, NULL, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), -ECONNREFUSED);
    CHECK_OK(net_stop(net));
}

TEST(bind_to_a_taken_port) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *second = NULL;

    CHECK_STATUS(net_bind(net, address.text, NULL, &second), -EADDRINUSE);
    CHECK(second == NULL);
    listener_close(listener);
    /* the port is free again as soon as the closed listener is gone */
    EVENTUALLY(net_bind(net, address.text, NULL, &second) == 0);
    listener_close(second);
    CHECK_OK(net_stop(net));
}

TEST(two_nets_share_a_port) {
    iouringnet_net *nets[2] = {net_of_mode(), net_of_mode()};
    iouringnet_listener *listeners[2];
    iouringnet_bind_options options;
    iouringnet_address address;

    iouringnet_bind_options_init(&options);
    options.reuse_port = IOURINGNET_ON;
    CHECK_OK(net_bind(nets[0], "127.0.0.1:0", &options, &listeners[0]));
    CHECK_OK(listener_address(listeners[0], &address));
    CHECK_OK(net_bind(nets[1], address.text, &options, &listeners[1]));
    for (int i = 0; i < 2; i++) {
        listener_close(listeners[i]);
        CHECK_OK(net_stop(nets[i]));
    }
}

TEST(both_ends_know_their_addresses) {
    struct pair p = tcp_pair();
    iouringnet_sink_info a, b;

    iouringnet_sink_info_init(&a);
    iouringnet_sink_info_init(&b);
    CHECK_OK(sink_info(p.a.sink, &a));
    CHECK_OK(sink_info(p.b.sink, &b));
    CHECK_EQ(strcmp(a.local.text, b.peer.text), 0);
    CHECK_EQ(strcmp(a.peer.text, b.local.text), 0);
    CHECK_EQ(strncmp(a.local.text, "127.0.0.1:", 10), 0);
    CHECK_EQ(a.unsent, 0);
    pair_close(&p);
}

static void echo_at(const char *bind_to, const char *dial_to, const char *peer) {
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener;
    iouringnet_address address;
    struct pair p = {.a.net = net, .b.net = net};
    char text[160], got[5];
    iouringnet_sink_info info;
    iouringnet_sink_info_init(&info);

    if (net_bind(net, bind_to, NULL, &listener) != 0)
        SKIP("no such address here");
    CHECK_OK(listener_address(listener, &address));
    snprintf(text, sizeof text, "%s%s", dial_to, strrchr(address.text, ':'));
    CHECK_OK(net_dial(net, text, NULL, &p.a.sink, &p.a.stream));
    CHECK_OK(listener_accept(listener, &p.b.sink, &p.b.stream));
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 5, NULL));
    CHECK_MEM(got, "hello", 5);
    CHECK_OK(sink_info(p.b.sink, &info));
    CHECK_EQ(strncmp(info.peer.text, peer, strlen(peer)), 0);
    pair_close(&p);
    listener_close(listener);
    CHECK_OK(net_stop(net));
}

TEST(by_ipv6_address) {
    echo_at("[::1]:0", "[::1]", "[::1]:");
}

/* the wildcard of IPv6 accepts IPv4 too, and its peers have mapped addresses */
TEST(by_ipv4_address_to_the_ipv6_wildcard) {
    FILE *sysctl = fopen("/proc/sys/net/ipv6/bindv6only", "r");
    if (sysctl == NULL || fgetc(sysctl) != '0')
        SKIP("the system keeps IPv4 and IPv6 apart");
    fclose(sysctl);
    echo_at("[::]:0", "127.0.0.1", "[::ffff:127.0.0.1]:");
}

/* the name gives several addresses, of which one listens: each is tried */
TEST(by_name) {
    echo_at("127.0.0.1:0", "localhost", "127.0.0.1:");
}
