//! What a timeout means for one operation, and for the drain of a closed connection.
//!
//! The library makes a [`Limit`] when it accepts an operation, and sets a [`DrainEnd`] when a drain begins. Invariant: a
//! time beyond the range of the clock is no limit.

use crate::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How long one operation may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// When it must be over, if ever.
    pub deadline: Option<Instant>,
    /// The operation gives up at once if the socket is not ready.
    pub one_try: bool,
}

impl Limit {
    /// The limit of an operation that is accepted now. A `timeout` of zero means one try. `None`, or a time beyond the range
    /// of the clock, means no limit.
    pub fn from_now(timeout: Option<Duration>) -> Limit {
        let one_try = timeout == Some(Duration::ZERO);
        let deadline = timeout.filter(|_| !one_try).and_then(|timeout| Instant::now().checked_add(timeout));
        Limit { deadline, one_try }
    }

    /// Whether the deadline has come.
    pub fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// How long a connection may go without a byte in either direction. `idle` has the one implementation.
pub trait IdleLimit: Send + Sync {
    /// The limit is `limit` from now on. `None`: there is none.
    fn set(self: Arc<Self>, limit: Option<Duration>);
    /// Both halves are closed.
    fn end(self: Arc<Self>);
}

/// How long the whole drain of a closed connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainTimeout {
    /// [`DRAIN_FLOOR`], and a second for each [`DRAIN_RATE`] bytes that were left when the drain began.
    ByBytes,
    /// So long, whatever is left.
    After(Duration),
    /// No limit.
    Never,
}

/// Twice the default time without progress. Therefore this limit is not the first to cut a peer that pauses once.
const DRAIN_FLOOR: Duration = Duration::from_secs(60);
/// Bytes in a second. Every link in use is faster, so the limit cuts only a peer that holds back.
const DRAIN_RATE: u64 = 1024;

impl DrainTimeout {
    /// When a drain that begins at `now` with so many bytes left must be over. `None`: never, or beyond the range of the
    /// clock.
    pub fn deadline(self, now: Instant, bytes: usize) -> Option<Instant> {
        match self {
            DrainTimeout::ByBytes => {
                now.checked_add(DRAIN_FLOOR + Duration::from_secs(bytes as u64 / DRAIN_RATE))
            }
            DrainTimeout::After(time) => now.checked_add(time),
            DrainTimeout::Never => None,
        }
    }
}

/// When a drain must be over. The half that sends sets it for the linger. It takes eight bytes, because each connection has
/// one.
pub struct DrainEnd(AtomicU64);

/// A [`DrainEnd`] counts nanoseconds from this moment. Every drain ends after it.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
const NOT_BEGUN: u64 = 0;
const NEVER: u64 = u64::MAX;

impl DrainEnd {
    /// For a drain that has not begun.
    pub fn new() -> DrainEnd {
        DrainEnd(AtomicU64::new(NOT_BEGUN))
    }

    /// The drain has begun, and must be over at `until`, if ever.
    pub fn begin(&self, until: Option<Instant>) {
        let since = |until: Instant| until.saturating_duration_since(*EPOCH).as_nanos();
        let end = until.map_or(NEVER, |until| u64::try_from(since(until)).unwrap_or(NEVER).max(1));
        self.0.store(end, Ordering::Release); // pairs with `get`
    }

    /// When the drain must be over, if it has begun.
    pub fn get(&self) -> Option<Option<Instant>> {
        match self.0.load(Ordering::Acquire) {
            NOT_BEGUN => None,
            NEVER => Some(None),
            end => Some(EPOCH.checked_add(Duration::from_nanos(end))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_deadline_one_try_or_no_limit() {
        let before = Instant::now();
        let limit = Limit::from_now(Some(Duration::from_secs(60)));
        let deadline = limit.deadline.unwrap();
        assert!(!limit.one_try && deadline >= before + Duration::from_secs(60));
        assert!(!limit.is_late(before) && limit.is_late(deadline));
        let one_try = Limit::from_now(Some(Duration::ZERO));
        assert!(one_try.one_try && one_try.deadline.is_none());
        for endless in [None, Some(Duration::MAX)] {
            let limit = Limit::from_now(endless);
            assert!(!limit.one_try && limit.deadline.is_none() && !limit.is_late(deadline));
        }
    }

    #[test]
    fn a_drain_has_a_minute_and_a_second_for_each_kib() {
        let now = Instant::now();
        let seconds = |timeout: DrainTimeout, bytes| Some((timeout.deadline(now, bytes)? - now).as_secs());
        for (bytes, expected) in
            [(0, 60), (1023, 60), (1024, 61), (1 << 20, 60 + 1024), (64 << 20, 60 + 65536)]
        {
            assert_eq!(seconds(DrainTimeout::ByBytes, bytes), Some(expected));
            assert_eq!(seconds(DrainTimeout::After(Duration::from_secs(7)), bytes), Some(7));
            assert_eq!(seconds(DrainTimeout::Never, bytes), None);
        }
        assert_eq!(DrainTimeout::After(Duration::MAX).deadline(now, 0), None);
    }
}
