#![allow(unsafe_code)] // copies structs from and to memory of the caller's
#![allow(non_camel_case_types)] // these are the names of C
//! The types and constants of C, and how structs that may grow are read and written.
//!
//! Every other file of the boundary uses them. Invariant: a struct that begins with its size only ever grows at its end, so
//! that a program and a library of different versions agree on the part that both know.

use crate::error::{Error, Result};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

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

/// How a net is to be. Prepare with `iouringnet_config_init`; 0 in any field is its default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_config {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// Entries of each ring, 8 to 32768; 0: 256. Neither connections nor operations are bounded by it. If the limit on
    /// locked memory (RLIMIT_MEMLOCK) holds fewer, both rings have fewer. Of that limit, which all processes of a user
    /// share, a net with 256 entries takes 108 KiB, and one with 16 entries, the fewest, 20 KiB. Exceptions: root is
    /// not counted, and Linux 5.12 to 6.13 count no rings.
    pub ring_entries: u32,
    /// Most operations in flight; beyond it IOURINGNET_LIMIT. 0: 65536. One operation for each half of a
    /// connection is not counted.
    pub max_operations: u32,
    /// TCP_NODELAY: IOURINGNET_ON, which 0 is too, IOURINGNET_OFF or IOURINGNET_SYSTEM.
    pub nodelay: u32,
    /// Ask the kernel on the calling thread first, and use a ring only for what that leaves: IOURINGNET_ON, which
    /// 0 is too, or IOURINGNET_OFF.
    pub first_try: u32,
    /// Idle time until the first keepalive probe, in milliseconds, rounded up to seconds, 32,767 s at most; 0: no
    /// keepalive. How many probes follow, and how soon, is the system's: 9, one every 75 s, unless it is told
    /// otherwise.
    pub keepalive_ms: i64,
    /// SO_SNDBUF of connections in bytes; 0: the system's.
    pub send_buffer: usize,
    /// SO_RCVBUF of connections in bytes; 0: the system's.
    pub recv_buffer: usize,
    /// Receives smaller than this are served from a buffer of this many bytes, at most 1 GiB; larger ones go
    /// straight to the caller's memory. 0: 64 KiB. IOURINGNET_UNBUFFERED: no buffer, so nothing to peek or fill.
    pub read_buffer: usize,
    /// Most bytes that a watch may leave unconsumed, or that stream_fill may ask for, at most 1 GiB; 0: 1 MiB.
    pub buffer_max: usize,
    /// Bytes posted and unsent from which on sink_post answers IOURINGNET_FULL; 0: 1 MiB.
    pub post_mark: usize,
    /// Time limit of operations in milliseconds, until sink_set_timeout or stream_set_timeout. 0 or
    /// IOURINGNET_NO_TIMEOUT: none.
    pub timeout_ms: i64,
    /// Time limit of a dial in milliseconds, looking up the name and all its addresses included; 0: 10 s.
    /// IOURINGNET_NO_TIMEOUT: the kernel's.
    pub dial_timeout_ms: i64,
    /// How long a closed connection may go without progress until it is reset, in milliseconds; 0: 30 s.
    /// IOURINGNET_NO_TIMEOUT: for ever.
    pub close_timeout_ms: i64,
    /// How long net_stop waits for unsent bytes until it resets, in milliseconds; 0: 5 s. IOURINGNET_NO_TIMEOUT:
    /// for ever.
    pub shutdown_timeout_ms: i64,
    /// Microseconds that a waiting receive may spin before it sleeps, and the receive loop too, at most 1000; 0: 50.
    /// IOURINGNET_NO_SPIN: none. The time adapts: longer and more often after spins that found something, less after
    /// others. They never do where first_try is off, or where the process may use only one CPU.
    pub spin_us: i64,
    /// CPU for the send loop, as IOURINGNET_CPU(n); 0: any.
    pub send_cpu: i32,
    /// CPU for the receive loop, which runs the callbacks, as IOURINGNET_CPU(n); 0: any.
    pub recv_cpu: i32,
    /// What to log, IOURINGNET_LOG_ERROR to IOURINGNET_LOG_TRACE; 0: IOURINGNET_LOG_WARN.
    pub log_level: u32,
    /// Zero.
    pub reserved: u32,
    /// Is given the log; NULL: nothing is logged.
    pub log: iouringnet_log_callback,
    /// Handed to `log`. Must stay valid until net_stop has returned.
    pub log_user: *mut c_void,
    /// How long a closed connection is kept for a peer that has acknowledged everything and does not close its
    /// side, in milliseconds; 0: 2 s. IOURINGNET_NO_LINGER: not at all. The time counts from the acknowledgement.
    /// Where it is over before the close, the peer still has 50 ms, or three round trips where they take longer,
    /// to answer the end of the stream; never more than `linger_ms`.
    pub linger_ms: i64,
    /// How long the whole drain after a close may take, with progress or without, in milliseconds; 0: 60 s and one
    /// more second for each KiB that the peer had not acknowledged when the drain began. IOURINGNET_NO_TIMEOUT: for
    /// ever. Only a peer that holds back needs longer than the default. `close_timeout_ms` counts beside it.
    pub drain_timeout_ms: i64,
}

