//! Whether a loop looks for work for a while before it sleeps. It learns that by trying both.
//!
//! A sleep and a wake-up take time, of the loop and of the thread that wakes it up. A peer that waits for its answer then
//! sends its next request later. How much later depends on the machine, the peers and the load. Therefore the loop measures
//! the waits that begin with a spin, and the waits that do not. Invariant: except for [`TRIAL`] waits of each [`PERIOD`],
//! waits begin with a spin only if it paid when both were last tried. It pays if it makes waits shorter by more than twice
//! what the spin takes.

use std::time::Duration;

/// The number of waits from the beginning of one trial to the beginning of the next.
const PERIOD: u16 = 512;

/// The number of waits of a trial, which go the other way. They follow each other, because a peer that is answered sooner is
/// more often still awake for the next answer.
const TRIAL: u16 = 8;

/// A longer wait counts as this, because no peer waits for the loop then.
const LONG: Duration = Duration::from_micros(200);

/// What one loop has learned.
#[derive(Debug)]
pub struct Spin {
    /// The mean of waits that begin with a sleep, in nanoseconds. In all three means the last eight weigh most.
    mean_asleep: i32,
    /// The mean of waits that begin with a spin, with the sleep after it, if any.
    mean_spun: i32,
    /// The mean of the spins alone.
    mean_spin: i32,
    /// The waits since the last trial began.
    waits: u16,
    spins: bool,
}

impl Default for Spin {
    /// A loop that has yet to learn. It spins for a trial's length, sleeps for as many waits, and then does what was better.
    fn default() -> Spin {
        Spin { mean_asleep: 0, mean_spun: 0, mean_spin: 0, waits: PERIOD - TRIAL, spins: true }
    }
}

impl Spin {
    /// True: the next wait begins with a sleep, and teaches nothing. Therefore it needs neither a clock nor [`Spin::begin`].
    /// This call counts it, even if the loop then finds work and does not wait.
    pub fn skips(&mut self) -> bool {
        let skips = !self.spins && self.waits > TRIAL && self.waits < PERIOD - TRIAL;
        self.waits += u16::from(skips);
        skips
    }

    /// Counts any other wait. True: it should begin with a spin.
    pub fn begin(&mut self) -> bool {
        match self.waits {
            PERIOD => {
                self.waits = 0;
                self.spins = !self.spins;
            }
            TRIAL => self.spins = 2 * self.mean_spin < self.mean_asleep - self.mean_spun,
            _ => {}
        }
        self.waits += 1;
        self.spins
    }

    /// A wait took `total`. If it began with a spin, the spin took `spin` of that.
    pub fn learn(&mut self, spin: Option<Duration>, total: Duration) {
        match spin {
            None => Spin::add(&mut self.mean_asleep, total),
            Some(spin) => {
                Spin::add(&mut self.mean_spun, total);
                Spin::add(&mut self.mean_spin, spin);
            }
        }
    }

    fn add(mean: &mut i32, time: Duration) {
        let nanoseconds = time.min(LONG).as_nanos() as i32;
        // The first one counts whole.
        *mean += if *mean == 0 { nanoseconds } else { (nanoseconds - *mean) / 8 };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Waits `waits` times. A wait takes `asleep` if it begins with a sleep, else `(spin, total)`, in microseconds. Returns
    /// how many began with a spin.
    fn wait(spin: &mut Spin, waits: u16, asleep: u64, (looking, total): (u64, u64)) -> u16 {
        let mut spun = 0;
        for _ in 0..waits {
            if spin.skips() {
                continue;
            }
            if spin.begin() {
                spun += 1;
                spin.learn(Some(Duration::from_micros(looking)), Duration::from_micros(total));
            } else {
                spin.learn(None, Duration::from_micros(asleep));
            }
        }
        spun
    }

    #[test]
    fn a_peer_that_is_answered_sooner_is_spun_for() {
        let mut spin = Spin::default();
        assert_eq!(wait(&mut spin, TRIAL, 70, (16, 16)), TRIAL, "the first waits are a trial");
        assert_eq!(wait(&mut spin, TRIAL, 70, (16, 16)), 0, "and the next ones its counterpart");
        assert_eq!(wait(&mut spin, PERIOD - TRIAL, 70, (16, 16)), PERIOD - TRIAL);
        assert_eq!(wait(&mut spin, PERIOD, 70, (16, 16)), PERIOD - TRIAL);
    }

    #[test]
    fn a_spin_in_vain_is_tried_once_in_a_while() {
        let mut spin = Spin::default();
        for (asleep, spun) in [(100, 150), (190, 240), (1_000_000, 1_000_050)] {
            wait(&mut spin, 2 * PERIOD, asleep, (50, spun));
            assert_eq!(wait(&mut spin, 4 * PERIOD, asleep, (50, spun)), 4 * TRIAL, "{asleep} us");
        }
    }

    #[test]
    fn a_wait_without_a_spin_is_measured_before_each_trial() {
        let mut spin = Spin::default();
        wait(&mut spin, 2 * PERIOD, 20, (16, 16));
        wait(&mut spin, 2 * PERIOD, 70, (16, 16));
        assert_eq!(wait(&mut spin, PERIOD, 70, (16, 16)), PERIOD - TRIAL);
    }

    #[test]
    fn a_spin_has_to_spare_twice_what_it_takes() {
        let mut spin = Spin::default();
        wait(&mut spin, 2 * PERIOD, 21, (7, 7));
        assert_eq!(wait(&mut spin, PERIOD, 21, (7, 7)), TRIAL);
        wait(&mut spin, 2 * PERIOD, 20, (6, 6));
        assert_eq!(wait(&mut spin, PERIOD, 20, (6, 6)), PERIOD - TRIAL);
    }

    #[test]
    fn what_was_learned_is_forgotten_when_it_is_no_longer_true() {
        let mut spin = Spin::default();
        wait(&mut spin, 4 * PERIOD, 70, (16, 16));
        wait(&mut spin, 2 * PERIOD, 70, (50, 120));
        assert_eq!(wait(&mut spin, PERIOD, 70, (50, 120)), TRIAL);
    }
}
