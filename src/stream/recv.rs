//! What callers ask of a stream: receives, fills, and looks at the buffer.
//!
//! If nobody owns the stream, the caller's thread serves the call from the buffer, and by receives that do not wait. A
//! blocking call then waits there (stream/wait.rs). Any other call is queued (stream/queue.rs). Invariant: a call that has
//! claimed the stream releases it on every path, after its own end has been told or its item is at the queue's front.
//! Therefore completions keep the order of the calls.

use super::queue::Item;
use super::want::{Ask, Step, Taken, Want};
use super::{State, Stream};
use crate::buffer::Mark;
use crate::callback_thread::in_callback;
use crate::completion::{Accepted, Begun, Outcome, Tell};
use crate::deadlines::Limit;
use crate::engine::Lent;
use crate::error::{Error, Result};
use crate::ownership::Next;
use crate::socket::Tried;
use crate::socket_waiter::SocketWaiter;
use crate::sync::MutexGuard;
use std::sync::Arc;

/// A receive that has had its first try, and lacks bytes.
struct Unfinished {
    want: Want,
    got: usize,
    limit: Limit,
    /// See [`Item::chained`].
    chained: bool,
}

impl Stream {
    /// Fills all of `into`. A receive that is smaller than the read buffer takes all or nothing. A larger one counts what
    /// it took, whatever the result.
    #[allow(unsafe_code)]
    pub fn recv(self: &Arc<Self>, into: &mut [u8]) -> Outcome {
        // SAFETY: `into` is borrowed until this returns.
        unsafe { self.recv_raw(into.as_mut_ptr(), into.len()) }
    }

    /// Receives what there is, at least one byte.
    #[allow(unsafe_code)]
    pub fn recv_some(self: &Arc<Self>, into: &mut [u8]) -> Outcome {
        // SAFETY: `into` is borrowed until this returns.
        unsafe { self.recv_some_raw(into.as_mut_ptr(), into.len()) }
    }

    /// [`Stream::recv`] for memory that C names.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable, and nobody else uses them until this returns.
    #[allow(unsafe_code)]
    pub unsafe fn recv_raw(self: &Arc<Self>, into: *mut u8, size: usize) -> Outcome {
        self.wait_for(Want::Exactly(Lent { start: into, size }))
    }

    /// The same, but `tell` says how the caller learns the result. If this returns an error, nothing has begun.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable, and nobody else uses them until the receive has completed.
    #[allow(unsafe_code)]
    pub unsafe fn recv_raw_async(self: &Arc<Self>, into: *mut u8, size: usize, tell: Tell<'_>) -> Result {
        self.begin(Want::Exactly(Lent { start: into, size }), tell).map(drop)
    }

    /// [`Stream::recv_some`] for memory that C names.
    ///
    /// # Safety
    /// As for [`Stream::recv_raw`].
    #[allow(unsafe_code)]
    pub unsafe fn recv_some_raw(self: &Arc<Self>, into: *mut u8, size: usize) -> Outcome {
        self.wait_for(Want::Some(Lent { start: into, size }))
    }

    /// The same, but `tell` says how the caller learns the result.
    ///
    /// # Safety
    /// As for [`Stream::recv_raw_async`].
    #[allow(unsafe_code)]
    pub unsafe fn recv_some_raw_async(
        self: &Arc<Self>,
        into: *mut u8,
        size: usize,
        tell: Tell<'_>,
    ) -> Result {
        self.begin(Want::Some(Lent { start: into, size }), tell).map(drop)
    }

    /// Waits until `size` bytes are buffered.
    pub fn fill(self: &Arc<Self>, size: usize) -> Result {
        self.check_fill(size)?;
        self.wait_for(Want::Buffered(size)).result
    }

    /// The same, but `tell` says how the caller learns the result.
    pub fn fill_async(self: &Arc<Self>, size: usize, tell: Tell<'_>) -> Result {
        self.check_fill(size)?;
        self.begin(Want::Buffered(size), tell).map(drop)
    }

