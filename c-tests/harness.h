/* What every C test stands on: checks that name their line, connected pairs, plain sockets as the
   peer, latches instead of sleeps, and a watchdog that turns a hang into a message.

   A test is one function in a file that CMakeLists.txt finds by its name:

       #include "harness.h"

       TEST(a_send_arrives)
       {
           struct pair p = tcp_pair();
           char got[5];
           CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
           CHECK_OK(stream_recv(p.b.stream, got, 5, NULL));
           CHECK_MEM(got, "hello", 5);
           pair_close(&p);
       }

   The executable runs the test that its argument names, in the mode that IOURINGNET_TEST_FIRST_TRY
   asks for, and the whole process stands for one test: a failed check in any thread ends it with 1,
   SKIP ends it with 77. */

#ifndef HARNESS_H
#define HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iouringnet.h"

/* ---- checks; each ends the process with 1 where it does not hold, from any thread ---- */

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_OK(call) check_status((call), 0, #call, __FILE__, __LINE__)
#define CHECK_STATUS(call, want) check_status((call), (want), #call, __FILE__, __LINE__)
#define CHECK_EQ(got, want) check_eq((intmax_t)(got), (intmax_t)(want), #got, __FILE__, __LINE__)
/* CHECK_BETWEEN(elapsed, 100, 300): both ends belong to it */
#define CHECK_BETWEEN(got, low, high) \
    check_between((intmax_t)(got), (intmax_t)(low), (intmax_t)(high), #got, __FILE__, __LINE__)
#define CHECK_MEM(got, want, size) check_mem((got), (want), (size), #got, __FILE__, __LINE__)
/* polls a condition that has no latch (a count in /proc, an info field), for at most WAIT_MS */
#define EVENTUALLY(condition) \
    do { \
        int64_t eventually_end = now_ms() + WAIT_MS; \
        while (!(condition)) { \
            if (now_ms() > eventually_end) \
                check_true(false, "in time: " #condition, __FILE__, __LINE__); \
            nap(); \
        } \
    } while (0)
#define SKIP(why) skip((why), __FILE__, __LINE__)

/* What lasts `ms` at most on an ordinary machine, on this one: times IOURINGNET_TEST_PATIENCE. Every upper bound of a
   test goes through it. */
int64_t patient(int64_t ms);
/* how long any wait of the harness lasts before it fails the test */
#define WAIT_MS patient(30000)

void check_true(bool holds, const char *text, const char *file, int line);
void check_status(iouringnet_status got, iouringnet_status want, const char *text, const char *file, int line);
void check_eq(intmax_t got, intmax_t want, const char *text, const char *file, int line);
void check_between(intmax_t got, intmax_t low, intmax_t high, const char *text, const char *file, int line);
void check_mem(const void *got, const void *want, size_t size, const char *text, const char *file, int line);
_Noreturn void skip(const char *why, const char *file, int line);

/* ---- registration ---- */

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};
void test_register(struct test *test);

#define TEST(test_name) \
    static void test_name(void); \
    static struct test test_of_##test_name = {#test_name, test_name, NULL}; \
    __attribute__((constructor)) static void register_##test_name(void) { \
        test_register(&test_of_##test_name); \
    } \
    static void test_name(void)

/* the watchdog's span for this test, counted from now, before the factor; 60 s unless told otherwise */
void watchdog(unsigned seconds);
/* rings-only and epoll-loops-only modes: the first try is off */
bool rings_only(void);
/* the modes over epoll: the environment variable IOURINGNET_ENGINE is "epoll" */
bool over_epoll(void);

/* ---- time, memory, threads ---- */

int64_t now_ms(void);
int64_t now_us(void);
void nap(void);                  /* 1 ms, for EVENTUALLY alone */
void pass(int64_t ms);           /* returns when so much time has passed, where time is what the test is about */
void pass_until(int64_t moment); /* of now_ms */
void *take(size_t size);         /* malloc that fails the test instead of returning NULL */
/* bytes that differ by place and by seed, so that lost, doubled and swapped ones all show */
void pattern_fill(void *into, size_t size, uint64_t offset, uint32_t seed);
void pattern_check(const void *got, size_t size, uint64_t offset, uint32_t seed);
pthread_t spawn(void *(*run)(void *), void *user);
void join(pthread_t thread);                 /* bounded */
size_t count_entries(const char *directory); /* "/proc/self/fd", "/proc/self/task" */

/* opens after `left` calls of latch_open; further calls are counted below zero */
struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int left;
};
#define LATCH(times) \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, (times) }
void latch_init(struct latch *latch, int times);
void latch_reset(struct latch *latch, int times); /* shut again; for one that is in use */
void latch_open(struct latch *latch);
void latch_wait(struct latch *latch);                /* fails the test after WAIT_MS */
bool latch_wait_ms(struct latch *latch, int64_t ms); /* false: still shut */
int latch_left(struct latch *latch);

/* where a completion goes: pass result_store as the callback and the result as its user pointer.
   Counts the calls, so that one too many shows. */
struct result {
    struct latch latch;
    atomic_int calls;
    pthread_t thread;
    iouringnet_completion done; /* of the first call; valid once the latch is open */
};
#define RESULT \
    { .latch = LATCH(1) }
void result_init(struct result *result);
void result_store(void *user, const iouringnet_completion *done);
iouringnet_status result_wait(struct result *result);

/* a callback that must never run: fails the test */
void never(void *user, const iouringnet_completion *done);

/* connection_watch of a stream's bytes alone */
iouringnet_status watch_data(iouringnet_stream *stream, iouringnet_data_callback data, void *user);
/* connection_watch of a sink alone; either callback may be NULL */
iouringnet_status watch_sink(iouringnet_sink *sink, iouringnet_status_callback room, iouringnet_status_callback end,
                             void *user);

/* waits (bounded) for an op without callback or with one, releases it, returns the operation's own
   status; done may be NULL */
iouringnet_status op_finish(iouringnet_op *op, iouringnet_completion *done);

/* ---- nets ---- */

/* skips a test that starts its net itself, where the mode's engine is io_uring and io_uring is refused: by the kernel's word,
   not the library's */
void need_engine(void);
/* for a test that is about io_uring: the modes over epoll skip it */
void about_io_uring(void);
/* both */
void need_io_uring(void);
/* the defaults of this mode; for a test that changes a field before net_start */
iouringnet_config config_of_mode(void);
iouringnet_net *net_of_mode(void);
iouringnet_net *net_with(const iouringnet_config *config);
/* runs something on the net's callback thread and waits until it has returned */
void on_callback_thread(iouringnet_net *net, void (*run)(void *user), void *user);
/* keeps the callback thread busy from busy_begin, which waits until it is, to busy_end */
struct busy {
    struct latch running, go;
};
#define BUSY \
    { LATCH(1), LATCH(1) }
void busy_run(void *user, const iouringnet_completion *done); /* the callback, for a test that calls it by itself */
void busy_begin(struct busy *busy, iouringnet_net *net);
void busy_end(struct busy *busy);
/* returns once every callback queued before it has run; use it before asserting that nothing came */
void settle(iouringnet_net *net);
iouringnet_listener *bind_loopback(iouringnet_net *net, iouringnet_address *address);

/* ---- connected pairs, library at both ends ---- */

struct end {
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};
struct pair {
    struct end a;   /* dialled */
    struct end b;   /* accepted */
    bool owns_nets; /* pair_close stops the nets too */
};
struct pair tcp_pair(void);                                                   /* both ends in one net of its own */
struct pair tcp_pair_apart(void);                                             /* each end in a net of its own */
struct pair tcp_pair_with(const iouringnet_config *config);                   /* one net of its own */
struct pair tcp_pair_in(iouringnet_net *dialling, iouringnet_net *accepting); /* nets stay the caller's */
void end_close(struct end *end); /* sink and stream; harmless where a test closed them */
void pair_close(struct pair *pair);

/* ---- connected pairs, library at one end, plain socket at the other ---- */

struct mixed {
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer;
    bool owns_net; /* mixed_close stops the net too */
};
/* rcvbuf: the receive buffer of the plain socket; 0: the system's */
struct mixed mixed_pair(void);                                             /* in a net of its own */
struct mixed mixed_pair_sized(int rcvbuf);                                 /* in a net of its own */
struct mixed mixed_pair_with(const iouringnet_config *config, int rcvbuf); /* in a net of its own */
struct mixed mixed_pair_in(iouringnet_net *net, int rcvbuf);               /* the net stays the caller's */
void mixed_peer_ends(struct mixed *mixed); /* the peer half-closes, and the library has received that */
void mixed_close(struct mixed *mixed);     /* sink and stream, harmless where a test closed them, peer and net */
void mixed_stop(struct mixed *mixed);      /* the same without the peer, for a test that closes it itself */

/* ---- plain sockets as the peer; blocking, every wait bounded by WAIT_MS ---- */

/* the plain peer of a mixed pair alone, for a test that keeps its handles in a struct of its own */
int raw_peer(iouringnet_net *net, iouringnet_sink **sink, iouringnet_stream **stream);
int raw_peer_sized(iouringnet_net *net, int rcvbuf, iouringnet_sink **sink, iouringnet_stream **stream);
int raw_listen(iouringnet_address *address);
int raw_listen_sized(iouringnet_address *address, int rcvbuf, int sndbuf, int backlog);
int raw_accept(int listener);
int raw_dial(const char *address);
int raw_try_dial(const char *address); /* -1 with errno where connect fails */
int raw_dial_sized(const char *address, int rcvbuf, int sndbuf);
void raw_pair(int fds[2]);                               /* two plain TCP sockets over loopback */
void raw_send(int fd, const void *data, size_t size);    /* all of it */
void raw_recv(int fd, void *into, size_t size);          /* exactly; an early end fails the test */
size_t raw_recv_to_end(int fd, void *into, size_t room); /* until EOF; more than room fails the test */
void raw_expect_eof(int fd);                             /* next comes the end of the stream */
void raw_expect_reset(int fd);                           /* discards input until ECONNRESET; an EOF fails the test */
void raw_half_close(int fd);
int raw_unacknowledged(int fd); /* bytes that its peer's kernel has not acknowledged */
void raw_reset(int fd);         /* closes with a RST */
void raw_close(int fd);
/* an address on loopback at which nobody listens, nor can before this process ends */
void unused_address(iouringnet_address *address);

/* pushes plain bytes into an end whose peer does not read, until a send does not fit: afterwards a further
   operation on the sink waits. Returns how many bytes went out. */
size_t jam(struct end *end);
size_t jam_sink(iouringnet_sink *sink);

#endif
