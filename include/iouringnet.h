/*
 * iouringnet.h: TCP networking over two io_uring event loops.
 *
 * WHAT IT IS
 *
 * A program starts a net, dials or binds addresses, and sends and receives over connections. A net is two
 * event loops on two threads of the library. The send loop serves everything that sends. The receive loop
 * serves everything else, and it runs the callbacks. The program neither writes a loop nor runs one. Any
 * thread may call any function. A call either waits for its result, or returns at once and passes the result
 * to a callback or to an op.
 *
 * A connection has two halves, and each half has a handle: a sink sends, a stream receives. TCP keeps no
 * boundaries between messages. Therefore sink_send sends all of the bytes that it gets, and stream_recv
 * receives exactly as many bytes as the caller asks for.
 *
 * THE SMALLEST PROGRAM
 *
 *   #include <iouringnet.h>
 *   #include <stdio.h>
 *
 *   int main(void) {
 *     iouringnet_net *net;
 *     iouringnet_sink *sink;
 *     iouringnet_stream *stream;
 *     char answer[5];
 *
 *     iouringnet_status status = net_start(NULL, &net);
 *     if (status == 0) {
 *       status = net_dial(net, "127.0.0.1:7000", NULL, &sink, &stream);
 *       if (status == 0) {
 *         status = sink_send(sink, "hello", 5, NULL);
 *         if (status == 0) status = stream_recv(stream, answer, 5, NULL);
 *         sink_close(sink);
 *         stream_close(stream);
 *       }
 *       net_stop(net);
 *     }
 *     if (status == 0) printf("%.5s\n", answer);
 *     else fprintf(stderr, "%s\n", iouringnet_strerror(status));
 *     return status != 0;
 *   }
 *
 * Compile it with: cc program.c -liouringnet
 *
 * THREE WAYS TO GET A RESULT
 *
 * - Wait. net_dial, sink_send, stream_recv and similar calls return when the operation is done. This is the
 *   simplest way. It suits a program with one thread for each connection.
 * - One completion. Each function that ends in _async returns at once. Its completion goes to a callback, to
 *   an op, or to both. op_wait waits for an op, op_cancel cancels its operation, and op_release releases it.
 * - A watch. The caller arms a watch once, and the watch calls a callback for every event. listener_watch
 *   reports every connection, stream_watch passes all bytes, and sink_watch reports room for posts. This way
 *   is the cheapest for many connections. Every watch ends with one last call, whose status is not 0. The
 *   callback frees the state behind `user` in the last call.
 *
 * An accepted operation completes exactly once. A call that returns an error has started nothing, and its
 * callback never runs. The library writes outputs only on success. Exception: it always writes counts of
 * bytes.
 *
 * THREADS
 *
 * Any thread may call any function, also several threads at the same time on the same handle. Exception: a
 * signal handler must not call the library. The sends of one sink go out whole and in the order of the calls.
 * The receives of one stream complete in the order of the calls.
 *
 * The thread of the receive loop runs all callbacks of a net, one at a time. No callback runs inside a call
 * of the library. Therefore a program that works only in callbacks needs no locks. Rules for a callback:
 *
 * - It must not take long, because the net's other callbacks wait for it.
 * - A call that may block returns IOURINGNET_IN_CALLBACK there. All other calls are legal, also a close of
 *   the handle whose callback is running.
 * - It must not leave by an exception, by longjmp or by pthread_exit.
 * - It has 8 MiB of stack.
 * - Exception: a log callback must not call the library; see iouringnet_log_callback.
 *
 * No function is a cancellation point. If pthread_cancel hits a thread during a call, the call goes on to its
 * end and returns its result. The thread ends at its next cancellation point after that. Exception: a thread
 * whose cancel type is PTHREAD_CANCEL_ASYNCHRONOUS must not call the library. The library's own threads
 * ignore pthread_cancel.
 *
 * The callbacks of one net use at most one core. A program that needs more cores starts several nets and
 * binds the same port in each of them, with `reuse_port`.
 *
 * MEMORY
 *
 *   memory                                        owner
 *   buffer of a call that waits, or of sink_post  the caller again when the call returns
 *   buffer of an _async call                      the library until the completion; the caller neither frees
 *                                                 nor changes it before
 *   bytes that stream_peek shows                  the library, until the next call on that stream or
 *                                                 net_stop, from any thread
 *   bytes that a stream_watch callback gets       the library until the callback returns, even if it closes
 *                                                 the stream
 *   addresses, options, configs, arrays of parts  the caller; the library reads them only during the call
 *
 * If there is no memory to copy a sink_post of more than 16 KiB, sink_post returns -ENOMEM. If any other
 * allocation fails, the library prints a message and aborts the process. Each of these allocations is small,
 * or the config bounds it, or it has 24 bytes for each part of a sink_sendv.
 *
 * HANDLES
 *
 * A handle has the type of a pointer, but it is a number that the library looks up. The library never follows
 * it. A handle is bad if it is NULL, closed, made up, of another kind, or of a stopped net. A call with a bad
 * handle returns IOURINGNET_BAD_HANDLE. It neither crashes nor reaches another connection. Closing a handle
 * twice is harmless.
 *
 * The caller closes or releases each handle that it receives once: both halves of a connection, listeners and
 * ops. net_stop ends all handles of its net that are left. Exception: ops stay until they are released.
 *
 * STATUSES
 *
 *   status        meaning
 *   0             success
 *   -1 to -4095   an errno of the kernel, negated, such as -ECONNREFUSED or -EADDRINUSE
 *   below -10000  one of the IOURINGNET_ constants below
 *
 * Branch on the number. iouringnet_strerror returns the text of a status, and iouringnet_errname returns its
 * name. Six causes have six statuses:
 *
 *   cause                               status
 *   the peer ended the stream           IOURINGNET_EOF
 *   the peer reset the connection       -ECONNRESET
 *   the operation timed out             IOURINGNET_TIMEOUT
 *   the operation was cancelled         IOURINGNET_CANCELLED
 *   the handle was closed on this side  IOURINGNET_CLOSED
 *   the net was stopped                 IOURINGNET_STOPPED
 *
 * A send that is cut after part of it went out tears its sink, because the peer cannot tell where the next
 * bytes begin. All later sends get IOURINGNET_TORN. A receive that ends early loses no byte. The bytes that
 * arrived stay for the next call, or the count of the receive includes them.
 *
 * CLOSING
 *
 * Any thread may call sink_close, stream_close and sink_abort at any moment.
 *
 *   call          what happens
 *   sink_close    Accepted bytes go out. Then the peer gets the end of the stream. The stream can still
 *                 receive, so this is also the half-close.
 *   stream_close  The library discards buffered bytes. Pending receives end with IOURINGNET_CLOSED.
 *   sink_abort    The library discards unsent bytes and resets the connection. Pending work of both halves
 *                 ends with IOURINGNET_CLOSED.
 *
 * The drain after sink_close has two limits, `close_timeout_ms` and `drain_timeout_ms`. Therefore no peer
 * holds a closed connection for ever. If descriptors or memory run short, the library ends closed
 * connections, the oldest first.
 *
 * BOUNDS
 *
 * Every queue has a bound. A call that would exceed a bound takes nothing and returns the status of the
 * bound.
 *
 *   status              bound
 *   IOURINGNET_FULL     the sink has `post_mark` bytes posted and unsent; sink_watch reports when there is
 *                       room
 *   IOURINGNET_LIMIT    the net has `max_operations` operations in flight, 1,024 names of the process wait to
 *                       be looked up, or the process has 536 million handles
 *   IOURINGNET_TOO_BIG  stream_fill asks for more than `buffer_max` bytes
 *
 * Close, abort, cancel, pause, resume, release and watch are never refused for want of room.
 *
 * STRUCTS THAT MAY GROW
 *
 * A struct that begins with `size` may have more fields in a later version. Prepare each one with its macro
 * before use: iouringnet_config_init(&config). 0 in a field of a config or of options is the field's default.
 * A call returns IOURINGNET_INVALID if the size is wrong.
 *
 * PROCESSES
 *
 * The library raises no signal, SIGPIPE included. Its threads block every signal but SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL, SIGTRAP and SIGSYS. If a callback brings one of these six on itself, the program's handler runs on
 * the callback thread. The library's threads have no alternate signal stack, unless a callback sets one with
 * sigaltstack.
 *
 * A caller may hold the lock of the dynamic loader, as the constructor of a library that dlopen loads does
 * (with glibc 2.35 or later). net_start, dials of numeric addresses, transfers, callbacks and net_stop work
 * there. Exception: a call that waits for a name may wait for ever, because the lookup may load a library.
 * Begin such a dial with net_dial_async, and wait after the constructor. If a constructor starts a thread and
 * waits for it, that thread must not wait in net_start, in a send or in a receive.
 *
 * In a forked child, net_start and every call with a handle return IOURINGNET_FORKED. Calls that return
 * nothing do nothing. A program that puts itself into the background by fork starts its nets after the fork.
 *
 * Link one copy of the library into a process. A handle is valid only in the copy that made it.
 *
 * If io_uring cannot be used, net_start returns IOURINGNET_UNAVAILABLE. iouringnet_probe has the cause and
 * the remedy.
 *
 * net_start reads the environment variable IOURINGNET_FEATURES_OFF. It switches features of the kernel off,
 * to test what older kernels have. Its value is a list of these names, separated by commas: defer_taskrun,
 * coop_taskrun, buffer_ring, no_iowait, multishot, send_msg_ring.
 *
 * THE COMMENTS OF THE FUNCTIONS
 *
 * Each comment has these parts, in this order: what the function does, its parameters, its rules, and then
 *
 *   Owner              who owns the memory and the handles before the call, after it and on failure
 *   Threads            which threads may call, and whether inside a callback
 *   Completion, Calls  the statuses that the callback or the op gets, and when
 *   Returns            the statuses that the call returns, and when
 *   Since              the first version that has the function
 *
 * Licence: MIT or Apache-2.0, as you like. This file is generated from src/ffi; do not edit it.
 */

