#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The watch of a listener, and what may be done with a watched stream.

use super::types::*;
use super::{User, attach, completion, guard, handles};
use crate::completion::Outcome;
use crate::error::{Error, Result};
use crate::net::Net;
use crate::socket::Socket;
use std::ffi::c_void;
use std::sync::Arc;

/// Accepts every connection from now on, and calls a callback for each.
///
/// `callback`  Called for each connection, and once more for the end.
/// `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
///             free it there.
///
/// Neither a shortage of descriptors nor an error of one connection ends the watch; the library counts them
/// in `accept_errors`. A shortage ends the oldest closed connection that drains or lingers. After the last
/// call, connections wait in the kernel, and the listener may be watched again.
///
/// Owner:   The callback receives each connection and closes both halves. The end of the watch does not close
///          the listener: the caller closes it.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Calls:
///   0                         There is a connection: `sink` and `stream` of the completion.
///   IOURINGNET_CANCELLED      Last call: listener_unwatch.
///   IOURINGNET_CLOSED         Last call: listener_close.
///   IOURINGNET_STOPPED        Last call: net_stop.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
/// Returns:
///   0                         The watch is armed.
///   IOURINGNET_INVALID        `callback` is NULL.
///   IOURINGNET_BUSY           A watch is armed, the last call of the previous watch has not begun, or
///                             accepts are pending.
///   IOURINGNET_CLOSED         Another thread has just closed the listener.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_watch(
    listener: *mut iouringnet_listener,
    callback: iouringnet_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| {
        let listener = handles::share(listener)?;
        let callback = accept_callback(listener.net(), callback, user).ok_or(Error::INVALID)?;
        listener.watch(callback)
    })
}

/// Ends the watch of a listener with IOURINGNET_CANCELLED. After that last call, connections wait in the
/// kernel. If no watch is armed, the call does nothing.
///
/// Owner:   Nothing changes its owner. The library uses the user pointer of the watch until its last call.
/// Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
/// Returns:
///   0                         The end is requested, or there is no watch.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_unwatch(listener: *mut iouringnet_listener) -> iouringnet_status {
    guard(|| {
        handles::share(listener)?.unwatch();
        Ok(())
    })
}

/// Ends the data callback of a stream with IOURINGNET_CANCELLED. The rest of its connection_watch goes on.
///
/// Inside that last call, a receive or another data callback may begin. Bytes that the callback did not
/// consume can still be received. If the stream has no data callback, the call does nothing.
///
/// Owner:   Nothing changes its owner. The library uses the user pointer of the data callback until its last
///          call.
/// Threads: Any thread, also inside a callback, the data callback included. Never blocks.
/// Returns:
///   0                         The end is requested, or there is no data callback.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_unwatch(stream: *mut iouringnet_stream) -> iouringnet_status {
    guard(|| {
        handles::share(stream)?.unwatch();
        Ok(())
    })
}

/// Pauses the watch of a stream. TCP then holds the peer back.
///
/// After the call, no call of the callback begins. Exceptions: the last call may begin, and the callback
/// thread may be about to enter a call that it began before. The end of the stream waits for stream_resume. A
/// close, an abort and net_stop do not wait. Bytes that arrive during a pause never end the watch with
/// IOURINGNET_TOO_BIG. Pausing twice is the same as pausing once.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
/// Returns:
///   0                         The watch is paused.
///   IOURINGNET_INVALID        No watch is armed.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_pause(stream: *mut iouringnet_stream) -> iouringnet_status {
    guard(|| handles::share(stream)?.pause())
}

/// Resumes the paused watch of a stream. If the library has kept bytes, it soon calls the callback with them,
/// and does not wait for further bytes.
///
/// Without a pause the call does nothing.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback, the watch's own included. Never blocks.
/// Returns:
///   0                         The watch is not paused.
///   IOURINGNET_INVALID        No watch is armed.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_resume(stream: *mut iouringnet_stream) -> iouringnet_status {
    guard(|| handles::share(stream)?.resume())
}

type Accepted = Box<dyn FnMut(Result<Arc<Socket>>) + Send>;

/// The core's form of a C callback that gets every connection, and the end.
fn accept_callback(net: &Arc<Net>, callback: iouringnet_callback, user: *mut c_void) -> Option<Accepted> {
    let function = callback?;
    let (net, user) = (Arc::clone(net), User(user));
    Some(Box::new(move |event| {
        let mut done =
            completion(Outcome { result: event.as_ref().map(|_| ()).map_err(|&error| error), bytes: 0 });
        if let Ok(socket) = event {
            let pair = handles::publish_connection(socket, &net);
            if pair.is_err() {
                // The connection is closed. No call tells so: only the last call has a status, and the watch goes on.
                return;
            }
            attach(&mut done, pair);
        }
        // SAFETY: the caller promises that the function may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &done) }
    }))
}
