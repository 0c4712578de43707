//! The deadlines of one loop, earliest first.
//!
//! One event loop owns a [`Timers`], and only its thread uses it. Invariant: an owner is listed there at most once for each
//! of its [`Timer`]s, and a disarmed timer keeps nothing alive.

use std::collections::BTreeMap;
use std::time::Instant;

/// An owner's record of its one entry in a [`Timers`]. It is boxed, because most handles never arm theirs.
#[derive(Default)]
pub struct Timer(Option<Box<(Instant, u64)>>);

/// Owners and the moments of their calls, earliest first.
pub struct Timers<T> {
    entries: BTreeMap<(Instant, u64), T>,
    sequence: u64,
}

impl<T> Timers<T> {
    /// An empty list.
    pub fn new() -> Self {
        Timers { entries: BTreeMap::new(), sequence: 0 }
    }

    /// Lists `owner` for a call at `when` or earlier.
    ///
    /// A timer that is armed for an earlier moment stays as it is. Most deadlines never pass, so moving one later with each
    /// operation would be wasted work. The owner looks at the clock at its call, and arms again.
    pub fn arm(&mut self, timer: &mut Timer, when: Instant, owner: impl FnOnce() -> T) {
        if timer.covers(when) {
            return;
        }
        let earlier = timer.0.as_deref().and_then(|key| self.entries.remove(key));
        self.sequence += 1;
        let key = (when, self.sequence);
        self.entries.insert(key, earlier.unwrap_or_else(owner));
        timer.0 = Some(Box::new(key));
    }

    /// Forgets the timer's entry, if there is one.
    pub fn disarm(&mut self, timer: &mut Timer) {
        if let Some(key) = timer.0.take() {
            self.entries.remove(&*key);
        }
    }

    /// The earliest moment that an owner waits for.
    pub fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((when, _), _)| *when)
    }

    /// A mark of this moment in the order of arming, for [`Timers::pop_due`].
    pub fn mark(&self) -> u64 {
        self.sequence
    }

    /// The next owner whose moment has come, of those armed before `mark`. An owner that arms again at once waits for the
    /// next round. Its timer still names the entry: the owner calls [`Timer::fired`] before it arms again.
    pub fn pop_due(&mut self, now: Instant, mark: u64) -> Option<T> {
        let entry = self.entries.first_entry()?;
        let (when, sequence) = *entry.key();
        (when <= now && sequence <= mark).then(|| entry.remove())
    }
}

impl Timer {
    /// A timer that is in no list.
    pub const DISARMED: Timer = Timer(None);

    /// Whether the owner's call comes at `when` or earlier.
    pub fn covers(&self, when: Instant) -> bool {
        self.0.as_deref().is_some_and(|(armed, _)| *armed <= when)
    }

    /// The owner has got its call, and is no longer listed.
    pub fn fired(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn earliest_first_and_each_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        let (mut a, mut b, mut c) = (Timer::default(), Timer::default(), Timer::default());
        timers.arm(&mut a, at(30), || 'a');
        timers.arm(&mut b, at(10), || 'b');
        timers.arm(&mut c, at(20), || 'c');
        timers.arm(&mut b, at(40), || 'b'); // later: stays
        timers.arm(&mut a, at(5), || 'a'); // earlier: moves
        timers.disarm(&mut c);
        let mark = timers.mark();
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop_due(at(4), mark), None);
        assert_eq!(timers.pop_due(at(50), mark), Some('a'));
        assert_eq!(timers.pop_due(at(50), mark), Some('b'));
        assert_eq!(timers.pop_due(at(50), mark), None);
        b.fired();
        timers.arm(&mut b, at(60), || 'b');
        assert_eq!(timers.next(), Some(at(60)));
        assert_eq!(timers.pop_due(at(70), mark), None, "armed after the mark");
    }
}
