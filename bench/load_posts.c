/* The mode "posts" of the load generator: receives the messages that several threads of the server's send on one connection
 * (posts.h). Its one invariant: each must be whole, and those of a thread must come in order and without a gap. */
#define _GNU_SOURCE

#include "load_posts.h"
#include "load_base.h"
#include "load_connections.h"
#include "load_measure.h"
#include "posts.h"
#include "server.h"

#include <inttypes.h>

static uint64_t next[POST_THREADS];

static void take_post(const unsigned char *at) {
    struct post got, wanted;
    memcpy(&got, at, sizeof got);
    if (got.thread >= POST_THREADS)
        fail("a message is torn");
    make_post(&wanted, got.thread, got.sequence);
    if (memcmp(&got, &wanted, sizeof got) != 0)
        fail("a message is torn");
    if (got.sequence != next[got.thread])
        fail("a message is missing, doubled or out of order");
    next[got.thread]++;
    counted += counting;
}

void run_posts(void) {
    int fd = connect_there();
    size_t kept = 0; /* bytes of a message that has come in part */
    start_clock();
    while (!done) {
        ssize_t n = recv(fd, incoming + kept, sizeof incoming - kept, 0);
        if (n == 0)
            fail("the server closed the connection");
        if (n < 0)
            die("load: recv");
        size_t size = kept + (size_t)n, whole = size - size % sizeof(struct post);
        for (size_t at = 0; at < whole; at += sizeof(struct post))
            take_post(incoming + at);
        kept = size - whole;
        memmove(incoming, incoming + whole, kept);
        last_progress = now_ns();
        keep_time(last_progress);
    }
    for (int i = 0; i < POST_THREADS; i++)
        if (next[i] == 0)
            fail("a thread has sent nothing");
    printf("messages=%" PRIu64 " seconds=%.3f msgs_per_s=%.0f mib_per_s=%.1f", counted, counted_seconds(),
           (double)counted / counted_seconds(), (double)counted * sizeof(struct post) / counted_seconds() / 1048576);
    report_server((double)counted, "msg");
}
