#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! Forwarding: what a stream receives goes to a sink.

use super::types::*;
use super::{Notify, guard_counted, guard_transfer, handles, submit};
use crate::completion::Tell;
use crate::forward;
use std::ffi::c_void;

/// Sends what a stream receives to a sink, and waits for the end.
///
/// `from`       The stream.
/// `to`         The sink, in the same net as `from`. It may be the sink of the same connection.
/// `size`       Number of bytes. 0: the call succeeds at once. IOURINGNET_ALL: everything up to the end of the
///              stream.
/// `forwarded`  Set to the number of bytes that the kernel has taken from `to`, also on failure. NULL: not
///              set.
///
/// Buffered bytes go first. Sends and posts that `to` accepted before go out before them. At the end of the
/// stream `to` stays open: sink_close passes the end on.
///
/// - A byte leaves `from` only when the kernel has taken it from `to`. Therefore no end of the forward loses a
///   byte or tears a send: later receives get the bytes that were not forwarded, and `to` takes later sends.
/// - While the peer of `to` takes nothing, the library holds the peer of `from` back.
/// - The forward ends at once if `to` breaks, even if `from` receives nothing, and if `from` is reset, even if
///   the library holds it back.
/// - Meanwhile other sends and posts on `to`, and receives, peeks, consumes and watches on `from`, return
///   IOURINGNET_BUSY.
/// - The idle limits of both connections and stream_set_deadline bound a forward. stream_set_timeout and
///   sink_set_timeout do not.
/// - The call does not tell whose status it returns. stream_forward_async does, by `side` of its completion.
///
/// Owner:   The library owns the bytes. The caller owns both handles.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         All `size` bytes are sent. IOURINGNET_ALL: the peer of `from` ended its stream,
///                             and everything before that is sent.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer of `from` or the peer of `to` has reset its connection.
///   another errno             The kernel failed.
///   IOURINGNET_TORN           An earlier send has broken `to`.
///   IOURINGNET_TIMEOUT        The stream's deadline, or the idle limit of one of the two connections, has
///                             passed. Or earlier posts have broken `to` so.
///   IOURINGNET_CLOSED         A close or an abort on this side has ended the forward, or came before it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           On `from` a watch is armed, or another receive or forward is going on. Or `to`
///                             has another forward.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight.
///   IOURINGNET_INVALID        The two halves are of two nets.
///   IOURINGNET_BAD_HANDLE     `from` is not an open stream, `to` is not an open sink, or their net has
///                             stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_forward(
    from: *mut iouringnet_stream,
    to: *mut iouringnet_sink,
    size: usize,
    forwarded: *mut usize,
) -> iouringnet_status {
    let forward = || {
        let (from, to) = (handles::share_to_wait(from)?, handles::share(to)?);
        forward::run(&from, &to, size)
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(forwarded, forward) }
}

/// Sends what a stream receives to a sink. It completes at the end.
///
/// `from`      The stream.
/// `to`        The sink, in the same net as `from`. It may be the sink of the same connection.
/// `size`      Number of bytes. 0: the forward completes at once. IOURINGNET_ALL: everything up to the end of
///             the stream.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// `bytes` of the completion is the number of bytes that the kernel has taken from `to`, whatever the status.
/// `side` says whose status it is: IOURINGNET_SIDE_FROM or IOURINGNET_SIDE_TO, and 0 for success,
/// IOURINGNET_CANCELLED, IOURINGNET_STOPPED and IOURINGNET_PANIC.
///
/// Buffered bytes go first. Sends and posts that `to` accepted before go out before them. At the end of the
/// stream `to` stays open: sink_close passes the end on.
///
/// - A byte leaves `from` only when the kernel has taken it from `to`. Therefore no end of the forward loses a
///   byte or tears a send: later receives get the bytes that were not forwarded, and `to` takes later sends.
/// - While the peer of `to` takes nothing, the library holds the peer of `from` back.
/// - The forward ends at once if `to` breaks, even if `from` receives nothing, and if `from` is reset, even if
///   the library holds it back.
/// - Meanwhile other sends and posts on `to`, and receives, peeks, consumes and watches on `from`, return
///   IOURINGNET_BUSY.
/// - The idle limits of both connections and stream_set_deadline bound a forward. stream_set_timeout and
///   sink_set_timeout do not.
///
/// Owner:   The library owns the bytes. The caller owns both handles, and releases the op. On failure of the
///          call `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         All `size` bytes are sent. IOURINGNET_ALL: the peer of `from` ended its stream,
///                             and everything before that is sent.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer of `from` or the peer of `to` has reset its connection.
///   another errno             The kernel failed.
///   IOURINGNET_TORN           An earlier send has broken `to`.
///   IOURINGNET_TIMEOUT        The stream's deadline, or the idle limit of one of the two connections, has
///                             passed. Or earlier posts have broken `to` so.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the forward.
///   IOURINGNET_CLOSED         A close or an abort on this side has ended the forward, or came before it.
///   IOURINGNET_STOPPED        net_stop has ended the forward.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The forward is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed one of the halves.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           On `from` a watch is armed, or another receive or forward is going on. Or `to`
///                             has another forward.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        The two halves are of two nets, or both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `from` is not an open stream, `to` is not an open sink, or their net has
///                             stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_forward_async(
    from: *mut iouringnet_stream,
    to: *mut iouringnet_sink,
    size: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        let (from, to) = (handles::share(from)?, handles::share(to)?);
        let start = |tell: Tell<'_>| forward::begin(&from, &to, size, tell).map(drop);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(from.net(), Notify { callback, user, op }, start) }
    })
}
