//! What a timeout means for one operation, and the deadlines of one loop, earliest first.
//!
//! A [`Limit`] is made where an operation is accepted. A [`Deadlines`] is owned by one event loop and used on its
//! thread alone. Invariant: an owner is listed there at most once for each of its [`Timer`]s, and a disarmed timer
//! keeps nothing alive.

use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long one operation may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// When it must be over, if ever.
    pub deadline: Option<Instant>,
    /// It gives up at once where the socket is not ready.
    pub one_try: bool,
}

impl Limit {
    /// The limit of what is accepted now. A `timeout` of zero means one try; none, or one beyond what the clock can
    /// tell, means no limit.
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

/// How long the whole drain of a closed connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainTimeout {
    /// [`DRAIN_FLOOR`], and a second for each [`DRAIN_RATE`] bytes that were left when it began.
    ByBytes,
    /// So long, whatever is left.
    After(Duration),
    /// No limit.
    Never,
}

/// Twice the default time without progress, so that a peer that pauses once is not cut by this limit first.
const DRAIN_FLOOR: Duration = Duration::from_secs(60);
/// Bytes in a second. Slower than any link in use: only a peer that holds back is cut.
const DRAIN_RATE: u64 = 1024;

impl DrainTimeout {
    /// When a drain must be over that begins at `now` with so many bytes left; `None`: never, or beyond what the clock can
    /// tell.
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

/// When a drain must be over, told by the half that sends to the linger. In eight bytes, since each connection has one.
pub struct DrainEnd(AtomicU64);

/// What a [`DrainEnd`] counts nanoseconds from; a drain ends after it.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
const NOT_BEGUN: u64 = 0;
const NEVER: u64 = u64::MAX;

impl DrainEnd {
    /// Of a drain that has not begun.
    pub fn new() -> DrainEnd {
        DrainEnd(AtomicU64::new(NOT_BEGUN))
    }

    /// It has begun, and must be over at `until`, if ever.
    pub fn begin(&self, until: Option<Instant>) {
        let since = |until: Instant| until.saturating_duration_since(*EPOCH).as_nanos();
        let end = until.map_or(NEVER, |until| u64::try_from(since(until)).unwrap_or(NEVER).max(1));
        self.0.store(end, Ordering::Release); // pairs with `get`
    }

    /// When it must be over, if it has begun.
    pub fn get(&self) -> Option<Option<Instant>> {
        match self.0.load(Ordering::Acquire) {
            NOT_BEGUN => None,
            NEVER => Some(None),
            end => Some(EPOCH.checked_add(Duration::from_nanos(end))),
        }
    }
}

/// The place where an owner keeps track of its one entry in a [`Deadlines`].
#[derive(Default)]
pub struct Timer(Option<(Instant, u64)>);

/// Who is to be told when; earliest first.
pub struct Deadlines<T> {
    entries: BTreeMap<(Instant, u64), T>,
    sequence: u64,
}

impl<T> Deadlines<T> {
    /// An empty list.
    pub fn new() -> Self {
        Deadlines { entries: BTreeMap::new(), sequence: 0 }
    }

    /// Sees to it that `owner` is told at `when` or earlier.
    ///
    /// A timer that is armed for an earlier moment stays as it is: most deadlines never pass, so moving one later
    /// with each operation would be work for nothing. The owner looks at the clock when it is told, and arms again.
    pub fn arm(&mut self, timer: &mut Timer, when: Instant, owner: impl FnOnce() -> T) {
        let owner = match timer.0 {
            Some((armed, _)) if armed <= when => return,
            Some(key) => self.entries.remove(&key).unwrap_or_else(owner),
            None => owner(),
        };
        self.sequence += 1;
        let key = (when, self.sequence);
        self.entries.insert(key, owner);
        timer.0 = Some(key);
    }

    /// Forgets the timer's entry; harmless when there is none.
    pub fn disarm(&mut self, timer: &mut Timer) {
        if let Some(key) = timer.0.take() {
            self.entries.remove(&key);
        }
    }

    /// The earliest moment anybody waits for.
    pub fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((when, _), _)| *when)
    }

    /// A mark of this moment in the order of arming, for [`Deadlines::pop_due`].
    pub fn mark(&self) -> u64 {
        self.sequence
    }

    /// The next owner whose moment has come, of those armed before `mark`: one that arms again at once waits for the
    /// next round. Its timer still names the entry: the owner calls [`Timer::fired`] before it arms again.
    pub fn pop_due(&mut self, now: Instant, mark: u64) -> Option<T> {
        let entry = self.entries.first_entry()?;
        let (when, sequence) = *entry.key();
        (when <= now && sequence <= mark).then(|| entry.remove())
    }
}

impl Timer {
    /// The owner was told; nothing is listed any more.
    pub fn fired(&mut self) {
        self.0 = None;
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

    #[test]
    fn earliest_first_and_each_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new();
        let (mut a, mut b, mut c) = (Timer::default(), Timer::default(), Timer::default());
        deadlines.arm(&mut a, at(30), || 'a');
        deadlines.arm(&mut b, at(10), || 'b');
        deadlines.arm(&mut c, at(20), || 'c');
        deadlines.arm(&mut b, at(40), || 'b'); // later: stays
        deadlines.arm(&mut a, at(5), || 'a'); // earlier: moves
        deadlines.disarm(&mut c);
        let mark = deadlines.mark();
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4), mark), None);
        assert_eq!(deadlines.pop_due(at(50), mark), Some('a'));
        assert_eq!(deadlines.pop_due(at(50), mark), Some('b'));
        assert_eq!(deadlines.pop_due(at(50), mark), None);
        b.fired();
        deadlines.arm(&mut b, at(60), || 'b');
        assert_eq!(deadlines.next(), Some(at(60)));
        assert_eq!(deadlines.pop_due(at(70), mark), None, "armed after the mark");
    }
}
