#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A net: start, stop, statistics, and the functions that make connections, listeners and timers.

use super::config::{core_config, iouringnet_config};
use super::library::engine_number;
use super::options::*;
use super::types::*;
use super::versioned::{Output, read_struct};
use super::{Notify, guard, guard_blocking, handles, required, span, submit, submit_connection, text};
use crate::completion::Tell;
use crate::config::Config;
use crate::net::Net;
use crate::open;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Starts a net: two event loops over io_uring, each on a thread of its own. Both rings exist when the call
/// returns. If `dispatch` of the config is IOURINGNET_BY_CALLER, the calling thread runs one of the two loops.
/// If the system refuses io_uring, both loops use epoll; see `engine` of iouringnet_config.
///
/// `config`  Prepared with `iouringnet_config_init`. NULL: all defaults.
/// `net`     Set to the new net on success.
///
/// Owner:   The caller owns `*config`; the library reads it only during the call. The caller stops the new
///          net with net_stop. On failure `*net` is unchanged, and nothing is left behind.
/// Threads: Any thread, also inside a callback unless `dispatch` of the config is IOURINGNET_BY_CALLER. Takes
///          about a millisecond. It waits up to 0.5 s for locked
///          memory that other nets of the user hold or have just given back, or 2.5 s if io_uring is demanded.
/// Returns:
///   0                         The net has started.
///   IOURINGNET_UNAVAILABLE    io_uring is demanded, and cannot be used here. iouringnet_probe has the cause.
///   IOURINGNET_LOCKED_MEMORY  io_uring is demanded, and the limit on locked memory leaves no room for two
///                             rings of the smallest size.
///   -EMFILE, -ENFILE          There are too few descriptors.
///   -EAGAIN                   There are too few threads.
///   -ENOMEM                   There is too little memory.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        `net` is NULL, the size of the config is wrong, a field is out of its range, a
///                             CPU does not exist, or the config has a non-zero field that this version does
///                             not know.
///   IOURINGNET_IN_CALLBACK    Inside a log callback. Inside any callback, if `dispatch` of the config is
///                             IOURINGNET_BY_CALLER.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_start(
    config: *const iouringnet_config,
    net: *mut *mut iouringnet_net,
) -> iouringnet_status {
    guard(|| {
        required(net)?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let config =
            if config.is_null() { Config::default() } else { core_config(&unsafe { read_struct(config) }?)? };
        let started = Net::start(config)?;
        let handle = handles::publish(Arc::clone(&started), &started).inspect_err(|_| {
            // Nothing runs on the net yet, so its result tells nothing.
            let _ = started.stop();
        })?;
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { net.write(handle) };
        Ok(())
    })
}

/// Stops a net and ends its two threads. The call does this in order:
///
/// 1. It refuses new work with IOURINGNET_STOPPED. After one call has returned this status, no later
///    operation or post is accepted.
/// 2. It ends timers, dials, accepts, receives and their watches with IOURINGNET_STOPPED at once.
/// 3. It closes both halves of every connection. Accepted bytes go out within the config's
///    `shutdown_timeout_ms`. Within the same time, a peer that has everything has `linger_ms` to end its
///    side.
/// 4. It resets the connections that are left. Sends that are cut get IOURINGNET_STOPPED.
/// 5. It waits for every outstanding callback, and ends both threads.
///
/// No callback of the net runs after the call. If several threads stop a net at the same time, all get the
/// same result.
///
/// If `dispatch` of the net's config is IOURINGNET_BY_CALLER, a call on the dispatching thread runs the callbacks
/// that are left. A call on another thread waits until the dispatching thread has done so in net_dispatch. If
/// sends left by io_uring, the kernel may then interrupt one later wait of the dispatching thread, as a signal
/// does: epoll_wait(2) fails with EINTR.
///
/// Owner:   After the call, the caller owns all memory that it gave to the net, and every handle of the net
///          is bad. Exception: ops keep their results until they are released.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The net has stopped, and all accepted bytes went out.
///   IOURINGNET_TIMEOUT        The net has stopped, and accepted bytes were cut.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_stop(net: *mut iouringnet_net) -> iouringnet_status {
    guard_blocking(|| {
        let net = handles::share(net)?;
        let result = net.stop();
        handles::retire_all(&net);
        handles::wait_for_signals();
        result
    })
}

