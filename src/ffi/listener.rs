#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A listener: accept by wait or by completion, its address, and its close.

use super::types::*;
use super::versioned::characters;
use super::{Notify, guard, guard_blocking, guard_void, handles, required, submit};
use crate::completion::Tell;
use std::ffi::c_void;

/// Accepts one connection and waits for it.
///
/// `sink`  is set to the sending half, `stream` to the receiving half. Each is the caller's to close.
///
/// On failure both are unchanged. Has no time limit: use listener_accept_async and op_wait for one. Neither a
/// shortage of descriptors nor an error of one connection ends it; see `accept_errors` and `drains_shed`.
///
/// Threads: Blocks. Any thread, several at a time, but no callback (IOURINGNET_IN_CALLBACK).
/// Returns: IOURINGNET_CLOSED: the listener was closed meanwhile. IOURINGNET_BUSY: it is watched.
///          IOURINGNET_INVALID, IOURINGNET_STOPPED, IOURINGNET_LIMIT, IOURINGNET_BAD_HANDLE.
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
        let listener = handles::share(listener)?;
        let pair = handles::publish_pair(listener.accept()?, listener.net())?;
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*sink, *stream) = pair };
        Ok(())
    })
}

/// Accepts one connection; the completion brings it.
///
/// `callback`, `user`, `op`  as for net_dial_async, and the connection is owned as there.
///
/// Has no time limit; op_cancel ends it.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: The completion brings the connection, IOURINGNET_CANCELLED, IOURINGNET_CLOSED or
///          IOURINGNET_STOPPED. Refused with IOURINGNET_INVALID, IOURINGNET_BUSY (it is watched),
///          IOURINGNET_LIMIT, IOURINGNET_CLOSED, IOURINGNET_STOPPED or IOURINGNET_BAD_HANDLE, the callback
///          never runs and `*op` is unchanged.
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
        // SAFETY: the caller's promises for callback, user and op are those of `submit`.
        unsafe { submit(listener.net(), Notify { callback, user, op }, start) }
    })
}

/// Tells the address that a listener is bound to, with the port that the system chose where 0 was asked for.
///
/// `address`  is set on success.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: `address` is NULL. IOURINGNET_BAD_HANDLE.
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

/// Stops listening. The handle is gone at once.
///
/// Connections that were already taken from the kernel are still delivered; those that wait in it are reset.
/// Pending accepts and the watch's last call get IOURINGNET_CLOSED. NULL and handles that are closed already
/// do nothing.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_close(listener: *mut iouringnet_listener) {
    guard_void(|| {
        if let Some(listener) = handles::retire(listener) {
            listener.close();
        }
    });
}
