//! The fifth step of a loop: it sleeps until there is work, and may look for work for a while before.
//!
//! Invariant: a loop that sleeps in the kernel has said so in its mailbox, under the mailbox's lock. Therefore a thread that
//! puts in mail wakes the loop up.

use super::EventLoop;
use crate::engine::{Engine, Wait};
use std::io;
use std::mem;
use std::time::{Duration, Instant};

impl EventLoop {
    /// Step 5.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.publish();
        if self.has_sends() {
            self.decide_sends()?;
            if self.has_found_work() {
                return Ok(());
            }
        }
        if self.longest_spin.is_zero() || mem::take(&mut self.had_bulk) || self.spin.skips() {
            return self.sleep();
        }
        self.enter_if_needed()?;
        if self.has_found_work() {
            return Ok(());
        }
        let began = Instant::now();
        let spin = if self.spin.begin() { Some(self.look_for_work(began)?) } else { None };
        if !self.has_found_work() {
            self.publish();
            self.sleep()?;
        }
        self.spin.learn(spin, began.elapsed());
        Ok(())
    }

    /// Looks until there is work, a deadline comes, or the longest spin is over. Returns how long that took.
    fn look_for_work(&mut self, began: Instant) -> io::Result<Duration> {
        let end = began + self.longest_spin;
        let end = self.timers.next().map_or(end, |deadline| deadline.min(end));
        loop {
            for _ in 0..8 {
                std::hint::spin_loop();
            }
            self.enter_if_needed()?;
            let now = Instant::now();
            if self.has_found_work() || now >= end {
                return Ok(now - began);
            }
        }
    }

    fn enter_if_needed(&mut self) -> io::Result<()> {
        if let Some(engine) = &mut self.engine {
            if engine.has_work() {
                engine.enter(Wait::No)?;
            }
        }
        Ok(())
    }

    /// Whether there are completions or mail, or sends that are not decided.
    fn has_found_work(&mut self) -> bool {
        !self.completions.is_empty()
            || self.has_sends()
            || !self.handle.following.is_empty()
            || self.engine.as_mut().is_some_and(Engine::has_completions)
            || self.handle.mailbox.has_mail()
    }

    fn sleep(&mut self) -> io::Result<()> {
        let has_work = !self.refused.is_empty() || self.has_sends() || !self.handle.following.is_empty();
        self.slept = !has_work && self.handle.mailbox.sleep();
        let wait = if !self.slept {
            Wait::No
        } else {
            match self.timers.next() {
                None => Wait::Forever,
                Some(when) => match when.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => Wait::No,
                    time => Wait::For(time),
                },
            }
        };
        let Some(engine) = &mut self.engine else {
            self.handle.waker.wait(wait);
            return Ok(());
        };
        if wait == Wait::No && !engine.has_work() && !engine.must_look() {
            return Ok(());
        }
        engine.enter(wait)
    }
}
