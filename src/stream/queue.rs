//! The receives that wait on one stream, in order, and how the receive loop serves them.
//!
//! The queue is used under the stream's lock. Invariant: an item leaves with its operation completed. Exception: the loop
//! takes the front out while it serves it, and puts it back if it needs more bytes.

use super::line::Line;
use super::want::{Ask, SERVE_MAX, Step, Want};
use super::{Brought, State, Stream};
use crate::completion::{Callback, Ended, Outbox, Outcome, Teller};
use crate::deadlines::Limit;
use crate::engine::Request;
use crate::error::Error;
use crate::event_loop::EventLoop;
use crate::permits::Permit;
use crate::rare::Unchanged;
use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::Instant;

/// Receives and fills that wait for their turn or for bytes.
#[derive(Default)]
pub(super) struct RecvQueue {
    items: Line<Item>,
    next_sweep: Sweep,
}

/// When a sweep may find something to end. The soonest is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Sweep {
    /// A caller asked for the end of an operation in the queue.
    Now,
    /// No deadline in the queue is earlier.
    At(Instant),
    /// Nothing in the queue has a deadline.
    #[default]
    Never,
}

/// One receive or fill.
pub(super) struct Item {
    /// What it asks for.
    pub want: Want,
    /// How many bytes it has taken.
    pub got: usize,
    /// Who learns its end.
    pub teller: Teller,
    /// How long it may take.
    pub limit: Limit,
    /// A callback of the net has begun it, and alone learns its end. Such a receive may be prefetched.
    pub chained: bool,
}

impl Unchanged for RecvQueue {
    const UNCHANGED: &'static RecvQueue = &RecvQueue { items: Line::new(), next_sweep: Sweep::Never };
}

impl Item {
    /// The error with which it must end at `now`, if it must.
    fn cut(&self, now: Instant) -> Option<Error> {
        if self.teller.is_cancelled() {
            return Some(Error::CANCELLED);
        }
        self.limit.is_late(now).then_some(Error::TIMEOUT)
    }

    fn deadline(&self) -> Sweep {
        self.limit.deadline.map_or(Sweep::Never, Sweep::At)
    }

    fn fail(self, outbox: &dyn Outbox, error: Error) {
        self.teller.tell(outbox, Outcome { result: Err(error), bytes: self.got });
    }
}

impl RecvQueue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A caller asked for the end of an operation here. The next sweep finds it.
    pub fn note_cancelled(&mut self) {
        self.next_sweep = Sweep::Now;
    }

    /// Queues a receive that a callback has begun, without a deadline.
    #[inline] // an item is large, and a call would move it once more
    pub fn push_chained(&mut self, want: Want, callback: Callback, permit: Permit) {
        let teller = Teller::Call(callback, permit);
        self.items.push_back(Item { want, got: 0, teller, limit: Limit::default(), chained: true });
    }

    /// Queues an item, `first_in_line` before all others.
    pub fn push(&mut self, item: Item, first_in_line: bool) {
        let sweep = if item.teller.is_cancelled() { Sweep::Now } else { item.deadline() };
        self.next_sweep = self.next_sweep.min(sweep);
        if first_in_line {
            self.items.push_front(item);
        } else {
            self.items.push_back(item);
        }
    }

    /// Ends the only receive here with all of `bytes`, which come next, if its callback may run at once.
    pub fn end_alone(&mut self, bytes: &[u8]) -> Option<Ended> {
        let front = self.items.front_mut()?;
        let alone = matches!(&front.teller, Teller::Call(_, permit) if permit.is_alone());
        if !alone || !front.want.is_ended_by(front.got, bytes.len()) {
            return None;
        }
        front.want.end_with(&mut front.got, bytes)?;
        let Item { teller: Teller::Call(callback, permit), got, .. } = self.items.pop_front()? else {
            return None;
        };
        Some(Ended { callback, outcome: Outcome { result: Ok(()), bytes: got }, permit })
    }

    /// The kernel has written `count` bytes to the memory of the front.
    fn advance(&mut self, count: usize) {
        if let Some(front) = self.items.front_mut() {
            front.got += count;
        }
    }

    /// The front is late at `now`, whatever its own limit. True: there is a front.
    pub fn end_front(&mut self, now: Instant) -> bool {
        let Some(front) = self.items.front_mut() else {
            return false;
        };
        front.limit.deadline = front.limit.deadline.into_iter().chain([now]).min();
        self.next_sweep = self.next_sweep.min(Sweep::At(now));
        true
    }

    /// The request for the front found no bytes. A front that is one try ends.
    fn end_try(&mut self, outbox: &dyn Outbox) {
        if self.items.front().is_some_and(|front| front.limit.one_try) {
            if let Some(item) = self.items.pop_front() {
                item.fail(outbox, Error::TIMEOUT);
            }
        }
    }

    /// Whether the front was cancelled or is late.
    fn front_is_cut(&self, now: Instant) -> bool {
        self.items.front().is_some_and(|front| front.cut(now).is_some())
    }

    /// Whether the front needs a request of its own. An armed receive is then in its way.
    pub fn front_asks_alone(&self) -> bool {
        self.items.front().is_some_and(|front| !front.chained)
    }

    fn front_is_late(&self, now: Instant) -> bool {
        self.items.front().is_some_and(|front| front.limit.is_late(now))
    }

    /// Ends what was cancelled or is late behind the front. The front has a request in flight.
    fn sweep(&mut self, outbox: &dyn Outbox, now: Instant) {
        if Sweep::At(now) < self.next_sweep {
            return;
        }
        let (behind, mut index) = (self.items.behind(), 0);
        while index < behind.len() {
            let cut = behind[index].cut(now);
            match cut.and_then(|error| Some((behind.remove(index)?, error))) {
                Some((item, error)) => item.fail(outbox, error),
                None => index += 1,
            }
        }
        self.next_sweep = self.items.iter().map(Item::deadline).min().unwrap_or_default();
    }

    /// Ends everything with `cause`.
    pub fn fail_all(&mut self, outbox: &dyn Outbox, cause: Error) {
        while let Some(item) = self.items.pop_front() {
            item.fail(outbox, cause);
        }
    }
}

