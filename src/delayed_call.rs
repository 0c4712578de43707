//! An operation that completes after a while: `net_call`.
//!
//! The receive loop owns it. Invariant: its operation completes once, and then the call leaves the net. It completes when
//! its time has come, when it is cancelled, or when the net ends.

use crate::completion::{Operation, Target, Tell};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler};
use crate::mailbox::Listed;
use crate::members::{Member, Place, Stop};
use crate::net::Net;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use crate::timers::Timer;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// One delayed call.
pub struct DelayedCall {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    state: Mutex<State>,
}

struct State {
    operation: Option<Arc<Operation>>,
    when: Option<Instant>,
    cause: Option<Error>,
    timer: Timer,
}

impl DelayedCall {
    /// Reports success after `delay`, as `tell` says.
    pub fn start(net: &Arc<Net>, delay: Duration, tell: Tell<'_>) -> Result {
        let op = net.operation_for(tell);
        let call = Arc::new(DelayedCall {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            state: Mutex::new(State {
                operation: Some(Arc::clone(&op)),
                when: Instant::now().checked_add(delay),
                cause: None,
                timer: Timer::default(),
            }),
        });
        let permit = net.permit()?;
        let target: Weak<DelayedCall> = Arc::downgrade(&call);
        op.accept(permit, target); // before the loop can complete it
        net.members.join([Arc::clone(&call) as _])?;
        net.recv_loop.post(call);
        Ok(())
    }

    fn drive(self: Arc<Self>, event_loop: &mut EventLoop) {
        if !self.place.is_given() {
            return; // the thread that makes it join posts it afterwards
        }
        let mut state = self.state.lock();
        let Some(operation) = &state.operation else {
            return;
        };
        let result = if operation.is_cancelled() {
            Err(Error::CANCELLED)
        } else if let Some(cause) = state.cause {
            Err(cause)
        } else if state.when.is_some_and(|when| when <= event_loop.now()) {
            Ok(())
        } else {
            // The clock cannot express a very long delay. Such a call gets no timer, and ends by a cancellation or a stop.
            if let Some(when) = state.when {
                event_loop.arm(&mut state.timer, when, || Arc::clone(&self) as _);
            }
            return;
        };
        let operation = state.operation.take();
        event_loop.disarm(&mut state.timer);
        drop(state);
        if let Some(operation) = operation {
            operation.complete(result, 0);
        }
        self.net.members.leave(&*self);
    }
}

impl Listed for DelayedCall {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for DelayedCall {
    fn cancel_requested(self: Arc<Self>) {
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }
}

impl Handler for DelayedCall {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(event_loop);
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.state.lock().timer.fired();
        self.drive(event_loop);
    }

    fn fail(self: Arc<Self>) {
        self.stop(Stop::Now(Error::PANIC));
    }
}

impl Member for DelayedCall {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        let Some(cause) = how.ends_work() else {
            return;
        };
        self.state.lock().cause.get_or_insert(cause); // the first cause stays
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }
}
