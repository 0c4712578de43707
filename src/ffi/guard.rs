#![allow(unsafe_code)] // writes a count to memory of the caller's
//! The guards: what stands around the body of every exported function.
//!
//! Every file of the boundary uses them. Invariant: nothing but a status leaves a guard; no panic does.

use super::log;
use super::types::iouringnet_status;
use crate::callback_thread::in_callback;
use crate::completion::Outcome;
use crate::error::{Error, Result};
use crate::fork;
use crate::threads::Uncancelled;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The status of success.
pub(super) const OK: iouringnet_status = 0;

/// The guard of everything that touches a handle: refuses in a forked child and in a log callback, turns a panic into a
/// status, and keeps pthread_cancel off until the call is over.
pub(super) fn guard(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_transfer(body)
}

/// The guard of sends and receives, which leaves cancellation as it is, to save the two calls: whatever they ask of the
/// system must be no cancellation point. They use syscall(2) where libc's function is one.
pub(super) fn guard_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    if fork::forked() {
        return Error::FORKED.code();
    }
    if log::is_running() {
        return Error::IN_CALLBACK.code();
    }
    caught(body)
}

/// The guard of a call that may block: refuses inside callbacks too, where it would wait for itself.
pub(super) fn guard_blocking(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_blocking_transfer(body)
}

/// The same for a send or a receive.
pub(super) fn guard_blocking_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    guard_transfer(|| if in_callback() { Err(Error::IN_CALLBACK) } else { body() })
}

/// The guard of a blocking transfer, which reports its count of bytes also when it fails. A refused one moved none.
///
/// # Safety
/// - `count` is NULL or can be written.
pub(super) unsafe fn guard_counted(
    count: *mut usize,
    body: impl FnOnce() -> Result<Outcome>,
) -> iouringnet_status {
    let mut bytes = 0;
    let status = guard_blocking_transfer(|| {
        let outcome = body()?;
        bytes = outcome.bytes;
        outcome.result
    });
    if !count.is_null() {
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { count.write(bytes) };
    }
    status
}

/// The guard of functions without a result: in a forked child they do nothing.
pub(super) fn guard_void(body: impl FnOnce()) {
    let _ = guard(|| {
        body();
        Ok(())
    });
}

/// The guard of the few functions that also work in a forked child.
pub(super) fn guard_anywhere(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    caught(body)
}

fn caught(body: impl FnOnce() -> Result) -> iouringnet_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => error.code(),
        Err(payload) => {
            // Dropping the payload could panic once more, outside of the guard.
            std::mem::forget(payload);
            Error::PANIC.code()
        }
    }
}

/// A result as C sees it.
pub(super) fn status(result: Result) -> iouringnet_status {
    result.err().map_or(OK, Error::code)
}
