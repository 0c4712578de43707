#![allow(unsafe_code)] // the C boundary: raw pointers come in, and exported names go out
#![allow(rustdoc::broken_intra_doc_links)] // "[::1]:7000" is an address
#![allow(clippy::missing_safety_doc)] // the comments are the C documentation, which says what every caller owes
//! The C boundary: the names that C sees, one file per kind of handle.
//!
//! C programs are its only callers, from any thread. Every function makes four moves: check the arguments, share the handle,
//! call the core, map the result. Invariant: nothing but a status leaves an exported function; no panic, no reference to
//! memory of ours and no lock does.
//!
//! The comments on exported items are the text of `include/iouringnet.h`, so they speak to C programmers.

mod config;
mod handles;
mod library;
mod listener;
mod log;
mod net;
mod op;
mod sink;
mod stream;
mod types;
mod versioned;
mod watch;

use crate::callback_thread::in_callback;
use crate::completion::{Callback, Done, Outcome, Tell};
use crate::error::{Error, Result};
use crate::fork;
use crate::net::Net;
use crate::threads::Uncancelled;
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

pub use config::{iouringnet_bind_options, iouringnet_config, iouringnet_dial_options};
pub use library::*;
pub use listener::*;
pub use net::*;
pub use op::*;
pub use sink::*;
pub use stream::*;
pub use types::*;
pub use watch::*;

/// The status of success.
const OK: iouringnet_status = 0;

/// Longest time that a caller's number can mean, 100 years: far beyond use, and safe to add to any instant.
const LONGEST_MS: i64 = 100 * 366 * 24 * 3600 * 1000;

/// The guard of everything that touches a handle: refuses in a forked child and in a log callback, turns a panic into a
/// status, and keeps pthread_cancel off until the call is over.
fn guard(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_transfer(body)
}

/// The guard of sends and receives, which leaves cancellation as it is, to save the two calls: whatever they ask of the
/// system must be no cancellation point. They use syscall(2) where libc's function is one.
fn guard_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    if fork::forked() {
        return Error::FORKED.code();
    }
    if log::is_running() {
        return Error::IN_CALLBACK.code();
    }
    caught(body)
}

/// The guard of a call that may block: refuses inside callbacks too, where it would wait for itself.
fn guard_blocking(body: impl FnOnce() -> Result) -> iouringnet_status {
    let _uncancelled = Uncancelled::begin();
    guard_blocking_transfer(body)
}

/// The same for a send or a receive.
fn guard_blocking_transfer(body: impl FnOnce() -> Result) -> iouringnet_status {
    guard_transfer(|| if in_callback() { Err(Error::IN_CALLBACK) } else { body() })
}

