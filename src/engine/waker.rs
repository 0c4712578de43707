//! How another thread wakes up the thread that waits in an engine.
//!
//! A waker is made before its engine, and shared with the threads that wake it up. Invariant: a wake that comes during a
//! wait ends that wait. The first wake that comes before a wait ends it too.

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
    /// The engine's ring, while it exists and takes completions from other threads. A completion wakes its thread up sooner
    /// than the eventfd does.
    ring: Mutex<Option<RawFd>>,
}

impl Waker {
    /// A waker for an engine that is to be made.
    pub fn new() -> Result<Arc<Waker>> {
        Ok(Arc::new(Waker { eventfd: EventFd::new()?, ring: Mutex::new(None) }))
    }

    /// Ends the wait of the engine's thread, or the next one.
    pub fn wake(&self) {
        // The lock keeps the ring open, so its descriptor names no other file.
        let woken = self.ring.lock().is_some_and(|ring| ring::wake(ring).is_ok());
        if !woken {
            self.eventfd.wake();
        }
    }

    /// The same for an engine without a ring. It takes no lock, so a signal handler may call it.
    pub fn wake_by_descriptor(&self) {
        self.eventfd.wake();
    }

    /// Waits for a wake after the engine is gone.
    pub fn wait(&self, wait: Wait) {
        let time = match wait {
            Wait::No => Some(Duration::ZERO),
            Wait::Forever => None,
            Wait::For(time) => Some(time),
        };
        let eventfd = libc::pollfd { fd: self.eventfd.fd(), events: libc::POLLIN, revents: 0 };
        sys::poll(&mut [eventfd], time); // whatever the answer: the caller looks
        self.eventfd.clear();
    }

    /// The descriptor that an engine polls for input, and need not read.
    pub(super) fn fd(&self) -> RawFd {
        self.eventfd.fd()
    }

    /// From now on completions wake up this ring; `None`: the eventfd alone wakes the thread up.
    pub(super) fn attach(&self, ring: Option<RawFd>) {
        *self.ring.lock() = ring;
    }
}
