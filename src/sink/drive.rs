//! What the send loop does with a sink: it sends the queue, and ends what takes too long.
//!
//! Invariant: a sink has at most one send in the ring. The poll for room stays armed until the sink has closed, or until it
//! fires while the loop does not own the sink.

use super::{Sink, State};
use crate::engine::{Message, Request};
use crate::error::Error;
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId, Sent};
use crate::ownership::Owner;
use crate::parts::{EMPTY_PART, Gather, PARTS_MAX};
use crate::socket::Half;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::sys::Answer;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

impl Sink {
    /// As the send loop: sends, waits for room or releases the sink, unless a send is in flight.
    fn drive(self: &Arc<Self>, mut state: MutexGuard<'_, State>, event_loop: &mut EventLoop) {
        if state.front.owner() != Owner::Loop {
            if state.needs_poll() {
                self.poll_for_room(&mut state, event_loop);
            } else if let Some(poll) = state.poll.filter(|_| state.front.is_closed()) {
                event_loop.cancel(poll);
            }
            return; // without such a poll: another owner has done the work meanwhile
        }
        let now = event_loop.settled();
        state.sweep(self.outbox(), now);
        if state.front.closing {
            self.cut_off(&mut state, now);
        }
        if state.request.is_some() {
            return; // its completion comes soon
        }
        if state.cause.is_some() || state.queue.is_empty() {
            if let Some(seldom) = state.seldom.changed() {
                event_loop.disarm(&mut seldom.timer);
            }
            state.full = false; // sends past the loop may change that
            return self.release(state);
        }
        if !state.full {
            state.request = Some(if state.queue.is_one_part() {
                self.submit::<1>(event_loop, &mut state)
            } else {
                self.submit::<PARTS_MAX>(event_loop, &mut state)
            });
        } else if state.poll.is_none() {
            self.poll_for_room(&mut state, event_loop);
        }
        if let Some(when) = self.next_deadline(&state) {
            event_loop.arm(&mut state.seldom.timer, when, || Arc::clone(self) as _);
        }
    }

    fn poll_for_room(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        let request = Request::Room { socket: Arc::clone(&self.socket) };
        state.poll = Some(event_loop.submit(Arc::clone(self) as _, request));
    }

    /// The poll for room has ended. `drive` arms it again if needed, but not after a failure: it would fail again and again.
    fn poll_is_over(&self, state: &mut State, answer: Answer) {
        state.poll = None;
        let was_full = mem::take(&mut state.full);
        let is_needed = was_full || state.front.owner() == Owner::Forward;
        match answer {
            Answer::Failed(error) if is_needed => state.break_with(error),
            _ => {}
        }
        self.tell_forward(state);
    }

    /// Breaks the sink if a drain has made no progress for too long, or if its whole time is over.
    #[cold]
    fn cut_off(&self, state: &mut State, now: Instant) {
        self.begin_drain(state);
        let is_late = self.drain_limit(state).is_some_and(|limit| limit <= now);
        if state.cause.is_none() && is_late {
            state.break_with(Error::TIMEOUT);
            let socket = &self.socket;
            tracing::warn!(
                local = socket.local_to_log(),
                peer = socket.peer_to_log(),
                "a peer takes too long; what is unsent is lost"
            );
            self.net.drains_timed_out.fetch_add(1, Ordering::Relaxed);
            if self.net.members.is_stopping() {
                self.net.sends_were_cut();
            }
        }
    }

    /// Begins the drain, when the send loop first sees the close. All that was accepted is then in the queue or out.
    pub(super) fn begin_drain(&self, state: &mut State) {
        if state.front.closing && self.socket.drain_until().is_none() {
            let left = state.queue.unsent().saturating_add(self.socket.unacknowledged());
            self.socket.begin_drain(self.net.config.drain_timeout.deadline(Instant::now(), left));
        }
    }

    /// The moment by which a drain must have made progress, or must end.
    #[cold]
    fn drain_limit(&self, state: &State) -> Option<Instant> {
        let close_timeout = self.net.config.close_timeout;
        let progress = state.seldom.progress.and_then(|progress| progress.checked_add(close_timeout));
        progress.into_iter().chain(self.socket.drain_until().flatten()).min()
    }

    fn next_deadline(&self, state: &State) -> Option<Instant> {
        if state.front.closing { self.drain_limit(state) } else { state.queue.earliest() }
    }

    /// Sends up to `PARTS` parts. It empties a place for each first, which is most of the work if there is one part.
    fn submit<const PARTS: usize>(
        self: &Arc<Self>,
        event_loop: &mut EventLoop,
        state: &mut State,
    ) -> RequestId {
        let mut vectors = [EMPTY_PART; PARTS];
        let mut gather = Gather::new(&mut vectors);
        state.queue.gather(&mut gather);
        let request = Request::Send { socket: Arc::clone(&self.socket), message: Message::new(&gather) };
        self.socket.send_begins();
        event_loop.submit(Arc::clone(self) as _, request)
    }
}

impl Handler for Sink {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(self.lock(), event_loop);
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, request: Request, reaped: Reaped) {
        let mut state = self.lock();
        if let Request::Room { .. } = request {
            self.poll_is_over(&mut state, reaped.answer());
            return self.drive(state, event_loop);
        }
        state.request = None;
        state.queue.answered();
        match reaped.answer() {
            Answer::Done(count) => {
                self.socket.count(Half::Send, count);
                state.advance(self.outbox(), count);
            }
            Answer::Again => {}
            Answer::WouldBlock => {
                state.end_try(self.outbox());
                state.full = true;
            }
            Answer::Failed(error) => state.break_with(self.socket.fail(error)),
        }
        self.socket.send_ends();
        self.tell_room(&mut state);
        self.drive(state, event_loop);
    }

    fn on_ready(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.lock();
        state.full = false;
        if state.front.owner() == Owner::Forward {
            self.tell_forward(&state);
        } else if let (Some(poll), true) = (state.poll, state.front.owner() != Owner::Loop) {
            event_loop.cancel(poll); // the owner waits for room itself, and the poll would wake up the loop each time
        } else {
            self.drive(state, event_loop);
        }
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.lock();
        state.seldom.timer.fired();
        self.drive(state, event_loop);
    }

    fn leave_round(&self) -> bool {
        let ours = self.gate.leave_round();
        if ours {
            self.socket.send_begins();
        }
        ours
    }

    fn all_sent(&self, bytes: usize) -> bool {
        self.socket.send_ends();
        self.socket.count(Half::Send, bytes); // while the sink is owned
        let over = self.gate.leave();
        if !over {
            self.socket.count(Half::Send, 0usize.wrapping_sub(bytes)); // `on_sent` counts them
        }
        over
    }

    fn on_sent(self: Arc<Self>, sent: Sent<'_>) {
        let tried = self.socket.sent(sent.answer());
        self.end_sent(sent.content, tried);
    }

    fn end_round(self: Arc<Self>) {
        let mut state = self.lock();
        if state.front.take_from_round() {
            self.try_queue(state);
        }
    }

    fn fail(self: Arc<Self>) {
        self.end_now(Error::PANIC);
    }
}
