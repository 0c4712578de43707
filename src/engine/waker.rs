//! How another thread wakes the one that waits in an engine.
//!
//! Made before its engine and shared with those who wake. Invariant: a wake that comes while the engine waits ends that wait,
//! and so does the first of those that come before it.

use super::{Wait, ring};
use crate::error::Result;
use crate::eventfd::EventFd;
use crate::sync::Mutex;
use crate::sys;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// Wakes one engine.
pub struct Waker {
    eventfd: EventFd,
    /// The engine's ring, while it is there and can be sent completions: that wakes it sooner than the eventfd.
    ring: Mutex<Option<RawFd>>,
}

impl Waker {
    /// A waker for an engine that is to be made.
    pub fn new() -> Result<Arc<Waker>> {
        Ok(Arc::new(Waker { eventfd: EventFd::new()?, ring: Mutex::new(None) }))
    }

    /// Ends the wait of the engine's thread, or the next one.
    pub fn wake(&self) {
        // Under the lock the ring stays, so that its descriptor is no other's.
        let woken = self.ring.lock().is_some_and(|ring| ring::wake(ring).is_ok());
        if !woken {
            self.eventfd.wake();
        }
    }

    /// Waits for a wake where the engine is gone.
    pub fn wait(&self, wait: Wait) {
        let time = match wait {
            Wait::No => Some(Duration::ZERO),
            Wait::Forever => None,
            Wait::For(time) => Some(time),
        };
        let eventfd = libc::pollfd { fd: self.eventfd.fd(), events: libc::POLLIN, revents: 0 };
        sys::poll(&mut [eventfd], time); // whatever it says: the caller looks
        self.eventfd.clear();
    }

    /// What an engine polls for input, and need not read.
    pub(super) fn fd(&self) -> RawFd {
        self.eventfd.fd()
    }

    /// From now on a ring is woken by completions, or no longer.
    pub(super) fn attach(&self, ring: Option<RawFd>) {
        *self.ring.lock() = ring;
    }
}