#ifndef IOURINGNET_H
#define IOURINGNET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The version that a program is compiled with. iouringnet_version() returns the version that runs. */
#define IOURINGNET_VERSION_MAJOR 0
#define IOURINGNET_VERSION_MINOR 1
#define IOURINGNET_VERSION_PATCH 0
#define IOURINGNET_VERSION 0x000100 /* major << 16 | minor << 8 | patch */

/* Statuses. */
#define IOURINGNET_OK 0
/* the peer ended the stream */
#define IOURINGNET_EOF (-10001)
/* the operation did not finish before its deadline */
#define IOURINGNET_TIMEOUT (-10002)
/* the operation was cancelled */
#define IOURINGNET_CANCELLED (-10003)
/* the operation was ended by a close on this side */
#define IOURINGNET_CLOSED (-10004)
/* the net has been stopped */
#define IOURINGNET_STOPPED (-10005)
/* the handle is closed, of another kind, or was never one */
#define IOURINGNET_BAD_HANDLE (-10006)
/* an argument is not valid */
#define IOURINGNET_INVALID (-10007)
/* the sink has as many unsent bytes as its mark allows; nothing was taken */
#define IOURINGNET_FULL (-10008)
/* a bound of the whole net is reached; nothing was taken */
#define IOURINGNET_LIMIT (-10009)
/* something that excludes this call is still going on */
#define IOURINGNET_BUSY (-10010)
/* the operation has not finished yet */
#define IOURINGNET_PENDING (-10011)
/* an earlier send ended when only a part of it was out, so that the sink cannot go on */
#define IOURINGNET_TORN (-10012)
/* more bytes would have to be buffered than the configuration allows */
#define IOURINGNET_TOO_BIG (-10013)
/* a call that may block is not allowed inside a callback */
#define IOURINGNET_IN_CALLBACK (-10014)
/* the host name is not known */
#define IOURINGNET_NAME (-10015)
/* the host name could not be looked up at the moment; a later try may succeed */
#define IOURINGNET_NAME_AGAIN (-10016)
/* the library was started before this process was forked and cannot be used in the child */
#define IOURINGNET_FORKED (-10017)
/* io_uring cannot be used here; iouringnet_probe says why */
#define IOURINGNET_UNAVAILABLE (-10018)
/* the library met a fault of its own and gave up this call */
#define IOURINGNET_PANIC (-10019)
/* there is too little memory that may be locked (RLIMIT_MEMLOCK); iouringnet_probe says more */
#define IOURINGNET_LOCKED_MEMORY (-10020)

/* For `read_buffer` of the config: no read buffer, so every receive goes straight to the caller's memory. */
#define IOURINGNET_UNBUFFERED SIZE_MAX
/* CPU number n, for `send_cpu` and `recv_cpu` of the config. */
#define IOURINGNET_CPU(n) ((int32_t)(n) + 1)

/* Each zeroes a struct and stores its size. Use it first on a struct that begins with `size`. */
#define iouringnet_config_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_dial_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_bind_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_completion_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_sink_info_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_stats_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_probe_result_init(s) iouringnet_struct_init((s), sizeof *(s))


/** For a time limit in milliseconds: no limit. */
#define IOURINGNET_NO_TIMEOUT (-1)

/** For `linger_ms`: a connection ends when the peer has acknowledged everything. */
#define IOURINGNET_NO_LINGER (-1)

/** For `spin_us`: a wait sleeps at once. */
#define IOURINGNET_NO_SPIN (-1)

/** A switch is on. 0 in a switch is the field's default. */
#define IOURINGNET_ON 1

/** A switch is off. */
#define IOURINGNET_OFF 2

/** For `nodelay`: the library leaves the system's value. */
#define IOURINGNET_SYSTEM 3

/** Log what went wrong. */
#define IOURINGNET_LOG_ERROR 1

/** Log also what may explain trouble. */
#define IOURINGNET_LOG_WARN 2

/** Log also what starts and ends. */
#define IOURINGNET_LOG_INFO 3

/** Log also every connection that the net's threads make or end. */
#define IOURINGNET_LOG_DEBUG 4

/** Log also every operation that reaches a loop. */
#define IOURINGNET_LOG_TRACE 5

/** A bit of `features` of iouringnet_probe_result: completions run when a loop asks for them (Linux 6.1). */
#define IOURINGNET_FEATURE_DEFER_TASKRUN 1

/** A bit of `features`: the kernel does not interrupt a loop for completions (Linux 5.19). */
#define IOURINGNET_FEATURE_COOP_TASKRUN 2

/** A bit of `features`: the kernel picks receive buffers from a shared ring (Linux 5.19). */
#define IOURINGNET_FEATURE_BUFFER_RING 4

/** A bit of `features`: a sleeping loop does not count as waiting for a disk (Linux 6.15). */
#define IOURINGNET_FEATURE_NO_IOWAIT 8

/** A bit of `features`: one receive of a watch brings many messages, up to a number of bytes (Linux 6.17). */
#define IOURINGNET_FEATURE_MULTISHOT 16

/** A bit of `features`: a completion wakes a loop, instead of an eventfd (Linux 6.13). */
#define IOURINGNET_FEATURE_SEND_MSG_RING 32

/**
 * The result of a call.
 *
 *   0             success
 *   -1 to -4095   an errno of the kernel, negated, such as -ECONNREFUSED
 *   below -10000  a status of this library
 */
typedef int32_t iouringnet_status;

/**
 * The handle of a net: two event loops and everything that they serve. A handle is a number with the type of
 * a pointer. Nobody follows it.
 */
typedef struct iouringnet_net iouringnet_net;

/** The handle of a listener: a bound address that accepts connections. */
typedef struct iouringnet_listener iouringnet_listener;

/** The handle of a sink: the half of a connection that sends. */
typedef struct iouringnet_sink iouringnet_sink;

/** The handle of a stream: the half of a connection that receives. */
typedef struct iouringnet_stream iouringnet_stream;

/**
 * The handle of an op: an operation that an _async call began. The caller waits for it, cancels it and
 * releases it.
 */
typedef struct iouringnet_op iouringnet_op;

/** An address as text: "127.0.0.1:7000", "[fe80::1%eth0]:7000". */
typedef struct {
    /** At most 127 characters, and then a zero byte. */
    char text[128];
} iouringnet_address;

/** The result of an operation, or one event of a watch. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_completion_init` sets it. */
    size_t size;
    /** The result of the operation, or the event of the watch. */
    iouringnet_status status;
    /** Number of bytes transferred, whatever the status. */
    size_t bytes;
    /**
     * The half that sends of the new connection of a dial or an accept. The receiver closes it. NULL in any
     * other completion.
     */
    iouringnet_sink *sink;
    /** The half that receives of the same connection. The receiver closes it. NULL in any other completion. */
    iouringnet_stream *stream;
} iouringnet_completion;

/**
 * Gets the result of an operation, or one event of a watch. It runs on the callback thread of the net.
 * `done` is valid until the callback returns. The callback must not take long. It must not leave by an
 * exception, by longjmp or by pthread_exit.
 */
