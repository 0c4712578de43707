/* floor_dial_epoll: dials as epoll programmers do by hand. One thread; the message is tried as soon as connect(2) has begun,
 * since a connection within a machine is there by then. Its one invariant: a descriptor in the poller is that of a connection
 * whose answer is not whole. */
#define _GNU_SOURCE

#include "server.h"

#include <sys/epoll.h>

struct connection {
    int fd;
    bool sent;
    size_t received;
    unsigned char message[DIAL_MESSAGE];
};

static int poller;
static struct sockaddr_in target;

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void hang_up(struct connection *c, int error) {
    dial_failed(error);
    close(c->fd);
}

/* Sends the message and watches for the answer; without a connection yet, for that. */
static void send_message(struct connection *c, int operation) {
    ssize_t n = send(c->fd, c->message, DIAL_MESSAGE, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        hang_up(c, errno);
        return;
    }
    if (n >= 0 && n != DIAL_MESSAGE)
        die("a new connection has no room for a message");
    c->sent = n > 0;
    watch(c, operation, c->sent ? EPOLLIN : EPOLLOUT);
}

static void dial(struct connection *c) {
    c->sent = false;
    c->received = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    set_nodelay(c->fd);
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) != 0 && errno != EINPROGRESS)
        hang_up(c, errno);
    else
        send_message(c, EPOLL_CTL_ADD);
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, c->message + c->received, DIAL_MESSAGE - c->received, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        hang_up(c, n < 0 ? errno : ECONNRESET);
        return;
    }
    c->received += (size_t)n;
    if (c->received < DIAL_MESSAGE)
        return;
    close(c->fd);
    dial(c);
}

int main(void) {
    struct connection connections[DIALS];
    struct orders orders = take_orders();
    target = address_of(orders.target);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    for (int i = 0; i < DIALS; i++) {
        memcpy(connections[i].message, orders.message, DIAL_MESSAGE);
        dial(&connections[i]);
    }
    for (;;) {
        struct epoll_event events[DIALS];
        int n = epoll_wait(poller, events, DIALS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->sent)
                receive(c);
            else
                send_message(c, EPOLL_CTL_MOD);
        }
    }
}
