#![allow(unsafe_code)] // eventfd, read and write are C calls
//! A descriptor by which one thread wakes up another thread that waits for it.
//!
//! Each loop has one, and so has each thread that waits by itself (socket_waiter.rs). Invariant: from a wake to the next
//! clear it is readable, however many wakes come. Neither call ever blocks.
//!
//! Both calls use syscall(2), because libc's own read and write are cancellation points. A thread that sends or receives has
//! cancellation turned on, while it may own a half or hold a lock.

use crate::error::{Error, Result};
use crate::threads;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd(2), closed when dropped.
pub struct EventFd(ManuallyDrop<OwnedFd>);

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is taken once, here, and not looked at again.
        threads::close(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

impl EventFd {
    /// A descriptor without a wake.
    pub fn new() -> Result<EventFd> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::last_os());
        }
        // SAFETY: the descriptor is just made, and has no other owner.
        Ok(EventFd(ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The descriptor to poll for input.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable. It can fail only if the counter is about to overflow, and then it is readable anyway.
    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: the call reads eight bytes of a local.
        unsafe { libc::syscall(libc::SYS_write, self.fd(), &raw const one, size_of_val(&one)) };
    }

    /// Forgets every wake so far.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: the call writes eight bytes of a local.
        unsafe { libc::syscall(libc::SYS_read, self.fd(), &raw mut count, size_of_val(&count)) };
    }
}
