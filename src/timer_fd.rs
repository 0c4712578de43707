#![allow(unsafe_code)] // timerfd is a C call
//! A descriptor that becomes readable at a moment.
//!
//! A loop without a thread of its own has one, for the program that polls its descriptor. Invariant: the descriptor becomes
//! readable no later than the last moment that was set.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A timerfd(2), closed when dropped.
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// A descriptor without a moment.
    pub fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is just made, and has no other owner.
        Ok(TimerFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor to poll for input.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable at `moment`, and not readable until then. `now` is the present moment.
    pub fn set(&self, moment: Instant, now: Instant) {
        let left = moment.saturating_duration_since(now).max(Duration::from_nanos(1)); // 0 would mean never
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let left = libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let times = libc::itimerspec { it_interval: never, it_value: left };
        // SAFETY: reads the times, a local. It cannot fail: the descriptor is a timer's, and the time is in range.
        unsafe { libc::timerfd_settime(self.fd(), 0, &raw const times, std::ptr::null_mut()) };
    }
}
