/*
 * iouringnet.h: TCP networking over two event loops, by io_uring or by epoll.
 *
 * WHAT IT IS
 *
 * A program starts a net, dials or binds addresses, and sends and receives over connections. A net is two
 * event loops on two threads of the library. The send loop serves everything that sends. The receive loop
 * serves everything else, and it runs the callbacks. The program neither writes a loop nor runs one. If it has
 * one already, see A PROGRAM'S OWN LOOP. Any thread may call any function. A call either waits for its result,
 * or returns at once and passes the result to a callback or to an op.
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
 *   reports every connection. connection_watch passes all bytes to `data`, reports room for posts to `room`,
 *   and calls `end` once, after everything else. This way is the cheapest for many connections. A program
 *   frees the state of a connection in `end`. If the program has timers or a second connection on the same
 *   state, it counts those itself. The watch of a listener ends with one last call, whose status is not 0.
 *
 * An accepted operation completes exactly once. A call that returns an error has started nothing, and its
 * callback never runs. The library writes outputs only on success. Exceptions: it always writes counts of
 * bytes, and net_metrics writes as much of its text as fits.
 *
 * A SERVER IN CALLBACKS
 *
 * This program is the server for the smallest program. It sends back what it receives, until Enter is pressed.
 * If a client does not read, `sink_post` returns IOURINGNET_FULL. The program then pauses the stream until
 * there is room.
 *
 *   #include <iouringnet.h>
 *   #include <stdio.h>
 *   #include <stdlib.h>
 *
 *   struct client {
 *     iouringnet_sink *sink;
 *     iouringnet_stream *stream;
 *   };
 *
 *   static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
 *     struct client *client = (struct client *)user;
 *     if (status == 0) status = sink_post(client->sink, data, size);
 *     if (status == 0) return size;
 *     if (status == IOURINGNET_FULL) stream_pause(client->stream);
 *     else connection_close(client->sink, client->stream);
 *     return 0;
 *   }
 *
 *   static void on_room(void *user, iouringnet_status status) {
 *     struct client *client = (struct client *)user;
 *     if (status == 0) stream_resume(client->stream);
 *     else connection_close(client->sink, client->stream);
 *   }
 *
 *   static void on_end(void *user, iouringnet_status status) {
 *     if (status != 0) fprintf(stderr, "%s\n", iouringnet_strerror(status));
 *     free(user);
 *   }
 *
 *   static void on_accept(void *user, const iouringnet_completion *done) {
 *     static const iouringnet_connection_callbacks callbacks = {
 *         sizeof(iouringnet_connection_callbacks), on_data, on_room, on_end};
 *     struct client *client;
 *
 *     (void)user;
 *     if (done->status != 0) return;
 *     client = (struct client *)malloc(sizeof *client);
 *     if (client != NULL) {
 *       client->sink = done->sink;
 *       client->stream = done->stream;
 *       if (connection_watch(done->sink, done->stream, &callbacks, client) == 0) return;
 *       free(client);
 *     }
 *     connection_abort(done->sink, done->stream);
 *   }
 *
 *   int main(void) {
 *     iouringnet_net *net;
 *     iouringnet_listener *listener;
 *
 *     iouringnet_status status = net_start(NULL, &net);
 *     if (status == 0) {
 *       status = net_bind(net, "127.0.0.1:7000", NULL, &listener);
 *       if (status == 0) status = listener_watch(listener, on_accept, NULL);
 *       if (status == 0) getchar();
 *       net_stop(net);
 *     }
 *     if (status != 0) fprintf(stderr, "%s\n", iouringnet_strerror(status));
 *     return status != 0;
 *   }
 *
 * THREADS
 *
 * Any thread may call any function, also several threads at the same time on the same handle. Exception: a
 * signal handler may call net_wake alone. The sends of one sink go out whole and in the order of the calls.
 * The receives of one stream complete in the order of the calls.
 *
 * The thread of the receive loop runs all callbacks of a net, one at a time. No callback runs inside a call
 * of the library. Therefore a program that works only in callbacks needs no locks. Rules for a callback:
 *
 * - It must not take long, because the net's other callbacks wait for it.
 * - A call that may block returns IOURINGNET_IN_CALLBACK there. All other calls are legal, also a close of
 *   the handle whose callback is running.
 * - It must not leave by an exception, by longjmp or by pthread_exit.
 * - It has 8 MiB of stack. Exception: on a thread of the program it has what that thread has.
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
 * A PROGRAM'S OWN LOOP
 *
 * A program may run the callbacks on a thread of its own. It sets `dispatch` of the config to
 * IOURINGNET_BY_CALLER. The thread that calls net_start then calls net_dispatch, and the callbacks run inside
 * these calls and inside its net_stop:
 *
 *   while (!quit && status == 0) status = net_dispatch(net, IOURINGNET_NO_TIMEOUT);
 *
 * net_wake ends such a wait. A signal handler may call it. A program that has a loop already polls the
 * descriptor of net_fd there, and calls net_dispatch with timeout 0 whenever the descriptor is readable.
 *
 * The callbacks and the rest of that thread need no locks between them. On that thread, blocking calls on
 * handles of the net return IOURINGNET_IN_CALLBACK.
 *
 * MEMORY
 *
 *   memory                                        owner
 *   buffer of a call that waits, or of sink_post  the caller again when the call returns
 *   memory of iouringnet_buffer_adopt             the library until its `free` begins; nobody changes it before
 *   buffer of an _async call                      the library until the completion; the caller neither frees
 *                                                 nor changes it before
 *   bytes that stream_peek shows                  the library, until the next call on that stream or
 *                                                 net_stop, from any thread
 *   bytes that a data callback gets               the library until the callback returns, even if it closes
 *                                                 the stream
 *   addresses, options, configs, arrays of parts  the caller; the library reads them only during the call
 *
 * If there is no memory to copy a post of more than 16 KiB or the bytes of iouringnet_buffer_make, the call
 * returns -ENOMEM. If any other allocation fails, the library prints a message and aborts the process. Each of
 * these allocations is small, or the config bounds it, or it has 24 bytes for each part of a sink_sendv or
 * sink_postv.
 *
 * HANDLES
 *
 * A handle has the type of a pointer, but it is a number that the library looks up. The library never follows
 * it. A handle is bad if it is NULL, closed, made up, of another kind, or of a stopped net. A call with a bad
 * handle returns IOURINGNET_BAD_HANDLE. It neither crashes nor reaches another connection. Closing a handle
 * twice is harmless.
 *
 * The caller closes or releases each handle that it receives once: both halves of a connection, listeners,
 * ops and buffers. net_stop ends all handles of its net that are left. Exception: ops stay until they are
 * released. A buffer belongs to no net, and stays until it is released.
 *
 * STATUSES
 *
 *   status        meaning
 *   0             success
 *   -1 to -4095   an errno of the kernel, negated, such as -ECONNREFUSED or -EADDRINUSE
 *   below -10000  a status of the library, such as IOURINGNET_EOF
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
 * Any thread may close and abort at any moment.
 *
 *   call              what happens
 *   sink_close        Accepted bytes go out. Then the peer gets the end of the stream. The stream can still
 *                     receive, so this is also the half-close.
 *   stream_close      The library discards buffered bytes. Pending receives end with IOURINGNET_CLOSED.
 *   connection_close  Both.
 *   connection_abort  The library discards unsent bytes and resets the connection. Pending work of both
 *                     halves ends with IOURINGNET_CLOSED. This also ends the drain after sink_close.
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
 *   IOURINGNET_FULL     the sink has `post_mark` bytes posted and unsent, where each piece that waits counts
 *                       at least 256 bytes; connection_watch reports room
 *   IOURINGNET_LIMIT    the net has `max_operations` operations in flight, 1,024 names of the process wait to
 *                       be looked up, or the process has 536 million handles
 *   IOURINGNET_TOO_BIG  stream_fill asks for more than `buffer_max` bytes, or a line has more than `max` bytes
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
 * A handle is valid only in the copy of the library that made it. Link one copy into a process, or see NAMES.
 *
 * ENGINES AND ENVIRONMENT
 *
 * If the system refuses io_uring, as the default profiles of containers do, the event loops use epoll. They keep
 * the same promises, and take more CPU time for a message. The log has a warning, and iouringnet_probe has the
 * cause and the remedy. The field `engine` of the config demands one of the two. Otherwise the environment
 * variable IOURINGNET_ENGINE may name one: "io_uring", "epoll", or "auto" for the usual choice. net_start reads
 * it before its first system call of io_uring.
 *
 * net_start reads the environment variable IOURINGNET_FEATURES_OFF. It switches features of the kernel off,
 * to test what older kernels have. Its value is a list of these names, separated by commas: defer_taskrun,
 * coop_taskrun, buffer_ring, no_iowait, multishot, send_msg_ring, silent_sends.
 *
 * It also reads IOURINGNET_SENDS, which says how sends of callbacks leave: "calls", by a system call each;
 * "entries", together when the callbacks of a round have returned; "auto" or nothing: entries in a round with
 * so many callbacks that this is cheaper on this machine. Entries need the feature silent_sends. A net over
 * epoll makes calls. Exception: a net with `dispatch` = IOURINGNET_BY_CALLER has a ring for entries alone,
 * unless epoll is demanded.
 *
 * NAMES
 *
 * Most names of functions have no prefix, and a program may have a function of the same name. Therefore the
 * library has each function under a second name: iouringnet_ and the short name, as in iouringnet_net_start.
 * Exception: sink_info is also iouringnet_sink_get_info, because iouringnet_sink_info is a type.
 *
 * Define IOURINGNET_PREFIXED before the include, best by the compiler's option -DIOURINGNET_PREFIXED for all files.
 * The short names are then macros that stand for the prefixed ones, and an object file refers to these alone.
 * A file that has an identifier like net_start of its own removes the macro by #undef net_start.
 *
 * - A library or a plugin should define it. If the program has a function net_start, the dynamic loader
 *   would otherwise pass the plugin's calls to that function.
 * - In the shared library all names have the version IOURINGNET_0.2, for dlsym and dlvsym.
 * - In the static library the names are hidden: a shared library that links it exports none of them. The short
 *   names are weak: a program that links it may have functions of these names. A program that has one must
 *   define IOURINGNET_PREFIXED where it calls the library.
 * - If several libraries of one process link the static library, each has a copy of its own.
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
#define IOURINGNET_VERSION_MINOR 2
#define IOURINGNET_VERSION_PATCH 0
#define IOURINGNET_VERSION 0x000200 /* major << 16 | minor << 8 | patch */

