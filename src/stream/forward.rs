//! What a stream does for a forward: it has a watch, whose callback passes the bytes on.
//!
//! While the sink is full the watch is paused, and so TCP holds the peer back. `forward` calls this file. Invariant: a byte
//! that the sink did not take stays in the stream's buffer, and receives after the forward get it.

use super::watch::Watch;
use super::{State, Stream};
use crate::callback::DataCallback;
use crate::completion::{Begun, Target, Tell, Teller};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, RequestId};
use crate::ownership::Next;
use std::mem;
use std::sync::{Arc, Weak};

/// What the watch of a forward knows more than others.
pub(super) struct Forwarder {
    /// Gets the events of the poll.
    handler: Weak<dyn Handler>,
    poll: Poll,
    /// The poll has reported something, and nobody has looked at the socket since.
    unseen: bool,
}

/// The poll that reports that the connection breaks. It stays armed from the first pause.
#[derive(Clone, Copy)]
enum Poll {
    NotYet,
    Armed(RequestId),
    /// The kernel has ended it, and has nothing more to report.
    Over,
}

/// Why a forward looks at its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The poll has seen something, and goes on.
    Something,
    /// The same, but the kernel has ended the poll.
    Last,
    /// The poll has seen the end of both directions, or has failed. The kernel has ended it.
    HangUp,
}

impl Forwarder {
    fn is_of<F: Handler>(&self, forward: &Arc<F>) -> bool {
        std::ptr::addr_eq(self.handler.as_ptr(), Arc::as_ptr(forward))
    }
}

impl Watch {
    pub(super) fn poll_of_forward(&self) -> Option<RequestId> {
        match self.forward.as_ref()?.poll {
            Poll::Armed(poll) => Some(poll),
            Poll::NotYet | Poll::Over => None,
        }
    }

    /// The poll of the forward has reported.
    fn note_poll(&mut self, seen: Seen) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        forward.unseen = true;
        match seen {
            Seen::Something => {}
            Seen::Last => forward.poll = Poll::NotYet,
            Seen::HangUp => forward.poll = Poll::Over,
        }
    }

    /// Whether the poll of a forward has reported something since this was last asked.
    fn take_unseen(&mut self) -> bool {
        self.forward.as_mut().is_some_and(|forward| mem::take(&mut forward.unseen))
    }
}

impl Stream {
    /// Passes every byte from now on to the callback that `callback` makes, which learns the end of the forward too. BUSY: a
    /// watch, receives or another forward are there. `empty`: there is nothing to pass on.
    pub fn begin_forward<F: Handler + Target + 'static>(
        self: &Arc<Self>,
        forward: &Arc<F>,
        tell: Tell<'_>,
        empty: bool,
        callback: impl FnOnce(Teller) -> DataCallback,
    ) -> Result<Begun> {
        let mut state = self.lock_to_change();
        state.check_open(&self.net)?;
        state.check_idle()?;
        let weak = Arc::downgrade(forward);
        let target = || -> Weak<dyn Target> { Weak::clone(&weak) as _ };
        let accepted = self.net.accept_work(tell, &self.socket, target)?;
        if empty {
            return Ok(self.net.over_at_once(accepted, Ok(()), 0));
        }
        let teller = self.net.teller(accepted, &self.socket, target, false)?;
        let (begun, cancelled) = (teller.begun(), teller.is_cancelled());
        state.forget_shown();
        let forwarder = Forwarder { handler: Weak::clone(&weak) as _, poll: Poll::NotYet, unseen: false };
        state.begin_deadline();
        let watch = state.watch.insert(Watch::of_forward(callback(teller), forwarder));
        if cancelled {
            watch.end(Error::CANCELLED);
        }
        let next = state.front.queued(false);
        debug_assert!(matches!(next, Next::PostToLoop | Next::TellLoop), "the stream was idle");
        drop(state);
        self.post_to_loop();
        Ok(begun)
    }

    /// As the forward, in its callback: no call until [`Stream::resume_forward`].
    pub fn hold_forward<F: Handler>(&self, forward: &Arc<F>) {
        if let Some(watch) = self.lock_to_change().watch_of(forward) {
            watch.pause();
        }
    }

    /// As the forward: there is room. The next call shows what was not taken.
    pub fn resume_forward<F: Handler>(self: &Arc<Self>, forward: &Arc<F>) {
        if self.lock_to_change().watch_of(forward).is_some_and(Watch::resume) {
            self.post_to_loop();
        }
    }

    /// Ends `forward`, unless it has ended. The first reason stays.
    pub fn end_forward<F: Handler>(self: &Arc<Self>, forward: &Arc<F>, reason: Error) {
        let mut state = self.lock_to_change();
        if let Some(watch) = state.watch_of(forward) {
            watch.end(reason);
            drop(state);
            self.post_to_loop();
        }
    }

    /// The poll of `forward` has reported. A stream that is paused looks at once. Any other one looks when it pauses next, if
    /// no receive has met an error before.
    pub fn look_for_forward<F: Handler>(self: &Arc<Self>, forward: &Arc<F>, seen: Seen) {
        let mut state = self.lock_to_change();
        if let Some(watch) = state.watch_of(forward) {
            watch.note_poll(seen);
            drop(state);
            self.post_to_loop();
        }
    }

    /// As the receive loop, while the watch is paused: if the poll has reported that the connection is broken, the watch ends.
    /// True: it does. What has arrived before can still be received.
    pub(super) fn has_broken_forward(&self, state: &mut State) -> bool {
        let Some(watch) = &mut state.watch else {
            return false;
        };
        watch.take_unseen() && self.socket.look_for_error_received().map(|error| watch.end(error)).is_some()
    }

    /// As the receive loop, while the watch is paused: polls, because no receive would see a reset.
    pub(super) fn poll_for_forward(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        let Some(forward) = state.watch.as_mut().and_then(|watch| watch.forward.as_mut()) else {
            return;
        };
        if let (Poll::NotYet, Some(handler)) = (forward.poll, forward.handler.upgrade()) {
            let request = Request::HangUp { socket: Arc::clone(&self.socket) };
            forward.poll = Poll::Armed(event_loop.submit(handler, request));
        }
    }
}

impl State {
    /// The watch of `forward`. `None`: it has ended, and there may be another one.
    fn watch_of<F: Handler>(&mut self, forward: &Arc<F>) -> Option<&mut Watch> {
        let own = |watch: &&mut Watch| watch.forward.as_ref().is_some_and(|known| known.is_of(forward));
        self.watch.as_mut().filter(own)
    }
}
