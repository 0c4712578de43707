#![allow(unsafe_code)] // reads structs of the caller
#![allow(non_camel_case_types)] // these are the names of C
//! The config of a net, in C's form and in the core's form.
//!
//! `net.rs` calls it, and `options.rs` reads fields as it does. In the comments of both, a name in braces stands for a text of
//! `defaults`. Invariant: 0 in a field is its default, and a value out of its range is refused.

use super::arguments::{limit, span};
use super::log;
use super::types::*;
use super::versioned::versioned;
use crate::config::{Config, DrainTimeout};
use crate::engine::EngineKind;
use crate::error::{Error, Result};
use std::ffi::c_void;
use std::time::Duration;

/// Least and most entries of a ring.
const RING_ENTRIES: std::ops::RangeInclusive<u32> = 8..=32768;
/// Largest buffer for received bytes, 1 GiB.
const LARGEST_BUFFER: usize = 1 << 30;
/// For a socket's buffer: the system's value.
pub(super) const SYSTEM_SIZE: usize = usize::MAX;
/// Longest spin in microseconds.
const LONGEST_SPIN_US: i64 = 1000;

/// The config of a net. Prepare it with `iouringnet_config_init`. net_start returns IOURINGNET_INVALID if a
/// field is out of its range.
///
///   value  in a switch          in a time       in a size
///   0      the default          the default     the default
///   -1     IOURINGNET_INVALID   none            SIZE_MAX: what the field says, else IOURINGNET_INVALID
///
/// `true` is IOURINGNET_ON. `false` is 0, so it is the default, which may be IOURINGNET_ON. To switch off, use
/// IOURINGNET_OFF. "None" is no limit, no wait, no spinning or no keepalive, as the field says.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_config {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_config_init` sets it.
    pub size: usize,
    /// Entries of each ring: 8 to 32768. Default: {ring_entries}. They bound neither connections nor operations. Without
    /// meaning for epoll.
    ///
    /// If the limit on locked memory (RLIMIT_MEMLOCK) has no room for so many entries, both rings get fewer,
    /// but at least 16. All processes of a user share that limit. A net with 256 entries takes 108 KiB of it,
    /// and a net with 16 entries takes 20 KiB. Exceptions: the kernel does not count the rings of root, and
    /// Linux 5.12 to 6.13 count no rings.
    pub ring_entries: u32,
    /// Largest number of operations in flight. Default: {max_operations}. A call that would exceed it returns
    /// IOURINGNET_LIMIT. One operation for each half of each connection does not count.
    pub max_operations: u32,
    /// TCP_NODELAY of connections: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: {nodelay}.
    pub nodelay: u32,
    /// Whether a call asks the kernel on the calling thread first, and uses a loop only for the rest:
    /// IOURINGNET_ON or IOURINGNET_OFF. Default: {first_try}.
    pub first_try: u32,
    /// Idle time until the first keepalive probe, in milliseconds. The library rounds it up to seconds, and
    /// takes more than 32,767 s as 32,767 s. Default: no keepalive. The system decides how many probes follow
    /// and how often: 9 probes, one every 75 s, unless it is configured otherwise.
    pub keepalive_ms: i64,
    /// SO_SNDBUF of connections, in bytes: at most INT_MAX. Default: the system's value.
    pub send_buffer: usize,
    /// SO_RCVBUF of connections, in bytes: at most INT_MAX. Default: the system's value.
    pub recv_buffer: usize,
    /// Size of a stream's read buffer, in bytes: at most 1 GiB. Default: {read_buffer}. Receives that are smaller come
    /// from the buffer. Other receives go straight to the caller's memory. IOURINGNET_UNBUFFERED: there is no
    /// buffer, and so nothing to peek or to fill.
    pub read_buffer: usize,
    /// Largest number of bytes that stream_fill may ask for, that a line of stream_fill_until may have, and that
    /// a watch may leave unconsumed: at most 1 GiB. Default: {buffer_max}.
    pub buffer_max: usize,
    /// Bytes posted and unsent at which a post returns IOURINGNET_FULL. Default: {post_mark}. A piece that waits counts at
    /// least 256 bytes. Small posts are joined to pieces of at most 16 KiB.
    pub post_mark: usize,
    /// Time limit of one operation, in milliseconds. sink_set_timeout and stream_set_timeout change it for one
    /// half. Default: no limit. IOURINGNET_NO_TIMEOUT: no limit.
    pub timeout_ms: i64,
    /// Time limit of a dial, in milliseconds. It covers the lookup of the name and all its addresses. Default:
    /// {dial_timeout_ms}. IOURINGNET_NO_TIMEOUT: the kernel's limit.
    pub dial_timeout_ms: i64,
    /// Longest time that a closed connection may make no progress, in milliseconds. Then the library resets it.
    /// Default: {close_timeout_ms}. IOURINGNET_NO_TIMEOUT: no limit.
    pub close_timeout_ms: i64,
    /// Time that net_stop gives connections to close, in milliseconds. Then it resets them. Default: {shutdown_timeout_ms}.
    /// IOURINGNET_NO_TIMEOUT: no limit.
    pub shutdown_timeout_ms: i64,
    /// Longest time that a waiting receive, or the receive loop, spins before it sleeps, in microseconds: at
    /// most 1000. Default: {spin_us}. IOURINGNET_NO_SPIN: no spinning.
    ///
    /// The time adapts. After a spin that found something, spins are longer and more frequent. After other
    /// spins they are shorter and rarer. There is no spinning if `first_try` is off or the process may use only
    /// one CPU.
    pub spin_us: i64,
    /// CPU of the send loop, as IOURINGNET_CPU(n). Default: any.
    pub send_cpu: i32,
    /// CPU of the receive loop, which runs the callbacks, as IOURINGNET_CPU(n). Default: any.
    pub recv_cpu: i32,
    /// What to log: IOURINGNET_LOG_ERROR to IOURINGNET_LOG_TRACE. Default: IOURINGNET_LOG_WARN.
    pub log_level: u32,
    /// What the loops wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL. Both keep the same
    /// promises; io_uring takes less CPU time. Default: the library chooses. `engine` of iouringnet_stats tells
    /// what a net got.
    ///
    ///   the library chooses         io_uring. If the system refuses io_uring: epoll, and a warning in the log.
    ///                               The environment variable IOURINGNET_ENGINE decides instead if its value is
    ///                               "io_uring" or "epoll".
    ///   IOURINGNET_ENGINE_IO_URING  io_uring. If the system refuses io_uring, net_start fails.
    ///   IOURINGNET_ENGINE_EPOLL     epoll. The library makes no system call of io_uring, which some sandboxes
    ///                               punish with the end of the process.
    pub engine: u32,
    /// Gets the log. Default: NULL, and the library logs nothing.
    pub log: iouringnet_log_callback,
    /// Passed to `log`. It must stay valid until net_stop has returned. Default: NULL.
    pub log_user: *mut c_void,
    /// Time that a closed connection waits for a peer that has acknowledged everything and does not end its
    /// side, in milliseconds. Default: {linger_ms}. IOURINGNET_NO_LINGER: no wait.
    ///
    /// The time counts from the acknowledgement. If it has passed before the close, the peer still has 50 ms,
    /// or three round trips if they take longer, to answer the end of the stream. This is never more than
    /// `linger_ms`.
    pub linger_ms: i64,
    /// Time limit of the whole drain after a close, with or without progress, in milliseconds. Default: 60 s,
    /// and 1 s for each KiB that the peer had not acknowledged when the drain began. IOURINGNET_NO_TIMEOUT: no
    /// limit.
    ///
    /// Only a peer that holds back exceeds the default. `close_timeout_ms` applies at the same time.
    pub drain_timeout_ms: i64,
    /// Where the callbacks of the net run. Default: on a thread of the net. IOURINGNET_BY_CALLER: on the
    /// thread that calls net_start, while it is in net_dispatch. The net then has no receive thread, and
    /// waits by epoll. Sends of its callbacks may leave by io_uring (see IOURINGNET_SENDS above), unless
    /// `engine` or the environment demands epoll. `recv_cpu` and IOURINGNET_ENGINE_IO_URING are
    /// IOURINGNET_INVALID with it.
    pub dispatch: u32,
    /// How long a connection may go without a byte in either direction, in milliseconds.
    /// connection_set_idle_timeout changes it for one connection. Default: no limit. IOURINGNET_NO_TIMEOUT: no
    /// limit.
    pub idle_timeout_ms: i64,
}