/* Statuses. Each comment ends with the errno that iouringnet_errno returns for the status. */
#define IOURINGNET_OK 0
/* the peer ended the stream; ENODATA */
#define IOURINGNET_EOF (-10001)
/* the operation did not finish before its deadline; ETIMEDOUT */
#define IOURINGNET_TIMEOUT (-10002)
/* the operation was cancelled; ECANCELED */
#define IOURINGNET_CANCELLED (-10003)
/* the operation was ended by a close on this side; ECONNABORTED */
#define IOURINGNET_CLOSED (-10004)
/* the net has been stopped; ESHUTDOWN */
#define IOURINGNET_STOPPED (-10005)
/* the handle is closed, of another kind, or was never one; EBADF */
#define IOURINGNET_BAD_HANDLE (-10006)
/* an argument is not valid; EINVAL */
#define IOURINGNET_INVALID (-10007)
/* the sink has as many unsent bytes as its mark allows; nothing was taken; EAGAIN */
#define IOURINGNET_FULL (-10008)
/* a bound of the whole net is reached; nothing was taken; ENOBUFS */
#define IOURINGNET_LIMIT (-10009)
/* something that excludes this call is still going on; EBUSY */
#define IOURINGNET_BUSY (-10010)
/* the operation has not finished yet; EINPROGRESS */
#define IOURINGNET_PENDING (-10011)
/* an earlier send ended when only a part of it was out, so that the sink cannot go on; EPIPE */
#define IOURINGNET_TORN (-10012)
/* more bytes than a buffer may hold; EMSGSIZE */
#define IOURINGNET_TOO_BIG (-10013)
/* a call that may block is not allowed inside a callback; EDEADLK */
#define IOURINGNET_IN_CALLBACK (-10014)
/* the host name is not known; ENOENT */
#define IOURINGNET_NAME (-10015)
/* the host name could not be looked up at the moment; a later try may succeed; EAGAIN */
#define IOURINGNET_NAME_AGAIN (-10016)
/* the library was started before this process was forked and cannot be used in the child; EPERM */
#define IOURINGNET_FORKED (-10017)
/* io_uring is demanded and cannot be used here; the program iouringnet-probe says why; ENOSYS */
#define IOURINGNET_UNAVAILABLE (-10018)
/* the library met a fault of its own and gave up this call; ENOTRECOVERABLE */
#define IOURINGNET_PANIC (-10019)
/* there is too little memory that may be locked (RLIMIT_MEMLOCK); the program iouringnet-probe says more; ENOMEM */
#define IOURINGNET_LOCKED_MEMORY (-10020)
/* the address is not HOST:PORT; EDESTADDRREQ */
#define IOURINGNET_ADDRESS (-10021)

/* For `read_buffer` of the config: no read buffer, so every receive goes straight to the caller's memory. */
#define IOURINGNET_UNBUFFERED SIZE_MAX
/* For `size` of stream_forward: everything up to the end of the stream. */
#define IOURINGNET_ALL SIZE_MAX
/* CPU number n, for `send_cpu` and `recv_cpu` of the config. */
#define IOURINGNET_CPU(n) ((int32_t)(n) + 1)

/* Each zeroes a struct and stores its size. Use it first on a struct that begins with `size`. */
#define iouringnet_config_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_dial_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_bind_options_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_completion_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_connection_callbacks_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_sink_info_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_stats_init(s) iouringnet_struct_init((s), sizeof *(s))
#define iouringnet_probe_result_init(s) iouringnet_struct_init((s), sizeof *(s))

/* See NAMES. */
#ifdef IOURINGNET_PREFIXED
#define net_start iouringnet_net_start
#define net_dial iouringnet_net_dial
#define sink_send iouringnet_sink_send
#define stream_recv iouringnet_stream_recv
#define stream_recv_some iouringnet_stream_recv_some
#define sink_close iouringnet_sink_close
#define stream_close iouringnet_stream_close
#define net_stop iouringnet_net_stop
#define net_bind iouringnet_net_bind
#define listener_accept iouringnet_listener_accept
#define listener_address iouringnet_listener_address
#define listener_close iouringnet_listener_close
#define sink_sendv iouringnet_sink_sendv
#define sink_post iouringnet_sink_post
#define sink_postv iouringnet_sink_postv
#define sink_flush iouringnet_sink_flush
#define sink_info iouringnet_sink_get_info
#define stream_fill iouringnet_stream_fill
#define stream_peek iouringnet_stream_peek
#define stream_consume iouringnet_stream_consume
#define connection_close iouringnet_connection_close
#define connection_abort iouringnet_connection_abort
#define sink_set_timeout iouringnet_sink_set_timeout
#define stream_set_timeout iouringnet_stream_set_timeout
#define connection_set_idle_timeout iouringnet_connection_set_idle_timeout
#define stream_set_deadline iouringnet_stream_set_deadline
#define net_call iouringnet_net_call
#define net_dial_async iouringnet_net_dial_async
#define listener_accept_async iouringnet_listener_accept_async
#define sink_send_async iouringnet_sink_send_async
#define sink_sendv_async iouringnet_sink_sendv_async
#define sink_flush_async iouringnet_sink_flush_async
#define stream_recv_async iouringnet_stream_recv_async
#define stream_recv_some_async iouringnet_stream_recv_some_async
#define stream_fill_async iouringnet_stream_fill_async
#define net_stop_async iouringnet_net_stop_async
#define op_wait iouringnet_op_wait
#define op_cancel iouringnet_op_cancel
#define op_release iouringnet_op_release
#define listener_watch iouringnet_listener_watch
#define listener_unwatch iouringnet_listener_unwatch
#define connection_watch iouringnet_connection_watch
#define stream_unwatch iouringnet_stream_unwatch
#define stream_pause iouringnet_stream_pause
#define stream_resume iouringnet_stream_resume
#define net_dispatch iouringnet_net_dispatch
#define net_wake iouringnet_net_wake
#define net_fd iouringnet_net_fd
#define stream_forward iouringnet_stream_forward
#define stream_forward_async iouringnet_stream_forward_async
#define stream_fill_until iouringnet_stream_fill_until
#define stream_fill_until_async iouringnet_stream_fill_until_async
#define sink_post_buffer iouringnet_sink_post_buffer
#define listener_adopt iouringnet_listener_adopt
#define connection_adopt iouringnet_connection_adopt
#define sink_fd iouringnet_sink_fd
#define listener_fd iouringnet_listener_fd
#define net_stats iouringnet_net_stats
#define net_metrics iouringnet_net_metrics
#endif


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

/** `side` of a completion: the status is that of the stream that a forward receives from. */
#define IOURINGNET_SIDE_FROM 1

/** `side` of a completion: the status is that of the sink that a forward sends to. */
#define IOURINGNET_SIDE_TO 2

/** The loops of a net wait by io_uring. */
#define IOURINGNET_ENGINE_IO_URING 1

/** The loops of a net wait by epoll, and make a system call for each send and receive. Exception: see `dispatch`. */
#define IOURINGNET_ENGINE_EPOLL 2

/** For `dispatch`: the thread that starts the net runs its callbacks, in net_dispatch. */
#define IOURINGNET_BY_CALLER 1

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

/** A bit of `features`: sends of callbacks can leave together, without a completion each (Linux 6.1). */
#define IOURINGNET_FEATURE_SILENT_SENDS 64

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

/** The handle of a buffer: bytes that many sinks can send without a copy for each. It belongs to no net. */
typedef struct iouringnet_buffer iouringnet_buffer;

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
    /**
     * Whose status it is, of a forward: IOURINGNET_SIDE_FROM or IOURINGNET_SIDE_TO. 0 if it is neither's, and in
     * any other completion. Since 0.2.
     */
    uint32_t side;
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
 * Gets a status. It runs on the callback thread of the net. The callback must not take long. It must not
 * leave by an exception, by longjmp or by pthread_exit.
 */
typedef void (*iouringnet_status_callback)(void *user, iouringnet_status status);

/**
 * What connection_watch calls. Each may be NULL, but not all three. It may be static and constant: the
 * library reads it only during the call. Prepare it with `iouringnet_connection_callbacks_init`, or store
 * its size.
 *
 *   static const iouringnet_connection_callbacks callbacks = {
 *       sizeof(iouringnet_connection_callbacks), on_data, on_room, on_end};
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. */
    size_t size;
    /**
     * Gets every byte that the stream receives. Its last call has a status other than 0. NULL: the stream is
     * free for receives.
     */
    iouringnet_data_callback data;
    /**
     * Gets 0 once after each IOURINGNET_FULL, when half of `post_mark` is free again. If the sink breaks while
     * its handle is open, `room` gets the cause once, as its last call. NULL: the next call on the sink
     * returns the cause.
     */
    iouringnet_status_callback room;
    /**
     * Called exactly once, after all other callbacks of the halves that were given. NULL: no call reports the
     * end.
     */
    iouringnet_status_callback end;
} iouringnet_connection_callbacks;

