//! A sink's watch: its callback learns when there is room again, and how the sink ended.
//!
//! The send loop and callers raise events. The receive loop runs the callback. If a connection breaks while nothing is sent,
//! a receive meets the error. While the stream receives nothing, the watch polls the socket itself.
//!
//! Invariant: the callback runs on the receive loop's thread alone, and never after its last call.

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

/// Receives `Ok` when there is room again after a FULL. The last call brings an error: how the watch ended.
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
    /// A poll in the loop's ring, which reports that the connection breaks. It stays armed from the first time that the
    /// stream received nothing.
    poll: Option<RequestId>,
}

impl Watch {
    /// A watch without an event.
    pub fn new(sink: &Arc<Sink>, callback: RoomCallback) -> Arc<Watch> {
        let callback = Some(callback);
        Arc::new(Watch {
            listed: AtomicBool::new(false),
            sink: Arc::downgrade(sink),
            events: Mutex::new(Events { callback, room: false, last: None, over: false, poll: None }),
        })
    }

    /// Posts the watch: the loop decides whether to poll. To be called when the watch begins.
    pub fn begin(self: &Arc<Self>, net: &Net) {
        net.recv_loop.post(Arc::clone(self) as _);
    }

    /// Raises the event of room. False: the watch has ended, and its successor must get the event.
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

    /// Ends the watch by its last call. The first reason stays.
    pub fn end(self: &Arc<Self>, net: &Net, last: Error) {
        self.events.lock().last.get_or_insert(last);
        net.recv_loop.post(Arc::clone(self) as _);
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
            let event = if std::mem::take(&mut events.room) {
                Ok(())
            } else if let Some(last) = events.last {
                events.over = true;
                Err(last)
            } else {
                return;
            };
            let Some(mut callback) = events.callback.take() else {
                return; // the last call was before
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
                return; // an event that came during the call has posted mail
            }
        }
    }

    /// Polls from the first time that the stream receives nothing until the watch ends. A stream that receives posts the
    /// watch when it no longer does.
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
