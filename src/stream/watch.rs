//! The bytes of a watch: the receive loop shows every byte that arrives to a callback.
//!
//! Callers set, pause, resume and end the watch. The receive loop does all else: [`State::watch_work`] decides what is next,
//! [`Stream::drive_watch`] does it, and [`Stream::call`] alone runs the callback.
//!
//! A watch ends for one of these reasons:
//!
//! - the stream's cause: a close, a stop or a panic;
//! - the watch's own reason: its caller ended it, a limit in time has passed, or its callback kept or claimed too much;
//! - the end of the stream, after the callback has seen all bytes before it.
//!
//! Invariant: the last call alone brings an error, and after it the callback never runs again. What the callback leaves
//! stays in the stream's buffer: the next call shows it, or a receive takes it after the watch.
//!
//! Most messages do not take the lock: stream/watch/steady.rs.

mod steady;

use super::forward::Forwarder;
use super::{Brought, State, Stream};
use crate::buffer::ReadBuffer;
use crate::callback::{DataCallback, DataPlace};
use crate::ending::Ending;
use crate::engine::POOL_BUFFER_SIZE;
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::ownership::Next;
use crate::socket::Tried;
use crate::sync::MutexGuard;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// What a stream knows of its watch. The state loses it before the last call.
pub struct Watch {
    /// Empty while it runs, and while a multishot receive owns it. A receive owns it only while the buffer is empty.
    callback: DataPlace,
    pub(super) paused: bool,
    /// The watch has begun or been resumed. The next call shows the kept bytes.
    owed: bool,
    /// The watch's own reason to end.
    ending: Option<Error>,
    /// The peer sends more than a pool buffer holds. The loop waits by a poll, and receives by a call.
    bulk: bool,
    /// It was paused since the idle limit last looked.
    pub(super) was_paused: bool,
    /// It is a forward's. See stream/forward.rs.
    pub(super) forward: Option<Box<Forwarder>>,
}

/// What one multishot receive brings at most, except for the rest of its last buffer. As much may come after a pause. A new
/// receive costs as much as a message of some KiB.
const BUDGET_MIN: usize = 16 << 10;
pub(super) const BUDGET_MAX: usize = 1 << 20;
/// What one call brings at most, so that its memory stays in the cache, and other handles have their turn.
const CALL_MAX: usize = 256 << 10;

/// What the receive loop does next for a watch.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    /// Calls the callback with the kept bytes.
    Show,
    /// Receives by a call of its own, because the peer sends in bulk.
    ReceiveBulk,
    /// Waits for bytes, with a request in flight.
    Receive,
    /// The watch is paused: cancels the request in flight, and waits for a resume.
    Rest,
    /// The watch ends: cancels the request in flight, and waits for its completion.
    Cancel,
    /// Ends the watch. Its last call brings this error.
    End(Error),
    /// Waits for mail that a caller has posted.
    Nothing,
}

/// What the loop has done for a watch since it last came to it: each at most once, because other handles wait.
#[derive(Default)]
struct Turn {
    shown: bool,
    received: bool,
}

impl Watch {
    fn new(callback: DataCallback) -> Watch {
        let (callback, ending, forward) = (callback.into(), None, None);
        Watch { callback, paused: false, owed: true, ending, bulk: false, was_paused: false, forward }
    }

    /// The watch of a forward.
    pub(super) fn of_forward(callback: DataCallback, forward: Forwarder) -> Watch {
        Watch { forward: Some(Box::new(forward)), ..Watch::new(callback) }
    }

    /// Whether it asks for no bytes.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Gives it a reason to end. The first reason stays.
    pub(super) fn end(&mut self, reason: Error) {
        self.ending.get_or_insert(reason);
    }

    /// Stops its calls.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.was_paused = true;
    }

    /// Ends a pause. True: there was one.
    pub(super) fn resume(&mut self) -> bool {
        let paused = mem::take(&mut self.paused);
        if paused {
            self.owed = true;
        }
        paused
    }
}

impl State {
    /// What the receive loop does next. The loop has handled all that the kernel had at `settled`.
    fn watch_work(&mut self, settled: Instant, turn: &mut Turn) -> Work {
        let is_late = self.watch_ends().is_some_and(|when| when <= settled);
        let Some(watch) = &mut self.watch else {
            return Work::Nothing; // it has ended
        };
        if is_late {
            watch.end(Error::TIMEOUT);
        }
        if let Some(reason) = self.cause.or(watch.ending) {
            return if self.request.is_some() { Work::Cancel } else { Work::End(reason) };
        }
        if watch.paused {
            let broken = self.end.filter(|&end| watch.forward.is_some() && end != Error::EOF);
            return broken.map_or(Work::Rest, Work::End);
        }
        let owed = watch.owed && !self.buffer.is_empty();
        if owed && !mem::replace(&mut turn.shown, true) {
            watch.owed = false;
            return Work::Show;
        }
        // If the call is owed again, a resume inside the callback has posted mail. Other handles come first. The loop
        // receives meanwhile, because the callback may wait for more bytes.
        match self.end {
            Some(_) if owed => Work::Nothing, // that call comes before the end
            Some(end) => Work::End(end),
            None if self.request.is_none() && watch.bulk && !mem::replace(&mut turn.received, true) => {
                Work::ReceiveBulk
            }
            None => Work::Receive,
        }
    }
}

impl Stream {
    /// Shows every byte from now on to `callback`, and reports the end of this half to `ending`. BUSY: one of the two is
    /// there already, or receives are pending.
    pub fn watch(self: &Arc<Self>, callback: Option<DataCallback>, ending: Option<&Arc<Ending>>) -> Result {
        let mut state = self.lock_to_change();
        state.check_sound(&self.net)?;
        if ending.is_some() && state.ending.is_some() {
            return Err(Error::BUSY);
        }
        if callback.is_some() {
            state.check_idle()?;
        }
        if let Some(ending) = ending {
            state.ending = Some(Arc::clone(ending));
        }
        if let Some(callback) = callback {
            self.begin_watch(state, callback);
        }
        Ok(())
    }

    /// Ends the watch with CANCELLED, if there is one.
    pub fn unwatch(self: &Arc<Self>) {
        let mut state = self.lock_to_change();
        if let Some(watch) = state.own_watch() {
            watch.end(Error::CANCELLED);
            drop(state);
            self.post_to_loop();
        }
    }

    fn begin_watch(self: &Arc<Self>, mut state: MutexGuard<'_, State>, callback: DataCallback) {
        state.forget_shown();
        state.watch = Some(Watch::new(callback));
        state.begin_deadline();
        let next = state.front.queued(false);
        debug_assert!(matches!(next, Next::PostToLoop | Next::TellLoop), "the stream was idle");
        drop(state);
        self.post_to_loop();
    }

    /// Stops the watch's calls, and thereby holds the peer back. After this returns, only the last call may still begin.
    /// The receive in flight goes on until it brings bytes, and then the loop cancels it.
    pub fn pause(self: &Arc<Self>) -> Result {
        let mut state = self.lock_to_change();
        state.own_watch().ok_or(Error::INVALID)?.pause();
        Ok(())
    }

    /// Ends a pause, and shows the bytes that were kept meanwhile.
    pub fn resume(self: &Arc<Self>) -> Result {
        let mut state = self.lock_to_change();
        if state.own_watch().ok_or(Error::INVALID)?.resume() {
            drop(state);
            self.post_to_loop();
        }
        Ok(())
    }

    /// As the receive loop: shows what a request has brought. Then it does the watch's work until there is none.
    pub(super) fn drive_watch<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        brought: Brought<'_>,
    ) {
        let mut state = self.take_in(state, event_loop, brought);
        let mut turn = Turn::default();
        loop {
            match state.watch_work(event_loop.settled(), &mut turn) {
                Work::Show => state = self.show(state, &[]),
                Work::ReceiveBulk => {
                    state = self.receive_bulk(state);
                    event_loop.note_bulk();
                }
                Work::Receive => return self.receive_more(&mut state, event_loop),
                Work::Rest if self.has_broken_forward(&mut state) => {} // the watch ends
                Work::Rest => {
                    state.cancel_request(event_loop);
                    self.poll_for_forward(&mut state, event_loop);
                    self.arm_watch_timer(&mut state, event_loop); // the deadline includes pauses
                    return self.tell_sink(&mut state);
                }
                Work::Cancel => return state.cancel_request(event_loop),
                Work::End(last) => return self.end_watch(state, event_loop, last),
                Work::Nothing => return,
            }
        }
    }

    /// Shows the bytes that a request has brought, or receives those that the socket has.
    fn take_in<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        brought: Brought<'_>,
    ) -> MutexGuard<'a, State> {
        match brought {
            Brought::Pooled(bytes) => return self.arrived(state, bytes.as_slice()),
            Brought::Buffered => return self.arrived(state, &[]),
            Brought::Readable => {
                if state.watch.as_ref().is_none_or(|watch| !watch.bulk) {
                    self.receive_what_is_there(&mut state, event_loop);
                }
            }
            Brought::Direct(_) | Brought::WouldBlock | Brought::Nothing => {}
        }
        state
    }

    /// Submits a request if none is in flight, and arms the timer.
    fn receive_more(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        if state.request.is_none() {
            let request = self.watch_request(event_loop, state);
            state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
        }
        self.arm_watch_timer(state, event_loop);
    }

    /// How much to receive at once: `buffer_max`, but at least [`BUDGET_MIN`] and at most `most`.
    fn watch_budget(&self, most: usize) -> usize {
        self.net.config.buffer_max.clamp(BUDGET_MIN, most)
    }

    /// One recv(2) for a peer that sends in bulk.
    ///
    /// It beats the pool for two reasons. Its memory is the same each time and stays in the cache, while the kernel fills a
    /// pool's buffers in turn. And the kernel sizes the connection's window by how much one call takes.
    fn receive_bulk<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut taken = state.take_work();
        drop(state);
        let room = self.watch_budget(CALL_MAX).saturating_sub(taken.buffer.len()).max(POOL_BUFFER_SIZE);
        let tried = self.fill_buffer(&mut taken, room);
        let mut state = self.state.lock();
        state.give_back(taken);
        match tried {
            Tried::Bytes(count) => {
                if let Some(watch) = &mut state.watch {
                    watch.bulk = count >= POOL_BUFFER_SIZE;
                }
                state = self.arrived(state, &[]);
            }
            Tried::WouldBlock => {}
            Tried::End => state.end = Some(Error::EOF),
            Tried::Failed(error) => state.end = Some(error),
        }
        state.buffer.shrink();
        state
    }

    fn watch_request(&self, event_loop: &EventLoop, state: &mut State) -> Request {
        let bulk = state.watch.as_ref().is_some_and(|watch| watch.bulk);
        // A poll of a socket with bytes completes at once, and would overtake connections that wait in the kernel.
        if bulk && !event_loop.is_crowded() {
            return Request::Readable { socket: Arc::clone(&self.socket) };
        }
        match self.buffered_request(event_loop, state, 0, false) {
            Request::RecvPooled { socket, start } if !bulk && event_loop.has_multishot() => {
                let budget = self.watch_budget(BUDGET_MAX) as u32;
                Request::RecvMultishot { socket, start, piece: 0, budget, callback: DataPlace::default() }
            }
            request => request,
        }
    }

    /// Runs the callback. No lock is held.
    fn call(&self, callback: &mut DataCallback, result: Result, bytes: &[u8]) -> usize {
        self.net.recv_loop.count_callback();
        callback.call(result, bytes)
    }

    /// One call with the kept bytes and `arrived` behind them. The buffer keeps what the callback leaves.
    fn show<'a>(&'a self, mut state: MutexGuard<'a, State>, arrived: &[u8]) -> MutexGuard<'a, State> {
        let Some(mut callback) = state.watch.as_mut().and_then(|watch| watch.callback.take()) else {
            return state;
        };
        let mut kept = (!state.buffer.is_empty()).then(|| mem::take(&mut state.buffer));
        drop(state);
        if let Some(kept) = &mut kept {
            kept.append(arrived);
        }
        let shown = kept.as_ref().map_or(arrived, ReadBuffer::as_slice);
        let size = shown.len();
        let consumed = self.call(&mut callback, Ok(()), shown);
        match &mut kept {
            Some(kept) => {
                kept.consume(consumed);
                kept.shrink();
            }
            None if consumed < size => kept.insert(ReadBuffer::default()).append(&arrived[consumed..]),
            None => {}
        }
        let mut state = self.state.lock();
        if let Some(kept) = kept {
            state.buffer = kept;
        }
        state.put_back(callback, consumed <= size);
        state
    }

    /// If the callback has left more than `buffer_max`, the watch ends.
    fn bound_kept(&self, state: &mut State) {
        let too_big = state.buffer.len() > self.net.config.buffer_max;
        if let Some(watch) = state.own_watch().filter(|_| too_big) {
            watch.end(Error::TOO_BIG);
        }
    }

    /// Ends the watch and makes its last call. No request is in flight.
    fn end_watch(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        event_loop: &mut EventLoop,
        last: Error,
    ) {
        let watch = state.watch.take();
        if let Some(poll) = watch.as_ref().and_then(Watch::poll_of_forward) {
            event_loop.cancel(poll);
        }
        event_loop.disarm(&mut state.timer);
        state.front.let_go();
        drop(state);
        // The state has nothing of the watch, and nobody owns the stream. Therefore the last call may begin another watch or
        // a receive.
        if let Some(mut callback) = watch.and_then(|mut watch| watch.callback.take()) {
            self.call(&mut callback, Err(last), &[]);
        }
        let mut state = self.state.lock();
        if state.front.claim() {
            self.release(state);
        }
    }

    /// Shows bytes that have come: `bytes`, or those in the buffer behind the kept ones. Keeps them if the watch is paused
    /// or ends.
    fn arrived<'a>(&'a self, mut state: MutexGuard<'a, State>, bytes: &[u8]) -> MutexGuard<'a, State> {
        let ending = state.cause.is_some();
        let Some(watch) = &mut state.watch else {
            state.buffer.append(bytes);
            return state;
        };
        if watch.paused || watch.ending.is_some() || ending {
            state.buffer.append(bytes); // for the resume, or for receives after the watch
            state.buffer.shrink();
        } else {
            watch.owed = false;
            watch.bulk |= bytes.len() >= POOL_BUFFER_SIZE && self.net.config.first_try;
            state = self.show(state, bytes);
            self.bound_kept(&mut state);
        }
        state
    }
}

impl State {
    /// The watch of a caller. A forward has none.
    fn own_watch(&mut self) -> Option<&mut Watch> {
        self.watch.as_mut().filter(|watch| watch.forward.is_none())
    }

    /// Puts the callback back after a call. Not `in_order`: it claims more bytes than the call showed.
    fn put_back(&mut self, callback: DataCallback, in_order: bool) {
        if let Some(watch) = &mut self.watch {
            watch.callback = callback.into();
            if !in_order {
                watch.end(Error::INVALID);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