typedef void (*iouringnet_callback)(void *user, const iouringnet_completion *done);

/**
 * Gets bytes that a stream has received, and returns how many of them it has consumed. The next call shows
 * the rest again, joined with the bytes that arrive next. `data` is valid until the callback returns. In the
 * last call `status` is not 0, `data` is NULL, and the library ignores the result. It runs on the callback
 * thread of the net. The callback must not take long. It must not leave by an exception, by longjmp or by
 * pthread_exit.
 */
typedef size_t (*iouringnet_data_callback)(void *user, iouringnet_status status, const void *data,
    size_t size);

/**
 * Gets one line of the log, without a line end. `text` is valid until the callback returns.
 *
 * - It runs on both threads of the net, possibly at the same time. The library may hold the lock of a handle
 *   meanwhile.
 * - It must not call the library. A call that returns a status returns IOURINGNET_IN_CALLBACK there, and a
 *   call that returns nothing does nothing.
 * - It must not wait for a lock that another thread holds while that thread calls the library.
 * - It must not leave by an exception, by longjmp or by pthread_exit.
 */
typedef void (*iouringnet_log_callback)(void *user, int32_t level, const char *text);

/**
 * The config of a net. Prepare it with `iouringnet_config_init`. 0 in a field is the field's default.
 * net_start returns IOURINGNET_INVALID if a field is out of its range.
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_config_init` sets it. */
    size_t size;
    /**
     * Entries of each ring: 8 to 32768. Default: 256. They bound neither connections nor operations.
     *
     * If the limit on locked memory (RLIMIT_MEMLOCK) has no room for so many entries, both rings get fewer,
     * but at least 16. All processes of a user share that limit. A net with 256 entries takes 108 KiB of it,
     * and a net with 16 entries takes 20 KiB. Exceptions: the kernel does not count the rings of root, and
     * Linux 5.12 to 6.13 count no rings.
     */
    uint32_t ring_entries;
    /**
     * Largest number of operations in flight. Default: 65536. A call that would exceed it returns
     * IOURINGNET_LIMIT. One operation for each half of each connection does not count.
     */
    uint32_t max_operations;
    /** TCP_NODELAY of connections: IOURINGNET_ON (default), IOURINGNET_OFF or IOURINGNET_SYSTEM. */
    uint32_t nodelay;
    /**
     * Whether a call asks the kernel on the calling thread first, and uses a ring only for the rest:
     * IOURINGNET_ON (default) or IOURINGNET_OFF.
     */
    uint32_t first_try;
    /**
     * Idle time until the first keepalive probe, in milliseconds. The library rounds it up to seconds, and
     * takes more than 32,767 s as 32,767 s. Default: no keepalive. The system decides how many probes follow
     * and how often: 9 probes, one every 75 s, unless it is configured otherwise.
     */
    int64_t keepalive_ms;
    /** SO_SNDBUF of connections, in bytes: at most INT_MAX. Default: the system's value. */
    size_t send_buffer;
    /** SO_RCVBUF of connections, in bytes: at most INT_MAX. Default: the system's value. */
    size_t recv_buffer;
    /**
     * Size of a stream's read buffer, in bytes: at most 1 GiB. Default: 64 KiB. Receives that are smaller come
     * from the buffer. Other receives go straight to the caller's memory. IOURINGNET_UNBUFFERED: there is no
     * buffer, and so nothing to peek or to fill.
     */
    size_t read_buffer;
    /**
     * Largest number of bytes that stream_fill may ask for, and that a watch may leave unconsumed: at most 1
     * GiB. Default: 1 MiB.
     */
    size_t buffer_max;
    /** Bytes posted and unsent at which sink_post returns IOURINGNET_FULL. Default: 1 MiB. */
    size_t post_mark;
    /**
     * Time limit of operations, in milliseconds. sink_set_timeout and stream_set_timeout change it for one
     * half. Default: no limit. IOURINGNET_NO_TIMEOUT: no limit.
     */
    int64_t timeout_ms;
    /**
     * Time limit of a dial, in milliseconds. It covers the lookup of the name and all its addresses. Default:
     * 10 s. IOURINGNET_NO_TIMEOUT: the kernel's limit.
     */
    int64_t dial_timeout_ms;
    /**
     * Longest time that a closed connection may make no progress, in milliseconds. Then the library resets it.
     * Default: 30 s. IOURINGNET_NO_TIMEOUT: no limit.
     */
    int64_t close_timeout_ms;
    /**
     * Time that net_stop gives connections to close, in milliseconds. Then it resets them. Default: 5 s.
     * IOURINGNET_NO_TIMEOUT: no limit.
     */
    int64_t shutdown_timeout_ms;
    /**
     * Longest time that a waiting receive, or the receive loop, spins before it sleeps, in microseconds: at
     * most 1000. Default: 50. IOURINGNET_NO_SPIN: no spinning.
     *
     * The time adapts. After a spin that found something, spins are longer and more frequent. After other
     * spins they are shorter and rarer. There is no spinning if `first_try` is off or the process may use only
     * one CPU.
     */
    int64_t spin_us;
    /** CPU of the send loop, as IOURINGNET_CPU(n). Default: any. */
    int32_t send_cpu;
    /** CPU of the receive loop, which runs the callbacks, as IOURINGNET_CPU(n). Default: any. */
    int32_t recv_cpu;
    /** What to log: IOURINGNET_LOG_ERROR to IOURINGNET_LOG_TRACE. Default: IOURINGNET_LOG_WARN. */
    uint32_t log_level;
    /** Must be 0. */
    uint32_t reserved;
    /** Gets the log. NULL: the library logs nothing. */
    iouringnet_log_callback log;
    /** Passed to `log`. It must stay valid until net_stop has returned. */
    void *log_user;
    /**
     * Time that a closed connection waits for a peer that has acknowledged everything and does not end its
     * side, in milliseconds. Default: 2 s. IOURINGNET_NO_LINGER: no wait.
     *
     * The time counts from the acknowledgement. If it has passed before the close, the peer still has 50 ms,
     * or three round trips if they take longer, to answer the end of the stream. This is never more than
     * `linger_ms`.
     */
    int64_t linger_ms;
    /**
     * Time limit of the whole drain after a close, with or without progress, in milliseconds. Default: 60 s,
     * and 1 s for each KiB that the peer had not acknowledged when the drain began. IOURINGNET_NO_TIMEOUT: no
     * limit.
     *
     * Only a peer that holds back exceeds the default. `close_timeout_ms` applies at the same time.
     */
    int64_t drain_timeout_ms;
} iouringnet_config;

/** The options of a dial. Prepare them with `iouringnet_dial_options_init`. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_dial_options_init` sets it. */
    size_t size;
    /**
     * Time limit of the dial, in milliseconds. Default: the config's `dial_timeout_ms`. IOURINGNET_NO_TIMEOUT:
     * the kernel's limit.
     */
    int64_t timeout_ms;
} iouringnet_dial_options;

/** The options of a bind. Prepare them with `iouringnet_bind_options_init`. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_bind_options_init` sets it. */
    size_t size;
    /**
     * Largest number of connections that wait in the kernel to be accepted. Default: 4096. The system's
     * somaxconn is an upper bound.
     */
    uint32_t backlog;
    /** SO_REUSEPORT, which binds one port in several nets: IOURINGNET_ON or IOURINGNET_OFF (default). */
    uint32_t reuse_port;
} iouringnet_bind_options;

/** The result of sink_info. Prepare it with `iouringnet_sink_info_init`. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_sink_info_init` sets it. */
    size_t size;
    /** Address of this end. */
    iouringnet_address local;
    /** Address of the peer. It is empty if the connection is gone. */
    iouringnet_address peer;
    /** Number of accepted bytes that the kernel does not have yet. */
    size_t unsent;
} iouringnet_sink_info;

