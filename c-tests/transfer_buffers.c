/* Posts of several pieces, and of buffers that many sinks share: what arrives, and what it costs.
   Rule: Buffers. */

#include "buffers.h"
#include "inside.h"

enum { MOST_PIECES = 300 };

/* ---- several pieces ---- */

/* posts `count` pieces of sizes that differ, empty ones among them; gives how many bytes they have */
static size_t post_pieces(iouringnet_sink *sink, const char *data, size_t count, size_t step) {
    struct iovec parts[MOST_PIECES];
    size_t size = 0;

    CHECK(count <= MOST_PIECES);
    for (size_t i = 0; i < count; i++) {
        parts[i].iov_len = i % 7 * step;
        parts[i].iov_base = parts[i].iov_len == 0 ? NULL : (void *)(uintptr_t)(data + size);
        size += parts[i].iov_len;
    }
    CHECK_OK(sink_postv(sink, parts, count));
    return size;
}

struct posting {
    iouringnet_sink *sink;
    const char *data;
    size_t posted;
};

/* several at once, so that a round collects the later ones */
static void post_all_sizes(void *user) {
    struct posting *posting = user;

    posting->posted = 0;
    for (size_t step = 1; step < 2000; step = step * 3 + 1)
        for (size_t count = 0; count <= MOST_PIECES; count += 75)
            posting->posted += post_pieces(posting->sink, posting->data + posting->posted, count, step);
}

TEST(pieces_arrive_as_one_from_callbacks_and_threads) {
    enum { MOST = 16 << 20 };
    iouringnet_config config = config_of_mode();
    struct pair p;
    struct posting posting;
    char *data = take(MOST), *got = take(MOST);

    config.post_mark = MOST;
    p = tcp_pair_with(&config);
    pattern_fill(data, MOST, 0, 1);
    posting = (struct posting){p.a.sink, data, 0};
    for (int round = 0; round < 4; round++) {
        if (round % 2 == 0)
            on_callback_thread(p.a.net, post_all_sizes, &posting);
        else
            post_all_sizes(&posting);
        CHECK(posting.posted < MOST);
        CHECK_OK(stream_recv(p.b.stream, got, posting.posted, NULL));
        CHECK_MEM(got, data, posting.posted);
    }
    pair_close(&p);
    free(data);
    free(got);
}

TEST(pieces_are_taken_as_a_whole_or_not_at_all) {
    enum { SIZE = 300000 };
    size_t filled;
    struct mixed m = full_pair_of(SIZE / 2, &filled);
    struct iovec parts[2];
    char *data = take(SIZE);

    memset(data, 1, SIZE);
    parts[0] = (struct iovec){data, 10};
    parts[1] = (struct iovec){data, SIZE - 10};
    CHECK_OK(sink_postv(m.sink, parts, 2));
    CHECK_STATUS(sink_postv(m.sink, parts, 1), IOURINGNET_FULL);
    CHECK_STATUS(sink_postv(m.sink, parts, 2), IOURINGNET_FULL);
    peer_gets(&m, filled + SIZE);
    free(data);
}

TEST(pieces_that_cannot_be_are_refused) {
    struct pair p = tcp_pair();
    struct iovec parts[2] = {{(void *)(uintptr_t) "data", 4}, {NULL, 1}};
    char got[4];

    CHECK_OK(sink_postv(p.a.sink, NULL, 0));
    CHECK_STATUS(sink_postv(p.a.sink, NULL, 1), IOURINGNET_INVALID);
    CHECK_STATUS(sink_postv(p.a.sink, parts, 2), IOURINGNET_INVALID);
    CHECK_STATUS(sink_postv(p.a.sink, parts, SIZE_MAX), IOURINGNET_INVALID);
    parts[1] = (struct iovec){got, (size_t)PTRDIFF_MAX + 1};
    CHECK_STATUS(sink_postv(p.a.sink, parts, 2), IOURINGNET_INVALID);
    parts[1].iov_len = PTRDIFF_MAX;
    CHECK_STATUS(sink_postv(p.a.sink, parts, 2), IOURINGNET_INVALID);
    CHECK_OK(sink_postv(p.a.sink, parts, 1));
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    CHECK_MEM(got, "data", 4);
    pair_close(&p);
}