/**
 * Frees memory that iouringnet_buffer_adopt has taken. `data` and `size` are those of that call. It runs exactly
 * once, when the buffer, its slices and all sinks have given the memory up:
 *
 * - in the call that gives the last part up, or
 * - on the callback thread of a net, if the last one was a sink. It then counts as a callback of that net.
 *
 * The library holds no lock meanwhile. It must not take long. It must not leave by an exception, by longjmp or
 * by pthread_exit.
 */
typedef void (*iouringnet_free_callback)(void *user, void *data, size_t size);

/**
 * Gets one line of the log, without a line end. `text` is valid until the callback returns.
 *
 * - It runs on the threads of the net, possibly at the same time. It has no line for
 *   what a call does on another thread. The library may hold the lock of a handle meanwhile.
 * - It must not call the library. A call that returns a status returns IOURINGNET_IN_CALLBACK there, and a
 *   call that returns nothing does nothing.
 * - It must not wait for a lock that another thread holds while that thread calls the library.
 * - It must not leave by an exception, by longjmp or by pthread_exit.
 */
typedef void (*iouringnet_log_callback)(void *user, int32_t level, const char *text);

/**
 * The config of a net. Prepare it with `iouringnet_config_init`. net_start returns IOURINGNET_INVALID if a
 * field is out of its range.
 *
 *   value  in a switch          in a time       in a size
 *   0      the default          the default     the default
 *   -1     IOURINGNET_INVALID   none            SIZE_MAX: what the field says, else IOURINGNET_INVALID
 *
 * `true` is IOURINGNET_ON. `false` is 0, so it is the default, which may be IOURINGNET_ON. To switch off, use
 * IOURINGNET_OFF. "None" is no limit, no wait, no spinning or no keepalive, as the field says.
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_config_init` sets it. */
    size_t size;
    /**
     * Entries of each ring: 8 to 32768. Default: 256. They bound neither connections nor operations. Without
     * meaning for epoll.
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
    /** TCP_NODELAY of connections: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: IOURINGNET_ON. */
    uint32_t nodelay;
    /**
     * Whether a call asks the kernel on the calling thread first, and uses a loop only for the rest:
     * IOURINGNET_ON or IOURINGNET_OFF. Default: IOURINGNET_ON.
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
     * Largest number of bytes that stream_fill may ask for, that a line of stream_fill_until may have, and that
     * a watch may leave unconsumed: at most 1 GiB. Default: 1 MiB.
     */
    size_t buffer_max;
    /**
     * Bytes posted and unsent at which a post returns IOURINGNET_FULL. Default: 1 MiB. A piece that waits counts at
     * least 256 bytes. Small posts are joined to pieces of at most 16 KiB.
     */
    size_t post_mark;
    /**
     * Time limit of one operation, in milliseconds. sink_set_timeout and stream_set_timeout change it for one
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
    /**
     * What the loops wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL. Both keep the same
     * promises; io_uring takes less CPU time. Default: the library chooses. `engine` of iouringnet_stats tells
     * what a net got.
     *
     *   the library chooses         io_uring. If the system refuses io_uring: epoll, and a warning in the log.
     *                               The environment variable IOURINGNET_ENGINE decides instead if its value is
     *                               "io_uring" or "epoll".
     *   IOURINGNET_ENGINE_IO_URING  io_uring. If the system refuses io_uring, net_start fails.
     *   IOURINGNET_ENGINE_EPOLL     epoll. The library makes no system call of io_uring, which some sandboxes
     *                               punish with the end of the process.
     */
    uint32_t engine;
    /** Gets the log. Default: NULL, and the library logs nothing. */
    iouringnet_log_callback log;
    /** Passed to `log`. It must stay valid until net_stop has returned. Default: NULL. */
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
    /**
     * Where the callbacks of the net run. Default: on a thread of the net. IOURINGNET_BY_CALLER: on the
     * thread that calls net_start, while it is in net_dispatch. The net then has no receive thread, and
     * waits by epoll. Sends of its callbacks may leave by io_uring (see IOURINGNET_SENDS above), unless
     * `engine` or the environment demands epoll. `recv_cpu` and IOURINGNET_ENGINE_IO_URING are
     * IOURINGNET_INVALID with it.
     */
    uint32_t dispatch;
    /**
     * How long a connection may go without a byte in either direction, in milliseconds.
     * connection_set_idle_timeout changes it for one connection. Default: no limit. IOURINGNET_NO_TIMEOUT: no
     * limit.
     */
    int64_t idle_timeout_ms;
} iouringnet_config;

/**
 * The options of a dial. Prepare them with `iouringnet_dial_options_init`. 0 in a field is the field's default,
 * also `false` in a switch. To switch off, use IOURINGNET_OFF. -1 in a time is "none".
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_dial_options_init` sets it. */
    size_t size;
    /**
     * Time limit of the dial, in milliseconds. Default: the config's `dial_timeout_ms`. IOURINGNET_NO_TIMEOUT:
     * the kernel's limit.
     */
    int64_t timeout_ms;
    /**
     * Local address of the connection: "192.0.2.1", "192.0.2.1:7000", "2001:db8::1" or "[2001:db8::1]:7000". It
     * has no name. The dial skips addresses of the other family. Default: the system chooses. The library
     * reads the text only during the call.
     */
    const char *from;
    /**
     * Idle time until the first keepalive probe, in milliseconds. Default: the config's `keepalive_ms`.
     * IOURINGNET_NO_TIMEOUT: no keepalive.
     */
    int64_t keepalive_ms;
    /** SO_SNDBUF, in bytes: at most INT_MAX. Default: the config's `send_buffer`. SIZE_MAX: the system's value. */
    size_t send_buffer;
    /** SO_RCVBUF, in bytes: at most INT_MAX. Default: the config's `recv_buffer`. SIZE_MAX: the system's value. */
    size_t recv_buffer;
    /** TCP_NODELAY: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: the config's `nodelay`. */
    uint32_t nodelay;
} iouringnet_dial_options;

/**
 * The options of a bind. Prepare them with `iouringnet_bind_options_init`. 0 in a field is the field's default,
 * also `false` in a switch. To switch off, use IOURINGNET_OFF. -1 in a time is "none".
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_bind_options_init` sets it. */
    size_t size;
    /**
     * Largest number of connections that wait in the kernel to be accepted. Default: 4096. The system's
     * somaxconn is an upper bound.
     */
    uint32_t backlog;
    /**
     * SO_REUSEPORT, which binds one port in several nets: IOURINGNET_ON or IOURINGNET_OFF. Default:
     * IOURINGNET_OFF.
     */
    uint32_t reuse_port;
    /**
     * Idle time of accepted connections until the first keepalive probe, in milliseconds. Default: the
     * config's `keepalive_ms`. IOURINGNET_NO_TIMEOUT: no keepalive.
     */
    int64_t keepalive_ms;
    /**
     * SO_SNDBUF of accepted connections, in bytes: at most INT_MAX. Default: the config's `send_buffer`.
     * SIZE_MAX: the system's value.
     */
    size_t send_buffer;
    /**
     * SO_RCVBUF of accepted connections, in bytes: at most INT_MAX. Default: the config's `recv_buffer`.
     * SIZE_MAX: the system's value.
     */
    size_t recv_buffer;
    /**
     * TCP_NODELAY of accepted connections: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: the
     * config's `nodelay`.
     */
    uint32_t nodelay;
    /**
     * IPV6_V6ONLY, which refuses IPv4 at an IPv6 address such as "[::]:7000": IOURINGNET_ON or
     * IOURINGNET_OFF. Default: the sysctl net.ipv6.bindv6only, which is off in most systems. Without meaning
     * for IPv4 addresses.
     */
    uint32_t ipv6_only;
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
    /** Number of bytes that the kernel has taken from the sink so far. Since 0.2. */
    uint64_t sent;
    /**
     * Number of bytes that the stream of the same connection has received from the kernel so far. Bytes that
     * wait in its buffer are included. Since 0.2.
     */
    uint64_t received;
} iouringnet_sink_info;

