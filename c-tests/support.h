/* What the tests about handles, endings and faults share: every function in one call, children that
   are reaped in bounded time, and parts of a test that need a process of their own.
   Everything is static inline, so that a test file that includes this needs no further source. */

#ifndef SUPPORT_H
#define SUPPORT_H

#include "filter.h"
#include "proc.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- every function with one set of handles ---- */

enum kind { KIND_NET = 1, KIND_LISTENER = 2, KIND_SINK = 4, KIND_STREAM = 8, KIND_OP = 16, KIND_ALL = 31 };

struct handles {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;
};

/* the same bits in the place of each kind of handle */
static inline struct handles handles_of(const void *bits) {
    struct handles h;
    uintptr_t value = (uintptr_t)bits;

    h.net = (iouringnet_net *)value;
    h.listener = (iouringnet_listener *)value;
    h.sink = (iouringnet_sink *)value;
    h.stream = (iouringnet_stream *)value;
    h.op = (iouringnet_op *)value;
    return h;
}

static inline void never_status(void *user, iouringnet_status status) {
    (void)user;
    fprintf(stderr, "a callback ran that must not, with %s\n", iouringnet_errname(status));
    CHECK(!"the callback of a refused watch never runs");
}

static inline size_t never_data(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)user;
    (void)data;
    fprintf(stderr, "a data callback ran that must not, with %s and %zu bytes\n", iouringnet_errname(status), size);
    CHECK(!"the callback of a refused watch never runs");
    return size;
}

/* Calls every function of the kinds asked for with these handles and otherwise valid arguments; each must
   give `want` and leave its outputs as they were. Void functions are called last: they must do no harm. */
