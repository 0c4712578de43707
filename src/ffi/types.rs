#![allow(unsafe_code)] // says which structs may grow
#![allow(non_camel_case_types)] // these are the names of C
//! The types and constants of C. The config and the options are in `config.rs`.
//!
//! Every other file of the boundary uses them.

use super::versioned::versioned;
use std::ffi::{c_char, c_void};

/// The result of a call: 0 is success, -1 to -4095 is an errno of the kernel with its sign turned
/// (-ECONNREFUSED, say), and below -10000 are the statuses of this library.
pub type iouringnet_status = i32;

/// No time limit, wherever a `timeout_ms` is asked for.
pub const IOURINGNET_NO_TIMEOUT: i64 = -1;
/// For `linger_ms`: keep a connection only until the peer has acknowledged everything.
pub const IOURINGNET_NO_LINGER: i64 = -1;
/// For `spin_us`: sleep at once.
pub const IOURINGNET_NO_SPIN: i64 = -1;
/// A switch that is on. 0 in a switch is the field's default.
pub const IOURINGNET_ON: u32 = 1;
/// A switch that is off.
pub const IOURINGNET_OFF: u32 = 2;
/// For `nodelay`: leave what the system has.
pub const IOURINGNET_SYSTEM: u32 = 3;
/// cbindgen:ignore
pub const IOURINGNET_UNBUFFERED: usize = usize::MAX;

/// Log what went wrong.
pub const IOURINGNET_LOG_ERROR: u32 = 1;
/// Also what may explain trouble.
pub const IOURINGNET_LOG_WARN: u32 = 2;
/// Also what starts and ends.
pub const IOURINGNET_LOG_INFO: u32 = 3;
/// Also every connection that the net's threads make or end.
pub const IOURINGNET_LOG_DEBUG: u32 = 4;
/// Also every operation that reaches a loop.
pub const IOURINGNET_LOG_TRACE: u32 = 5;

/// Bits of `features` in iouringnet_probe_result. Completions run when a loop asks for them (Linux 6.1).
pub const IOURINGNET_FEATURE_DEFER_TASKRUN: u32 = 1;
/// A loop is not interrupted for completions (Linux 5.19).
pub const IOURINGNET_FEATURE_COOP_TASKRUN: u32 = 2;
/// The kernel picks receive buffers from a shared ring (Linux 5.19).
pub const IOURINGNET_FEATURE_BUFFER_RING: u32 = 4;
/// A sleeping loop does not count as waiting for a disk (Linux 6.15).
pub const IOURINGNET_FEATURE_NO_IOWAIT: u32 = 8;
/// A watch's receive goes on by itself up to a number of bytes (Linux 6.17).
pub const IOURINGNET_FEATURE_MULTISHOT: u32 = 16;
/// A loop is woken by a completion instead of an eventfd (Linux 6.13).
pub const IOURINGNET_FEATURE_SEND_MSG_RING: u32 = 32;

/// Two event loops and all that they serve. A handle: a number in the form of a pointer, never to be
/// followed.
pub struct iouringnet_net {
    _opaque: [u8; 0],
}
/// A bound address that accepts connections.
pub struct iouringnet_listener {
    _opaque: [u8; 0],
}
/// The half of a connection that sends.
pub struct iouringnet_sink {
    _opaque: [u8; 0],
}
/// The half of a connection that receives.
pub struct iouringnet_stream {
    _opaque: [u8; 0],
}
/// An operation that was begun by an async call: something to wait for, to cancel and to release.
pub struct iouringnet_op {
    _opaque: [u8; 0],
}

/// An address as text that ends in a zero byte: "127.0.0.1:7000", "[fe80::1%eth0]:7000".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_address {
    /// At most 127 characters and the zero byte.
    pub text: [c_char; 128],
}

