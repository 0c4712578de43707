//! A descriptor that a ring polls in place of a listening socket.
//!
//! The kernel ends the ring of a killed process up to half a second after the process. Until then a request in flight keeps
//! its file open, so a listener would keep its port. An epoll descriptor that holds the listener is ready when the listener
//! is, and keeps nothing open. Invariant: it holds one socket, for input.

use crate::epoll::Epoll;
use crate::error::Result;
use crate::socket::Socket;
use crate::sys::to_error;
use std::os::fd::RawFd;

/// An epoll descriptor.
pub struct StandIn(Epoll);

impl StandIn {
    /// A descriptor that is ready when `listener` has a connection, or an error.
    pub fn of(listener: &Socket) -> Result<StandIn> {
        let epoll = Epoll::new().map_err(to_error)?;
        epoll.add(listener.fd(), libc::EPOLLIN as u32, 0).map_err(to_error)?;
        Ok(StandIn(epoll))
    }

    /// The descriptor to poll for input.
    pub fn fd(&self) -> RawFd {
        self.0.fd()
    }
}