versioned! {
    iouringnet_config: 176,
}

/// A field that is set. `None`: the default.
pub(super) fn nonzero<T: Default + PartialEq>(field: T) -> Option<T> {
    (field != T::default()).then_some(field)
}

/// A switch that is set. `None`: the default.
pub(super) fn switch(field: u32) -> Result<Option<bool>> {
    match field {
        0 => Ok(None),
        IOURINGNET_ON => Ok(Some(true)),
        IOURINGNET_OFF => Ok(Some(false)),
        _ => Err(Error::INVALID),
    }
}

/// TCP_NODELAY, if the field is set. `Some(None)`: the system's value.
pub(super) fn nodelay(field: u32) -> Result<Option<Option<bool>>> {
    if field == IOURINGNET_SYSTEM { Ok(Some(None)) } else { Ok(switch(field)?.map(Some)) }
}

/// The size of a socket's buffer, if the field is set. `Some(0)`: the system's value.
pub(super) fn socket_buffer(field: usize) -> Result<Option<usize>> {
    match field {
        0 => Ok(None),
        SYSTEM_SIZE => Ok(Some(0)),
        size if size <= i32::MAX as usize => Ok(Some(size)),
        _ => Err(Error::INVALID),
    }
}

/// The core's form of a config. A field that is 0 has the core's default.
pub(super) fn core_config(config: &iouringnet_config) -> Result<Config> {
    let mut core = Config::default();
    if let Some(entries) = nonzero(config.ring_entries) {
        core.ring_entries =
            if RING_ENTRIES.contains(&entries) { entries } else { return Err(Error::INVALID) };
    }
    if let Some(operations) = nonzero(config.max_operations) {
        core.max_operations = operations;
    }
    if let Some(nodelay) = nodelay(config.nodelay)? {
        core.nodelay = nodelay;
    }
    if let Some(on) = switch(config.first_try)? {
        core.first_try = on;
    }
    sizes(config, &mut core)?;
    times(config, &mut core)?;
    core.send_cpu = cpu(config.send_cpu)?;
    core.recv_cpu = cpu(config.recv_cpu)?;
    core.log = log::log(config.log, config.log_user, config.log_level)?;
    core.engine = engine(config.engine)?;
    dispatch(config, &mut core)?;
    Ok(core)
}

