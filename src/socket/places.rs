//! The places among the operations in flight that a connection has of its own: one for each direction.
//!
//! `permits` takes them and gives them back. Invariant: a place has at most one owner.

use super::Half;
use crate::sync::atomic::{AtomicU8, Ordering};

/// The two places.
pub struct OwnPlaces([AtomicU8; 2]);

/// An operation has the place.
const TAKEN: u8 = 1;
/// The direction has had, or may have had, two operations in flight.
const SEVERAL: u8 = 2;

impl OwnPlaces {
    pub fn new() -> OwnPlaces {
        OwnPlaces([AtomicU8::new(0), AtomicU8::new(0)])
    }

    /// Takes the direction's place. False: another operation has it.
    #[inline]
    pub fn take(&self, half: Half) -> bool {
        let place = &self.0[half as usize];
        let before = place.load(Ordering::Relaxed);
        let taken = before & TAKEN == 0
            && place.compare_exchange(before, before | TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !taken {
            self.note_several(half);
        }
        taken
    }

    /// Gives the direction's place back.
    #[inline]
    pub fn give_back(&self, half: Half) {
        self.0[half as usize].fetch_and(!TAKEN, Ordering::Release);
    }

    /// The direction has, or may have, a further operation in flight, with another place.
    pub fn note_several(&self, half: Half) {
        self.0[half as usize].fetch_or(SEVERAL, Ordering::Relaxed);
    }

    /// Whether the direction has never had two operations in flight. Operations of one direction complete in order. Therefore
    /// the one that completes last sees what the others have noted.
    #[inline]
    pub fn had_one_at_a_time(&self, half: Half) -> bool {
        self.0[half as usize].load(Ordering::Relaxed) & SEVERAL == 0
    }
}
