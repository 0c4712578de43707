#![allow(unsafe_code)] // a permit uses its half's reference to the socket
//! Permits: the places among the operations in flight.
//!
//! A net counts its places. Each half of a connection has one more place of its own. Invariant: a place has at most one
//! [`Permit`], and is free again when the permit drops. A permit for a half's own place needs no reference to the socket: the
//! half has one, and leaves it to the permit if it ends before.

use crate::error::{Error, Result};
use crate::socket::{Half, Socket};
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// A place among the operations in flight. Its drop gives the place back.
pub struct Permit(Option<Occupied>);

enum Occupied {
    /// One of the net's counted places.
    Counted(Arc<AtomicUsize>),
    /// The one place that each direction of a connection has of its own. [`HalfSocket`] keeps the socket.
    Embedded(NonNull<Socket>, Half),
}

// SAFETY: the permit uses the socket as a reference to it would, and a `Socket` is Send and Sync.
unsafe impl Send for Permit {}
// SAFETY: as above.
unsafe impl Sync for Permit {}

/// The socket as one half of its connection holds it.
pub struct HalfSocket<const HALF: usize>(ManuallyDrop<Arc<Socket>>);

/// The socket of a sink.
pub type SinkSocket = HalfSocket<{ Half::Send as usize }>;
/// The socket of a stream.
pub type StreamSocket = HalfSocket<{ Half::Recv as usize }>;

impl<const HALF: usize> HalfSocket<HALF> {
    const HALF: Half = if HALF == Half::Send as usize { Half::Send } else { Half::Recv };

    /// A socket has one for each half.
    pub fn new(socket: Arc<Socket>) -> Self {
        HalfSocket(ManuallyDrop::new(socket))
    }
}

impl<const HALF: usize> Deref for HalfSocket<HALF> {
    type Target = Arc<Socket>;

    #[inline]
    fn deref(&self) -> &Arc<Socket> {
        &self.0
    }
}

impl<const HALF: usize> Drop for HalfSocket<HALF> {
    fn drop(&mut self) {
        // SAFETY: this drop alone takes it, and nothing uses it afterwards.
        let socket = unsafe { ManuallyDrop::take(&mut self.0) };
        if socket.places.end(Self::HALF) {
            mem::forget(socket); // the reference is now that of the place's permit
        }
    }
}

impl Permit {
    /// One of at most `limit` counted places. LIMIT: no place is free.
    pub fn counted(count: &Arc<AtomicUsize>, limit: usize) -> Result<Permit> {
        let take = |used: usize| (used < limit).then_some(used + 1);
        // Rust 1.99 names it try_update, which the oldest Rust that builds this does not know.
        #[allow(deprecated)]
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Permit(Some(Occupied::Counted(Arc::clone(count))))),
            Err(_) => Err(Error::LIMIT),
        }
    }

    /// The place that the half has of its own. `None`: it is occupied.
    #[inline]
    pub fn embedded<const HALF: usize>(socket: &HalfSocket<HALF>) -> Option<Permit> {
        let half = HalfSocket::<HALF>::HALF;
        // SAFETY: the address of what an `Arc` holds is not NULL.
        let address = unsafe { NonNull::new_unchecked(Arc::as_ptr(socket).cast_mut()) };
        socket.places.take(half).then(|| Permit(Some(Occupied::Embedded(address, half))))
    }

    /// Whether the operation is the only one of its direction that has not reported its end. One that ends on a loop's own
    /// thread can ask this. If others ended before it, their ends are reported.
    #[inline]
    pub fn is_alone(&self) -> bool {
        match &self.0 {
            Some(Occupied::Embedded(socket, half)) => {
                // SAFETY: the permit has the place, and therefore the half keeps the socket or has left its reference.
                unsafe { socket.as_ref() }.places.had_one_at_a_time(*half)
            }
            _ => false,
        }
    }

    /// No place, for mail that no operation sends.
    pub fn none() -> Permit {
        Permit(None)
    }

    /// As its drop, for the caller of a callback.
    #[inline]
    pub fn end(self) {
        drop(ManuallyDrop::new(self).give_back());
    }

    /// Gives the place back now. If the half has ended, the caller gets its reference to the socket, and drops it without a
    /// lock, because it may be the last.
    #[inline]
    pub fn give_back(&mut self) -> Option<Arc<Socket>> {
        match self.0.take()? {
            Occupied::Counted(count) => {
                count.fetch_sub(1, Ordering::Relaxed);
                None
            }
            Occupied::Embedded(socket, half) => {
                // SAFETY: as above, up to this call.
                let is_last = unsafe { socket.as_ref() }.places.give_back(half);
                // SAFETY: the half has ended, and left the reference that it had by an `Arc` to this permit.
                is_last.then(|| unsafe { Arc::from_raw(socket.as_ptr()) })
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn permits_are_bounded_and_come_back() {
        let count = Arc::new(AtomicUsize::new(0));
        let first = Permit::counted(&count, 1).unwrap();
        assert_eq!(Permit::counted(&count, 1).err(), Some(Error::LIMIT));
        drop(first);
        assert!(Permit::counted(&count, 1).is_ok());
    }
}
