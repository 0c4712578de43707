#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The statistics of a net as text, for a monitor.

use super::types::*;
use super::{guard, handles};
use crate::error::{Error, Result};
use crate::net::metrics;
use std::ffi::c_char;

/// Gets what net_stats counts as text for Prometheus: the text exposition format, version 0.0.4, whose content
/// type is "text/plain; version=0.0.4".
///
/// `buffer`  Set to the text and a zero byte. If it is too small, it gets the beginning and a zero byte.
///           NULL if `size` is 0.
/// `size`    Bytes of `buffer`. 8192 are enough for the text of this version.
/// `needed`  Set to the length of the whole text, without the zero byte, whatever `size` is. 0 if there is no
///           text. NULL: not wanted.
///
/// The names begin with "iouringnet_", and those of counters end with "_total". A metric of a loop has the label
/// `loop`, with the value "send" or "recv". iouringnet_info has the engine and the version as labels. The length
/// does not depend on how much is open. A program with several nets serves the text of each at a path of its own,
/// because the texts have the same names.
///
/// Owner:   The caller owns `buffer`. The library writes to it only during the call.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `buffer` has the whole text.
///   IOURINGNET_TOO_BIG        The text and its zero byte need more than `size` bytes.
///   IOURINGNET_INVALID        `buffer` is NULL, and `size` is not 0.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_metrics(
    net: *mut iouringnet_net,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> iouringnet_status {
    let mut length = 0;
    let status = guard(|| {
        if buffer.is_null() && size > 0 {
            return Err(Error::INVALID);
        }
        let text = metrics::text(&handles::share(net)?.stats());
        length = text.len();
        // SAFETY: `buffer` is not NULL if `size` is not 0, and so the caller promises `size` writable bytes.
        unsafe { fill(buffer, size, &text) }
    });
    if !needed.is_null() {
        // SAFETY: `needed` is not NULL, and so the caller promises that it can be written.
        unsafe { needed.write(length) };
    }
    status
}

/// # Safety
/// - `buffer` has `size` writable bytes.
unsafe fn fill(buffer: *mut c_char, size: usize, text: &str) -> Result {
    let Some(most) = size.checked_sub(1) else { return Err(Error::TOO_BIG) };
    let length = text.len().min(most);
    // SAFETY: `length` is less than `size`. A text of the library does not overlap with memory of the caller's.
    unsafe { buffer.copy_from_nonoverlapping(text.as_ptr().cast(), length) };
    // SAFETY: `length` is less than `size`.
    unsafe { buffer.add(length).write(0) };
    if length == text.len() { Ok(()) } else { Err(Error::TOO_BIG) }
}
