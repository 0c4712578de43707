#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! An operation that an async call began: wait for it, cancel it, release it.

use super::types::*;
use super::versioned::Output;
use super::{attach, completion, guard, handles, limit, side};
use crate::callback_thread::in_callback;
use crate::completion::{Outcome, Waited};
use crate::error::Error;
use std::time::Duration;

/// Waits until an operation is done, or looks whether it is.
///
/// `timeout_ms`  Milliseconds to wait. It is not the operation's own time limit, and the operation goes on
///               after it.
/// `completion`  Prepared with `iouringnet_completion_init`. Filled in if the call returns 0. NULL: not
///               filled in.
///
///   `timeout_ms`                the call
///   above 0                     waits so long
///   0                           looks once
///   IOURINGNET_NO_TIMEOUT (-1)  waits for ever
///
/// If the operation has a callback, the callback has returned before the call returns 0. Exception: inside
/// the operation's own callback, the call with timeout 0 returns 0.
///
/// Owner:   The caller owns `*completion`, and still releases the op. If the operation is a dial or an accept
///          without a callback, the first call that fills in a completion receives the connection, and the
///          caller closes both halves. In every other completion `sink` and `stream` are NULL.
/// Threads: Any thread, several at the same time. Inside a callback only with timeout 0. Blocks.
/// Returns:
///   0                         The operation is done. Its own result is `completion->status`.
///   IOURINGNET_PENDING        The operation was not done when the time had passed.
///   IOURINGNET_INVALID        `timeout_ms` is below -1, or the size of the completion is wrong.
///   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op, or another thread has released it during the
///                             wait.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net, and `timeout_ms` is not 0. Or inside a log
///                             callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
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
        let op =
            if timeout == Some(Duration::ZERO) { handles::share(op) } else { handles::share_to_wait(op) }?;
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
/// The operation still completes exactly once. It may still succeed or fail in another way, if that comes
/// first. A send that is cut after part of it went out tears its sink. Cancelling a done operation, or
/// cancelling twice, does nothing.
///
/// Owner:   The caller still releases the op. The library owns the operation's memory until the completion.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The request is made, or the operation was done.
///   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn op_cancel(op: *mut iouringnet_op) -> iouringnet_status {
    guard(|| {
        handles::share(op)?.operation.cancel();
        Ok(())
    })
}

/// Releases an op. The caller releases each op exactly once, also after net_stop. Afterwards the handle is
/// invalid.
///
/// The call does not cancel: an operation with a callback goes on, and its callback runs. Threads that wait
/// for the op get IOURINGNET_BAD_HANDLE.
///
/// Owner:   If the op has a connection that nobody has received, the call closes the connection. The library
///          owns the operation's memory until the completion.
/// Threads: Any thread, also inside a callback, the operation's own included. Never blocks.
/// Returns:
///   0                         The op is released.
///   IOURINGNET_BUSY           The operation is not done and has no callback, and so nobody would learn its
///                             result. The op stays.
///   IOURINGNET_BAD_HANDLE     `op` is not an unreleased op.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn op_release(op: *mut iouringnet_op) -> iouringnet_status {
    guard(|| {
        handles::share(op)?.operation.release()?;
        handles::retire(op).map(drop).ok_or(Error::BAD_HANDLE)
    })
}

/// The completion of a done op. The first one has the connection.
fn collect(op: &handles::Held<iouringnet_op>, outcome: Outcome) -> iouringnet_completion {
    let mut done = completion(outcome);
    done.side = side(op.operation.side());
    if let Some(socket) = op.operation.take_connection() {
        let pair = handles::publish_connection(socket, &op.net);
        if pair.is_err() {
            op.operation.revoke_connection(); // the net stops: later calls get the same
        }
        attach(&mut done, pair);
    }
    done
}
