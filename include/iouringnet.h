/*
 * iouringnet.h: TCP networking over two io_uring event loops.
 *
 * WHAT IT IS
 *
 * A program starts a net, dials or binds addresses, and sends and receives over connections. A net is two
 * event loops on two threads of the library's: one serves everything that sends, the other everything that
 * receives. There is no loop to write and none to run: calls may be made from any thread, and each either
 * waits for its result, or returns at once and tells the result to a callback or to an op.
 *
 * A connection has two halves with a handle each: a sink sends, a stream receives. Bytes have no boundaries
 * in TCP, so sink_send sends all of what it is given, and stream_recv receives exactly as much as it is asked
 * for.
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
 * It is compiled with: cc program.c -liouringnet
 *
 * THREE WAYS TO LEARN A RESULT
 *
 * - Wait. net_dial, sink_send, stream_recv and the like return when it is done. The simplest, and good for a
 *   thread per connection.
 * - Be told once. Every function that ends in _async returns at once. Its completion goes to a callback, or to
 *   an op that op_wait waits for, op_cancel cancels and op_release gives back, or to both.
 * - Be told always. A watch is armed once: listener_watch calls for every connection, stream_watch for all
 *   bytes received, sink_watch whenever there is room again. The cheapest for many connections. Every watch
 *   gets one last call, with a status that is not 0; state that `user` points to is freed there.
 *
 * An accepted operation completes exactly once. A call that returns an error has started nothing: its callback
 * never runs. Results are written only on success, except for counts of bytes, which are always right.
 *
 * THREADS
 *
 * Every function may be called from every thread, but not from a signal handler. Sends on one sink go out whole
 * and in the order of the calls; receives on one stream complete in order.
 *
 * All callbacks of a net run on one thread, its receive loop's, one at a time, and never inside a call of the
 * library's. A program that works in callbacks alone needs no locks. A callback must not take long, because the
 * net's other callbacks wait for it. Calls that would block are refused there with IOURINGNET_IN_CALLBACK; all
 * others are legal, also closing the handle whose callback is running. A callback must not leave by an
 * exception, by longjmp or by pthread_exit. It has 8 MiB of stack.
 *
 * No function is a cancellation point. If pthread_cancel hits a thread during a call, the call goes on to its
 * end and returns its result. The thread ends at its next cancellation point after that. Exception: a thread whose
 * cancel type is PTHREAD_CANCEL_ASYNCHRONOUS must not call the library. The library's own threads ignore
 * pthread_cancel.
 *
 * The callbacks of one net use one core at most. A program that needs more starts several nets and binds the
 * same port in each, with `reuse_port`.
 *
 * MEMORY
 *
 * - Given to a call that waits, or to sink_post: the caller's again when the call returns.
 * - Given to an _async call: the library's until the completion. Neither free it nor change it before.
 * - Seen by stream_peek: the library's, until the next call on that stream or net_stop, whichever thread makes
 *   it. Shown to a stream_watch callback: the library's, until the callback returns, even if it closes the
 *   stream.
 * - Addresses, options, configs and arrays of parts: read during the call only.
 * - Where the process has no memory left, a sink_post of more than 16 KiB says -ENOMEM. All else that the
 *   library allocates is small, bounded by the config, or 24 bytes for each part of a sink_sendv; where that
 *   fails the process ends with a message, as Rust's programs do.
 *
 * HANDLES
 *
 * Handles look like pointers and are none: they are numbers that the library looks up. A handle that was closed,
 * belongs to a stopped net, is of another kind or was made up is IOURINGNET_BAD_HANDLE, never a crash and never
 * another's connection; NULL likewise. Closing twice is harmless. Each handle that a program is given it closes
 * or releases once: both halves of a connection, listeners, ops. net_stop ends all those that are left, except
 * ops.
 *
 * STATUSES
 *
 * 0 is success. -1 to -4095 is an errno of the kernel with its sign turned: -ECONNREFUSED, -EADDRINUSE. The rest
 * are the IOURINGNET_ constants below. Branch on the number; iouringnet_strerror has the words and
 * iouringnet_errname the name. Six ends are six statuses: the end of the stream (IOURINGNET_EOF), a reset by the
 * peer (-ECONNRESET), IOURINGNET_TIMEOUT, IOURINGNET_CANCELLED, a close on this side (IOURINGNET_CLOSED), and a
 * stopped net (IOURINGNET_STOPPED).
 *
 * A send that was cut when part of it was out leaves its sink torn: since the peer could not tell where the
 * next bytes begin, all later sends get IOURINGNET_TORN. A receive that ends early loses nothing: what had come
 * is still there for the next call, or has been counted.
 *
 * CLOSING
 *
 * sink_close loses nothing: what was accepted goes out, then the peer sees the end of the stream. The stream may
 * be read on, which makes it a half-close. The drain has limits, so that no peer keeps what was closed for ever:
 * `close_timeout_ms` and `drain_timeout_ms`. If descriptors or memory run short, closed connections go first. sink_abort discards and resets. Both, and stream_close, may be called
 * at any moment and from any thread; operations under way end with IOURINGNET_CLOSED.
 *
 * BOUNDS
 *
 * Every queue has one. IOURINGNET_FULL: this sink has as much unsent as `post_mark` allows; slow down until
 * sink_watch calls. IOURINGNET_LIMIT: the net has `max_operations` in flight. Nothing was taken in either case.
 * Closing, aborting, cancelling, pausing and releasing are never refused for want of room.
 *
 * STRUCTS THAT MAY GROW
 *
 * Structs that begin with `size` may have more fields in a later version. Prepare each with its macro, as in
 * iouringnet_config_init(&config), before use. Zero in any field of a config or of options means its default.
 * Such a struct with a wrong size is IOURINGNET_INVALID.
 *
 * PROCESSES
 *
 * The library raises no signal, SIGPIPE included. Its own threads block every signal but SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL, SIGTRAP and SIGSYS: if a callback brings one of these six on itself, the program's handler runs on the
 * callback thread. Those threads have no alternate signal stack, unless a callback sets one by sigaltstack.
 *
 * The library may be used where the loader's lock is held, as in the constructor of a library that dlopen loads
 * (with glibc 2.35 or later): net_start, dials of numeric addresses, transfers, callbacks and net_stop work there.
 * Exception: a call that waits for a name may wait for ever, because looking it up may load a library. Begin such
 * a dial with net_dial_async, and wait after the constructor. A thread that a constructor starts and waits for must
 * not itself wait in net_start, in a send or in a receive.
 *
 * In a forked child every call with a handle, and net_start, return IOURINGNET_FORKED, and calls that return
 * nothing do nothing.
 * A program that puts itself into the background by fork starts its nets after that. Link one copy of the
 * library into a process: a handle means something in the copy that made it only.
 * Where io_uring is not to be had, net_start says IOURINGNET_UNAVAILABLE, and iouringnet_probe tells why and
 * what to do about it.
 *
 * The environment variable IOURINGNET_FEATURES_OFF, read by net_start, switches features of the kernel off, to
 * test what older kernels get: a list with commas of defer_taskrun, coop_taskrun, buffer_ring, no_iowait,
 * multishot and send_msg_ring.
 *
 * Licence: MIT or Apache-2.0, as you like. This file is generated from src/ffi; do not edit it.
 */

