#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! An operation that was begun by an async call: wait for it, cancel it, release it.

use super::types::*;
use super::versioned::Output;
use super::{attach, completion, guard, handles, limit};
use crate::callback_thread::in_callback;
use crate::completion::{Outcome, Waited};
use crate::error::Error;
use std::time::Duration;

/// Waits until an operation is done, or looks whether it is.
///
/// `timeout_ms`  milliseconds to wait; 0: look; IOURINGNET_NO_TIMEOUT: wait for ever. The operation's own
///               limit is another one.
/// `completion`  prepared with `iouringnet_completion_init`, and filled in when 0 is returned; may be NULL.
///               The first one that is filled in after a dial or an accept without a callback collects the
///               connection, which is then the caller's; in every other `sink` and `stream` are NULL.
///
/// If it has a callback, that has then returned; only inside the callback itself this already says 0.
///
/// Threads: Any thread, several at a time; inside a callback only with `timeout_ms` 0
///          (IOURINGNET_IN_CALLBACK).
/// Returns: 0 once the operation is done; its own result is `completion->status`. IOURINGNET_PENDING: not
///          done when the time was over. IOURINGNET_INVALID: another negative time, or a wrong size.
///          IOURINGNET_BAD_HANDLE: released, also by another thread during the wait.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn op_wait(
    op: *mut iouringnet_op,
    timeout_ms: i64,
    completion: *mut iouringnet_completion,
) -> iouringnet_status {
    guard(|| {
        let timeout = limit(timeout_ms)?;
        if timeout != Some(Duration::ZERO) && in_callback() {
            return Err(Error::IN_CALLBACK);
        }
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let output = if completion.is_null() { None } else { Some(unsafe { Output::new(completion) }?) };
        let op = handles::share(op)?;
        match op.operation.wait(timeout) {
            Waited::Done(outcome) => {
                if let Some(output) = output {
                    output.write(&collect(&op, outcome));
                }
                Ok(())
            }
            Waited::Pending => Err(Error::PENDING),
            Waited::Released => Err(Error::BAD_HANDLE),
        }
    })
}

/// Asks an operation to end early, with IOURINGNET_CANCELLED.
///
/// It completes as every operation does, once; success may still follow, if it came first. A send that was
/// partly out tears its sink. Cancelling what is done, or cancelling twice, does nothing.
///
/// Threads: Any thread, callbacks too; never blocks.
/// Returns: IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn op_cancel(op: *mut iouringnet_op) -> iouringnet_status {
    guard(|| {
        handles::share(op)?.operation.cancel();
        Ok(())
    })
}

/// Gives an op back. Every op that was handed out is released once, also after net_stop.
///
/// Does not cancel: an operation with a callback goes on, and its callback runs. A connection that nobody
/// collected is closed. Threads that wait for the op get IOURINGNET_BAD_HANDLE.
///
/// Threads: Any thread, callbacks too, its own included; never blocks.
/// Returns: IOURINGNET_BUSY: not done and without a callback, so that nobody would learn its end; the op
///          stays. IOURINGNET_BAD_HANDLE.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn op_release(op: *mut iouringnet_op) -> iouringnet_status {
    guard(|| {
        handles::share(op)?.operation.release()?;
        handles::retire(op).map(drop).ok_or(Error::BAD_HANDLE)
    })
}

/// The completion of an op that is done, with its connection if nobody else has collected that.
fn collect(op: &handles::Held<iouringnet_op>, outcome: Outcome) -> iouringnet_completion {
    let mut done = completion(outcome);
    if let Some(socket) = op.operation.take_connection() {
        let pair = handles::publish_connection(socket, &op.net);
        if pair.is_err() {
            op.operation.revoke_connection(); // the net stops: whoever asks again is told the same
        }
        attach(&mut done, pair);
    }
    done
}
