#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! Both halves of a connection in one call: the watch, the close and the abort.

use super::types::*;
use super::versioned::read_struct;
use super::{User, guard, guard_void, handles, limit};
use crate::callback::{DataCallback, StatusCallback};
use crate::connection::{self, Callbacks};
use crate::error::Error;
use std::ffi::c_void;

/// Watches a connection: its bytes, room for posts, and its end.
///
/// `sink`       NULL: only the stream is watched.
/// `stream`     NULL: only the sink is watched.
/// `callbacks`  What to call.
/// `user`       Passed to each callback.
///
///   callback  when the library calls it
///   `data`    For every byte that the stream receives, until a last call with a status other than 0. Bytes
///             that were buffered before come first. The next call shows the bytes that the callback did not
///             consume again, joined with the bytes that arrive next.
///   `room`    Once after each IOURINGNET_FULL, with 0, when half of `post_mark` is free again. If that moment
///             was before this call, `room` is called at once. If the sink breaks while its handle is open,
///             `room` gets the cause as its last call, even if the stream is paused and nothing is sent. After
///             the handle is closed, no call begins.
///   `end`     Exactly once, after all other callbacks. It comes when the given halves have been closed or
///             aborted, by the program or by net_stop, accepted sends have gone out or are lost, and all
///             callbacks of operations on these halves have returned. It does not wait for the peer to
///             acknowledge or close. It comes before net_stop returns.
///
/// After `end` the library does not use `user` for this watch, so the callback may free it there. Without
/// `end`, the library uses `user` until the last call of `data`, and until the sink is closed if there is
/// `room`.
///
/// A half can have one callback of each kind. When `data` has had its last call, another call may arm a new
/// one. If such a call gives no `end`, the earlier `end` stays.
///
/// Owner:   The library owns the bytes that `data` gets. They are valid until the callback returns, even if it
///          closes the stream. The end of `data` closes nothing: the caller closes both halves, also inside
///          a callback.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Calls:
///   data:
///   0                         There are bytes.
///   IOURINGNET_EOF            Last call: the peer ended the stream.
///   -ECONNRESET               Last call: the peer has reset the connection.
///   another errno             Last call: the kernel failed.
///   IOURINGNET_TIMEOUT        Last call: no byte moved for the connection's idle limit, or the stream's
///                             deadline has passed; see connection_set_idle_timeout and stream_set_deadline.
///   IOURINGNET_TOO_BIG        Last call: the callback left more than `buffer_max` bytes unconsumed.
///   IOURINGNET_INVALID        Last call: the callback consumed more bytes than it was shown.
///   IOURINGNET_CANCELLED      Last call: stream_unwatch.
///   IOURINGNET_CLOSED         Last call: the stream was closed, or the connection was aborted.
///   IOURINGNET_STOPPED        Last call: net_stop.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
///   room:
///   0                         Half of `post_mark` is free again.
///   IOURINGNET_TIMEOUT        Last call: posts were unsent, and no byte moved for the connection's idle limit.
///   IOURINGNET_TORN           Last call: a send was cut after part of it went out.
///   -ECONNRESET               Last call: the peer has reset the connection.
///   another errno             Last call: the kernel refused a send.
///   IOURINGNET_PANIC          Last call: a loop of the net has died.
///   end:
///   0                         The kernel took everything that was accepted, and the end of the stream. For a
///                             stream alone: the stream was closed.
///   IOURINGNET_CLOSED         connection_abort, and nothing had broken the sink before.
///   IOURINGNET_STOPPED        net_stop has cut what was left. For a stream alone: net_stop.
///   IOURINGNET_TIMEOUT        A limit of the drain, or the idle limit with posts unsent, has passed.
///   IOURINGNET_TORN           A send was cut after part of it went out.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel failed. Or descriptors or memory ran short after both halves were
///                             closed.
///   IOURINGNET_PANIC          A loop of the net has died.
/// Returns:
///   0                         The watch is armed.
///   IOURINGNET_INVALID        Both handles are NULL, all three callbacks are NULL, `data` has no stream, `room`
///                             has no sink, the halves are of two connections, or `callbacks` is NULL or of a
///                             wrong size.
///   IOURINGNET_BUSY           A half has such a callback already, or receives are pending and `data` is given.
///   IOURINGNET_CLOSED         The connection was aborted, or another thread has just closed a half.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BAD_HANDLE     `sink` is neither NULL nor an open sink, `stream` is neither NULL nor an open
///                             stream, or the net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connection_watch(
    sink: *mut iouringnet_sink,
    stream: *mut iouringnet_stream,
    callbacks: *const iouringnet_connection_callbacks,
    user: *mut c_void,
) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let callbacks = unsafe { read_struct(callbacks) }?;
        let core = core_callbacks(&callbacks, user);
        let sink = if sink.is_null() { None } else { Some(handles::share(sink)?) };
        let stream = if stream.is_null() { None } else { Some(handles::share(stream)?) };
        connection::watch(sink.as_deref(), stream.as_deref(), core)
    })
}