#ifndef IOURINGNET_H
#define IOURINGNET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The version compiled against; iouringnet_version() tells the one that runs. */
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

/* For `read_buffer` of the config: every receive goes straight to the caller's memory. */
#define IOURINGNET_UNBUFFERED SIZE_MAX
/* CPU number n, for `send_cpu` and `recv_cpu` of the config. */
#define IOURINGNET_CPU(n) ((int32_t)(n) + 1)

/* Zero a struct and store its size. To be used on every struct that begins with a size, before anything else. */
#define iouringnet_config_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_dial_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_bind_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_completion_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_sink_info_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_stats_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_probe_result_init(s) iouringnet_struct_init((s), sizeof *(s))


/** No time limit, wherever a `timeout_ms` is asked for. */
#define IOURINGNET_NO_TIMEOUT (-1)

/** For `linger_ms`: keep a connection only until the peer has acknowledged everything. */
#define IOURINGNET_NO_LINGER (-1)

/** For `spin_us`: sleep at once. */
#define IOURINGNET_NO_SPIN (-1)

/** A switch that is on. 0 in a switch is the field's default. */
#define IOURINGNET_ON 1

/** A switch that is off. */
#define IOURINGNET_OFF 2

/** For `nodelay`: leave what the system has. */
#define IOURINGNET_SYSTEM 3

/** Log what went wrong. */
#define IOURINGNET_LOG_ERROR 1

/** Also what may explain trouble. */
#define IOURINGNET_LOG_WARN 2

/** Also what starts and ends. */
#define IOURINGNET_LOG_INFO 3

/** Also every connection that the net's threads make or end. */
#define IOURINGNET_LOG_DEBUG 4

/** Also every operation that reaches a loop. */
#define IOURINGNET_LOG_TRACE 5

/** Bits of `features` in iouringnet_probe_result. Completions run when a loop asks for them (Linux 6.1). */
#define IOURINGNET_FEATURE_DEFER_TASKRUN 1

/** A loop is not interrupted for completions (Linux 5.19). */
#define IOURINGNET_FEATURE_COOP_TASKRUN 2

/** The kernel picks receive buffers from a shared ring (Linux 5.19). */
#define IOURINGNET_FEATURE_BUFFER_RING 4

/** A sleeping loop does not count as waiting for a disk (Linux 6.15). */
#define IOURINGNET_FEATURE_NO_IOWAIT 8

/** A watch's receive goes on by itself up to a number of bytes (Linux 6.17). */
#define IOURINGNET_FEATURE_MULTISHOT 16

/** A loop is woken by a completion instead of an eventfd (Linux 6.13). */
#define IOURINGNET_FEATURE_SEND_MSG_RING 32

/**
 * The result of a call: 0 is success, -1 to -4095 is an errno of the kernel with its sign turned
 * (-ECONNREFUSED, say), and below -10000 are the statuses of this library.
 */
typedef int32_t iouringnet_status;

/**
 * Two event loops and all that they serve. A handle: a number in the form of a pointer, never to be
 * followed.
 */
typedef struct iouringnet_net iouringnet_net;

/** A bound address that accepts connections. */
typedef struct iouringnet_listener iouringnet_listener;

/** The half of a connection that sends. */
typedef struct iouringnet_sink iouringnet_sink;

/** The half of a connection that receives. */
typedef struct iouringnet_stream iouringnet_stream;

/** An operation that was begun by an async call: something to wait for, to cancel and to release. */
typedef struct iouringnet_op iouringnet_op;

/** An address as text that ends in a zero byte: "127.0.0.1:7000", "[fe80::1%eth0]:7000". */
typedef struct {
  /** At most 127 characters and the zero byte. */
  char text[128];
} iouringnet_address;

/** How an operation ended. */
typedef struct {
  /** Of this struct as the program knows it. See `iouringnet_completion_init`. */
  size_t size;
  /** The operation's own result. */
  iouringnet_status status;
  /** Bytes transferred, also when the status is not 0. */
  size_t bytes;
  /** The new connection of a dial or an accept, from now on the receiver's to close. NULL for all else. */
  iouringnet_sink *sink;
  /** Its other half. */
  iouringnet_stream *stream;
} iouringnet_completion;

/**
 * Is told how an operation ended, or one event of a watch. Runs on the net's callback thread; `done` lives
 * until it returns. It must not block for long, and must not leave by an exception or by longjmp.
 */
typedef void (*iouringnet_callback)(void *user, const iouringnet_completion *done);

/**
 * Is shown the bytes received and returns how many of them it has consumed; the rest is shown again, joined
 * with what comes next. `data` lives until it returns. In the last call the status is not 0, `data` is NULL,
 * and the result does not count. Runs on the net's callback thread, under the rules of
 * `iouringnet_callback`.
 */
typedef size_t (*iouringnet_data_callback)(void *user, iouringnet_status status, const void *data, size_t size);

/**
 * Is given one line of log without a line end, which lives until it returns. Runs on the net's two threads,
 * also on both at a time, and a handle may be locked meanwhile. So it must not call the library: calls with a
 * handle are refused there with IOURINGNET_IN_CALLBACK. Nor may it wait for a lock that some thread holds
 * while it calls the library. It must not leave by an exception or by longjmp.
 */
