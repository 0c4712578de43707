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

/// Accepts every connection from now on, and calls a callback for each.
///
/// `callback`  Called for each connection, and once more for the end. NULL: ends the watch with
///             IOURINGNET_CANCELLED, or does nothing if no watch is armed.
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
///   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
///   IOURINGNET_CLOSED         Last call: listener_close.
///   IOURINGNET_STOPPED        Last call: net_stop.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
/// Returns:
///   0                         The watch is armed, or its end is requested, or there is no watch to end.
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
        listener.watch(accept_callback(listener.net(), callback, user))
    })
}

/// Watches a sink, and calls a callback when there is room for posts again and when the sink has ended.
///
/// `callback`  Called once after each IOURINGNET_FULL, and once more for the end. NULL: ends the watch with
///             IOURINGNET_CANCELLED, or does nothing if no watch is armed.
/// `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
///             free it there.
///
/// If half of `post_mark` is free again before the watch is armed, the watch gets that call at once. If the
/// sink breaks before the watch is armed, the watch gets its last call at once. After sink_close, the last
/// call reports the end of the drain. A reset by the peer breaks the sink even if nothing is sent and nothing
/// is received.
///
/// Owner:   The end of the watch does not close the sink: the caller closes it.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Calls:
///   0                         Half of `post_mark` is free again.
///   IOURINGNET_CLOSED         Last call: sink_close or net_stop, and everything went out. Or sink_abort.
///   IOURINGNET_TIMEOUT        Last call: a limit of the drain or of posts passed.
///   IOURINGNET_TORN           Last call: a send was cut after part of it went out.
///   -ECONNRESET               Last call: the peer has reset the connection.
///   another errno             Last call: the kernel refused a send. Or descriptors or memory ran short after
///                             both halves were closed.
///   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
///   IOURINGNET_STOPPED        Last call: net_stop has cut what was left.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
/// Returns:
///   0                         The watch is armed, or its end is requested, or there is no watch to end.
///   IOURINGNET_BUSY           A watch is armed, or the last call of the previous watch has not begun.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_watch(
    sink: *mut iouringnet_sink,
    callback: iouringnet_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| handles::share(sink)?.watch(room_callback(callback, user)))
}

/// Passes every byte that is received from now on to a callback, until the stream ends.
///
/// `callback`  Called with the bytes; returns how many of them it has consumed. Called once more for the end,
///             after all bytes, with `data` NULL. NULL: ends the watch with IOURINGNET_CANCELLED, or does
///             nothing if no watch is armed.
/// `user`      Passed to `callback`. The library does not use it after the last call, so the callback may
///             free it there.
///
/// Bytes that were buffered before are shown first. The next call shows the bytes that the callback did not
/// consume again, joined with the bytes that arrive next. When the watch has ended, the bytes that it did not
/// consume can still be received.
///
/// Owner:   The library owns the bytes. They are valid until the callback returns, even if it closes the
///          stream. The end of the watch does not close the stream: the caller closes it, also inside the
///          callback.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Calls:
///   0                         There are bytes.
///   IOURINGNET_EOF            Last call: the peer ended the stream.
///   -ECONNRESET               Last call: the peer has reset the connection.
///   another errno             Last call: the kernel failed.
///   IOURINGNET_TIMEOUT        Last call: no byte arrived for the stream's time limit; see
///                             stream_set_timeout.
///   IOURINGNET_TOO_BIG        Last call: the callback left more than `buffer_max` bytes unconsumed.
///   IOURINGNET_INVALID        Last call: the callback consumed more bytes than it was shown.
///   IOURINGNET_CANCELLED      Last call: the caller has ended the watch with NULL.
///   IOURINGNET_CLOSED         Last call: stream_close or sink_abort.
///   IOURINGNET_STOPPED        Last call: net_stop.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
/// Returns:
///   0                         The watch is armed, or its end is requested, or there is no watch to end.
///   IOURINGNET_BUSY           A watch is armed, the last call of the previous watch has not begun, or
///                             receives are pending.
///   IOURINGNET_CLOSED         sink_abort has ended the stream, or another thread has just closed it.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BAD_HANDLE     `stream` is not an open stream, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stream_watch(
    stream: *mut iouringnet_stream,
    callback: iouringnet_data_callback,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| handles::share(stream)?.watch(data_callback(callback, user)))
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

/// The core's form of a C callback that gets room for posts, and the end.
fn room_callback(callback: iouringnet_callback, user: *mut c_void) -> Option<Box<dyn FnMut(Result) + Send>> {
    let function = callback?;
    let user = User(user);
    Some(Box::new(move |result| {
        let done = completion(Outcome { result, bytes: 0 });
        // SAFETY: the caller promises that the function may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &done) }
    }))
}

type Received = Box<dyn FnMut(Result, &[u8]) -> usize + Send>;

/// The core's form of a C callback that gets bytes, and the end.
fn data_callback(callback: iouringnet_data_callback, user: *mut c_void) -> Option<Received> {
    let function = callback?;
    let user = User(user);
    Some(Box::new(move |result, bytes| {
        let (data, size) =
            if result.is_ok() { (bytes.as_ptr().cast(), bytes.len()) } else { (std::ptr::null(), 0) };
        // SAFETY: the caller promises that the function may be called with its pointer on the net's thread; `bytes` outlives the call.
        unsafe { function(user.pointer(), status(result), data, size) }
    }))
}