/// Stops a net without waiting. A thread of the library does what net_stop does. The callback is the net's
/// last.
///
/// `callback`  Gets the completion on the callback thread of the net, after all other callbacks. NULL: no
///             callback, and then `op` must not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// When the call returns, the net refuses new work with IOURINGNET_STOPPED. Its handles become bad soon after
/// the callback. The stop cannot be cancelled. A net_stop meanwhile waits for it and gets the same result.
///
/// A net whose config says IOURINGNET_BY_CALLER stops while its thread is in net_dispatch.
///
/// Owner:   At the completion, the caller owns all memory that it gave to the net. The caller releases the
///          op. On failure `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         All accepted bytes went out.
///   IOURINGNET_TIMEOUT        Accepted bytes were cut.
/// Returns:
///   0                         The stop has begun. It completes exactly once.
///   IOURINGNET_STOPPED        Another stop has begun.
///   -EAGAIN                   There is no thread for the stop. The net goes on.
///   IOURINGNET_LIMIT          The process has too many handles for an op. The net goes on.
///   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own. Use
///                             net_stop.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_stop_async(
    net: *mut iouringnet_net,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard(|| {
        let net = Arc::clone(&*handles::share(net)?);
        let stopping = Arc::clone(&net);
        let stopped = move || {
            handles::retire_all(&stopping);
            handles::wait_for_signals();
        };
        let start = |tell: Tell<'_>| net.stop_async(tell, stopped);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(&net, Notify { callback, user, op }, start) }
    })
}

/// Gets what a net has done so far, and what it holds now.
///
/// `stats`  Prepared with `iouringnet_stats_init`. Filled in on success.
///
/// Counters of events only grow. The library reads the counters one by one while the loops run. Therefore
/// they may differ by what happens meanwhile.
///
/// Owner:   The caller owns `*stats`.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*stats` is filled in.
///   IOURINGNET_INVALID        `stats` is NULL, or its size is wrong.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_stats(
    net: *mut iouringnet_net,
    stats: *mut iouringnet_stats,
) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let output = unsafe { Output::new(stats) }?;
        let stats = handles::share(net)?.stats();
        output.write(&iouringnet_stats {
            size: 0,
            send_enters: stats.send_enters,
            send_entries: stats.send_entries,
            send_completions: stats.send_completions,
            send_wakes: stats.send_wakes,
            recv_enters: stats.recv_enters,
            recv_entries: stats.recv_entries,
            recv_completions: stats.recv_completions,
            recv_wakes: stats.recv_wakes,
            callbacks: stats.callbacks,
            connections: stats.connections,
            listeners: stats.listeners,
            operations: stats.operations,
            accept_errors: stats.accept_errors,
            drains_timed_out: stats.drains_timed_out,
            drains_shed: stats.drains_shed,
            engine: engine_number(Some(stats.engine)).into(),
        });
        Ok(())
    })
}

/// Runs a callback once on the callback thread of the net, after a delay. It serves as a timer, and it brings
/// work to that thread.
///
/// `delay_ms`  Milliseconds, at least 0. The callback never runs before the delay has passed.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// Calls with the same delay run in the order in which they were made.
///
/// Owner:   The caller releases the op. On failure `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The delay has passed.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the call.
///   IOURINGNET_STOPPED        net_stop has ended the call.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The call is accepted. It completes exactly once.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `delay_ms` is negative, or both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_call(
    net: *mut iouringnet_net,
    delay_ms: i64,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard(|| {
        let delay = span(delay_ms)?;
        let net = handles::share(net)?;
        let start = |tell: Tell<'_>| open::call(&net, delay, tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(&net, Notify { callback, user, op }, start) }
    })
}

