//! The operations that a sink accepts: sends and flushes.
//!
//! If the sink has no owner, a call tries its bytes on the caller's thread. A blocking send that is alone waits there for
//! room (socket_waiter.rs). The rest is queued.
//!
//! Invariant: a call that has claimed the sink releases it on every path. Before that, the call reports its end or puts its
//! rest at the queue's front. Therefore completions keep the order of the calls.

use super::queue::{Content, Item};
use super::{Round, Sink, State, WaitingSend};
use crate::completion::{Accepted, Begun, Callback, Ended, Outcome, Tell, Teller};
use crate::deadlines::Limit;
use crate::error::{Error, Result};
use crate::ownership::Owner;
use crate::parts::Parts;
use crate::socket::Tried;
use crate::socket_waiter::{Ready, SocketWaiter, Woken};
use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A send that is not out yet, and how much of it is.
struct Outgoing {
    parts: Parts,
    size: usize,
    sent: usize,
}

impl Outgoing {
    fn item(self, teller: Teller, limit: Limit) -> Item {
        let Outgoing { parts, size, sent } = self;
        Item { content: Content::Lent(parts, teller), sent, size, limit }
    }
}

impl Sink {
    /// Sends all of `data`, and waits as long as that takes. Returns how many bytes went out, whatever the result.
    #[allow(unsafe_code)]
    pub fn send(self: &Arc<Self>, data: &[u8]) -> Outcome {
        // SAFETY: `data` is borrowed until this returns.
        unsafe { self.send_parts(Parts::of(data)) }
    }

    /// The same for memory that a C caller names, in one piece or several.
    ///
    /// # Safety
    /// The memory that `parts` names is readable and unchanged until this returns.
    #[allow(unsafe_code)]
    pub unsafe fn send_parts(self: &Arc<Self>, parts: Parts) -> Outcome {
        // SAFETY: this call waits for the operation, so the memory outlives the operation.
        match unsafe { self.begin_send(parts, Tell::Wait) } {
            Ok(Begun::Finished(outcome)) => outcome,
            Ok(Begun::Queued(operation)) => operation.outcome(),
            Ok(Begun::Called) => unreachable!("a caller that waits has no callback"),
            Err(error) => Outcome { result: Err(error), bytes: 0 },
        }
    }

    /// The same, but `tell` says how the result is reported. An error means that nothing has begun.
    ///
    /// # Safety
    /// The memory that `parts` names is readable and unchanged until the end is reported.
    #[allow(unsafe_code)]
    pub unsafe fn send_parts_async(self: &Arc<Self>, parts: Parts, tell: Tell<'_>) -> Result {
        // SAFETY: the caller vouches until the end.
        unsafe { self.begin_send(parts, tell) }.map(drop)
    }

    /// # Safety
    /// As `send_parts_async`. With `Tell::Wait`: until the operation returned in `Queued` completes.
    #[allow(unsafe_code)]
    unsafe fn begin_send(self: &Arc<Self>, parts: Parts, tell: Tell<'_>) -> Result<Begun> {
        let size = parts.size().ok_or(Error::INVALID)?;
        let round = self.round();
        let tell = match self.net.recv_loop.round_of_many() {
            Some(sends) if round == Round::First => {
                // SAFETY: the caller vouches until the end.
                match unsafe { self.send_in_round(sends, &parts, tell) } {
                    Ok(()) => return Ok(Begun::Called),
                    Err(tell) => tell,
                }
            }
            _ => tell,
        };
        if round != Round::First || size == 0 || !self.gate.pass() {
            // SAFETY: the caller vouches until the end.
            return unsafe { self.send_by_lock(parts, size, tell, round) };
        }
        if let Tell::Call(callback) = tell {
            // SAFETY: the caller vouches until the end.
            return unsafe { self.send_for_callback(parts, size, callback) };
        }
        let accepted = self.net.accept_work(tell, &self.socket, || self.target());
        let accepted = accepted.inspect_err(|_| self.release_by_gate())?;
        // SAFETY: the caller vouches until the end.
        unsafe { self.try_send(parts, size, accepted, round) }
    }

    /// Tries a callback's first send in its round, which owns the sink by the gate. This thread runs the receive loop.
    ///
    /// # Safety
    /// As `begin_send`.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn send_for_callback(
        self: &Arc<Self>,
        parts: Parts,
        size: usize,
        callback: Callback,
    ) -> Result<Begun> {
        let permit = self.net.permit_for(&self.socket);
        let permit = permit.inspect_err(|_| self.release_by_gate())?;
        // SAFETY: the caller vouches for the memory.
        let tried = unsafe { self.socket.try_send(&parts, 0) };
        if !matches!(tried, Tried::Bytes(count) if count == size) {
            let accepted = Accepted::Call(callback, permit);
            // SAFETY: the caller vouches until the end.
            return unsafe { self.go_on(Outgoing { parts, size, sent: 0 }, accepted, Round::First, tried) };
        }
        let outcome = Outcome { result: Ok(()), bytes: size };
        self.net.recv_loop.ended_here(Ended { callback, outcome, permit });
        self.release_by_gate();
        Ok(Begun::Called)
    }

    /// # Safety
    /// As `begin_send`.
    #[allow(unsafe_code)]
    #[inline(never)] // keeps the way past the lock short
    unsafe fn send_by_lock(
        self: &Arc<Self>,
        parts: Parts,
        size: usize,
        tell: Tell<'_>,
        round: Round,
    ) -> Result<Begun> {
        let mut state = self.lock();
        // A send that may not wait first tries what a round has collected.
        if state.timeout(&self.net) == Some(Duration::ZERO) && state.front.take_from_round() {
            self.try_queue(state);
            state = self.lock();
        }
        state.check_open(&self.net)?;
        state.check_own()?;
        let accepted = self.net.accept_work(tell, &self.socket, || self.target())?;
        if let Some(cause) = state.cause {
            return Ok(self.net.over_at_once(accepted, Err(cause), 0));
        }
        if size == 0 {
            return Ok(self.net.over_at_once(accepted, Ok(()), 0));
        }
        let limit = Limit::from_now(state.timeout(&self.net));
        let collects = round == Round::Again && !limit.one_try;
        if collects || !self.net.config.first_try || !state.front.claim() {
            return self.queue_untried(state, Outgoing { parts, size, sent: 0 }, accepted, limit, round);
        }
        drop(state);
        // SAFETY: the caller vouches until the end.
        unsafe { self.try_send(parts, size, accepted, round) }
    }

    /// Tries a send that owns the sink. It reports the end before it releases the sink, so completions keep the order of the
    /// sends.
    ///
    /// # Safety
    /// As `begin_send`.
    #[allow(unsafe_code)]
    unsafe fn try_send(
        self: &Arc<Self>,
        parts: Parts,
        size: usize,
        accepted: Accepted<'_>,
        round: Round,
    ) -> Result<Begun> {
        // SAFETY: the caller vouches for the memory.
        let tried = unsafe { self.socket.try_send(&parts, 0) };
        if matches!(tried, Tried::Bytes(count) if count == size) {
            let begun = self.net.over_at_once(accepted, Ok(()), size);
            self.release_by_gate();
            return Ok(begun);
        }
        // SAFETY: the caller vouches until the end.
        unsafe { self.go_on(Outgoing { parts, size, sent: 0 }, accepted, round, tried) }
    }

    /// Goes on with a send that owns the sink and was not out at its first try. Waits if the caller may, then queues the
    /// rest.
    ///
    /// # Safety
    /// As `begin_send`.
    #[allow(unsafe_code)]
    #[inline(never)] // as above
    unsafe fn go_on(
        self: &Arc<Self>,
        mut data: Outgoing,
        accepted: Accepted<'_>,
        round: Round,
        mut tried: Tried,
    ) -> Result<Begun> {
        let mut state = self.lock();
        let limit = Limit::from_now(state.timeout(&self.net));
        if let Tried::Bytes(count) = tried {
            data.sent = count;
            drop(state);
            // SAFETY: the caller vouches for the memory.
            tried = unsafe { self.try_rest(&mut data, round) };
            state = self.lock();
        }
        if let Tried::Failed(error) = tried {
            state.break_with(error);
        }
        let waits = matches!(accepted, Accepted::Wait) && !limit.one_try && round == Round::None;
        let mut late = false;
        if waits {
            // SAFETY: the caller vouches for the memory.
            (state, late) = unsafe { self.wait_alone(state, &mut data, limit.deadline) };
        }
        if let Some(result) = self.end_of(&mut state, &data, limit.one_try || late) {
            let begun = self.net.over_at_once(accepted, result, data.sent); // before the release, as above
            self.release(state);
            return Ok(begun);
        }
        let begun = data.sent > 0 || waits;
        match self.net.teller(accepted, &self.socket, || self.target(), begun) {
            Ok(teller) => {
                let begun = teller.begun();
                state.queue.push(data.item(teller, limit), true); // before items that were queued meanwhile
                self.release(state);
                Ok(begun)
            }
            Err(error) => {
                self.release(state);
                Err(error)
            }
        }
    }

    /// How a send that was tried ends, if it does: it is out, the sink is broken, or the send gives up.
    fn end_of(&self, state: &mut State, data: &Outgoing, gives_up: bool) -> Option<Result> {
        if data.sent == data.size {
            return Some(Ok(()));
        }
        if let Some(cause) = state.cause {
            if cause == Error::STOPPED {
                self.net.sends_were_cut();
            }
            return Some(Err(cause));
        }
        if gives_up && data.sent > 0 {
            state.break_with(Error::TORN);
        }
        gives_up.then_some(Err(Error::TIMEOUT))
    }

    /// Queues a send that its caller does not try: the sink has an owner, a round collects the send, or `first_try` is off.
    fn queue_untried(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        data: Outgoing,
        accepted: Accepted<'_>,
        limit: Limit,
        round: Round,
    ) -> Result<Begun> {
        if limit.one_try && state.front.owner() != Owner::Nobody {
            return Ok(self.net.over_at_once(accepted, Err(Error::TIMEOUT), 0)); // it would have to wait for the owner
        }
        let teller = self.net.teller(accepted, &self.socket, || self.target(), false)?;
        let begun = teller.begun();
        state.queue.push(data.item(teller, limit), false);
        self.hand_on(state, round);
        Ok(begun)
    }

    /// Waits on the caller's thread for room for the rest, until another thread needs the sink. True: the deadline has
    /// passed.
    ///
    /// # Safety
    /// The memory that `data` names is readable during the call.
    #[allow(unsafe_code)]
    unsafe fn wait_alone<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        data: &mut Outgoing,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, State>, bool) {
        while data.sent < data.size && state.cause.is_none() && !state.front.closing && state.queue.is_empty()
        {
            let Some(waiter) = SocketWaiter::own() else { break };
            state.seldom.waiting =
                Some(WaitingSend { waiter: Arc::clone(&waiter), unsent: data.size - data.sent });
            drop(state);
            let woken = waiter.wait(&self.socket, Ready::Send, deadline);
            let tried = match woken {
                // SAFETY: the caller vouches for the memory.
                Woken::Ready => unsafe { self.try_rest(data, Round::None) },
                // After a process was stopped, the wait may wake up past its deadline although room came in time.
                // SAFETY: as above.
                Woken::Late => unsafe { self.try_once(data) },
                Woken::Interrupted => Tried::WouldBlock,
            };
            state = self.lock();
            if let Tried::Failed(error) = tried {
                state.break_with(error);
            }
            if state.seldom.waiting.take().is_none() {
                waiter.clear();
                break;
            }
            match woken {
                Woken::Ready => {}
                Woken::Late => return (state, true),
                Woken::Interrupted => break,
            }
        }
        (state, false)
    }

    /// Goes on with a send of which the kernel has taken a part.
    ///
    /// # Safety
    /// The memory that `data` names is readable during the call.
    #[allow(unsafe_code)]
    unsafe fn try_rest(&self, data: &mut Outgoing, round: Round) -> Tried {
        // A callback must be short, however fast the peer reads. Therefore the send loop sends its rest.
        while data.sent < data.size && round == Round::None {
            // SAFETY: as the caller vouches.
            match unsafe { self.try_once(data) } {
                Tried::Bytes(_) => {}
                other => return other,
            }
        }
        Tried::Bytes(data.sent)
    }

    /// # Safety
    /// As `try_rest`.
    #[allow(unsafe_code)]
    unsafe fn try_once(&self, data: &mut Outgoing) -> Tried {
        // SAFETY: as the caller vouches.
        let tried = unsafe { self.socket.try_send(&data.parts, data.sent) };
        if let Tried::Bytes(count) = tried {
            data.sent += count;
        }
        tried
    }

    /// Waits until the kernel has everything that was accepted before this call.
    pub fn flush(self: &Arc<Self>) -> Result {
        let op = self.net.operation(None);
        self.flush_async(Tell::By(&op))?;
        op.outcome().result
    }

    /// The same, but `tell` says how the result is reported.
    pub fn flush_async(self: &Arc<Self>, tell: Tell<'_>) -> Result {
        let mut state = self.lock();
        state.check_open(&self.net)?;
        let accepted = self.net.accept_work(tell, &self.socket, || self.target())?;
        let timeout = state.timeout(&self.net);
        if let Some(cause) = state.cause {
            self.net.over_at_once(accepted, Err(cause), 0);
        } else if matches!(state.front.owner(), Owner::Nobody | Owner::Forward) {
            self.net.over_at_once(accepted, Ok(()), 0);
        } else if timeout == Some(Duration::ZERO) {
            self.net.over_at_once(accepted, Err(Error::TIMEOUT), 0);
        } else {
            let teller = self.net.teller(accepted, &self.socket, || self.target(), false)?;
            let item =
                Item { content: Content::Flush(teller), sent: 0, size: 0, limit: Limit::from_now(timeout) };
            state.queue.push(item, false);
            let round = self.round();
            self.hand_on(state, round);
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::sink::tests::{Connection, connection};
    use std::io::Read;

    #[test]
    fn a_call_that_wakes_after_its_deadline_uses_room_that_came_in_time() {
        let Some(Connection { net, sink, stream, mut peer }) = connection() else { return };
        let mut data = Outgoing { parts: Parts::of(b"in time"), size: 7, sent: 0 };
        let mut state = sink.lock();
        assert!(state.front.claim());
        // SAFETY: the bytes are static.
        let (state, late) = unsafe { sink.wait_alone(state, &mut data, Some(net.started())) };
        sink.release(state);
        assert_eq!((late, data.sent), (true, 7));
        sink.close();
        stream.close();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"in time");
        drop(peer);
        net.stop().unwrap();
    }
}