static inline void every_call_gives(iouringnet_status want, int kinds, struct handles h, const char *whose) {
    char into[16] = "untouched";
    struct iovec part = {(void *)(uintptr_t) "data", 4};
    iouringnet_address address = {"untouched"};
    iouringnet_sink *sink = (iouringnet_sink *)&part;
    iouringnet_stream *stream = (iouringnet_stream *)&part;
    iouringnet_listener *listener = (iouringnet_listener *)&part;
    iouringnet_op *op = (iouringnet_op *)&part;
    const void *data = &part;
    size_t size = 77;
    iouringnet_completion completion;
    iouringnet_sink_info info;
    iouringnet_stats stats;
    iouringnet_buffer *buffer = NULL;

    iouringnet_completion_init(&completion);
    iouringnet_sink_info_init(&info);
    iouringnet_stats_init(&stats);
    iouringnet_buffer_make("data", 4, &buffer); /* a forked child makes none */
    completion.bytes = 77;
    info.unsent = 77;
    stats.callbacks = 77;

#define GIVES(call) \
    do { \
        iouringnet_status gives_status = (call); \
        if (gives_status != want) \
            fprintf(stderr, "with %s:\n", whose); \
        check_status(gives_status, want, #call, __FILE__, __LINE__); \
    } while (0)

    if (kinds & KIND_NET) {
        GIVES(net_stats(h.net, &stats));
        GIVES(net_metrics(h.net, into, sizeof into, NULL));
        GIVES(net_call(h.net, 0, never, NULL, NULL));
        GIVES(net_call(h.net, 0, NULL, NULL, &op));
        GIVES(net_dial(h.net, "127.0.0.1:9", NULL, &sink, &stream));
        GIVES(net_dial_async(h.net, "127.0.0.1:9", NULL, never, NULL, &op));
        GIVES(net_bind(h.net, "127.0.0.1:0", NULL, &listener));
    }
    if (kinds & KIND_LISTENER) {
        GIVES(listener_accept(h.listener, &sink, &stream));
        GIVES(listener_accept_async(h.listener, never, NULL, &op));
        GIVES(listener_watch(h.listener, never, NULL));
        GIVES(listener_unwatch(h.listener));
        GIVES(listener_address(h.listener, &address));
    }
    if (kinds & KIND_SINK) {
        GIVES(sink_send(h.sink, "data", 4, NULL));
        GIVES(sink_send_async(h.sink, "data", 4, never, NULL, &op));
        GIVES(sink_sendv(h.sink, &part, 1, NULL));
        GIVES(sink_sendv_async(h.sink, &part, 1, never, NULL, &op));
        GIVES(sink_post(h.sink, "data", 4));
        GIVES(sink_postv(h.sink, &part, 1));
        GIVES(sink_post_buffer(h.sink, "head", 4, buffer));
        GIVES(sink_flush(h.sink));
        GIVES(sink_flush_async(h.sink, never, NULL, &op));
        GIVES(sink_info(h.sink, &info));
        if (h.sink != NULL) /* NULL: a half that is not to be watched */
            GIVES(watch_sink(h.sink, never_status, never_status, NULL));
        GIVES(sink_set_timeout(h.sink, 100));
    }
    if (kinds & KIND_STREAM) {
        GIVES(stream_recv(h.stream, into, 4, NULL));
        GIVES(stream_recv_async(h.stream, into, 4, never, NULL, &op));
        GIVES(stream_recv_some(h.stream, into, 4, NULL));
        GIVES(stream_recv_some_async(h.stream, into, 4, never, NULL, &op));
        GIVES(stream_fill(h.stream, 4));
        GIVES(stream_fill_async(h.stream, 4, never, NULL, &op));
        GIVES(stream_fill_until(h.stream, "x", 1, 4, NULL));
        GIVES(stream_fill_until_async(h.stream, "x", 1, 4, never, NULL, &op));
        GIVES(stream_peek(h.stream, 4, &data, &size));
        GIVES(stream_consume(h.stream, 0));
        if (h.stream != NULL)
            GIVES(watch_data(h.stream, never_data, NULL));
        GIVES(stream_unwatch(h.stream));
        GIVES(stream_pause(h.stream));
        GIVES(stream_resume(h.stream));
        GIVES(stream_set_timeout(h.stream, 100));
        GIVES(stream_set_deadline(h.stream, 100));
    }
    if ((kinds & KIND_STREAM) && (kinds & KIND_SINK)) {
        GIVES(connection_set_idle_timeout(h.sink, h.stream, 100));
        GIVES(stream_forward(h.stream, h.sink, 4, NULL));
        GIVES(stream_forward_async(h.stream, h.sink, 4, never, NULL, &op));
    }
    if (kinds & KIND_OP) {
        GIVES(op_wait(h.op, 0, &completion));
        GIVES(op_wait(h.op, 1000, NULL));
        GIVES(op_cancel(h.op));
        GIVES(op_release(h.op));
    }
    if (kinds & KIND_NET)
        GIVES(net_stop(h.net));
#undef GIVES

    if (kinds & KIND_LISTENER)
        listener_close(h.listener);
    if (kinds & KIND_SINK) {
        connection_abort(h.sink, NULL);
        connection_close(h.sink, NULL);
        sink_close(h.sink);
    }
    if (kinds & KIND_STREAM) {
        connection_abort(NULL, h.stream);
        connection_close(NULL, h.stream);
        stream_close(h.stream);
    }
    iouringnet_buffer_release(buffer);

    CHECK(memcmp(into, "untouched", 10) == 0);
    CHECK(strcmp(address.text, "untouched") == 0);
    CHECK(sink == (iouringnet_sink *)&part && stream == (iouringnet_stream *)&part);
    CHECK(listener == (iouringnet_listener *)&part && op == (iouringnet_op *)&part);
    CHECK(data == &part);
    CHECK_EQ(size, 77);
    CHECK_EQ(completion.bytes, 77);
    CHECK_EQ(info.unsent, 77);
    CHECK_EQ(stats.callbacks, 77);
}

static inline void ignore_status(void *user, iouringnet_status status) {
    (void)user;
    (void)status;
}

static inline void ignore_completion(void *user, const iouringnet_completion *done) {
    (void)user;
    (void)done;
}

/* ---- the last call of a watch ---- */

/* A watch may be told of events before it is told that it is over: those are counted apart. Pass
   ending_store (listeners) or ending_store_data (streams) and the ending as its user pointer; for a sink call
   ending_watch. */
struct ending {
    struct latch latch;
    atomic_int events;
    atomic_int ends;
    atomic_int over;          /* the end of a connection_watch has come: nothing touches this any more */
    iouringnet_status status; /* valid once the latch is open */
};
#define ENDING \
    { LATCH(1), 0, 0, 0, 0 }

static inline void ending_init(struct ending *ending) {
    memset(ending, 0, sizeof *ending);
    latch_init(&ending->latch, 1);
}

static inline void ending_note(struct ending *ending, iouringnet_status status) {
    CHECK_EQ(ending->ends, 0);
    if (status == 0) {
        atomic_fetch_add(&ending->events, 1);
        return;
    }
    ending->status = status;
    atomic_fetch_add(&ending->ends, 1);
    latch_open(&ending->latch);
}

static inline void ending_store(void *user, const iouringnet_completion *done) {
    ending_note(user, done->status);
}

static inline size_t ending_store_data(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)data;
    ending_note(user, status);
    return size;
}

