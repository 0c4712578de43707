/* floor_epoll: the echo server that epoll programmers write by hand. One thread, level-triggered, recv(2) and send(2) at
 * each event. Its one invariant: while bytes of a connection wait for room, nothing is received from it. */
#define _GNU_SOURCE

#include "epoll.h"

#define BUFFER (64 * 1024)

struct connection {
    unsigned char *kept; /* what the socket did not take; NULL: nothing */
    size_t kept_size;
};

static struct connection connections[MOST_DESCRIPTORS]; /* by descriptor */
static unsigned char buffer[BUFFER];

static void hang_up(int fd) {
    free(connections[fd].kept);
    connections[fd] = (struct connection){0};
    close(fd);
}

static void receive(int fd) {
    ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        hang_up(fd);
        return;
    }
    ssize_t sent = send(fd, buffer, (size_t)size, MSG_NOSIGNAL);
    if (sent == size)
        return;
    if (sent < 0 && errno != EAGAIN) {
        hang_up(fd);
        return;
    }
    struct connection *c = &connections[fd];
    size_t out = sent > 0 ? (size_t)sent : 0;
    c->kept_size = (size_t)size - out;
    c->kept = malloc(c->kept_size);
    if (!c->kept)
        die("malloc");
    memcpy(c->kept, buffer + out, c->kept_size);
    watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
}

static void send_kept(int fd) {
    struct connection *c = &connections[fd];
    ssize_t sent = send(fd, c->kept, c->kept_size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
        return;
    if (sent < 0) {
        hang_up(fd);
        return;
    }
    c->kept_size -= (size_t)sent;
    memmove(c->kept, c->kept + sent, c->kept_size);
    if (c->kept_size > 0)
        return;
    free(c->kept);
    c->kept = NULL;
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

int main(void) {
    open_poller();
    int listener = listen_here(SOCK_NONBLOCK);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        int n = wait_for_events(events);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(fd);
            else if (connections[fd].kept)
                send_kept(fd);
            else
                receive(fd);
        }
    }
}