/**
 * The result of net_stats. Prepare it with `iouringnet_stats_init`. Each field is a number since the start
 * of the net, unless it says "now".
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_stats_init` sets it. */
    size_t size;
    /** System calls of the send loop into its ring. */
    uint64_t send_enters;
    /** Entries that the send loop has submitted. */
    uint64_t send_entries;
    /** Completions that the send loop has reaped. */
    uint64_t send_completions;
    /** Times that another thread has woken the send loop up. */
    uint64_t send_wakes;
    /** System calls of the receive loop into its ring. */
    uint64_t recv_enters;
    /** Entries that the receive loop has submitted. */
    uint64_t recv_entries;
    /** Completions that the receive loop has reaped. */
    uint64_t recv_completions;
    /** Times that another thread has woken the receive loop up. */
    uint64_t recv_wakes;
    /** Callbacks that the net has run. */
    uint64_t callbacks;
    /** Connections that are open now, including closed ones that drain or linger. */
    uint64_t connections;
    /** Listeners that are open now. */
    uint64_t listeners;
    /** Operations that are in flight now, as `max_operations` counts them. */
    uint64_t operations;
    /** Errors of accepts that did not end the accept or the watch, such as a shortage of descriptors. */
    uint64_t accept_errors;
    /** Closed connections that `close_timeout_ms` or `drain_timeout_ms` has reset. */
    uint64_t drains_timed_out;
    /** Closed connections that ended early because descriptors or memory ran short, the oldest first. */
    uint64_t drains_shed;
} iouringnet_stats;

/** The result of iouringnet_probe. Prepare it with `iouringnet_probe_result_init`. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_probe_result_init` sets it. */
    size_t size;
    /**
     * The status that net_start would return:
     *
     *   IOURINGNET_OK             a net can start
     *   IOURINGNET_UNAVAILABLE    io_uring cannot be used here
     *   IOURINGNET_LOCKED_MEMORY  the limit on locked memory leaves no room
     *   -EMFILE, -ENFILE          there are too few descriptors
     *   -EAGAIN                   there are too few threads
     *   -ENOMEM                   there is too little memory
     */
    iouringnet_status status;
    /** The errno of the system's refusal, positive. 0 if a net can start. */
    int32_t error;
    /** Features that this kernel has: IOURINGNET_FEATURE_ bits. A net requires none of them. */
    uint32_t features;
    /** The kernel's release. */
    char kernel[64];
    /** What was found, or why io_uring cannot be used and the remedy. */
    char text[256];
} iouringnet_probe_result;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The library: version, texts, and what this system offers ---- */

/**
 * Returns the version of the library that is running. IOURINGNET_VERSION is the version that the program was
 * compiled with.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns: major << 16 | minor << 8 | patch.
 * Since:   0.1
 */
uint32_t iouringnet_version(void);

/**
 * Returns the text of a status, for people: "the peer ended the stream".
 *
 * `status`  Any number.
 *
 * Branch on the status, never on the text. The text is not translated.
 *
 * Owner:   The library. The text is constant, and the caller does not free it.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns: The text, never NULL. A number that is no status has the text "unknown status".
 * Since:   0.1
 */
const char *iouringnet_strerror(iouringnet_status status);

/**
 * Returns the name of a status, as it is in the source: "IOURINGNET_EOF", "ECONNREFUSED".
 *
 * `status`  Any number.
 *
 * Owner:   The library. The name is constant, and the caller does not free it.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns: The name, never NULL. A number that is no status has the name "UNKNOWN".
 * Since:   0.1
 */
const char *iouringnet_errname(iouringnet_status status);

/**
 * Finds out whether net_start can start a net with the default config here. If it cannot, the result has the
 * cause and the remedy. The cause is a sysctl, a seccomp filter, a kernel that is too old, or a limit on
 * locked memory, descriptors or threads.
 *
 * `result`  Prepared with `iouringnet_probe_result_init`. The library fills it in if it returns 0.
 *
 * The probe starts two threads and then makes two rings, as net_start does. Nothing of them is left when it
 * returns.
 *
 * Owner:   The caller owns `*result`.
 * Threads: Any thread, also inside a callback and in a forked child. Takes about a millisecond. It waits up
 *          to 2.5 s for locked memory that other nets of the user hold or have just given back.
 * Returns:
 *   0                         The library has looked. `result->status` is what it has found.
 *   IOURINGNET_INVALID        `result` is NULL, or its size is wrong.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.1
 */
iouringnet_status iouringnet_probe(iouringnet_probe_result *result);

/**
 * Zeroes a struct and stores its size. The iouringnet_..._init macros above call it with the size that the
 * program was compiled with.
 *
 * `memory`  The struct. NULL: the call does nothing.
 * `size`    Bytes of the struct. If it is less than sizeof(size_t), the call does nothing.
 *
 * Owner:   The caller owns the struct.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns: Nothing.
 * Since:   0.1
 */
void iouringnet_struct_init(void *memory, size_t size);

/* ---- Starting and stopping ---- */

/**
 * Starts a net: two io_uring event loops, each on a thread of its own. Both rings exist when the call
 * returns.
 *
 * `config`  Prepared with `iouringnet_config_init`. NULL: all defaults.
 * `net`     Set to the new net on success.
 *
 * Owner:   The caller owns `*config`; the library reads it only during the call. The caller stops the new
 *          net with net_stop. On failure `*net` is unchanged, and nothing is left behind.
 * Threads: Any thread, also inside a callback. Takes about a millisecond. It waits up to 2.5 s for locked
 *          memory that other nets of the user hold or have just given back.
 * Returns:
 *   0                         The net has started.
 *   IOURINGNET_UNAVAILABLE    io_uring cannot be used here. iouringnet_probe has the cause.
 *   IOURINGNET_LOCKED_MEMORY  The limit on locked memory leaves no room for two rings of the smallest size.
 *   -EMFILE, -ENFILE          There are too few descriptors.
 *   -EAGAIN                   There are too few threads.
 *   -ENOMEM                   There is too little memory.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `net` is NULL, the size of the config is wrong, a field is out of its range, a
 *                             CPU does not exist, or the config has a non-zero field that this version does
 *                             not know.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_start(const iouringnet_config *config, iouringnet_net **net);

/**
 * Stops a net and ends its two threads. The call does this in order:
 *
 * 1. It refuses new work with IOURINGNET_STOPPED. After one call has returned this status, no later
 *    operation or post is accepted.
 * 2. It ends timers, dials, accepts, receives and their watches with IOURINGNET_STOPPED at once.
 * 3. It closes both halves of every connection. Accepted bytes go out within the config's
 *    `shutdown_timeout_ms`. Within the same time, a peer that has everything has `linger_ms` to end its
 *    side.
 * 4. It resets the connections that are left. Sends that are cut get IOURINGNET_STOPPED.
 * 5. It waits for every outstanding callback, and ends both threads.
 *
 * No callback of the net runs after the call. If several threads stop a net at the same time, all get the
 * same result.
 *
 * Owner:   After the call, the caller owns all memory that it gave to the net, and every handle of the net
 *          is bad. Exception: ops keep their results until they are released.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The net has stopped, and all accepted bytes went out.
 *   IOURINGNET_TIMEOUT        The net has stopped, and accepted bytes were cut.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_stop(iouringnet_net *net);

/* ---- Connecting ---- */