/// Connects to an address, and waits for the connection.
///
/// `address`  "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000".
/// `options`  Prepared with `iouringnet_dial_options_init`. NULL: all defaults.
/// `sink`     Set to the half that sends, on success.
/// `stream`   Set to the half that receives, on success.
///
/// The library takes the addresses of a name from /etc/hosts. If that file does not have the name, the
/// library asks getaddrinfo. The addresses of a name race: the two families take turns, and the library tries
/// the next address when one has failed, or 250 ms after the one before it. The first one to connect wins.
/// One time limit covers the lookup and all addresses.
///
/// Owner:   The caller owns `address` and `*options`; the library reads them only during the call. The caller
///          closes both halves. On failure `*sink` and `*stream` are unchanged.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The connection is open.
///   IOURINGNET_TIMEOUT        The time limit of the dial passed.
///   -ECONNREFUSED             Nobody listens at the address that failed last.
///   another errno             The address that failed last has this errno, such as -EHOSTUNREACH or -EMFILE.
///   -EADDRNOTAVAIL            No address has the family of `from`, or this machine does not have `from`.
///   -ENODEV                   There is no interface of the name after "%".
///   IOURINGNET_NAME           The name is not known.
///   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
///   -EAGAIN                   There is no thread to look up the name.
///   IOURINGNET_STOPPED        net_stop has begun. If it overtakes the dial, the peer may see a connection
///                             open and close.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, 1,024 names wait to be looked up,
///                             or the process has too many handles.
///   IOURINGNET_ADDRESS        `address` is not HOST:PORT, or `from` is not a number.
///   IOURINGNET_INVALID        `address`, `sink` or `stream` is NULL, an option is out of its range, or the
///                             options have a wrong size or a non-zero field that this version does not know.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_dial(
    net: *mut iouringnet_net,
    address: *const c_char,
    options: *const iouringnet_dial_options,
    sink: *mut *mut iouringnet_sink,
    stream: *mut *mut iouringnet_stream,
) -> iouringnet_status {
    guard_blocking(|| {
        required(sink)?;
        required(stream)?;
        // SAFETY: the caller passes NULL or options, and a text, that stay as they are during the call.
        let (options, address) = unsafe { (dial_options(options)?, text(address)?) };
        let net = handles::share_to_wait(net)?;
        let pair = handles::publish_pair(open::dial(&net, address, &options)?, &net)?;
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*sink, *stream) = pair };
        Ok(())
    })
}

/// Connects to an address. The completion has the connection.
///
/// `address`   "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000".
/// `options`   Prepared with `iouringnet_dial_options_init`. NULL: all defaults.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The library takes the addresses of a name from /etc/hosts. If that file does not have the name, a thread
/// of the library asks getaddrinfo. The addresses of a name race: the two families take turns, and the library
/// tries the next address when one has failed, or 250 ms after the one before it. The first one to connect
/// wins. One time limit covers the lookup and all addresses.
///
/// Owner:   The caller owns `address` and `*options`; the library reads them only during the call. With a
///          callback, the callback receives the connection and closes both halves. Without one, the first
///          op_wait that fills in a completion receives it; later ones get NULL. If nobody receives it,
///          op_release or net_stop closes it. The caller releases the op. On failure `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The connection is open: `sink` and `stream` of the completion.
///   IOURINGNET_TIMEOUT        The time limit of the dial passed.
///   -ECONNREFUSED             Nobody listens at the address that failed last.
///   -EADDRNOTAVAIL            No address has the family of `from`, or this machine does not have `from`.
///   another errno             The address that failed last has this errno, such as -EHOSTUNREACH or -EMFILE.
///   IOURINGNET_NAME           The name is not known.
///   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the dial.
///   IOURINGNET_STOPPED        net_stop has ended the dial, or has closed a connection that nobody received.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The dial is accepted. It completes exactly once.
///   -ENODEV                   There is no interface of the name after "%".
///   -EAGAIN                   There is no thread to look up the name.
///   IOURINGNET_STOPPED        net_stop has begun. If it overtakes the dial, the peer may see a connection
///                             open and close.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, 1,024 names wait to be looked up,
///                             or the process has too many handles.
///   IOURINGNET_ADDRESS        `address` is not HOST:PORT, or `from` is not a number.
///   IOURINGNET_INVALID        `address` is NULL, both `callback` and `op` are NULL, an option is out of its
///                             range, or the options have a wrong size or a non-zero field that this version
///                             does not know.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_dial_async(
    net: *mut iouringnet_net,
    address: *const c_char,
    options: *const iouringnet_dial_options,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller passes NULL or options, and a text, that stay as they are during the call.
        let (options, address) = unsafe { (dial_options(options)?, text(address)?) };
        let net = handles::share(net)?;
        let start = |tell: Tell<'_>| open::dial_async(&net, address, &options, tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit_connection`.
        unsafe { submit_connection(&net, Notify { callback, user, op }, start) }
    })
}

