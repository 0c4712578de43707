#![allow(unsafe_code)] // pushing entries
//! A ring for silent sends alone, beside an engine over epoll.
//!
//! Each entry is decided within the enter that submits it, so nothing ever waits in this ring. Invariant: only the thread that
//! made the ring uses it.

use super::entry::silent_send;
use super::silent;
use super::size::RingSize;
use super::uring::Uring;
use crate::engine::{Completion, Features, OWN};
use std::io;
use std::os::fd::RawFd;

/// One io_uring whose entries are sends that do not wait.
pub struct SendRing {
    uring: Uring,
}

impl SendRing {
    /// `None`: the system refuses io_uring, or such sends cannot be trusted here.
    pub fn new(size: RingSize, wanted: Features) -> Option<SendRing> {
        // The kernel interrupts the thread's waits when it takes a ring down, so no ring is made in vain.
        if !wanted.has(Features::SILENT_SENDS) {
            return None;
        }
        let mut uring = Uring::new(size.with_fallback(), wanted).ok()?;
        uring.try_out().ok()?;
        silent::probe(&mut uring);
        uring.features().has(Features::SILENT_SENDS).then_some(SendRing { uring })
    }

    /// # Safety
    /// That of [`crate::engine::Engine::send_silently`].
    #[inline]
    pub unsafe fn send_silently(&mut self, place: usize, fd: RawFd, part: libc::iovec) {
        let entry = silent_send(fd, part).user_data(OWN | place as u64);
        // SAFETY: the entry points to the part, and the caller vouches for that.
        unsafe { self.uring.push(entry) };
    }

    /// See [`crate::engine::Engine::decide`].
    pub fn decide(&mut self, into: &mut Vec<Completion>) -> io::Result<bool> {
        let decided = self.uring.decide()?;
        into.extend(self.uring.reap());
        Ok(decided)
    }

    /// Calls that entered the kernel so far, and sends so far.
    pub fn counts(&self) -> (u64, u64) {
        self.uring.counts()
    }
}
