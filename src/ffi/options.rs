#![allow(unsafe_code)] // reads structs of the caller
#![allow(non_camel_case_types)] // these are the names of C
//! The options of a dial and of a bind, in C's form and in the core's form.
//!
//! `net.rs` and `descriptor.rs` call it. Invariant: 0 in a field means what the config says, or the documented default, and
//! a value out of its range is refused.

use super::config::{nodelay, nonzero, socket_buffer, switch};
use super::versioned::{read_struct, versioned};
use super::{limit, text};
use crate::address;
use crate::defaults::DEFAULTS;
use crate::error::{Error, Result};
use crate::open::{BindOptions, DialOptions};
use crate::socket::OwnOptions;
use std::ffi::c_char;

/// The options of a dial. Prepare them with `iouringnet_dial_options_init`. 0 in a field is the field's default,
/// also `false` in a switch. To switch off, use IOURINGNET_OFF. -1 in a time is "none".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_dial_options {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_dial_options_init` sets it.
    pub size: usize,
    /// Time limit of the dial, in milliseconds. Default: the config's `dial_timeout_ms`. IOURINGNET_NO_TIMEOUT:
    /// the kernel's limit.
    pub timeout_ms: i64,
    /// Local address of the connection: "192.0.2.1", "192.0.2.1:7000", "2001:db8::1" or "[2001:db8::1]:7000". It
    /// has no name. The dial skips addresses of the other family. Default: the system chooses. The library
    /// reads the text only during the call.
    pub from: *const c_char,
    /// Idle time until the first keepalive probe, in milliseconds. Default: the config's `keepalive_ms`.
    /// IOURINGNET_NO_TIMEOUT: no keepalive.
    pub keepalive_ms: i64,
    /// SO_SNDBUF, in bytes: at most INT_MAX. Default: the config's `send_buffer`. SIZE_MAX: the system's value.
    pub send_buffer: usize,
    /// SO_RCVBUF, in bytes: at most INT_MAX. Default: the config's `recv_buffer`. SIZE_MAX: the system's value.
    pub recv_buffer: usize,
    /// TCP_NODELAY: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: the config's `nodelay`.
    pub nodelay: u32,
}

/// The options of a bind. Prepare them with `iouringnet_bind_options_init`. 0 in a field is the field's default,
/// also `false` in a switch. To switch off, use IOURINGNET_OFF. -1 in a time is "none".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_bind_options {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_bind_options_init` sets it.
    pub size: usize,
    /// Largest number of connections that wait in the kernel to be accepted. Default: {backlog}. The system's
    /// somaxconn is an upper bound.
    pub backlog: u32,
    /// SO_REUSEPORT, which binds one port in several nets: IOURINGNET_ON or IOURINGNET_OFF. Default:
    /// {reuse_port}.
    pub reuse_port: u32,
    /// Idle time of accepted connections until the first keepalive probe, in milliseconds. Default: the
    /// config's `keepalive_ms`. IOURINGNET_NO_TIMEOUT: no keepalive.
    pub keepalive_ms: i64,
    /// SO_SNDBUF of accepted connections, in bytes: at most INT_MAX. Default: the config's `send_buffer`.
    /// SIZE_MAX: the system's value.
    pub send_buffer: usize,
    /// SO_RCVBUF of accepted connections, in bytes: at most INT_MAX. Default: the config's `recv_buffer`.
    /// SIZE_MAX: the system's value.
    pub recv_buffer: usize,
    /// TCP_NODELAY of accepted connections: IOURINGNET_ON, IOURINGNET_OFF or IOURINGNET_SYSTEM. Default: the
    /// config's `nodelay`.
    pub nodelay: u32,
    /// IPV6_V6ONLY, which refuses IPv4 at an IPv6 address such as "[::]:7000": IOURINGNET_ON or
    /// IOURINGNET_OFF. Default: the sysctl net.ipv6.bindv6only, which is off in most systems. Without meaning
    /// for IPv4 addresses.
    pub ipv6_only: u32,
}

versioned! {
    iouringnet_dial_options: 56,
    iouringnet_bind_options: 48,
}

/// # Safety
/// - `options` is NULL or a struct of the size that it says.
/// - Its `from` is NULL or a text. Both stay as they are during the call.
pub(super) unsafe fn dial_options(options: *const iouringnet_dial_options) -> Result<DialOptions> {
    if options.is_null() {
        return Ok(DialOptions::default());
    }
    // SAFETY: `options` is not NULL, and so the caller promises a struct of the size that it says.
    let options = unsafe { read_struct(options) }?;
    let from = if options.from.is_null() {
        None
    } else {
        // SAFETY: `from` is not NULL, and so the caller promises a text.
        Some(address::parse_local(unsafe { text(options.from) }?)?)
    };
    let own = own(options.nodelay, options.keepalive_ms, options.send_buffer, options.recv_buffer)?;
    Ok(DialOptions { timeout: nonzero(options.timeout_ms).map(limit).transpose()?, from, own })
}

