#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The sending half of a connection: sends, posts and flushes.

use super::types::*;
use super::{Notify, guard, guard_blocking, guard_counted, guard_transfer, handles, memory, slice, submit};
use crate::completion::Tell;
use crate::error::{Error, Result};
use crate::parts::{Many, Parts};
use libc::iovec;
use std::ffi::c_void;

/// Sends all of a piece of memory, and waits until the kernel has it.
///
/// `data`  The bytes to send. NULL is allowed if `size` is 0.
/// `size`  Number of bytes. 0: the call succeeds at once.
/// `sent`  Set to the number of bytes that went out, also on failure. NULL: not set.
///
/// The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
/// limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink gets the first
/// cause.
///
/// Owner:   The caller owns `data` again when the call returns. The library reads it only during the call.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
///                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused the send, which broke the sink: -EFAULT if `data` cannot be
///                             read.
///   IOURINGNET_CLOSED         connection_abort has ended the send, or another thread has just closed the
///                             sink.
///   IOURINGNET_STOPPED        net_stop has begun before the send, or has cut it.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte went out.
///   IOURINGNET_INVALID        `data` is NULL with a size, or `size` is above PTRDIFF_MAX.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_send(
    sink: *mut iouringnet_sink,
    data: *const c_void,
    size: usize,
    sent: *mut usize,
) -> iouringnet_status {
    let send = || {
        memory(data, size)?;
        let sink = handles::share_to_wait(sink)?;
        // SAFETY: the caller keeps the memory as it is until this call returns, and so until the send has completed.
        Ok(unsafe { sink.send_parts(Parts::One(data.cast(), size)) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(sent, send) }
}

/// Sends several pieces of memory as one, such as a header and its body, and waits until the kernel has them.
///
/// `parts`  The pieces, in order. NULL is allowed if `count` is 0.
/// `count`  Number of pieces; IOV_MAX is no bound. 0: the call succeeds at once.
/// `sent`   Set to the number of bytes that went out, also on failure. NULL: not set.
///
/// The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
/// limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink gets the first
/// cause.
///
/// Owner:   The caller owns the array and the pieces again when the call returns. The library reads them only
///          during the call.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
///                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused the send, which broke the sink: -EFAULT if a piece cannot
///                             be read.
///   IOURINGNET_CLOSED         connection_abort has ended the send, or another thread has just closed the
///                             sink.
///   IOURINGNET_STOPPED        net_stop has begun before the send, or has cut it.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte went out.
///   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
///                             PTRDIFF_MAX, or the sum is above SIZE_MAX.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_sendv(
    sink: *mut iouringnet_sink,
    parts: *const iovec,
    count: usize,
    sent: *mut usize,
) -> iouringnet_status {
    let send = || {
        // SAFETY: the caller passes so many readable pieces.
        let parts = unsafe { many(parts, count) }?;
        let sink = handles::share_to_wait(sink)?;
        // SAFETY: the caller keeps the memory as it is until this call returns, and so until the send has completed.
        Ok(unsafe { sink.send_parts(parts) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(sent, send) }
}

/// Sends all of a piece of memory. It completes when the kernel has all bytes.
///
/// `data`      The bytes to send. NULL is allowed if `size` is 0.
/// `size`      Number of bytes. 0: the send completes at once.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
/// limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink completes with the
/// first cause. `bytes` of the completion is the number of bytes that went out, also on failure.
///
/// Owner:   The library owns `data` until the completion. The caller neither frees nor changes it before. The
///          caller releases the op. On failure of the call the caller owns `data`, and `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
///                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the send. If part of it went out, the sink is torn.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused this or an earlier send, which broke the sink: -EFAULT if
///                             `data` cannot be read. Or descriptors or memory ran short after both halves
///                             were closed.
///   IOURINGNET_CLOSED         connection_abort has ended the send.
///   IOURINGNET_STOPPED        net_stop has cut the send.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The send is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
///                             and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_send_async(
    sink: *mut iouringnet_sink,
    data: *const c_void,
    size: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        memory(data, size)?;
        let sink = handles::share(sink)?;
        // SAFETY: the caller keeps the memory as it is until the completion.
        let start = |tell: Tell<'_>| unsafe { sink.send_parts_async(Parts::One(data.cast(), size), tell) };
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(sink.net(), Notify { callback, user, op }, start) }
    })
}

