#![allow(unsafe_code)] // reads memory of the caller
//! The arguments of C, in the core's form.
//!
//! Every file of the boundary uses it. Invariant: only `text`, `slice` and `searched_for` follow a pointer.

use super::types::IOURINGNET_NO_TIMEOUT;
use crate::buffer::Mark;
pub(super) use crate::callback::User;
use crate::error::{Error, Result};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::time::Duration;

/// Longest time that a caller's number can mean: 100 years. It is far beyond use, and any instant can take it.
const LONGEST_MS: i64 = 100 * 366 * 24 * 3600 * 1000;

/// Refuses NULL if the call needs a pointer.
pub(super) fn required<T>(pointer: *const T) -> Result {
    if pointer.is_null() { Err(Error::INVALID) } else { Ok(()) }
}

/// Refuses memory that cannot exist: NULL with a size, or more bytes than an address space has.
pub(super) fn memory(data: *const c_void, size: usize) -> Result {
    if size > isize::MAX as usize || (data.is_null() && size > 0) { Err(Error::INVALID) } else { Ok(()) }
}

/// The bytes of `memory` that was not refused. An empty piece may be NULL in C.
///
/// # Safety
/// - `size` bytes at `data` are readable and unchanged for `'a`.
pub(super) unsafe fn slice<'a>(data: *const c_void, size: usize) -> &'a [u8] {
    let data = if size == 0 { NonNull::dangling().as_ptr() } else { data.cast() };
    // SAFETY: not NULL and of a size that can be; the caller promises the rest.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// A time limit in milliseconds. `IOURINGNET_NO_TIMEOUT` is no limit. Other negative numbers are refused.
pub(super) fn limit(timeout_ms: i64) -> Result<Option<Duration>> {
    if timeout_ms == IOURINGNET_NO_TIMEOUT { Ok(None) } else { span(timeout_ms).map(Some) }
}

/// A time in milliseconds. Negative numbers are refused.
pub(super) fn span(ms: i64) -> Result<Duration> {
    let ms = u64::try_from(ms.min(LONGEST_MS)).map_err(|_| Error::INVALID)?;
    Ok(Duration::from_millis(ms))
}

/// An address, or a part of one, that the caller has written. NULL is INVALID. Text that is not UTF-8 is no address.
///
/// # Safety
/// - `text` is NULL or ends in a zero byte, and stays unchanged for `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    required(text)?;
    // SAFETY: `text` is not NULL. The caller promises the zero byte, and that nobody changes the text meanwhile.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::ADDRESS)
}

/// A mark of the caller. NULL and a size out of its range are refused.
///
/// # Safety
/// - `mark` is NULL or names `size` bytes that can be read.
pub(super) unsafe fn searched_for(mark: *const c_void, size: usize) -> Result<Mark> {
    required(mark)?;
    if size > Mark::MAX {
        return Err(Error::INVALID);
    }
    // SAFETY: `mark` is not NULL, and so the caller vouches for `size` bytes, which are few.
    let bytes = unsafe { std::slice::from_raw_parts(mark.cast::<u8>(), size) };
    Mark::new(bytes).ok_or(Error::INVALID)
}