typedef void (*iouringnet_log_callback)(void *user, int32_t level, const char *text);

/** How a net is to be. Prepare with `iouringnet_config_init`; 0 in any field is its default. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /**
   * Entries of each ring, 8 to 32768; 0: 256. Neither connections nor operations are bounded by it. If the limit on
   * locked memory (RLIMIT_MEMLOCK) holds fewer, both rings have fewer. Of that limit, which all processes of a user
   * share, a net with 256 entries takes 108 KiB, and one with 16 entries, the fewest, 20 KiB. Exceptions: root is
   * not counted, and Linux 5.12 to 6.13 count no rings.
   */
  uint32_t ring_entries;
  /**
   * Most operations in flight; beyond it IOURINGNET_LIMIT. 0: 65536. One operation for each half of a
   * connection is not counted.
   */
  uint32_t max_operations;
  /** TCP_NODELAY: IOURINGNET_ON, which 0 is too, IOURINGNET_OFF or IOURINGNET_SYSTEM. */
  uint32_t nodelay;
  /**
   * Ask the kernel on the calling thread first, and use a ring only for what that leaves: IOURINGNET_ON, which
   * 0 is too, or IOURINGNET_OFF.
   */
  uint32_t first_try;
  /**
   * Idle time until the first keepalive probe, in milliseconds, rounded up to seconds, 32,767 s at most; 0: no
   * keepalive. How many probes follow, and how soon, is the system's: 9, one every 75 s, unless it is told
   * otherwise.
   */
  int64_t keepalive_ms;
  /** SO_SNDBUF of connections in bytes; 0: the system's. */
  size_t send_buffer;
  /** SO_RCVBUF of connections in bytes; 0: the system's. */
  size_t recv_buffer;
  /**
   * Receives smaller than this are served from a buffer of this many bytes, at most 1 GiB; larger ones go
   * straight to the caller's memory. 0: 64 KiB. IOURINGNET_UNBUFFERED: no buffer, so nothing to peek or fill.
   */
  size_t read_buffer;
  /** Most bytes that a watch may leave unconsumed, or that stream_fill may ask for, at most 1 GiB; 0: 1 MiB. */
  size_t buffer_max;
  /** Bytes posted and unsent from which on sink_post answers IOURINGNET_FULL; 0: 1 MiB. */
  size_t post_mark;
  /**
   * Time limit of operations in milliseconds, until sink_set_timeout or stream_set_timeout. 0 or
   * IOURINGNET_NO_TIMEOUT: none.
   */
  int64_t timeout_ms;
  /**
   * Time limit of a dial in milliseconds, looking up the name and all its addresses included; 0: 10 s.
   * IOURINGNET_NO_TIMEOUT: the kernel's.
   */
  int64_t dial_timeout_ms;
  /**
   * How long a closed connection may go without progress until it is reset, in milliseconds; 0: 30 s.
   * IOURINGNET_NO_TIMEOUT: for ever.
   */
  int64_t close_timeout_ms;
  /**
   * How long net_stop waits for unsent bytes until it resets, in milliseconds; 0: 5 s. IOURINGNET_NO_TIMEOUT:
   * for ever.
   */
  int64_t shutdown_timeout_ms;
  /**
   * Microseconds that a waiting receive may spin before it sleeps, and the receive loop too, at most 1000; 0: 50.
   * IOURINGNET_NO_SPIN: none. The time adapts: longer and more often after spins that found something, less after
   * others. They never do where first_try is off, or where the process may use only one CPU.
   */
  int64_t spin_us;
  /** CPU for the send loop, as IOURINGNET_CPU(n); 0: any. */
  int32_t send_cpu;
  /** CPU for the receive loop, which runs the callbacks, as IOURINGNET_CPU(n); 0: any. */
  int32_t recv_cpu;
  /** What to log, IOURINGNET_LOG_ERROR to IOURINGNET_LOG_TRACE; 0: IOURINGNET_LOG_WARN. */
  uint32_t log_level;
  /** Zero. */
  uint32_t reserved;
  /** Is given the log; NULL: nothing is logged. */
  iouringnet_log_callback log;
  /** Handed to `log`. Must stay valid until net_stop has returned. */
  void *log_user;
  /**
   * How long a closed connection is kept for a peer that has acknowledged everything and does not close its
   * side, in milliseconds; 0: 2 s. IOURINGNET_NO_LINGER: not at all. The time counts from the acknowledgement.
   * Where it is over before the close, the peer still has 50 ms, or three round trips where they take longer,
   * to answer the end of the stream; never more than `linger_ms`.
   */
  int64_t linger_ms;
  /**
   * How long the whole drain after a close may take, with progress or without, in milliseconds; 0: 60 s and one
   * more second for each KiB that the peer had not acknowledged when the drain began. IOURINGNET_NO_TIMEOUT: for
   * ever. Only a peer that holds back needs longer than the default. `close_timeout_ms` counts beside it.
   */
  int64_t drain_timeout_ms;
} iouringnet_config;

/** How to dial. Prepare with `iouringnet_dial_options_init`. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /** Time limit in milliseconds; 0: the config's `dial_timeout_ms`. IOURINGNET_NO_TIMEOUT: the kernel's. */
  int64_t timeout_ms;
} iouringnet_dial_options;

/** How to bind. Prepare with `iouringnet_bind_options_init`. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /** Connections that may wait in the kernel to be accepted; 0: 4096. The system's somaxconn bounds it. */
  uint32_t backlog;
  /** SO_REUSEPORT, to bind one port in several nets: IOURINGNET_ON or IOURINGNET_OFF, which 0 is too. */
  uint32_t reuse_port;
} iouringnet_bind_options;

/** What sink_info tells. Prepare with `iouringnet_sink_info_init`. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /** Address of this end. */
  iouringnet_address local;
  /** Address of the peer; empty once the connection is gone. */
  iouringnet_address peer;
  /** Bytes accepted that the kernel does not have yet. */
  size_t unsent;
} iouringnet_sink_info;

