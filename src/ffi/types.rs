#![allow(unsafe_code)] // says which structs may grow
#![allow(non_camel_case_types)] // these are the names of C
//! The types and constants of C. The config and the options are in `config.rs`.
//!
//! Every other file of the boundary uses them.

use super::versioned::versioned;
use std::ffi::{c_char, c_void};

/// The result of a call.
///
///   0             success
///   -1 to -4095   an errno of the kernel, negated, such as -ECONNREFUSED
///   below -10000  a status of this library
pub type iouringnet_status = i32;

/// For a time limit in milliseconds: no limit.
pub const IOURINGNET_NO_TIMEOUT: i64 = -1;
/// For `linger_ms`: a connection ends when the peer has acknowledged everything.
pub const IOURINGNET_NO_LINGER: i64 = -1;
/// For `spin_us`: a wait sleeps at once.
pub const IOURINGNET_NO_SPIN: i64 = -1;
/// A switch is on. 0 in a switch is the field's default.
pub const IOURINGNET_ON: u32 = 1;
/// A switch is off.
pub const IOURINGNET_OFF: u32 = 2;
/// For `nodelay`: the library leaves the system's value.
pub const IOURINGNET_SYSTEM: u32 = 3;
/// cbindgen:ignore
pub const IOURINGNET_UNBUFFERED: usize = usize::MAX;

/// `side` of a completion: the status is that of the stream that a forward receives from.
pub const IOURINGNET_SIDE_FROM: u32 = 1;
/// `side` of a completion: the status is that of the sink that a forward sends to.
pub const IOURINGNET_SIDE_TO: u32 = 2;
/// cbindgen:ignore
pub const IOURINGNET_ALL: usize = usize::MAX;

/// The loops of a net wait by io_uring.
pub const IOURINGNET_ENGINE_IO_URING: u32 = 1;
/// The loops of a net wait by epoll, and make a system call for each send and receive. Exception: see `dispatch`.
pub const IOURINGNET_ENGINE_EPOLL: u32 = 2;

/// For `dispatch`: the thread that starts the net runs its callbacks, in net_dispatch.
pub const IOURINGNET_BY_CALLER: u32 = 1;

/// Log what went wrong.
pub const IOURINGNET_LOG_ERROR: u32 = 1;
/// Log also what may explain trouble.
pub const IOURINGNET_LOG_WARN: u32 = 2;
/// Log also what starts and ends.
pub const IOURINGNET_LOG_INFO: u32 = 3;
/// Log also every connection that the net's threads make or end.
pub const IOURINGNET_LOG_DEBUG: u32 = 4;
/// Log also every operation that reaches a loop.
pub const IOURINGNET_LOG_TRACE: u32 = 5;

/// A bit of `features` of iouringnet_probe_result: completions run when a loop asks for them (Linux 6.1).
pub const IOURINGNET_FEATURE_DEFER_TASKRUN: u32 = 1;
/// A bit of `features`: the kernel does not interrupt a loop for completions (Linux 5.19).
pub const IOURINGNET_FEATURE_COOP_TASKRUN: u32 = 2;
/// A bit of `features`: the kernel picks receive buffers from a shared ring (Linux 5.19).
pub const IOURINGNET_FEATURE_BUFFER_RING: u32 = 4;
/// A bit of `features`: a sleeping loop does not count as waiting for a disk (Linux 6.15).
pub const IOURINGNET_FEATURE_NO_IOWAIT: u32 = 8;
/// A bit of `features`: one receive of a watch brings many messages, up to a number of bytes (Linux 6.17).
pub const IOURINGNET_FEATURE_MULTISHOT: u32 = 16;
/// A bit of `features`: a completion wakes a loop, instead of an eventfd (Linux 6.13).
pub const IOURINGNET_FEATURE_SEND_MSG_RING: u32 = 32;
/// A bit of `features`: sends of callbacks can leave together, without a completion each (Linux 6.1).
pub const IOURINGNET_FEATURE_SILENT_SENDS: u32 = 64;

