//! Permits: the places among the operations in flight.
//!
//! A net counts its places. Each half of a connection has one more place of its own. Invariant: a place has at most one
//! [`Permit`], and is free again when the permit drops.

use crate::error::{Error, Result};
use crate::socket::{Half, Socket};
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A place among the operations in flight. Its drop gives the place back.
pub struct Permit(Option<Occupied>);

enum Occupied {
    /// One of the net's counted places.
    Counted(Arc<AtomicUsize>),
    /// The one place that each direction of a connection has of its own.
    Embedded(Arc<Socket>, Half),
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

    /// The place that one direction of `socket` has of its own. `None`: it is occupied.
    pub fn embedded(socket: &Arc<Socket>, half: Half) -> Option<Permit> {
        let occupied = || Permit(Some(Occupied::Embedded(Arc::clone(socket), half)));
        socket.places.take(half).then(occupied)
    }

    /// Whether the operation is the only one of its direction that has not reported its end. One that ends on a loop's own
    /// thread can ask this. If others ended before it, their ends are reported.
    #[inline]
    pub fn is_alone(&self) -> bool {
        matches!(&self.0, Some(Occupied::Embedded(socket, half)) if socket.places.had_one_at_a_time(*half))
    }

    /// No place, for mail that no operation sends.
    pub fn none() -> Permit {
        Permit(None)
    }

    /// Gives the place back now. The caller gets the permit's reference to the socket, and drops it without a lock, because
    /// it may be the last.
    pub fn give_back(&mut self) -> Option<Arc<Socket>> {
        match self.0.take()? {
            Occupied::Counted(count) => {
                count.fetch_sub(1, Ordering::Relaxed);
                None
            }
            Occupied::Embedded(socket, half) => {
                socket.places.give_back(half);
                Some(socket)
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
