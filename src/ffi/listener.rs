#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A listener: accept by wait or by completion, its address, and its close.

use super::types::*;
use super::versioned::characters;
use super::{Notify, guard, guard_blocking, guard_void, handles, required, submit_connection};
use crate::completion::Tell;
use std::ffi::c_void;

/// Accepts one connection, and waits for it.
///
/// `sink`    Set to the half that sends, on success.
/// `stream`  Set to the half that receives, on success.
///
/// The call has no time limit. For a limit, use listener_accept_async and op_wait. Neither a shortage of
/// descriptors nor an error of one connection ends the accept; the library counts them in `accept_errors`. A
/// shortage ends the oldest closed connection that drains or lingers.
///
/// Owner:   The caller closes both halves. On failure `*sink` and `*stream` are unchanged.
/// Threads: Any thread, but not inside a callback. Several threads may accept at the same time. Blocks.
/// Returns:
///   0                         The connection is open.
///   IOURINGNET_CLOSED         Another thread has closed the listener.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        `sink` or `stream` is NULL.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_accept(
    listener: *mut iouringnet_listener,
    sink: *mut *mut iouringnet_sink,
    stream: *mut *mut iouringnet_stream,
) -> iouringnet_status {
    guard_blocking(|| {
        required(sink)?;
        required(stream)?;
        let listener = handles::share_to_wait(listener)?;
        let pair = handles::publish_pair(listener.accept()?, listener.net())?;
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*sink, *stream) = pair };
        Ok(())
    })
}

/// Accepts one connection. The completion has it.
///
/// `callback`  Gets the completion on the callback thread of the net. NULL: no callback, and then `op` must
///             not be NULL.
/// `user`      Passed to `callback`. The library never follows it.
/// `op`        Set to a new op before the callback can run. NULL: the call makes no op.
///
/// The accept has no time limit; op_cancel ends it. Neither a shortage of descriptors nor an error of one
/// connection ends it; the library counts them in `accept_errors`. A shortage ends the oldest closed
/// connection that drains or lingers.
///
/// Owner:   With a callback, the callback receives the connection and closes both halves. Without one, the
///          first op_wait that fills in a completion receives it; later ones get NULL. If nobody receives it,
///          op_release or net_stop closes it. The caller releases the op. On failure `*op` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Completion:
///   0                         The connection is open: `sink` and `stream` of the completion.
///   IOURINGNET_CANCELLED      op_cancel has cancelled the accept.
///   IOURINGNET_CLOSED         listener_close has ended the accept.
///   IOURINGNET_STOPPED        net_stop has ended the accept, or has closed a connection that nobody
///                             received.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The accept is accepted. It completes exactly once.
///   IOURINGNET_CLOSED         Another thread has just closed the listener.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BUSY           A watch is armed.
///   IOURINGNET_LIMIT          `max_operations` operations are in flight, or the process has too many
///                             handles.
///   IOURINGNET_INVALID        Both `callback` and `op` are NULL.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_accept_async(
    listener: *mut iouringnet_listener,
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
) -> iouringnet_status {
    guard(|| {
        let listener = handles::share(listener)?;
        let start = |tell: Tell<'_>| listener.accept_async(tell);
        // SAFETY: the caller's promises for callback, user and op are those of `submit_connection`.
        unsafe { submit_connection(listener.net(), Notify { callback, user, op }, start) }
    })
}

/// Gets the address that a listener is bound to. If the caller bound port 0, the address has the port that
/// the system chose.
///
/// `address`  Set to the address on success.
///
/// Owner:   The caller owns `*address`.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*address` has the address.
///   IOURINGNET_INVALID        `address` is NULL.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_address(
    listener: *mut iouringnet_listener,
    address: *mut iouringnet_address,
) -> iouringnet_status {
    guard(|| {
        required(address)?;
        let text = characters(handles::share(listener)?.address());
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { address.write(iouringnet_address { text }) };
        Ok(())
    })
}

/// Closes a listener. The handle is invalid at once. The address can be bound again when the call returns.
///
/// The library first delivers the connections that it has taken from the kernel to pending accepts or to the
/// watch. The kernel resets the connections that still wait in it. Then pending accepts and the watch's last
/// call get IOURINGNET_CLOSED. NULL and closed handles do nothing.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback, the listener's own included. Never blocks. In a forked child
///          and inside a log callback it does nothing.
/// Returns: Nothing.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_close(listener: *mut iouringnet_listener) {
    guard_void(|| {
        if let Some(listener) = handles::retire(listener) {
            listener.close();
        }
    });
}
