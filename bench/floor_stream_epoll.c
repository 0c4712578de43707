/* floor_stream_epoll: one-way streams (stream.h) as epoll programmers write them by hand. One thread, level-triggered, one
 * call of recv(2) or send(2) at each event. */
#define _GNU_SOURCE

#include "epoll.h"
#include "stream.h"

struct connection {
    bool asked;
    struct stream_request request;
    uint64_t offset; /* of a download */
    struct upload upload;
};

static struct connection connections[MOST_DESCRIPTORS]; /* by descriptor */
static unsigned char buffer[STREAM_BUFFER];

static void hang_up(int fd) {
    connections[fd] = (struct connection){0};
    close(fd);
}

/* Answers of 8 bytes: the socket has room for them. */
static bool answer(int fd, const void *eight) {
    return send(fd, eight, 8, MSG_NOSIGNAL) == 8;
}

static void begin(int fd) {
    struct connection *c = &connections[fd];
    if (recv(fd, &c->request, sizeof c->request, 0) != sizeof c->request || c->request.send_size > MOST_PIECE ||
        !answer(fd, &c->request)) {
        hang_up(fd);
        return;
    }
    c->asked = true;
    if (c->request.send_size > 0)
        watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
}

/* One send of a whole piece, or of what is left of one. */
static void send_more(int fd) {
    struct connection *c = &connections[fd];
    size_t left = c->request.send_size - (size_t)(c->offset % c->request.send_size);
    ssize_t sent = send(fd, pattern_at(c->request.number, c->offset), left, MSG_NOSIGNAL);
    if (sent > 0)
        c->offset += (uint64_t)sent;
    else if (sent < 0 && errno != EAGAIN)
        hang_up(fd);
}

static void receive(int fd) {
    struct connection *c = &connections[fd];
    ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size > 0) {
        upload_took(&c->upload, c->request.number, buffer, (size_t)size);
        return;
    }
    if (size == 0) {
        uint64_t count = upload_answer(&c->upload);
        answer(fd, &count);
    }
    hang_up(fd);
}

int main(void) {
    fill_pattern();
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
            else if (!connections[fd].asked)
                begin(fd);
            else if (connections[fd].request.send_size > 0)
                send_more(fd);
            else
                receive(fd);
        }
    }
}