/// Translates `dispatch`. A loop of the caller waits by epoll.
fn dispatch(config: &iouringnet_config, core: &mut Config) -> Result {
    match config.dispatch {
        0 => return Ok(()),
        IOURINGNET_BY_CALLER => {}
        _ => return Err(Error::INVALID),
    }
    if core.recv_cpu.is_some() || core.engine == Some(EngineKind::IoUring) {
        return Err(Error::INVALID);
    }
    core.by_caller = true;
    Ok(())
}

/// The engine that the caller demands. `None`: the library chooses.
fn engine(field: u32) -> Result<Option<EngineKind>> {
    match field {
        0 => Ok(None),
        IOURINGNET_ENGINE_IO_URING => Ok(Some(EngineKind::IoUring)),
        IOURINGNET_ENGINE_EPOLL => Ok(Some(EngineKind::Epoll)),
        _ => Err(Error::INVALID),
    }
}

/// Translates the fields in bytes.
fn sizes(config: &iouringnet_config, core: &mut Config) -> Result {
    let at_most = |size: usize, most: usize| if size <= most { Ok(size) } else { Err(Error::INVALID) };
    core.send_buffer = socket_buffer(config.send_buffer)?.unwrap_or(0);
    core.recv_buffer = socket_buffer(config.recv_buffer)?.unwrap_or(0);
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

/// Translates the fields in units of time.
fn times(config: &iouringnet_config, core: &mut Config) -> Result {
    if let Some(ms) = nonzero(config.keepalive_ms) {
        core.keepalive = limit(ms)?;
    }
    if let Some(ms) = nonzero(config.timeout_ms) {
        core.timeout = limit(ms)?;
    }
    if let Some(ms) = nonzero(config.idle_timeout_ms) {
        core.idle_timeout = limit(ms)?;
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

/// The number of a CPU, from IOURINGNET_CPU. `None`: any.
fn cpu(field: i32) -> Result<Option<usize>> {
    let number = usize::try_from(field).map_err(|_| Error::INVALID)?;
    Ok(number.checked_sub(1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The core's form of a config with one field set.
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
}
