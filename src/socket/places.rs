//! The places among the operations in flight that a connection has of its own: one for each direction.
//!
//! `permits` takes them and gives them back. Invariant: a place has at most one owner. If the half of the direction ends
//! meanwhile, exactly one of the two, the half and the owner, learns that it is the last.

use super::Half;
use crate::sync::atomic::{AtomicU8, Ordering};

/// The two places.
pub struct OwnPlaces([AtomicU8; 2]);

/// An operation has the place.
const TAKEN: u8 = 1;
/// The direction has had, or may have had, two operations in flight.
const SEVERAL: u8 = 2;
/// The half has ended, and takes the place no more.
const ENDED: u8 = 4;

impl OwnPlaces {
    pub fn new() -> OwnPlaces {
        OwnPlaces([AtomicU8::new(0), AtomicU8::new(0)])
    }

    /// As the half: takes the direction's place. False: another operation has it.
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

    /// As the owner of the direction's place: gives it back. True: the half has ended before.
    #[inline]
    pub fn give_back(&self, half: Half) -> bool {
        self.0[half as usize].fetch_sub(TAKEN, Ordering::AcqRel) & ENDED != 0
    }

    /// The direction's half ends. True: an operation has the place.
    pub fn end(&self, half: Half) -> bool {
        self.0[half as usize].fetch_add(ENDED, Ordering::AcqRel) & TAKEN != 0
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

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// The half and the owner of its place end at once. One of them is the last, and has the memory to itself.
    #[test]
    fn one_of_both_is_the_last() {
        loom::model(|| {
            let both = Arc::new((OwnPlaces::new(), UnsafeCell::new(0)));
            assert!(both.0.take(Half::Send));
            let owner = {
                let both = Arc::clone(&both);
                thread::spawn(move || {
                    both.1.with(|_| ());
                    let is_last = both.0.give_back(Half::Send);
                    if is_last {
                        both.1.with_mut(|_| ());
                    }
                    is_last
                })
            };
            both.1.with(|_| ());
            let is_last = !both.0.end(Half::Send);
            if is_last {
                both.1.with_mut(|_| ());
            }
            assert_ne!(owner.join().unwrap(), is_last);
        });
    }
}
