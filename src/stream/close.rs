//! How a stream ends: by a close, an abort, or its net.
//!
//! Invariant: the first cause stays, and the owner of the stream ends what is pending with it.

use super::{State, Stream};
use crate::error::{Error, Result};
use crate::members::Stop;
use crate::ownership::Next;
use crate::sync::MutexGuard;
use std::sync::Arc;

impl Stream {
    /// Ends pending receives and the watch with CLOSED. Closing twice is harmless.
    pub fn close(self: &Arc<Self>) {
        let mut state = self.lock_to_change();
        if state.front.closing {
            return;
        }
        state.front.closing = true;
        state.cause.get_or_insert(Error::CLOSED);
        self.look_again(state);
    }

    /// Ends pending receives and the watch with `cause`, and refuses more. The handle stays open.
    pub fn end(self: &Arc<Self>, cause: Error) {
        let mut state = self.lock_to_change();
        state.aborted |= state.cause.is_none() && cause == Error::CLOSED;
        state.cause.get_or_insert(cause);
        self.look_again(state);
    }

    /// Resets the connection, also if the sink drains or is closed. Ends both halves, and closes this one.
    pub fn abort(self: &Arc<Self>) {
        self.end(Error::CLOSED);
        match self.sink.upgrade() {
            Some(sink) => sink.stop(Stop::Now(Error::CLOSED)),
            None => self.socket.reset(), // the FIN is out
        }
        self.close();
    }

    /// Ends what is pending: here if nobody owns the stream, and otherwise through its owner.
    pub(super) fn look_again(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.interrupt_waiter();
        match state.front.notify_closed() {
            Next::Try => self.release(state),
            Next::PostToLoop => {
                drop(state);
                self.post_to_loop();
            }
            _ => {} // the owner sees it when it locks the stream again
        }
    }
}

impl State {
    /// For the end of a watch: `Ok` if the caller has closed the stream, and the connection was not broken.
    pub(super) fn how_it_ended(&self) -> Result {
        let broken = self.end.filter(|&end| end != Error::EOF);
        match self.cause {
            Some(Error::CLOSED) if !self.aborted => broken.map_or(Ok(()), Err),
            cause => cause.map_or(Ok(()), Err),
        }
    }
}