/// Binds an address and listens on it. Connections wait in the kernel until they are accepted.
///
/// `address`   "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000". Port 0 binds a free
///             port, and listener_address returns it.
/// `options`   Prepared with `iouringnet_bind_options_init`. NULL: all defaults.
/// `listener`  Set to the new listener on success.
///
/// The library takes the addresses of a name from /etc/hosts, or else from getaddrinfo, which runs on the
/// calling thread. It binds the first address that can be bound, and no other: "localhost:7000" is ::1 alone if
/// /etc/hosts has ::1 for localhost, and otherwise 127.0.0.1 alone. SO_REUSEADDR is always on.
///
/// "[::]:7000" accepts IPv4 connections too, unless the option `ipv6_only` refuses them. Their peers have
/// addresses like "[::ffff:127.0.0.1]:40000". "0.0.0.0:7000" accepts IPv4 alone. The port is a number: the library
/// knows no names of services.
///
/// Owner:   The caller owns `address` and `*options`; the library reads them only during the call. The caller
///          closes the listener. On failure `*listener` is unchanged.
/// Threads: Any thread, also inside a callback. A name blocks for its lookup; therefore a name is refused
///          inside a callback. If descriptors or memory run short, the call waits for a closed connection to
///          end, up to 0.1 s for each of its two descriptors. Inside a callback it does not wait.
/// Returns:
///   0                         The listener is open.
///   -EADDRINUSE               The address is in use.
///   -EADDRNOTAVAIL            This machine does not have the address.
///   -EACCES                   The process may not bind the port.
///   another errno             The kernel refused the bind, for instance with -EMFILE.
///   -ENODEV                   There is no interface of the name after "%".
///   IOURINGNET_NAME           The name is not known.
///   IOURINGNET_NAME_AGAIN     The name cannot be looked up now.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_ADDRESS        `address` is not HOST:PORT.
///   IOURINGNET_INVALID        `address` or `listener` is NULL, an option is out of its range, or the options
///                             have a wrong size or a non-zero field that this version does not know.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net, and the address has a name. Or inside a log
///                             callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_bind(
    net: *mut iouringnet_net,
    address: *const c_char,
    options: *const iouringnet_bind_options,
    listener: *mut *mut iouringnet_listener,
) -> iouringnet_status {
    guard(|| {
        required(listener)?;
        // SAFETY: the caller passes NULL or options, and a text, that stay as they are during the call.
        let (options, address) = unsafe { (bind_options(options)?, text(address)?) };
        let net = handles::share(net)?;
        let bound = open::bind(&net, address, options)?;
        let handle = handles::publish(Arc::clone(&bound), &net).inspect_err(|_| bound.close())?;
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { listener.write(handle) };
        Ok(())
    })
}
