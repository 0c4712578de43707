#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The sending half of a connection: its addresses, its time limit and its close.

use super::types::*;
use super::versioned::{Output, characters};
use super::{guard, guard_void, handles, limit};

/// Tells both addresses of a connection, and how many accepted bytes the kernel does not have yet.
///
/// `info`  prepared with `iouringnet_sink_info_init`; filled in on success.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: `info` is NULL or its size wrong. IOURINGNET_BAD_HANDLE.
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
        });
        Ok(())
    })
}

/// Sets the time limit of sends and flushes that follow, and of posts.
///
/// `timeout_ms`  milliseconds for the whole of an operation; 0: one try; IOURINGNET_NO_TIMEOUT: none. Posts
///               may go that long without progress; for them 0 means no limit.
///
/// Operations under way keep theirs; posts follow at once.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_INVALID: another negative number. IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_set_timeout(sink: *mut iouringnet_sink, timeout_ms: i64) -> iouringnet_status {
    guard(|| {
        let timeout = limit(timeout_ms)?;
        handles::share(sink)?.set_timeout(timeout)
    })
}

/// Closes the sending half, orderly. The handle is gone at once.
///
/// What was accepted goes out and completes as if the sink were open, then the peer sees the end of the
/// stream; the stream may be read on, so that this is also the half-close. Without progress for the config's
/// `close_timeout_ms`, and when the drain has taken `drain_timeout_ms` in all, the connection is reset instead,
/// so that a cut stream never looks whole, and what is left gets IOURINGNET_TIMEOUT. Once both halves are closed,
/// the connection may also be reset because descriptors or memory run short in the process, the oldest first; what
/// is left gets -EMFILE, -ENFILE, -ENOMEM or -ENOBUFS then. Closing a broken sink resets. NULL and handles that
/// are closed already do nothing.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_close(sink: *mut iouringnet_sink) {
    guard_void(|| {
        if let Some(sink) = handles::retire(sink) {
            sink.close();
        }
    });
}

/// Ends both halves of a connection now, by a reset. The handle is gone at once.
///
/// Unsent and unread bytes are discarded, and pending work of both halves gets IOURINGNET_CLOSED. The
/// stream's handle is still to be closed, and its calls say IOURINGNET_CLOSED. NULL and handles that are
/// closed already do nothing.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_abort(sink: *mut iouringnet_sink) {
    guard_void(|| {
        if let Some(sink) = handles::retire(sink) {
            sink.abort();
        }
    });
}
