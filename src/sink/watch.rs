//! A sink's watch: there is room again, and how it ended.
//!
//! The send loop and callers raise its events, the receive loop tells them. A connection that breaks while nothing is sent
//! is met by whoever receives; while nobody does, the watch polls the socket itself. Invariant: the callback runs on the
//! receive loop's thread alone, and after its last call never again.

use super::Sink;
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::mailbox::Listed;
use crate::net::Net;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use crate::sys::Answer;
use std::sync::{Arc, Weak};

/// Told `Ok` when there is room again after a FULL, and once and last an error: how the sink's watch ended.
pub type RoomCallback = Box<dyn FnMut(Result) + Send>;

/// One armed watch.
pub struct Watch {
    listed: AtomicBool,
    sink: Weak<Sink>,
    events: Mutex<Events>,
}

struct Events {
    callback: Option<RoomCallback>,
    room: bool,
    last: Option<Error>,
    over: bool,
    /// A poll in the loop's ring, which tells when the connection breaks. It stays armed from the first time that nothing
    /// was received.
    poll: Option<RequestId>,
}

impl Watch {
    /// A watch that has nothing to tell yet.
    pub fn new(sink: &Arc<Sink>, callback: RoomCallback) -> Arc<Watch> {
        let callback = Some(callback);
        Arc::new(Watch {
            listed: AtomicBool::new(false),
            sink: Arc::downgrade(sink),
            events: Mutex::new(Events { callback, room: false, last: None, over: false, poll: None }),
        })
    }

    /// Has the loop look whether it must poll. To be called when the watch begins.
    pub fn begin(self: &Arc<Self>, net: &Net) {
        net.recv_loop.post(Arc::clone(self) as _);
    }

    /// Tells that there is room. False: the watch has ended, and its successor is to be told.
    pub fn room(self: &Arc<Self>, net: &Net) -> bool {
        let mut events = self.events.lock();
        if events.last.is_some() {
            return false;
        }
        events.room = true;
        drop(events);
        net.recv_loop.post(Arc::clone(self) as _);
        true
    }

    /// Its last call is due; the first reason stays.
    pub fn end(self: &Arc<Self>, net: &Net, last: Error) {
        self.events.lock().last.get_or_insert(last);
        net.recv_loop.post(Arc::clone(self) as _);
    }

    /// Whether its last call has begun.
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
    /// Tells what there is to tell.
    fn tell(&self, event_loop: &EventLoop) {
        loop {
            let mut events = self.events.lock();
            let event = if std::mem::take(&mut events.room) {
                Ok(())
            } else if let Some(last) = events.last {
                events.over = true;
                Err(last)
            } else {
                return;
            };
            let Some(mut callback) = events.callback.take() else {
                return; // its last call has been
            };
            let is_last = event.is_err();
            let ends = events.last.is_some();
            drop(events);
            event_loop.count_callback();
            callback(event);
            if is_last {
                return;
            }
            self.events.lock().callback = Some(callback);
            if !ends {
                return; // what has come during the call has mail of its own
            }
        }
    }

    /// Polls while there may be something to tell and nobody receives; a stream that receives tells when it no longer does.
    fn poll(self: &Arc<Self>, event_loop: &mut EventLoop) {
        let events = self.events.lock();
        match (events.last.is_some(), events.poll) {
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
