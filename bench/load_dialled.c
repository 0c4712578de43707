/* The mode "dialled" of the load generator: this program listens, and the one that is measured dials (server.h has what it is
 * told). Its one invariant: each connection must bring, once, what an earlier one was answered with, which proves the answer to
 * have arrived. */
#define _GNU_SOURCE

#include "load_dialled.h"
#include "load_base.h"
#include "load_connections.h"
#include "load_measure.h"
#include "load_options.h"
#include "pattern.h"
#include "server.h"

#include <sys/epoll.h>

struct dialled {
    int fd; /* NONE: a free place */
    bool answered;
    uint64_t number; /* what it is answered with */
    size_t received;
    unsigned char message[MOST_SIZE];
};

/* What a connection was answered with, and no later one has brought yet. At first as many as there are dials in flight. */
struct answer {
    uint64_t number;
    int64_t at;
};

#define NONE (-1)
/* A connection that has closed is often seen to be over only after the next has come; many more were never closed. */
#define PLACES_PER_DIAL 8

static int poller;
static struct answer *answers;
static struct dialled *places;
static int place_count;

/* Tells the program whom to dial, and what each of its first connections is to send. */
static void tell_dialler(const struct sockaddr_in *target) {
    char text[INET_ADDRSTRLEN], address[INET_ADDRSTRLEN + 8];
    char byte;
    int fd = connect_there();
    inet_ntop(AF_INET, &target->sin_addr, text, sizeof text);
    snprintf(address, sizeof address, "%s:%d", text, ntohs(target->sin_port));
    if (!send_all(fd, pattern_at(0, 0), options.size) || !send_all(fd, (unsigned char *)address, strlen(address)) ||
        shutdown(fd, SHUT_WR) != 0)
        die("load: send");
    if (recv(fd, &byte, 1, 0) != 0)
        fail("the program did not take the address to dial");
    close(fd);
}

static void accept_dials(int listener) {
    static uint64_t number;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0)
            die("load: accept");
        int place = 0;
        while (place < place_count && places[place].fd != NONE)
            place++;
        if (place == place_count)
            fail("more connections are open than were asked for");
        struct dialled *d = &places[place];
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = d};
        struct linger reset = {.l_onoff = 1}; /* as in connect_there */
        d->fd = fd, d->answered = false, d->received = 0, d->number = ++number;
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
            die("load: epoll_ctl");
    }
}

/* A whole message has come: answers it. The answer and the end go out in one segment, so that the dialler never closes first:
 * its port would be kept for a minute. */
static void answer(struct dialled *d) {
    int64_t now = last_progress = now_ns();
    keep_time(now);
    int i = 0;
    while (i < options.connections && memcmp(d->message, pattern_at(answers[i].number, 0), options.size) != 0)
        i++;
    if (i == options.connections)
        fail("a connection brought what no other was answered with");
    count(answers[i].at, now);
    if (send(d->fd, pattern_at(d->number, 0), options.size, MSG_MORE | MSG_NOSIGNAL) != (ssize_t)options.size ||
        shutdown(d->fd, SHUT_WR) != 0)
        die("load: send");
    d->answered = true;
    answers[i] = (struct answer){.number = d->number, .at = now};
}

static void pull_dialled(struct dialled *d) {
    ssize_t n = recv(d->fd, incoming, sizeof incoming, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0)
        die("load: recv");
    if (n == 0 && !d->answered)
        fail("a connection ended before its message was whole");
    if (n == 0) {
        close(d->fd);
        d->fd = NONE;
        return;
    }
    if ((size_t)n > options.size - d->received)
        fail("a connection brought more than a message");
    memcpy(d->message + d->received, incoming, (size_t)n);
    d->received += (size_t)n;
    if (d->received == options.size)
        answer(d);
}

void run_dialled(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&here, size) != 0 || listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&here, &size) != 0)
        die("load: listen");
    struct epoll_event event = {.events = EPOLLIN};
    place_count = options.connections * PLACES_PER_DIAL;
    places = calloc((size_t)place_count, sizeof *places);
    answers = calloc((size_t)options.connections, sizeof *answers);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!places || !answers || poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0)
        fail("out of memory");
    for (int i = 0; i < place_count; i++)
        places[i].fd = NONE;
    start_clock();
    for (int i = 0; i < options.connections; i++)
        answers[i].at = start;
    tell_dialler(&here);
    while (!done) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, 100);
        if (n < 0 && errno != EINTR)
            die("load: epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                pull_dialled(events[i].data.ptr);
            else
                accept_dials(listener);
        }
        keep_time(now_ns());
    }
    for (int i = 0; i < options.connections; i++)
        if (answers[i].at < counted_from)
            fail("fewer connections were kept going than were asked for");
    report();
}
