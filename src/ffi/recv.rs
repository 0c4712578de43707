#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The receiving half of a connection: receives and fills.

use super::types::*;
use super::{Notify, guard_blocking_transfer, guard_counted, guard_transfer, handles, memory, submit};
use crate::completion::Tell;
use std::ffi::c_void;

/// Receives exactly as many bytes as asked for, and waits for them.
///
/// `into`      where to; the caller's again on return. NULL only with size 0.
/// `size`      bytes; 0 succeeds at once.
/// `received`  is set to the bytes received, also on failure; may be NULL.
///
/// No byte is lost on failure: a receive smaller than the config's `read_buffer` takes all or nothing, and
/// what had come stays for the next call; a larger one counts what it took. An error of the kernel's, such as
/// -EFAULT for memory that cannot be written, is the end of the stream: every later receive says it too.
///
/// Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK); receives on one stream complete in
///          the order of the calls.
/// Returns: IOURINGNET_EOF: the peer ended the stream first. -ECONNRESET: it reset the connection; never told
///          as the end of the stream. IOURINGNET_TIMEOUT: the stream's time limit came first.
///          IOURINGNET_CLOSED: closed or aborted meanwhile. IOURINGNET_BUSY: it is watched.
///          IOURINGNET_STOPPED; IOURINGNET_INVALID; IOURINGNET_LIMIT; IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_recv(
    stream: *mut iouringnet_stream,
    into: *mut c_void,
    size: usize,
    received: *mut usize,
) -> iouringnet_status {
    let recv = || {
        memory(into, size)?;
        let stream = handles::share(stream)?;
        // SAFETY: the caller leaves the memory to the library until this call returns, and so until the receive has completed.
        Ok(unsafe { stream.recv_raw(into.cast(), size) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(received, recv) }
}

/// Receives what is there, at least one byte, and waits if there is none.
///
/// `into`      where to; the caller's again on return. NULL only with size 0.
/// `size`      most bytes to receive; 0 succeeds at once.
/// `received`  is set to the bytes received; may be NULL.
///
/// Everything else as for stream_recv.
///
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_recv_some(
    stream: *mut iouringnet_stream,
    into: *mut c_void,
    size: usize,
    received: *mut usize,
) -> iouringnet_status {
    let recv = || {
        memory(into, size)?;
        let stream = handles::share(stream)?;
        // SAFETY: the caller leaves the memory to the library until this call returns, and so until the receive has completed.
        Ok(unsafe { stream.recv_some_raw(into.cast(), size) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(received, recv) }
}

/// Receives exactly as many bytes as asked for; the completion tells when they are there.
///
/// `into`      where to. It is the library's until the completion: neither freed, read nor written by the
///             caller.
/// `size`      bytes.
/// `callback`  is told the status and the bytes received. May be NULL where `op` is not.
/// `user`      handed to the callback.
/// `op`        is set to an op for waiting and cancelling, which is the caller's to release; NULL: none.
///
/// Order, and bytes on failure, as for stream_recv.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: The completion brings the statuses of stream_recv, or IOURINGNET_CANCELLED. Refused with
///          IOURINGNET_INVALID, IOURINGNET_BUSY (it is watched), IOURINGNET_LIMIT, IOURINGNET_CLOSED,
///          IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback never runs, `*op` is unchanged and the
///          memory is the caller's.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_recv_async(
    stream: *mut iouringnet_stream,
    into: *mut c_void,
    size: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        memory(into, size)?;
        let stream = handles::share(stream)?;
        // SAFETY: the caller leaves the memory to the library until the completion.
        let start = |tell: Tell<'_>| unsafe { stream.recv_raw_async(into.cast(), size, tell) };
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(stream.net(), Notify { callback, user, op }, start) }
    })
}

/// Receives what is there, at least one byte; the completion tells when something is.
///
/// `size`  most bytes to receive.
///
/// Everything else as for stream_recv_async.
///
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_recv_some_async(
    stream: *mut iouringnet_stream,
    into: *mut c_void,
    size: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        memory(into, size)?;
        let stream = handles::share(stream)?;
        // SAFETY: the caller leaves the memory to the library until the completion.
        let start = |tell: Tell<'_>| unsafe { stream.recv_some_raw_async(into.cast(), size, tell) };
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(stream.net(), Notify { callback, user, op }, start) }
    })
}

/// Waits until so many bytes are buffered, for stream_peek to show.
///
/// `size`  bytes, those that are buffered already included; at most the config's `buffer_max`.
///
/// What had come before a failure stays buffered.
///
/// Threads: Blocks. Any thread, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: IOURINGNET_TOO_BIG: more than `buffer_max`. IOURINGNET_INVALID: the net is unbuffered. Else as
///          for stream_recv.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_fill(stream: *mut iouringnet_stream, size: usize) -> iouringnet_status {
    guard_blocking_transfer(|| handles::share(stream)?.fill(size))
}

/// Tells when so many bytes are buffered, for stream_peek to show.
///
/// `size`  as for stream_fill.
///
/// `callback`, `user`, `op`, refusals and threads as for stream_recv_async, and what is more than `buffer_max`
/// is refused with IOURINGNET_TOO_BIG; statuses as for stream_fill.
///
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_fill_async(
    stream: *mut iouringnet_stream,
    size: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        let stream = handles::share(stream)?;
        let start = |tell: Tell<'_>| stream.fill_async(size, tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(stream.net(), Notify { callback, user, op }, start) }
    })
}
