/* floor_io_uring: the echo server that io_uring programmers write by hand, and what the library is measured against. One
 * thread, one ring, multishot accept and receive, buffers that the kernel picks from a shared ring, and sends that are
 * submitted by the same system call that waits for what comes next.
 *
 *   --skip-success      sends are tried without waiting and complete silently, which saves a completion each
 *   --inline            each message is tried by a send(2) of its own; the ring sends only what falls short
 *   --buffer-size N     bytes of each receive buffer (4096)
 *   --buffers N         their number, a power of two (512)
 *
 * Its one invariant: a connection has at most one send in the kernel, and what has arrived meanwhile queues behind it, so
 * that bytes leave in the order in which they came. */
#define _GNU_SOURCE

#include "server.h"

#include <liburing.h>
#include <stdint.h>
#include <sys/mman.h>

#define ENTRIES 4096
#define COMPLETIONS 16384
#define MOST_BUFFERS 32768
#define GROUP 1
#define NONE (-1)

/* What a completion belongs to: the kind, the buffer and the descriptor, in its 64 bits of user data. TRY is a send that
 * cannot wait and completes only if it falls short. */
enum kind { ACCEPT, RECEIVE, SEND, TRY };

struct connection {
    int first, last; /* buffers to be sent, the first of them in the kernel; NONE: nothing to send */
    bool broken;     /* a send failed: what still comes is thrown away */
    bool ended;      /* the receive is over for good */
};

struct piece {
    int next; /* the buffer to be sent after this one, or NONE */
    unsigned offset, size;
};

static struct connection connections[MOST_DESCRIPTORS]; /* by descriptor */
static struct piece pieces[MOST_BUFFERS];               /* by buffer */
static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static unsigned char *memory;
static unsigned buffer_size = 4096, buffers = 512;
static int returned; /* buffers put into the pool and not yet shown to the kernel */
static bool skip_success, inline_sends;

struct attempt {
    int fd, buffer;
};

/* Tries that the next enter decides: no completion after it means that all went out. */
static struct attempt tries[MOST_BUFFERS];
static unsigned try_count;
static bool queued; /* a piece waits behind another: if that is a try, no completion will tell when its turn comes */

/* Connections whose receive ended for want of a buffer. */
static int starved[MOST_DESCRIPTORS];
static unsigned starved_count;

static uint64_t pack(enum kind kind, int buffer, int fd) {
    return (uint64_t)kind << 56 | (uint64_t)(uint32_t)buffer << 32 | (uint32_t)fd;
}

static struct io_uring_sqe *entry(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (!sqe)
        die("the submission queue stays full");
    return sqe;
}

static void arm_accept(int listener) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = pack(ACCEPT, 0, listener);
}

static void arm_receive(int fd) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = pack(RECEIVE, 0, fd);
}

static void give_back(int buffer) {
    io_uring_buf_ring_add(pool, memory + (size_t)buffer * buffer_size, buffer_size, (unsigned short)buffer,
                          io_uring_buf_ring_mask(buffers), returned++);
}

static void send_piece(int fd, int buffer, bool try) {
    struct piece *p = &pieces[buffer];
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, fd, memory + (size_t)buffer * buffer_size + p->offset, p->size - p->offset,
                       MSG_NOSIGNAL | MSG_WAITALL | (try ? MSG_DONTWAIT : 0));
    sqe->user_data = pack(try ? TRY : SEND, buffer, fd);
    if (try) {
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        tries[try_count].fd = fd;
        tries[try_count++].buffer = buffer;
    }
}

/* Closes once nothing of the connection is in the kernel any more. */
static void close_if_over(int fd) {
    if (connections[fd].ended && connections[fd].first == NONE)
        close(fd);
}

/* The piece in the kernel is out, or will never be. */
static void finish_piece(int fd, int buffer) {
    struct connection *c = &connections[fd];
    c->first = pieces[buffer].next;
    give_back(buffer);
    if (c->broken) /* the rest of the queue goes the same way */
        while (c->first != NONE) {
            int next = pieces[c->first].next;
            give_back(c->first);
            c->first = next;
        }
    if (c->first != NONE) /* with a completion: it goes on when the silent ones have all been seen to */
        send_piece(fd, c->first, false);
    close_if_over(fd);
}

static void on_sent(int fd, int buffer, int result) {
    struct piece *p = &pieces[buffer];
    if (result == -EAGAIN)
        result = 0;
    if (result < 0) {
        connections[fd].broken = true;
        shutdown(fd, SHUT_RDWR); /* ends the receive, after which it is closed */
        finish_piece(fd, buffer);
        return;
    }
    p->offset += (unsigned)result;
    if (p->offset < p->size)
        send_piece(fd, buffer, false); /* waits for room in the kernel */
    else
        finish_piece(fd, buffer);
}

/* Tries the piece by a system call of its own. */
static void send_inline(int fd, int buffer) {
    ssize_t sent = send(fd, memory + (size_t)buffer * buffer_size, pieces[buffer].size, MSG_NOSIGNAL | MSG_DONTWAIT);
    on_sent(fd, buffer, sent < 0 ? -errno : (int)sent);
}

