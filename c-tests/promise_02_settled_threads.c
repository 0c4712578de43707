/* Threads that have waited for one stream so often that they have settled for it, and wait before they ask for bytes:
   what then ends their next receive, which are bytes, each of the causes, and other calls on the stream. Threads that
   wait for many streams in turn. */

#include "inside.h"

enum { ROUNDS = 20 }; /* more waits than a thread needs to settle */

struct settled {
    struct waiter waiter;
    iouringnet_stream *stream;
    _Atomic int received;
    _Atomic iouringnet_status end;
    pthread_t thread;
};

static void *receives_bytes(void *user) {
    struct settled *self = user;
    iouringnet_status status;
    char byte;

    waiter_begins(&self->waiter);
    while ((status = stream_recv(self->stream, &byte, 1, NULL)) == 0)
        CHECK_EQ(byte, (char)atomic_fetch_add(&self->received, 1));
    atomic_store(&self->end, status);
    return NULL;
}

/* sends the next byte when the thread sleeps, and returns when it sleeps again */
static void settled_round(struct settled *self, int peer) {
    int count = atomic_load(&self->received);
    char byte = (char)count;

    waiter_sleeps(&self->waiter);
    raw_send(peer, &byte, 1);
    EVENTUALLY(atomic_load(&self->received) == count + 1);
    waiter_sleeps(&self->waiter);
}

static void settled_begin(struct settled *self, const struct mixed *m) {
    memset(self, 0, sizeof *self);
    self->stream = m->stream;
    self->thread = spawn(receives_bytes, self);
    for (int i = 0; i < ROUNDS; i++)
        settled_round(self, m->peer);
}

static void settled_end(struct settled *self, iouringnet_status status, int received) {
    join(self->thread);
    CHECK_STATUS(atomic_load(&self->end), status);
    CHECK_EQ(atomic_load(&self->received), received);
}

enum cause { END, END_BEHIND_BYTES, RESET, CLOSE, ABORT, STOP, CAUSES };

static const iouringnet_status status_of[CAUSES] = {
    IOURINGNET_EOF, IOURINGNET_EOF, -ECONNRESET, IOURINGNET_CLOSED, IOURINGNET_CLOSED, IOURINGNET_STOPPED,
};

TEST(each_cause_ends_the_receive_of_a_settled_thread) {
    for (int cause = 0; cause < CAUSES; cause++) {
        struct mixed m = mixed_pair();
        const char next[] = {ROUNDS, ROUNDS + 1};
        struct settled self;

        settled_begin(&self, &m);
        switch (cause) {
        case END: raw_half_close(m.peer); break;
        case END_BEHIND_BYTES:
            CHECK_EQ(send(m.peer, next, sizeof next, MSG_MORE | MSG_NOSIGNAL), sizeof next);
            raw_half_close(m.peer); /* in one segment with the bytes, so that no event follows theirs */
            break;
        case RESET: raw_reset(m.peer); break;
        case CLOSE: stream_close(m.stream); break;
        case ABORT: connection_abort(m.sink, NULL); break;
        case STOP: CHECK_OK(net_stop(m.net)); break;
        default: break;
        }
        settled_end(&self, status_of[cause], cause == END_BEHIND_BYTES ? ROUNDS + 2 : ROUNDS);
        if (cause != RESET)
            raw_close(m.peer);
        m.owns_net = cause != STOP;
        mixed_stop(&m);
    }
}

TEST(the_receive_of_a_settled_thread_ends_at_its_limit) {
    enum { LIMIT_MS = 50 };
    struct mixed m = mixed_pair();
    const char next = ROUNDS;
    struct settled self;
    int64_t began;

    settled_begin(&self, &m);
    CHECK_OK(stream_set_timeout(m.stream, LIMIT_MS)); /* of the receives after the one under way */
    began = now_ms();
    raw_send(m.peer, &next, 1);
    settled_end(&self, IOURINGNET_TIMEOUT, ROUNDS + 1);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    mixed_close(&m);
}

TEST(a_receive_behind_a_settled_thread_gets_what_comes_behind) {
    struct mixed m = mixed_pair();
    const char next[] = {ROUNDS, 'x', ROUNDS + 1};
    struct result second = RESULT;
    struct settled self;
    char into = 0;

    settled_begin(&self, &m);
    CHECK_OK(stream_recv_async(m.stream, &into, 1, result_store, &second, NULL));
    settle(m.net);
    raw_send(m.peer, next, 2);
    CHECK_OK(result_wait(&second));
    CHECK_EQ(into, 'x');
    EVENTUALLY(atomic_load(&self.received) == ROUNDS + 1);
    waiter_sleeps(&self.waiter); /* by itself again */
    raw_send(m.peer, next + 2, 1);
    raw_half_close(m.peer);
    settled_end(&self, IOURINGNET_EOF, ROUNDS + 2);
    mixed_close(&m);
}

TEST(a_receive_behind_a_settled_thread_is_cancelled) {
    struct mixed m = mixed_pair();
    struct settled self;
    iouringnet_op *second;
    char into;

    settled_begin(&self, &m);
    CHECK_OK(stream_recv_async(m.stream, &into, 1, NULL, NULL, &second));
    CHECK_OK(op_cancel(second));
    CHECK_STATUS(op_finish(second, NULL), IOURINGNET_CANCELLED);
    settled_round(&self, m.peer);
    stream_close(m.stream);
    settled_end(&self, IOURINGNET_CLOSED, ROUNDS + 1);
    mixed_close(&m);
}

static void nothing_to_do(int signal) {
    (void)signal;
}

/* While a signal is pending, a receive finds nothing although the next byte is urgent. */
TEST(signals_and_urgent_bytes_keep_no_byte_from_a_settled_thread) {
    struct mixed m = mixed_pair();
    struct sigaction handled = {.sa_handler = nothing_to_do};
    struct settled self;

    CHECK_EQ(sigaction(SIGUSR1, &handled, NULL), 0);
    settled_begin(&self, &m);
    for (int i = ROUNDS; i < 200 + ROUNDS; i++) {
        char byte = (char)i;

        CHECK_EQ(pthread_kill(self.thread, SIGUSR1), 0);
        CHECK_EQ(send(m.peer, &byte, 1, (i % 3 == 0 ? MSG_OOB : 0) | MSG_NOSIGNAL), 1);
        for (int64_t end = now_ms() + WAIT_MS; atomic_load(&self.received) <= i;) {
            CHECK_EQ(pthread_kill(self.thread, SIGUSR1), 0);
            CHECK(now_ms() < end);
        }
    }
    raw_half_close(m.peer);
    settled_end(&self, IOURINGNET_EOF, 200 + ROUNDS);
    mixed_close(&m);
}

enum { STREAMS = 3, TURNS = 240 };

struct in_turn {
    struct waiter waiter;
    struct mixed m[STREAMS];
    _Atomic int received;
};

/* the turns become longer, so that the thread settles for no stream at first, and moves on later */
static int stream_of_turn(int turn) {
    return turn < TURNS / 3 ? turn % STREAMS : turn < TURNS / 3 * 2 ? turn / 5 % STREAMS : turn / 12 % STREAMS;
}

static void *receives_in_turn(void *user) {
    struct in_turn *self = user;

    waiter_begins(&self->waiter);
    for (int turn = 0; turn < TURNS; turn++) {
        const struct mixed *m = &self->m[stream_of_turn(turn)];
        char byte;

        CHECK_OK(stream_recv(m->stream, &byte, 1, NULL));
        CHECK_EQ(byte, (char)turn);
        atomic_fetch_add(&self->received, 1);
    }
    return NULL;
}

TEST(a_thread_receives_from_many_streams_in_turn) {
    struct in_turn self = {0};
    iouringnet_net *net = net_of_mode();
    pthread_t thread;

    for (int i = 0; i < STREAMS; i++)
        self.m[i] = mixed_pair_in(net, 0);
    thread = spawn(receives_in_turn, &self);
    for (int turn = 0; turn < TURNS; turn += 2) {
        char bytes[] = {(char)turn, (char)(turn + 1)};

        waiter_sleeps(&self.waiter);
        raw_send(self.m[stream_of_turn(turn + 1)].peer, bytes + 1, stream_of_turn(turn) != stream_of_turn(turn + 1));
        raw_send(self.m[stream_of_turn(turn)].peer, bytes, 1 + (stream_of_turn(turn) == stream_of_turn(turn + 1)));
        EVENTUALLY(atomic_load(&self.received) == turn + 2);
    }
    join(thread);
    for (int i = 0; i < STREAMS; i++)
        mixed_close(&self.m[i]);
    CHECK_OK(net_stop(net));
}

/* The next connection may have the descriptor and the memory of the one before. */
struct one_by_one {
    struct waiter waiter;
    iouringnet_net *net;
    _Atomic int peer[2]; /* of the connections with even and odd numbers */
    _Atomic int received;
};

enum { CONNECTIONS = 10, NO_PEER = -1 };

static void *receives_from_one_by_one(void *user) {
    struct one_by_one *self = user;

    waiter_begins(&self->waiter);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct mixed m = mixed_pair_in(self->net, 0);
        char byte;

        atomic_store(&self->peer[i % 2], m.peer);
        for (int round = 0; round < ROUNDS; round++) {
            CHECK_OK(stream_recv(m.stream, &byte, 1, NULL));
            if (round == ROUNDS - 1)
                atomic_store(&self->peer[i % 2], NO_PEER);
            atomic_fetch_add(&self->received, 1);
        }
        mixed_close(&m);
    }
    return NULL;
}

TEST(a_thread_settles_for_one_connection_after_the_other) {
    struct one_by_one self = {{0}, net_of_mode(), {NO_PEER, NO_PEER}, 0};
    pthread_t thread = spawn(receives_from_one_by_one, &self);

    for (int i = 0; i < CONNECTIONS * ROUNDS; i++) {
        _Atomic int *peer = &self.peer[i / ROUNDS % 2];

        EVENTUALLY(atomic_load(peer) != NO_PEER);
        waiter_sleeps(&self.waiter);
        raw_send(atomic_load(peer), "x", 1);
        EVENTUALLY(atomic_load(&self.received) == i + 1);
    }
    join(thread);
    CHECK_OK(net_stop(self.net));
}

/* A settled thread has two descriptors, which end with it. */
/* one mode */ TEST(settled_threads_leave_no_descriptor) {
    struct mixed m = mixed_pair();
    size_t before = count_entries("/proc/self/fd");
    struct settled self;

    for (int i = 0; i < 5; i++) {
        const char next = ROUNDS;

        CHECK_OK(stream_set_timeout(m.stream, IOURINGNET_NO_TIMEOUT));
        settled_begin(&self, &m);
        CHECK_EQ(count_entries("/proc/self/fd"), before + 2);
        CHECK_OK(stream_set_timeout(m.stream, 1));
        raw_send(m.peer, &next, 1);
        settled_end(&self, IOURINGNET_TIMEOUT, ROUNDS + 1);
        EVENTUALLY(count_entries("/proc/self/fd") == before);
    }
    mixed_close(&m);
}
