//! What a sink does for a forward: the forward alone sends, and learns of room and of the end.
//!
//! `forward` calls this file on the receive loop. The send loop polls for it. Invariant: while a forward owns the sink, its
//! queue has no sends, and the poll for room is armed. The poll also reports that the connection breaks.

use super::{Sink, State};
use crate::error::{Error, Result};
use crate::event_loop::Handler;
use crate::ownership::Owner;
use crate::parts::Parts;
use crate::socket::Tried;
use crate::sync::MutexGuard;
use std::sync::Arc;

/// What a forward finds when it looks at its sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Earlier sends are not out yet.
    Waits,
    /// The forward owns the sink.
    Owned,
    /// The forward must end: the sink is broken, closed or stopped.
    Ended(Error),
}

impl Sink {
    /// From now on `forward` alone sends here, after everything that was accepted before. It gets mail on the receive loop
    /// whenever it should look again, until [`Sink::end_forward`]. True: it owns the sink at once. BUSY: there is another one.
    pub fn begin_forward(self: &Arc<Self>, forward: Arc<dyn Handler>) -> Result<bool> {
        let mut state = self.lock();
        state.check_open(&self.net)?;
        state.check_own()?;
        state.seldom.forward = Some(forward);
        state.seldom.forward_is_late = false;
        let owned = state.front.begin_forward();
        drop(state);
        if owned {
            self.post_to_loop(); // which arms the poll
        }
        Ok(owned)
    }

    /// As the forward: what there is to do.
    pub fn look_for_forward(self: &Arc<Self>) -> Forwarded {
        let state = self.lock();
        match state.cause {
            Some(cause) => Forwarded::Ended(cause),
            None if state.front.closing => Forwarded::Ended(self.net.refusal().unwrap_or(Error::CLOSED)),
            None if state.seldom.forward_is_late => Forwarded::Ended(Error::TIMEOUT),
            None if state.front.owner() == Owner::Forward => Forwarded::Owned,
            None => Forwarded::Waits,
        }
    }

    /// As the forward that owns the sink: one send that does not wait.
    #[allow(unsafe_code)]
    #[inline]
    pub fn try_forward(&self, bytes: &[u8]) -> Tried {
        // SAFETY: the bytes are borrowed for the call.
        unsafe { self.socket.try_send(&Parts::of(bytes), 0) }
    }

    /// As the forward that owns the sink: looks whether the connection is broken.
    pub fn look_for_break(&self) -> Option<Error> {
        self.socket.look_for_error()
    }

    /// As the forward that owns the sink: the connection is broken.
    pub fn break_forwarded(&self, error: Error) {
        self.lock().break_with(error);
    }

    /// The forward is over, and others may send. `tell` reports that, before any later end of the sink is reported.
    pub fn end_forward(self: &Arc<Self>, tell: impl FnOnce()) {
        let mut state = self.lock();
        let forward = state.seldom.changed().and_then(|seldom| seldom.forward.take());
        tell();
        if state.front.end_forward() {
            self.release(state);
        } else {
            drop(state); // its owner is at earlier sends
        }
        drop(forward);
    }

    /// The forward has become the owner.
    #[cold]
    pub(super) fn pass_to_forward(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        if let Some(forward) = &state.seldom.forward {
            self.net.recv_loop.post(Arc::clone(forward));
        }
        drop(state);
        self.post_to_loop(); // as in `begin_forward`
    }

    /// As the send loop: the poll has seen something. The forward owns the sink, so it looks.
    pub(super) fn tell_forward(&self, state: &State) {
        if let Some(forward) = state.seldom.forward.as_ref().filter(|_| state.front.owner() == Owner::Forward)
        {
            self.net.recv_loop.post(Arc::clone(forward));
        }
    }
}

impl State {
    /// BUSY: a forward alone sends here.
    #[inline]
    pub(super) fn check_own(&self) -> Result {
        if self.seldom.get().is_none_or(|seldom| seldom.forward.is_none()) {
            Ok(())
        } else {
            Err(Error::BUSY)
        }
    }

    /// Whether a forward owns the sink, and nothing reports room to it.
    pub(super) fn needs_poll(&self) -> bool {
        self.front.owner() == Owner::Forward
            && self.poll.is_none()
            && self.cause.is_none()
            && !self.front.closing
    }
}