/** What net_stats tells. Prepare with `iouringnet_stats_init`. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /** System calls of the send loop into its ring. */
  uint64_t send_enters;
  /** Entries that it submitted. */
  uint64_t send_entries;
  /** Completions that it reaped. */
  uint64_t send_completions;
  /** Times that another thread woke it. */
  uint64_t send_wakes;
  /** The same of the receive loop. */
  uint64_t recv_enters;
  /** Entries that it submitted. */
  uint64_t recv_entries;
  /** Completions that it reaped. */
  uint64_t recv_completions;
  /** Times that another thread woke it. */
  uint64_t recv_wakes;
  /** Callbacks run so far. */
  uint64_t callbacks;
  /** Connections open now, those that still drain included. */
  uint64_t connections;
  /** Listeners open now. */
  uint64_t listeners;
  /** Operations in flight now, of `max_operations`. */
  uint64_t operations;
  /** Errors of accept that were passed over, want of descriptors above all. */
  uint64_t accept_errors;
  /** Closed connections that were reset by `close_timeout_ms` or `drain_timeout_ms`. */
  uint64_t drains_timed_out;
  /** Closed connections that were ended early, the oldest first, because descriptors or memory ran short. */
  uint64_t drains_shed;
} iouringnet_stats;

/** What iouringnet_probe tells. Prepare with `iouringnet_probe_result_init`. */
typedef struct {
  /** Of this struct as the program knows it. */
  size_t size;
  /**
   * What net_start would say: IOURINGNET_OK, IOURINGNET_UNAVAILABLE, IOURINGNET_LOCKED_MEMORY, or -EMFILE,
   * -ENFILE or -EAGAIN where only descriptors or threads are short.
   */
  iouringnet_status status;
  /** The errno of the system's refusal, else 0. */
  int32_t error;
  /** What this kernel has: IOURINGNET_FEATURE_ bits. None is required. */
  uint32_t features;
  /** The kernel's release. */
  char kernel[64];
  /** What is here, or why io_uring is not and what to do about it. */
  char text[256];
} iouringnet_probe_result;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The library: version, texts, and what this system offers ---- */

/**
 * The version of the library that runs, as IOURINGNET_VERSION is the one compiled against.
 *
 * Threads: Any thread, callbacks too; never blocks; works in a forked child.
 * Returns: major << 16 | minor << 8 | patch.
 * Since:   0.1
 */
uint32_t iouringnet_version(void);

/**
 * What a status means, in words for people: "the peer ended the stream".
 *
 * Branch on the status, not on the text.
 *
 * Threads: Any thread, callbacks too; never blocks; works in a forked child.
 * Returns: a constant text, for every number: it is never NULL, never freed and never translated.
 * Since:   0.1
 */
const char *iouringnet_strerror(iouringnet_status status);

/**
 * The name of a status as the source has it: "IOURINGNET_EOF", "ECONNREFUSED".
 *
 * Returns: a constant text, under the rules of `iouringnet_strerror`; "UNKNOWN" for numbers that are no
 *          status.
 * Since:   0.1
 */
const char *iouringnet_errname(iouringnet_status status);

/**
 * Finds out whether a net can be started here, and if not, why and what to do: a sysctl, a seccomp filter, a
 * kernel that is too old, a limit on locked memory, descriptors or threads.
 *
 * `result`  prepared with `iouringnet_probe_result_init`; filled in whenever 0 is returned, whatever was
 *           found.
 *
 * Makes the two rings and the two threads of a net for a moment, and waits for locked memory as net_start does.
 *
 * Threads: Any thread, callbacks too; works in a forked child.
 * Returns: 0 once it has looked: what it found is `result->status`. IOURINGNET_INVALID: `result` is NULL or
 *          its size wrong.
 * Since:   0.1
 */
iouringnet_status iouringnet_probe(iouringnet_probe_result *result);

/**
 * Zeroes a struct and stores its size. Meant for the macros above, which pass the size that the program was
 * compiled with.
 *
 * `memory`  the struct; NULL does nothing.
 * `size`    its bytes; less than a size_t does nothing.
 *
 * Threads: Any thread, callbacks too; never blocks; works in a forked child.
 * Since:   0.1
 */
void iouringnet_struct_init(void *memory, size_t size);

/* ---- Starting and stopping ---- */

/**
 * Starts a net: two io_uring event loops on two threads of their own.
 *
 * `config`  how it is to be, read during the call only; NULL: all defaults.
 * `net`     is set to the new net, which is the caller's to stop.
 *
 * On failure `*net` is unchanged and nothing is left behind.
 *
 * Threads: Any thread, callbacks too; takes about a millisecond, and both rings exist when it returns. Waits for
 *          locked memory that other nets of the user hold or have given back just now, for 2.5 s at most.
 * Returns: IOURINGNET_UNAVAILABLE: no io_uring here, ask iouringnet_probe. IOURINGNET_LOCKED_MEMORY: the user's
 *          limit on locked memory leaves no room for two small rings. IOURINGNET_INVALID: `net` is NULL, or a
 *          field of the config is out of its range or of a version that this library does not know. -EMFILE,
 *          -ENFILE, -EAGAIN, -ENOMEM: descriptors, threads or memory are short. IOURINGNET_FORKED.
 * Since:   0.1
 */
iouringnet_status net_start(const iouringnet_config *config, iouringnet_net **net);

/**
 * Stops a net and ends its two threads.
 *
 * New work is refused with IOURINGNET_STOPPED; timers, dials, accepts, receives and their watches end at once
 * with it. Connections are closed as by sink_close and stream_close: what was accepted goes out, within the
 * config's `shutdown_timeout_ms`; then the rest is reset. A peer that has everything and keeps its own side
 * open is waited for as after stream_close, for the config's `linger_ms`. Every outstanding callback runs
 * before this returns, and none afterwards. From then on every handle of the net is IOURINGNET_BAD_HANDLE and
 * all memory that was given to it is the caller's again; only ops keep their results until they are released.
 *
 * Of several callers at a time each gets the one result.
 *
 * Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: IOURINGNET_TIMEOUT: it has stopped, but accepted bytes had to be cut off. IOURINGNET_BAD_HANDLE:
 *          no net, or one that has stopped.
 * Since:   0.1
 */
iouringnet_status net_stop(iouringnet_net *net);

/* ---- Connecting ---- */

/**
 * Connects to an address and waits for it.
 *
 * `address`  "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000". The library reads a name's
 *            addresses from /etc/hosts, or else asks getaddrinfo, and tries them one after the other.
 * `options`  the time limit; NULL: the config's `dial_timeout_ms`.
 * `sink`     is set to the sending half, `stream` to the receiving half. Each is the caller's to close.
 *
 * On failure both are unchanged.
 *
 * Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: IOURINGNET_INVALID: the address cannot be read, or a pointer is NULL. IOURINGNET_NAME: there is
 *          no such name; IOURINGNET_NAME_AGAIN: it could not be looked up now. IOURINGNET_TIMEOUT;
 *          -ECONNREFUSED and other errnos of connecting, from the last address tried; IOURINGNET_STOPPED,
 *          IOURINGNET_BAD_HANDLE. IOURINGNET_LIMIT: too many operations are in flight, or too many names wait
 *          to be looked up; -EAGAIN: there is no thread to look one up.
 * Since:   0.1
 */
iouringnet_status net_dial(iouringnet_net *net, const char *address, const iouringnet_dial_options *options,
    iouringnet_sink **sink, iouringnet_stream **stream);

/**
 * Binds an address and listens on it.
 *
 * `address`   as for net_dial; port 0 binds a free one, which listener_address tells. Of a name the first
 *             address that can be bound is taken. getaddrinfo runs on the calling thread.
 * `options`   backlog and port sharing, read during the call only; NULL: the defaults. SO_REUSEADDR is
 *             always on.
 * `listener`  is set to the listener, which is the caller's to close.
 *
 * On failure `*listener` is unchanged. Connections wait in the kernel until they are accepted.
 *
 * Threads: Any thread. Blocks to look up a name, and a name is therefore refused inside a callback
 *          (IOURINGNET_IN_CALLBACK). Where descriptors are short it waits up to 0.1 s for that of a closed
 *          connection; inside a callback it does not wait.
 * Returns: IOURINGNET_INVALID; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES and other errnos; IOURINGNET_NAME,
 *          IOURINGNET_NAME_AGAIN, IOURINGNET_STOPPED, IOURINGNET_LIMIT, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status net_bind(iouringnet_net *net, const char *address, const iouringnet_bind_options *options,
    iouringnet_listener **listener);

/**
 * Accepts one connection and waits for it.
 *
 * `sink`  is set to the sending half, `stream` to the receiving half. Each is the caller's to close.
 *
 * On failure both are unchanged. Has no time limit: use listener_accept_async and op_wait for one. Neither a
 * shortage of descriptors nor an error of one connection ends it; see `accept_errors` and `drains_shed`.
 *
 * Threads: Blocks. Any thread, several at a time, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: IOURINGNET_CLOSED: the listener was closed meanwhile. IOURINGNET_BUSY: it is watched.
 *          IOURINGNET_INVALID, IOURINGNET_STOPPED, IOURINGNET_LIMIT, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status listener_accept(iouringnet_listener *listener, iouringnet_sink **sink,
    iouringnet_stream **stream);

/**
 * Tells the address that a listener is bound to, with the port that the system chose where 0 was asked for.
 *
 * `address`  is set on success.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: `address` is NULL. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status listener_address(iouringnet_listener *listener, iouringnet_address *address);

/**
 * Stops listening. The handle is gone at once.
 *
 * Connections that were already taken from the kernel are still delivered; those that wait in it are reset.
 * Pending accepts and the watch's last call get IOURINGNET_CLOSED. NULL and handles that are closed already
 * do nothing.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Since:   0.1
 */
void listener_close(iouringnet_listener *listener);

/* ---- Sending ---- */

/**
 * Sends all of a piece of memory, and waits until the kernel has it.
 *
 * `data`  what to send, the caller's again on return. NULL only with size 0.
 * `size`  bytes; 0 succeeds at once.
 * `sent`  is set to the bytes that went out, also on failure; may be NULL.
 *
 * Sends on one sink go out whole and in the order of the calls, whichever threads make them.
 *
 * Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: IOURINGNET_TIMEOUT: the sink's time limit ended it; with no byte out the sink stays good, with
 *          some out every later send says IOURINGNET_TORN. -ECONNRESET: the peer is gone; other errnos.
 *          IOURINGNET_CLOSED: aborted meanwhile. IOURINGNET_STOPPED; IOURINGNET_INVALID; IOURINGNET_LIMIT;
 *          IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status sink_send(iouringnet_sink *sink, const void *data, size_t size, size_t *sent);

/**
 * Sends several pieces of memory as one, and waits until the kernel has them. A header and its body, say.
 *
 * `parts`  the pieces, in order; both the array and the memory are the caller's again on return.
 * `count`  pieces; 0 succeeds at once. Not bounded by IOV_MAX.
 * `sent`   is set to the bytes that went out, also on failure; may be NULL.
 *
 * Everything else as for sink_send.
 *
 * Since:   0.1
 */
iouringnet_status sink_sendv(iouringnet_sink *sink, const struct iovec *parts, size_t count, size_t *sent);

/**
 * Sends all of a piece of memory without waiting, and copies what does not go at once.
 *
 * `data`  what to send, the caller's again on return. NULL only with size 0.
 * `size`  bytes. Any size is accepted while the sink's posted and unsent bytes are below the config's
 *         `post_mark`.
 *
 * Posts and sends on one sink share one order. A post that fails later shows in the sink's watch and in
 * every later call on the sink.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: 0: the bytes are accepted, and go out even if the sink is closed next. IOURINGNET_FULL: the mark
 *          is reached and nothing was taken; sink_watch tells when there is room. -ENOMEM: there is no
 *          memory to copy more than 16 KiB; nothing was taken or, if a part had gone, the sink is broken by
 *          this error.
 *          IOURINGNET_TORN or the first cause: the sink is broken. -ECONNRESET and other errnos,
 *          IOURINGNET_CLOSED, IOURINGNET_STOPPED, IOURINGNET_INVALID, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status sink_post(iouringnet_sink *sink, const void *data, size_t size);

/**
 * Waits until the kernel has everything that this sink has accepted so far, posts included.
 *
 * Says nothing about the peer's program, which only an answer of its own can do.
 *
 * Threads: Blocks, within the sink's time limit. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: Errors as for sink_send.
 * Since:   0.1
 */
