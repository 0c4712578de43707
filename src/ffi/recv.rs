#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The receiving half of a connection: receives and fills.

use super::types::*;
use super::{
    Notify, guard_blocking_transfer, guard_counted, guard_transfer, handles, memory, searched_for, submit,
};
use crate::completion::Tell;
use std::ffi::c_void;

/// Receives exactly `size` bytes, and waits for them.
///
/// `into`      Memory for the bytes. NULL is allowed if `size` is 0.
/// `size`      Number of bytes. 0: the call succeeds at once.
/// `received`  Set to the number of bytes received, also on failure. NULL: not set.
///
/// The receives of one stream complete in the order of the calls. The time limit of the stream covers the
/// whole receive; see stream_set_timeout. No byte is lost on failure:
///
///   `size`                            on failure
///   below the config's `read_buffer`  `*received` is 0, and the bytes that arrived stay for the next call
///   any other                         `*received` counts the bytes that are in `into`
///
/// Owner:   The caller owns `into` again when the call returns.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         All bytes are in `into`.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
///                             receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte was taken.
///   IOURINGNET_INVALID        `into` is NULL with a size, or `size` is above PTRDIFF_MAX.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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
        let stream = handles::share_to_wait(stream)?;
        // SAFETY: the caller leaves the memory to the library until this call returns, and so until the receive has completed.
        Ok(unsafe { stream.recv_raw(into.cast(), size) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(received, recv) }
}

/// Receives the bytes that are there, at least one, and waits if there is none.
///
/// `into`      Memory for the bytes. NULL is allowed if `size` is 0.
/// `size`      Largest number of bytes to receive. 0: the call succeeds at once.
/// `received`  Set to the number of bytes received; 0 on failure. NULL: not set.
///
/// The receives of one stream complete in the order of the calls. The time limit of the stream covers the
/// receive; see stream_set_timeout.
///
/// Owner:   The caller owns `into` again when the call returns.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         At least one byte is in `into`.
///   IOURINGNET_EOF            The peer ended the stream, and no byte is left.
///   -ECONNRESET               The peer has reset the connection, and no byte is left.
///   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
///                             receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight. No byte was taken.
///   IOURINGNET_INVALID        `into` is NULL with a size, or `size` is above PTRDIFF_MAX.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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
        let stream = handles::share_to_wait(stream)?;
        // SAFETY: the caller leaves the memory to the library until this call returns, and so until the receive has completed.
        Ok(unsafe { stream.recv_some_raw(into.cast(), size) })
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(received, recv) }
}

/// Receives exactly `size` bytes. It completes when they are all there.
///
/// `into`      Memory for the bytes. NULL is allowed if `size` is 0.
/// `size`      Number of bytes. 0: the receive completes at once.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The receives of one stream complete in the order of the calls. The time limit of the stream covers the
/// whole receive; see stream_set_timeout. No byte is lost on failure:
///
///   `size`                            on failure
///   below the config's `read_buffer`  `bytes` is 0, and the bytes that arrived stay for the next receive
///   any other                         `bytes` counts the bytes that are in `into`
///
/// Owner:   The library owns `into` until the completion. The caller neither frees, reads nor writes it
///          before. The caller releases the op. On failure of the call the caller owns `into`, and `*op` is
///          unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         All bytes are in `into`.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
///                             receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has ended the receive.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The receive is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `into` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
///                             and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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

/// Receives the bytes that are there, at least one. It completes when there is one.
///
/// `into`      Memory for the bytes. NULL is allowed if `size` is 0.
/// `size`      Largest number of bytes to receive. 0: the receive completes at once.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The receives of one stream complete in the order of the calls. The time limit of the stream covers the
/// receive; see stream_set_timeout. `bytes` of the completion is the number of bytes received; 0 on failure.
///
/// Owner:   The library owns `into` until the completion. The caller neither frees, reads nor writes it
///          before. The caller releases the op. On failure of the call the caller owns `into`, and `*op` is
///          unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         At least one byte is in `into`.
///   IOURINGNET_EOF            The peer ended the stream, and no byte is left.
///   -ECONNRESET               The peer has reset the connection, and no byte is left.
///   another errno             The kernel failed, such as with -EFAULT if `into` cannot be written. Later
///                             receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the receive.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the receive, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has ended the receive.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The receive is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `into` is NULL with a size, `size` is above PTRDIFF_MAX, or both `callback`
///                             and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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

/// Waits until `size` bytes are buffered. stream_peek then shows them.
///
/// `size`  Number of bytes, including the bytes that are already buffered. Range: 0 to the config's
///         `buffer_max`. 0: the call succeeds at once.
///
/// The time limit of the stream covers the fill; see stream_set_timeout. On failure, the bytes that arrived
/// stay buffered.
///
/// Owner:   The library owns the buffer.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         At least `size` bytes are buffered.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed. Later receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the fill, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight.
///   IOURINGNET_TOO_BIG        `size` is above `buffer_max`.
///   IOURINGNET_INVALID        The net is unbuffered.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_fill(stream: *mut iouringnet_stream, size: usize) -> iouringnet_status {
    guard_blocking_transfer(|| handles::share_to_wait(stream)?.fill(size))
}

/// Completes when `size` bytes are buffered. stream_peek then shows them.
///
/// `size`      Number of bytes, including the bytes that are already buffered. Range: 0 to the config's
///             `buffer_max`. 0: the fill completes at once.
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The time limit of the stream covers the fill; see stream_set_timeout. On failure, the bytes that arrived
/// stay buffered.
///
/// Owner:   The library owns the buffer. The caller releases the op. On failure of the call `*op` is
///          unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         At least `size` bytes are buffered.
///   IOURINGNET_EOF            The peer ended the stream before `size` bytes.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed. Later receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the fill.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the fill, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has ended the fill.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The fill is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_TOO_BIG        `size` is above `buffer_max`.
///   IOURINGNET_INVALID        The net is unbuffered, or both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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

/// Waits until a mark is buffered, such as the end of a line. stream_peek then shows the bytes before it.
///
/// `mark`       The bytes to look for. The library copies them.
/// `mark_size`  Number of bytes of the mark. Range: 1 to 16.
/// `max`        Largest number of bytes to look at, with the mark. Range: `mark_size` to the config's
///              `buffer_max`.
/// `size`       Set to the number of bytes up to the end of the first mark; 0 on failure. NULL: not set.
///
/// The call takes no byte. stream_consume drops the line, and the next call finds the next one. More bytes
/// than `*size` may be buffered. The time limit of the stream covers the call; see stream_set_timeout. On
/// failure, the bytes that arrived stay buffered. A later call with the same mark does not look at them again,
/// unless bytes were consumed.
///
/// Owner:   The library owns the buffer. The caller owns `mark`.
/// Threads: Any thread, but not inside a callback. Blocks.
/// Returns:
///   0                         The first `*size` buffered bytes end with the mark.
///   IOURINGNET_TOO_BIG        `max` bytes are buffered, and the mark is not among them.
///   IOURINGNET_EOF            The peer ended the stream before a mark.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed. Later receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the call, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight.
///   IOURINGNET_INVALID        `mark` is NULL, `mark_size` or `max` is out of its range, or the net is
///                             unbuffered.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_fill_until(
    stream: *mut iouringnet_stream,
    mark: *const c_void,
    mark_size: usize,
    max: usize,
    size: *mut usize,
) -> iouringnet_status {
    let fill = || {
        // SAFETY: the caller passes NULL or `mark_size` bytes that can be read.
        let mark = unsafe { searched_for(mark, mark_size) }?;
        handles::share_to_wait(stream)?.fill_until(mark, max)
    };
    // SAFETY: the caller passes NULL or a count that can be written.
    unsafe { guard_counted(size, fill) }
}

/// Completes when a mark is buffered, such as the end of a line. stream_peek then shows the bytes before it.
///
/// `mark`       The bytes to look for. The library copies them during the call.
/// `mark_size`  Number of bytes of the mark. Range: 1 to 16.
/// `max`        Largest number of bytes to look at, with the mark. Range: `mark_size` to the config's
///              `buffer_max`.
/// `callback`   Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///              not be NULL.
/// `user`       Passed to `callback`. The library never follows it.
/// `op`         Set to a new op before the callback can run. NULL: the call makes no op.
///
/// `bytes` of the completion is the number of bytes up to the end of the first mark; 0 on failure. The
/// operation takes no byte. stream_consume drops the line, and the next call finds the next one. More bytes
/// may be buffered. The time limit of the stream covers the operation; see stream_set_timeout. On failure, the
/// bytes that arrived stay buffered. A later call with the same mark does not look at them again, unless bytes
/// were consumed.
///
/// Owner:   The library owns the buffer. The caller owns `mark`, and releases the op. On failure of the call
///          `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The first `bytes` buffered bytes end with the mark.
///   IOURINGNET_TOO_BIG        `max` bytes are buffered, and the mark is not among them.
///   IOURINGNET_EOF            The peer ended the stream before a mark.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed. Later receives get this errno too.
///   IOURINGNET_TIMEOUT        The time limit or the connection's idle limit passed.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the operation.
///   IOURINGNET_CLOSED         stream_close or connection_abort has ended the operation, or connection_abort came
///                             before it.
///   IOURINGNET_STOPPED        net_stop has ended the operation.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The operation is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed the stream.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `mark` is NULL, `mark_size` or `max` is out of its range, the net is
///                             unbuffered, or both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_fill_until_async(
    stream: *mut iouringnet_stream,
    mark: *const c_void,
    mark_size: usize,
    max: usize,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard_transfer(|| {
        // SAFETY: the caller passes NULL or `mark_size` bytes that can be read.
        let mark = unsafe { searched_for(mark, mark_size) }?;
        let stream = handles::share(stream)?;
        let start = |tell: Tell<'_>| stream.fill_until_async(mark, max, tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(stream.net(), Notify { callback, user, op }, start) }
    })
}