/// Sends several pieces of memory as one. It completes when the kernel has all bytes.
///
/// `parts`     The pieces, in order. NULL is allowed if `count` is 0.
/// `count`     Number of pieces; IOV_MAX is no bound. 0: the send completes at once.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The sends of one sink go out whole and in the order of the calls, whichever threads make them. The time
/// limit of the sink covers the whole send; see sink_set_timeout. A send on a broken sink completes with the
/// first cause. `bytes` of the completion is the number of bytes that went out, also on failure.
///
/// Owner:   The library copies the array, and the caller owns the array when the call returns. The library
///          owns the pieces until the completion. The caller neither frees nor changes them before. The
///          caller releases the op. On failure of the call the caller owns the pieces, and `*op` is
///          unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. If no byte went out, the sink stays good. Otherwise it
///                             is torn. Or a limit of a drain or of posts passed, which broke the sink.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the send. If part of it went out, the sink is torn.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused this or an earlier send, which broke the sink: -EFAULT if a
///                             piece cannot be read. Or descriptors or memory ran short after both halves
///                             were closed.
///   IOURINGNET_CLOSED         connection_abort has ended the send.
///   IOURINGNET_STOPPED        net_stop has cut the send.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The send is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
///                             PTRDIFF_MAX, the sum is above SIZE_MAX, or both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_sendv_async(
    sink: *mut iouringnet_sink,
    parts: *const iovec,
    count: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        // SAFETY: the caller passes so many readable pieces.
        let parts = unsafe { many(parts, count) }?;
        let sink = handles::share(sink)?;
        // SAFETY: the caller keeps the memory as it is until the completion.
        let start = |tell: Tell<'_>| unsafe { sink.send_parts_async(parts, tell) };
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(sink.net(), Notify { callback, user, op }, start) }
    })
}

/// Sends all of a piece of memory without waiting. The library copies the bytes that the kernel does not take
/// at once.
///
/// `data`  The bytes to send. NULL is allowed if `size` is 0.
/// `size`  Number of bytes. A sink below its `post_mark` accepts any size.
///
/// Posts and sends of one sink share one order: the order of the calls. If a post fails after the call, the
/// connection's watch and every later call that sends get the error. A post on a broken sink gets the first cause.
/// The idle limit of the connection bounds posts; see connection_set_idle_timeout.
///
/// Owner:   The caller owns `data` again when the call returns.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The library has accepted the bytes. They go out even if the sink is closed
///                             next.
///   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken.
///                             connection_watch reports when there is room.
///   -ENOMEM                   There is no memory to copy more than 16 KiB. Nothing was taken. Exception: if
///                             part of the post had gone out, the sink is broken by this error.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
///                             sink.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused this or an earlier send, which broke the sink.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_INVALID        `data` is NULL with a size, or `size` is above PTRDIFF_MAX.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_post(
    sink: *mut iouringnet_sink,
    data: *const c_void,
    size: usize,
) -> iouringnet_status {
    guard_transfer(|| {
        memory(data, size)?;
        let sink = handles::share(sink)?;
        // SAFETY: checked above; the caller keeps the bytes as they are until this call returns.
        sink.post(unsafe { slice(data, size) })
    })
}

