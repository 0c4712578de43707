#![allow(unsafe_code)] // epoll
//! A descriptor that a ring polls in place of a listening socket.
//!
//! The kernel ends the ring of a killed process up to half a second after the process. Until then a request in flight keeps
//! its file open, so a listener would keep its port. An epoll descriptor that holds the listener is ready when the listener
//! is, and keeps nothing open. Invariant: it holds one socket, for input.

use crate::error::{Error, Result};
use crate::socket::Socket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An epoll descriptor.
pub struct StandIn(OwnedFd);

impl StandIn {
    /// A descriptor that is ready when `listener` has a connection, or an error.
    pub fn of(listener: &Socket) -> Result<StandIn> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os());
        }
        // SAFETY: the descriptor is just made, and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the call reads the event, which is alive for the call.
        match unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, listener.fd(), &raw mut event) } {
            0 => Ok(StandIn(epoll)),
            _ => Err(Error::last_os()),
        }
    }

    /// The descriptor to poll for input.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