/* ---- buffers ---- */

enum { HEAD = 8, MOST_BODY = 90000, MESSAGES = 300 };

/* the size of a message's body, on both sides of what is copied */
static size_t body_of(unsigned number) {
    static const size_t sizes[] = {0, 1, 1024, 1025, 3000, 16384, 40000, MOST_BODY};
    return sizes[number % (sizeof sizes / sizeof *sizes)];
}

/* posts a message: its number, its body's size, and a body that another handle of the buffer is a part of */
static iouringnet_status post_message(iouringnet_sink *sink, iouringnet_buffer *bytes, unsigned number) {
    uint32_t head[2] = {number, (uint32_t)body_of(number)};
    iouringnet_buffer *body;
    iouringnet_status status;

    CHECK_OK(iouringnet_buffer_slice(bytes, number, head[1], &body));
    status = sink_post_buffer(sink, head, sizeof head, body);
    iouringnet_buffer_release(body);
    return status;
}

/* receives the messages from `first` on, and checks every byte of them */
struct listening {
    int fd;
    unsigned first, end;
};

static void *listening_run(void *user) {
    struct listening *listening = user;
    char *body = take(MOST_BODY);

    for (unsigned number = listening->first; number < listening->end; number++) {
        uint32_t head[2];

        raw_recv(listening->fd, head, sizeof head);
        CHECK_EQ(head[0], number);
        CHECK_EQ(head[1], body_of(number));
        raw_recv(listening->fd, body, head[1]);
        pattern_check(body, head[1], number, 1);
    }
    free(body);
    return NULL;
}

struct broadcast {
    iouringnet_sink *sinks[3];
    iouringnet_buffer *bytes;
    unsigned first, end;
};

static void broadcast_run(void *user) {
    const struct broadcast *broadcast = user;

    for (unsigned number = broadcast->first; number < broadcast->end; number++)
        for (int i = 0; i < 3; i++)
            CHECK_OK(post_message(broadcast->sinks[i], broadcast->bytes, number));
}

/* small socket buffers cut the messages at many places */
static void all_get_all(bool in_callback) {
    iouringnet_config config = config_of_mode();
    struct mixed m[3];
    struct listening listening[3];
    struct broadcast broadcast = {.first = 0, .end = MESSAGES};
    pthread_t threads[3];
    struct memory memory;
    iouringnet_net *net;

    config.post_mark = 64 << 20;
    config.send_buffer = 8192;
    net = net_with(&config);
    broadcast.bytes = adopted(&memory, MOST_BODY + MESSAGES);
    for (int i = 0; i < 3; i++) {
        m[i] = mixed_pair_in(net, i == 0 ? 0 : 4096);
        broadcast.sinks[i] = m[i].sink;
        listening[i] = (struct listening){m[i].peer, 0, MESSAGES};
        threads[i] = spawn(listening_run, &listening[i]);
    }
    if (in_callback)
        on_callback_thread(net, broadcast_run, &broadcast);
    else
        broadcast_run(&broadcast);
    iouringnet_buffer_release(broadcast.bytes);
    for (int i = 0; i < 3; i++) {
        sink_close(m[i].sink);
        join(threads[i]);
        raw_expect_eof(m[i].peer);
        mixed_close(&m[i]);
    }
    CHECK_OK(net_stop(net));
    CHECK_EQ(memory.ends, 1);
}

TEST(a_buffer_arrives_whole_at_each_sink) {
    all_get_all(false);
}

TEST(a_buffer_that_a_callback_posts_arrives_whole_at_each_sink) {
    all_get_all(true);
}

