#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A net: start, stop, what it has done, and the functions that make connections and timers on it.

use super::config::*;
use super::types::*;
use super::versioned::{Output, read_struct};
use super::{Notify, guard, guard_blocking, handles, required, span, submit, text};
use crate::completion::Tell;
use crate::net::{Config, Net};
use crate::open;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Starts a net: two io_uring event loops on two threads of their own.
///
/// `config`  how it is to be, read during the call only; NULL: all defaults.
/// `net`     is set to the new net, which is the caller's to stop.
///
/// On failure `*net` is unchanged and nothing is left behind.
///
/// Threads: Any thread, callbacks too; takes about a millisecond, and both rings exist when it returns. Waits for
///          locked memory that other nets of the user hold or have given back just now, for 2.5 s at most.
/// Returns: IOURINGNET_UNAVAILABLE: no io_uring here, ask iouringnet_probe. IOURINGNET_LOCKED_MEMORY: the user's
///          limit on locked memory leaves no room for two small rings. IOURINGNET_INVALID: `net` is NULL, or a
///          field of the config is out of its range or of a version that this library does not know. -EMFILE,
///          -ENFILE, -EAGAIN, -ENOMEM: descriptors, threads or memory are short. IOURINGNET_FORKED.
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
            // Nothing runs on it yet, so there is nothing to tell.
            let _ = started.stop();
        })?;
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { net.write(handle) };
        Ok(())
    })
}

/// Stops a net and ends its two threads.
///
/// New work is refused with IOURINGNET_STOPPED; timers, dials, accepts, receives and their watches end at once
/// with it. Connections are closed as by sink_close and stream_close: what was accepted goes out, within the
/// config's `shutdown_timeout_ms`; then the rest is reset. A peer that has everything and keeps its own side
/// open is waited for as after stream_close, for the config's `linger_ms`. Every outstanding callback runs
/// before this returns, and none afterwards. From then on every handle of the net is IOURINGNET_BAD_HANDLE and
/// all memory that was given to it is the caller's again; only ops keep their results until they are released.
///
/// Of several callers at a time each gets the one result.
///
/// Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: IOURINGNET_TIMEOUT: it has stopped, but accepted bytes had to be cut off. IOURINGNET_BAD_HANDLE:
///          no net, or one that has stopped.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_stop(net: *mut iouringnet_net) -> iouringnet_status {
    guard_blocking(|| {
        let net = handles::share(net)?;
        let result = net.stop();
        handles::retire_all(&net);
        result
    })
}

/// Tells what a net has done so far, and how much it holds now.
///
/// `stats`  prepared with `iouringnet_stats_init`; filled in on success.
///
/// The counters only grow; they are read one by one while the loops run, so they need not fit together to the
/// last one.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: `stats` is NULL or its size wrong. IOURINGNET_BAD_HANDLE.
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
        });
        Ok(())
    })
}

/// Runs a callback on the net's callback thread, now or later: a timer, and a way to bring work to that
/// thread.
///
/// `delay_ms`  milliseconds to wait, at least 0.
/// `callback`  is told status 0 when the time has come, IOURINGNET_CANCELLED or IOURINGNET_STOPPED. May be
///             NULL where `op` is not.
/// `user`      handed to the callback.
/// `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
///
/// Runs once. Calls with the same delay run in the order in which they were made.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: a negative delay, or neither callback nor op. IOURINGNET_LIMIT:
///          `max_operations` are in flight. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
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

/// Connects to an address and waits for it.
///
/// `address`  "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000" or "name:7000". The library reads a name's
///            addresses from /etc/hosts, or else asks getaddrinfo, and tries them one after the other.
/// `options`  the time limit; NULL: the config's `dial_timeout_ms`.
/// `sink`     is set to the sending half, `stream` to the receiving half. Each is the caller's to close.
///
/// On failure both are unchanged.
///
/// Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: IOURINGNET_INVALID: the address cannot be read, or a pointer is NULL. IOURINGNET_NAME: there is
///          no such name; IOURINGNET_NAME_AGAIN: it could not be looked up now. IOURINGNET_TIMEOUT;
///          -ECONNREFUSED and other errnos of connecting, from the last address tried; IOURINGNET_STOPPED,
///          IOURINGNET_BAD_HANDLE. IOURINGNET_LIMIT: too many operations are in flight, or too many names wait
///          to be looked up; -EAGAIN: there is no thread to look one up.
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
        let (timeout, address) = unsafe { (dial_timeout(options)?, text(address)?) };
        let net = handles::share(net)?;
        let pair = handles::publish_pair(open::dial(&net, address, timeout)?, &net)?;
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*sink, *stream) = pair };
        Ok(())
    })
}

/// Connects to an address; the completion brings the connection.
///
/// `address`   as for net_dial; read during the call only.
/// `options`   as for net_dial; read during the call only.
/// `callback`  is told the result, with `sink` and `stream` from then on the callback's to close. May be NULL
///             where `op` is not.
/// `user`      handed to the callback.
/// `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
///             Without a callback the first op_wait that is given a completion receives the connection; if
///             the op is released before, the connection is closed.
///
/// Threads: Any thread, callbacks too; never blocks: getaddrinfo runs on threads of the library.
/// Returns: The completion brings the errors of net_dial, or IOURINGNET_CANCELLED. Refused with
///          IOURINGNET_INVALID, -ENODEV (no such interface), IOURINGNET_LIMIT (too many operations in flight,
///          or too many names to look up), -EAGAIN (no thread to look one up), IOURINGNET_STOPPED or
///          IOURINGNET_BAD_HANDLE, the callback never runs and `*op` is unchanged.
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
        let (timeout, address) = unsafe { (dial_timeout(options)?, text(address)?) };
        let net = handles::share(net)?;
        let start = |tell: Tell<'_>| open::dial_async(&net, address, timeout, tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(&net, Notify { callback, user, op }, start) }
    })
}

/// Binds an address and listens on it.
///
/// `address`   as for net_dial; port 0 binds a free one, which listener_address tells. Of a name the first
///             address that can be bound is taken. getaddrinfo runs on the calling thread.
/// `options`   backlog and port sharing, read during the call only; NULL: the defaults. SO_REUSEADDR is
///             always on.
/// `listener`  is set to the listener, which is the caller's to close.
///
/// On failure `*listener` is unchanged. Connections wait in the kernel until they are accepted.
///
/// Threads: Any thread. Blocks to look up a name, and a name is therefore refused inside a callback
///          (IOURINGNET_IN_CALLBACK). Where descriptors are short it waits up to 0.1 s for that of a closed
///          connection; inside a callback it does not wait.
/// Returns: IOURINGNET_INVALID; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES and other errnos; IOURINGNET_NAME,
///          IOURINGNET_NAME_AGAIN, IOURINGNET_STOPPED, IOURINGNET_LIMIT, IOURINGNET_BAD_HANDLE.
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
