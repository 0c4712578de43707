//! A sink's watch: there is room again, and how it ended.
//!
//! The send loop and callers raise its events, the receive loop tells them. Invariant: the callback runs on the receive
//! loop's thread alone, and after its last call never again.

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Service};
use crate::mailbox::Listed;
use crate::net::Net;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use std::sync::Arc;

/// Told `Ok` when there is room again after a FULL, and once and last an error: how the sink's watch ended.
pub type RoomCallback = Box<dyn FnMut(Result) + Send>;

/// One armed watch.
pub struct Watch {
    listed: AtomicBool,
    events: Mutex<Events>,
}

struct Events {
    callback: Option<RoomCallback>,
    room: bool,
    last: Option<Error>,
    over: bool,
}

impl Watch {
    /// A watch that has nothing to tell yet.
    pub fn new(callback: RoomCallback) -> Arc<Watch> {
        Arc::new(Watch {
            listed: AtomicBool::new(false),
            events: Mutex::new(Events { callback: Some(callback), room: false, last: None, over: false }),
        })
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

impl Service for Watch {
    fn serve(self: Arc<Self>, event_loop: &mut EventLoop) {
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

    fn fail(self: Arc<Self>) {}
}
