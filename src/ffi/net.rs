#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A net: start, stop, what it has done, and the functions that make connections and timers on it.

use super::types::*;
use super::{Notify, guard, guard_blocking, handles, limit, log, required, span, submit, text};
use crate::completion::Tell;
use crate::error::{Error, Result};
use crate::net::{Config, DrainTimeout, Net};
use crate::open::{self, BindOptions};
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

/// Least and most entries of a ring.
const RING_ENTRIES: std::ops::RangeInclusive<u32> = 8..=32768;
/// Largest buffer for received bytes, 1 GiB.
const LARGEST_BUFFER: usize = 1 << 30;
/// Longest spin in microseconds.
const LONGEST_SPIN_US: i64 = 1000;

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

/// The time limit of a dial: `None` is the config's.
///
/// # Safety
/// - `options` is NULL or a struct of the size that it says.
unsafe fn dial_timeout(options: *const iouringnet_dial_options) -> Result<Option<Option<Duration>>> {
    if options.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so the caller promises the rest.
    let options = unsafe { read_struct(options) }?;
    nonzero(options.timeout_ms).map(limit).transpose()
}

/// # Safety
/// - `options` is NULL or a struct of the size that it says.
unsafe fn bind_options(options: *const iouringnet_bind_options) -> Result<BindOptions> {
    if options.is_null() {
        return Ok(BindOptions { backlog: 0, reuse_port: false });
    }
    // SAFETY: not NULL, so the caller promises the rest.
    let options = unsafe { read_struct(options) }?;
    Ok(BindOptions { backlog: options.backlog, reuse_port: switch(options.reuse_port)?.unwrap_or(false) })
}

/// A field that was set: zero means the default.
fn nonzero<T: Default + PartialEq>(field: T) -> Option<T> {
    (field != T::default()).then_some(field)
}

/// A switch that was set.
fn switch(field: u32) -> Result<Option<bool>> {
    match field {
        0 => Ok(None),
        IOURINGNET_ON => Ok(Some(true)),
        IOURINGNET_OFF => Ok(Some(false)),
        _ => Err(Error::INVALID),
    }
}

/// The core's form of a config. What is zero keeps the core's default.
fn core_config(config: &iouringnet_config) -> Result<Config> {
    let mut core = Config::default();
    if let Some(entries) = nonzero(config.ring_entries) {
        core.ring_entries =
            if RING_ENTRIES.contains(&entries) { entries } else { return Err(Error::INVALID) };
    }
    if let Some(operations) = nonzero(config.max_operations) {
        core.max_operations = operations;
    }
    if config.nodelay == IOURINGNET_SYSTEM {
        core.nodelay = None;
    } else if let Some(on) = switch(config.nodelay)? {
        core.nodelay = Some(on);
    }
    if let Some(on) = switch(config.first_try)? {
        core.first_try = on;
    }
    sizes(config, &mut core)?;
    times(config, &mut core)?;
    core.send_cpu = cpu(config.send_cpu)?;
    core.recv_cpu = cpu(config.recv_cpu)?;
    core.log = log::log(config.log, config.log_user, config.log_level)?;
    if config.reserved == 0 { Ok(core) } else { Err(Error::INVALID) }
}

/// The fields that count bytes.
fn sizes(config: &iouringnet_config, core: &mut Config) -> Result {
    let at_most = |size: usize, most: usize| if size <= most { Ok(size) } else { Err(Error::INVALID) };
    core.send_buffer = at_most(config.send_buffer, i32::MAX as usize)?;
    core.recv_buffer = at_most(config.recv_buffer, i32::MAX as usize)?;
    match config.read_buffer {
        0 => {}
        IOURINGNET_UNBUFFERED => core.read_buffer = 0,
        size => core.read_buffer = at_most(size, LARGEST_BUFFER)?,
    }
    if let Some(size) = nonzero(config.buffer_max) {
        core.buffer_max = at_most(size, LARGEST_BUFFER)?;
    }
    if let Some(size) = nonzero(config.post_mark) {
        core.post_mark = at_most(size, isize::MAX as usize)?;
    }
    Ok(())
}

/// The fields that measure time.
fn times(config: &iouringnet_config, core: &mut Config) -> Result {
    if let Some(ms) = nonzero(config.keepalive_ms) {
        core.keepalive = limit(ms)?;
    }
    if let Some(ms) = nonzero(config.timeout_ms) {
        core.timeout = limit(ms)?;
    }
    if let Some(ms) = nonzero(config.dial_timeout_ms) {
        core.dial_timeout = limit(ms)?;
    }
    if let Some(ms) = nonzero(config.close_timeout_ms) {
        core.close_timeout = limit(ms)?.unwrap_or(Duration::MAX);
    }
    if let Some(ms) = nonzero(config.drain_timeout_ms) {
        core.drain_timeout = limit(ms)?.map_or(DrainTimeout::Never, DrainTimeout::After);
    }
    match config.linger_ms {
        0 => {}
        IOURINGNET_NO_LINGER => core.linger = Duration::ZERO,
        ms => core.linger = span(ms)?,
    }
    if let Some(ms) = nonzero(config.shutdown_timeout_ms) {
        core.shutdown_timeout = limit(ms)?.unwrap_or(Duration::MAX);
    }
    match config.spin_us {
        0 => {}
        IOURINGNET_NO_SPIN => core.spin = Duration::ZERO,
        us @ 1..=LONGEST_SPIN_US => core.spin = Duration::from_micros(us.unsigned_abs()),
        _ => return Err(Error::INVALID),
    }
    Ok(())
}