iouringnet_status sink_flush(iouringnet_sink *sink);

/**
 * Tells both addresses of a connection, and how many accepted bytes the kernel does not have yet.
 *
 * `info`  prepared with `iouringnet_sink_info_init`; filled in on success.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: `info` is NULL or its size wrong. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status sink_info(iouringnet_sink *sink, iouringnet_sink_info *info);

/**
 * Closes the sending half, orderly. The handle is gone at once.
 *
 * What was accepted goes out and completes as if the sink were open, then the peer sees the end of the
 * stream; the stream may be read on, so that this is also the half-close. Without progress for the config's
 * `close_timeout_ms`, and when the drain has taken `drain_timeout_ms` in all, the connection is reset instead,
 * so that a cut stream never looks whole, and what is left gets IOURINGNET_TIMEOUT. Once both halves are closed,
 * the connection may also be reset because descriptors or memory run short in the process, the oldest first; what
 * is left gets -EMFILE, -ENFILE, -ENOMEM or -ENOBUFS then. Closing a broken sink resets. NULL and handles that
 * are closed already do nothing.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Since:   0.1
 */
void sink_close(iouringnet_sink *sink);

/**
 * Ends both halves of a connection now, by a reset. The handle is gone at once.
 *
 * Unsent and unread bytes are discarded, and pending work of both halves gets IOURINGNET_CLOSED. The
 * stream's handle is still to be closed, and its calls say IOURINGNET_CLOSED. NULL and handles that are
 * closed already do nothing.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Since:   0.1
 */
void sink_abort(iouringnet_sink *sink);

/* ---- Receiving ---- */

/**
 * Receives exactly as many bytes as asked for, and waits for them.
 *
 * `into`      where to; the caller's again on return. NULL only with size 0.
 * `size`      bytes; 0 succeeds at once.
 * `received`  is set to the bytes received, also on failure; may be NULL.
 *
 * No byte is lost on failure: a receive smaller than the config's `read_buffer` takes all or nothing, and
 * what had come stays for the next call; a larger one counts what it took. An error of the kernel's, such as
 * -EFAULT for memory that cannot be written, is the end of the stream: every later receive says it too.
 *
 * Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK); receives on one stream complete in
 *          the order of the calls.
 * Returns: IOURINGNET_EOF: the peer ended the stream first. -ECONNRESET: it reset the connection; never told
 *          as the end of the stream. IOURINGNET_TIMEOUT: the stream's time limit came first.
 *          IOURINGNET_CLOSED: closed or aborted meanwhile. IOURINGNET_BUSY: it is watched.
 *          IOURINGNET_STOPPED; IOURINGNET_INVALID; IOURINGNET_LIMIT; IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_recv(iouringnet_stream *stream, void *into, size_t size, size_t *received);

/**
 * Receives what is there, at least one byte, and waits if there is none.
 *
 * `into`      where to; the caller's again on return. NULL only with size 0.
 * `size`      most bytes to receive; 0 succeeds at once.
 * `received`  is set to the bytes received; may be NULL.
 *
 * Everything else as for stream_recv.
 *
 * Since:   0.1
 */
iouringnet_status stream_recv_some(iouringnet_stream *stream, void *into, size_t size, size_t *received);

/**
 * Waits until so many bytes are buffered, for stream_peek to show.
 *
 * `size`  bytes, those that are buffered already included; at most the config's `buffer_max`.
 *
 * What had come before a failure stays buffered.
 *
 * Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
 * Returns: IOURINGNET_TOO_BIG: more than `buffer_max`. IOURINGNET_INVALID: the net is unbuffered. Else as
 *          for stream_recv.
 * Since:   0.1
 */
iouringnet_status stream_fill(iouringnet_stream *stream, size_t size);

/**
 * Shows bytes that are buffered already, without receiving any and without consuming them.
 *
 * `max`   most bytes to show.
 * `data`  is set to the bytes, which stay the library's and live until the next call on this stream.
 * `size`  is set to their number, which may be 0.
 *
 * On failure both are unchanged. An unbuffered net never shows any.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_BUSY: a receive is pending, or the stream is watched. IOURINGNET_INVALID: `data` or
 *          `size` is NULL. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_peek(iouringnet_stream *stream, size_t max, const void **data, size_t *size);

/**
 * Consumes buffered bytes, those that stream_peek has shown.
 *
 * `size`  bytes, at most as many as are buffered.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: so many are not buffered, and nothing is consumed. IOURINGNET_BUSY: a receive
 *          is pending, or the stream is watched. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED,
 *          IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_consume(iouringnet_stream *stream, size_t size);

/**
 * Closes the receiving half. The handle is gone at once.
 *
 * Pending receives and the watch's last call get IOURINGNET_CLOSED, and buffered bytes are discarded. The
 * peer is not told, but nothing is read any more, so that its sends stall once the kernel's buffers are full.
 * That ends when the sink is closed too: from then on input is discarded until the peer ends its side, at
 * most for the config's `linger_ms` after it has acknowledged everything. Otherwise unread input would reset
 * what was sent. NULL and handles that are closed already do nothing.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Since:   0.1
 */
void stream_close(iouringnet_stream *stream);

/* ---- Time limits, timers, figures ---- */

