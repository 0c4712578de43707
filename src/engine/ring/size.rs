//! How large the two rings of a net are if locked memory is short, and how long the library waits for memory.
//!
//! The kernel counts rings against RLIMIT_MEMLOCK, for each user (before 5.12, and from 6.14 on). It gives the memory of a
//! closed ring back late: after 6 to 80 ms, or some hundred if its workers get no processor. Invariant: two rings of the
//! size that is tried first are within the limit. Therefore the first ring never takes what the second one needs.

use crate::engine::availability::locked_memory_limit;
use crate::fork::page_size;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// The ring holds so many completions for each entry.
pub const COMPLETIONS: u32 = 8;

/// The smallest rings: one page of entries and one of completions.
const SMALLEST: u32 = 16;

/// How long to wait for memory if a net can do without it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long to wait for memory if a net cannot do without it.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Entries of both rings of a net.
#[derive(Clone, Copy, Debug)]
pub struct RingSize {
    entries: u32,
    /// How long to wait for memory for a ring of the smallest size.
    last_patience: Duration,
}

impl RingSize {
    /// So many entries, or as many as the limit can hold.
    pub fn new(entries: u32) -> RingSize {
        RingSize::exactly(largest(entries, locked_memory_limit(), page()))
    }

    fn exactly(entries: u32) -> RingSize {
        RingSize { entries, last_patience: LAST_PATIENCE }
    }

    /// The same for a net that can do without rings: it waits less.
    pub fn with_fallback(self) -> RingSize {
        RingSize { last_patience: PATIENCE, ..self }
    }

    /// Makes a ring of this size, or of the smallest size if others hold the memory.
    pub fn make<T>(self, mut make: impl FnMut(u32) -> io::Result<T>) -> io::Result<T> {
        let patience = if self.entries > SMALLEST { PATIENCE } else { self.last_patience };
        match wait_for(patience, || make(self.entries)) {
            Err(error) if is_shortage(&error) && self.entries > SMALLEST => {
                wait_for(self.last_patience, || make(SMALLEST))
            }
            result => result,
        }
    }
}

/// Makes something that takes locked memory, and that a net can do without.
pub fn patiently<T>(make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    wait_for(PATIENCE, make)
}

/// Tries again for a while if memory is short, because the kernel may not have given it back yet. Exception: if the limit
/// can never hold a net, it tries once.
fn wait_for<T>(patience: Duration, mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + patience;
    loop {
        match make() {
            Err(error) if is_shortage(&error) && may_help(end) => thread::sleep(PAUSE),
            result => return result,
        }
    }
}

fn may_help(end: Instant) -> bool {
    Instant::now() < end && fits(SMALLEST, locked_memory_limit(), page())
}

fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

fn page() -> u64 {
    page_size() as u64
}

fn largest(entries: u32, limit: Option<u64>, page: u64) -> u32 {
    let mut largest = entries;
    while largest > SMALLEST && !fits(largest, limit, page) {
        largest = (largest / 2).max(SMALLEST);
    }
    largest
}

/// Whether the limit can hold a net: two rings, and a page for the pool's ring.
fn fits(entries: u32, limit: Option<u64>, page: u64) -> bool {
    limit.is_none_or(|limit| 2 * ring_bytes(entries, page) + page <= limit)
}

/// What the kernel counts for one ring, in whole pages.
fn ring_bytes(entries: u32, page: u64) -> u64 {
    const ENTRY: u64 = 64;
    const COMPLETION: u64 = 16;
    const INDEX: u64 = 4; // of the submission array, which newer rings do without
    const HEADS: u64 = 128; // heads, tails and flags
    let count = u64::from(entries).next_power_of_two();
    let completions = HEADS + count * (u64::from(COMPLETIONS) * COMPLETION + INDEX);
    (count * ENTRY).next_multiple_of(page) + completions.next_multiple_of(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const PAGE: u64 = 4 * KIB;

    #[test]
    fn rings_take_what_the_kernel_was_seen_to_count() {
        for (entries, kib) in [(8, 8), (16, 8), (64, 16), (256, 52), (300, 100), (1024, 200), (2048, 396)] {
            assert_eq!(ring_bytes(entries, PAGE), kib * KIB, "{entries}");
        }
    }

    #[test]
    fn two_rings_are_within_the_limit_or_the_smallest() {
        let of = |entries, kib| largest(entries, Some(kib * KIB), PAGE);
        assert_eq!(of(1024, 404), 1024);
        assert_eq!(of(1024, 403), 512);
        assert_eq!(of(1024, 64), 128);
        assert_eq!(of(256, 108), 256);
        assert_eq!(of(256, 107), 128);
        assert_eq!(of(256, 0), SMALLEST);
        assert_eq!(of(20, 0), SMALLEST);
        assert_eq!(of(8, 0), 8);
        assert_eq!(largest(32_768, None, PAGE), 32_768);
        for kib in (20..8192).step_by(4) {
            assert!(fits(of(32_768, kib), Some(kib * KIB), PAGE), "{kib}");
        }
    }

    fn failing(errno: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn only_a_shortage_of_memory_is_tried_again() {
        let mut tries = 0;
        let refused = RingSize::exactly(64).make(|_| {
            tries += 1;
            failing(libc::EPERM)
        });
        assert_eq!((tries, refused.unwrap_err().raw_os_error()), (1, Some(libc::EPERM)));
        let mut late = 3;
        let made = patiently(|| {
            late -= 1;
            if late > 0 { failing(libc::ENOMEM) } else { Ok(()) }
        });
        assert!(made.is_ok());
    }

    #[test]
    fn a_ring_that_others_leave_no_room_for_is_one_of_the_smallest() {
        let made = RingSize::exactly(64)
            .make(|entries| if entries > SMALLEST { failing(libc::ENOMEM).map(|()| 0) } else { Ok(entries) });
        assert_eq!(made.unwrap(), SMALLEST);
        let began = Instant::now();
        assert!(RingSize::exactly(64).make(|_| failing(libc::ENOMEM)).is_err());
        assert!(began.elapsed() >= LAST_PATIENCE);
        assert_eq!(RingSize::exactly(64).with_fallback().last_patience, PATIENCE);
    }
}