impl State {
    /// Gives the buffered bytes and `bytes`, which come behind them, to the receives in the queue. The buffer keeps the
    /// rest.
    pub(super) fn hand_out(&mut self, outbox: &dyn Outbox, mut bytes: &[u8], capacity: usize) {
        while self.buffer.is_empty() && !bytes.is_empty() {
            let Some(mut item) = self.queue.items.pop_front() else {
                break;
            };
            let Some(count) = item.want.end_with(&mut item.got, bytes) else {
                self.queue.items.push_front(item);
                break;
            };
            bytes = &bytes[count..];
            item.teller.tell(outbox, Outcome { result: Ok(()), bytes: item.got });
        }
        self.keep(bytes);
        while !self.buffer.is_empty() {
            let Some(mut item) = self.queue.items.pop_front() else {
                return;
            };
            let mut taken = self.take_work();
            let done = item.want.satisfy(&mut item.got, &mut taken, capacity);
            self.give_back(taken);
            let Some(outcome) = done else {
                return self.queue.items.push_front(item);
            };
            item.teller.tell(outbox, outcome.ended_by(self.cause));
        }
    }
}

impl Stream {
    /// As the receive loop: serves the front until a request is in flight for it, or releases the stream.
    pub(super) fn drive_queue<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        brought: Brought<'_>,
    ) {
        match brought {
            Brought::Direct(count) => state.queue.advance(count),
            Brought::Pooled(bytes) => {
                state.hand_out(self.outbox(), bytes.as_slice(), self.net.config.read_buffer);
            }
            Brought::Readable => self.receive_what_is_there(&mut state, event_loop),
            Brought::WouldBlock => state.queue.end_try(self.outbox()),
            Brought::Buffered | Brought::Nothing => {}
        }
        if state.prefetch.is_armed() {
            state.hand_out(self.outbox(), &[], self.net.config.read_buffer); // to receives of other threads
            if state.queue.front_asks_alone() {
                state.cancel_request(event_loop);
            }
        }
        let now = event_loop.settled();
        while state.request.is_none() {
            if state.cause.is_some() || state.queue.is_empty() {
                event_loop.disarm(&mut state.timer);
                return self.release(state);
            }
            state = self.serve_front(state, event_loop, now);
        }
        // Not earlier: there may have been bytes for receives that are late. While the kernel still has bytes for a late
        // front, the receives behind it have not had their turn. Each is served when the request has come back.
        if !(state.queue.front_is_late(now) && self.socket.unread() > 0) {
            state.queue.sweep(self.outbox(), now);
        }
        if state.cause.is_some() || state.queue.front_is_cut(now) {
            state.cancel_request(event_loop);
        }
        if let Sweep::At(when) = state.queue.next_sweep {
            if !state.interrupting {
                event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
            }
        }
    }

    /// Ends the front if the buffer has enough, or if it was cut. Otherwise submits a request for it.
    fn serve_front<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        let Some(mut item) = state.queue.items.pop_front() else {
            return state;
        };
        // A late receive may not have asked the kernel yet.
        let is_late = item.cut(now) == Some(Error::TIMEOUT);
        let ask = || if is_late { Ask::held_by(&self.socket) } else { Ask::Never };
        let (mut state, step) = self.serve_unlocked(state, item.want, &mut item.got, ask);
        match (step, item.cut(now)) {
            (Step::Done(outcome), _) => {
                let outcome = outcome.ended_by(state.cause);
                item.teller.tell(self.outbox(), outcome);
            }
            (Step::Blocked, Some(cut)) if !item.limit.one_try => item.fail(self.outbox(), cut),
            (Step::Blocked, _) => {
                let request = self.request(event_loop, &mut state, &item);
                state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
                state.queue.items.push_front(item);
            }
        }
        state
    }

    /// The request that brings bytes for `item`.
    fn request(&self, event_loop: &EventLoop, state: &mut State, item: &Item) -> Request {
        if item.chained {
            if let Some(request) = self.prefetch(event_loop, state) {
                return request;
            }
        }
        let capacity = self.net.config.read_buffer;
        let one_try = item.limit.one_try;
        let Some(into) = item.want.direct(item.got, capacity) else {
            let room = item.want.room(state.buffer.len(), capacity);
            return self.buffered_request(event_loop, state, room, one_try);
        };
        let most = if one_try { usize::MAX } else { SERVE_MAX }; // one try must find all that the socket has
        Request::Recv { socket: Arc::clone(&self.socket), into: into.at_most(most), one_try }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::completion::{Finished, Operation, Waited};
    use crate::error::Result;
    use std::time::Duration;

    struct Nowhere;
    impl Outbox for Nowhere {
        fn deliver(&self, _: Arc<Operation>) {
            unreachable!("no operation here has a callback");
        }

        fn deliver_finished(&self, _: Finished) {
            unreachable!("no operation here has a callback");
        }

        fn runs_here(&self) -> bool {
            false
        }

        fn is_over(&self) {}
    }

    fn fill(limit: Limit) -> (Item, Arc<Operation>) {
        let operation = Operation::new(Arc::new(Nowhere), None);
        let teller = Teller::Operation(Arc::clone(&operation));
        (Item { want: Want::Buffered(8), got: 0, teller, limit, chained: false }, operation)
    }

    fn result_of(operation: &Operation) -> Option<Result> {
        match operation.wait(Some(Duration::ZERO)) {
            Waited::Done(Outcome { result, .. }) => Some(result),
            Waited::Pending | Waited::Released => None,
        }
    }

    #[test]
    fn a_sweep_ends_what_is_late_or_cancelled_behind_the_front() {
        let now = Instant::now();
        let mut queue = RecvQueue::default();
        let late = Limit { deadline: Some(now), one_try: false };
        let [front, middle, cancelled, last] =
            [late, late, Limit::default(), Limit::default()].map(|limit| {
                let (item, operation) = fill(limit);
                queue.push(item, false);
                operation
            });
        cancelled.cancel();
        queue.note_cancelled();
        queue.sweep(&Nowhere, now);
        let results = [&front, &middle, &cancelled, &last].map(|operation| result_of(operation));
        assert_eq!(results, [None, Some(Err(Error::TIMEOUT)), Some(Err(Error::CANCELLED)), None]);
        assert!(queue.front_is_cut(now), "the loop ends the front when the kernel has answered");
        assert_eq!(queue.next_sweep, Sweep::At(now));
        queue.fail_all(&Nowhere, Error::CLOSED);
        assert_eq!(
            (result_of(&front), result_of(&last)),
            (Some(Err(Error::CLOSED)), Some(Err(Error::CLOSED)))
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn a_sweep_finds_what_was_cancelled_before_it_was_queued() {
        let mut queue = RecvQueue::default();
        let (front, _) = fill(Limit::default());
        queue.push(front, false);
        let (item, operation) = fill(Limit::default());
        operation.cancel(); // by a thread that has the op, while its call still tries
        queue.push(item, false);
        queue.sweep(&Nowhere, Instant::now());
        assert_eq!(result_of(&operation), Some(Err(Error::CANCELLED)));
    }

    #[test]
    fn one_try_ends_alone() {
        let mut queue = RecvQueue::default();
        let (item, once) = fill(Limit { deadline: None, one_try: true });
        let (behind, waits) = fill(Limit::default());
        queue.push(behind, false);
        queue.push(item, true);
        queue.end_try(&Nowhere);
        queue.end_try(&Nowhere);
        assert_eq!((result_of(&once), result_of(&waits)), (Some(Err(Error::TIMEOUT)), None));
    }
}