/// How to dial. Prepare with `iouringnet_dial_options_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_dial_options {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// Time limit in milliseconds; 0: the config's `dial_timeout_ms`. IOURINGNET_NO_TIMEOUT: the kernel's.
    pub timeout_ms: i64,
}

/// How to bind. Prepare with `iouringnet_bind_options_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct iouringnet_bind_options {
    /// Of this struct as the program knows it.
    pub size: usize,
    /// Connections that may wait in the kernel to be accepted; 0: 4096. The system's somaxconn bounds it.
    pub backlog: u32,
    /// SO_REUSEPORT, to bind one port in several nets: IOURINGNET_ON or IOURINGNET_OFF, which 0 is too.
    pub reuse_port: u32,
}

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

/// A struct of C that begins with its size.
///
/// # Safety
/// - The type is `repr(C)`, its first field is a `usize`, and every pattern of bytes is a value of it.
pub(super) unsafe trait Versioned: Copy {
    /// Its size in version 0.1. A later version may be larger, never smaller.
    const FIRST: usize;
}

macro_rules! versioned {
    ($($name:ident: $first:literal),* $(,)?) => { $(
        // SAFETY: repr(C) with `size` in front; numbers, raw pointers and optional functions take every pattern.
        unsafe impl Versioned for $name {
            const FIRST: usize = $first;
        }
        const _: () = assert!(size_of::<$name>() == $first, "the layout that C programs were compiled with has changed");
    )* };
}

versioned! {
    iouringnet_completion: 40,
    iouringnet_config: 160,
    iouringnet_dial_options: 16,
    iouringnet_bind_options: 16,
    iouringnet_sink_info: 272,
    iouringnet_stats: 128,
    iouringnet_probe_result: 344,
}
const _: () = assert!(size_of::<iouringnet_address>() == 128);

/// No struct will ever be larger. Keeps a size that was never set from leading far outside of the struct.
const LARGEST: usize = 4096;

/// The size that the caller wrote into `*memory`, if it is one that can be.
///
/// # Safety
/// - `memory` is NULL or begins with a readable size.
unsafe fn caller_size<T: Versioned>(memory: *const T) -> Result<usize> {
    if memory.is_null() {
        return Err(Error::INVALID);
    }
    // SAFETY: not NULL, and the caller promises a readable size in front.
    let size = unsafe { memory.cast::<usize>().read() };
    if (T::FIRST..=LARGEST).contains(&size) { Ok(size) } else { Err(Error::INVALID) }
}

