//! A stream's watch: every byte that arrives is shown to a callback on the receive loop.
//!
//! Invariant: after the last call, which alone has an error, the callback never runs again; what it left stays in the
//! stream's buffer, to be shown with the next bytes or received once the watch is over.
//!
//! While a receive goes on, and nothing else happens to the watch, no message needs the lock: the receive, which is the
//! loop's, has the callback, and a flag tells that nobody has changed anything. Whoever does takes it down, under the lock.

use super::{Brought, State, Stream};
use crate::buffer::ReadBuffer;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::pool::POOL_BUFFER_SIZE;
use crate::request::{DataCallback, Request};
use crate::socket::Tried;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a stream knows of its watch; gone before the last call.
pub struct Watch {
    /// Away while it runs, and while a receive has it, which is when no bytes are kept.
    callback: Option<DataCallback>,
    paused: bool,
    /// A resume, or the arming, owes a call with the kept bytes.
    owed: bool,
    ending: Option<Error>,
    /// The peer sends more than a pool buffer takes: the loop waits by a poll, and receives by a call.
    bulk: bool,
    /// When bytes came last, or the watch had no cause to expect any.
    progress: Instant,
}

/// What one multishot receive may bring, and the rest of its last buffer: so much at most comes after a pause. To begin a new
/// one costs as much as a message of some KiB.
const BUDGET_MIN: usize = 16 << 10;
const BUDGET_MAX: usize = 1 << 20;
/// What one call may bring, into memory that is to stay in the cache, before others have their turn.
const CALL_MAX: usize = 256 << 10;

/// What the receive loop does next for a watch.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    /// Calls the callback with the kept bytes.
    Show,
    /// Receives by a call, since the peer sends in bulk.
    ReceiveBulk,
    /// Waits for bytes, with a receive in flight.
    Receive,
    /// Waits for a resume. A receive in flight is cancelled.
    Rest,
    /// The watch ends when the receive in flight is over: cancels it.
    Cancel,
    /// Ends the watch: its last call brings this error.
    End(Error),
    /// Waits for mail, which is on its way.
    Nothing,
}

/// What a watch has had in one turn of the loop, each at most once. Then others have their turn.
#[derive(Default)]
struct Turn {
    shown: bool,
    received: bool,
}

impl Watch {
    fn new(callback: DataCallback, progress: Instant) -> Watch {
        let callback = Some(callback);
        Watch { callback, paused: false, owed: true, ending: None, bulk: false, progress }
    }

    /// Whether it asks for no bytes.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Its time limit counts from now.
    pub(super) fn note_progress(&mut self) {
        self.progress = Instant::now();
    }

    /// It ends, unless it does already: the first reason stays.
    fn end(&mut self, reason: Error) {
        self.ending.get_or_insert(reason);
    }

    /// When it has been too long without bytes.
    fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        let timeout = timeout.filter(|timeout| !timeout.is_zero() && !self.paused)?;
        self.progress.checked_add(timeout)
    }
}

impl State {
    /// What is to be done next for the watch, by what the kernel had at `settled`.
    fn watch_work(&mut self, settled: Instant, turn: &mut Turn) -> Work {
        let Some(watch) = &mut self.watch else {
            return Work::Nothing; // it has ended
        };
        if watch.deadline(self.timeout).is_some_and(|deadline| deadline <= settled) {
            watch.end(Error::TIMEOUT);
        }
        if let Some(reason) = self.cause.or(watch.ending) {
            return if self.request.is_some() { Work::Cancel } else { Work::End(reason) };
        }
        if watch.paused {
            return Work::Rest;
        }
        let owed = watch.owed && !self.buffer.is_empty();
        if owed && !mem::replace(&mut turn.shown, true) {
            watch.owed = false;
            return Work::Show;
        }
        // Owed again by a resume inside that call, which has posted mail: its turn comes when others have had theirs, and
        // the bytes that the callback may be waiting for are asked for meanwhile.
        match self.end {
            Some(_) if owed => Work::Nothing, // nothing more can come, and the end comes after that call
            Some(end) => Work::End(end),
            None if self.request.is_none() && watch.bulk && !mem::replace(&mut turn.received, true) => {
                Work::ReceiveBulk
            }
            None => Work::Receive,
        }
    }

    /// Bytes have come for the watch, or its callback has had a call: that time does not count.
    fn note_progress(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|_| self.timeout.is_some()) {
            watch.note_progress();
        }
    }

    /// Whether the next bytes may be shown as they come, and there is nothing else to do for the watch.
    fn may_lend(&self) -> bool {
        let watch = self.watch.as_ref();
        self.cause.is_none()
            && self.timeout.is_none()
            && watch.is_some_and(|watch| !watch.paused && !watch.owed && watch.ending.is_none())
    }
}

impl Stream {
    /// Shows every byte that arrives to `callback` from now on. `None` ends the watch with CANCELLED.
    pub fn watch(self: &Arc<Self>, callback: Option<DataCallback>) -> Result {
        let mut state = self.lock_to_change();
        let Some(callback) = callback else {
            return match &mut state.watch {
                Some(watch) => {
                    watch.end(Error::CANCELLED);
                    drop(state);
                    self.post_to_loop();
                    Ok(())
                }
                None => Ok(()), // over already
            };
        };
        state.check_sound(&self.net)?;
        state.check_idle()?;
        let progress = if state.timeout.is_some() { Instant::now() } else { self.net.started() };
        state.watch = Some(Watch::new(callback, progress));
        state.owner.queued(false);
        drop(state);
        self.post_to_loop();
        Ok(())
    }

    /// Stops the watch's calls, and with them the peer. After this returns none starts but the last one.
    pub fn pause(self: &Arc<Self>) -> Result {
        let mut state = self.lock_to_change();
        let watch = state.watch.as_mut().ok_or(Error::INVALID)?;
        watch.paused = true;
        Ok(())
    }

    /// Ends a pause; bytes kept meanwhile are shown.
    pub fn resume(self: &Arc<Self>) -> Result {
        let mut state = self.lock_to_change();
        let watch = state.watch.as_mut().ok_or(Error::INVALID)?;
        if mem::take(&mut watch.paused) {
            watch.owed = true;
            watch.note_progress(); // the pause does not count
            drop(state);
            self.post_to_loop();
        }
        Ok(())
    }

    /// As the receive loop: shows what a request has brought, and then does [`Work`] until there is none.
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
                Work::Rest => {
                    state.cancel_request(event_loop);
                    return self.tell_successor(&mut state);
                }
                Work::Cancel => return state.cancel_request(event_loop),
                Work::End(last) => return self.end_watch(state, event_loop, last),
                Work::Nothing => return,
            }
        }
    }

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
                state.note_progress(); // the bytes are there, and asked for next
                if state.watch.as_ref().is_none_or(|watch| !watch.bulk) {
                    self.receive_what_is_there(&mut state, event_loop);
                }
            }
            Brought::Direct(_) | Brought::WouldBlock | Brought::Nothing => {}
        }
        state
    }

    /// Sees to it that a receive is in flight, and that a time limit is kept.
    fn receive_more(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        if state.request.is_none() {
            let request = self.watch_request(event_loop, state);
            state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
        }
        let deadline = state.watch.as_ref().and_then(|watch| watch.deadline(state.timeout));
        if let Some(deadline) = deadline {
            event_loop.arm(&mut state.timer, deadline, || Arc::clone(self) as _);
        }
    }

    /// At most `most` bytes, or as much as the caller lets a stream keep.
    fn watch_budget(&self, most: usize) -> usize {
        self.net.config.buffer_max.clamp(BUDGET_MIN, most)
    }

    /// One call of the kernel for a peer that sends in bulk. The memory is the same each time and stays in the cache, where
    /// the kernel fills a pool's buffers in turn; and what comes by one call counts as one when the kernel finds out how
    /// large a window the connection needs.
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
        // A poll of a socket that has bytes is over as it is submitted, and would overtake those that wait for their turn.
        if bulk && !event_loop.is_crowded() {
            return Request::Readable { socket: Arc::clone(&self.socket) };
        }
        match self.buffered_request(event_loop, state, 0, false) {
            Request::RecvPooled { socket, start } if !bulk && event_loop.has_multishot() => {
                let budget = self.watch_budget(BUDGET_MAX) as u32;
                Request::RecvMultishot { socket, start, budget, callback: None }
            }
            request => request,
        }
    }

    /// Runs the callback, while no lock is held.
    fn call(&self, callback: &mut DataCallback, result: Result, bytes: &[u8]) -> usize {
        self.net.recv_loop.count_callback();
        callback(result, bytes)
    }

    /// One call of the watch: what was kept, joined with `arrived`. What it leaves is kept.
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

    /// A receive that goes on has brought `bytes`; `lent` is what it was lent. True: there is more to do.
    pub(super) fn show_next(&self, lent: &mut Option<DataCallback>, bytes: &[u8]) -> bool {
        if self.is_steady()
            && bytes.len() < POOL_BUFFER_SIZE
            && let Some(mut callback) = lent.take()
        {
            let consumed = self.call(&mut callback, Ok(()), bytes);
            if consumed == bytes.len() && self.is_steady() {
                *lent = Some(callback);
                return false;
            }
            let mut kept = ReadBuffer::default(); // nothing was kept before, or the callback would not be here
            kept.append(bytes.get(consumed..).unwrap_or_default());
            let mut state = self.state.lock();
            state.buffer = kept;
            state.put_back(callback, consumed <= bytes.len());
            self.bound_kept(&mut state);
            self.lend(state, lent)
        } else {
            let mut state = self.state.lock();
            state.take_back(lent);
            self.lend(self.arrived(state, bytes), lent)
        }
    }

    /// Whether the watch is as it was when [`Stream::lend`] looked. Nothing is read on the strength of it, so the order
    /// that each flag has by itself is enough.
    fn is_steady(&self) -> bool {
        self.steady.load(Ordering::Relaxed)
    }

    /// Locks to change what a watch goes by: its next message is not shown without a look under the lock.
    pub(super) fn lock_to_change(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        self.steady.store(false, Ordering::Relaxed);
        state
    }

    /// Lends the callback to the receive if the next bytes may be shown as they come. True: there is more to do.
    fn lend(&self, mut state: MutexGuard<'_, State>, to: &mut Option<DataCallback>) -> bool {
        if !state.may_lend() {
            return true;
        }
        if state.buffer.is_empty()
            && let Some(watch) = &mut state.watch
        {
            *to = watch.callback.take();
            self.steady.store(true, Ordering::Relaxed);
        }
        false
    }

    /// More left by the callback than the net's configuration allows ends the watch.
    fn bound_kept(&self, state: &mut State) {
        let too_big = state.buffer.len() > self.net.config.buffer_max;
        if let Some(watch) = state.watch.as_mut().filter(|_| too_big) {
            watch.end(Error::TOO_BIG);
        }
    }

    fn end_watch(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        event_loop: &mut EventLoop,
        last: Error,
    ) {
        let watch = state.watch.take();
        event_loop.disarm(&mut state.timer);
        state.owner.release(false, false);
        drop(state);
        // Nothing of the watch is left in the state, and nobody owns the stream: inside its last call the stream may be
        // watched again, or read.
        if let Some(mut callback) = watch.and_then(|watch| watch.callback) {
            self.call(&mut callback, Err(last), &[]);
        }
        let mut state = self.state.lock();
        if state.owner.claim() {
            self.release(state);
        }
    }

    /// Bytes have come for the watch: `bytes`, or they are in the buffer already, behind what was kept.
    fn arrived<'a>(&'a self, mut state: MutexGuard<'a, State>, bytes: &[u8]) -> MutexGuard<'a, State> {
        let ending = state.cause.is_some();
        let Some(watch) = &mut state.watch else {
            state.buffer.append(bytes);
            return state;
        };
        if watch.paused || watch.ending.is_some() || ending {
            state.buffer.append(bytes); // shown after the resume, or receivable after the watch
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
    /// The callback has had a call. Not in order: it wants to be done with more than it was shown.
    fn put_back(&mut self, callback: DataCallback, in_order: bool) {
        self.note_progress();
        if let Some(watch) = &mut self.watch {
            watch.callback = Some(callback);
            if !in_order {
                watch.end(Error::INVALID);
            }
        }
    }

    /// What a receive was lent is the watch's again, which is there as long as the receive is in flight.
    pub(super) fn take_back(&mut self, lent: &mut Option<DataCallback>) {
        if let Some(watch) = self.watch.as_mut().filter(|_| lent.is_some()) {
            watch.callback = lent.take();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
