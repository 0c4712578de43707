#![allow(unsafe_code)] // a call without memory
//! Whether a system call for each send is dear here, and in which rounds.
//!
//! A callback's send may be a send(2), or an entry that reaches the kernel together with others. The entry saves the way into
//! the kernel and back. That way costs some 90 ns on one processor and 300 on another, depending on the mitigations of its
//! faults, and more behind a seccomp filter. Invariant: a process measures it at most once.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// From here on entries pay in a round with many sends. An entry costs the kernel some 40 ns of its own.
const WORTH_IT: Duration = Duration::from_nanos(75);
/// The sends of such a round. The enter that decides them costs as much as a call and 150 ns.
const MANY: usize = 8;
/// From here on a few sends are enough.
const DEAR: Duration = Duration::from_nanos(150);
const FEW: usize = 3;

/// The calls of one measurement, and how many measurements there are. The shortest one counts, because the others were
/// disturbed.
const CALLS: u32 = 8;
const MEASUREMENTS: u32 = 32;

/// From how many sends on a round's sends should leave together, as entries. `None`: never. IOURINGNET_SENDS decides:
/// "entries", "calls", or by the cost of a call.
pub fn least_for_entries() -> Option<usize> {
    match std::env::var("IOURINGNET_SENDS").as_deref() {
        Ok("entries") => Some(0),
        Ok("calls") => None,
        _ => least_at(cost()),
    }
}

fn least_at(cost: Duration) -> Option<usize> {
    match cost {
        cost if cost >= DEAR => Some(FEW),
        cost if cost >= WORTH_IT => Some(MANY),
        _ => None,
    }
}

/// How long a send(2) takes that does nothing.
fn cost() -> Duration {
    static COST: OnceLock<Duration> = OnceLock::new();
    *COST.get_or_init(|| {
        let end = Instant::now() + Duration::from_millis(1); // under a tracer one measurement may take that long
        let mut least = Duration::MAX;
        for _ in 0..MEASUREMENTS {
            let begin = Instant::now();
            (0..CALLS).for_each(|_| call());
            least = least.min(begin.elapsed() / CALLS);
            if begin > end {
                break;
            }
        }
        least
    })
}

/// A filter that looks at the arguments of send(2) counts too. No file has the descriptor -1.
fn call() {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: the kernel looks for the file first, and reads no memory.
    unsafe { libc::syscall(libc::SYS_sendto, -1, nothing, 0usize, 0, nothing, 0usize) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearer_a_call_the_fewer_sends_leave_together() {
        let least = [40, 74, 75, 149, 150, 300].map(|nanos| least_at(Duration::from_nanos(nanos)));
        assert_eq!(least, [None, None, Some(MANY), Some(MANY), Some(FEW), Some(FEW)]);
    }

    #[test]
    fn a_call_takes_time_and_is_measured_once() {
        let first = cost();
        assert!(first > Duration::ZERO && first < Duration::from_millis(1));
        assert_eq!(cost(), first);
    }
}
