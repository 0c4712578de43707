#![allow(unsafe_code)] // writes a count to memory of the caller, and errno
//! The guards: each exported function runs its body under one of them.
//!
//! Every file of the boundary uses them. Invariant: only a status leaves a guard, and no panic does.

use super::log;
use super::types::iouringnet_status;
use crate::callback_thread::in_callback;
use crate::completion::Outcome;
pub(super) use crate::error::status;
use crate::error::{Error, Result};
use crate::fork;
use crate::threads::Uncancelled;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The status of success.
pub(super) const OK: iouringnet_status = 0;

/// The guard of each function with a handle. It refuses the call in a forked child and in a log callback, turns a panic
/// into a status, and keeps pthread_cancel off until the call is over.
pub(super) fn guard(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_transfer(body)
}

/// The guard of sends and receives. It leaves cancellation as it is, which saves two calls. Therefore a send or a receive
/// must not call a cancellation point: it uses syscall(2) if the function of libc is one.
pub(super) fn guard_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    if fork::forked() {
        return Error::FORKED.code();
    }
    if log::is_running() {
        return Error::IN_CALLBACK.code();
    }
    caught(body)
}

/// The guard of a call that may block. It also refuses the call inside a callback, where the call could wait for itself.
pub(super) fn guard_blocking(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_blocking_transfer(body)
}

/// The guard of a send or a receive that may block.
pub(super) fn guard_blocking_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    guard_transfer(|| if in_callback() { Err(Error::IN_CALLBACK) } else { body() })
}

/// The guard of a blocking transfer with a count of bytes. It writes the count also on failure. The count of a refused
/// call is 0.
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
        // SAFETY: `count` is not NULL, and so the caller promises that it can be written.
        unsafe { count.write(bytes) };
    }
    status
}

/// The guard of a function that returns nothing. In a forked child and in a log callback the function does nothing.
pub(super) fn guard_void(body: impl FnOnce()) {
    let _ = guard(|| {
        body();
        Ok(())
    });
}

/// The guard of a function that a signal handler may call. It calls nothing that a signal may not interrupt, and leaves errno
/// as it was.
pub(super) fn guard_signal(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _errno = KeptErrno::begin();
    if fork::forked() { Error::FORKED.code() } else { caught(body) }
}

/// The guard of a function that also works in a forked child.
pub(super) fn guard_anywhere(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    caught(body)
}

/// Puts back errno when it is dropped, as a signal handler must.
struct KeptErrno {
    before: libc::c_int,
    _of_this_thread: PhantomData<*const ()>,
}

impl KeptErrno {
    fn begin() -> KeptErrno {
        // SAFETY: this thread's errno, which lives as long as the thread.
        KeptErrno { before: unsafe { *libc::__errno_location() }, _of_this_thread: PhantomData }
    }
}

impl Drop for KeptErrno {
    fn drop(&mut self) {
        // SAFETY: as above, on the same thread.
        unsafe { *libc::__errno_location() = self.before };
    }
}

fn caught(body: impl FnOnce() -> Result) -> iouringnet_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => error.code(),
        Err(payload) => {
            // A drop of the payload could panic again, outside of the guard.
            std::mem::forget(payload);
            Error::PANIC.code()
        }
    }
}