/**
 * The result of net_stats. Prepare it with `iouringnet_stats_init`. Each field is a number since the start
 * of the net, unless it says "now".
 */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_stats_init` sets it. */
    size_t size;
    /** System calls in which the send loop submits entries or waits. */
    uint64_t send_enters;
    /** Entries that the send loop has submitted. With epoll: requests. */
    uint64_t send_entries;
    /** Completions that the send loop has reaped. */
    uint64_t send_completions;
    /** Times that another thread has woken the send loop up. */
    uint64_t send_wakes;
    /** System calls in which the receive loop submits entries or waits. */
    uint64_t recv_enters;
    /** Entries that the receive loop has submitted. With epoll: requests. */
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
    /** What the loops wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL. */
    uint64_t engine;
} iouringnet_stats;

/** The result of iouringnet_probe. Prepare it with `iouringnet_probe_result_init`. */
typedef struct {
    /** Size of this struct in bytes, as the program was compiled. `iouringnet_probe_result_init` sets it. */
    size_t size;
    /**
     * The status that net_start would return:
     *
     *   IOURINGNET_OK             a net can start
     *   IOURINGNET_UNAVAILABLE    io_uring is demanded, and cannot be used here
     *   IOURINGNET_LOCKED_MEMORY  io_uring is demanded, and the limit on locked memory leaves no room
     *   -EMFILE, -ENFILE          there are too few descriptors
     *   -EAGAIN                   there are too few threads
     *   -ENOMEM                   there is too little memory
     */
    iouringnet_status status;
    /**
     * The errno of the system's refusal, positive: why no net can start, or why a net uses epoll instead of
     * io_uring. 0: the system has refused nothing.
     */
    int32_t error;
    /**
     * Features of io_uring that this kernel has: IOURINGNET_FEATURE_ bits. A net requires none of them. 0 with
     * epoll.
     */
    uint32_t features;
    /** The kernel's release. */
    char kernel[64];
    /** Cause and remedy of the refusal, or what was found. */
    char text[256];
    /** What the net would wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL. 0: no net can start. */
    uint32_t engine;
} iouringnet_probe_result;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The first ten functions ---- */

/**
 * Starts a net: two event loops over io_uring, each on a thread of its own. Both rings exist when the call
 * returns. If `dispatch` of the config is IOURINGNET_BY_CALLER, the calling thread runs one of the two loops.
 * If the system refuses io_uring, both loops use epoll; see `engine` of iouringnet_config.
 *
 * `config`  Prepared with `iouringnet_config_init`. NULL: all defaults.
 * `net`     Set to the new net on success.
 *
 * Owner:   The caller owns `*config`; the library reads it only during the call. The caller stops the new
 *          net with net_stop. On failure `*net` is unchanged, and nothing is left behind.
 * Threads: Any thread, also inside a callback unless `dispatch` of the config is IOURINGNET_BY_CALLER. Takes
 *          about a millisecond. It waits up to 0.5 s for locked
 *          memory that other nets of the user hold or have just given back, or 2.5 s if io_uring is demanded.
 * Returns:
 *   0                         The net has started.
 *   IOURINGNET_UNAVAILABLE    io_uring is demanded, and cannot be used here. iouringnet_probe has the cause.
 *   IOURINGNET_LOCKED_MEMORY  io_uring is demanded, and the limit on locked memory leaves no room for two
 *                             rings of the smallest size.
 *   -EMFILE, -ENFILE          There are too few descriptors.
 *   -EAGAIN                   There are too few threads.
 *   -ENOMEM                   There is too little memory.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `net` is NULL, the size of the config is wrong, a field is out of its range, a
 *                             CPU does not exist, or the config has a non-zero field that this version does
 *                             not know.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback. Inside any callback, if `dispatch` of the config is
 *                             IOURINGNET_BY_CALLER.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_start(const iouringnet_config *config, iouringnet_net **net);

/**
 * Connects to an address, and waits for the connection.
 *
 * `address`  "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000".
 * `options`  Prepared with `iouringnet_dial_options_init`. NULL: all defaults.
 * `sink`     Set to the half that sends, on success.
 * `stream`   Set to the half that receives, on success.
 *
 * The library takes the addresses of a name from /etc/hosts. If that file does not have the name, the
 * library asks getaddrinfo. The addresses of a name race: the two families take turns, and the library tries
 * the next address when one has failed, or 250 ms after the one before it. The first one to connect wins.
 * One time limit covers the lookup and all addresses.
 *
 * Owner:   The caller owns `address` and `*options`; the library reads them only during the call. The caller
 *          closes both halves. On failure `*sink` and `*stream` are unchanged.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The connection is open.
 *   IOURINGNET_TIMEOUT        The time limit of the dial passed.
 *   -ECONNREFUSED             Nobody listens at the address that failed last.
 *   another errno             The address that failed last has this errno, such as -EHOSTUNREACH or -EMFILE.
 *   -EADDRNOTAVAIL            No address has the family of `from`, or this machine does not have `from`.
 *   -ENODEV                   There is no interface of the name after "%".
 *   IOURINGNET_NAME           The name is not known.
 *   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
 *   -EAGAIN                   There is no thread to look up the name.
 *   IOURINGNET_STOPPED        net_stop has begun. If it overtakes the dial, the peer may see a connection
 *                             open and close.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, 1,024 names wait to be looked up,
 *                             or the process has too many handles.
 *   IOURINGNET_ADDRESS        `address` is not HOST:PORT, or `from` is not a number.
 *   IOURINGNET_INVALID        `address`, `sink` or `stream` is NULL, an option is out of its range, or the
 *                             options have a wrong size or a non-zero field that this version does not know.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status net_dial(iouringnet_net *net, const char *address, const iouringnet_dial_options *options,
    iouringnet_sink **sink, iouringnet_stream **stream);

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
 *   IOURINGNET_CLOSED         connection_abort has ended the send, or another thread has just closed the
 *                             sink.
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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
 *                             before it.
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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
 *                             before it.
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
 * the connection, the library closes it without a reset. `end` of connection_watch reports how the drain
 * ended.
 *
 * Owner:   The library owns the memory of pending sends until their completions.
 * Threads: Any thread, also inside a callback, the sink's own included. Never blocks. In a forked child and
 *          inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.1
 */
void sink_close(iouringnet_sink *sink);

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
 * If `dispatch` of the net's config is IOURINGNET_BY_CALLER, a call on the dispatching thread runs the callbacks
 * that are left. A call on another thread waits until the dispatching thread has done so in net_dispatch. If
 * sends left by io_uring, the kernel may then interrupt one later wait of the dispatching thread, as a signal
 * does: epoll_wait(2) fails with EINTR.
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

/* ---- Servers ---- */

/**
 * Binds an address and listens on it. Connections wait in the kernel until they are accepted.
 *
 * `address`   "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000". Port 0 binds a free
 *             port, and listener_address returns it.
 * `options`   Prepared with `iouringnet_bind_options_init`. NULL: all defaults.
 * `listener`  Set to the new listener on success.
 *
 * The library takes the addresses of a name from /etc/hosts, or else from getaddrinfo, which runs on the
 * calling thread. It binds the first address that can be bound, and no other: "localhost:7000" is ::1 alone if
 * /etc/hosts has ::1 for localhost, and otherwise 127.0.0.1 alone. SO_REUSEADDR is always on.
 *
 * "[::]:7000" accepts IPv4 connections too, unless the option `ipv6_only` refuses them. Their peers have
 * addresses like "[::ffff:127.0.0.1]:40000". "0.0.0.0:7000" accepts IPv4 alone. The port is a number: the library
 * knows no names of services.
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
 *   IOURINGNET_ADDRESS        `address` is not HOST:PORT.
 *   IOURINGNET_INVALID        `address` or `listener` is NULL, an option is out of its range, or the options
 *                             have a wrong size or a non-zero field that this version does not know.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the send, or another thread has just closed the
 *                             sink.
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
 * connection's watch and every later call that sends get the error. A post on a broken sink gets the first cause.
 * The idle limit of the connection bounds posts; see connection_set_idle_timeout.
 *
 * Owner:   The caller owns `data` again when the call returns.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The library has accepted the bytes. They go out even if the sink is closed
 *                             next.
 *   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken.
 *                             connection_watch reports when there is room.
 *   -ENOMEM                   There is no memory to copy more than 16 KiB. Nothing was taken. Exception: if
 *                             part of the post had gone out, the sink is broken by this error.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
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
 * Sends several pieces of memory as one, such as a header and its body, without waiting. The library copies the
 * bytes that the kernel does not take at once.
 *
 * `parts`  The pieces, in order. NULL is allowed if `count` is 0.
 * `count`  Number of pieces; IOV_MAX is no bound. 0: the call succeeds, and nothing is sent.
 *
 * The call is sink_post of the joined pieces: the sink accepts all of them or none. Posts and sends of one sink
 * share one order: the order of the calls. If a post fails after the call, the connection's watch and every later call
 * that sends get the error. A post on a broken sink gets the first cause. The idle limit of the connection
 * bounds posts; see connection_set_idle_timeout.
 *
 * Owner:   The caller owns the array and the pieces again when the call returns.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The library has accepted the bytes. They go out even if the sink is closed
 *                             next.
 *   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken.
 *                             connection_watch reports when there is room.
 *   -ENOMEM                   There is no memory to copy more than 16 KiB. Nothing was taken. Exception: if
 *                             part of the post had gone out, the sink is broken by this error.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
 *                             sink.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused this or an earlier send, which broke the sink.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
 *                             PTRDIFF_MAX, or the sum is.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status sink_postv(iouringnet_sink *sink, const struct iovec *parts, size_t count);

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
 *   IOURINGNET_CLOSED         connection_abort has ended the flush, or another thread has just closed the
 *                             sink.
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
 * Gets both addresses of a connection, the number of accepted bytes that the kernel does not have yet, and how
 * many bytes have gone each way.
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

/* ---- Receiving ---- */

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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the fill, or connection_abort came
 *                             before it.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the stream.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        Fewer than `size` bytes are buffered. Nothing was consumed.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.1
 */
iouringnet_status stream_consume(iouringnet_stream *stream, size_t size);

/* ---- Closing ---- */

/**
 * Closes both halves of a connection. The handles are invalid at once.
 *
 * The call does what sink_close and stream_close do together. Accepted sends go out, and then the peer gets
 * the end of the stream. Pending receives end with IOURINGNET_CLOSED. NULL and closed handles do nothing.
 *
 * `sink`    NULL or closed: only the stream is closed.
 * `stream`  NULL or closed: only the sink is closed.
 *
 * Owner:   The library owns the memory of pending operations until their completions.
 * Threads: Any thread, also inside a callback. Never blocks. In a forked child and inside a log callback it
 *          does nothing.
 * Returns: Nothing.
 * Since:   0.2
 */
void connection_close(iouringnet_sink *sink, iouringnet_stream *stream);

/**
 * Resets a connection, and closes both halves at once. The handles are invalid at once.
 *
 * The library discards unsent and unread bytes. Pending work and the last calls of watches get
 * IOURINGNET_CLOSED. NULL and closed handles do nothing. One open handle suffices to reset: after sink_close
 * the call ends the drain by way of `stream`. If only one of two open handles is given, the other stays open,
 * its calls return IOURINGNET_CLOSED, and the caller still closes it.
 *
 * `sink`    NULL or closed: the stream says which connection.
 * `stream`  NULL or closed: the sink says which connection.
 *
 * Owner:   The library owns the memory of pending operations until their completions.
 * Threads: Any thread, also inside a callback. Never blocks. In a forked child and inside a log callback it
 *          does nothing.
 * Returns: Nothing.
 * Since:   0.2
 */
void connection_abort(iouringnet_sink *sink, iouringnet_stream *stream);

/* ---- Time limits and timers ---- */

/**
 * Sets the time limit of later sends and flushes: of the whole operation. Posts have no such limit; see
 * connection_set_idle_timeout.
 *
 * `timeout_ms`  Milliseconds.
 *
 *   `timeout_ms`                a send or a flush
 *   above 0                     limit of the whole operation
 *   0                           one try
 *   IOURINGNET_NO_TIMEOUT (-1)  no limit
 *
 * One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
 * work.
 *
 * A new sink has the config's `timeout_ms`. Operations that are already accepted keep their limits.
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
 * Sets the time limit of later receives and fills: of the whole operation. Watches and forwards have no such
 * limit; see connection_set_idle_timeout and stream_set_deadline.
 *
 * `timeout_ms`  Milliseconds.
 *
 *   `timeout_ms`                a receive or a fill
 *   above 0                     limit of the whole operation
 *   0                           one try, which succeeds if enough bytes are there
 *   IOURINGNET_NO_TIMEOUT (-1)  no limit
 *
 * One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
 * work.
 *
 * A new stream has the config's `timeout_ms`. Operations that are already accepted keep their limits.
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
 * Sets how long a connection may go without a byte in either direction.
 *
 * The limit bounds `data` of connection_watch, forwards, posts, flushes, and the first operation in the queue
 * of each half. When it has passed, each of them ends with IOURINGNET_TIMEOUT. If posts are unsent, the sink
 * breaks, because bytes that follow them would tear the stream. A connection that has none of these is never
 * idle.
 *
 * The time counts from this call, from the last byte that the kernel gave or took, or from the beginning of
 * the first such work, whichever is latest. It stands still while `data` is paused and nothing is unsent. The
 * library looks eight times within the limit, so the end comes at most a quarter of the limit late. The least
 * step is 1 ms. A half that drains after its close has the limits of the drain instead.
 *
 * `sink`     NULL or closed: the stream says which connection.
 * `stream`   NULL or closed: the sink says which connection.
 * `idle_ms`  Milliseconds. IOURINGNET_NO_TIMEOUT: no limit. A new connection has the config's
 *            `idle_timeout_ms`.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The limit is set.
 *   IOURINGNET_INVALID        `idle_ms` is 0 or below -1, or the halves are of two connections.
 *   IOURINGNET_CLOSED         Another thread has just closed the half.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BAD_HANDLE     Neither handle is open, or the net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status connection_set_idle_timeout(iouringnet_sink *sink, iouringnet_stream *stream,
    int64_t idle_ms);

/**
 * Sets how long the data callback of a connection_watch, or a stream_forward, may go on, whatever arrives. A
 * header that must be complete in time has such a deadline, because a byte every few seconds cannot move it.
 *
 * The time counts from this call, or from the arming of `data` or the beginning of the forward if that is
 * later. Pauses count. When it has passed, `data` gets its last call with IOURINGNET_TIMEOUT, or the forward
 * ends with it. Another call of this function sets the time anew. Each later `data` or forward of this
 * stream has the same time. Receives and fills have none of it.
 *
 * `deadline_ms`  Milliseconds. IOURINGNET_NO_TIMEOUT: no deadline, as a new stream has none.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback, the data callback included. Never blocks.
 * Returns:
 *   0                         The deadline is set.
 *   IOURINGNET_INVALID        `deadline_ms` is 0 or below -1.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_set_deadline(iouringnet_stream *stream, int64_t deadline_ms);

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

/* ---- Callbacks and ops ---- */

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
 * of the library asks getaddrinfo. The addresses of a name race: the two families take turns, and the library
 * tries the next address when one has failed, or 250 ms after the one before it. The first one to connect
 * wins. One time limit covers the lookup and all addresses.
 *
 * Owner:   The caller owns `address` and `*options`; the library reads them only during the call. With a
 *          callback, the callback receives the connection and closes both halves. Without one, the first
 *          op_wait that fills in a completion receives it; later ones get NULL. If nobody receives it,
 *          op_release or net_stop closes it. The caller releases the op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The connection is open: `sink` and `stream` of the completion.
 *   IOURINGNET_TIMEOUT        The time limit of the dial passed.
 *   -ECONNREFUSED             Nobody listens at the address that failed last.
 *   -EADDRNOTAVAIL            No address has the family of `from`, or this machine does not have `from`.
 *   another errno             The address that failed last has this errno, such as -EHOSTUNREACH or -EMFILE.
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
 *   IOURINGNET_ADDRESS        `address` is not HOST:PORT, or `from` is not a number.
 *   IOURINGNET_INVALID        `address` is NULL, both `callback` and `op` are NULL, an option is out of its
 *                             range, or the options have a wrong size or a non-zero field that this version
 *                             does not know.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the send.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the send.
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
 *   IOURINGNET_CLOSED         connection_abort has ended the flush.
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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
 *                             before it.
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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
 *                             before it.
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
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the fill.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the fill, or connection_abort came
 *                             before it.
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
 * Stops a net without waiting. A thread of the library does what net_stop does. The callback is the net's
 * last.
 *
 * `callback`  Gets the completion on the callback thread of the net, after all other callbacks. NULL: no
 *             callback, and then `op` must not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * When the call returns, the net refuses new work with IOURINGNET_STOPPED. Its handles become bad soon after
 * the callback. The stop cannot be cancelled. A net_stop meanwhile waits for it and gets the same result.
 *
 * A net whose config says IOURINGNET_BY_CALLER stops while its thread is in net_dispatch.
 *
 * Owner:   At the completion, the caller owns all memory that it gave to the net. The caller releases the
 *          op. On failure `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         All accepted bytes went out.
 *   IOURINGNET_TIMEOUT        Accepted bytes were cut.
 * Returns:
 *   0                         The stop has begun. It completes exactly once.
 *   IOURINGNET_STOPPED        Another stop has begun.
 *   -EAGAIN                   There is no thread for the stop. The net goes on.
 *   IOURINGNET_LIMIT          The process has too many handles for an op. The net goes on.
 *   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own. Use
 *                             net_stop.
 * Since:   0.2
 */