/// # Safety
/// - `options` is NULL or a struct of the size that it says.
pub(super) unsafe fn bind_options(options: *const iouringnet_bind_options) -> Result<BindOptions> {
    if options.is_null() {
        return Ok(BindOptions::default());
    }
    // SAFETY: `options` is not NULL, and so the caller promises a struct of the size that it says.
    let options = unsafe { read_struct(options) }?;
    Ok(BindOptions {
        backlog: options.backlog,
        reuse_port: switch(options.reuse_port)?.unwrap_or(DEFAULTS.reuse_port),
        ipv6_only: switch(options.ipv6_only)?,
        own: own(options.nodelay, options.keepalive_ms, options.send_buffer, options.recv_buffer)?,
    })
}

/// The options of a listener that is bound already.
///
/// # Safety
/// - `options` is NULL or a struct of the size that it says.
pub(super) unsafe fn adopt_options(options: *const iouringnet_bind_options) -> Result<OwnOptions> {
    // SAFETY: the caller's promise.
    let options = unsafe { bind_options(options) }?;
    let binds = options.backlog != 0 || options.reuse_port || options.ipv6_only.is_some();
    if binds { Err(Error::INVALID) } else { Ok(options.own) }
}

fn own(nodelay_field: u32, keepalive_ms: i64, send_buffer: usize, recv_buffer: usize) -> Result<OwnOptions> {
    Ok(OwnOptions {
        nodelay: nodelay(nodelay_field)?,
        keepalive: nonzero(keepalive_ms).map(limit).transpose()?,
        send_buffer: socket_buffer(send_buffer)?,
        recv_buffer: socket_buffer(recv_buffer)?,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(set: impl FnOnce(&mut iouringnet_dial_options)) -> Result<DialOptions> {
        // SAFETY: numbers and a pointer, for all of which zeroes are valid.
        let mut options: iouringnet_dial_options = unsafe { std::mem::zeroed() };
        options.size = size_of_val(&options);
        set(&mut options);
        // SAFETY: the options are a local, and `from` is a constant text.
        unsafe { dial_options(&raw const options) }
    }

    #[test]
    fn a_dial_has_a_limit_of_its_own() {
        let limit = |ms| of(|options| options.timeout_ms = ms).map(|options| options.timeout);
        assert_eq!(limit(0), Ok(None));
        assert_eq!(limit(77), Ok(Some(Some(Duration::from_millis(77)))));
        assert_eq!(limit(-1), Ok(Some(None)));
        assert_eq!(limit(-2), Err(Error::INVALID));
    }

    #[test]
    fn a_dial_has_socket_options_of_its_own() {
        let nodelay = |value| of(|options| options.nodelay = value).map(|options| options.own.nodelay);
        assert_eq!([nodelay(0), nodelay(1), nodelay(3)], [Ok(None), Ok(Some(Some(true))), Ok(Some(None))]);
        assert_eq!(nodelay(4), Err(Error::INVALID));
        let keepalive = |ms| of(|options| options.keepalive_ms = ms).map(|options| options.own.keepalive);
        assert_eq!([keepalive(0), keepalive(-1)], [Ok(None), Ok(Some(None))]);
        assert_eq!(keepalive(-2), Err(Error::INVALID));
        let buffer = |size| of(|options| options.send_buffer = size).map(|options| options.own.send_buffer);
        assert_eq!([buffer(0), buffer(7), buffer(usize::MAX)], [Ok(None), Ok(Some(7)), Ok(Some(0))]);
        assert_eq!(buffer(1 << 31), Err(Error::INVALID));
    }

    #[test]
    fn a_dial_begins_at_a_local_number() {
        let from = |text: &std::ffi::CStr| {
            of(|options| options.from = text.as_ptr()).map(|options| options.from.unwrap().to_string())
        };
        assert_eq!(from(c"127.0.0.1").unwrap(), "127.0.0.1:0");
        assert_eq!(from(c"::1").unwrap(), "[::1]:0");
        assert_eq!(from(c"[::1]:80").unwrap(), "[::1]:80");
        for text in [c"", c"localhost", c"localhost:80", c"127.0.0.1:x"] {
            assert_eq!(from(text), Err(Error::ADDRESS));
        }
    }
}
