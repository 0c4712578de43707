#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The watches of listeners, sinks and streams.

use super::types::*;
use super::{User, attach, completion, guard, handles, status};
use crate::completion::Outcome;
use crate::error::Result;
use crate::net::Net;
use crate::socket::Socket;
use std::ffi::c_void;
use std::sync::Arc;

/// Accepts every connection from now on, and calls for each.
///
/// `callback`  is told status 0 with `sink` and `stream`, which are from then on its own to close; and once
///             and last a status that is not 0. NULL: ends the watch, whose last call then says
///             IOURINGNET_CANCELLED.
/// `user`      handed to the callback, and used no more after the last call.
///
/// The last call says IOURINGNET_CANCELLED, IOURINGNET_CLOSED or IOURINGNET_STOPPED. Neither a shortage of
/// descriptors nor an error of one connection ends the watch; see `accept_errors` and `drains_shed`. A listener
/// whose watch has ended accepts nothing, lets the kernel queue, and may be watched again.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_BUSY: it is watched already, the last call of the watch before has not begun, or
///          accepts are pending. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_watch(
    listener: *mut iouringnet_listener,
    callback: iouringnet_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| {
        let listener = handles::share(listener)?;
        listener.watch(accept_callback(listener.net(), callback, user))
    })
}

/// Watches a sink for room, and for its end.
///
/// `callback`  is told status 0 once after each IOURINGNET_FULL, when half of `post_mark` is free again; and
///             once and last a status that is not 0. NULL: ends the watch, whose last call then says
///             IOURINGNET_CANCELLED.
/// `user`      handed to the callback, and used no more after the last call.
///
/// If room has come before the watch is armed, it is told at once. The last call tells how the sink ended.
/// After sink_close that is the end of the drain: IOURINGNET_CLOSED if everything went out, else the cause. It
/// may also be the cause that broke the sink, which a watch armed later is told at once, or
/// IOURINGNET_STOPPED. A reset by the peer breaks the sink also while nothing is sent and nothing is received.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_BUSY: it is watched already, or the last call of the watch before has not begun.
///          IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE. NULL without a watch does nothing, and 0 is returned.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_watch(
    sink: *mut iouringnet_sink,
    callback: iouringnet_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| handles::share(sink)?.watch(room_callback(callback, user)))
}

/// Passes all bytes that are received from now on to a callback, until the stream ends.
///
/// `callback`  is shown the bytes and returns how many it has consumed; and once and last, after all bytes,
///             is told a status that is not 0 with `data` NULL. NULL: ends the watch, whose last call then
///             says IOURINGNET_CANCELLED.
/// `user`      handed to the callback, and used no more after the last call: free it there.
///
/// Bytes that were buffered before are shown first. Bytes left unconsumed are shown again together with the
/// next to arrive, and stay receivable when the watch has ended. The last call says IOURINGNET_EOF,
/// -ECONNRESET, IOURINGNET_TIMEOUT (so long without a byte, where a time limit is set), IOURINGNET_TOO_BIG
/// (more than `buffer_max` left unconsumed), IOURINGNET_INVALID (it returned more than it was shown),
/// IOURINGNET_CANCELLED, IOURINGNET_CLOSED or IOURINGNET_STOPPED. Closing the handle stays the caller's, and
/// is legal in the callback.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_BUSY: it is watched already, the last call of the watch before has not begun, or
///          receives are pending. IOURINGNET_CLOSED: aborted. IOURINGNET_STOPPED, IOURINGNET_BAD_HANDLE. NULL
///          without a watch does nothing, and 0 is returned.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_watch(
    stream: *mut iouringnet_stream,
    callback: iouringnet_data_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| handles::share(stream)?.watch(data_callback(callback, user)))
}

/// Holds a watch, so that TCP holds the peer back.
///
/// After it returns no call of the watch is begun, but the last one. One that the callback thread has begun by
/// then may still go on, or be about to enter the callback. The end of the stream waits for stream_resume; a
/// close, an abort and net_stop do not. Bytes that arrive while paused never end the watch with
/// IOURINGNET_TOO_BIG. Pausing twice is the same as once.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Returns: IOURINGNET_INVALID: it is not watched. IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_pause(stream: *mut iouringnet_stream) -> iouringnet_status {
    guard(|| handles::share(stream)?.pause())
}

/// Lets a paused watch go on. If bytes were kept it is called with them soon, without waiting for further
/// ones.
///
/// Without a pause it does nothing.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Returns: IOURINGNET_INVALID: it is not watched. IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_resume(stream: *mut iouringnet_stream) -> iouringnet_status {
    guard(|| handles::share(stream)?.resume())
}

type Accepted = Box<dyn FnMut(Result<Arc<Socket>>) + Send>;

/// The core's form of a C callback that is told every connection, and the end.
fn accept_callback(net: &Arc<Net>, callback: iouringnet_callback, user: *mut c_void) -> Option<Accepted> {
    let function = callback?;
    let (net, user) = (Arc::clone(net), User(user));
    Some(Box::new(move |event| {
        let mut done =
            completion(Outcome { result: event.as_ref().map(|_| ()).map_err(|&error| error), bytes: 0 });
        if let Ok(socket) = event {
            let pair = handles::publish_connection(socket, &net);
            if pair.is_err() {
                // The connection is closed. A status that is not 0 would be the last call, and the watch goes on.
                return;
            }
            attach(&mut done, pair);
        }
        // SAFETY: the caller passed a function that may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &done) }
    }))
}

/// The core's form of a C callback that is told room, and the end.
fn room_callback(callback: iouringnet_callback, user: *mut c_void) -> Option<Box<dyn FnMut(Result) + Send>> {
    let function = callback?;
    let user = User(user);
    Some(Box::new(move |result| {
        let done = completion(Outcome { result, bytes: 0 });
        // SAFETY: the caller passed a function that may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &done) }
    }))
}

type Received = Box<dyn FnMut(Result, &[u8]) -> usize + Send>;

/// The core's form of a C callback that is shown bytes, and told the end.
fn data_callback(callback: iouringnet_data_callback, user: *mut c_void) -> Option<Received> {
    let function = callback?;
    let user = User(user);
    Some(Box::new(move |result, bytes| {
        let (data, size) =
            if result.is_ok() { (bytes.as_ptr().cast(), bytes.len()) } else { (std::ptr::null(), 0) };
        // SAFETY: the caller passed a function that may be called with its pointer on the net's thread; `bytes` outlives the call.
        unsafe { function(user.pointer(), status(result), data, size) }
    }))
}