/// Sets how long a connection may go without a byte in either direction.
///
/// The limit bounds `data` of connection_watch, forwards, posts, flushes, and the first operation in the queue
/// of each half. When it has passed, each of them ends with IOURINGNET_TIMEOUT. If posts are unsent, the sink
/// breaks, because bytes that follow them would tear the stream. A connection that has none of these is never
/// idle.
///
/// The time counts from this call, from the last byte that the kernel gave or took, or from the beginning of
/// the first such work, whichever is latest. It stands still while `data` is paused and nothing is unsent. The
/// library looks eight times within the limit, so the end comes at most a quarter of the limit late. The least
/// step is 1 ms. A half that drains after its close has the limits of the drain instead.
///
/// `sink`     NULL or closed: the stream says which connection.
/// `stream`   NULL or closed: the sink says which connection.
/// `idle_ms`  Milliseconds. IOURINGNET_NO_TIMEOUT: no limit. A new connection has the config's
///            `idle_timeout_ms`.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The limit is set.
///   IOURINGNET_INVALID        `idle_ms` is 0 or below -1, or the halves are of two connections.
///   IOURINGNET_CLOSED         Another thread has just closed the half.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_BAD_HANDLE     Neither handle is open, or the net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connection_set_idle_timeout(
    sink: *mut iouringnet_sink,
    stream: *mut iouringnet_stream,
    idle_ms: i64,
) -> iouringnet_status {
    guard(|| {
        let idle = limit(idle_ms)?;
        if idle.is_some_and(|idle| idle.is_zero()) {
            return Err(Error::INVALID);
        }
        let (sink, stream) = (handles::share(sink), handles::share(stream));
        if sink.is_err() && stream.is_err() {
            return Err(Error::BAD_HANDLE);
        }
        connection::set_idle_timeout(sink.as_deref().ok(), stream.as_deref().ok(), idle)
    })
}

/// Closes both halves of a connection. The handles are invalid at once.
///
/// The call does what sink_close and stream_close do together. Accepted sends go out, and then the peer gets
/// the end of the stream. Pending receives end with IOURINGNET_CLOSED. NULL and closed handles do nothing.
///
/// `sink`    NULL or closed: only the stream is closed.
/// `stream`  NULL or closed: only the sink is closed.
///
/// Owner:   The library owns the memory of pending operations until their completions.
/// Threads: Any thread, also inside a callback. Never blocks. In a forked child and inside a log callback it
///          does nothing.
/// Returns: Nothing.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connection_close(sink: *mut iouringnet_sink, stream: *mut iouringnet_stream) {
    guard_void(|| {
        let (sink, stream) = (handles::retire(sink), handles::retire(stream));
        if let Some(sink) = sink {
            sink.close();
        }
        if let Some(stream) = stream {
            stream.close();
        }
    });
}

/// Resets a connection, and closes both halves at once. The handles are invalid at once.
///
/// The library discards unsent and unread bytes. Pending work and the last calls of watches get
/// IOURINGNET_CLOSED. NULL and closed handles do nothing. One open handle suffices to reset: after sink_close
/// the call ends the drain by way of `stream`. If only one of two open handles is given, the other stays open,
/// its calls return IOURINGNET_CLOSED, and the caller still closes it.
///
/// `sink`    NULL or closed: the stream says which connection.
/// `stream`  NULL or closed: the sink says which connection.
///
/// Owner:   The library owns the memory of pending operations until their completions.
/// Threads: Any thread, also inside a callback. Never blocks. In a forked child and inside a log callback it
///          does nothing.
/// Returns: Nothing.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connection_abort(sink: *mut iouringnet_sink, stream: *mut iouringnet_stream) {
    guard_void(|| {
        let (sink, stream) = (handles::retire(sink), handles::retire(stream));
        if let Some(sink) = sink {
            sink.abort();
        }
        if let Some(stream) = stream {
            stream.abort();
        }
    });
}

/// The core's form of the callbacks of C.
fn core_callbacks(callbacks: &iouringnet_connection_callbacks, user: *mut c_void) -> Callbacks {
    let user = User(user);
    // SAFETY: the caller promises that the functions may be called with its pointer on the net's thread.
    let of_c = |function| unsafe { StatusCallback::of_c(function, user) };
    // SAFETY: as above.
    let data = callbacks.data.map(|function| unsafe { DataCallback::of_c(function, user) });
    Callbacks { data, room: callbacks.room.map(of_c), end: callbacks.end.map(of_c) }
}