iouringnet_status net_stop_async(iouringnet_net *net, iouringnet_callback callback, void *user,
    iouringnet_op **op);

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

/* ---- Watches ---- */

/**
 * Accepts every connection from now on, and calls a callback for each.
 *
 * `callback`  Called for each connection, and once more for the end.
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
 *   IOURINGNET_CANCELLED      Last call: listener_unwatch.
 *   IOURINGNET_CLOSED         Last call: listener_close.
 *   IOURINGNET_STOPPED        Last call: net_stop.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 * Returns:
 *   0                         The watch is armed.
 *   IOURINGNET_INVALID        `callback` is NULL.
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
 * Ends the watch of a listener with IOURINGNET_CANCELLED. After that last call, connections wait in the
 * kernel. If no watch is armed, the call does nothing.
 *
 * Owner:   Nothing changes its owner. The library uses the user pointer of the watch until its last call.
 * Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
 * Returns:
 *   0                         The end is requested, or there is no watch.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status listener_unwatch(iouringnet_listener *listener);

/**
 * Watches a connection: its bytes, room for posts, and its end.
 *
 * `sink`       NULL: only the stream is watched.
 * `stream`     NULL: only the sink is watched.
 * `callbacks`  What to call.
 * `user`       Passed to each callback.
 *
 *   callback  when the library calls it
 *   `data`    For every byte that the stream receives, until a last call with a status other than 0. Bytes
 *             that were buffered before come first. The next call shows the bytes that the callback did not
 *             consume again, joined with the bytes that arrive next.
 *   `room`    Once after each IOURINGNET_FULL, with 0, when half of `post_mark` is free again. If that moment
 *             was before this call, `room` is called at once. If the sink breaks while its handle is open,
 *             `room` gets the cause as its last call, even if the stream is paused and nothing is sent. After
 *             the handle is closed, no call begins.
 *   `end`     Exactly once, after all other callbacks. It comes when the given halves have been closed or
 *             aborted, by the program or by net_stop, accepted sends have gone out or are lost, and all
 *             callbacks of operations on these halves have returned. It does not wait for the peer to
 *             acknowledge or close. It comes before net_stop returns.
 *
 * After `end` the library does not use `user` for this watch, so the callback may free it there. Without
 * `end`, the library uses `user` until the last call of `data`, and until the sink is closed if there is
 * `room`.
 *
 * A half can have one callback of each kind. When `data` has had its last call, another call may arm a new
 * one. If such a call gives no `end`, the earlier `end` stays.
 *
 * Owner:   The library owns the bytes that `data` gets. They are valid until the callback returns, even if it
 *          closes the stream. The end of `data` closes nothing: the caller closes both halves, also inside
 *          a callback.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Calls:
 *   data:
 *   0                         There are bytes.
 *   IOURINGNET_EOF            Last call: the peer ended the stream.
 *   -ECONNRESET               Last call: the peer has reset the connection.
 *   another errno             Last call: the kernel failed.
 *   IOURINGNET_TIMEOUT        Last call: no byte moved for the connection's idle limit, or the stream's
 *                             deadline has passed; see connection_set_idle_timeout and stream_set_deadline.
 *   IOURINGNET_TOO_BIG        Last call: the callback left more than `buffer_max` bytes unconsumed.
 *   IOURINGNET_INVALID        Last call: the callback consumed more bytes than it was shown.
 *   IOURINGNET_CANCELLED      Last call: stream_unwatch.
 *   IOURINGNET_CLOSED         Last call: the stream was closed, or the connection was aborted.
 *   IOURINGNET_STOPPED        Last call: net_stop.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 *   room:
 *   0                         Half of `post_mark` is free again.
 *   IOURINGNET_TIMEOUT        Last call: posts were unsent, and no byte moved for the connection's idle limit.
 *   IOURINGNET_TORN           Last call: a send was cut after part of it went out.
 *   -ECONNRESET               Last call: the peer has reset the connection.
 *   another errno             Last call: the kernel refused a send.
 *   IOURINGNET_PANIC          Last call: a loop of the net has died.
 *   end:
 *   0                         The kernel took everything that was accepted, and the end of the stream. For a
 *                             stream alone: the stream was closed.
 *   IOURINGNET_CLOSED         connection_abort, and nothing had broken the sink before.
 *   IOURINGNET_STOPPED        net_stop has cut what was left. For a stream alone: net_stop.
 *   IOURINGNET_TIMEOUT        A limit of the drain, or the idle limit with posts unsent, has passed.
 *   IOURINGNET_TORN           A send was cut after part of it went out.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed. Or descriptors or memory ran short after both halves were
 *                             closed.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The watch is armed.
 *   IOURINGNET_INVALID        Both handles are NULL, all three callbacks are NULL, `data` has no stream, `room`
 *                             has no sink, the halves are of two connections, or `callbacks` is NULL or of a
 *                             wrong size.
 *   IOURINGNET_BUSY           A half has such a callback already, or receives are pending and `data` is given.
 *   IOURINGNET_CLOSED         The connection was aborted, or another thread has just closed a half.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BAD_HANDLE     `sink` is neither NULL nor an open sink, `stream` is neither NULL nor an open
 *                             stream, or the net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status connection_watch(iouringnet_sink *sink, iouringnet_stream *stream,
    const iouringnet_connection_callbacks *callbacks, void *user);

/**
 * Ends the data callback of a stream with IOURINGNET_CANCELLED. The rest of its connection_watch goes on.
 *
 * Inside that last call, a receive or another data callback may begin. Bytes that the callback did not
 * consume can still be received. If the stream has no data callback, the call does nothing.
 *
 * Owner:   Nothing changes its owner. The library uses the user pointer of the data callback until its last
 *          call.
 * Threads: Any thread, also inside a callback, the data callback included. Never blocks.
 * Returns:
 *   0                         The end is requested, or there is no data callback.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_unwatch(iouringnet_stream *stream);

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

/* ---- A program's own loop ---- */