/// Sends several pieces of memory as one, such as a header and its body, without waiting. The library copies the
/// bytes that the kernel does not take at once.
///
/// `parts`  The pieces, in order. NULL is allowed if `count` is 0.
/// `count`  Number of pieces; IOV_MAX is no bound. 0: the call succeeds, and nothing is sent.
///
/// The call is sink_post of the joined pieces: the sink accepts all of them or none. Posts and sends of one sink
/// share one order: the order of the calls. If a post fails after the call, the connection's watch and every later call
/// that sends get the error. A post on a broken sink gets the first cause. The idle limit of the connection
/// bounds posts; see connection_set_idle_timeout.
///
/// Owner:   The caller owns the array and the pieces again when the call returns.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The library has accepted the bytes. They go out even if the sink is closed
///                             next.
///   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken.
///                             connection_watch reports when there is room.
///   -ENOMEM                   There is no memory to copy more than 16 KiB. Nothing was taken. Exception: if
///                             part of the post had gone out, the sink is broken by this error.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
///                             sink.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused this or an earlier send, which broke the sink.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_INVALID        `parts` is NULL with a count, a piece is NULL with a size, a size is above
///                             PTRDIFF_MAX, or the sum is.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_postv(
    sink: *mut iouringnet_sink,
    parts: *const iovec,
    count: usize,
) -> iouringnet_status {
    guard_transfer(|| {
        // SAFETY: the caller passes so many readable pieces.
        let parts = unsafe { many(parts, count) }?;
        let sink = handles::share(sink)?;
        // SAFETY: the caller keeps the pieces as they are until this call returns.
        unsafe { sink.postv(parts) }
    })
}

/// Waits until the kernel has everything that the sink has accepted so far, posts included.
///
/// The call tells nothing about the peer's program. Only an answer of that program can. The time limit of the
/// sink covers the flush; see sink_set_timeout. A flush that times out leaves the sink good. A flush of a
/// broken sink gets the first cause.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. Or a limit of a drain or of posts passed, which broke
///                             the sink.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused an earlier send, which broke the sink.
///   IOURINGNET_CLOSED         connection_abort has ended the flush, or another thread has just closed the
///                             sink.
///   IOURINGNET_STOPPED        net_stop has begun before the flush, or has cut the sends before it.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_flush(sink: *mut iouringnet_sink) -> iouringnet_status {
    guard_blocking(|| handles::share_to_wait(sink)?.flush())
}

/// Completes when the kernel has everything that the sink has accepted so far, posts included.
///
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The completion tells nothing about the peer's program. Only an answer of that program can. The time limit
/// of the sink covers the flush; see sink_set_timeout. A flush that times out or is cancelled leaves the sink
/// good. A flush of a broken sink completes with the first cause.
///
/// Owner:   The caller releases the op. On failure `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The kernel has all bytes.
///   IOURINGNET_TIMEOUT        The time limit passed. Or a limit of a drain or of posts passed, which broke
///                             the sink.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the flush.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused an earlier send, which broke the sink. Or descriptors or
///                             memory ran short after both halves were closed.
///   IOURINGNET_CLOSED         connection_abort has ended the flush.
///   IOURINGNET_STOPPED        net_stop has cut the sends before the flush.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The flush is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_flush_async(
    sink: *mut iouringnet_sink,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard(|| {
        let sink = handles::share(sink)?;
        let start = |tell: Tell<'_>| sink.flush_async(tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(sink.net(), Notify { callback, user, op }, start) }
    })
}

/// Copies the caller's array of pieces, so that the array need not outlive the call.
///
/// # Safety
/// - `parts` is NULL or points to `count` readable pieces.
unsafe fn many(parts: *const iovec, count: usize) -> Result<Parts> {
    let size = count.checked_mul(size_of::<iovec>()).ok_or(Error::INVALID)?;
    memory(parts.cast(), size)?;
    let parts: Box<[iovec]> = match count {
        0 => Box::new([]),
        // SAFETY: not NULL and of a size that can be; the caller promises so many readable pieces.
        _ => unsafe { std::slice::from_raw_parts(parts, count) }.into(),
    };
    parts.iter().try_for_each(|part| memory(part.iov_base, part.iov_len))?;
    Many::new(parts).map(Parts::Many).ok_or(Error::INVALID)
}