    /// Waits until `mark` is among the first `max` buffered bytes. The count of the outcome says where it ends.
    pub fn fill_until(self: &Arc<Self>, mark: Mark, max: usize) -> Result<Outcome> {
        Ok(self.wait_for(self.until(mark, max)?))
    }

    /// The same, but `tell` says how the caller learns the result.
    pub fn fill_until_async(self: &Arc<Self>, mark: Mark, max: usize, tell: Tell<'_>) -> Result {
        self.begin(self.until(mark, max)?, tell).map(drop)
    }

    fn until(&self, mark: Mark, max: usize) -> Result<Want> {
        let config = &self.net.config;
        let fits = (mark.size()..=config.buffer_max).contains(&max);
        if fits && config.read_buffer > 0 { Ok(Want::Until(mark, max)) } else { Err(Error::INVALID) }
    }

    /// Shows up to `max` buffered bytes without asking the kernel. They live until the next call on this stream.
    pub fn peek(&self, max: usize) -> Result<(*const u8, usize)> {
        let mut state = self.state.lock();
        state.check_sound(&self.net)?;
        state.check_idle()?;
        state.forget_shown();
        state.note_shown();
        let bytes = state.buffer.as_slice();
        Ok((bytes.as_ptr(), bytes.len().min(max)))
    }

    /// Drops the first `size` buffered bytes.
    pub fn consume(self: &Arc<Self>, size: usize) -> Result {
        let mut state = self.state.lock();
        state.check_sound(&self.net)?;
        state.check_idle()?;
        if size > state.buffer.len() {
            return Err(Error::INVALID);
        }
        state.forget_shown();
        state.buffer.consume(size);
        Ok(())
    }

    fn check_fill(&self, size: usize) -> Result {
        let config = &self.net.config;
        match size {
            _ if config.read_buffer == 0 => Err(Error::INVALID),
            size if size > config.buffer_max => Err(Error::TOO_BIG),
            _ => Ok(()),
        }
    }

    fn wait_for(self: &Arc<Self>, want: Want) -> Outcome {
        match self.begin(want, Tell::Wait) {
            Ok(Begun::Finished(outcome)) => outcome,
            Ok(Begun::Queued(op)) => op.outcome(),
            Ok(Begun::Called) => unreachable!("a caller that waits has no callback"),
            Err(error) => Outcome { result: Err(error), bytes: 0 },
        }
    }

    fn begin(self: &Arc<Self>, want: Want, tell: Tell<'_>) -> Result<Begun> {
        let mut state = self.state.lock();
        state.check_open(&self.net)?;
        if state.watch.is_some() {
            return Err(Error::BUSY);
        }
        let accepted = self.net.accept_work(tell, &self.socket, || self.target())?;
        if let Some(cause) = state.cause {
            return Ok(self.net.over_at_once(accepted, Err(cause), 0));
        }
        if want.is_empty() {
            return Ok(self.net.over_at_once(accepted, Ok(()), 0));
        }
        let limit = Limit::from_now(state.timeout(&self.net));
        let chained = matches!(accepted, Accepted::Call(..)) && !limit.one_try && self.is_own_callback();
        state.forget_shown();
        if state.is_resting() {
            return match accepted {
                Accepted::Call(callback, permit) if chained && state.has_nothing_to_serve(&limit) => {
                    state.queue.push_chained(want, callback, permit); // the loop sees it when bytes come
                    Ok(Begun::Called)
                }
                accepted => self.begin_resting(state, want, accepted, limit, chained),
            };
        }
        let prefetches = chained && !state.prefetch.asks();
        if !state.front.claim() {
            return self.queue_behind(state, want, accepted, limit, chained);
        }
        let mut got = 0;
        let waits = matches!(accepted, Accepted::Wait) && !limit.one_try;
        let skips =
            prefetches || waits && state.first_tries.are_vain() && SocketWaiter::may_wait_first(&self.socket);
        let first_ask = || if skips { Ask::Never } else { self.first_ask(&accepted, &limit) };
        let (mut state, step) = self.serve_unlocked(state, want, &mut got, first_ask);
        if waits && !skips {
            state.first_tries.learn(matches!(step, Step::Blocked));
        }
        match step {
            Step::Done(outcome) => self.over(state, accepted, outcome),
            Step::Blocked => self.go_on(state, Unfinished { want, got, limit, chained }, accepted),
        }
    }

    fn first_ask(&self, accepted: &Accepted<'_>, limit: &Limit) -> Ask {
        match accepted {
            _ if !self.net.config.first_try => Ask::Never,
            Accepted::By(_) | Accepted::Call(..) if !limit.one_try && in_callback() => Ask::Once,
            _ => Ask::Always, // a blocking call is in no callback, and one try must find all
        }
    }

    /// Ends a receive that owns the stream. It completes before the stream is free for others, so that completions keep the
    /// order of the receives.
    fn over(
        self: &Arc<Self>,
        state: MutexGuard<'_, State>,
        accepted: Accepted<'_>,
        outcome: Outcome,
    ) -> Result<Begun> {
        let outcome = outcome.ended_by(state.cause);
        let begun = self.net.over_at_once(accepted, outcome.result, outcome.bytes);
        self.release(state);
        Ok(begun)
    }

    /// Goes on with a receive that owns the stream and lacks bytes: a blocking one waits here, and any other is queued.
    #[inline(never)] // keeps the first try short
    fn go_on<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        begun: Unfinished,
        accepted: Accepted<'_>,
    ) -> Result<Begun> {
        let Unfinished { want, mut got, limit, chained } = begun;
        let asked = self.net.config.first_try;
        let waits = asked && !limit.one_try && matches!(accepted, Accepted::Wait);
        let mut step = Step::Blocked;
        if waits {
            (state, step) = self.spin_and_wait(state, want, &mut got, limit.deadline);
        }
        let end = match (step, state.cause) {
            (Step::Done(outcome), _) => Some(outcome),
            (Step::Blocked, Some(cause)) => Some(Outcome { result: Err(cause), bytes: got }),
            // With the first try off, the ring makes the one try.
            (Step::Blocked, None) if limit.one_try && asked => {
                Some(Outcome { result: Err(Error::TIMEOUT), bytes: got })
            }
            (Step::Blocked, None) => None,
        };
        if let Some(outcome) = end {
            return self.over(state, accepted, outcome);
        }
        let begun = got > 0 || waits;
        match self.net.teller(accepted, &self.socket, || self.target(), begun) {
            Ok(teller) => {
                let begun = teller.begun();
                state.queue.push(Item { want, got, teller, limit, chained }, true); // before those that came meanwhile
                self.release(state);
                Ok(begun)
            }
            Err(error) => {
                self.release(state);
                Err(error)
            }
        }
    }

    /// Queues a receive that finds the stream owned.
    fn queue_behind(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        want: Want,
        accepted: Accepted<'_>,
        limit: Limit,
        chained: bool,
    ) -> Result<Begun> {
        if limit.one_try {
            return Ok(self.net.over_at_once(accepted, Err(Error::TIMEOUT), 0));
        }
        let teller = self.net.teller(accepted, &self.socket, || self.target(), false)?;
        let begun = teller.begun();
        state.queue.push(Item { want, got: 0, teller, limit, chained }, false);
        state.interrupt_waiter();
        let next = state.front.queued(false);
        drop(state);
        if next == Next::TellLoop && limit.deadline.is_some() {
            self.post_to_loop(); // which has one more deadline to keep
        }
        Ok(begun)
    }

    /// As the owner: unlocks, serves `want`, and locks again. `ask` runs without the lock.
    #[inline(always)] // a call of its own would cost a buffered receive some 25 instructions
    pub(super) fn serve_unlocked<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        want: Want,
        got: &mut usize,
        ask: impl FnOnce() -> Ask,
    ) -> (MutexGuard<'a, State>, Step) {
        let mut taken = state.take_work();
        drop(state);
        let step = self.serve_as_owner(want, got, &mut taken, ask());
        let mut state = self.state.lock();
        state.give_back(taken);
        (state, step)
    }

    /// As the owner, without the lock: serves `want` from the buffer and, as `ask` allows, by receives that do not wait.
    pub(super) fn serve_as_owner(
        &self,
        want: Want,
        got: &mut usize,
        taken: &mut Taken,
        mut ask: Ask,
    ) -> Step {
        let capacity = self.net.config.read_buffer;
        loop {
            if let Some(outcome) = want.satisfy(got, taken, capacity) {
                return Step::Done(outcome);
            }
            let most = ask.most();
            if most == 0 {
                return Step::Blocked;
            }
            let tried = match want.direct(*got, capacity) {
                Some(rest) => self.fill_lent(rest.at_most(most), got, taken),
                None => self.fill_buffer(taken, want.room(taken.buffer.len(), capacity).min(most)),
            };
            match tried {
                Tried::Bytes(count) => ask = ask.after(count),
                Tried::WouldBlock => {
                    taken.drained = true;
                    return Step::Blocked;
                }
                Tried::End => taken.end = Some(Error::EOF),
                Tried::Failed(error) => taken.end = Some(error),
            }
        }
    }

    /// One receive into the caller's memory.
    #[allow(unsafe_code)]
    fn fill_lent(&self, rest: Lent, got: &mut usize, taken: &mut Taken) -> Tried {
        // SAFETY: the memory is lent until the receive ends, and this thread owns the stream.
        let tried = unsafe { self.socket.try_recv(rest.start, rest.size) };
        if let Tried::Bytes(count) = tried {
            *got += count;
            taken.drained = count < rest.size;
        }
        tried
    }

    /// One receive into `room` bytes of the buffer.
    #[allow(unsafe_code)]
    pub(super) fn fill_buffer(&self, taken: &mut Taken, room: usize) -> Tried {
        let (into, size) = taken.buffer.room(room);
        // SAFETY: the memory is the buffer's own room, and this thread has the buffer for itself.
        let tried = unsafe { self.socket.try_recv(into, size) };
        if let Tried::Bytes(count) = tried {
            // SAFETY: the kernel has written `count` bytes there.
            unsafe { taken.buffer.filled(count) };
            taken.drained = count < size;
        }
        taken.buffer.trim();
        tried
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::socket_waiter::{Ready, SocketWaiter, Woken};
    use crate::stream::fixture::open;
    use std::io::Write;

    #[test]
    fn a_call_that_is_late_takes_no_more_than_was_held() {
        for read_buffer in [0, 64] {
            let config = Config { read_buffer, ..Config::default() };
            let Some((net, stream, mut peer)) = open(config) else { return };
            peer.write_all(&[1; 10]).unwrap();
            let waiter = SocketWaiter::own().unwrap();
            while stream.socket.unread() < 10 {
                assert_eq!(waiter.wait(&stream.socket, Ready::Receive, None), Woken::Ready);
            }
            let mut memory = [0; 20];
            let want = Want::Exactly(Lent { start: memory.as_mut_ptr(), size: memory.len() });
            let mut state = stream.state.lock();
            assert!(state.front.claim());
            let (mut taken, mut got) = (state.take_work(), 0);
            drop(state);
            let step = stream.serve_as_owner(want, &mut got, &mut taken, Ask::Held(7));
            assert!(matches!(step, Step::Blocked));
            assert_eq!((got + taken.buffer.len(), stream.socket.unread()), (7, 3));
            let mut state = stream.state.lock();
            state.give_back(taken);
            stream.release(state);
            stream.close();
            drop(peer);
            net.stop().unwrap();
        }
    }
}