/**
 * Connects to an address, and waits for the connection.
 *
 * `address`  "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000".
 * `options`  Prepared with `iouringnet_dial_options_init`. NULL: all defaults.
 * `sink`     Set to the half that sends, on success.
 * `stream`   Set to the half that receives, on success.
 *
 * The library takes the addresses of a name from /etc/hosts. If that file does not have the name, the
 * library asks getaddrinfo. It tries the addresses one after the other. One time limit covers the lookup and
 * all addresses.
 *
 * Owner:   The caller owns `address` and `*options`; the library reads them only during the call. The caller
 *          closes both halves. On failure `*sink` and `*stream` are unchanged.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The connection is open.
 *   IOURINGNET_TIMEOUT        The time limit of the dial passed.
 *   -ECONNREFUSED             Nobody listens at the last address that was tried.
 *   another errno             The last address that was tried failed with this errno, such as -EHOSTUNREACH
 *                             or -EMFILE.
 *   -ENODEV                   There is no interface of the name after "%".
 *   IOURINGNET_NAME           The name is not known.
 *   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
 *   -EAGAIN                   There is no thread to look up the name.
 *   IOURINGNET_STOPPED        net_stop has begun. If it overtakes the dial, the peer may see a connection
 *                             open and close.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, 1,024 names wait to be looked up,
 *                             or the process has too many handles.
 *   IOURINGNET_INVALID        `address` cannot be read, `address`, `sink` or `stream` is NULL, `timeout_ms`
 *                             is below -1, or the options have a wrong size or a non-zero field that this
 *                             version does not know.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_dial(iouringnet_net *net, const char *address, const iouringnet_dial_options *options,
    iouringnet_sink **sink, iouringnet_stream **stream);

/**
 * Binds an address and listens on it. Connections wait in the kernel until they are accepted.
 *
 * `address`   "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000". Port 0 binds a free
 *             port, and listener_address returns it.
 * `options`   Prepared with `iouringnet_bind_options_init`. NULL: all defaults.
 * `listener`  Set to the new listener on success.
 *
 * The library takes the addresses of a name from /etc/hosts, or else from getaddrinfo, which runs on the
 * calling thread. It binds the first address that can be bound. SO_REUSEADDR is always on.
 *
 * Owner:   The caller owns `address` and `*options`; the library reads them only during the call. The caller
 *          closes the listener. On failure `*listener` is unchanged.
 * Threads: Any thread, also inside a callback. A name blocks for its lookup; therefore a name is refused
 *          inside a callback. If descriptors or memory run short, the call waits for a closed connection to
 *          end, up to 0.1 s for each of its two descriptors. Inside a callback it does not wait.
 * Returns:
 *   0                         The listener is open.
 *   -EADDRINUSE               The address is in use.
 *   -EADDRNOTAVAIL            This machine does not have the address.
 *   -EACCES                   The process may not bind the port.
 *   another errno             The kernel refused the bind, for instance with -EMFILE.
 *   -ENODEV                   There is no interface of the name after "%".
 *   IOURINGNET_NAME           The name is not known.
 *   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `address` cannot be read, `address` or `listener` is NULL, `reuse_port` is out
 *                             of its range, or the options have a wrong size or a non-zero field that this
 *                             version does not know.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net, and the address has a name. Or inside a log
 *                             callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_bind(iouringnet_net *net, const char *address, const iouringnet_bind_options *options,
    iouringnet_listener **listener);

/**
 * Accepts one connection, and waits for it.
 *
 * `sink`    Set to the half that sends, on success.
 * `stream`  Set to the half that receives, on success.
 *
 * The call has no time limit. For a limit, use listener_accept_async and op_wait. Neither a shortage of
 * descriptors nor an error of one connection ends the accept; the library counts them in `accept_errors`. A
 * shortage ends the oldest closed connection that drains or lingers.
 *
 * Owner:   The caller closes both halves. On failure `*sink` and `*stream` are unchanged.
 * Threads: Any thread, but not inside a callback. Several threads may accept at the same time. Blocks.
 * Returns:
 *   0                         The connection is open.
 *   IOURINGNET_CLOSED         Another thread has closed the listener.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `sink` or `stream` is NULL.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status listener_accept(iouringnet_listener *listener, iouringnet_sink **sink,
    iouringnet_stream **stream);

/**
 * Gets the address that a listener is bound to. If the caller bound port 0, the address has the port that
 * the system chose.
 *
 * `address`  Set to the address on success.
 *
 * Owner:   The caller owns `*address`.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*address` has the address.
 *   IOURINGNET_INVALID        `address` is NULL.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status listener_address(iouringnet_listener *listener, iouringnet_address *address);

/**
 * Closes a listener. The handle is invalid at once. The address can be bound again when the call returns.
 *
 * The library first delivers the connections that it has taken from the kernel to pending accepts or to the
 * watch. The kernel resets the connections that still wait in it. Then pending accepts and the watch's last
 * call get IOURINGNET_CLOSED. NULL and closed handles do nothing.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback, the listener's own included. Never blocks. In a forked child
 *          and inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.1
 */
void listener_close(iouringnet_listener *listener);

/* ---- Sending ---- */

/**
 * Sends all of a piece of memory, and waits until the kernel has it.
 *
 * `data`  The bytes to send. NULL is allowed if `size` is 0.
 * `size`  Number of bytes. 0: the call succeeds at once.
 * `sent`  Set to the number of bytes that went out, also on failure. NULL: not set.
 *
 * The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
 * limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink gets the first
 * cause.
 *
 * Owner:   The caller owns `data` again when the call returns. The library reads it only during the call.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
 *                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused the send, which broke the sink: -EFAULT if `data` cannot be
 *                             read.
 *   IOURINGNET_CLOSED         sink_abort has ended the send, or another thread has just closed the sink.
 *   IOURINGNET_STOPPED        net_stop has begun before the send, or has cut it.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte went out.
 *   IOURINGNET_INVALID        `data` is NULL with a size, or `size` is above PTRDIFF_MAX.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_send(iouringnet_sink *sink, const void *data, size_t size, size_t *sent);

/**
 * Sends several pieces of memory as one, such as a header and its body, and waits until the kernel has them.
 *
 * `parts`  The pieces, in order. NULL is allowed if `count` is 0.
 * `count`  Number of pieces; IOV_MAX is no bound. 0: the call succeeds at once.
 * `sent`   Set to the number of bytes that went out, also on failure. NULL: not set.
 *
 * The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
 * limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink gets the first
 * cause.
 *
 * Owner:   The caller owns the array and the pieces again when the call returns. The library reads them only
 *          during the call.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
 *                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused the send, which broke the sink: -EFAULT if a piece cannot
 *                             be read.
 *   IOURINGNET_CLOSED         sink_abort has ended the send, or another thread has just closed the sink.
 *   IOURINGNET_STOPPED        net_stop has begun before the send, or has cut it.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte went out.
 *   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
 *                             PTRDIFF_MAX, or the sum is above SIZE_MAX.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_sendv(iouringnet_sink *sink, const struct iovec *parts, size_t count, size_t *sent);

/**
 * Sends all of a piece of memory without waiting. The library copies the bytes that the kernel does not take
 * at once.
 *
 * `data`  The bytes to send. NULL is allowed if `size` is 0.
 * `size`  Number of bytes. A sink below its `post_mark` accepts any size.
 *
 * Posts and sends of one sink share one order: the order of the calls. If a post fails after the call, the
 * sink's watch and every later call that sends get the error. A post on a broken sink gets the first cause.
 * Posts have a time limit without progress; see sink_set_timeout.
 *
 * Owner:   The caller owns `data` again when the call returns.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The library has accepted the bytes. They go out even if the sink is closed
 *                             next.
 *   IOURINGNET_FULL           The sink has `post_mark` bytes posted and unsent. Nothing was taken. The
 *                             sink's watch reports when there is room.
 *   -ENOMEM                   There is no memory to copy more than 16 KiB. Nothing was taken. Exception: if
 *                             part of the post had gone out, the sink is broken by this error.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   IOURINGNET_TIMEOUT        Earlier posts made no progress for the sink's time limit, which broke the
 *                             sink.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused this or an earlier send, which broke the sink.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        `data` is NULL with a size, or `size` is above PTRDIFF_MAX.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_post(iouringnet_sink *sink, const void *data, size_t size);

/**
 * Waits until the kernel has everything that the sink has accepted so far, posts included.
 *
 * The call tells nothing about the peer's program. Only an answer of that program can. The time limit of the
 * sink covers the flush; see sink_set_timeout. A flush that times out leaves the sink good. A flush of a
 * broken sink gets the first cause.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. Or a limit of a drain or of posts passed, which broke
 *                             the sink.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused an earlier send, which broke the sink.
 *   IOURINGNET_CLOSED         sink_abort has ended the flush, or another thread has just closed the sink.
 *   IOURINGNET_STOPPED        net_stop has begun before the flush, or has cut the sends before it.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_flush(iouringnet_sink *sink);

/**
 * Gets both addresses of a connection, and the number of accepted bytes that the kernel does not have yet.
 *
 * `info`  Prepared with `iouringnet_sink_info_init`. Filled in on success.
 *
 * Owner:   The caller owns `*info`.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*info` is filled in.
 *   IOURINGNET_INVALID        `info` is NULL, or its size is wrong.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_info(iouringnet_sink *sink, iouringnet_sink_info *info);

/**
 * Closes the half that sends. The handle is invalid at once.
 *
 * Accepted work goes out and completes as if the sink were open. Then the peer gets the end of the stream.
 * The stream can still receive, so this call is also the half-close. NULL and closed handles do nothing.
 *
 * If one of these events ends the drain, the library resets the connection. Therefore a cut stream never
 * looks whole. Work that is left gets the status.
 *
 *   event                                                   status
 *   no progress for the config's `close_timeout_ms`         IOURINGNET_TIMEOUT
 *   the drain has taken `drain_timeout_ms` in all           IOURINGNET_TIMEOUT
 *   both halves are closed, and descriptors or memory run   -EMFILE, -ENFILE, -ENOMEM or -ENOBUFS
 *   short in the process; the oldest connection goes first
 *
 * Exceptions: a broken sink is reset at once. If the peer has acknowledged everything when a shortage ends
 * the connection, the library closes it without a reset. The last call of the sink's watch reports the end
 * of the drain.
 *
 * Owner:   The library owns the memory of pending sends until their completions.
 * Threads: Any thread, also inside a callback, the sink's own included. Never blocks. In a forked child and
 *          inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.1
 */