/// The handle of a net: two event loops and everything that they serve. A handle is a number with the type of
/// a pointer. Nobody follows it.
pub struct iouringnet_net {
    _opaque: [u8; 0],
}
/// The handle of a listener: a bound address that accepts connections.
pub struct iouringnet_listener {
    _opaque: [u8; 0],
}
/// The handle of a sink: the half of a connection that sends.
pub struct iouringnet_sink {
    _opaque: [u8; 0],
}
/// The handle of a stream: the half of a connection that receives.
pub struct iouringnet_stream {
    _opaque: [u8; 0],
}
/// The handle of an op: an operation that an _async call began. The caller waits for it, cancels it and
/// releases it.
pub struct iouringnet_op {
    _opaque: [u8; 0],
}

/// The handle of a buffer: bytes that many sinks can send without a copy for each. It belongs to no net.
pub struct iouringnet_buffer {
    _opaque: [u8; 0],
}

/// An address as text: "127.0.0.1:7000", "[fe80::1%eth0]:7000".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_address {
    /// At most 127 characters, and then a zero byte.
    pub text: [c_char; 128],
}

/// The result of an operation, or one event of a watch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_completion {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_completion_init` sets it.
    pub size: usize,
    /// The result of the operation, or the event of the watch.
    pub status: iouringnet_status,
    /// Number of bytes transferred, whatever the status.
    pub bytes: usize,
    /// The half that sends of the new connection of a dial or an accept. The receiver closes it. NULL in any
    /// other completion.
    pub sink: *mut iouringnet_sink,
    /// The half that receives of the same connection. The receiver closes it. NULL in any other completion.
    pub stream: *mut iouringnet_stream,
    /// Whose status it is, of a forward: IOURINGNET_SIDE_FROM or IOURINGNET_SIDE_TO. 0 if it is neither's, and in
    /// any other completion. Since 0.2.
    pub side: u32,
}

/// Gets the result of an operation, or one event of a watch. It runs on the callback thread of the net.
/// `done` is valid until the callback returns. The callback must not take long. It must not leave by an
/// exception, by longjmp or by pthread_exit.
pub type iouringnet_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, done: *const iouringnet_completion)>;

/// Gets bytes that a stream has received, and returns how many of them it has consumed. The next call shows
/// the rest again, joined with the bytes that arrive next. `data` is valid until the callback returns. In the
/// last call `status` is not 0, `data` is NULL, and the library ignores the result. It runs on the callback
/// thread of the net. The callback must not take long. It must not leave by an exception, by longjmp or by
/// pthread_exit.
pub type iouringnet_data_callback = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        status: iouringnet_status,
        data: *const c_void,
        size: usize,
    ) -> usize,
>;

/// Gets a status. It runs on the callback thread of the net. The callback must not take long. It must not
/// leave by an exception, by longjmp or by pthread_exit.
pub type iouringnet_status_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, status: iouringnet_status)>;

/// What connection_watch calls. Each may be NULL, but not all three. It may be static and constant: the
/// library reads it only during the call. Prepare it with `iouringnet_connection_callbacks_init`, or store
/// its size.
///
///   static const iouringnet_connection_callbacks callbacks = {
///       sizeof(iouringnet_connection_callbacks), on_data, on_room, on_end};
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_connection_callbacks {
    /// Size of this struct in bytes, as the program was compiled.
    pub size: usize,
    /// Gets every byte that the stream receives. Its last call has a status other than 0. NULL: the stream is
    /// free for receives.
    pub data: iouringnet_data_callback,
    /// Gets 0 once after each IOURINGNET_FULL, when half of `post_mark` is free again. If the sink breaks while
    /// its handle is open, `room` gets the cause once, as its last call. NULL: the next call on the sink
    /// returns the cause.
    pub room: iouringnet_status_callback,
    /// Called exactly once, after all other callbacks of the halves that were given. NULL: no call reports the
    /// end.
    pub end: iouringnet_status_callback,
}

/// Frees memory that iouringnet_buffer_adopt has taken. `data` and `size` are those of that call. It runs exactly
/// once, when the buffer, its slices and all sinks have given the memory up:
///
/// - in the call that gives the last part up, or
/// - on the callback thread of a net, if the last one was a sink. It then counts as a callback of that net.
///
/// The library holds no lock meanwhile. It must not take long. It must not leave by an exception, by longjmp or
/// by pthread_exit.
pub type iouringnet_free_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, data: *mut c_void, size: usize)>;

