#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The receiving half of a connection: its buffered bytes, its time limit and its close.

use super::types::*;
use super::{guard, guard_transfer, guard_void, handles, limit, required};
use crate::error::Error;
use std::ffi::c_void;

/// Shows bytes that are already buffered. The call neither receives nor consumes any.
///
/// `max`   Largest number of bytes to show.
/// `data`  Set to the first byte on success.
/// `size`  Set to the number of bytes on success; it may be 0. It is always 0 on an unbuffered net.
///
/// Owner:   The library owns the bytes. They are valid until the next call on this stream or net_stop, from
///          any thread. On failure `*data` and `*size` are unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*data` and `*size` are set.
///   IOURINGNET_BUSY           A receive or a fill is pending, or a watch is armed.
///   IOURINGNET_CLOSED         connection_abort has ended the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_INVALID        `data` or `size` is NULL.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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

/// Consumes the first `size` buffered bytes. stream_peek shows them before.
///
/// `size`  Number of bytes, at most as many as are buffered.
///
/// Owner:   The bytes that stream_peek has shown are no longer valid.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The bytes are consumed.
///   IOURINGNET_BUSY           A receive or a fill is pending, or a watch is armed.
///   IOURINGNET_CLOSED         connection_abort has ended the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_INVALID        Fewer than `size` bytes are buffered. Nothing was consumed.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_consume(stream: *mut iouringnet_stream, size: usize) -> iouringnet_status {
    guard_transfer(|| handles::share(stream)?.consume(size))
}

/// Sets the time limit of later receives and fills: of the whole operation. Watches and forwards have no such
/// limit; see connection_set_idle_timeout and stream_set_deadline.
///
/// `timeout_ms`  Milliseconds.
///
///   `timeout_ms`                a receive or a fill
///   above 0                     limit of the whole operation
///   0                           one try, which succeeds if enough bytes are there
///   IOURINGNET_NO_TIMEOUT (-1)  no limit
///
/// One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
/// work.
///
/// A new stream has the config's `timeout_ms`. Operations that are already accepted keep their limits.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The limit is set.
///   IOURINGNET_INVALID        `timeout_ms` is below -1.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_set_timeout(
    stream: *mut iouringnet_stream,
    timeout_ms: i64,
) -> iouringnet_status {
    guard(|| {
        let timeout = limit(timeout_ms)?;
        handles::share(stream)?.set_timeout(timeout);
        Ok(())
    })
}

/// Sets how long the data callback of a connection_watch, or a stream_forward, may go on, whatever arrives. A
/// header that must be complete in time has such a deadline, because a byte every few seconds cannot move it.
///
/// The time counts from this call, or from the arming of `data` or the beginning of the forward if that is
/// later. Pauses count. When it has passed, `data` gets its last call with IOURINGNET_TIMEOUT, or the forward
/// ends with it. Another call of this function sets the time anew. Each later `data` or forward of this
/// stream has the same time. Receives and fills have none of it.
///
/// `deadline_ms`  Milliseconds. IOURINGNET_NO_TIMEOUT: no deadline, as a new stream has none.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback, the data callback included. Never blocks.
/// Returns:
///   0                         The deadline is set.
///   IOURINGNET_INVALID        `deadline_ms` is 0 or below -1.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_set_deadline(
    stream: *mut iouringnet_stream,
    deadline_ms: i64,
) -> iouringnet_status {
    guard(|| {
        let deadline = limit(deadline_ms)?;
        if deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(Error::INVALID);
        }
        handles::share(stream)?.set_deadline(deadline)
    })
}

/// Closes the half that receives. The handle is invalid at once.
///
/// Pending receives and the watch's last call get IOURINGNET_CLOSED, and the library discards buffered bytes.
/// NULL and closed handles do nothing.
///
/// While the sink is open, the library reads no further input. Therefore the peer's sends stall when the
/// buffers of the kernel are full. When the sink is closed too, the library reads and discards input until
/// the peer ends its side, or for `linger_ms` after the peer has acknowledged everything. `close_timeout_ms`
/// without progress ends the wait too. The library reads because unread input would reset the connection, and
/// the peer could lose bytes.
///
/// Owner:   The library owns the memory of pending receives until their completions. Bytes that stream_peek
///          has shown are no longer valid. Exception: bytes that a watch shows stay valid until its callback
///          returns.
/// Threads: Any thread, also inside a callback, the stream's own included. Never blocks. In a forked child
///          and inside a log callback it does nothing.
/// Returns: Nothing.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_close(stream: *mut iouringnet_stream) {
    guard_void(|| {
        if let Some(stream) = handles::retire(stream) {
            stream.close();
        }
    });
}
