/* Watches at their bounds: just buffer_max kept, too much kept from one message, a limit that begins late, a
   pause while a receive is in flight; and what a receive that waits excludes.
   Rule: Watches. */

#include "inside.h"

#include <sys/ioctl.h>

enum { MAX = 2000 };

/* a connection whose peer is a plain socket, with a buffer_max of MAX */
static struct mixed watched(void) {
    iouringnet_config config = config_of_mode();

    config.buffer_max = MAX;
    return mixed_pair_with(&config, 0);
}

/* consumes small messages; of one that begins with 'k' all is kept */
struct keeper {
    struct ending ending;
    atomic_size_t shown, kept;
};

static size_t keeps_large(void *user, iouringnet_status status, const void *data, size_t size) {
    struct keeper *keeper = user;

    if (status != 0) {
        ending_note(&keeper->ending, status);
        return 0;
    }
    atomic_fetch_add(&keeper->shown, size);
    if (*(const char *)data == 'k') {
        atomic_store(&keeper->kept, size);
        return 0;
    }
    return size;
}

/* `count` messages, each shown before the next one comes, so that the watch is in the way of its habit */
static void small_messages(struct mixed *w, struct keeper *keeper, int count) {
    for (int i = 0; i < count; i++) {
        size_t before = atomic_load(&keeper->shown);

        raw_send(w->peer, "few", 3);
        EVENTUALLY(atomic_load(&keeper->shown) == before + 3);
    }
}

TEST(keeping_just_buffer_max_is_fine) {
    for (int messages = 0; messages < 6; messages += 5) {
        struct mixed w = watched();
        struct keeper keeper = {.ending = ENDING};
        char data[MAX], got[MAX];

        memset(data, 'k', MAX);
        CHECK_OK(watch_data(w.stream, keeps_large, &keeper));
        small_messages(&w, &keeper, messages);
        raw_send(w.peer, data, MAX);
        EVENTUALLY(atomic_load(&keeper.kept) == MAX);
        settle(w.net);
        CHECK_OK(stream_unwatch(w.stream));
        CHECK_STATUS(ending_wait(&keeper.ending), IOURINGNET_CANCELLED);
        CHECK_OK(stream_recv(w.stream, got, MAX, NULL));
        CHECK_MEM(got, data, MAX);
        mixed_close(&w);
    }
}

TEST(keeping_more_than_buffer_max_of_one_message_ends_the_watch) {
    for (int messages = 0; messages < 6; messages += 5) {
        struct mixed w = watched();
        struct keeper keeper = {.ending = ENDING};
        char data[MAX + 1], got[MAX + 1];

        memset(data, 'k', sizeof data);
        CHECK_OK(watch_data(w.stream, keeps_large, &keeper));
        small_messages(&w, &keeper, messages);
        raw_send(w.peer, data, sizeof data);
        CHECK_STATUS(ending_wait(&keeper.ending), IOURINGNET_TOO_BIG);
        CHECK_OK(stream_recv(w.stream, got, sizeof got, NULL));
        CHECK_MEM(got, data, sizeof got);
        mixed_close(&w);
    }
}

TEST(a_limit_set_on_a_watch_that_was_idle_counts_from_then) {
    enum { IDLE_MS = 700, LIMIT_MS = 400 };
    struct pair p = tcp_pair();
    struct ending ending = ENDING;
    struct latch idle = LATCH(1);
    int64_t began;

    CHECK_OK(watch_data(p.b.stream, ending_store_data, &ending));
    CHECK(!latch_wait_ms(&idle, IDLE_MS));
    began = now_ms();
    CHECK_OK(connection_set_idle_timeout(NULL, p.b.stream, LIMIT_MS));
    CHECK_STATUS(ending_wait(&ending), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(10000));
    pair_close(&p);
}

/* what has come and the library has not received */
static int left_in_kernel(int fd) {
    int left = -1;

    CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
    return left;
}

/* What comes after a pause stays in the kernel, which holds the peer back, but for the first of it: that ends
   the receive that was in flight. */
TEST(a_pause_ends_the_receive_in_flight) {
    struct mixed w = watched();
    struct keeper keeper = {.ending = ENDING};
    int fd = descriptor_of(w.sink), messages = 0;
    size_t shown;

    CHECK_OK(watch_data(w.stream, keeps_large, &keeper));
    small_messages(&w, &keeper, 5);
    CHECK_OK(stream_pause(w.stream));
    shown = atomic_load(&keeper.shown);
    for (int left = 0; left < 3; messages++) {
        CHECK(messages < 50);
        raw_send(w.peer, "few", 3);
        settle(w.net);
        nap();
        left = left_in_kernel(fd);
    }
    CHECK_EQ(atomic_load(&keeper.shown), shown);
    CHECK_OK(stream_resume(w.stream));
    EVENTUALLY(atomic_load(&keeper.shown) == shown + 3 * (size_t)messages);
    CHECK_OK(stream_unwatch(w.stream));
    CHECK_STATUS(ending_wait(&keeper.ending), IOURINGNET_CANCELLED);
    mixed_close(&w);
}

TEST(a_waiting_receive_excludes_consuming) {
    struct pair p = tcp_pair();
    struct result received = RESULT;
    const void *data;
    size_t size;
    char into[8];

    CHECK_OK(sink_send(p.a.sink, "abcd", 4, NULL));
    CHECK_OK(stream_fill(p.b.stream, 4));
    CHECK_OK(stream_recv_async(p.b.stream, into, 8, result_store, &received, NULL));
    CHECK_STATUS(stream_consume(p.b.stream, 2), IOURINGNET_BUSY);
    CHECK_STATUS(stream_consume(p.b.stream, 0), IOURINGNET_BUSY);
    CHECK_STATUS(stream_peek(p.b.stream, 4, &data, &size), IOURINGNET_BUSY);
    CHECK_STATUS(watch_data(p.b.stream, never_data, NULL), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "efgh", 4, NULL));
    CHECK_OK(result_wait(&received));
    CHECK_MEM(into, "abcdefgh", 8);
    pair_close(&p);
}

struct receiver {
    iouringnet_stream *stream;
    struct waiter waiter;
    char into[8];
    iouringnet_status status;
};

static void *receives_eight(void *user) {
    struct receiver *self = user;

    waiter_begins(&self->waiter);
    self->status = stream_recv(self->stream, self->into, 8, NULL);
    return NULL;
}

TEST(a_thread_that_waits_in_a_receive_excludes_consuming) {
    struct pair p = tcp_pair();
    struct receiver self = {.stream = p.b.stream};
    pthread_t thread;
    const void *data;
    size_t size;

    CHECK_OK(sink_send(p.a.sink, "abcd", 4, NULL));
    CHECK_OK(stream_fill(p.b.stream, 4));
    thread = spawn(receives_eight, &self);
    waiter_sleeps(&self.waiter);
    CHECK_STATUS(stream_peek(p.b.stream, 4, &data, &size), IOURINGNET_BUSY);
    CHECK_STATUS(stream_consume(p.b.stream, 2), IOURINGNET_BUSY);
    CHECK_STATUS(watch_data(p.b.stream, never_data, NULL), IOURINGNET_BUSY);
    CHECK_OK(sink_send(p.a.sink, "efgh", 4, NULL));
    join(thread);
    CHECK_OK(self.status);
    CHECK_MEM(self.into, "abcdefgh", 8);
    CHECK_OK(stream_peek(p.b.stream, 4, &data, &size));
    CHECK_EQ(size, 0);
    pair_close(&p);
}
