#![allow(unsafe_code)] // sets the caller's op, and calls its functions
//! How C gets the completion of an async call: by a callback, by an op, or by both.
//!
//! Every async function of the boundary uses it. Invariant: if the core refuses the call, the callback never runs, and the
//! caller's op has its old value.

use super::arguments::User;
use super::guard::status;
use super::handles;
use super::types::{
    IOURINGNET_SIDE_FROM, IOURINGNET_SIDE_TO, iouringnet_callback, iouringnet_completion, iouringnet_op,
};
use crate::completion::{Callback, Done, Outcome, Tell};
use crate::error::{Error, Result};
use crate::net::Net;
use crate::once::Once;
use crate::socket::Half;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A callback of C that is there.
type Function = unsafe extern "C" fn(user: *mut c_void, done: *const iouringnet_completion);

/// Who gets the completion of an async call: a callback, an op, or both.
pub(super) struct Notify {
    pub callback: iouringnet_callback,
    pub user: *mut c_void,
    pub op: *mut *mut iouringnet_op,
}

/// Starts an operation whose completion goes to `notify`. It sets the caller's op before the callback can run. If the core
/// refuses, the op has its old value again, and the callback never runs.
///
/// # Safety
/// - `notify.op` is NULL or can be read and written.
/// - `notify.callback` may be called from another thread with `notify.user`.
pub(super) unsafe fn submit(
    net: &Arc<Net>,
    notify: Notify,
    start: impl FnOnce(Tell<'_>) -> Result,
) -> Result {
    let user = User(notify.user);
    let small = |function| Once::small(move |done: Done| call(function, user, &done, None));
    if notify.op.is_null() {
        return start(Tell::Call(small(notify.callback.ok_or(Error::INVALID)?)));
    }
    // SAFETY: the caller vouches for `notify.op`.
    unsafe { start_with(net, notify.callback.map(small), notify.op, start) }
}

/// The same for an operation that makes a connection.
///
/// # Safety
/// As for [`submit`].
pub(super) unsafe fn submit_connection(
    net: &Arc<Net>,
    notify: Notify,
    start: impl FnOnce(Tell<'_>) -> Result,
) -> Result {
    let user = User(notify.user);
    let callback = notify.callback.map(|function| {
        let net = Arc::clone(net);
        Once::boxed(move |mut done: Done| {
            let pair = done.connection.take().map(|socket| handles::publish_connection(socket, &net));
            call(function, user, &done, pair);
        })
    });
    // SAFETY: the caller vouches for `notify.op`.
    unsafe { start_with(net, callback, notify.op, start) }
}

/// # Safety
/// `op` is NULL or can be read and written.
#[inline(never)] // keeps the way without an op short
unsafe fn start_with(
    net: &Arc<Net>,
    callback: Option<Callback>,
    op: *mut *mut iouringnet_op,
    start: impl FnOnce(Tell<'_>) -> Result,
) -> Result {
    if op.is_null() {
        return start(Tell::Call(callback.ok_or(Error::INVALID)?));
    }
    // An op that the C program has not initialised is no pointer yet. A refused call leaves its bytes as they were.
    let slot = op.cast::<MaybeUninit<*mut iouringnet_op>>();
    // SAFETY: `op` is not NULL, and so the caller promises that it can be read.
    let old = unsafe { slot.read() };
    let operation = net.operation(callback);
    let published = Box::new(handles::Op { operation: Arc::clone(&operation), net: Arc::clone(net) });
    let token = handles::publish(published, net)?;
    // SAFETY: `op` is not NULL, and so the caller promises that it can be written.
    unsafe { op.write(token) };
    start(Tell::By(&operation)).inspect_err(|_| {
        handles::retire(token);
        // SAFETY: the caller promises that it can be written. The core refused, so no callback looks at it.
        unsafe { slot.write(old) };
    })
}

/// Calls the C function with a completion.
fn call(function: Function, user: User, done: &Done, pair: Option<Result<handles::Pair>>) {
    let mut completion = completion(done.outcome);
    completion.side = side(done.side);
    if let Some(pair) = pair {
        attach(&mut completion, pair);
    }
    // SAFETY: the caller of `submit` promises that the function may be called with its pointer on the net's thread.
    unsafe { function(user.pointer(), &completion) }
}

/// A completion without a connection.
pub(super) fn completion(outcome: Outcome) -> iouringnet_completion {
    iouringnet_completion {
        size: size_of::<iouringnet_completion>(),
        status: status(outcome.result),
        bytes: outcome.bytes,
        sink: std::ptr::null_mut(),
        stream: std::ptr::null_mut(),
        side: 0,
    }
}

/// The side of a forward as C sees it.
pub(super) fn side(half: Option<Half>) -> u32 {
    match half {
        None => 0,
        Some(Half::Recv) => IOURINGNET_SIDE_FROM,
        Some(Half::Send) => IOURINGNET_SIDE_TO,
    }
}

/// Puts the handles of a new connection into its completion. If there are none, the completion gets the error.
pub(super) fn attach(completion: &mut iouringnet_completion, pair: Result<handles::Pair>) {
    match pair {
        Ok((sink, stream)) => (completion.sink, completion.stream) = (sink, stream),
        Err(error) => completion.status = error.code(),
    }
}
