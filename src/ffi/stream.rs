#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The receiving half of a connection: its buffered bytes, its time limit and its close.

use super::types::*;
use super::{guard, guard_transfer, guard_void, handles, limit, required};
use std::ffi::c_void;

/// Shows bytes that are buffered already, without receiving any and without consuming them.
///
/// `max`   most bytes to show.
/// `data`  is set to the bytes, which stay the library's and live until the next call on this stream.
/// `size`  is set to their number, which may be 0.
///
/// On failure both are unchanged. An unbuffered net never shows any.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_BUSY: a receive is pending, or the stream is watched. IOURINGNET_INVALID: `data` or
///          `size` is NULL. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_peek(
    stream: *mut iouringnet_stream,
    max: usize,
    data: *mut *const c_void,
    size: *mut usize,
) -> iouringnet_status {
    guard_transfer(|| {
        required(data)?;
        required(size)?;
        let (bytes, count) = handles::share(stream)?.peek(max)?;
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*data, *size) = (bytes.cast(), count) };
        Ok(())
    })
}

/// Consumes buffered bytes, those that stream_peek has shown.
///
/// `size`  bytes, at most as many as are buffered.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: so many are not buffered, and nothing is consumed. IOURINGNET_BUSY: a receive
///          is pending, or the stream is watched. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED,
///          IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_consume(stream: *mut iouringnet_stream, size: usize) -> iouringnet_status {
    guard_transfer(|| handles::share(stream)?.consume(size))
}

/// Sets the time limit of receives and fills that follow, and of the watch.
///
/// `timeout_ms`  milliseconds for the whole of an operation; 0: one try, which succeeds if enough is there;
///               IOURINGNET_NO_TIMEOUT: none. A watch may go that long without a byte, paused time apart; for
///               it 0 means no limit.
///
/// Operations under way keep theirs; a watch follows at once.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: another negative number. IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_set_timeout(
    stream: *mut iouringnet_stream,
    timeout_ms: i64,
) -> iouringnet_status {
    guard(|| {
        let timeout = limit(timeout_ms)?;
        handles::share(stream)?.set_timeout(timeout)
    })
}

/// Closes the receiving half. The handle is gone at once.
///
/// Pending receives and the watch's last call get IOURINGNET_CLOSED, and buffered bytes are discarded. The
/// peer is not told, but nothing is read any more, so that its sends stall once the kernel's buffers are full.
/// That ends when the sink is closed too: from then on input is discarded until the peer ends its side, at
/// most for the config's `linger_ms` after it has acknowledged everything. Otherwise unread input would reset
/// what was sent. NULL and handles that are closed already do nothing.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_close(stream: *mut iouringnet_stream) {
    guard_void(|| {
        if let Some(stream) = handles::retire(stream) {
            stream.close();
        }
    });
}