/**
 * Sets the time limit of sends and flushes that follow, and of posts.
 *
 * `timeout_ms`  milliseconds for the whole of an operation; 0: one try; IOURINGNET_NO_TIMEOUT: none. Posts
 *               may go that long without progress; for them 0 means no limit.
 *
 * Operations under way keep theirs; posts follow at once.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: another negative number. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status sink_set_timeout(iouringnet_sink *sink, int64_t timeout_ms);

/**
 * Sets the time limit of receives and fills that follow, and of the watch.
 *
 * `timeout_ms`  milliseconds for the whole of an operation; 0: one try, which succeeds if enough is there;
 *               IOURINGNET_NO_TIMEOUT: none. A watch may go that long without a byte, paused time apart; for
 *               it 0 means no limit.
 *
 * Operations under way keep theirs; a watch follows at once.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: another negative number. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_set_timeout(iouringnet_stream *stream, int64_t timeout_ms);

/**
 * Runs a callback on the net's callback thread, now or later: a timer, and a way to bring work to that
 * thread.
 *
 * `delay_ms`  milliseconds to wait, at least 0.
 * `callback`  is told status 0 when the time has come, IOURINGNET_CANCELLED or IOURINGNET_STOPPED. May be
 *             NULL where `op` is not.
 * `user`      handed to the callback.
 * `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
 *
 * Runs once. Calls with the same delay run in the order in which they were made.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: a negative delay, or neither callback nor op. IOURINGNET_LIMIT:
 *          `max_operations` are in flight. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status net_call(iouringnet_net *net, int64_t delay_ms, iouringnet_callback callback, void *user,
    iouringnet_op **op);

/**
 * Tells what a net has done so far, and how much it holds now.
 *
 * `stats`  prepared with `iouringnet_stats_init`; filled in on success.
 *
 * The counters only grow; they are read one by one while the loops run, so they need not fit together to the
 * last one.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_INVALID: `stats` is NULL or its size wrong. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status net_stats(iouringnet_net *net, iouringnet_stats *stats);

/* ---- The same without waiting: a callback, an op, or both ---- */

/**
 * Connects to an address; the completion brings the connection.
 *
 * `address`   as for net_dial; read during the call only.
 * `options`   as for net_dial; read during the call only.
 * `callback`  is told the result, with `sink` and `stream` from then on the callback's to close. May be NULL
 *             where `op` is not.
 * `user`      handed to the callback.
 * `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
 *             Without a callback the first op_wait that is given a completion receives the connection; if
 *             the op is released before, the connection is closed.
 *
 * Threads: Any thread, callbacks too; never blocks: getaddrinfo runs on threads of the library.
 * Returns: The completion brings the errors of net_dial, or IOURINGNET_CANCELLED. Refused with
 *          IOURINGNET_INVALID, -ENODEV (no such interface), IOURINGNET_LIMIT (too many operations in flight,
 *          or too many names to look up), -EAGAIN (no thread to look one up), IOURINGNET_STOPPED or
 *          IOURINGNET_BAD_HANDLE, the callback never runs and `*op` is unchanged.
 * Since:   0.1
 */
