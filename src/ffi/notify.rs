#![allow(unsafe_code)] // sets the caller's op, and calls its functions
//! How C gets the completion of an async call: by a callback, by an op, or by both.
//!
//! Every async function of the boundary uses it. Invariant: if the core refuses the call, the callback never runs, and the
//! caller's op has its old value.

use super::arguments::User;
use super::guard::status;
use super::handles;
use super::types::{iouringnet_callback, iouringnet_completion, iouringnet_op};
use crate::completion::{Callback, Done, Outcome, Tell};
use crate::error::{Error, Result};
use crate::net::Net;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

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
    let callback = completion_callback(net, notify.callback, notify.user);
    if notify.op.is_null() {
        return start(Tell::Call(callback.ok_or(Error::INVALID)?));
    }
    // An op that the C program has not initialised is no pointer yet. A refused call leaves its bytes as they were.
    let slot = notify.op.cast::<MaybeUninit<*mut iouringnet_op>>();
    // SAFETY: `notify.op` is not NULL, and so the caller promises that it can be read.
    let old = unsafe { slot.read() };
    let operation = net.operation(callback);
    let op = handles::Op { operation: Arc::clone(&operation), net: Arc::clone(net) };
    let token = handles::publish(op, net)?;
    // SAFETY: `notify.op` is not NULL, and so the caller promises that it can be written.
    unsafe { notify.op.write(token) };
    start(Tell::By(&operation)).inspect_err(|_| {
        handles::retire(token);
        // SAFETY: the caller promises that it can be written. The core refused, so no callback looks at it.
        unsafe { slot.write(old) };
    })
}

/// The core's form of a C callback that gets one completion.
fn completion_callback(net: &Arc<Net>, callback: iouringnet_callback, user: *mut c_void) -> Option<Callback> {
    let function = callback?;
    let (net, user) = (Arc::clone(net), User(user));
    Some(Box::new(move |done: Done| {
        let mut completion = completion(done.outcome);
        if let Some(socket) = done.connection {
            attach(&mut completion, handles::publish_connection(socket, &net));
        }
        // SAFETY: the caller promises that the function may be called with its pointer on the net's thread.
        unsafe { function(user.pointer(), &completion) }
    }))
}

/// A completion without a connection.
pub(super) fn completion(outcome: Outcome) -> iouringnet_completion {
    iouringnet_completion {
        size: size_of::<iouringnet_completion>(),
        status: status(outcome.result),
        bytes: outcome.bytes,
        sink: std::ptr::null_mut(),
        stream: std::ptr::null_mut(),
    }
}

/// Puts the handles of a new connection into its completion. If there are none, the completion gets the error.
pub(super) fn attach(completion: &mut iouringnet_completion, pair: Result<handles::Pair>) {
    match pair {
        Ok((sink, stream)) => (completion.sink, completion.stream) = (sink, stream),
        Err(error) => completion.status = error.code(),
    }
}
