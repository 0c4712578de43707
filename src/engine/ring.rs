#![allow(unsafe_code)] // entries name memory
//! The engine over io_uring: each request is an entry of a ring.
//!
//! The ring has other entries too: a poll of the waker's eventfd, and cancels. Invariant: the pool is dropped after the
//! ring, which may write to it.

mod entry;
mod send_ring;
mod silent;
mod size;
mod uring;

pub use self::send_ring::SendRing;
pub use self::size::RingSize;

use self::size::patiently;
use self::uring::Uring;
use super::pool::{BufferPool, POOL_BUFFER_SIZE};
use super::{Completion, Features, OWN, Request, RequestId, Start, Wait, Waker};
use io_uring::{cqueue, opcode, types};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The user data of the poll of the eventfd.
const EVENTFD: u64 = u64::MAX;
/// The user data of a completion that another thread sent.
const WOKEN: u64 = u64::MAX - 1;

/// A pool of 2 MiB is small enough to stay in cache. It has a buffer for each of the 20 sockets or so that one enter works
/// off.
const POOL_BUFFERS: u16 = 32;

/// A descriptor that no file has.
const NO_FILE: RawFd = -1;

/// The buffer that a completion with these flags names.
pub fn buffer(flags: u32) -> Option<u16> {
    cqueue::buffer_select(flags)
}

/// Whether an entry whose completion has these flags completes again.
pub fn more(flags: u32) -> bool {
    cqueue::more(flags)
}

/// Wakes the thread that waits in the ring behind `fd`.
pub fn wake(fd: RawFd) -> io::Result<()> {
    uring::send_completion(fd, WOKEN)
}

/// One io_uring, and what it borrows.
pub struct Ring {
    uring: Uring,
    // Dropped after the ring, which may still write to it.
    pool: Option<Rc<BufferPool>>,
    waker: Arc<Waker>,
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.waker.attach(None); // before the ring closes
    }
}

impl Ring {
    /// Makes a ring with those of the `wanted` features that the kernel has.
    pub fn new(size: RingSize, wanted: Features, receives: bool, waker: &Arc<Waker>) -> io::Result<Ring> {
        let mut uring = Uring::new(size, wanted)?;
        uring.try_out()?;
        if receives {
            silent::probe(&mut uring);
        }
        let pool = if receives { lend_pool(&mut uring) } else { None };
        waker.attach(uring.probe_send_msg_ring(WOKEN));
        let mut ring = Ring { uring, pool, waker: Arc::clone(waker) };
        ring.watch_eventfd();
        Ok(ring)
    }

    fn watch_eventfd(&mut self) {
        let fd = types::Fd(self.waker.fd());
        // Edge triggered: each write to the eventfd is one completion, without a read of it.
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build().user_data(EVENTFD);
        // SAFETY: the entry points to nothing.
        unsafe { self.uring.push(entry) };
    }

    pub fn features(&self) -> Features {
        self.uring.features()
    }

    pub fn pool(&self) -> Option<Rc<BufferPool>> {
        self.pool.clone()
    }

    /// # Safety
    /// That of [`super::Engine::submit`].
    #[inline]
    pub unsafe fn submit(&mut self, id: RequestId, request: &mut Request) {
        let entry = entry::of(request).user_data(id.bits());
        // SAFETY: the entry points to what the request names, and the caller vouches for that.
        unsafe { self.uring.push(entry) };
    }

    /// # Safety
    /// That of [`super::Engine::send_silently`].
    #[inline]
    pub unsafe fn send_silently(&mut self, place: usize, fd: RawFd, part: libc::iovec) {
        let entry = entry::silent_send(fd, part).user_data(OWN | place as u64);
        // SAFETY: the entry points to the part, and the caller vouches for that.
        unsafe { self.uring.push(entry) };
    }

    pub fn decide(&mut self, into: &mut Vec<Completion>) -> io::Result<bool> {
        let decided = self.uring.decide()?;
        self.reap(into);
        Ok(decided)
    }

    pub fn cancel(&mut self, id: RequestId) {
        let entry = opcode::AsyncCancel::new(id.bits()).build().user_data(id.bits() | OWN);
        // SAFETY: the entry points to nothing.
        unsafe { self.uring.push(entry) };
    }

    pub fn has_work(&mut self) -> bool {
        self.uring.has_work()
    }

    pub fn has_completions(&mut self) -> bool {
        self.uring.has_completions()
    }

    pub fn is_crowded(&mut self) -> bool {
        self.uring.is_crowded()
    }

    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.uring.enter(wait)
    }

    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        into.extend(self.uring.reap());
    }

    pub fn note(&mut self, completion: &Completion) -> Option<RequestId> {
        match completion.number {
            EVENTFD if !completion.more() => self.watch_eventfd(),
            EVENTFD | WOKEN => {}
            cancel if completion.result == -libc::ENOENT => {
                return NonZeroU64::new(cancel & !OWN).map(RequestId);
            }
            _ => {}
        }
        None
    }

    pub fn give_up(mut self, time: Duration) -> Vec<Completion> {
        self.waker.attach(None);
        let mut given_back = Vec::new();
        self.uring.cancel_all(time);
        let _ = self.enter(Wait::No);
        self.reap(&mut given_back);
        given_back
    }

    pub fn counts(&self) -> (u64, u64) {
        self.uring.counts()
    }

    #[cfg(all(test, not(loom)))]
    pub fn lose_waker(&mut self) {
        let entry = opcode::AsyncCancel::new(EVENTFD).build().user_data(WOKEN);
        // SAFETY: the entry points to nothing.
        unsafe { self.uring.push(entry) };
    }
}

/// `None` if memory is short, or the kernel has no buffer rings.
fn lend_pool(uring: &mut Uring) -> Option<Rc<BufferPool>> {
    if !uring.wants(Features::BUFFER_RING) {
        return None;
    }
    let pool = Rc::new(BufferPool::for_kernel(POOL_BUFFERS, POOL_BUFFER_SIZE).ok()?);
    // SAFETY: Ring drops its io_uring before its pool.
    patiently(|| unsafe { uring.register_pool(&pool) }).ok()?;
    uring.probe(Features::MULTISHOT, entry::recv_multishot(NO_FILE, Start::Now, 0, 1));
    Some(pool)
}
