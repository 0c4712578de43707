//! A stream's watch: every byte that arrives is shown to a callback on the receive loop.
//!
//! Invariant: after the last call, which alone has an error, the callback never runs again; what it left stays in the
//! stream's buffer, to be shown with the next bytes or received once the watch is over.
//!
//! While a receive goes on, and nothing else happens to the watch, no message needs the lock: the receive, which is the
//! loop's, has the callback, and a flag tells that nobody has changed anything. Whoever does takes it down, under the lock.

use super::{State, Stream};
use crate::buffer::{POOL_BUFFER_SIZE, ReadBuffer};
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::request::{DataCallback, Request};
use crate::socket::Tried;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// What a stream knows of its watch; gone before the last call.
pub struct Watch {
    /// Away while it runs, and while a receive has it, which is when no bytes are kept.
    callback: Option<DataCallback>,
    paused: bool,
    /// A resume, or the arming, owes a call with the kept bytes.
    owed: bool,
    ending: Option<Error>,
    /// The peer sends more than a pool buffer takes: the loop waits by a poll, and receives by a call.
    pub(super) bulk: bool,
    /// When bytes came last, or the watch had no cause to expect any.
    pub(super) progress: Instant,
}

/// What one multishot receive may bring, and the rest of its last buffer: so much at most comes after a pause. To begin a new
/// one costs as much as a message of some KiB.
const BUDGET_MIN: usize = 16 << 10;
const BUDGET_MAX: usize = 1 << 20;
/// What one call may bring, into memory that is to stay in the cache, before others have their turn.
const CALL_MAX: usize = 256 << 10;

impl Watch {
    /// Whether the loop has more to do for it than to wait for the next bytes.
    pub(super) fn needs_drive(&self, state: &State) -> bool {
        self.paused || self.owed || self.ending.is_some() || state.timeout.is_some()
    }

    /// Whether it asks for no bytes.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }
}

impl Stream {
    /// Shows every byte that arrives to `callback` from now on. `None` ends the watch with CANCELLED.
    pub fn watch(self: &Arc<Self>, callback: Option<DataCallback>) -> Result {
        let mut state = self.lock_to_change();
        let Some(callback) = callback else {
            return match &mut state.watch {
                Some(watch) => {
                    watch.ending.get_or_insert(Error::CANCELLED);
                    drop(state);
                    self.post_to_loop();
                    Ok(())
                }
                None => Ok(()), // over already
            };
        };
        state.check_sound(&self.net)?;
        state.check_idle()?;
        state.watch = Some(Watch {
            callback: Some(callback),
            paused: false,
            owed: true,
            ending: None,
            bulk: false,
            progress: if state.timeout.is_some() { Instant::now() } else { self.net.started() },
        });
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
            watch.progress = Instant::now(); // the pause does not count
            drop(state);
            self.post_to_loop();
        }
        Ok(())
    }

    /// Work for the watch, until a request is in flight or there is nothing to do.
    pub(super) fn drive_watch<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
    ) {
        let (mut may_show, mut may_ask) = (true, true);
        loop {
            let quiet = state.timeout.filter(|timeout| !timeout.is_zero());
            let (cause, end, in_flight) = (state.cause, state.end, state.request);
            let kept = !state.buffer.is_empty();
            let Some(watch) = &mut state.watch else {
                return; // never was, or has ended
            };
            let late = quiet.and_then(|quiet| watch.progress.checked_add(quiet)).filter(|_| !watch.paused);
            if let Some(cause) = cause {
                watch.ending = Some(cause);
            } else if late.is_some_and(|late| late <= event_loop.settled()) {
                watch.ending.get_or_insert(Error::TIMEOUT);
            }
            match (watch.ending, in_flight) {
                (Some(_), Some(_)) => {
                    return state.cancel_request(event_loop);
                }
                (Some(ending), None) => return self.end_watch(state, event_loop, ending),
                (None, _) => {}
            }
            if watch.paused {
                state.cancel_request(event_loop);
                return self.tell_successor(&mut state);
            }
            let owed = watch.owed && kept;
            if owed && mem::take(&mut may_show) {
                watch.owed = false;
                state = self.show(state, &[]);
                continue;
            }
            // Owed again by a resume inside that call, which has posted mail: its turn comes when others have had theirs, and
            // the bytes that the callback may be waiting for are asked for meanwhile.
            if let Some(end) = end {
                if owed {
                    return; // nothing more can come, and the end comes after that call
                }
                return self.end_watch(state, event_loop, end);
            }
            if in_flight.is_none() && watch.bulk && mem::take(&mut may_ask) {
                state = self.receive_bulk(state);
                event_loop.note_bulk();
                continue;
            }
            if in_flight.is_none() {
                let request = self.watch_request(event_loop, &mut state);
                state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
            }
            if let Some(late) = late {
                event_loop.arm(&mut state.timer, late, || Arc::clone(self) as _);
            }
            return;
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
        self.net.recv_loop.count_callback();
        let consumed = callback(Ok(()), shown);
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
        state.shown(callback, consumed <= size);
        state
    }

    /// A receive that goes on has brought `bytes`; `lent` is what it was lent. True: there is more to do.
    pub(super) fn show_next(&self, lent: &mut Option<DataCallback>, bytes: &[u8]) -> bool {
        if self.is_steady()
            && bytes.len() < POOL_BUFFER_SIZE
            && let Some(mut callback) = lent.take()
        {
            self.net.recv_loop.count_callback();
            let consumed = callback(Ok(()), bytes);
            if consumed == bytes.len() && self.is_steady() {
                *lent = Some(callback);
                return false;
            }
            let mut kept = ReadBuffer::default(); // nothing was kept before, or the callback would not be here
            kept.append(bytes.get(consumed..).unwrap_or_default());
            let mut state = self.state.lock();
            state.buffer = kept;
            state.shown(callback, consumed <= bytes.len());
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
        if state.cause.is_some() || state.watch.as_ref().is_none_or(|watch| watch.needs_drive(&state)) {
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
            watch.ending.get_or_insert(Error::TOO_BIG);
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
            event_loop.count_callback();
            callback(Err(last), &[]);
        }
        let mut state = self.state.lock();
        if state.owner.claim() {
            self.release(state);
        }
    }

    /// Bytes have come for the watch: `bytes`, or they are in the buffer already, behind what was kept.
    pub(super) fn arrived<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        bytes: &[u8],
    ) -> MutexGuard<'a, State> {
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
    fn shown(&mut self, callback: DataCallback, in_order: bool) {
        let timed = self.timeout.is_some();
        if let Some(watch) = &mut self.watch {
            watch.callback = Some(callback);
            if timed {
                watch.progress = Instant::now(); // the callback's own time does not count
            }
            if !in_order {
                watch.ending.get_or_insert(Error::INVALID);
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
mod tests {
    use super::*;
    use crate::net::{BindOptions, Config, Net};
    use crate::probe::probe;
    use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
    use std::io::Write;
    use std::net::TcpStream;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(50);

    /// A watched stream whose messages come one by one, and nothing else has happened to it.
    struct Steady {
        net: Arc<Net>,
        stream: Arc<Stream>,
        peer: TcpStream,
        calls: Receiver<(Result, Vec<u8>)>,
    }

    impl Steady {
        /// The callback does what a message's first byte says.
        fn new() -> Option<Steady> {
            if let Err(error) = probe().status {
                eprintln!("skipped: {error}");
                return None;
            }
            let net = Net::start(Config::default()).unwrap();
            let listener = net.bind("127.0.0.1:0", BindOptions::default()).unwrap();
            let peer = TcpStream::connect(listener.address()).unwrap();
            peer.set_nodelay(true).unwrap();
            let (sink, stream) = listener.accept().unwrap();
            listener.close();
            let (report, calls) = unbounded();
            let watched = Arc::clone(&stream);
            let callback = move |result: Result, bytes: &[u8]| {
                report.send((result, bytes.to_vec())).unwrap();
                match bytes.first() {
                    Some(b'h') => return bytes.len() / 2,
                    Some(b'm') => return bytes.len() + 1,
                    Some(b'p') => watched.pause().unwrap(),
                    Some(b'c') => watched.close(),
                    Some(b'!') => panic!("as it was told"),
                    _ => {}
                }
                bytes.len()
            };
            stream.watch(Some(Box::new(callback))).unwrap();
            sink.close();
            let steady = Steady { net, stream, peer, calls };
            steady.goes_on();
            Some(steady)
        }

        fn send(&self, message: &str) {
            (&self.peer).write_all(message.as_bytes()).unwrap();
        }

        fn shows(&self, bytes: &str) {
            assert_eq!(self.calls.recv_timeout(LONG), Ok((Ok(()), bytes.as_bytes().to_vec())));
        }

        fn shows_nothing(&self) {
            assert_eq!(self.calls.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        }

        fn goes_on(&self) {
            for message in ["one", "two", "three", "four"] {
                self.send(message);
                self.shows(message);
            }
        }

        fn ends(self, last: Error) {
            assert_eq!(self.calls.recv_timeout(LONG), Ok((Err(last), Vec::new())));
            self.over();
        }

        fn over(self) {
            self.stream.close();
            drop(self.peer); // or the connection lingers
            assert_eq!(self.net.stop(), Ok(()));
            assert_eq!(self.calls.try_recv().ok(), None);
        }
    }

    #[test]
    fn what_a_call_leaves_is_shown_with_the_next_bytes() {
        let Some(steady) = Steady::new() else { return };
        steady.send("half");
        steady.shows("half");
        steady.send(" a message");
        steady.shows("lf a message");
        steady.goes_on();
        steady.send("more");
        steady.shows("more");
        steady.ends(Error::INVALID);
    }

    #[test]
    fn a_pause_stops_the_calls_wherever_it_comes_from() {
        let Some(steady) = Steady::new() else { return };
        steady.stream.pause().unwrap();
        steady.send("kept");
        steady.shows_nothing();
        steady.stream.resume().unwrap();
        steady.shows("kept");
        steady.goes_on();
        steady.send("pause");
        steady.shows("pause");
        steady.send("kept");
        steady.shows_nothing();
        steady.stream.resume().unwrap();
        steady.shows("kept");
        steady.goes_on();
        steady.stream.watch(None).unwrap();
        steady.ends(Error::CANCELLED);
    }

    #[test]
    fn a_time_limit_counts_from_when_it_is_set() {
        let Some(steady) = Steady::new() else { return };
        steady.stream.set_timeout(Some(SHORT)).unwrap();
        steady.ends(Error::TIMEOUT);
    }

    #[test]
    fn a_close_ends_the_watch_from_inside_and_outside() {
        let Some(steady) = Steady::new() else { return };
        steady.stream.close();
        steady.ends(Error::CLOSED);
        let Some(steady) = Steady::new() else { return };
        steady.send("close");
        steady.shows("close");
        steady.ends(Error::CLOSED);
        let Some(steady) = Steady::new() else { return };
        steady.peer.shutdown(std::net::Shutdown::Write).unwrap();
        steady.ends(Error::EOF);
    }

    #[test]
    fn a_callback_that_panics_is_not_called_again() {
        let Some(steady) = Steady::new() else { return };
        steady.send("!");
        steady.shows("!");
        assert_eq!(steady.calls.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        steady.over();
    }
}