/**
 * Runs the callbacks of a net whose config has `dispatch` = IOURINGNET_BY_CALLER, on this thread.
 *
 * `timeout_ms`  How long to wait if there is nothing to do, in milliseconds. 0: do not wait.
 *               IOURINGNET_NO_TIMEOUT: wait without a limit.
 *
 * The call does what there is to do when it begins, once: it runs each callback that is due, and goes on with
 * what waits. If there is nothing to do, it waits for the first event. A callback that begins an operation gets
 * the completion in a later call.
 *
 * Only the thread that has called net_start may call it. On this thread every blocking call on handles of the net
 * returns IOURINGNET_IN_CALLBACK, because it would wait for the thread itself. Exceptions: op_wait with timeout 0,
 * and net_stop outside of callbacks. Blocking calls of other threads work while this thread dispatches.
 *
 * If another thread calls net_stop, the next calls carry it out, until one returns IOURINGNET_STOPPED. If this thread
 * ends before the net is stopped, the net ends: its callbacks run on the ending thread, connections are reset, and
 * other threads get IOURINGNET_PANIC. Another thread then calls net_stop, which returns at once and closes the
 * descriptors and the handles of the net.
 *
 * Owner:   Nothing changes hands.
 * Threads: The thread that has called net_start for this net, but not inside a callback. Blocks.
 * Returns:
 *   0                         There was something to do, and it is done. Or net_wake has been called, or a
 *                             signal handler has run on this thread during the wait, or an op without a
 *                             callback is done.
 *   IOURINGNET_TIMEOUT        The time has passed, and there was nothing to do.
 *   IOURINGNET_STOPPED        The net has ended, because another thread called net_stop. The net's handle is
 *                             bad from now on, and its descriptor (net_fd) closes.
 *   IOURINGNET_INVALID        This thread has not started the net, `dispatch` of its config is not
 *                             IOURINGNET_BY_CALLER, or `timeout_ms` is below -1.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own. The
 *                             call ran the callbacks that were due. Every later call returns the same at once.
 * Since:   0.2
 */
iouringnet_status net_dispatch(iouringnet_net *net, int64_t timeout_ms);

/**
 * Wakes up net_dispatch: the present or the next call returns 0.
 *
 * It serves to tell the dispatching thread that a variable has changed. To bring work to that thread, use
 * net_call.
 *
 * Owner:   Nothing changes hands.
 * Threads: Any thread, also inside a callback and in a signal handler. Never blocks.
 * Returns:
 *   0                         The present or the next net_dispatch returns 0.
 *   IOURINGNET_INVALID        `dispatch` of the net's config is not IOURINGNET_BY_CALLER.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status net_wake(iouringnet_net *net);

/**
 * Gets a descriptor by which another loop learns that net_dispatch has something to do: one over epoll or poll(2), or
 * that of a library such as libuv or GLib.
 *
 * `fd`  Set to the descriptor on success.
 *
 * The descriptor is readable whenever net_dispatch with timeout 0 has something to do. This includes timers, a
 * stop by another thread and the death of a loop. It stays readable until net_dispatch has done it. Poll it for
 * input (POLLIN, EPOLLIN), level-triggered, and call net_dispatch with timeout 0 when it is readable. Do
 * nothing else with it: never read it and never close it.
 *
 * The call itself makes the descriptor readable once.
 *
 * Owner:   The library owns the descriptor. It closes it when net_stop returns on the dispatching thread, or when
 *          net_dispatch returns IOURINGNET_STOPPED. Until then it is the same one.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*fd` is the descriptor.
 *   IOURINGNET_INVALID        `fd` is NULL, or `dispatch` of the net's config is not IOURINGNET_BY_CALLER.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status net_fd(iouringnet_net *net, int *fd);

/* ---- Forwarding ---- */

/**
 * Sends what a stream receives to a sink, and waits for the end.
 *
 * `from`       The stream.
 * `to`         The sink, in the same net as `from`. It may be the sink of the same connection.
 * `size`       Number of bytes. 0: the call succeeds at once. IOURINGNET_ALL: everything up to the end of the
 *              stream.
 * `forwarded`  Set to the number of bytes that the kernel has taken from `to`, also on failure. NULL: not
 *              set.
 *
 * Buffered bytes go first. Sends and posts that `to` accepted before go out before them. At the end of the
 * stream `to` stays open: sink_close passes the end on.
 *
 * - A byte leaves `from` only when the kernel has taken it from `to`. Therefore no end of the forward loses a
 *   byte or tears a send: later receives get the bytes that were not forwarded, and `to` takes later sends.
 * - While the peer of `to` takes nothing, the library holds the peer of `from` back.
 * - The forward ends at once if `to` breaks, even if `from` receives nothing, and if `from` is reset, even if
 *   the library holds it back.
 * - Meanwhile other sends and posts on `to`, and receives, peeks, consumes and watches on `from`, return
 *   IOURINGNET_BUSY.
 * - The idle limits of both connections and stream_set_deadline bound a forward. stream_set_timeout and
 *   sink_set_timeout do not.
 * - The call does not tell whose status it returns. stream_forward_async does, by `side` of its completion.
 *
 * Owner:   The library owns the bytes. The caller owns both handles.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         All `size` bytes are sent. IOURINGNET_ALL: the peer of `from` ended its stream,
 *                             and everything before that is sent.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer of `from` or the peer of `to` has reset its connection.
 *   another errno             The kernel failed.
 *   IOURINGNET_TORN           An earlier send has broken `to`.
 *   IOURINGNET_TIMEOUT        The stream's deadline, or the idle limit of one of the two connections, has
 *                             passed. Or earlier posts have broken `to` so.
 *   IOURINGNET_CLOSED         A close or an abort on this side has ended the forward, or came before it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           On `from` a watch is armed, or another receive or forward is going on. Or `to`
 *                             has another forward.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight.
 *   IOURINGNET_INVALID        The two halves are of two nets.
 *   IOURINGNET_BAD_HANDLE     `from` is not an open stream, `to` is not an open sink, or their net has
 *                             stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_forward(iouringnet_stream *from, iouringnet_sink *to, size_t size,
    size_t *forwarded);

/**
 * Sends what a stream receives to a sink. It completes at the end.
 *
 * `from`      The stream.
 * `to`        The sink, in the same net as `from`. It may be the sink of the same connection.
 * `size`      Number of bytes. 0: the forward completes at once. IOURINGNET_ALL: everything up to the end of
 *             the stream.
 * `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *             not be NULL.
 * `user`      Passed to `callback`. The library never follows it.
 * `op`        Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * `bytes` of the completion is the number of bytes that the kernel has taken from `to`, whatever the status.
 * `side` says whose status it is: IOURINGNET_SIDE_FROM or IOURINGNET_SIDE_TO, and 0 for success,
 * IOURINGNET_CANCELLED, IOURINGNET_STOPPED and IOURINGNET_PANIC.
 *
 * Buffered bytes go first. Sends and posts that `to` accepted before go out before them. At the end of the
 * stream `to` stays open: sink_close passes the end on.
 *
 * - A byte leaves `from` only when the kernel has taken it from `to`. Therefore no end of the forward loses a
 *   byte or tears a send: later receives get the bytes that were not forwarded, and `to` takes later sends.
 * - While the peer of `to` takes nothing, the library holds the peer of `from` back.
 * - The forward ends at once if `to` breaks, even if `from` receives nothing, and if `from` is reset, even if
 *   the library holds it back.
 * - Meanwhile other sends and posts on `to`, and receives, peeks, consumes and watches on `from`, return
 *   IOURINGNET_BUSY.
 * - The idle limits of both connections and stream_set_deadline bound a forward. stream_set_timeout and
 *   sink_set_timeout do not.
 *
 * Owner:   The library owns the bytes. The caller owns both handles, and releases the op. On failure of the
 *          call `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         All `size` bytes are sent. IOURINGNET_ALL: the peer of `from` ended its stream,
 *                             and everything before that is sent.
 *   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
 *   -ECONNRESET               The peer of `from` or the peer of `to` has reset its connection.
 *   another errno             The kernel failed.
 *   IOURINGNET_TORN           An earlier send has broken `to`.
 *   IOURINGNET_TIMEOUT        The stream's deadline, or the idle limit of one of the two connections, has
 *                             passed. Or earlier posts have broken `to` so.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the forward.
 *   IOURINGNET_CLOSED         A close or an abort on this side has ended the forward, or came before it.
 *   IOURINGNET_STOPPED        net_stop has ended the forward.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The forward is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed one of the halves.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           On `from` a watch is armed, or another receive or forward is going on. Or `to`
 *                             has another forward.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        The two halves are of two nets, or both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `from` is not an open stream, `to` is not an open sink, or their net has
 *                             stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_forward_async(iouringnet_stream *from, iouringnet_sink *to, size_t size,
    iouringnet_callback callback, void *user, iouringnet_op **op);

/* ---- Lines ---- */