/* what a callback posts first, second and third, in the next round again */
static void post_by_turns(void *user) {
    struct broadcast *broadcast = user;

    for (int i = 0; i < 3; i++) {
        uint32_t plain[2] = {broadcast->first + 1, 0};

        CHECK_OK(post_message(broadcast->sinks[i], broadcast->bytes, broadcast->first));
        plain[1] = (uint32_t)body_of(plain[0]);
        CHECK_OK(sink_post(broadcast->sinks[i], plain, sizeof plain));
        CHECK_OK(sink_post(broadcast->sinks[i], (const char *)broadcast + sizeof *broadcast + plain[0], plain[1]));
        CHECK_OK(post_message(broadcast->sinks[i], broadcast->bytes, broadcast->first + 2));
    }
    broadcast->first += 3;
}

TEST(buffers_and_other_posts_share_one_order) {
    enum { ALL = 60 };
    struct {
        struct broadcast broadcast;
        char bytes[MOST_BODY + MESSAGES];
    } *state = take(sizeof *state);
    iouringnet_config config = config_of_mode();
    struct mixed m[3];
    struct listening listening[3];
    pthread_t threads[3];
    iouringnet_net *net;

    config.post_mark = 64 << 20;
    net = net_with(&config);
    state->broadcast.first = 0;
    pattern_fill(state->bytes, sizeof state->bytes, 0, 1);
    state->broadcast.bytes = made(state->bytes, sizeof state->bytes);
    for (int i = 0; i < 3; i++) {
        m[i] = mixed_pair_in(net, 0);
        state->broadcast.sinks[i] = m[i].sink;
        listening[i] = (struct listening){m[i].peer, 0, ALL};
        threads[i] = spawn(listening_run, &listening[i]);
    }
    while (state->broadcast.first < ALL) {
        on_callback_thread(net, post_by_turns, &state->broadcast);
        post_by_turns(&state->broadcast);
    }
    for (int i = 0; i < 3; i++) {
        join(threads[i]);
        mixed_close(&m[i]);
    }
    iouringnet_buffer_release(state->broadcast.bytes);
    CHECK_OK(net_stop(net));
    free(state);
}

/* ---- posts of which the socket takes a part at first ---- */

enum { CUT_MOST = 600000, CUT_BODY = 200000, CUT_TAIL = 3000, CUT_NEAR = 3 };

/* a post of the first bytes of `data`, as head and body; a plain one of the next bytes follows */
struct cut {
    iouringnet_sink *sink;
    const char *data;
    iouringnet_buffer *bytes; /* of all `data`; NULL: the post is one of pieces */
    size_t head, body;
    size_t taken; /* what the kernel had after the first post */
};

static void cut_post(void *user) {
    struct cut *cut = user;
    const char *behind = cut->data + cut->head + cut->body;
    iouringnet_sink_info info;

    if (cut->bytes) {
        iouringnet_buffer *body;

        CHECK_OK(iouringnet_buffer_slice(cut->bytes, cut->head, cut->body, &body));
        CHECK_OK(sink_post_buffer(cut->sink, cut->data, cut->head, body));
        iouringnet_buffer_release(body);
    } else {
        struct iovec parts[] = {
            {(void *)(uintptr_t)cut->data, cut->head},
            {(void *)(uintptr_t)(cut->data + cut->head), cut->body / 3},
            {(void *)(uintptr_t)(cut->data + cut->head + cut->body / 3), cut->body - cut->body / 3}};

        CHECK_OK(sink_postv(cut->sink, parts, sizeof parts / sizeof *parts));
    }
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(cut->sink, &info));
    cut->taken = (size_t)info.sent;
    CHECK_OK(sink_post(cut->sink, behind, CUT_TAIL));
}

/* posts to a socket of little room, whose peer begins to read afterwards */
static void arrives_although_cut(struct cut *cut, bool in_callback) {
    size_t all = cut->head + cut->body + CUT_TAIL;
    iouringnet_config config = config_of_mode();
    char *got = take(all);
    struct mixed m;

    CHECK(all <= CUT_MOST);
    config.post_mark = 64 << 20;
    config.send_buffer = 8192;
    m = mixed_pair_with(&config, 4096);
    cut->sink = m.sink;
    if (in_callback)
        on_callback_thread(m.net, cut_post, cut);
    else
        cut_post(cut);
    CHECK(cut->taken < cut->head + cut->body);
    raw_recv(m.peer, got, all);
    CHECK_MEM(got, cut->data, all);
    mixed_close(&m);
    free(got);
}

/* the socket's room ends within the head, near the head's end, and within what follows */
static void all_arrive_although_cut(bool of_pieces) {
    char *data = take(CUT_MOST);
    iouringnet_buffer *bytes;
    struct cut cut = {.data = data, .body = CUT_BODY};

    pattern_fill(data, CUT_MOST, 0, 1);
    bytes = made(data, CUT_MOST);
    cut.bytes = of_pieces ? NULL : bytes;
    for (int in_callback = 0; in_callback < 2; in_callback++) {
        size_t room;

        cut.head = CUT_BODY;
        arrives_although_cut(&cut, in_callback);
        room = cut.taken < CUT_NEAR ? CUT_NEAR : cut.taken; /* the loops may not have begun */
        for (size_t head = room - CUT_NEAR; head <= room + CUT_NEAR; head++) {
            cut.head = head;
            arrives_although_cut(&cut, in_callback);
        }
        cut.head = HEAD;
        arrives_although_cut(&cut, in_callback);
        cut.head = 0;
        arrives_although_cut(&cut, in_callback);
    }
    iouringnet_buffer_release(bytes);
    free(data);
}

TEST(a_buffer_arrives_whole_although_the_socket_takes_a_part) {
    all_arrive_although_cut(false);
}

TEST(pieces_arrive_whole_although_the_socket_takes_a_part) {
    all_arrive_although_cut(true);
}

/* ---- what a sink holds ---- */

TEST(a_sink_takes_a_buffer_whole_or_not_at_all) {
    enum { SIZE = 300000 };
    size_t filled;
    struct mixed m = full_pair_of(SIZE / 2, &filled);
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);

    CHECK_OK(sink_post_buffer(m.sink, "head", 4, buffer));
    CHECK_STATUS(sink_post_buffer(m.sink, "head", 4, buffer), IOURINGNET_FULL);
    CHECK_STATUS(sink_post_buffer(m.sink, NULL, 0, buffer), IOURINGNET_FULL);
    iouringnet_buffer_release(buffer);
    CHECK_EQ(memory.ends, 0);
    peer_gets(&m, filled + 4 + SIZE);
    CHECK_EQ(memory.ends, 1);
}

/* an item of the queue takes memory, too, however few bytes it has */
TEST(each_post_that_waits_counts_a_least_size) {
    enum { MARK = 1 << 20, BODY = 1025, LEAST = 256 };
    struct mixed m = full_pair(MARK);
    char body[BODY] = "";
    iouringnet_buffer *buffer = made(body, BODY);
    size_t taken = 0;

    for (;;) {
        iouringnet_status status = sink_post(m.sink, "x", 1); /* a piece of its own, between two buffers */

        if (status != 0) {
            CHECK_STATUS(status, IOURINGNET_FULL);
            break;
        }
        if (sink_post_buffer(m.sink, NULL, 0, buffer) != 0)
            break;
        taken++;
    }
    /* the kernel may take some of them; without the least size it would be 1,022 */
    CHECK_BETWEEN(taken, MARK / (BODY + 2 * LEAST), MARK / (BODY + LEAST) + 100);
    iouringnet_buffer_release(buffer);
    mixed_close(&m);
}

static void count_room(void *user, iouringnet_status status) {
    CHECK_OK(status);
    atomic_fetch_add((atomic_int *)user, 1);
}

TEST(the_mark_is_free_again_when_the_buffers_are_out) {
    enum { MARK = 1 << 20, SIZE = 50000, TIMES = 3 };
    struct mixed m = full_pair(MARK);
    const iouringnet_connection_callbacks callbacks = {sizeof callbacks, NULL, count_room, NULL};
    atomic_int rooms = 0;
    struct memory memory;
    iouringnet_buffer *buffer = adopted(&memory, SIZE);
    char *got = take(MARK);

    CHECK_OK(connection_watch(m.sink, NULL, &callbacks, &rooms));
    for (int time = 1; time <= TIMES; time++) {
        size_t unsent;

        while (sink_post_buffer(m.sink, "12345", 5, buffer) == 0)
            ;
        CHECK_STATUS(sink_post(m.sink, "x", 1), IOURINGNET_FULL);
        unsent = unsent_of(m.sink);
        CHECK_BETWEEN(unsent, MARK / 2, MARK + SIZE + (1 << 16)); /* a kernel may take more, late */
        while (unsent_of(m.sink) > 0) {
            struct pollfd polled = {m.peer, POLLIN, 0};

            CHECK(poll(&polled, 1, 1000) >= 0);
            CHECK(recv(m.peer, got, MARK, MSG_DONTWAIT) > 0 || errno == EAGAIN);
        }
        EVENTUALLY(rooms == time);
    }
    iouringnet_buffer_release(buffer);
    EVENTUALLY(memory.ends == 1);
    mixed_close(&m);
    free(got);
}

TEST(a_small_buffer_is_copied) {
    struct mixed m = full_pair(0);
    struct memory small, large;
    iouringnet_buffer *buffer = adopted(&small, 1024), *other = adopted(&large, 1025);
    char *head = take(100000);

    memset(head, 1, 100000);
    CHECK_OK(sink_post_buffer(m.sink, "head", 4, buffer));
    CHECK_OK(sink_post_buffer(m.sink, head, 100000, buffer));
    CHECK_OK(sink_post_buffer(m.sink, "head", 4, other));
    CHECK(unsent_of(m.sink) > 0);
    iouringnet_buffer_release(buffer);
    iouringnet_buffer_release(other);
    CHECK_EQ(small.ends, 1);
    CHECK_EQ(large.ends, 0);
    connection_abort(m.sink, m.stream);
    mixed_close(&m);
    CHECK_EQ(large.ends, 1);
    free(head);
}

/* ---- what a broadcast costs ---- */

static size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    size_t mapped, pages = 0;

    CHECK(file != NULL && fscanf(file, "%zu %zu", &mapped, &pages) == 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Copies would be 32 GB. Each item of a queue takes at most what it counts against the mark. */
/* alone */ TEST(a_broadcast_holds_one_copy) {
    enum { CLIENTS = 500, POSTS = 1000, SIZE = 64 << 10, ITEM = 256 };
    iouringnet_config config = config_of_mode();
    struct mixed *clients = take(CLIENTS * sizeof *clients);
    struct memory memory;
    iouringnet_buffer *buffer;
    iouringnet_net *net;
    size_t before, grown, unsent = 0;

    need_descriptors(2 * CLIENTS);
    watchdog(300);
    config.post_mark = PTRDIFF_MAX;
    config.send_buffer = config.recv_buffer = 4096;
    config.shutdown_timeout_ms = 1;
    net = net_with(&config);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = mixed_pair_in(net, 4096);
    buffer = adopted(&memory, SIZE);
    before = resident_bytes();
    for (int post = 0; post < POSTS; post++)
        for (int i = 0; i < CLIENTS; i++)
            CHECK_OK(sink_post_buffer(clients[i].sink, NULL, 0, buffer));
    grown = resident_bytes() - before;
    for (int i = 0; i < CLIENTS; i++)
        unsent += unsent_of(clients[i].sink);
    printf("%d posts of %d bytes to %d connections: %zu MiB unsent, %zu KiB resident, %zu bytes for an item\n", POSTS,
           SIZE, CLIENTS, unsent >> 20, grown >> 10, grown / ((size_t)POSTS * CLIENTS));
    CHECK(unsent > (size_t)(POSTS - 50) * CLIENTS * SIZE);
#ifndef __SANITIZE_ADDRESS__ /* it keeps freed memory for a while, and notes beside what is in use */
    CHECK(grown < SIZE + (size_t)POSTS * CLIENTS * ITEM);
#endif
    iouringnet_buffer_release(buffer);
    CHECK_EQ(memory.ends, 0);
    CHECK_STATUS(net_stop(net), IOURINGNET_TIMEOUT);
    CHECK_EQ(memory.ends, 1);
    for (int i = 0; i < CLIENTS; i++)
        raw_close(clients[i].peer);
    free(clients);
}
