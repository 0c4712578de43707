/* A pause of the whole process (SIGSTOP, a frozen container) over a deadline: what the kernel had in time is
   delivered, however late the process comes to look. The peer is a child, which stops this process, acts while
   nothing here runs, and lets it go on when the deadline has passed.
   Rule: Timeouts. */

#include "support.h"

#include <poll.h>

/* ---- the peer ---- */

enum { CONNECTIONS = 100, LIMIT_MS = 60, WANTED = 10, MOST = 100, SEED = 3 };
enum { CROWD = 1000, CROWD_LIMIT_MS = 1500, CROWD_WANTED = 2, CROWD_MOST = 20 };
enum act { ACCEPT, SEND, SEND_AND_END, READ, DRAIN_BACKLOG };

struct order {
    enum act act;
    int connections;  /* act on so many */
    int size;         /* bytes for each */
    int delay_ms;     /* before the pause */
    int pause_ms;     /* at least */
    int64_t deadline; /* act before this moment, and go on after it */
};

struct peer {
    pid_t pid;
    int control;
    iouringnet_address address;
};

static bool all_stopped(pid_t process) {
    pid_t threads[MOST_THREADS];
    size_t count = threads_of(process, threads, MOST_THREADS);

    for (size_t i = 0; i < count; i++) {
        char state = thread_state(process, threads[i]);

        if (state != 'T' && state != 0)
            return false;
    }
    return true;
}

static char bytes[1 << 20];

/* while the parent is stopped: no check may end this process before it goes on */
static bool act(const struct order *order, int listening, int *fds) {
    bool fine = order->act != DRAIN_BACKLOG || listen(listening, 64) == 0;

    for (int i = 0; i < order->connections; i++) {
        if (order->act == SEND || order->act == SEND_AND_END)
            fine &= send(fds[i], bytes, (size_t)order->size, MSG_DONTWAIT | MSG_NOSIGNAL) == order->size;
        if (order->act == SEND_AND_END)
            fine &= shutdown(fds[i], SHUT_WR) == 0;
        for (int quiet = 0; order->act == READ && quiet < 5;) {
            if (recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
                quiet = 0;
            } else {
                quiet++;
                nap();
            }
        }
        if (order->act == DRAIN_BACKLOG) {
            struct pollfd poll_it = {listening, POLLIN, 0};

            fine &= poll(&poll_it, 1, (int)patient(5000)) == 1 && accept4(listening, NULL, NULL, SOCK_CLOEXEC) >= 0;
        }
    }
    return fine;
}

static void pause_parent(int control, const struct order *order, int listening, int *fds) {
    pid_t parent = getppid();
    int64_t began, acted;
    char answer;
    bool fine;

    pass(order->delay_ms);
    began = now_ms();
    kill(parent, SIGSTOP);
    while (!all_stopped(parent) && now_ms() < began + WAIT_MS)
        nap();
    fine = act(order, listening, fds);
    acted = now_ms();
    pass_until(began + order->pause_ms);
    pass_until(order->deadline + 20);
    kill(parent, SIGCONT);
    CHECK(fine);
    answer = acted < order->deadline ? 'i' : 'l';
    CHECK_EQ(write(control, &answer, 1), 1);
}

static void peer_run(int control, int listening) {
    static int fds[CROWD];
    int accepted = 0;
    struct order order;

    child_begin();
    pattern_fill(bytes, sizeof bytes, 0, SEED);
    while (read(control, &order, sizeof order) == sizeof order) {
        if (order.act != ACCEPT) {
            pause_parent(control, &order, listening, fds);
            continue;
        }
        for (int i = 0; i < accepted; i++)
            raw_close(fds[i]);
        for (accepted = 0; accepted < order.connections; accepted++)
            fds[accepted] = raw_accept(listening);
        CHECK_EQ(write(control, "a", 1), 1);
    }
    _exit(0);
}

static struct peer peer_start(int listening, const iouringnet_address *address) {
    struct peer peer;
    int ends[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    peer.control = ends[0];
    peer.address = *address;
    peer.pid = fork(); /* before any net */
    CHECK(peer.pid >= 0);
    if (peer.pid == 0) {
        close(ends[0]);
        peer_run(ends[1], listening);
    }
    close(ends[1]);
    raw_close(listening);
    return peer;
}

static struct peer peer_of(int rcvbuf, int backlog) {
    iouringnet_address address;
    int listening = raw_listen_sized(&address, rcvbuf, 0, backlog);

    return peer_start(listening, &address);
}

static void peer_end(struct peer *peer) {
    close(peer->control);
    CHECK_EQ(child_wait(peer->pid), 0);
}

static void peer_order(const struct peer *peer, struct order order) {
    CHECK_EQ(write(peer->control, &order, sizeof order), sizeof order);
}

/* whether the peer has acted before the deadline */
static bool peer_answer(const struct peer *peer) {
    char answer;

    CHECK_EQ(read(peer->control, &answer, 1), 1);
    return answer == 'i';
}

static void dial_peer(const struct peer *peer, iouringnet_net *net, int count, struct end *ends) {
    struct order order = {ACCEPT, count, 0, 0, 0, 0};

    peer_order(peer, order);
    for (int i = 0; i < count; i++) {
        ends[i].net = net;
        CHECK_OK(net_dial(net, peer->address.text, NULL, &ends[i].sink, &ends[i].stream));
    }
    peer_answer(peer);
}

/* no peer here reads to the end: an orderly close would wait for it */
static void drop(struct end *end) {
    connection_abort(end->sink, NULL);
    stream_close(end->stream);
}

/* Rounds in which the peer was too late say nothing. */
struct tally {
    int valid, rounds;
};

static bool goes_on(const struct tally *tally) {
    if (tally->valid < WANTED && tally->rounds == MOST)
        SKIP("too busy: the peer seldom acts before the deadline");
    return tally->valid < WANTED;
}

static bool counts(struct tally *tally, const struct peer *peer) {
    bool valid = peer_answer(peer);

    tally->rounds++;
    tally->valid += valid;
    return valid;
}

/* ---- receives ---- */

enum kind_of_receive { EXACT, SOME, FILL };

static void receive(enum kind_of_receive kind, iouringnet_stream *stream, char *into, size_t size,
                    struct result *result) {
    switch (kind) {
    case EXACT: CHECK_OK(stream_recv_async(stream, into, size, result_store, result, NULL)); break;
    case SOME: CHECK_OK(stream_recv_some_async(stream, into, size, result_store, result, NULL)); break;
    case FILL: CHECK_OK(stream_fill_async(stream, size, result_store, result, NULL)); break;
    }
}

/* whose sockets take what a peer sends during a pause, though nobody reads */
static iouringnet_net *roomy_net(void) {
    iouringnet_config config = config_of_mode();

    config.recv_buffer = 1 << 20;
    return net_with(&config);
}

/* `behind` receives on each of `connections` streams wait, and bytes for all of them come during the pause */
static void receives_by_callback(enum kind_of_receive kind, int connections, int behind, size_t size) {
    struct peer peer = peer_of(0, CONNECTIONS);
    iouringnet_net *net = roomy_net();
    struct end ends[CONNECTIONS];
    struct result *results = take((size_t)(connections * behind) * sizeof *results);
    char *into = take((size_t)(connections * behind) * size);
    struct tally tally = {0, 0};

    while (goes_on(&tally)) {
        struct order order = {SEND, connections, (int)size * behind, 0, 0, now_ms() + LIMIT_MS};
        bool valid;

        dial_peer(&peer, net, connections, ends);
        order.deadline = now_ms() + LIMIT_MS;
        for (int i = 0; i < connections * behind; i++) {
            iouringnet_stream *stream = ends[i / behind].stream;

            result_init(&results[i]);
            CHECK_OK(stream_set_timeout(stream, LIMIT_MS));
            receive(kind, stream, into + (size_t)i * size, size, &results[i]);
        }
        /* the last one's deadline is to pass as well */
        order.pause_ms = LIMIT_MS + 20;
        peer_order(&peer, order);
        valid = counts(&tally, &peer);
        for (int i = 0; i < connections * behind; i++) {
            iouringnet_status status = result_wait(&results[i]);

            if (valid)
                CHECK_OK(status);
        }
        for (int i = 0; i < connections; i++)
            drop(&ends[i]);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
    free(results);
    free(into);
}

TEST(a_small_receive_is_in_time) {
    receives_by_callback(EXACT, 1, 1, 100);
}

TEST(a_large_receive_is_in_time) {
    receives_by_callback(EXACT, 1, 1, 200000);
}

TEST(a_receive_of_what_there_is_is_in_time) {
    receives_by_callback(SOME, 1, 1, 100);
}

TEST(a_fill_is_in_time) {
    receives_by_callback(FILL, 1, 1, 150000);
}

TEST(receives_behind_others_are_in_time) {
    receives_by_callback(EXACT, 1, 5, 100);
}

/* more than the loop receives at once for one connection */
TEST(many_receives_behind_others_are_in_time) {
    receives_by_callback(EXACT, 1, 100, 2000);
}

TEST(receives_of_many_connections_are_in_time) {
    receives_by_callback(EXACT, CONNECTIONS, 1, 100);
}

/* Far more than the kernel works off in a usual round. A second receive waits behind each first one, whose bytes may not
   have come to the loop when the deadlines are looked at. */
TEST(receives_of_a_thousand_connections_are_in_time) {
    enum { SIZE = 10000, COUNT = 2 * CROWD };
    struct peer peer;
    iouringnet_net *net;
    struct end *ends = take(CROWD * sizeof *ends);
    struct result *results = take(COUNT * sizeof *results);
    char *into = take((size_t)COUNT * SIZE);
    struct tally tally = {0, 0};

    watchdog(180);
    need_descriptors(CROWD);
    peer = peer_of(0, CROWD);
    net = net_of_mode();
    while (tally.valid < CROWD_WANTED) {
        struct order order = {SEND, CROWD, 2 * SIZE, 0, CROWD_LIMIT_MS + 20, 0};
        bool valid;

        if (tally.rounds == CROWD_MOST)
            SKIP("too busy: the peer seldom acts before the deadline");
        dial_peer(&peer, net, CROWD, ends);
        order.deadline = now_ms() + CROWD_LIMIT_MS;
        for (int i = 0; i < COUNT; i++) {
            iouringnet_stream *stream = ends[i / 2].stream;

            result_init(&results[i]);
            CHECK_OK(stream_set_timeout(stream, CROWD_LIMIT_MS));
            receive(EXACT, stream, into + (size_t)i * SIZE, SIZE, &results[i]);
        }
        peer_order(&peer, order);
        valid = counts(&tally, &peer);
        for (int i = 0; i < COUNT; i++) {
            iouringnet_status status = result_wait(&results[i]);

            if (valid)
                CHECK_OK(status);
        }
        for (int i = 0; i < CROWD; i++)
            drop(&ends[i]);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
    free(ends);
    free(results);
    free(into);
}

TEST(a_blocking_receive_is_in_time) {
    struct peer peer = peer_of(0, CONNECTIONS);
    iouringnet_net *net = net_of_mode();
    struct tally tally = {0, 0};
    char *into = take(200000);

    while (goes_on(&tally)) {
        int size = tally.rounds % 2 ? 100 : 200000;
        struct order order = {SEND, 1, size, 10, 0, 0};
        struct end end;
        iouringnet_status status;

        dial_peer(&peer, net, 1, &end);
        CHECK_OK(stream_set_timeout(end.stream, LIMIT_MS));
        order.deadline = now_ms() + LIMIT_MS;
        order.pause_ms = LIMIT_MS + 20;
        peer_order(&peer, order);
        status = stream_recv(end.stream, into, (size_t)size, NULL);
        if (counts(&tally, &peer))
            CHECK_OK(status);
        drop(&end);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
    free(into);
}

/* Less than a receive wants came in time: the receive ends with its deadline, and the part is there for the next one. */
static void a_part_is_in_time(bool blocking, size_t wants, size_t part) {
    struct peer peer = peer_of(0, CONNECTIONS);
    iouringnet_net *net = net_of_mode();
    struct tally tally = {0, 0};
    char *into = take(wants);

    while (goes_on(&tally)) {
        struct order order = {SEND, 1, (int)part, blocking ? 10 : 0, LIMIT_MS + 20, 0};
        struct result result = RESULT;
        iouringnet_status status;
        size_t count, rest;
        struct end end;

        dial_peer(&peer, net, 1, &end);
        CHECK_OK(stream_set_timeout(end.stream, LIMIT_MS));
        order.deadline = now_ms() + LIMIT_MS;
        if (!blocking)
            receive(EXACT, end.stream, into, wants, &result);
        peer_order(&peer, order);
        if (blocking) {
            status = stream_recv(end.stream, into, wants, &count);
        } else {
            status = result_wait(&result);
            count = result.done.bytes;
        }
        counts(&tally, &peer); /* now everything has been sent, in time or not */
        CHECK_STATUS(status, IOURINGNET_TIMEOUT);
        CHECK_BETWEEN(count, 0, wants <= 65535 ? 0 : part);
        pattern_check(into, count, 0, SEED);
        rest = part - count;
        CHECK_OK(stream_set_timeout(end.stream, IOURINGNET_NO_TIMEOUT));
        CHECK_OK(stream_recv(end.stream, into, rest, &count));
        CHECK_EQ(count, rest);
        pattern_check(into, rest, part - rest, SEED);
        CHECK_OK(stream_set_timeout(end.stream, 0));
        CHECK_STATUS(stream_recv_some(end.stream, into, 1, NULL), IOURINGNET_TIMEOUT);
        drop(&end);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
    free(into);
}

TEST(a_part_for_a_receive_stays_when_the_deadline_has_passed) {
    a_part_is_in_time(false, 100, 60);
    a_part_is_in_time(false, 100000, 30000);
}

TEST(a_part_for_a_blocking_receive_stays_when_the_deadline_has_passed) {
    a_part_is_in_time(true, 100, 60);
    a_part_is_in_time(true, 100000, 30000);
}

TEST(the_end_of_the_stream_is_in_time) {
    struct peer peer = peer_of(0, CONNECTIONS);
    iouringnet_net *net = net_of_mode();
    struct tally tally = {0, 0};
    char into[100];

    while (goes_on(&tally)) {
        struct order order = {SEND_AND_END, 1, 50, 0, LIMIT_MS + 20, now_ms() + LIMIT_MS};
        struct result result = RESULT;
        iouringnet_status status;
        struct end end;

        dial_peer(&peer, net, 1, &end);
        order.deadline = now_ms() + LIMIT_MS;
        CHECK_OK(stream_set_timeout(end.stream, LIMIT_MS));
        receive(EXACT, end.stream, into, sizeof into, &result);
        peer_order(&peer, order);
        status = result_wait(&result);
        if (counts(&tally, &peer))
            CHECK_STATUS(status, IOURINGNET_EOF);
        drop(&end);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
}

/* ---- watches ---- */

struct quiet {
    struct latch latch;
    atomic_int shown;
};

static size_t first_call(void *user, iouringnet_status status, const void *data, size_t size) {
    struct quiet *quiet = user;

    (void)data;
    if (status == 0)
        atomic_fetch_add(&quiet->shown, (int)size);
    latch_open(&quiet->latch);
    return size;
}

TEST(bytes_for_a_watch_are_in_time) {
    struct peer peer = peer_of(0, CONNECTIONS);
    iouringnet_net *net = net_of_mode();
    struct tally tally = {0, 0};

    while (goes_on(&tally)) {
        struct order order = {SEND, 1, 100, 0, LIMIT_MS + 20, 0};
        struct quiet quiet = {LATCH(1), 0};
        struct end end;

        dial_peer(&peer, net, 1, &end);
        CHECK_OK(connection_set_idle_timeout(NULL, end.stream, LIMIT_MS));
        order.deadline = now_ms() + LIMIT_MS;
        CHECK_OK(watch_data(end.stream, first_call, &quiet));
        peer_order(&peer, order);
        latch_wait(&quiet.latch);
        if (counts(&tally, &peer))
            CHECK_EQ(quiet.shown, 100);
        drop(&end);
        settle(net);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
}

/* ---- sends ---- */

/* until not one byte more goes at once */
static void fill_up(iouringnet_sink *sink) {
    CHECK_OK(sink_set_timeout(sink, 0));
    for (int i = 0; i < 1000000; i++) {
        iouringnet_status status = sink_send(sink, "x", 1, NULL);

        if (status == IOURINGNET_TIMEOUT)
            return;
        CHECK_OK(status);
    }
    CHECK(!"a socket whose peer does not read becomes full");
}

static void sends_wait_for_room(bool blocking) {
    struct peer peer = peer_of(4096, CONNECTIONS);
    struct tally tally = {0, 0};
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    char data[1000] = "";

    config.send_buffer = 4096;
    net = net_with(&config);
    while (goes_on(&tally)) {
        struct order order = {READ, 1, 0, blocking ? 10 : 0, LIMIT_MS + 20, 0};
        struct result result = RESULT;
        iouringnet_status status;
        struct end end;

        dial_peer(&peer, net, 1, &end);
        fill_up(end.sink);
        CHECK_OK(sink_set_timeout(end.sink, LIMIT_MS));
        order.deadline = now_ms() + LIMIT_MS;
        if (blocking) {
            peer_order(&peer, order);
            status = sink_send(end.sink, data, sizeof data, NULL);
        } else {
            CHECK_OK(sink_send_async(end.sink, data, sizeof data, result_store, &result, NULL));
            peer_order(&peer, order);
            status = result_wait(&result);
        }
        if (counts(&tally, &peer))
            CHECK_OK(status);
        drop(&end);
    }
    CHECK_OK(net_stop(net));
    peer_end(&peer);
}

TEST(room_for_a_send_is_in_time) {
    sends_wait_for_room(false);
}

TEST(room_for_a_blocking_send_is_in_time) {
    sends_wait_for_room(true);
}

/* ---- dials ---- */

/* A full backlog drops what asks for a connection, which asks again after a second. */
TEST(a_dial_is_in_time) {
    enum { DIALS = 4, DIAL_MS = 1800 };
    struct peer peer = peer_of(0, 0);
    iouringnet_net *net = net_of_mode();
    struct order order = {DRAIN_BACKLOG, 1 + DIALS, 0, 100, DIAL_MS + 100, 0};
    struct result dials[DIALS];
    iouringnet_dial_options options;
    int queued = raw_dial(peer.address.text), held = 0;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = DIAL_MS;
    order.deadline = now_ms() + DIAL_MS;
    for (int i = 0; i < DIALS; i++) {
        result_init(&dials[i]);
        CHECK_OK(net_dial_async(net, peer.address.text, &options, result_store, &dials[i], NULL));
    }
    settle(net);
    for (int i = 0; i < DIALS; i++)
        held += latch_left(&dials[i].latch) == 1;
    if (held < DIALS)
        SKIP("the backlog is not full");
    peer_order(&peer, order);
    if (!peer_answer(&peer))
        SKIP("too busy: the peer did not accept before the deadline");
    for (int i = 0; i < DIALS; i++) {
        CHECK_OK(result_wait(&dials[i]));
        drop(&(struct end){net, dials[i].done.sink, dials[i].done.stream});
    }
    raw_close(queued);
    CHECK_OK(net_stop(net));
    peer_end(&peer);
}
