//! A stop that its caller does not wait for: `net_stop_async`.
//!
//! Invariant: a stop that has begun is carried out, on a thread that was there before it began.

use super::Net;
use crate::completion::{Target, Tell};
use crate::error::{Error, Result};
use crate::permits::Permit;
use crate::sync::{Condvar, Mutex};
use crate::sys::to_error;
use crate::threads;
use std::sync::{Arc, Weak};

/// Where a thread waits until another one says whether it goes on.
struct Gate {
    opened: Mutex<Option<bool>>,
    changed: Condvar,
}

/// The target of an operation that cannot be cancelled.
struct Uncancellable;

impl Target for Uncancellable {
    fn cancel_requested(self: Arc<Self>) {}
}

impl Net {
    /// Stops the net on a thread of its own. STOPPED: another stop has begun. The net's last callback reports the end, as
    /// `tell` says. `stopped` runs when both loops have ended.
    pub fn stop_async(self: &Arc<Self>, tell: Tell<'_>, stopped: impl FnOnce() + Send + 'static) -> Result {
        self.check()?;
        let operation = self.operation_for(tell);
        let permit = Permit::counted(&self.operations, usize::MAX)?; // a stop is never refused for want of room
        let (gate, for_thread) = Gate::new();
        let (net, last) = (Arc::clone(self), Arc::clone(&operation));
        let body = move || {
            if for_thread.wait() {
                let _ = net.carry_out_stop(Some(last)); // the operation has the result
                stopped();
            }
        };
        // The thread comes first: the stop cannot be taken back.
        let _detached = threads::spawn(c"iouringnet-stop", body).map_err(to_error)?;
        let first = self.members.begin_stop();
        if first {
            operation.accept(permit, Weak::<Uncancellable>::new()); // before the thread can complete it
        }
        gate.open(first);
        if first { Ok(()) } else { Err(Error::STOPPED) }
    }
}

impl Gate {
    fn new() -> (Arc<Gate>, Arc<Gate>) {
        let gate = Arc::new(Gate { opened: Mutex::new(None), changed: Condvar::new() });
        (Arc::clone(&gate), gate)
    }

    fn open(&self, go_on: bool) {
        *self.opened.lock() = Some(go_on);
        self.changed.notify_all();
    }

    fn wait(&self) -> bool {
        let mut opened = self.opened.lock();
        loop {
            if let Some(go_on) = *opened {
                return go_on;
            }
            opened = self.changed.wait(opened);
        }
    }
}
