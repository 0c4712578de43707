#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The sending half of a connection: sends, posts and flushes.

use super::types::*;
use super::{Notify, guard, guard_blocking, guard_counted, guard_transfer, handles, memory, submit};
use crate::completion::Tell;
use crate::error::{Error, Result};
use crate::parts::{Many, Parts};
use libc::iovec;
use std::ffi::c_void;
use std::ptr::NonNull;

/// Sends all of a piece of memory, and waits until the kernel has it.
///
/// `data`  what to send, the caller's again on return. NULL only with size 0.
/// `size`  bytes; 0 succeeds at once.
/// `sent`  is set to the bytes that went out, also on failure; may be NULL.
///
/// Sends on one sink go out whole and in the order of the calls, whichever threads make them.
///
/// Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: IOURINGNET_TIMEOUT: the sink's time limit ended it; with no byte out the sink stays good, with
///          some out every later send says IOURINGNET_TORN. -ECONNRESET: the peer is gone; other errnos.
///          IOURINGNET_CLOSED: aborted meanwhile. IOURINGNET_STOPPED; IOURINGNET_INVALID; IOURINGNET_LIMIT;
///          IOURINGNET_BAD_HANDLE.
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
        let sink = handles::share(sink)?;
        // SAFETY: the caller keeps the memory as it is until this call returns, and so until the send has completed.
        Ok(unsafe { sink.send_parts(Parts::One(data.cast(), size)) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(sent, send) }
}

/// Sends several pieces of memory as one, and waits until the kernel has them. A header and its body, say.
///
/// `parts`  the pieces, in order; both the array and the memory are the caller's again on return.
/// `count`  pieces; 0 succeeds at once. Not bounded by IOV_MAX.
/// `sent`   is set to the bytes that went out, also on failure; may be NULL.
///
/// Everything else as for sink_send.
///
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
        let sink = handles::share(sink)?;
        // SAFETY: the caller keeps the memory as it is until this call returns, and so until the send has completed.
        Ok(unsafe { sink.send_parts(parts) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(sent, send) }
}

/// Sends all of a piece of memory; the completion tells when the kernel has it.
///
/// `data`      what to send. It is the library's until the completion: neither freed nor changed by the
///             caller.
/// `size`      bytes.
/// `callback`  is told the status and the bytes that went out. May be NULL where `op` is not.
/// `user`      handed to the callback.
/// `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
///
/// Order as for sink_send.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: The completion brings the statuses of sink_send, and IOURINGNET_CANCELLED, which tears a send
///          that is partly out as a timeout does. Refused with IOURINGNET_INVALID, IOURINGNET_LIMIT,
///          IOURINGNET_CLOSED, IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback never runs, `*op` is
///          unchanged and the memory is the caller's.
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

/// Sends several pieces of memory as one; the completion tells when the kernel has them.
///
/// `parts`  the pieces, in order. The array is copied and the caller's again on return; the memory that it
///          names is the library's until the completion.
/// `count`  pieces.
///
/// Everything else as for sink_send_async.
///
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

/// Sends all of a piece of memory without waiting, and copies what does not go at once.
///
/// `data`  what to send, the caller's again on return. NULL only with size 0.
/// `size`  bytes. Any size is accepted while the sink's posted and unsent bytes are below the config's
///         `post_mark`.
///
/// Posts and sends on one sink share one order. A post that fails later shows in the sink's watch and in
/// every later call on the sink.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: 0: the bytes are accepted, and go out even if the sink is closed next. IOURINGNET_FULL: the mark
///          is reached and nothing was taken; sink_watch tells when there is room. -ENOMEM: there is no
///          memory to copy more than 16 KiB; nothing was taken or, if a part had gone, the sink is broken by
///          this error.
///          IOURINGNET_TORN or the first cause: the sink is broken. -ECONNRESET and other errnos,
///          IOURINGNET_CLOSED, IOURINGNET_STOPPED, IOURINGNET_INVALID, IOURINGNET_BAD_HANDLE.
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
        // What is empty may be NULL in C, and points to nothing that is read.
        let data = if size == 0 { NonNull::dangling().as_ptr() } else { data.cast() };
        // SAFETY: not NULL and of a size that can be; the caller keeps so many bytes as they are until this call returns.
        sink.post(unsafe { std::slice::from_raw_parts(data, size) })
    })
}

/// Waits until the kernel has everything that this sink has accepted so far, posts included.
///
/// Says nothing about the peer's program, which only an answer of its own can do.
///
/// Threads: Blocks, within the sink's time limit. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: Errors as for sink_send.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_flush(sink: *mut iouringnet_sink) -> iouringnet_status {
    guard_blocking(|| handles::share(sink)?.flush())
}

/// Tells when the kernel has everything that this sink has accepted so far, posts included.
///
/// `callback`, `user`, `op`, refusals and threads as for sink_send_async.
///
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

/// The caller's array of pieces, copied, so that the array need not outlive the call.
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