void sink_close(iouringnet_sink *sink);

/**
 * Ends both halves of a connection at once, by a reset. The sink's handle is invalid at once.
 *
 * The library discards unsent and unread bytes. Pending work and watches of both halves end with
 * IOURINGNET_CLOSED. Later receives on the stream get IOURINGNET_CLOSED. NULL and closed handles do nothing.
 *
 * Owner:   The caller still closes the stream's handle. The library owns the memory of pending work until
 *          its completion.
 * Threads: Any thread, also inside a callback, the sink's own included. Never blocks. In a forked child and
 *          inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.1
 */
void sink_abort(iouringnet_sink *sink);

/* ---- Receiving ---- */

/**
 * Receives exactly `size` bytes, and waits for them.
 *
 * `into`      Memory for the bytes. NULL is allowed if `size` is 0.
 * `size`      Number of bytes. 0: the call succeeds at once.
 * `received`  Set to the number of bytes received, also on failure. NULL: not set.
 *
 * The receives of one stream complete in the order of the calls. The time limit of the stream covers the
 * whole receive; see stream_set_timeout. No byte is lost on failure:
 *
 *   `size`                            on failure
 *   below the config's `read_buffer`  `*received` is 0, and the bytes that arrived stay for the next call
 *   any other                         `*received` counts the bytes that are in `into`
 *
 * Owner:   The caller owns `into` again when the call returns.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         All bytes are in `into`.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
 *                             receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the receive, or sink_abort came before
 *                             it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte was taken.
 *   IOURINGNET_INVALID        `into` is NULL with a size, or `size` is above PTRDIFF_MAX.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_recv(iouringnet_stream *stream, void *into, size_t size, size_t *received);

/**
 * Receives the bytes that are there, at least one, and waits if there is none.
 *
 * `into`      Memory for the bytes. NULL is allowed if `size` is 0.
 * `size`      Largest number of bytes to receive. 0: the call succeeds at once.
 * `received`  Set to the number of bytes received; 0 on failure. NULL: not set.
 *
 * The receives of one stream complete in the order of the calls. The time limit of the stream covers the
 * receive; see stream_set_timeout.
 *
 * Owner:   The caller owns `into` again when the call returns.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         At least one byte is in `into`.
 *   IOURINGNET_EOF            The peer ended the stream, and no byte is left.
 *   -ECONNRESET               The peer has reset the connection, and no byte is left.
 *   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
 *                             receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the receive, or sink_abort came before
 *                             it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte was taken.
 *   IOURINGNET_INVALID        `into` is NULL with a size, or `size` is above PTRDIFF_MAX.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_recv_some(iouringnet_stream *stream, void *into, size_t size, size_t *received);

/**
 * Waits until `size` bytes are buffered. stream_peek then shows them.
 *
 * `size`  Number of bytes, including the bytes that are already buffered. Range: 0 to the config's
 *         `buffer_max`. 0: the call succeeds at once.
 *
 * The time limit of the stream covers the fill; see stream_set_timeout. On failure, the bytes that arrived
 * stay buffered.
 *
 * Owner:   The library owns the buffer.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         At least `size` bytes are buffered.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed. Later receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the fill, or sink_abort came before it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight.
 *   IOURINGNET_TOO_BIG        `size` is above `buffer_max`.
 *   IOURINGNET_INVALID        The net is unbuffered.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_fill(iouringnet_stream *stream, size_t size);

/**
 * Shows bytes that are already buffered. The call neither receives nor consumes any.
 *
 * `max`   Largest number of bytes to show.
 * `data`  Set to the first byte on success.
 * `size`  Set to the number of bytes on success; it may be 0. It is always 0 on an unbuffered net.
 *
 * Owner:   The library owns the bytes. They are valid until the next call on this stream or net_stop, from
 *          any thread. On failure `*data` and `*size` are unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*data` and `*size` are set.
 *   IOURINGNET_BUSY           A receive or a fill is pending, or a watch is armed.
 *   IOURINGNET_CLOSED         sink_abort has ended the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        `data` or `size` is NULL.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_peek(iouringnet_stream *stream, size_t max, const void **data, size_t *size);

/**
 * Consumes the first `size` buffered bytes. stream_peek shows them before.
 *
 * `size`  Number of bytes, at most as many as are buffered.
 *
 * Owner:   The bytes that stream_peek has shown are no longer valid.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The bytes are consumed.
 *   IOURINGNET_BUSY           A receive or a fill is pending, or a watch is armed.
 *   IOURINGNET_CLOSED         sink_abort has ended the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        Fewer than `size` bytes are buffered. Nothing was consumed.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_consume(iouringnet_stream *stream, size_t size);

/**
 * Closes the half that receives. The handle is invalid at once.
 *
 * Pending receives and the watch's last call get IOURINGNET_CLOSED, and the library discards buffered bytes.
 * NULL and closed handles do nothing.
 *
 * While the sink is open, the library reads no further input. Therefore the peer's sends stall when the
 * buffers of the kernel are full. When the sink is closed too, the library reads and discards input until
 * the peer ends its side, or for `linger_ms` after the peer has acknowledged everything. `close_timeout_ms`
 * without progress ends the wait too. The library reads because unread input would reset the connection, and
 * the peer could lose bytes.
 *
 * Owner:   The library owns the memory of pending receives until their completions. Bytes that stream_peek
 *          has shown are no longer valid. Exception: bytes that a watch shows stay valid until its callback
 *          returns.
 * Threads: Any thread, also inside a callback, the stream's own included. Never blocks. In a forked child
 *          and inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.1
 */
void stream_close(iouringnet_stream *stream);

/* ---- Time limits, timers, statistics ---- */

/**
 * Sets the time limit of later sends and flushes, and of posts.
 *
 * `timeout_ms`  Milliseconds.
 *
 *   `timeout_ms`                a send or a flush             posts
 *   above 0                     limit of the whole operation  limit without progress
 *   0                           one try                       no limit
 *   IOURINGNET_NO_TIMEOUT (-1)  no limit                      no limit
 *
 * One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
 * work.
 *
 * A new sink has the config's `timeout_ms`. Operations that are already accepted keep their limits. Posts
 * have the new limit at once.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The limit is set.
 *   IOURINGNET_INVALID        `timeout_ms` is below -1.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_set_timeout(iouringnet_sink *sink, int64_t timeout_ms);

/**
 * Sets the time limit of later receives and fills, and of the watch.
 *
 * `timeout_ms`  Milliseconds.
 *
 *   `timeout_ms`                a receive or a fill                                the watch
 *   above 0                     limit of the whole operation                       limit without a byte;
 *                                                                                  paused time does not
 *                                                                                  count
 *   0                           one try, which succeeds if enough bytes are there  no limit
 *   IOURINGNET_NO_TIMEOUT (-1)  no limit                                           no limit
 *
 * One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
 * work.
 *
 * A new stream has the config's `timeout_ms`. Operations that are already accepted keep their limits. The
 * watch has the new limit at once.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The limit is set.
 *   IOURINGNET_INVALID        `timeout_ms` is below -1.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_set_timeout(iouringnet_stream *stream, int64_t timeout_ms);

/**
 * Runs a callback once on the callback thread of the net, after a delay. It serves as a timer, and it brings
 * work to that thread.
 *
 * `delay_ms`  Milliseconds, at least 0. The callback never runs before the delay has passed.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * Calls with the same delay run in the order in which they were made.
 *
 * Owner:   The caller releases the op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The delay has passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the call.
 *   IOURINGNET_STOPPED        net_stop has ended the call.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The call is accepted. It completes exactly once.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `delay_ms` is negative, or both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_call(iouringnet_net *net, int64_t delay_ms, iouringnet_callback callback, void *user,
    iouringnet_op **op);

/**
 * Gets what a net has done so far, and what it holds now.
 *
 * `stats`  Prepared with `iouringnet_stats_init`. Filled in on success.
 *
 * Counters of events only grow. The library reads the counters one by one while the loops run. Therefore
 * they may differ by what happens meanwhile.
 *
 * Owner:   The caller owns `*stats`.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*stats` is filled in.
 *   IOURINGNET_INVALID        `stats` is NULL, or its size is wrong.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_stats(iouringnet_net *net, iouringnet_stats *stats);

/* ---- Without waiting: a callback, an op, or both ---- */

/**
 * Connects to an address. The completion has the connection.
 *
 * `address`   "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000".
 * `options`   Prepared with `iouringnet_dial_options_init`. NULL: all defaults.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The library takes the addresses of a name from /etc/hosts. If that file does not have the name, a thread
 * of the library asks getaddrinfo. The library tries the addresses one after the other. One time limit
 * covers the lookup and all addresses.
 *
 * Owner:   The caller owns `address` and `*options`; the library reads them only during the call. With a
 *          callback, the callback receives the connection and closes both halves. Without one, the first
 *          op_wait that fills in a completion receives it; later ones get NULL. If nobody receives it,
 *          op_release or net_stop closes it. The caller releases the op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The connection is open: `sink` and `stream` of the completion.
 *   IOURINGNET_TIMEOUT        The time limit of the dial passed.
 *   -ECONNREFUSED             Nobody listens at the last address that was tried.
 *   another errno             The last address that was tried failed with this errno, such as -EHOSTUNREACH
 *                             or -EMFILE.
 *   IOURINGNET_NAME           The name is not known.
 *   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the dial.
 *   IOURINGNET_STOPPED        net_stop has ended the dial, or has closed a connection that nobody received.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The dial is accepted. It completes exactly once.
 *   -ENODEV                   There is no interface of the name after "%".
 *   -EAGAIN                   There is no thread to look up the name.
 *   IOURINGNET_STOPPED        net_stop has begun. If it overtakes the dial, the peer may see a connection
 *                             open and close.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, 1,024 names wait to be looked up,
 *                             or the process has too many handles.
 *   IOURINGNET_INVALID        `address` is NULL or cannot be read, both `callback` and `op` are NULL,
 *                             `timeout_ms` is below -1, or the options have a wrong size or a non-zero field
 *                             that this version does not know.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_dial_async(iouringnet_net *net, const char *address,
    const iouringnet_dial_options *options, iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Accepts one connection. The completion has it.
 *
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The accept has no time limit; op_cancel ends it. Neither a shortage of descriptors nor an error of one
 * connection ends it; the library counts them in `accept_errors`. A shortage ends the oldest closed
 * connection that drains or lingers.
 *
 * Owner:   With a callback, the callback receives the connection and closes both halves. Without one, the
 *          first op_wait that fills in a completion receives it; later ones get NULL. If nobody receives it,
 *          op_release or net_stop closes it. The caller releases the op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The connection is open: `sink` and `stream` of the completion.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the accept.
 *   IOURINGNET_CLOSED         listener_close has ended the accept.
 *   IOURINGNET_STOPPED        net_stop has ended the accept, or has closed a connection that nobody
 *                             received.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The accept is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed the listener.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status listener_accept_async(iouringnet_listener *listener, iouringnet_callback callback,
    void *user, iouringnet_op **op);

/**
 * Sends all of a piece of memory. It completes when the kernel has all bytes.
 *
 * `data`      The bytes to send. NULL is allowed if `size` is 0.
 * `size`      Number of bytes. 0: the send completes at once.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
 * limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink completes with the
 * first cause. `bytes` of the completion is the number of bytes that went out, also on failure.
 *
 * Owner:   The library owns `data` until the completion. The caller neither frees nor changes it before. The
 *          caller releases the op. On failure of the call the caller owns `data`, and `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
 *                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the send. If part of it went out, the sink is torn.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused this or an earlier send, which broke the sink: -EFAULT if
 *                             `data` cannot be read. Or descriptors or memory ran short after both halves
 *                             were closed.
 *   IOURINGNET_CLOSED         sink_abort has ended the send.
 *   IOURINGNET_STOPPED        net_stop has cut the send.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The send is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
 *                             and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_send_async(iouringnet_sink *sink, const void *data, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Sends several pieces of memory as one. It completes when the kernel has all bytes.
 *
 * `parts`     The pieces, in order. NULL is allowed if `count` is 0.
 * `count`     Number of pieces; IOV_MAX is no bound. 0: the send completes at once.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
 * limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink completes with the
 * first cause. `bytes` of the completion is the number of bytes that went out, also on failure.
 *
 * Owner:   The library copies the array, and the caller owns the array when the call returns. The library
 *          owns the pieces until the completion. The caller neither frees nor changes them before. The
 *          caller releases the op. On failure of the call the caller owns the pieces, and `*op` is
 *          unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
 *                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the send. If part of it went out, the sink is torn.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused this or an earlier send, which broke the sink: -EFAULT if a
 *                             piece cannot be read. Or descriptors or memory ran short after both halves
 *                             were closed.
 *   IOURINGNET_CLOSED         sink_abort has ended the send.
 *   IOURINGNET_STOPPED        net_stop has cut the send.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The send is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
 *                             PTRDIFF_MAX, the sum is above SIZE_MAX, or both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_sendv_async(iouringnet_sink *sink, const struct iovec *parts, size_t count,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Completes when the kernel has everything that the sink has accepted so far, posts included.
 *
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The completion tells nothing about the peer's program. Only an answer of that program can. The time limit
 * of the sink covers the flush; see sink_set_timeout. A flush that times out or is cancelled leaves the sink
 * good. A flush of a broken sink completes with the first cause.
 *
 * Owner:   The caller releases the op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The kernel has all bytes.
 *   IOURINGNET_TIMEOUT        The time limit passed. Or a limit of a drain or of posts passed, which broke
 *                             the sink.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the flush.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused an earlier send, which broke the sink. Or descriptors or
 *                             memory ran short after both halves were closed.
 *   IOURINGNET_CLOSED         sink_abort has ended the flush.
 *   IOURINGNET_STOPPED        net_stop has cut the sends before the flush.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The flush is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_flush_async(iouringnet_sink *sink, iouringnet_callback callback, void *user,
    iouringnet_op **op);

/**
 * Receives exactly `size` bytes. It completes when they are all there.
 *
 * `into`      Memory for the bytes. NULL is allowed if `size` is 0.
 * `size`      Number of bytes. 0: the receive completes at once.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The receives of one stream complete in the order of the calls. The time limit of the stream covers the
 * whole receive; see stream_set_timeout. No byte is lost on failure:
 *
 *   `size`                            on failure
 *   below the config's `read_buffer`  `bytes` is 0, and the bytes that arrived stay for the next receive
 *   any other                         `bytes` counts the bytes that are in `into`
 *
 * Owner:   The library owns `into` until the completion. The caller neither frees, reads nor writes it
 *          before. The caller releases the op. On failure of the call the caller owns `into`, and `*op` is
 *          unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         All bytes are in `into`.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
 *                             receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the receive, or sink_abort came before
 *                             it.
 *   IOURINGNET_STOPPED        net_stop has ended the receive.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The receive is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `into` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
 *                             and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_recv_async(iouringnet_stream *stream, void *into, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Receives the bytes that are there, at least one. It completes when there is one.
 *
 * `into`      Memory for the bytes. NULL is allowed if `size` is 0.
 * `size`      Largest number of bytes to receive. 0: the receive completes at once.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The receives of one stream complete in the order of the calls. The time limit of the stream covers the
 * receive; see stream_set_timeout. `bytes` of the completion is the number of bytes received; 0 on failure.
 *
 * Owner:   The library owns `into` until the completion. The caller neither frees, reads nor writes it
 *          before. The caller releases the op. On failure of the call the caller owns `into`, and `*op` is
 *          unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         At least one byte is in `into`.
 *   IOURINGNET_EOF            The peer ended the stream, and no byte is left.
 *   -ECONNRESET               The peer has reset the connection, and no byte is left.
 *   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
 *                             receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the receive, or sink_abort came before
 *                             it.
 *   IOURINGNET_STOPPED        net_stop has ended the receive.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The receive is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `into` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
 *                             and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_recv_some_async(iouringnet_stream *stream, void *into, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Completes when `size` bytes are buffered. stream_peek then shows them.
 *
 * `size`      Number of bytes, including the bytes that are already buffered. Range: 0 to the config's
 *             `buffer_max`. 0: the fill completes at once.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * The time limit of the stream covers the fill; see stream_set_timeout. On failure, the bytes that arrived
 * stay buffered.
 *
 * Owner:   The library owns the buffer. The caller releases the op. On failure of the call `*op` is
 *          unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         At least `size` bytes are buffered.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed. Later receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the fill.
 *   IOURINGNET_CLOSED         stream_close or sink_abort has ended the fill, or sink_abort came before it.
 *   IOURINGNET_STOPPED        net_stop has ended the fill.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The fill is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_TOO_BIG        `size` is above `buffer_max`.
 *   IOURINGNET_INVALID        The net is unbuffered, or both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_fill_async(iouringnet_stream *stream, size_t size, iouringnet_callback callback,
    void *user, iouringnet_op **op);

/**
 * Waits until an operation is done, or looks whether it is.
 *
 * `timeout_ms`  Milliseconds to wait. It is not the operation's own time limit, and the operation goes on
 *               after it.
 * `completion`  Prepared with `iouringnet_completion_init`. Filled in if the call returns 0. NULL: not
 *               filled in.
 *
 *   `timeout_ms`                the call
 *   above 0                     waits so long
 *   0                           looks once
 *   IOURINGNET_NO_TIMEOUT (-1)  waits for ever
 *
 * If the operation has a callback, the callback has returned before the call returns 0. Exception: inside
 * the operation's own callback, the call with timeout 0 returns 0.
 *
 * Owner:   The caller owns `*completion`, and still releases the op. If the operation is a dial or an accept
 *          without a callback, the first call that fills in a completion receives the connection, and the
 *          caller closes both halves. In every other completion `sink` and `stream` are NULL.
 * Threads: Any thread, several at the same time. Inside a callback only with timeout 0. Blocks.
 * Returns:
 *   0                         The operation is done. Its own result is `completion->status`.
 *   IOURINGNET_PENDING        The operation was not done when the time had passed.
 *   IOURINGNET_INVALID        `timeout_ms` is below -1, or the size of the completion is wrong.
 *   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op, or another thread has released it during the
 *                             wait.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net, and `timeout_ms` is not 0. Or inside a log
 *                             callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status op_wait(iouringnet_op *op, int64_t timeout_ms, iouringnet_completion *completion);

/**
 * Asks an operation to end early, with IOURINGNET_CANCELLED.
 *
 * The operation still completes exactly once. It may still succeed or fail in another way, if that comes
 * first. A send that is cut after part of it went out tears its sink. Cancelling a done operation, or
 * cancelling twice, does nothing.
 *
 * Owner:   The caller still releases the op. The library owns the operation's memory until the completion.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The request is made, or the operation was done.
 *   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status op_cancel(iouringnet_op *op);

/**
 * Releases an op. The caller releases each op exactly once, also after net_stop. Afterwards the handle is
 * invalid.
 *
 * The call does not cancel: an operation with a callback goes on, and its callback runs. Threads that wait
 * for the op get IOURINGNET_BAD_HANDLE.
 *
 * Owner:   If the op has a connection that nobody has received, the call closes the connection. The library
 *          owns the operation's memory until the completion.
 * Threads: Any thread, also inside a callback, the operation's own included. Never blocks.
 * Returns:
 *   0                         The op is released.
 *   IOURINGNET_BUSY           The operation is not done and has no callback, and so nobody would learn its
 *                             result. The op stays.
 *   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status op_release(iouringnet_op *op);

/* ---- Watches: armed once, called for every event, and once more for the end ---- */

