//! The polls for a hang-up. They have an epoll descriptor of their own, because they stay armed beside the receives of their
//! sockets.
//!
//! Several may wait for one socket, and epoll knows a socket once. Therefore an event has the number of the descriptor, and is
//! for all of them. Invariant: a descriptor is armed only while one of its requests is in flight.

use super::RequestId;
use crate::epoll::Epoll;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

pub struct HangUps {
    epoll: Epoll,
    waiting: HashMap<RawFd, Vec<RequestId>>,
}

/// The most events of one wait.
const EVENTS: usize = 256;

impl HangUps {
    pub fn new() -> io::Result<HangUps> {
        Ok(HangUps { epoll: Epoll::new()?, waiting: HashMap::new() })
    }

    /// The descriptor that is readable while an event waits.
    pub fn fd(&self) -> RawFd {
        self.epoll.fd()
    }

    /// From now on `id` gets the events of `fd`, also those that there are.
    pub fn add(&mut self, fd: RawFd, events: u32, id: RequestId) -> io::Result<()> {
        match self.waiting.get_mut(&fd) {
            Some(ids) => {
                self.epoll.change(fd, events, fd as u64)?; // reports again what there is
                ids.push(id);
            }
            None => {
                self.epoll.add(fd, events, fd as u64)?;
                self.waiting.insert(fd, vec![id]);
            }
        }
        Ok(())
    }

    pub fn remove(&mut self, fd: RawFd, id: RequestId) {
        let Some(ids) = self.waiting.get_mut(&fd) else {
            return;
        };
        ids.retain(|&other| other != id);
        if ids.is_empty() {
            self.waiting.remove(&fd);
            let _ = self.epoll.remove(fd);
        }
    }

    /// Adds the events to `into`, each with the number of a request. More of them, or an error, come back with the next wait.
    pub fn take(&mut self, into: &mut Vec<libc::epoll_event>) {
        let mut events = Vec::with_capacity(EVENTS);
        if self.epoll.wait(&mut events, Some(Duration::ZERO)).is_err() {
            return;
        }
        for event in events {
            let ids = self.waiting.get(&(event.u64 as RawFd)).into_iter().flatten();
            into.extend(ids.map(|id| libc::epoll_event { events: event.events, u64: id.bits() }));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn several_may_wait_for_one_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let mut hang_ups = HangUps::new().unwrap();
        let ids = [1, 2, 3].map(|index| RequestId::new(1, index));
        let edge = libc::EPOLLET as u32;
        let taken = |hang_ups: &mut HangUps| {
            let mut events = Vec::new();
            hang_ups.take(&mut events);
            events.iter().map(|event| event.u64).collect::<Vec<_>>()
        };
        for id in &ids[..2] {
            hang_ups.add(socket.as_raw_fd(), edge, *id).unwrap();
        }
        assert!(taken(&mut hang_ups).is_empty());
        hang_ups.remove(socket.as_raw_fd(), ids[0]);
        socket.shutdown(Shutdown::Write).unwrap();
        drop(peer);
        let both = [ids[1].bits(), ids[2].bits()];
        while taken(&mut hang_ups).is_empty() {}
        hang_ups.add(socket.as_raw_fd(), edge, ids[2]).unwrap();
        assert_eq!(taken(&mut hang_ups), both, "a later one learns what there is");
        hang_ups.remove(socket.as_raw_fd(), ids[1]);
        hang_ups.remove(socket.as_raw_fd(), ids[2]);
        hang_ups.remove(socket.as_raw_fd(), ids[2]);
        assert!(hang_ups.waiting.is_empty());
        hang_ups.add(socket.as_raw_fd(), edge, ids[0]).unwrap(); // epoll has forgotten the socket
    }
}
