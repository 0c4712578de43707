#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The sending half of a connection: its addresses, its time limit and its close.

use super::types::*;
use super::versioned::{Output, characters};
use super::{guard, guard_void, handles, limit};

/// Gets both addresses of a connection, the number of accepted bytes that the kernel does not have yet, and how
/// many bytes have gone each way.
///
/// `info`  Prepared with `iouringnet_sink_info_init`. Filled in on success.
///
/// Owner:   The caller owns `*info`.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*info` is filled in.
///   IOURINGNET_INVALID        `info` is NULL, or its size is wrong.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_info(
    sink: *mut iouringnet_sink,
    info: *mut iouringnet_sink_info,
) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let output = unsafe { Output::new(info) }?;
        let info = handles::share(sink)?.info();
        output.write(&iouringnet_sink_info {
            size: 0,
            local: iouringnet_address { text: characters(&info.local) },
            peer: iouringnet_address { text: characters(&info.peer) },
            unsent: info.unsent,
            sent: info.sent,
            received: info.received,
        });
        Ok(())
    })
}

/// Sets the time limit of later sends and flushes: of the whole operation. Posts have no such limit; see
/// connection_set_idle_timeout.
///
/// `timeout_ms`  Milliseconds.
///
///   `timeout_ms`                a send or a flush
///   above 0                     limit of the whole operation
///   0                           one try
///   IOURINGNET_NO_TIMEOUT (-1)  no limit
///
/// One try ends with IOURINGNET_TIMEOUT if the operation cannot be done at once or would wait behind other
/// work.
///
/// A new sink has the config's `timeout_ms`. Operations that are already accepted keep their limits.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The limit is set.
///   IOURINGNET_INVALID        `timeout_ms` is below -1.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_set_timeout(sink: *mut iouringnet_sink, timeout_ms: i64) -> iouringnet_status {
    guard(|| {
        let timeout = limit(timeout_ms)?;
        handles::share(sink)?.set_timeout(timeout);
        Ok(())
    })
}

/// Closes the half that sends. The handle is invalid at once.
///
/// Accepted work goes out and completes as if the sink were open. Then the peer gets the end of the stream.
/// The stream can still receive, so this call is also the half-close. NULL and closed handles do nothing.
///
/// If one of these events ends the drain, the library resets the connection. Therefore a cut stream never
/// looks whole. Work that is left gets the status.
///
///   event                                                   status
///   no progress for the config's `close_timeout_ms`         IOURINGNET_TIMEOUT
///   the drain has taken `drain_timeout_ms` in all           IOURINGNET_TIMEOUT
///   both halves are closed, and descriptors or memory run   -EMFILE, -ENFILE, -ENOMEM or -ENOBUFS
///   short in the process; the oldest connection goes first
///
/// Exceptions: a broken sink is reset at once. If the peer has acknowledged everything when a shortage ends
/// the connection, the library closes it without a reset. `end` of connection_watch reports how the drain
/// ended.
///
/// Owner:   The library owns the memory of pending sends until their completions.
/// Threads: Any thread, also inside a callback, the sink's own included. Never blocks. In a forked child and
///          inside a log callback it does nothing.
/// Returns: Nothing.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_close(sink: *mut iouringnet_sink) {
    guard_void(|| {
        if let Some(sink) = handles::retire(sink) {
            sink.close();
        }
    });
}
