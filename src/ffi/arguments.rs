#![allow(unsafe_code)] // reads a text of the caller's
//! What C hands over, in the core's form.
//!
//! Every file of the boundary uses it. Invariant: a pointer is followed only where its function says so.

use super::types::IOURINGNET_NO_TIMEOUT;
use crate::error::{Error, Result};
use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

/// Longest time that a caller's number can mean, 100 years: far beyond use, and safe to add to any instant.
const LONGEST_MS: i64 = 100 * 366 * 24 * 3600 * 1000;

/// The caller's pointer for its callbacks: carried along and handed back, never followed.
#[derive(Clone, Copy)]
pub(super) struct User(pub(super) *mut c_void);

// SAFETY: the library never follows the pointer. What it points to is the caller's, whom the header tells that callbacks run
// on a thread of the net's.
unsafe impl Send for User {}
// SAFETY: as above; a shared `User` only gives the pointer away.
unsafe impl Sync for User {}

impl User {
    /// By a method, so that closures capture the whole `User` and not its pointer alone.
    pub(super) fn pointer(self) -> *mut c_void {
        self.0
    }
}

/// Refuses NULL where something must be pointed to.
pub(super) fn required<T>(pointer: *const T) -> Result {
    if pointer.is_null() { Err(Error::INVALID) } else { Ok(()) }
}

/// Refuses memory that cannot be: NULL with a size, or more than an address space holds.
pub(super) fn memory(data: *const c_void, size: usize) -> Result {
    if size > isize::MAX as usize || (data.is_null() && size > 0) { Err(Error::INVALID) } else { Ok(()) }
}

/// A time limit in milliseconds: `IOURINGNET_NO_TIMEOUT` is none, other negative numbers are refused.
pub(super) fn limit(timeout_ms: i64) -> Result<Option<Duration>> {
    if timeout_ms == IOURINGNET_NO_TIMEOUT { Ok(None) } else { span(timeout_ms).map(Some) }
}

/// A length of time in milliseconds.
pub(super) fn span(ms: i64) -> Result<Duration> {
    let ms = u64::try_from(ms.min(LONGEST_MS)).map_err(|_| Error::INVALID)?;
    Ok(Duration::from_millis(ms))
}

/// A text of the caller's.
///
/// # Safety
/// - `text` is NULL or ends in a zero byte, and stays unchanged for `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    required(text)?;
    // SAFETY: not NULL; the caller promises the zero byte and that nobody changes it meanwhile.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::INVALID)
}
