/* floor_dial_io_uring: dials as io_uring programmers do by hand. One thread, one ring; connect, send and receive are a chain of
 * which only the end makes a completion, and all chains of a turn go in by the system call that waits. Its one invariant: each
 * connection has one chain in the kernel, to whose last entry alone its message belongs once it is sent. */
#define _GNU_SOURCE

#include "server.h"

#include <liburing.h>

#define ENTRIES 64 /* for three of each connection, and more */

struct connection {
    int fd;
    unsigned char message[DIAL_MESSAGE];
};

static struct io_uring ring;
static struct sockaddr_in target;

static struct io_uring_sqe *entry(struct connection *c) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe)
        die("the submission queue is full");
    io_uring_sqe_set_data(sqe, c);
    return sqe;
}

static void dial(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    set_nodelay(c->fd);
    struct io_uring_sqe *sqe = entry(c);
    io_uring_prep_connect(sqe, c->fd, (struct sockaddr *)&target, sizeof target);
    sqe->user_data |= 1; /* not the last of its chain; the pointer has zeroes there */
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe = entry(c);
    io_uring_prep_send(sqe, c->fd, c->message, DIAL_MESSAGE, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data |= 1;
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe = entry(c);
    io_uring_prep_recv(sqe, c->fd, c->message, DIAL_MESSAGE, MSG_WAITALL);
}

static void on_completion(const struct io_uring_cqe *cqe) {
    struct connection *c = (struct connection *)(uintptr_t)(cqe->user_data & ~1ull);
    if (cqe->user_data & 1) {
        dial_failed(cqe->res < 0 ? -cqe->res : ECONNRESET);
    } else if (cqe->res == DIAL_MESSAGE) {
        close(c->fd);
        dial(c);
    } else {
        if (cqe->res != -ECANCELED) /* an earlier one of the chain has told why */
            dial_failed(cqe->res < 0 ? -cqe->res : ECONNRESET);
        close(c->fd);
    }
}

int main(void) {
    static struct connection connections[DIALS];
    struct orders orders = take_orders();
    target = address_of(orders.target);
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    };
    int result = io_uring_queue_init_params(ENTRIES, &ring, &params);
    for (int i = 0; i < DIALS && result >= 0; i++) {
        memcpy(connections[i].message, orders.message, DIAL_MESSAGE);
        dial(&connections[i]);
    }
    while (result >= 0 || result == -EINTR) {
        unsigned head, seen = 0;
        struct io_uring_cqe *cqe;
        result = io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe) {
            on_completion(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
    errno = -result;
    die("io_uring");
}