static inline void ending_room(void *user, iouringnet_status status) {
    ending_note(user, status);
}

/* the end repeats what a broken sink has told its room */
static inline void ending_end(void *user, iouringnet_status status) {
    struct ending *ending = user;

    if (ending->ends == 1) {
        CHECK_STATUS(status, ending->status);
    } else {
        ending->status = status;
        atomic_fetch_add(&ending->ends, 1);
        latch_open(&ending->latch);
    }
    atomic_store(&ending->over, 1);
}

/* ends when the sink breaks, or when it has been closed and its drain is over */
static inline iouringnet_status ending_watch(iouringnet_sink *sink, struct ending *ending) {
    return watch_sink(sink, ending_room, ending_end, ending);
}

static inline iouringnet_status ending_wait(struct ending *ending) {
    latch_wait(&ending->latch);
    return ending->status;
}

/* ---- counts ---- */

static inline iouringnet_stats stats_of(iouringnet_net *net) {
    iouringnet_stats stats;

    iouringnet_stats_init(&stats);
    CHECK_OK(net_stats(net, &stats));
    return stats;
}

static inline size_t unsent_of(iouringnet_sink *sink) {
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(sink, &info));
    return info.unsent;
}

/* 0 where the C library does not count */
static inline size_t heap_in_use(void) {
#ifdef __GLIBC__ /* a line of its own: elsewhere the next is no expression */
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
#endif
    return 0;
}

