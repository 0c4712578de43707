/* The modes of the load generator for one-way streams (stream.h):
 *
 *   download  receives as fast as it can, compares every byte, and counts those that come in the counted part;
 *   upload    sends as fast as the server receives. Much may be under way between the two ends, so that the counted part
 *             lasts from the first byte until the server has told of each connection how many bytes came.
 *
 * One connection is served by calls that wait, more by epoll: each is what costs this end the least. Its one invariant: the
 * `bytes` of a stream are its place in the pattern, so that each end knows which byte must be next. */
#define _GNU_SOURCE

#include "load_stream.h"
#include "load_account.h"
#include "load_base.h"
#include "load_connections.h"
#include "load_measure.h"
#include "load_options.h"
#include "pattern.h"
#include "server.h"
#include "stream.h"

#include <inttypes.h>
#include <sys/epoll.h>

struct stream {
    int fd;
    uint32_t number;
    uint64_t bytes;
};

static void receive_all(int fd, void *into, size_t size) {
    ssize_t n = recv(fd, into, size, MSG_WAITALL);
    if (n < 0)
        die("load: recv");
    if ((size_t)n != size)
        fail("the server closed a connection");
}

/* Connections that a server has taken, and an epoll instance that watches them if there is more than one; else -1. */
static struct stream *open_streams(uint32_t events, int *poller) {
    struct stream *streams = calloc((size_t)options.connections, sizeof *streams);
    *poller = options.connections > 1 ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (!streams || (options.connections > 1 && *poller < 0))
        fail("out of memory");
    for (int i = 0; i < options.connections; i++) {
        struct stream *s = &streams[i];
        struct stream_request request = {.send_size = options.mode == DOWNLOAD ? (uint32_t)options.size : 0,
                                         .number = (uint32_t)i};
        struct stream_request same;
        *s = (struct stream){.fd = connect_there(), .number = (uint32_t)i};
        if (!send_all(s->fd, &request, sizeof request))
            die("load: send");
        receive_all(s->fd, &same, sizeof same);
        if (memcmp(&request, &same, sizeof same) != 0)
            fail("the server did not answer the request with the same");
        struct epoll_event event = {.events = events, .data.ptr = s};
        if (*poller >= 0 && epoll_ctl(*poller, EPOLL_CTL_ADD, s->fd, &event) != 0)
            die("load: epoll_ctl");
    }
    return streams;
}

/* Calls `turn` for the one stream, or for each that is ready. */
static void turn_all(struct stream *streams, int poller, void (*turn)(struct stream *, int flags)) {
    if (poller < 0) {
        turn(streams, 0);
        return;
    }
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, 100);
    if (n < 0 && errno != EINTR)
        die("load: epoll_wait");
    for (int i = 0; i < n; i++)
        turn(events[i].data.ptr, MSG_DONTWAIT);
}

static void report_streams(void) {
    double mib = (double)counted / 1048576;
    printf("bytes=%" PRIu64 " seconds=%.3f mib_per_s=%.1f", counted, counted_seconds(), mib / counted_seconds());
    report_server(mib, "mib");
}

static void take_piece(struct stream *s, int flags) {
    ssize_t n = recv(s->fd, incoming, sizeof incoming, flags);
    if (n < 0 && flags != 0 && errno == EAGAIN)
        return;
    if (n == 0)
        fail("the server closed a connection");
    if (n < 0)
        die("load: recv");
    if (memcmp(incoming, pattern_at(s->number, s->bytes), (size_t)n) != 0)
        fail("the stream differs from the pattern");
    s->bytes += (uint64_t)n;
    if (counting)
        counted += (uint64_t)n;
    last_progress = now_ns();
}

void run_download(void) {
    int poller;
    struct stream *streams = open_streams(EPOLLIN, &poller);
    start_clock();
    while (!done) {
        turn_all(streams, poller, take_piece);
        keep_time(now_ns());
    }
    report_streams();
}

/* A whole piece, or what is left of one. */
static void send_piece(struct stream *s, int flags) {
    size_t left = options.size - (size_t)(s->bytes % options.size);
    ssize_t n = send(s->fd, pattern_at(s->number, s->bytes), left, flags | MSG_NOSIGNAL);
    if (n < 0 && flags != 0 && errno == EAGAIN)
        return;
    if (n < 0)
        die("load: send");
    s->bytes += (uint64_t)n;
    counted += (uint64_t)n;
    last_progress = now_ns();
}

static void check_count(const struct stream *s) {
    uint64_t count;
    char more;
    receive_all(s->fd, &count, sizeof count);
    if (count == UPLOAD_WRONG)
        fail("the server received something else than was sent");
    if (count != s->bytes)
        fail("the server counted other bytes than were sent");
    if (recv(s->fd, &more, 1, 0) != 0)
        fail("the server did not end the connection after its count");
}

void run_upload(void) {
    int poller;
    struct stream *streams = open_streams(EPOLLOUT, &poller);
    start_clock();
    begin_counting();
    int64_t until = now_ns() + (int64_t)(options.seconds * SECOND);
    for (int64_t now; (now = now_ns()) < until;) {
        turn_all(streams, poller, send_piece);
        if (now - last_progress > NO_PROGRESS)
            fail("the server has received nothing for 5 seconds");
    }
    struct account served = take_account(options.pid); /* its threads may end with their connections */
    for (int i = 0; i < options.connections; i++)
        shutdown(streams[i].fd, SHUT_WR);
    for (int i = 0; i < options.connections; i++)
        check_count(&streams[i]);
    end_counting(&served);
    report_streams();
}