/// Reads a struct of the caller's, of an older or a newer version. What an older one lacks is zero; what a newer one has
/// beyond this version must be zero, for it asks for something that is not known here.
///
/// # Safety
/// - `memory` is NULL or points to as many readable bytes as its size says.
pub(super) unsafe fn read_struct<T: Versioned>(memory: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    let size = unsafe { caller_size(memory) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` is at most `size`, and so many bytes are readable.
    let tail = unsafe { std::slice::from_raw_parts(memory.cast::<u8>().add(known), size - known) };
    if tail.iter().any(|&byte| byte != 0) {
        return Err(Error::INVALID);
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable there and writable here, and a local does not overlap with memory of the caller's.
    unsafe { value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(memory.cast(), known) };
    // SAFETY: every pattern of bytes is a value, zeros included.
    Ok(unsafe { value.assume_init() })
}

/// A struct of the caller's that is to be written, its size checked before anything is done.
pub(super) struct Output<T> {
    memory: *mut T,
    size: usize,
}

impl<T: Versioned> Output<T> {
    /// # Safety
    /// - `memory` is NULL or points to as many writable bytes as its size says, for as long as this value is used.
    pub unsafe fn new(memory: *mut T) -> Result<Self> {
        // SAFETY: the caller's promise.
        let size = unsafe { caller_size(memory) }?;
        Ok(Output { memory, size })
    }

    /// Writes as much as both versions know, and leaves the caller's size.
    pub fn write(self, value: &T) {
        let skip = size_of::<usize>();
        let count = self.size.min(size_of::<T>()) - skip;
        // SAFETY: `skip` is within both; see `FIRST`.
        let (from, to) =
            unsafe { (std::ptr::from_ref(value).cast::<u8>().add(skip), self.memory.cast::<u8>().add(skip)) };
        // SAFETY: `skip` and `count` together are at most both sizes. `new` was promised that the memory is writable; it
        // is not `value`, which is ours.
        unsafe { to.copy_from_nonoverlapping(from, count) };
    }
}

/// `text` as an array of C that ends in a zero byte, cut to fit.
pub(super) fn characters<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    for (to, &from) in array[..N - 1].iter_mut().zip(text.as_bytes()) {
        *to = from as c_char;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct of a version that has more fields than this one.
    #[repr(C)]
    struct Later {
        known: iouringnet_bind_options,
        field: u64,
    }

    fn later(size: usize, field: u64) -> Later {
        Later { known: iouringnet_bind_options { size, backlog: 7, reuse_port: IOURINGNET_ON }, field }
    }

    fn read(options: &Later) -> Result<iouringnet_bind_options> {
        // SAFETY: as many bytes as the sizes of these tests say are there, or the size is refused before they are read.
        unsafe { read_struct(std::ptr::from_ref(options).cast()) }
    }

    #[test]
    fn a_struct_of_this_version_or_a_later_one_is_read() {
        for options in [later(16, 99), later(24, 0)] {
            let read = read(&options).unwrap();
            assert_eq!((read.backlog, read.reuse_port), (7, IOURINGNET_ON));
        }
    }

    #[test]
    fn wrong_sizes_and_unknown_fields_are_refused() {
        for options in [later(0, 0), later(15, 0), later(24, 1), later(LARGEST + 1, 0), later(usize::MAX, 0)]
        {
            assert_eq!(read(&options).err(), Some(Error::INVALID), "size {}", options.known.size);
        }
        // SAFETY: NULL is refused.
        let null = unsafe { read_struct::<iouringnet_config>(std::ptr::null()) };
        assert_eq!(null.err(), Some(Error::INVALID));
    }

    #[test]
    fn output_keeps_the_callers_size_and_what_it_does_not_know() {
        let mut options = later(24, 99);
        // SAFETY: 24 writable bytes are there.
        let output = unsafe { Output::new(std::ptr::from_mut(&mut options).cast()) }.unwrap();
        output.write(&iouringnet_bind_options { size: 0, backlog: 1, reuse_port: 2 });
        let known = options.known;
        assert_eq!((known.size, known.backlog, known.reuse_port, options.field), (24, 1, 2, 99));
    }

    #[test]
    fn text_is_cut_to_fit_and_ends_in_a_zero_byte() {
        let bytes = |array: [c_char; 4]| array.map(|byte| byte as u8);
        assert_eq!(bytes(characters("ab")), *b"ab\0\0");
        assert_eq!(bytes(characters("abcdef")), *b"abc\0");
    }
}