/* a test that needs so many descriptors, with room for its own */
static inline void need_descriptors(rlim_t count) {
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    count += 64;
    if (limit.rlim_cur >= count)
        return;
    if (limit.rlim_max < count)
        SKIP("the hard limit of descriptors is too low");
    limit.rlim_cur = count;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* from now on the process has room for `more` bytes beside what it has; returns the limit before */
static inline struct rlimit limit_memory(size_t more) {
    struct rlimit before, limit;

    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = mapped_bytes() + more;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    return before;
}

/* the data callback of a watch that posts what comes back; its user pointer is the sink */
static inline size_t echo_data(void *user, iouringnet_status status, const void *data, size_t size) {
    if (status == 0)
        CHECK_OK(sink_post(user, data, size));
    return size;
}

/* ---- a plain peer in a thread of its own ---- */

/* sends nothing, reads until the end, and checks that it got `size` bytes of the pattern `seed` */
struct reader {
    int fd;
    size_t size;
    uint32_t seed;
};

static inline void *reader_run(void *user) {
    const struct reader *reader = user;
    char *got = take(reader->size);

    CHECK_EQ(raw_recv_to_end(reader->fd, got, reader->size), reader->size);
    pattern_check(got, reader->size, 0, reader->seed);
    free(got);
    return NULL;
}

/* a blocking send of much, in a thread of its own */
struct sender {
    iouringnet_sink *sink;
    const char *data;
    size_t size, sent;
    iouringnet_status status;
};

static inline void *sender_run(void *user) {
    struct sender *sender = user;

    sender->status = sink_send(sender->sink, sender->data, sender->size, &sender->sent);
    return NULL;
}

/* ---- a peer that does not answer ---- */

/* a listener whose queue is full, so that a dial to it stays in flight */
struct full_listener {
    int fd;
    int queued[8];
    iouringnet_address address;
};

/* the kernel may handle the connections of `queued` late, and a dial that comes first would take a free place */
static inline bool queue_is_full(int listening) {
    struct tcp_info info;
    socklen_t size = sizeof info;

    CHECK_EQ(getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_unacked > info.tcpi_sacked; /* of a listener: connections that wait, and how many may */
}

static inline struct full_listener full_listener(void) {
    struct full_listener full;

    full.fd = raw_listen_sized(&full.address, 0, 0, 0);
    for (size_t i = 0; i < sizeof full.queued / sizeof *full.queued; i++) {
        struct sockaddr_in at;
        socklen_t size = sizeof at;

        full.queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(full.queued[i] >= 0);
        CHECK_EQ(getsockname(full.fd, (struct sockaddr *)&at, &size), 0);
        CHECK(connect(full.queued[i], (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    }
    EVENTUALLY(queue_is_full(full.fd));
    return full;
}

static inline void full_listener_close(struct full_listener *full) {
    for (size_t i = 0; i < sizeof full->queued / sizeof *full->queued; i++)
        raw_close(full->queued[i]);
    raw_close(full->fd);
}

/* a connection that was closed amid a send, and whose peer takes nothing */
struct draining {
    int peer;
    struct result send;
};

static inline void draining_begin(struct draining *draining, iouringnet_net *net, const char *data, size_t size) {
    struct mixed m = mixed_pair_in(net, 16384);

    draining->peer = m.peer;
    result_init(&draining->send);
    CHECK_OK(sink_send_async(m.sink, data, size, result_store, &draining->send, NULL));
    mixed_stop(&m);
}

/* ---- children ---- */

/* In the child of a fork: it dies with its parent, and in bounded time. */
static inline void child_begin(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    watchdog(30);
}

/* waits in bounded time; gives the exit status, or 128 and the signal */
static inline int child_wait(pid_t pid) {
    int64_t end = now_ms() + patient(150000); /* the longest watchdog of a child */
    int status;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            break;
        CHECK_EQ(got, 0);
        if (now_ms() > end) {
            kill(pid, SIGKILL);
            CHECK(!"the child ends in time");
        }
        nap();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A part of a test that needs a process in which the library was never used, because it changes what
   cannot be changed back: limits, the user, a seccomp filter. The part is the same test in a fresh
   process, with the part's name in its environment. */
#define PART_VARIABLE "IOURINGNET_TEST_PART"

static inline bool part_is(const char *name) {
    const char *part = getenv(PART_VARIABLE);
    return part && strcmp(part, name) == 0;
}

/* gives the part's exit status: 0, or 77 where it was skipped; a failed one fails this test */
static inline int part_run(const char *test, const char *name) {
    pid_t pid = fork();
    int status;

    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setenv(PART_VARIABLE, name, 1) == 0)
            execl("/proc/self/exe", "test", test, (char *)NULL);
        _exit(126);
    }
    status = child_wait(pid);
    if (status != 0 && status != 77) {
        fprintf(stderr, "part %s of %s ended with %d\n", name, test, status);
        CHECK(!"the part holds");
    }
    return status;
}

/* True in the part of this test that is all the rest of it. Elsewhere runs that part, and the test is over. */
static inline bool rest_is_a_part(const char *test) {
    if (part_is("rest"))
        return true;
    if (part_run(test, "rest") == 77)
        SKIP("the part was skipped");
    return false;
}

#endif