/**
 * Accepts every connection from now on, and calls a callback for each.
 *
 * `callback`  Called for each connection, and once more for the end. NULL: ends the watch with
 *             IOURINGNET_CANCELLED, or does nothing if no watch is armed.
 * `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
 *             free it there.
 *
 * Neither a shortage of descriptors nor an error of one connection ends the watch; the library counts them
 * in `accept_errors`. A shortage ends the oldest closed connection that drains or lingers. After the last
 * call, connections wait in the kernel, and the listener may be watched again.
 *
 * Owner:   The callback receives each connection and closes both halves. The end of the watch does not close
 *          the listener: the caller closes it.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Calls:
 *   0                         There is a connection: `sink` and `stream` of the completion.
 *   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
 *   IOURINGNET_CLOSED         Last call: listener_close.
 *   IOURINGNET_STOPPED        Last call: net_stop.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 * Returns:
 *   0                         The watch is armed, or its end is requested, or there is no watch to end.
 *   IOURINGNET_BUSY           A watch is armed, the last call of the previous watch has not begun, or
 *                             accepts are pending.
 *   IOURINGNET_CLOSED         Another thread has just closed the listener.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status listener_watch(iouringnet_listener *listener, iouringnet_callback callback, void *user);

/**
 * Watches a sink, and calls a callback when there is room for posts again and when the sink has ended.
 *
 * `callback`  Called once after each IOURINGNET_FULL, and once more for the end. NULL: ends the watch with
 *             IOURINGNET_CANCELLED, or does nothing if no watch is armed.
 * `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
 *             free it there.
 *
 * If half of `post_mark` is free again before the watch is armed, the watch gets that call at once. If the
 * sink breaks before the watch is armed, the watch gets its last call at once. After sink_close, the last
 * call reports the end of the drain. A reset by the peer breaks the sink even if nothing is sent and nothing
 * is received.
 *
 * Owner:   The end of the watch does not close the sink: the caller closes it.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Calls:
 *   0                         Half of `post_mark` is free again.
 *   IOURINGNET_CLOSED         Last call: sink_close or net_stop, and everything went out. Or sink_abort.
 *   IOURINGNET_TIMEOUT        Last call: a limit of the drain or of posts passed.
 *   IOURINGNET_TORN           Last call: a send was cut after part of it went out.
 *   -ECONNRESET               Last call: the peer has reset the connection.
 *   another errno             Last call: the kernel refused a send. Or descriptors or memory ran short after
 *                             both halves were closed.
 *   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
 *   IOURINGNET_STOPPED        Last call: net_stop has cut what was left.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 * Returns:
 *   0                         The watch is armed, or its end is requested, or there is no watch to end.
 *   IOURINGNET_BUSY           A watch is armed, or the last call of the previous watch has not begun.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status sink_watch(iouringnet_sink *sink, iouringnet_callback callback, void *user);

/**
 * Passes every byte that is received from now on to a callback, until the stream ends.
 *
 * `callback`  Called with the bytes; returns how many of them it has consumed. Called once more for the end,
 *             after all bytes, with `data` NULL. NULL: ends the watch with IOURINGNET_CANCELLED, or does
 *             nothing if no watch is armed.
 * `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
 *             free it there.
 *
 * Bytes that were buffered before are shown first. The next call shows the bytes that the callback did not
 * consume again, joined with the bytes that arrive next. When the watch has ended, the bytes that it did not
 * consume can still be received.
 *
 * Owner:   The library owns the bytes. They are valid until the callback returns, even if it closes the
 *          stream. The end of the watch does not close the stream: the caller closes it, also inside the
 *          callback.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Calls:
 *   0                         There are bytes.
 *   IOURINGNET_EOF            Last call: the peer ended the stream.
 *   -ECONNRESET               Last call: the peer has reset the connection.
 *   another errno             Last call: the kernel failed.
 *   IOURINGNET_TIMEOUT        Last call: no byte arrived for the stream's time limit; see
 *                             stream_set_timeout.
 *   IOURINGNET_TOO_BIG        Last call: the callback left more than `buffer_max` bytes unconsumed.
 *   IOURINGNET_INVALID        Last call: the callback consumed more bytes than it was shown.
 *   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
 *   IOURINGNET_CLOSED         Last call: stream_close or sink_abort.
 *   IOURINGNET_STOPPED        Last call: net_stop.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 * Returns:
 *   0                         The watch is armed, or its end is requested, or there is no watch to end.
 *   IOURINGNET_BUSY           A watch is armed, the last call of the previous watch has not begun, or
 *                             receives are pending.
 *   IOURINGNET_CLOSED         sink_abort has ended the stream, or another thread has just closed it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_watch(iouringnet_stream *stream, iouringnet_data_callback callback, void *user);

/**
 * Pauses the watch of a stream. TCP then holds the peer back.
 *
 * After the call, no call of the callback begins. Exceptions: the last call may begin, and the callback
 * thread may be about to enter a call that it began before. The end of the stream waits for stream_resume. A
 * close, an abort and net_stop do not wait. Bytes that arrive during a pause never end the watch with
 * IOURINGNET_TOO_BIG. Pausing twice is the same as pausing once.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
 * Returns:
 *   0                         The watch is paused.
 *   IOURINGNET_INVALID        No watch is armed.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_pause(iouringnet_stream *stream);

/**
 * Resumes the paused watch of a stream. If the library has kept bytes, it soon calls the callback with them,
 * and does not wait for further bytes.
 *
 * Without a pause the call does nothing.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
 * Returns:
 *   0                         The watch is not paused.
 *   IOURINGNET_INVALID        No watch is armed.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_resume(iouringnet_stream *stream);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif
