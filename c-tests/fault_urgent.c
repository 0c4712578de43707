/* Urgent bytes (MSG_OOB) of a peer are bytes of its stream, in their place, in every form of receiving, on accepted
   and on dialled connections.
   Promise 6. */

#include "support.h"

enum { BEFORE = 3000, AFTER = 5000, SIZE = BEFORE + 1 + AFTER };

struct urgent {
    struct mixed m;
    char sent[SIZE];
};

/* `dialled`: the library has dialled the peer; else it has accepted */
static struct urgent urgent_start(bool dialled) {
    struct urgent u;

    if (dialled) {
        u.m = mixed_pair();
    } else {
        iouringnet_address address;
        iouringnet_listener *listener;

        u.m = (struct mixed){.net = net_of_mode(), .owns_net = true};
        listener = bind_loopback(u.m.net, &address);
        u.m.peer = raw_dial(address.text);
        CHECK_OK(listener_accept(listener, &u.m.sink, &u.m.stream));
        listener_close(listener);
    }
    CHECK_OK(stream_set_timeout(u.m.stream, WAIT_MS));
    pattern_fill(u.sent, SIZE, 0, 13);
    return u;
}

static void send_urgent(const struct urgent *u) {
    raw_send(u->m.peer, u->sent, BEFORE);
    CHECK_EQ(send(u->m.peer, u->sent + BEFORE, 1, MSG_OOB | MSG_NOSIGNAL), 1);
    raw_send(u->m.peer, u->sent + BEFORE + 1, AFTER);
}

static void urgent_end(struct urgent *u) {
    raw_close(u->m.peer);
    mixed_stop(&u->m);
}

static void by_pieces(bool dialled) {
    struct urgent u = urgent_start(dialled);
    char got[SIZE];
    size_t total = 0;

    send_urgent(&u);
    while (total < SIZE) {
        size_t count;

        CHECK_OK(stream_recv_some(u.m.stream, got + total, SIZE - total, &count));
        total += count;
    }
    CHECK_MEM(got, u.sent, SIZE);
    urgent_end(&u);
}

TEST(an_urgent_byte_is_received_in_its_place) {
    by_pieces(false);
}

TEST(an_urgent_byte_to_a_dialled_connection_is_received_in_its_place) {
    by_pieces(true);
}

TEST(an_exact_receive_takes_an_urgent_byte) {
    for (int early = 0; early < 2; early++) {
        struct urgent u = urgent_start(false);
        struct result result = RESULT;
        char got[SIZE];

        if (early)
            send_urgent(&u);
        CHECK_OK(stream_recv_async(u.m.stream, got, SIZE, result_store, &result, NULL));
        if (!early)
            send_urgent(&u);
        CHECK_OK(result_wait(&result));
        CHECK_MEM(got, u.sent, SIZE);
        urgent_end(&u);
    }
}

TEST(a_receive_beyond_the_read_buffer_takes_urgent_bytes) {
    enum { TIMES = 40 };
    struct urgent u = urgent_start(false);
    struct result result = RESULT;
    char *got = take((size_t)SIZE * TIMES);

    CHECK_OK(stream_recv_async(u.m.stream, got, (size_t)SIZE * TIMES, result_store, &result, NULL));
    for (int i = 0; i < TIMES; i++)
        send_urgent(&u);
    CHECK_OK(result_wait(&result));
    for (size_t i = 0; i < TIMES; i++)
        CHECK_MEM(got + i * SIZE, u.sent, SIZE);
    urgent_end(&u);
    free(got);
}

TEST(a_fill_takes_an_urgent_byte) {
    struct urgent u = urgent_start(false);
    const void *data;
    size_t size;

    send_urgent(&u);
    CHECK_OK(stream_fill(u.m.stream, SIZE));
    CHECK_OK(stream_peek(u.m.stream, SIZE, &data, &size));
    CHECK_EQ(size, SIZE);
    CHECK_MEM(data, u.sent, SIZE);
    urgent_end(&u);
}

struct shown {
    struct latch whole;
    size_t size;
    char got[SIZE];
};

static size_t keep(void *user, iouringnet_status status, const void *data, size_t size) {
    struct shown *shown = user;

    if (status != 0) {
        latch_open(&shown->whole);
        return 0;
    }
    CHECK(shown->size + size <= SIZE);
    memcpy(shown->got + shown->size, data, size);
    shown->size += size;
    if (shown->size == SIZE)
        latch_open(&shown->whole);
    return size;
}

TEST(a_watch_is_shown_an_urgent_byte) {
    struct urgent u = urgent_start(false);
    struct shown shown = {LATCH(1), 0, ""};

    CHECK_OK(watch_data(u.m.stream, keep, &shown));
    send_urgent(&u);
    latch_wait(&shown.whole);
    CHECK_EQ(shown.size, SIZE);
    CHECK_MEM(shown.got, u.sent, SIZE);
    urgent_end(&u);
}
