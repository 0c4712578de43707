/* floor_proxy_epoll: the proxy that epoll programmers write by hand: a connection to the backend for each one that it accepts,
 * and bytes both ways. Usage: floor_proxy_epoll BACKEND
 *
 * One thread, level-triggered. Its one invariant: while bytes for one end wait for room there, nothing is received from the
 * other. */
#define _GNU_SOURCE

#include "epoll.h"

#define BUFFER (64 * 1024)

struct pair;

struct end {
    int fd;
    struct pair *pair;
    struct end *other;
    unsigned char *kept; /* what this end's socket did not take; NULL: nothing */
    size_t kept_size;
    bool input_ended; /* its peer has ended */
    uint32_t watched; /* events; 0: not in the poller */
};

struct pair {
    struct end client, backend;
    bool closed; /* freed when the events at hand have been served */
    struct pair *next;
};

static unsigned char buffer[BUFFER];
static struct sockaddr_in backend;
static struct pair *closed;

/* Waits for what an end can do next: take what is kept for it, or bring what the other can take. */
static void watch_end(struct end *e) {
    uint32_t events = (e->kept ? EPOLLOUT : 0u) | (e->input_ended || e->other->kept ? 0u : EPOLLIN);
    if (events == e->watched)
        return;
    watch_as(e->fd,
             e->watched == 0 ? EPOLL_CTL_ADD
             : events == 0   ? EPOLL_CTL_DEL
                             : EPOLL_CTL_MOD,
             events, (epoll_data_t){.ptr = e});
    e->watched = events;
}

static void hang_up(struct pair *p) {
    close(p->client.fd);
    close(p->backend.fd);
    free(p->client.kept);
    free(p->backend.kept);
    p->closed = true;
    p->next = closed;
    closed = p;
}

/* Passes the end on once nothing is kept before it. */
static void pass_end(struct end *from) {
    if (!from->input_ended || from->other->kept)
        return;
    shutdown(from->other->fd, SHUT_WR);
    if (from->other->input_ended && !from->kept)
        hang_up(from->pair);
}

static void keep(struct end *e, size_t size, size_t out) {
    e->kept_size = size - out;
    e->kept = malloc(e->kept_size);
    if (!e->kept)
        die("malloc");
    memcpy(e->kept, buffer + out, e->kept_size);
}

static void receive(struct end *from) {
    ssize_t size = recv(from->fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size < 0) {
        hang_up(from->pair);
        return;
    }
    if (size == 0) {
        from->input_ended = true;
        watch_end(from);
        pass_end(from);
        return;
    }
    ssize_t sent = send(from->other->fd, buffer, (size_t)size, MSG_NOSIGNAL);
    if (sent == size)
        return;
    if (sent < 0 && errno != EAGAIN) {
        hang_up(from->pair);
        return;
    }
    keep(from->other, (size_t)size, sent > 0 ? (size_t)sent : 0);
    watch_end(from);
    watch_end(from->other);
}

static void send_kept(struct end *e) {
    ssize_t sent = send(e->fd, e->kept, e->kept_size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
        return;
    if (sent < 0) {
        hang_up(e->pair);
        return;
    }
    e->kept_size -= (size_t)sent;
    memmove(e->kept, e->kept + sent, e->kept_size);
    if (e->kept_size > 0)
        return;
    free(e->kept);
    e->kept = NULL;
    watch_end(e);
    watch_end(e->other);
    pass_end(e->other);
}

static void begin(int fd) {
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        die("calloc");
    int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (to < 0)
        die("socket");
    set_nodelay(to);
    p->client = (struct end){.fd = fd, .pair = p, .other = &p->backend};
    p->backend = (struct end){.fd = to, .pair = p, .other = &p->client};
    if (connect(to, (struct sockaddr *)&backend, sizeof backend) != 0 && errno != EINPROGRESS) {
        hang_up(p);
        return;
    }
    watch_end(&p->client); /* bytes that come before the backend is connected are kept until it is */
    watch_end(&p->backend);
}

static void accept_pairs(int listener) {
    for (int fd; (fd = accept_now(listener)) >= 0;)
        begin(fd);
}

static void serve(struct end *e, uint32_t events) {
    if (e->pair->closed)
        return;
    if (e->kept && (events & ~(uint32_t)EPOLLIN))
        send_kept(e);
    else if (!e->input_ended && !e->other->kept)
        receive(e);
    else if (events & (EPOLLERR | EPOLLHUP))
        hang_up(e->pair);
}

int main(int argc, char **argv) {
    backend = address_of(argc == 2 ? argv[1] : "");
    open_poller();
    int listener = listen_here(SOCK_NONBLOCK);
    watch_as(listener, EPOLL_CTL_ADD, EPOLLIN, (epoll_data_t){.ptr = NULL});
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        int n = wait_for_events(events);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_pairs(listener);
        }
        while (closed) {
            struct pair *p = closed;
            closed = p->next;
            free(p);
        }
    }
}