/// The guard of a blocking transfer, which reports its count of bytes also when it fails. A refused one moved none.
///
/// # Safety
/// - `count` is NULL or can be written.
unsafe fn guard_counted(count: *mut usize, body: impl FnOnce() -> Result<Outcome>) -> iouringnet_status {
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
fn guard_void(body: impl FnOnce()) {
    let _ = guard(|| {
        body();
        Ok(())
    });
}

/// The guard of the few functions that also work in a forked child.
fn guard_anywhere(body: impl FnOnce() -> Result) -> iouringnet_status {
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

/// The caller's pointer for its callbacks: carried along and handed back, never followed.
#[derive(Clone, Copy)]
struct User(*mut c_void);

// SAFETY: the library never follows the pointer. What it points to is the caller's, whom the header tells that callbacks run
// on a thread of the net's.
unsafe impl Send for User {}
// SAFETY: as above; a shared `User` only gives the pointer away.
unsafe impl Sync for User {}

impl User {
    /// By a method, so that closures capture the whole `User` and not its pointer alone.
    fn pointer(self) -> *mut c_void {
        self.0
    }
}

/// How an async call is to tell its end: by a callback, by an op, or by both.
struct Notify {
    callback: iouringnet_callback,
    user: *mut c_void,
    op: *mut *mut iouringnet_op,
}

/// Starts what is to be told as `notify` says. An operation is made for an op; it is set before the callback can run, and has
/// its old value again if the core refuses, in which case the callback never runs.
///
/// # Safety
/// - `notify.op` is NULL or can be read and written.
/// - `notify.callback` may be called from another thread with `notify.user`.
unsafe fn submit(net: &Arc<Net>, notify: Notify, start: impl FnOnce(Tell<'_>) -> Result) -> Result {
    let callback = completion_callback(net, notify.callback, notify.user);
    if notify.op.is_null() {
        return start(Tell::Call(callback.ok_or(Error::INVALID)?));
    }
    // What a C program has not initialised is no pointer yet, and is put back as it is.
    let slot = notify.op.cast::<MaybeUninit<*mut iouringnet_op>>();
    // SAFETY: not NULL, and then the caller promises that it can be read.
    let old = unsafe { slot.read() };
    let operation = net.operation(callback);
    let op = handles::Op { operation: Arc::clone(&operation), net: Arc::clone(net) };
    let token = handles::publish(op, net)?;
    // SAFETY: as above, for writing.
    unsafe { notify.op.write(token) };
    start(Tell::By(&operation)).inspect_err(|_| {
        handles::retire(token);
        // SAFETY: as above. The core refused, so no callback of this operation looks at it.
        unsafe { slot.write(old) };
    })
}

/// The core's form of a C callback that is told one completion.
fn completion_callback(net: &Arc<Net>, callback: iouringnet_callback, user: *mut c_void) -> Option<Callback> {
    let function = callback?;
    let (net, user) = (Arc::clone(net), User(user));
    Some(Box::new(move |done: Done| {
        let mut completion = completion(done.outcome);
        if let Some(socket) = done.connection {
            attach(&mut completion, handles::publish_connection(socket, &net));
        }
        // SAFETY: the caller passed a function that may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &completion) }
    }))
}

/// A completion without a connection.
fn completion(outcome: Outcome) -> iouringnet_completion {
    iouringnet_completion {
        size: size_of::<iouringnet_completion>(),
        status: status(outcome.result),
        bytes: outcome.bytes,
        sink: std::ptr::null_mut(),
        stream: std::ptr::null_mut(),
    }
}

/// Puts the handles of a new connection into its completion, or the reason why there are none.
fn attach(completion: &mut iouringnet_completion, pair: Result<handles::Pair>) {
    match pair {
        Ok((sink, stream)) => (completion.sink, completion.stream) = (sink, stream),
        Err(error) => completion.status = error.code(),
    }
}

fn status(result: Result) -> iouringnet_status {
    result.err().map_or(OK, Error::code)
}

/// Refuses NULL where something must be pointed to.
fn required<T>(pointer: *const T) -> Result {
    if pointer.is_null() { Err(Error::INVALID) } else { Ok(()) }
}

/// Refuses memory that cannot be: NULL with a size, or more than an address space holds.
fn memory(data: *const c_void, size: usize) -> Result {
    if size > isize::MAX as usize || (data.is_null() && size > 0) { Err(Error::INVALID) } else { Ok(()) }
}

/// A time limit in milliseconds: `IOURINGNET_NO_TIMEOUT` is none, other negative numbers are refused.
fn limit(timeout_ms: i64) -> Result<Option<Duration>> {
    if timeout_ms == IOURINGNET_NO_TIMEOUT { Ok(None) } else { span(timeout_ms).map(Some) }
}

/// A length of time in milliseconds.
fn span(ms: i64) -> Result<Duration> {
    let ms = u64::try_from(ms.min(LONGEST_MS)).map_err(|_| Error::INVALID)?;
    Ok(Duration::from_millis(ms))
}

/// A text of the caller's.
///
/// # Safety
/// - `text` is NULL or ends in a zero byte, and stays unchanged for `'a`.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    required(text)?;
    // SAFETY: not NULL; the caller promises the zero byte and that nobody changes it meanwhile.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::INVALID)
}