/**
 * Waits until a mark is buffered, such as the end of a line. stream_peek then shows the bytes before it.
 *
 * `mark`       The bytes to look for. The library copies them.
 * `mark_size`  Number of bytes of the mark. Range: 1 to 16.
 * `max`        Largest number of bytes to look at, with the mark. Range: `mark_size` to the config's
 *              `buffer_max`.
 * `size`       Set to the number of bytes up to the end of the first mark; 0 on failure. NULL: not set.
 *
 * The call takes no byte. stream_consume drops the line, and the next call finds the next one. More bytes
 * than `*size` may be buffered. The time limit of the stream covers the call; see stream_set_timeout. On
 * failure, the bytes that arrived stay buffered. A later call with the same mark does not look at them again,
 * unless bytes were consumed.
 *
 * Owner:   The library owns the buffer. The caller owns `mark`.
 * Threads: Any thread, but not inside a callback. Blocks.
 * Returns:
 *   0                         The first `*size` buffered bytes end with the mark.
 *   IOURINGNET_TOO_BIG        `max` bytes are buffered, and the mark is not among them.
 *   IOURINGNET_EOF            The peer ended the stream before a mark.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed. Later receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the call, or connection_abort came
 *                             before it.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight.
 *   IOURINGNET_INVALID        `mark` is NULL, `mark_size` or `max` is out of its range, or the net is
 *                             unbuffered.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_fill_until(iouringnet_stream *stream, const void *mark, size_t mark_size, size_t max,
    size_t *size);

/**
 * Completes when a mark is buffered, such as the end of a line. stream_peek then shows the bytes before it.
 *
 * `mark`       The bytes to look for. The library copies them during the call.
 * `mark_size`  Number of bytes of the mark. Range: 1 to 16.
 * `max`        Largest number of bytes to look at, with the mark. Range: `mark_size` to the config's
 *              `buffer_max`.
 * `callback`   Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
 *              not be NULL.
 * `user`       Passed to `callback`. The library never follows it.
 * `op`         Set to a new op before the callback can run. NULL: the call makes no op.
 *
 * `bytes` of the completion is the number of bytes up to the end of the first mark; 0 on failure. The
 * operation takes no byte. stream_consume drops the line, and the next call finds the next one. More bytes
 * may be buffered. The time limit of the stream covers the operation; see stream_set_timeout. On failure, the
 * bytes that arrived stay buffered. A later call with the same mark does not look at them again, unless bytes
 * were consumed.
 *
 * Owner:   The library owns the buffer. The caller owns `mark`, and releases the op. On failure of the call
 *          `*op` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Completion:
 *   0                         The first `bytes` buffered bytes end with the mark.
 *   IOURINGNET_TOO_BIG        `max` bytes are buffered, and the mark is not among them.
 *   IOURINGNET_EOF            The peer ended the stream before a mark.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel failed. Later receives get this errno too.
 *   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
 *   IOURINGNET_CANCELLED      op_cancel has cancelled the operation.
 *   IOURINGNET_CLOSED         stream_close or connection_abort has ended the operation, or connection_abort came
 *                             before it.
 *   IOURINGNET_STOPPED        net_stop has ended the operation.
 *   IOURINGNET_PANIC          A loop of the net has died.
 * Returns:
 *   0                         The operation is accepted. It completes exactly once.
 *   IOURINGNET_CLOSED         Another thread has just closed the stream.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_BUSY           A watch is armed.
 *   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
 *                             handles.
 *   IOURINGNET_INVALID        `mark` is NULL, `mark_size` or `max` is out of its range, the net is
 *                             unbuffered, or both `callback` and `op` are NULL.
 *   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status stream_fill_until_async(iouringnet_stream *stream, const void *mark, size_t mark_size,
    size_t max, iouringnet_callback callback, void *user, iouringnet_op **op);

/* ---- Buffers ---- */

/**
 * Makes a buffer of a copy of some bytes.
 *
 * `data`    The bytes. NULL is allowed if `size` is 0.
 * `size`    Number of bytes.
 * `buffer`  Set to the new buffer.
 *
 * A buffer belongs to no net. It may be made before the first net_start, and it outlives nets.
 *
 * Owner:   The caller owns `data` again when the call returns. The caller releases the buffer with
 *          iouringnet_buffer_release. On failure `*buffer` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*buffer` is a new buffer.
 *   -ENOMEM                   There is no memory for the copy.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or `buffer` is NULL.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status iouringnet_buffer_make(const void *data, size_t size, iouringnet_buffer **buffer);

/**
 * Makes a buffer of memory that the caller has, without a copy.
 *
 * `data`    The bytes. NULL is allowed if `size` is 0.
 * `size`    Number of bytes.
 * `free`    Frees the memory; see iouringnet_free_callback. Memory that needs no end has a function that does
 *           nothing. The library calls it exactly once if the call returns 0, and never otherwise.
 * `user`    Passed to `free`. The library never follows it.
 * `buffer`  Set to the new buffer.
 *
 * The memory may come from malloc, from mmap, or from anywhere else. A buffer belongs to no net. It may be
 * made before the first net_start, and it outlives nets.
 *
 * Owner:   The library owns the memory from a call that returns 0 until `free` begins. Nobody changes it
 *          meanwhile. The caller releases the buffer with iouringnet_buffer_release. On failure the caller
 *          owns the memory, and `*buffer` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*buffer` is a new buffer.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or `free` or `buffer`
 *                             is NULL.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status iouringnet_buffer_adopt(void *data, size_t size, iouringnet_free_callback free, void *user,
    iouringnet_buffer **buffer);

/**
 * Makes a buffer of a part of another buffer, without a copy.
 *
 * `offset`  Where the part begins, in bytes from the start of `buffer`.
 * `size`    Number of bytes of the part. 0 is allowed.
 * `slice`   Set to the new buffer.
 *
 * The slice and `buffer` share the memory. Each may be released first.
 *
 * Owner:   The caller releases the slice with iouringnet_buffer_release. On failure `*slice` is unchanged.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*slice` is a new buffer.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        The part is not within `buffer`, or `slice` is NULL.
 *   IOURINGNET_BAD_HANDLE     `buffer` is not an unreleased buffer.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status iouringnet_buffer_slice(iouringnet_buffer *buffer, size_t offset, size_t size,
    iouringnet_buffer **slice);

/**
 * Releases a buffer. The handle is invalid at once.
 *
 * What was posted of the buffer still goes out: sinks hold the memory by themselves. The memory of
 * iouringnet_buffer_adopt is freed when the buffer, its slices and all sinks have given it up, possibly in this
 * call. NULL and released handles do nothing.
 *
 * Owner:   The caller releases each buffer that it has received once, also after net_stop.
 * Threads: Any thread, also inside a callback. Never blocks, unless `free` of iouringnet_buffer_adopt does. In
 *          a forked child and inside a log callback it does nothing.
 * Returns: Nothing.
 * Since:   0.2
 */
void iouringnet_buffer_release(iouringnet_buffer *buffer);

/**
 * Sends a head and the bytes of a buffer as one, without waiting. The library does not copy the buffer.
 *
 * `head`       Bytes that go before the buffer, such as the header of a message. The library copies those that
 *              the kernel does not take at once. NULL is allowed if `head_size` is 0.
 * `head_size`  Number of bytes of `head`. 0: no head.
 * `buffer`     The bytes that follow.
 *
 * One buffer may be posted to any number of sinks, of any nets, and all of them share its one memory. If the
 * kernel does not take all bytes at once, the sink holds the memory until the kernel has the last of them.
 * Exception: the library copies a buffer of at most 1 KiB.
 *
 * The sink accepts head and buffer as a whole or not at all. Posts and sends of one sink share one order: the
 * order of the calls. Each sink counts unsent bytes of the buffer against its `post_mark`, and a post that waits
 * counts at least 256 bytes. If a post fails after the call, the connection's watch and every later call that sends
 * get the error. A post on a broken sink gets the first cause. The idle limit of the connection bounds posts; see
 * connection_set_idle_timeout.
 *
 * Owner:   The caller owns `head` again when the call returns, and still releases `buffer`, possibly at once.
 *          On failure the sink does not hold the buffer. net_stop returns after all sinks of its net have given
 *          their buffers up.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The library has accepted the bytes. They go out even if the sink is closed
 *                             next.
 *   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken. The sink's
 *                             watch reports when there is room.
 *   -ENOMEM                   There is no memory to copy a head of more than 16 KiB. Nothing was taken.
 *                             Exception: if part of the post had gone out, the sink is broken by this error.
 *   IOURINGNET_TORN           An earlier send was cut after part of it went out.
 *   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
 *                             sink.
 *   -ECONNRESET               The peer has reset the connection.
 *   another errno             The kernel refused this or an earlier send, which broke the sink.
 *   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_INVALID        `head` is NULL with a size, `head_size` is above PTRDIFF_MAX, or the sum of both
 *                             sizes is.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, its net has stopped, or `buffer` is not an unreleased
 *                             buffer.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status sink_post_buffer(iouringnet_sink *sink, const void *head, size_t head_size,
    iouringnet_buffer *buffer);

/* ---- Descriptors ---- */