/// How an operation ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_completion {
    /// Of this struct as the program knows it. See `iouringnet_completion_init`.
    pub size: usize,
    /// The operation's own result.
    pub status: iouringnet_status,
    /// Bytes transferred, also when the status is not 0.
    pub bytes: usize,
    /// The new connection of a dial or an accept, from now on the receiver's to close. NULL for all else.
    pub sink: *mut iouringnet_sink,
    /// Its other half.
    pub stream: *mut iouringnet_stream,
}

/// Is told how an operation ended, or one event of a watch. Runs on the net's callback thread; `done` lives
/// until it returns. It must not block for long, and must not leave by an exception or by longjmp.
pub type iouringnet_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, done: *const iouringnet_completion)>;

/// Is shown the bytes received and returns how many of them it has consumed; the rest is shown again, joined
/// with what comes next. `data` lives until it returns. In the last call the status is not 0, `data` is NULL,
/// and the result does not count. Runs on the net's callback thread, under the rules of
/// `iouringnet_callback`.
pub type iouringnet_data_callback = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        status: iouringnet_status,
        data: *const c_void,
        size: usize,
    ) -> usize,
>;

/// Is given one line of log without a line end, which lives until it returns. Runs on the net's two threads,
/// also on both at a time, and a handle may be locked meanwhile. So it must not call the library: calls with a
/// handle are refused there with IOURINGNET_IN_CALLBACK. Nor may it wait for a lock that some thread holds
/// while it calls the library. It must not leave by an exception or by longjmp.
pub type iouringnet_log_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char)>;

/// What sink_info tells. Prepare with `iouringnet_sink_info_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_sink_info {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// Address of this end.
    pub local: iouringnet_address,
    /// Address of the peer; empty once the connection is gone.
    pub peer: iouringnet_address,
    /// Bytes accepted that the kernel does not have yet.
    pub unsent: usize,
}

/// What net_stats tells. Prepare with `iouringnet_stats_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_stats {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// System calls of the send loop into its ring.
    pub send_enters: u64,
    /// Entries that it submitted.
    pub send_entries: u64,
    /// Completions that it reaped.
    pub send_completions: u64,
    /// Times that another thread woke it.
    pub send_wakes: u64,
    /// The same of the receive loop.
    pub recv_enters: u64,
    /// Entries that it submitted.
    pub recv_entries: u64,
    /// Completions that it reaped.
    pub recv_completions: u64,
    /// Times that another thread woke it.
    pub recv_wakes: u64,
    /// Callbacks run so far.
    pub callbacks: u64,
    /// Connections open now, those that still drain included.
    pub connections: u64,
    /// Listeners open now.
    pub listeners: u64,
    /// Operations in flight now, of `max_operations`.
    pub operations: u64,
    /// Errors of accept that were passed over, want of descriptors above all.
    pub accept_errors: u64,
    /// Closed connections that were reset by `close_timeout_ms` or `drain_timeout_ms`.
    pub drains_timed_out: u64,
    /// Closed connections that were ended early, the oldest first, because descriptors or memory ran short.
    pub drains_shed: u64,
}

/// What iouringnet_probe tells. Prepare with `iouringnet_probe_result_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_probe_result {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// What net_start would say: IOURINGNET_OK, IOURINGNET_UNAVAILABLE, IOURINGNET_LOCKED_MEMORY, or -EMFILE,
    /// -ENFILE or -EAGAIN where only descriptors or threads are short.
    pub status: iouringnet_status,
    /// The errno of the system's refusal, else 0.
    pub error: i32,
    /// What this kernel has: IOURINGNET_FEATURE_ bits. None is required.
    pub features: u32,
    /// The kernel's release.
    pub kernel: [c_char; 64],
    /// What is here, or why io_uring is not and what to do about it.
    pub text: [c_char; 256],
}

versioned! {
    iouringnet_completion: 40,
    iouringnet_sink_info: 272,
    iouringnet_stats: 128,
    iouringnet_probe_result: 344,
}
const _: () = assert!(size_of::<iouringnet_address>() == 128);