/// Gets one line of the log, without a line end. `text` is valid until the callback returns.
///
/// - It runs on the threads of the net, possibly at the same time. It has no line for
///   what a call does on another thread. The library may hold the lock of a handle meanwhile.
/// - It must not call the library. A call that returns a status returns IOURINGNET_IN_CALLBACK there, and a
///   call that returns nothing does nothing.
/// - It must not wait for a lock that another thread holds while that thread calls the library.
/// - It must not leave by an exception, by longjmp or by pthread_exit.
pub type iouringnet_log_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char)>;

/// The result of sink_info. Prepare it with `iouringnet_sink_info_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_sink_info {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_sink_info_init` sets it.
    pub size: usize,
    /// Address of this end.
    pub local: iouringnet_address,
    /// Address of the peer. It is empty if the connection is gone.
    pub peer: iouringnet_address,
    /// Number of accepted bytes that the kernel does not have yet.
    pub unsent: usize,
    /// Number of bytes that the kernel has taken from the sink so far. Since 0.2.
    pub sent: u64,
    /// Number of bytes that the stream of the same connection has received from the kernel so far. Bytes that
    /// wait in its buffer are included. Since 0.2.
    pub received: u64,
}

/// The result of net_stats. Prepare it with `iouringnet_stats_init`. Each field is a number since the start
/// of the net, unless it says "now".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_stats {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_stats_init` sets it.
    pub size: usize,
    /// System calls in which the send loop submits entries or waits.
    pub send_enters: u64,
    /// Entries that the send loop has submitted. With epoll: requests.
    pub send_entries: u64,
    /// Completions that the send loop has reaped.
    pub send_completions: u64,
    /// Times that another thread has woken the send loop up.
    pub send_wakes: u64,
    /// System calls in which the receive loop submits entries or waits.
    pub recv_enters: u64,
    /// Entries that the receive loop has submitted. With epoll: requests.
    pub recv_entries: u64,
    /// Completions that the receive loop has reaped.
    pub recv_completions: u64,
    /// Times that another thread has woken the receive loop up.
    pub recv_wakes: u64,
    /// Callbacks that the net has run.
    pub callbacks: u64,
    /// Connections that are open now, including closed ones that drain or linger.
    pub connections: u64,
    /// Listeners that are open now.
    pub listeners: u64,
    /// Operations that are in flight now, as `max_operations` counts them.
    pub operations: u64,
    /// Errors of accepts that did not end the accept or the watch, such as a shortage of descriptors.
    pub accept_errors: u64,
    /// Closed connections that `close_timeout_ms` or `drain_timeout_ms` has reset.
    pub drains_timed_out: u64,
    /// Closed connections that ended early because descriptors or memory ran short, the oldest first.
    pub drains_shed: u64,
    /// What the loops wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL.
    pub engine: u64,
}

/// The result of iouringnet_probe. Prepare it with `iouringnet_probe_result_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_probe_result {
    /// Size of this struct in bytes, as the program was compiled. `iouringnet_probe_result_init` sets it.
    pub size: usize,
    /// The status that net_start would return:
    ///
    ///   IOURINGNET_OK             a net can start
    ///   IOURINGNET_UNAVAILABLE    io_uring is demanded, and cannot be used here
    ///   IOURINGNET_LOCKED_MEMORY  io_uring is demanded, and the limit on locked memory leaves no room
    ///   -EMFILE, -ENFILE          there are too few descriptors
    ///   -EAGAIN                   there are too few threads
    ///   -ENOMEM                   there is too little memory
    pub status: iouringnet_status,
    /// The errno of the system's refusal, positive: why no net can start, or why a net uses epoll instead of
    /// io_uring. 0: the system has refused nothing.
    pub error: i32,
    /// Features of io_uring that this kernel has: IOURINGNET_FEATURE_ bits. A net requires none of them. 0 with
    /// epoll.
    pub features: u32,
    /// The kernel's release.
    pub kernel: [c_char; 64],
    /// Cause and remedy of the refusal, or what was found.
    pub text: [c_char; 256],
    /// What the net would wait by: IOURINGNET_ENGINE_IO_URING or IOURINGNET_ENGINE_EPOLL. 0: no net can start.
    pub engine: u32,
}

versioned! {
    iouringnet_completion: 48,
    iouringnet_connection_callbacks: 32,
    iouringnet_sink_info: 288,
    iouringnet_stats: 136,
    iouringnet_probe_result: 344,
}
const _: () = assert!(size_of::<iouringnet_address>() == 128);