/// A CPU as IOURINGNET_CPU gives it; zero is any.
fn cpu(field: i32) -> Result<Option<usize>> {
    let number = usize::try_from(field).map_err(|_| Error::INVALID)?;
    Ok(number.checked_sub(1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The core's form of a config of which one field was set.
    fn with(set: impl FnOnce(&mut iouringnet_config)) -> Result<Config> {
        // SAFETY: numbers, a pointer and an optional function, for all of which zeroes are valid.
        let mut config: iouringnet_config = unsafe { std::mem::zeroed() };
        set(&mut config);
        core_config(&config)
    }

    #[test]
    fn a_field_of_zero_has_the_default_that_the_header_names() {
        let core = with(|_| {}).unwrap();
        assert_eq!((core.ring_entries, core.max_operations), (256, 65536));
        assert_eq!((core.nodelay, core.first_try, core.keepalive), (Some(true), true, None));
        assert_eq!((core.send_buffer, core.recv_buffer), (0, 0));
        assert_eq!((core.read_buffer, core.buffer_max, core.post_mark), (64 << 10, 1 << 20, 1 << 20));
        assert_eq!((core.timeout, core.dial_timeout), (None, Some(Duration::from_secs(10))));
        assert_eq!(core.close_timeout, Duration::from_secs(30));
        assert_eq!(core.shutdown_timeout, Duration::from_secs(5));
        assert_eq!(core.spin, Duration::from_micros(50));
        assert_eq!((core.send_cpu, core.recv_cpu, core.log.is_none()), (None, None, true));
    }

    #[test]
    fn each_time_is_the_field_of_its_name() {
        type Field = fn(&mut iouringnet_config) -> &mut i64;
        type Time = fn(&Config) -> Option<Duration>;
        let fields: [(Field, Time, Option<Duration>); 5] = [
            (|config| &mut config.keepalive_ms, |core| core.keepalive, None),
            (|config| &mut config.timeout_ms, |core| core.timeout, None),
            (|config| &mut config.dial_timeout_ms, |core| core.dial_timeout, None),
            (|config| &mut config.close_timeout_ms, |core| Some(core.close_timeout), Some(Duration::MAX)),
            (
                |config| &mut config.shutdown_timeout_ms,
                |core| Some(core.shutdown_timeout),
                Some(Duration::MAX),
            ),
        ];
        for (index, (field, _, for_ever)) in fields.iter().enumerate() {
            let set = |ms: i64| with(|config| *field(config) = ms).unwrap();
            let defaults = Config::default();
            for (other, (_, time, _)) in fields.iter().enumerate() {
                let wanted = |set: Option<Duration>| if other == index { set } else { time(&defaults) };
                assert_eq!(time(&set(1234)), wanted(Some(Duration::from_millis(1234))), "{index} {other}");
                assert_eq!(time(&set(-1)), wanted(*for_ever), "{index} {other}");
            }
            assert_eq!(with(|config| *field(config) = -2).err(), Some(Error::INVALID));
        }
    }

    #[test]
    fn a_closed_connection_has_the_times_that_it_says_no_limit_or_none() {
        let drain = |ms| with(|config| config.drain_timeout_ms = ms).map(|core| core.drain_timeout);
        assert_eq!(drain(0).unwrap(), DrainTimeout::ByBytes);
        assert_eq!(drain(1234).unwrap(), DrainTimeout::After(Duration::from_millis(1234)));
        assert_eq!(drain(IOURINGNET_NO_TIMEOUT).unwrap(), DrainTimeout::Never);
        assert_eq!(drain(-2).err(), Some(Error::INVALID));
        let linger = |ms| with(|config| config.linger_ms = ms).map(|core| core.linger);
        assert_eq!(linger(0).unwrap(), Duration::from_secs(2));
        assert_eq!(linger(1234).unwrap(), Duration::from_millis(1234));
        assert_eq!(linger(IOURINGNET_NO_LINGER).unwrap(), Duration::ZERO);
        assert_eq!(linger(-2).err(), Some(Error::INVALID));
    }

    #[test]
    fn a_spin_is_as_long_as_it_says_or_none() {
        let spin = |us| with(|config| config.spin_us = us).map(|core| core.spin);
        assert_eq!(spin(0).unwrap(), Config::default().spin);
        assert_eq!(spin(IOURINGNET_NO_SPIN).unwrap(), Duration::ZERO);
        assert_eq!(spin(1000).unwrap(), Duration::from_millis(1));
    }

    #[test]
    fn the_options_of_a_dial_have_a_limit_of_their_own() {
        // SAFETY: the options are NULL, or a local.
        let of = |ms| unsafe {
            let options =
                iouringnet_dial_options { size: size_of::<iouringnet_dial_options>(), timeout_ms: ms };
            dial_timeout(&raw const options)
        };
        assert_eq!(of(0), Ok(None));
        assert_eq!(of(77), Ok(Some(Some(Duration::from_millis(77)))));
        assert_eq!(of(-1), Ok(Some(None)));
        assert_eq!(of(-2), Err(Error::INVALID));
    }
}
