//! The room of a watch: its callback learns when there is room again, and what has broken the sink.
//!
//! The send loop and callers raise events. The receive loop runs the callback. If a connection breaks while nothing is sent,
//! a receive meets the error. While the stream receives nothing, the watch polls the socket itself.
//!
//! Invariant: the callback runs on the receive loop's thread alone, and never after its last call.

use super::Sink;
use crate::callback::StatusCallback;
use crate::ending::Ending;
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::mailbox::Listed;
use crate::net::Net;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use crate::sys::Answer;
use std::sync::{Arc, Weak};

/// One armed watch.
pub struct Watch {
    listed: AtomicBool,
    sink: Weak<Sink>,
    events: Mutex<Events>,
}

struct Events {
    /// Gets `Ok` when there is room again after a FULL. Its last call brings an error: how the watch ended.
    callback: Option<StatusCallback>,
    /// The call that arms it is not over. Events wait.
    held: bool,
    room: bool,
    last: Option<Error>,
    over: bool,
    /// A poll in the loop's ring, which reports that the connection breaks. It stays armed from the first time that the
    /// stream received nothing.
    poll: Option<RequestId>,
}

impl Watch {
    /// A watch without an event.
    pub fn new(sink: &Arc<Sink>, callback: StatusCallback) -> Arc<Watch> {
        let (callback, held) = (Some(callback), true);
        Arc::new(Watch {
            listed: AtomicBool::new(false),
            sink: Arc::downgrade(sink),
            events: Mutex::new(Events { callback, held, room: false, last: None, over: false, poll: None }),
        })
    }

    /// Posts the watch: the loop decides whether to poll. To be called when the watch begins.
    pub fn begin(self: &Arc<Self>, net: &Net) {
        self.events.lock().held = false;
        net.recv_loop.post(Arc::clone(self) as _);
    }

    /// Raises the event of room. False: the watch has ended, and its successor must get the event.
    pub fn room(self: &Arc<Self>, net: &Net) -> bool {
        let mut events = self.events.lock();
        if events.last.is_some() || events.over {
            return false;
        }
        events.room = true;
        drop(events);
        net.recv_loop.post(Arc::clone(self) as _);
        true
    }

    /// Ends the watch by its last call. The first reason stays.
    pub fn end(self: &Arc<Self>, net: &Net, last: Error) {
        self.events.lock().last.get_or_insert(last);
        net.recv_loop.post(Arc::clone(self) as _);
    }

    /// The handle was closed: no call begins from now on, except for a last one with a cause.
    pub fn silence(self: &Arc<Self>, net: &Net) {
        let mut events = self.events.lock();
        if events.last != Some(Error::PANIC) {
            events.over = true;
            drop(events);
            net.recv_loop.post(Arc::clone(self) as _); // which ends the poll
        }
    }

    /// Whether the last call has begun.
    pub fn is_over(&self) -> bool {
        self.events.lock().over
    }
}

impl Listed for Watch {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Watch {
    /// Calls the callback for each event.
    fn tell(&self, event_loop: &EventLoop) {
        loop {
            let mut events = self.events.lock();
            if events.held || events.over {
                return;
            }
            let event = if std::mem::take(&mut events.room) {
                Ok(())
            } else if let Some(last) = events.last {
                events.over = true;
                Err(last)
            } else {
                return;
            };
            let Some(callback) = events.callback.take() else {
                return; // the last call was before
            };
            let is_last = event.is_err();
            let ends = events.last.is_some();
            drop(events);
            event_loop.count_callback();
            callback.call(event);
            if is_last {
                return;
            }
            self.events.lock().callback = Some(callback);
            if !ends {
                return; // an event that came during the call has posted mail
            }
        }
    }

    /// Polls from the first time that the stream receives nothing until the watch ends. A stream that receives posts the
    /// watch when it no longer does.
    fn poll(self: &Arc<Self>, event_loop: &mut EventLoop) {
        let events = self.events.lock();
        match (events.last.is_some() || events.over, events.poll) {
            (true, Some(poll)) => event_loop.cancel(poll),
            (true, None) | (false, Some(_)) => {}
            (false, None) => {
                drop(events);
                let Some(sink) = self.sink.upgrade() else {
                    return;
                };
                if sink.stream.upgrade().is_none_or(|stream| stream.is_quiet_or_tells(self)) {
                    let request = Request::HangUp { socket: Arc::clone(&sink.socket) };
                    let poll = event_loop.submit(Arc::clone(self) as _, request);
                    self.events.lock().poll = Some(poll);
                }
            }
        }
    }
}

impl Handler for Watch {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.tell(event_loop);
        self.poll(event_loop);
    }

    fn on_ready(self: Arc<Self>, _: &mut EventLoop) {
        if let Some(sink) = self.sink.upgrade() {
            sink.look_whether_broken();
        }
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, _: Request, reaped: Reaped) {
        self.events.lock().poll = None;
        if let Answer::Done(_) = reaped.answer() {
            Arc::clone(&self).on_ready(event_loop);
            self.poll(event_loop);
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
    ) -> Result<Option<Arc<Watch>>> {
        let mut state = self.lock();
        state.check_open(&self.net)?;
        let is_watched = state.watch.as_ref().is_some_and(|watch| !watch.is_over());
        if (room.is_some() && is_watched) || (ending.is_some() && state.ending.is_some()) {
            return Err(Error::BUSY);
        }
        if let Some(ending) = ending {
            state.ending = Some(Arc::clone(ending));
        }
        let watch = room.map(|room| Watch::new(self, room));
        if let Some(watch) = &watch {
            state.watch = Some(Arc::clone(watch));
        }
        Ok(watch)
    }

    /// The calls of a prepared watch begin.
    pub fn begin_watch(self: &Arc<Self>, watch: &Arc<Watch>) {
        let mut state = self.lock();
        if let Some(cause) = state.cause.filter(|_| !state.front.closing) {
            watch.end(&self.net, cause); // broken already: the first call is the last
        }
        watch.begin(&self.net);
        state.tell_room(&self.net);
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

    /// Forgets a prepared watch: it makes no call.
    pub fn drop_watch(&self, watch: Option<&Arc<Watch>>, ending: Option<&Arc<Ending>>) {
        let mut state = self.lock();
        if let Some(watch) = watch {
            watch.silence(&self.net);
        }
        state.ending.take_if(|own| ending.is_some_and(|ending| Arc::ptr_eq(own, ending)));
    }
}
