#![allow(unsafe_code)] // epoll
//! An epoll descriptor: the descriptors that it watches, and the wait for their events.
//!
//! A listener has one as its stand-in, the engine over epoll has one for its sockets, and so has a thread that waits for one
//! stream again and again. Invariant: a wait never ends before its time limit without an event. Exception: a signal ends it.
//!
//! The calls that libc makes cancellation points use syscall(2), for the reason given in eventfd.rs.

use crate::threads;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An epoll descriptor, closed when dropped.
pub struct Epoll {
    epoll: ManuallyDrop<OwnedFd>,
    /// The kernel or a filter refuses epoll_pwait2, so time limits are whole milliseconds.
    coarse: bool,
}

/// The longest wait. A caller whose limit is longer waits again.
const LONGEST: Duration = Duration::from_secs(3600);

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: the descriptor is taken once, here, and not looked at again.
        threads::close(unsafe { ManuallyDrop::take(&mut self.epoll) });
    }
}

impl Epoll {
    /// A descriptor that watches nothing.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is just made, and has no other owner.
        let epoll = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Epoll { epoll, coarse: false })
    }

    /// The descriptor's number. It is readable while an event waits.
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Watches `fd` for `events` (EPOLLIN and the like), which say `data`.
    pub fn add(&self, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, data)
    }

    /// Watches `fd`, which it knows already, for other events.
    pub fn change(&self, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, data)
    }

    /// No longer watches `fd`.
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the call reads the event, which is alive for the call.
        match unsafe { libc::epoll_ctl(self.fd(), operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Another descriptor of the same.
    pub fn duplicate(&self) -> io::Result<Epoll> {
        Ok(Epoll { epoll: ManuallyDrop::new(self.epoll.try_clone()?), coarse: self.coarse })
    }

    /// Waits for events, at most for `time`; `None`: without a limit. Replaces the content of `events` by as many as it has
    /// room for. There are none after the time limit or a signal. True: a signal has ended the wait.
    pub fn wait(&mut self, events: &mut Vec<libc::epoll_event>, time: Option<Duration>) -> io::Result<bool> {
        events.clear();
        loop {
            let count = self.ask(events, time.map(|time| time.min(LONGEST)));
            if let Ok(count) = usize::try_from(count) {
                // SAFETY: the kernel has written so many events, and it had room for no more than the capacity.
                unsafe { events.set_len(count) };
                return Ok(false);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => return Ok(true),
                // Before 5.11 the kernel has no epoll_pwait2, and the profiles of old sandboxes do not know it.
                Some(libc::ENOSYS | libc::EPERM | libc::EACCES) if !self.coarse => self.coarse = true,
                _ => return Err(error),
            }
        }
    }

    /// One call: a number of events, or less than 0 for an error.
    fn ask(&self, events: &mut Vec<libc::epoll_event>, time: Option<Duration>) -> i64 {
        let (epoll, into, room) = (self.fd(), events.as_mut_ptr(), events.capacity() as i32);
        let mask = std::ptr::null::<libc::sigset_t>();
        match time.filter(|time| !time.is_zero()) {
            Some(time) if !self.coarse => {
                let (tv_sec, tv_nsec) = (time.as_secs() as i64, time.subsec_nanos().into());
                let time = libc::timespec { tv_sec, tv_nsec };
                // SAFETY: there is room for so many events, the time is a local, and the signal mask stays as it is.
                unsafe {
                    libc::syscall(libc::SYS_epoll_pwait2, epoll, into, room, &raw const time, mask, 0usize)
                }
            }
            _ => {
                let limit = time.map_or(-1, |time| time.as_nanos().div_ceil(1_000_000) as i32);
                // SAFETY: there is room for so many events, and the signal mask stays as it is.
                unsafe { libc::syscall(libc::SYS_epoll_pwait, epoll, into, room, limit, mask, 0usize) }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn a_wait_brings_events_or_takes_its_time() {
        let (one, two) = UnixStream::pair().unwrap();
        let mut events = Vec::with_capacity(4);
        for coarse in [false, true] {
            let mut epoll = Epoll::new().unwrap();
            epoll.coarse = coarse;
            epoll.add(one.as_raw_fd(), libc::EPOLLIN as u32, 7).unwrap();
            let (began, limit) = (Instant::now(), Duration::from_micros(1500));
            epoll.wait(&mut events, Some(limit)).unwrap();
            assert!(events.is_empty() && began.elapsed() >= limit);
            epoll.change(one.as_raw_fd(), libc::EPOLLOUT as u32, 8).unwrap();
            epoll.wait(&mut events, None).unwrap();
            let data = events[0].u64;
            assert_eq!((events.len(), data), (1, 8));
            epoll.remove(one.as_raw_fd()).unwrap();
            epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
        }
        drop(two);
    }
}