iouringnet_status net_dial_async(iouringnet_net *net, const char *address,
    const iouringnet_dial_options *options, iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Accepts one connection; the completion brings it.
 *
 * `callback`, `user`, `op`  as for net_dial_async, and the connection is owned as there.
 *
 * Has no time limit; op_cancel ends it.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: The completion brings the connection, IOURINGNET_CANCELLED, IOURINGNET_CLOSED or
 *          IOURINGNET_STOPPED. Refused with IOURINGNET_INVALID, IOURINGNET_BUSY (it is watched),
 *          IOURINGNET_LIMIT, IOURINGNET_CLOSED, IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback
 *          never runs and `*op` is unchanged.
 * Since:   0.1
 */
iouringnet_status listener_accept_async(iouringnet_listener *listener, iouringnet_callback callback,
    void *user, iouringnet_op **op);

/**
 * Sends all of a piece of memory; the completion tells when the kernel has it.
 *
 * `data`      what to send. It is the library's until the completion: neither freed nor changed by the
 *             caller.
 * `size`      bytes.
 * `callback`  is told the status and the bytes that went out. May be NULL where `op` is not.
 * `user`      handed to the callback.
 * `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
 *
 * Order as for sink_send.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: The completion brings the statuses of sink_send, and IOURINGNET_CANCELLED, which tears a send
 *          that is partly out as a timeout does. Refused with IOURINGNET_INVALID, IOURINGNET_LIMIT,
 *          IOURINGNET_CLOSED, IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback never runs, `*op` is
 *          unchanged and the memory is the caller's.
 * Since:   0.1
 */
iouringnet_status sink_send_async(iouringnet_sink *sink, const void *data, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Sends several pieces of memory as one; the completion tells when the kernel has them.
 *
 * `parts`  the pieces, in order. The array is copied and the caller's again on return; the memory that it
 *          names is the library's until the completion.
 * `count`  pieces.
 *
 * Everything else as for sink_send_async.
 *
 * Since:   0.1
 */
iouringnet_status sink_sendv_async(iouringnet_sink *sink, const struct iovec *parts, size_t count,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Tells when the kernel has everything that this sink has accepted so far, posts included.
 *
 * `callback`, `user`, `op`, refusals and threads as for sink_send_async.
 *
 * Since:   0.1
 */
iouringnet_status sink_flush_async(iouringnet_sink *sink, iouringnet_callback callback, void *user,
    iouringnet_op **op);

/**
 * Receives exactly as many bytes as asked for; the completion tells when they are there.
 *
 * `into`      where to. It is the library's until the completion: neither freed, read nor written by the
 *             caller.
 * `size`      bytes.
 * `callback`  is told the status and the bytes received. May be NULL where `op` is not.
 * `user`      handed to the callback.
 * `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
 *
 * Order, and bytes on failure, as for stream_recv.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: The completion brings the statuses of stream_recv, or IOURINGNET_CANCELLED. Refused with
 *          IOURINGNET_INVALID, IOURINGNET_BUSY (it is watched), IOURINGNET_LIMIT, IOURINGNET_CLOSED,
 *          IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback never runs, `*op` is unchanged and the
 *          memory is the caller's.
 * Since:   0.1
 */
iouringnet_status stream_recv_async(iouringnet_stream *stream, void *into, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Receives what is there, at least one byte; the completion tells when something is.
 *
 * `size`  most bytes to receive.
 *
 * Everything else as for stream_recv_async.
 *
 * Since:   0.1
 */
iouringnet_status stream_recv_some_async(iouringnet_stream *stream, void *into, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/**
 * Tells when so many bytes are buffered, for stream_peek to show.
 *
 * `size`  as for stream_fill.
 *
 * `callback`, `user`, `op`, refusals and threads as for stream_recv_async, and what is more than `buffer_max`
 * is refused with IOURINGNET_TOO_BIG; statuses as for stream_fill.
 *
 * Since:   0.1
 */
iouringnet_status stream_fill_async(iouringnet_stream *stream, size_t size, iouringnet_callback callback,
    void *user, iouringnet_op **op);

/**
 * Waits until an operation is done, or looks whether it is.
 *
 * `timeout_ms`  milliseconds to wait; 0: look; IOURINGNET_NO_TIMEOUT: wait for ever. The operation's own
 *               limit is another one.
 * `completion`  prepared with `iouringnet_completion_init`, and filled in when 0 is returned; may be NULL.
 *               The first one that is filled in after a dial or an accept without a callback collects the
 *               connection, which is then the caller's; in every other `sink` and `stream` are NULL.
 *
 * If it has a callback, that has then returned; only inside the callback itself this already says 0.
 *
 * Threads: Any thread, several at a time; inside a callback only with `timeout_ms` 0
 *          (IOURINGNET_IN_CALLBACK).
 * Returns: 0 once the operation is done; its own result is `completion->status`. IOURINGNET_PENDING: not
 *          done when the time was over. IOURINGNET_INVALID: another negative time, or a wrong size.
 *          IOURINGNET_BAD_HANDLE: released, also by another thread during the wait.
 * Since:   0.1
 */
iouringnet_status op_wait(iouringnet_op *op, int64_t timeout_ms, iouringnet_completion *completion);

/**
 * Asks an operation to end early, with IOURINGNET_CANCELLED.
 *
 * It completes as every operation does, once; success may still follow, if it came first. A send that was
 * partly out tears its sink. Cancelling what is done, or cancelling twice, does nothing.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status op_cancel(iouringnet_op *op);

/**
 * Gives an op back. Every op that was handed out is released once, also after net_stop.
 *
 * Does not cancel: an operation with a callback goes on, and its callback runs. A connection that nobody
 * collected is closed. Threads that wait for the op get IOURINGNET_BAD_HANDLE.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Returns: IOURINGNET_BUSY: not done and without a callback, so that nobody would learn its end; the op
 *          stays. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status op_release(iouringnet_op *op);

/* ---- Watches: armed once, called for every event, told once and last when it is over ---- */

/**
 * Accepts every connection from now on, and calls for each.
 *
 * `callback`  is told status 0 with `sink` and `stream`, which are from then on its own to close; and once
 *             and last a status that is not 0. NULL: ends the watch, whose last call then says
 *             IOURINGNET_CANCELLED.
 * `user`      handed to the callback, and used no more after the last call.
 *
 * The last call says IOURINGNET_CANCELLED, IOURINGNET_CLOSED or IOURINGNET_STOPPED. Neither a shortage of
 * descriptors nor an error of one connection ends the watch; see `accept_errors` and `drains_shed`. A listener
 * whose watch has ended accepts nothing, lets the kernel queue, and may be watched again.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_BUSY: it is watched already, the last call of the watch before has not begun, or
 *          accepts are pending. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status listener_watch(iouringnet_listener *listener, iouringnet_callback callback, void *user);

/**
 * Watches a sink for room, and for its end.
 *
 * `callback`  is told status 0 once after each IOURINGNET_FULL, when half of `post_mark` is free again; and
 *             once and last a status that is not 0. NULL: ends the watch, whose last call then says
 *             IOURINGNET_CANCELLED.
 * `user`      handed to the callback, and used no more after the last call.
 *
 * If room has come before the watch is armed, it is told at once. The last call tells how the sink ended.
 * After sink_close that is the end of the drain: IOURINGNET_CLOSED if everything went out, else the cause. It
 * may also be the cause that broke the sink, which a watch armed later is told at once, or
 * IOURINGNET_STOPPED. A reset by the peer breaks the sink also while nothing is sent and nothing is received.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_BUSY: it is watched already, or the last call of the watch before has not begun.
 *          IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE. NULL without a watch does nothing, and 0 is returned.
 * Since:   0.1
 */
iouringnet_status sink_watch(iouringnet_sink *sink, iouringnet_callback callback, void *user);

/**
 * Passes all bytes that are received from now on to a callback, until the stream ends.
 *
 * `callback`  is shown the bytes and returns how many it has consumed; and once and last, after all bytes,
 *             is told a status that is not 0 with `data` NULL. NULL: ends the watch, whose last call then
 *             says IOURINGNET_CANCELLED.
 * `user`      handed to the callback, and used no more after the last call: free it there.
 *
 * Bytes that were buffered before are shown first. Bytes left unconsumed are shown again together with the
 * next to arrive, and stay receivable when the watch has ended. The last call says IOURINGNET_EOF,
 * -ECONNRESET, IOURINGNET_TIMEOUT (so long without a byte, where a time limit is set), IOURINGNET_TOO_BIG
 * (more than `buffer_max` left unconsumed), IOURINGNET_INVALID (it returned more than it was shown),
 * IOURINGNET_CANCELLED, IOURINGNET_CLOSED or IOURINGNET_STOPPED. Closing the handle stays the caller's, and
 * is legal in the callback.
 *
 * Threads: Any thread, callbacks too; never blocks.
 * Returns: IOURINGNET_BUSY: it is watched already, the last call of the watch before has not begun, or
 *          receives are pending. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE. NULL
 *          without a watch does nothing, and 0 is returned.
 * Since:   0.1
 */
iouringnet_status stream_watch(iouringnet_stream *stream, iouringnet_data_callback callback, void *user);

/**
 * Holds a watch, so that TCP holds the peer back.
 *
 * After it returns no call of the watch is begun, but the last one. One that the callback thread has begun by
 * then may still go on, or be about to enter the callback. The end of the stream waits for stream_resume; a
 * close, an abort and net_stop do not. Bytes that arrive while paused never end the watch with
 * IOURINGNET_TOO_BIG. Pausing twice is the same as once.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Returns: IOURINGNET_INVALID: it is not watched. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_pause(iouringnet_stream *stream);

/**
 * Lets a paused watch go on. If bytes were kept it is called with them soon, without waiting for further
 * ones.
 *
 * Without a pause it does nothing.
 *
 * Threads: Any thread, callbacks too, its own included; never blocks.
 * Returns: IOURINGNET_INVALID: it is not watched. IOURINGNET_BAD_HANDLE.
 * Since:   0.1
 */
iouringnet_status stream_resume(iouringnet_stream *stream);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif
