/* Watches that their deadline ends while bytes arrive: what comes before the kernel learns of the end is shown or stays in the
   stream, once and in order.

   This program defines syscall itself, so the library's calls come here. The bytes come inside the calls that follow the
   deadline. One of them brings the kernel the cancel of the watch's receive.
   Rule: Timeouts. */

#include "own_syscall.h"
#include "support.h"

enum { PIECE_MAX = 6000, MOST = 8 * PIECE_MAX, SEED = 11 };

/* of io_uring_enter(2) */
enum { TO_SUBMIT = 1, FLAGS = 3, GETEVENTS = 1 << 0, REGISTERED_RING = 1 << 4 };

struct row {
    size_t piece;
    bool shows;  /* the callback is shown a piece after the deadline was set */
    bool leaves; /* the callback leaves a byte of each call */
};

static const struct row rows[] = {
    {3, false, false},        {3, true, false},
    {3, true, true},          {PIECE_MAX, false, false}, /* more than a buffer of the pool holds */
    {PIECE_MAX, true, false}, {PIECE_MAX, true, true},
};

struct late {
    const struct row *row;
    struct mixed m;
    struct ending ending;
    pid_t thread;         /* the callback thread */
    _Atomic int64_t from; /* pieces come from this moment on */
    size_t sent;          /* the callback thread's from then on, until the watch has ended */
    size_t pieces;        /* that came inside a call */
    atomic_size_t shown, consumed;
    bool is_inside, is_over;
};

static struct late *_Atomic current;

static void send_piece(struct late *late) {
    char piece[PIECE_MAX];

    pattern_fill(piece, late->row->piece, late->sent, SEED);
    CHECK_EQ(send(late->m.peer, piece, late->row->piece, MSG_DONTWAIT | MSG_NOSIGNAL), late->row->piece);
    late->sent += late->row->piece;
}

/* a piece comes, and the kernel receives it before it looks at what is submitted */
static void piece_comes(struct late *late, long ring, long flags) {
    late->is_inside = true;
    send_piece(late);
    late->pieces++;
    if (ring >= 0)
        syscall(SYS_io_uring_enter, ring, 0L, 0L, (flags & REGISTERED_RING) | GETEVENTS, NULL, 0L);
    late->is_inside = false;
}

static bool fails(long number) {
    struct late *late = atomic_load(&current);
    bool submits = number == SYS_io_uring_enter && call_arguments[TO_SUBMIT] > 0;
    bool waits = number == SYS_epoll_pwait || number == SYS_epoll_pwait2;
    long ring = submits ? call_arguments[0] : -1, flags = call_arguments[FLAGS];

    if (late == NULL || (!submits && !waits) || thread_id() != late->thread)
        return false;
    if (!late->is_inside && !late->is_over && now_ms() >= atomic_load(&late->from) &&
        late->sent + late->row->piece <= MOST)
        piece_comes(late, ring, flags);
    return false;
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct late *late = user;
    size_t consumed = late->row->leaves && size > 0 ? size - 1 : size;

    pattern_check(data, size, atomic_load(&late->consumed), SEED);
    atomic_store(&late->shown, atomic_load(&late->consumed) + size);
    atomic_fetch_add(&late->consumed, consumed);
    late->is_over = status != 0;
    ending_note(&late->ending, status);
    return consumed;
}

static void note_thread(void *user) {
    *(pid_t *)user = thread_id();
}

/* the stream has exactly what the callback has not consumed */
static void rest_is_there(struct late *late) {
    size_t consumed = atomic_load(&late->consumed), rest = late->sent - consumed;
    char *got = take(rest + 1);

    CHECK(consumed <= late->sent);
    raw_half_close(late->m.peer);
    CHECK_OK(stream_recv(late->m.stream, got, rest, NULL));
    pattern_check(got, rest, consumed, SEED);
    CHECK_STATUS(stream_recv_some(late->m.stream, got, 1, NULL), IOURINGNET_EOF);
    free(got);
}

/* how many pieces came inside calls after the deadline */
static size_t round_of(const struct row *row, int64_t limit_ms) {
    struct late late = {.row = row, .ending = ENDING, .from = INT64_MAX};
    int64_t began;

    late.m = mixed_pair();
    on_callback_thread(late.m.net, note_thread, &late.thread);
    atomic_store(&current, &late);
    CHECK_OK(watch_data(late.m.stream, on_data, &late));
    began = now_ms();
    CHECK_OK(stream_set_deadline(late.m.stream, limit_ms));
    if (row->shows) {
        send_piece(&late);
        EVENTUALLY(atomic_load(&late.shown) == late.sent || atomic_load(&late.ending.ends) > 0);
    }
    atomic_store(&late.from, began + limit_ms); /* the watch does not end before */
    CHECK_STATUS(ending_wait(&late.ending), IOURINGNET_TIMEOUT);
    atomic_store(&current, NULL);
    rest_is_there(&late);
    mixed_close(&late.m);
    return late.pieces;
}

TEST(what_comes_before_the_receive_of_a_watch_is_cancelled_is_shown_or_stays) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t limit_ms = 25;

        /* on a busy machine the watch may end before this test knows when the deadline began */
        while (round_of(&rows[i], limit_ms) == 0 && limit_ms < 1000)
            limit_ms *= 2;
    }
}