static void on_received(int fd, const struct io_uring_cqe *cqe) {
    struct connection *c = &connections[fd];
    if (cqe->res > 0) {
        int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        if (c->broken) {
            give_back(buffer);
        } else {
            pieces[buffer] = (struct piece){.next = NONE, .size = (unsigned)cqe->res};
            if (c->first == NONE) {
                c->first = c->last = buffer;
                if (inline_sends)
                    send_inline(fd, buffer);
                else
                    send_piece(fd, buffer, skip_success);
            } else {
                pieces[c->last].next = buffer;
                c->last = buffer;
                queued = true;
            }
        }
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res > 0) {
        arm_receive(fd);
    } else if (cqe->res == -ENOBUFS) {
        starved[starved_count++] = fd;
    } else {
        c->ended = true;
        close_if_over(fd);
    }
}

static void on_accepted(int listener, const struct io_uring_cqe *cqe) {
    if (cqe->res >= MOST_DESCRIPTORS)
        die("accept");
    if (cqe->res >= 0) {
        set_nodelay(cqe->res);
        connections[cqe->res] = (struct connection){.first = NONE, .last = NONE};
        arm_receive(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_accept(listener);
}

static void on_completion(const struct io_uring_cqe *cqe) {
    int fd = (int)(uint32_t)cqe->user_data;
    switch ((enum kind)(cqe->user_data >> 56)) {
    case ACCEPT: on_accepted(fd, cqe); break;
    case RECEIVE: on_received(fd, cqe); break;
    case SEND: on_sent(fd, (int)(cqe->user_data >> 32 & 0xffffff), cqe->res); break;
    case TRY: break; /* seen to before */
    }
}

/* Decides the tries of the last enter, before anything queues behind them. A try with a completion fell short. */
static void settle_tries(void) {
    unsigned head, count = try_count;
    struct io_uring_cqe *cqe;
    try_count = 0; /* those that are made from here on belong to the next enter */
    io_uring_for_each_cqe(&ring, head, cqe) {
        if ((enum kind)(cqe->user_data >> 56) != TRY)
            continue;
        int buffer = (int)(cqe->user_data >> 32 & 0xffffff);
        for (unsigned i = 0; i < count; i++)
            if (tries[i].buffer == buffer)
                tries[i] = tries[--count];
        on_sent((int)(uint32_t)cqe->user_data, buffer, cqe->res);
    }
    static int settled[MOST_BUFFERS][2];
    for (unsigned i = 0; i < count; i++) {
        settled[i][0] = tries[i].fd;
        settled[i][1] = tries[i].buffer;
    }
    for (unsigned i = 0; i < count; i++)
        finish_piece(settled[i][0], settled[i][1]);
}

static unsigned option(int argc, char **argv, const char *name, unsigned usual, unsigned most) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) {
            unsigned long value = strtoul(argv[i + 1], NULL, 10);
            if (value == 0 || value > most)
                die(name);
            return (unsigned)value;
        }
    return usual;
}

static void set_up(void) {
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int result = io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (result < 0) {
        errno = -result;
        die("io_uring_queue_init_params");
    }
    size_t pool_size = buffers * sizeof(struct io_uring_buf);
    pool = mmap(NULL, pool_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = mmap(NULL, (size_t)buffers * buffer_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool == MAP_FAILED || memory == MAP_FAILED)
        die("mmap");
    struct io_uring_buf_reg place = {.ring_addr = (uintptr_t)pool, .ring_entries = buffers, .bgid = GROUP};
    result = io_uring_register_buf_ring(&ring, &place, 0);
    if (result < 0) {
        errno = -result;
        die("io_uring_register_buf_ring");
    }
    for (unsigned b = 0; b < buffers; b++)
        give_back((int)b);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--skip-success") == 0)
            skip_success = true;
        if (strcmp(argv[i], "--inline") == 0)
            inline_sends = true;
    }
    buffer_size = option(argc, argv, "--buffer-size", buffer_size, 1 << 20);
    buffers = option(argc, argv, "--buffers", buffers, MOST_BUFFERS);
    set_up();
    arm_accept(listen_here(0));
    for (;;) {
        io_uring_buf_ring_advance(pool, returned);
        returned = 0;
        int result = io_uring_submit_and_wait(&ring, queued && try_count > 0 ? 0 : 1);
        if (result < 0 && result != -EINTR) {
            errno = -result;
            die("io_uring_submit_and_wait");
        }
        queued = false;
        if (skip_success)
            settle_tries();
        unsigned head, seen = 0;
        struct io_uring_cqe *cqe;
        io_uring_for_each_cqe(&ring, head, cqe) {
            on_completion(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
        /* Only where a buffer has come back: a receive that finds none again would end again at once. */
        while (starved_count > 0 && returned > 0)
            arm_receive(starved[--starved_count]);
    }
}
