/* The ring of the client of echo servers: what comes on a connection is received by one entry that goes on by itself, into memory
 * that the kernel picks, and what is to be sent leaves in the system call that waits for what comes next. So the client does
 * little more for a message than the kernel's TCP work, and leaves it to the server to be the limit.
 *
 * Its one invariant: a send that need not be told is over, with or without a completion, when the system call that took it
 * returns, so that the connection's next one cannot overtake it.
 */
#define _GNU_SOURCE

#include "load_ring.h"
#include "load_base.h"
#include "server.h"

#include <liburing.h>
#include <sys/mman.h>

#define MOST_ENTRIES 32768u /* of the kernel's */
#define GROUP 1
#define LEAST_PIECE_SIZE 4096u
#define MOST_PIECE_SIZE (64 * 1024u)
#define LEAST_PIECES 64u
#define MOST_PIECES 4096u
#define IS_SEND 1u /* in the lowest bit of a completion's user data, which is the owner's address */

static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static unsigned char *memory;
static unsigned piece_size, pieces; /* of the memory, each for one completion */

/* The least power of two that is no less than `wanted`, between two others. */
static unsigned power_of_two(size_t wanted, unsigned least, unsigned most) {
    while (least < wanted && least < most)
        least *= 2;
    return least;
}

static void check(int result, const char *what) {
    if (result < 0) {
        errno = -result;
        die(what);
    }
}

/* Piece `i` is the kernel's again, as the `n`th since the last advance. */
static void give_back(unsigned i, int n) {
    io_uring_buf_ring_add(pool, memory + (size_t)i * piece_size, piece_size, (unsigned short)i,
                          io_uring_buf_ring_mask(pieces), n);
}

void open_ring(int connections, size_t size) {
    /* For a receive and a send of each connection, and not many more, so that the rings stay in the cache. */
    unsigned entries = power_of_two(2 * (size_t)connections, 64, MOST_ENTRIES);
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = power_of_two(8 * (size_t)connections, 256, 2 * MOST_ENTRIES),
    };
    check(io_uring_queue_init_params(entries, &ring, &params), "load: io_uring_queue_init_params");
    piece_size = power_of_two(size, LEAST_PIECE_SIZE, MOST_PIECE_SIZE);
    pieces = power_of_two((size_t)connections, LEAST_PIECES, MOST_PIECES);
    pool = mmap(NULL, pieces * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = mmap(NULL, (size_t)pieces * piece_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool == MAP_FAILED || memory == MAP_FAILED)
        die("load: mmap");
    struct io_uring_buf_reg place = {.ring_addr = (uintptr_t)pool, .ring_entries = pieces, .bgid = GROUP};
    check(io_uring_register_buf_ring(&ring, &place, 0), "load: io_uring_register_buf_ring");
    for (unsigned i = 0; i < pieces; i++)
        give_back(i, (int)i);
    io_uring_buf_ring_advance(pool, (int)pieces);
}

static struct io_uring_sqe *next_entry(void) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (!entry) {
        check(io_uring_submit(&ring), "load: io_uring_submit");
        entry = io_uring_get_sqe(&ring);
    }
    if (!entry)
        fail("the submission queue stays full");
    return entry;
}

void ring_receive(int fd, void *owner) {
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = GROUP;
    entry->user_data = (uintptr_t)owner;
}

void ring_send(int fd, void *owner, const void *data, size_t size, bool waits) {
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_send(entry, fd, data, size, MSG_NOSIGNAL | MSG_WAITALL | (waits ? 0 : MSG_DONTWAIT));
    if (!waits)
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = (uintptr_t)owner | IS_SEND;
}

void ring_wait(int64_t most_ns) {
    struct __kernel_timespec most = {.tv_sec = most_ns / SECOND, .tv_nsec = most_ns % SECOND};
    struct io_uring_cqe *first;
    int result = most_ns > 0 ? io_uring_submit_and_wait_timeout(&ring, &first, 1, &most, NULL)
                             : io_uring_submit_and_get_events(&ring);
    if (result != -ETIME && result != -EINTR)
        check(result, "load: io_uring_enter");
}

void ring_deliver(void (*received)(void *owner, const unsigned char *data, int result, bool goes_on),
                  void (*sent)(void *owner, int result)) {
    unsigned head, seen = 0;
    int returned = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring, head, cqe) {
        seen++;
        void *owner = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)IS_SEND);
        if (cqe->user_data & IS_SEND) {
            sent(owner, cqe->res);
            continue;
        }
        unsigned piece = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        received(owner, memory + (size_t)piece * piece_size, cqe->res, cqe->flags & IORING_CQE_F_MORE);
        if (cqe->flags & IORING_CQE_F_BUFFER)
            give_back(piece, returned++);
    }
    io_uring_cq_advance(&ring, seen);
    io_uring_buf_ring_advance(pool, returned);
}