/**
 * Makes a listener of a socket that already listens. The socket comes from socket activation, from another
 * process or from the program itself.
 *
 * `fd`        A TCP socket that listens, over IPv4 or IPv6.
 * `options`   Prepared with `iouringnet_bind_options_init`. NULL: all defaults. `backlog`, `reuse_port` and
 *             `ipv6_only` must be 0.
 * `listener`  Set to the new listener on success.
 *
 * Other processes may hold the socket and accept from it too. Therefore listener_close and net_stop close
 * the library's descriptor and do not shut the socket down: connections that wait in the kernel stay there
 * for the others. If nobody else holds the socket, the kernel resets them.
 *
 * The library sets O_NONBLOCK, SO_OOBINLINE, `nodelay`, `keepalive_ms` and both buffers on the socket. All
 * processes that hold the socket share these settings.
 *
 * Owner:   On success the descriptor is the library's, which may give it another number and closes it at an
 *          exec. On failure it is still the caller's, and the socket is unchanged. The caller owns `*options`,
 *          and closes the listener.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The listener is open.
 *   -EBADF, -ENOTSOCK         `fd` is not a descriptor, or not a socket.
 *   -EMFILE, -ENFILE          There are too few descriptors.
 *   another errno             The kernel refused a socket option. Other options may be set already.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `fd` is not a TCP socket, or it does not listen. Or `listener` is NULL, an
 *                             option is out of its range, or the options have a wrong size or a non-zero
 *                             field that this version does not know.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status listener_adopt(iouringnet_net *net, int fd, const iouringnet_bind_options *options,
    iouringnet_listener **listener);

/**
 * Makes the two halves of a connection of a socket that is already connected. The socket comes from another
 * process, for instance inetd, or from the program itself.
 *
 * `fd`      A connected TCP socket, over IPv4 or IPv6.
 * `sink`    Set to the half that sends, on success.
 * `stream`  Set to the half that receives, on success.
 *
 * The library sets O_NONBLOCK and SO_OOBINLINE, and leaves all other options as they are. The connection
 * ends as any other, also for other processes that hold the socket.
 *
 * Owner:   On success the descriptor is the library's, which may give it another number and closes it at an
 *          exec. The caller closes both halves. On failure the descriptor is still the caller's, and the
 *          socket, `*sink` and `*stream` are unchanged. Exception: if net_stop overtakes the call, the socket
 *          may not block any more, and the connection may have ended.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         The connection is open.
 *   -EBADF, -ENOTSOCK         `fd` is not a descriptor, or not a socket.
 *   -ENOTCONN                 The socket is not connected, or a reset has ended its connection.
 *   -EMFILE, -ENFILE          There are too few descriptors.
 *   another errno             The kernel refused a socket option. Other options may be set already.
 *   IOURINGNET_STOPPED        net_stop has begun.
 *   IOURINGNET_LIMIT          The process has too many handles.
 *   IOURINGNET_INVALID        `fd` is not a TCP socket, or it listens. Or `sink` or `stream` is NULL.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status connection_adopt(iouringnet_net *net, int fd, iouringnet_sink **sink,
    iouringnet_stream **stream);

/**
 * Gets the descriptor of a connection, for getsockopt and setsockopt alone.
 *
 * `fd`  Set to the descriptor on success.
 *
 * The program must not close the descriptor, send, receive, or wait for it. O_NONBLOCK and SO_OOBINLINE stay
 * as they are.
 *
 * Owner:   The library. The descriptor is valid until sink_close or net_stop.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*fd` is the descriptor.
 *   IOURINGNET_INVALID        `fd` is NULL.
 *   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status sink_fd(iouringnet_sink *sink, int *fd);

/**
 * Gets the descriptor of a listener, for getsockopt and setsockopt alone.
 *
 * `fd`  Set to the descriptor on success.
 *
 * The program must not close the descriptor, accept, or wait for it. O_NONBLOCK stays as it is. Connections
 * inherit options of their listener.
 *
 * Owner:   The library. The descriptor is valid until listener_close or net_stop.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `*fd` is the descriptor.
 *   IOURINGNET_INVALID        `fd` is NULL.
 *   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status listener_fd(iouringnet_listener *listener, int *fd);

/* ---- Statistics, addresses, versions, and what this system offers ---- */

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

/**
 * Gets what net_stats counts as text for Prometheus: the text exposition format, version 0.0.4, whose content
 * type is "text/plain; version=0.0.4".
 *
 * `buffer`  Set to the text and a zero byte. If it is too small, it gets the beginning and a zero byte.
 *           NULL if `size` is 0.
 * `size`    Bytes of `buffer`. 8192 are enough for the text of this version.
 * `needed`  Set to the length of the whole text, without the zero byte, whatever `size` is. 0 if there is no
 *           text. NULL: not wanted.
 *
 * The names begin with "iouringnet_", and those of counters end with "_total". A metric of a loop has the label
 * `loop`, with the value "send" or "recv". iouringnet_info has the engine and the version as labels. The length
 * does not depend on how much is open. A program with several nets serves the text of each at a path of its own,
 * because the texts have the same names.
 *
 * Owner:   The caller owns `buffer`. The library writes to it only during the call.
 * Threads: Any thread, also inside a callback. Never blocks.
 * Returns:
 *   0                         `buffer` has the whole text.
 *   IOURINGNET_TOO_BIG        The text and its zero byte need more than `size` bytes.
 *   IOURINGNET_INVALID        `buffer` is NULL, and `size` is not 0.
 *   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
 *   IOURINGNET_IN_CALLBACK    Inside a log callback.
 *   IOURINGNET_FORKED         In a child that was forked after the first net_start.
 *   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
 * Since:   0.2
 */
iouringnet_status net_metrics(iouringnet_net *net, char *buffer, size_t size, size_t *needed);

/**
 * Makes an address of a host and a port: "127.0.0.1:7000" or "[::1]:7000". net_dial and net_bind take the
 * address as text.
 *
 * `address`  Set to the address on success.
 * `host`     "127.0.0.1", "::1", "[::1]", "fe80::1%eth0" or a name.
 * `port`     0 to 65535.
 *
 * An IPv6 address gets brackets unless it has them. The call does not look a name up.
 *
 * Owner:   The caller owns `*address` and `host`; the library reads `host` only during the call. On failure
 *          `*address` is unchanged.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns:
 *   0                         `*address` has the address.
 *   IOURINGNET_ADDRESS        `host` is neither an address nor a well-formed name, or `port` is out of its
 *                             range.
 *   -ENAMETOOLONG             `host` is a name that does not fit into an iouringnet_address.
 *   -ENODEV                   There is no interface of the name after "%".
 *   IOURINGNET_INVALID        `address` or `host` is NULL.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.2
 */
iouringnet_status iouringnet_address_make(iouringnet_address *address, const char *host, int32_t port);

/**
 * Returns the errno that is nearest to a status, for a program that reports errors by errno.
 *
 * `status`  Any number.
 *
 *   `status`                     the result
 *   0                            0
 *   -1 to -4095                  `-status`
 *   a status of the library      the errno that the header names beside the status, such as ETIMEDOUT
 *   any other number             EINVAL
 *
 * Several statuses have the same errno. Branch on the status.
 *
 * Owner:   Nothing changes its owner.
 * Threads: Any thread, also inside a callback and in a forked child. Never blocks.
 * Returns: The errno, which is not negative.
 * Since:   0.2
 */
int32_t iouringnet_errno(iouringnet_status status);

/**
 * Zeroes a struct and stores its size. The iouringnet_..._init macros call it with the size that the
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
 * Finds out whether net_start can start a net with the default config here, and whether the net gets
 * io_uring. If it does not, the result has the cause and the remedy. The cause is a sysctl, a seccomp filter,
 * a kernel that is too old, or a limit on locked memory, descriptors or threads.
 *
 * `result`  Prepared with `iouringnet_probe_result_init`. The library fills it in if it returns 0.
 *
 * The probe starts two threads and then makes two rings, as net_start does. Nothing of them is left when it
 * returns. If the environment variable IOURINGNET_ENGINE is "epoll", the probe does not try io_uring.
 *
 * Owner:   The caller owns `*result`.
 * Threads: Any thread, also inside a callback and in a forked child. Takes about a millisecond. It waits up
 *          to 0.5 s for locked memory that other nets of the user hold or have just given back, or 2.5 s if
 *          IOURINGNET_ENGINE is "io_uring".
 * Returns:
 *   0                         The library has looked. `result->status` is what it has found.
 *   IOURINGNET_INVALID        `result` is NULL, or its size is wrong.
 *   IOURINGNET_PANIC          The library met a fault of its own.
 * Since:   0.1
 */
iouringnet_status iouringnet_probe(iouringnet_probe_result *result);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif
