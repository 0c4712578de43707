//! The room of a watch: its callback learns when there is room again, and what has broken the sink.
//!
//! The send loop and callers note events under the sink's lock, and post [`RoomSide`]. The receive loop runs the callback. If a
//! connection breaks while nothing is sent, a receive meets the error. While the stream receives nothing, this side of the sink
//! polls the socket itself.
//!
//! Invariant: the callback runs on the receive loop's thread alone, and never after its last call.

use super::{Sink, State};
use crate::callback::StatusCallback;
use crate::ending::Ending;
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::mailbox::Listed;
use crate::sync::atomic::AtomicBool;
use crate::sys::Answer;
use std::sync::Arc;

/// What a sink knows of the calls for room.
#[derive(Default)]
pub(super) struct Room {
    /// Gets `Ok` when there is room again after a FULL. Its last call brings an error: how the watch ended.
    callback: Option<StatusCallback>,
    /// A poll in the loop's ring, which reports that the connection breaks. It stays armed from the first time that the
    /// stream received nothing.
    poll: Option<RequestId>,
    phase: Phase,
    /// There is room, and the callback has not been called for it.
    due: bool,
    /// The sink is broken. The last call brings the cause.
    ends: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// There is no watch, or its last call has begun.
    #[default]
    Over,
    /// The call that arms the watch is not over. Events wait.
    Held,
    Armed,
}

impl Room {
    /// A watch without an event.
    fn of(callback: StatusCallback, poll: Option<RequestId>) -> Room {
        Room { callback: Some(callback), poll, phase: Phase::Held, due: false, ends: false }
    }

    fn is_watched(&self) -> bool {
        self.phase != Phase::Over
    }

    /// Notes that the sink is broken. False: nobody watches.
    pub(super) fn end(&mut self) -> bool {
        self.ends = self.is_watched();
        self.ends
    }

    /// The handle was closed: no call begins from now on. False: nobody watched.
    pub(super) fn silence(&mut self) -> bool {
        let watched = self.is_watched();
        self.phase = Phase::Over;
        watched
    }

    /// The next call. `cause` is what broke the sink.
    fn next_call(&mut self, cause: Option<Error>) -> Option<(StatusCallback, Result)> {
        let callback = self.callback.filter(|_| self.phase == Phase::Armed)?;
        if std::mem::take(&mut self.due) {
            return Some((callback, Ok(())));
        }
        let last = cause.filter(|_| self.ends)?;
        self.phase = Phase::Over;
        Some((callback, Err(last)))
    }

    fn wants_poll(&self) -> bool {
        self.phase == Phase::Armed && !self.ends
    }
}

/// A sink as the receive loop sees it, which tells of room. The send loop sees a [`Sink`].
#[repr(transparent)]
struct RoomSide(Sink);

impl RoomSide {
    #[allow(unsafe_code)]
    fn of(sink: Arc<Sink>) -> Arc<RoomSide> {
        // SAFETY: the pointer is of an Arc, and the representation of a `RoomSide` is that of a `Sink`.
        unsafe { Arc::from_raw(Arc::into_raw(sink).cast()) }
    }

    #[allow(unsafe_code)]
    fn sink(self: Arc<Self>) -> Arc<Sink> {
        // SAFETY: as in `of`.
        unsafe { Arc::from_raw(Arc::into_raw(self).cast()) }
    }
}

impl Listed for RoomSide {
    #[allow(clippy::misnamed_getters)] // `listed` is the mark of the other side
    fn listed(&self) -> &AtomicBool {
        &self.0.room_listed
    }
}

impl Handler for RoomSide {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        let sink = self.sink();
        sink.call_room(event_loop);
        sink.poll_for_hang_up(event_loop);
    }

    fn on_ready(self: Arc<Self>, _: &mut EventLoop) {
        self.sink().look_whether_broken();
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, _: Request, reaped: Reaped) {
        let sink = self.sink();
        sink.lock().room.poll = None;
        if let Answer::Done(_) = reaped.answer() {
            sink.look_whether_broken();
            sink.poll_for_hang_up(event_loop);
        }
    }

    fn fail(self: Arc<Self>) {}
}

impl Sink {
    /// Prepares the calls of `room`, and reports the end of this half to `ending`. BUSY: one of the two is there already.
    /// [`Sink::begin_watch`] or [`Sink::drop_watch`] comes next.
    pub fn prepare_watch(
        self: &Arc<Self>,
        room: Option<StatusCallback>,
        ending: Option<&Arc<Ending>>,
    ) -> Result {
        let mut state = self.lock();
        state.check_open(&self.net)?;
        if (room.is_some() && state.room.is_watched()) || (ending.is_some() && state.ending.is_some()) {
            return Err(Error::BUSY);
        }
        if let Some(ending) = ending {
            state.ending = Some(Arc::clone(ending));
        }
        if let Some(room) = room {
            state.room = Room::of(room, state.room.poll);
        }
        Ok(())
    }

    /// The calls of a prepared watch begin.
    pub fn begin_watch(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.room.phase == Phase::Held {
            state.room.phase = Phase::Armed;
            state.room.ends |= state.cause.is_some(); // broken already: the first call is the last
        }
        state.note_room(self.net.config.post_mark);
        drop(state);
        self.post_room(); // the loop decides whether to poll
    }

    /// Forgets a prepared watch: it makes no call.
    pub fn drop_watch(&self, room: bool, ending: Option<&Arc<Ending>>) {
        let mut state = self.lock();
        if room {
            state.room.silence();
        }
        state.ending.take_if(|own| ending.is_some_and(|ending| Arc::ptr_eq(own, ending)));
    }

    /// Posts the side of the sink that tells of room.
    pub(super) fn post_room(self: &Arc<Self>) {
        self.net.recv_loop.post(RoomSide::of(Arc::clone(self)));
    }

    /// Reports room to the watch, if a post has returned FULL and half the mark is free.
    pub(super) fn tell_room(self: &Arc<Self>, state: &mut State) {
        if state.note_room(self.net.config.post_mark) {
            self.post_room();
        }
    }

    /// Calls the callback for each event. An event that comes during a call posts mail.
    fn call_room(&self, event_loop: &EventLoop) {
        loop {
            let mut state = self.lock();
            let (cause, ends) = (state.cause, state.room.ends);
            let Some((callback, event)) = state.room.next_call(cause) else {
                return;
            };
            drop(state);
            event_loop.count_callback();
            callback.call(event);
            if event.is_err() || !ends {
                return;
            }
        }
    }

    /// Polls from the first time that the stream receives nothing until the watch ends. A stream that receives posts this
    /// side when it no longer does.
    fn poll_for_hang_up(self: &Arc<Self>, event_loop: &mut EventLoop) {
        let state = self.lock();
        match (state.room.wants_poll(), state.room.poll) {
            (false, Some(poll)) => event_loop.cancel(poll),
            (false, None) | (true, Some(_)) => {}
            (true, None) => {
                drop(state);
                if self.stream.upgrade().is_none_or(|stream| stream.is_quiet_or_tells()) {
                    let request = Request::HangUp { socket: Arc::clone(&self.socket) };
                    let poll = event_loop.submit(RoomSide::of(Arc::clone(self)), request);
                    self.lock().room.poll = Some(poll);
                }
            }
        }
    }

    /// An event has come while the sink sent nothing, and the connection may be broken. If the sink has an owner, that
    /// owner's next send meets the error.
    fn look_whether_broken(self: &Arc<Self>) {
        if !self.lock().front.claim() {
            return;
        }
        let error = self.socket.look_for_error();
        let mut state = self.lock();
        if let Some(error) = error {
            state.break_with(error);
        }
        self.release(state);
    }
}

impl State {
    /// Notes room for the watch, if a post has returned FULL and half the `mark` is free. False: nothing is noted. A watch
    /// that is armed later gets the event.
    fn note_room(&mut self, mark: usize) -> bool {
        let noted =
            self.told_full && self.queue.posted() <= mark / 2 && self.room.is_watched() && !self.room.ends;
        if noted {
            self.room.due = true;
            self.told_full = false;
        }
        noted
    }
}
