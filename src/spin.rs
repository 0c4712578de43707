//! Whether a loop should look for work for a while before it sleeps: learned by trying both.
//!
//! To sleep and to be woken takes time, of the sleeper and of whoever wakes it, and a peer that waits for its answer sends
//! the next request the later for it. How much that is depends on the machine, the peers and the load, so it is measured:
//! how long waits are that begin with a spin, and how long those that do not. Invariant: but for [`TRIAL`] waits of each
//! [`PERIOD`], waits begin with a spin only if that made them shorter, when both were last tried, by more than twice what it
//! took.

use std::time::Duration;

/// The waits from the beginning of one trial to that of the next.
const PERIOD: u16 = 512;

/// The waits of a trial, which go the other way. They follow each other, since a peer that is answered sooner is more
/// often still awake for the next answer too.
const TRIAL: u16 = 8;

/// Waits that are longer count as this: nobody waits for the one who waits.
const LONG: Duration = Duration::from_micros(200);

/// What one loop has learned.
#[derive(Debug)]
pub struct Spin {
    /// Nanoseconds that waits take which begin with a sleep: a mean in which the last eight weigh most, as in all three.
    mean_asleep: i32,
    /// Those that begin with a spin take, with the sleep after it, if any.
    mean_spun: i32,
    /// The spin itself takes.
    mean_spin: i32,
    /// Since the last trial began.
    waits: u16,
    spins: bool,
}

impl Default for Spin {
    /// A loop that has yet to learn: a trial's length with a spin, as much without, and then as it has shown to be better.
    fn default() -> Spin {
        Spin { mean_asleep: 0, mean_spun: 0, mean_spin: 0, waits: PERIOD - TRIAL, spins: true }
    }
}

impl Spin {
    /// True: the next wait begins with a sleep, and nothing is to be learned from it, so it needs neither a clock nor
    /// [`Spin::begin`]. It is counted here, also if there turns out to be work, and so no wait.
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

    /// A wait took `total`, and `spin` of that was a spin, if it began with one.
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

    /// Waits `waits` times, as long as `asleep` says of waits that begin with a sleep, and `(spin, total)` of others, in
    /// microseconds. How many began with a spin.
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
