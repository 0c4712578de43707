//! How a blocking receive waits on its caller's thread: it spins, then it sleeps until the socket has bytes.
//!
//! The caller owns the stream meanwhile. Invariant: a second receive, a close or a stop ends the wait. The receive then goes
//! on as the front of the queue, or ends with the cause.

use super::want::{Ask, Step, Taken, Want};
use super::{State, Stream};
use crate::completion::Outcome;
use crate::error::Error;
use crate::socket_waiter::{Ready, SocketWaiter, Woken};
use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much shorter a stream's next spin is than the longest one: two levels halve the time. From [`NO_SPIN`] on there is
/// no spin, and each wait lowers the level by one.
///
/// One spin in vain is no evidence: afterwards the peer sleeps too, and its next answer comes later than those before.
#[derive(Default)]
pub(super) struct SpinLevel(u8);

const NO_SPIN: u8 = 12;

/// A stream whose spins do not pay has so many waits without one. Then it tries the longest spin again.
const WAITS_WITHOUT: u8 = 128;

/// If other threads ran for so long during a spin, the spin was of no use: they would have made way for a woken thread.
const LATE: Duration = Duration::from_millis(2);

impl SpinLevel {
    /// How long the next wait spins, if it does.
    fn time(&mut self, longest: Duration) -> Option<Duration> {
        if longest.is_zero() {
            return None;
        }
        if self.0 >= NO_SPIN {
            self.0 = if self.0 == NO_SPIN { 0 } else { self.0 - 1 };
            return None;
        }
        Some(longest / (1 << (self.0 / 2)))
    }

    /// The next spin is longer after one that found bytes, half as long after two that did not, and an eighth as long after
    /// one that did harm. A time that was halved too often is no spin for a while.
    fn learn(&mut self, found: bool, harmful: bool) {
        let level = match (found, harmful) {
            (_, true) => self.0 + 6,
            (true, false) => self.0.saturating_sub(1),
            (false, false) => self.0 + 1,
        };
        self.0 = if level < NO_SPIN { level } else { NO_SPIN - 1 + WAITS_WITHOUT };
    }
}

/// Whether a blocking receive of a stream asks the kernel before it waits. If the last tries were vain, it does not, but for
/// one try now and then.
#[derive(Default)]
pub(super) struct FirstTries(u8);

/// So many vain tries in a row are enough.
const VAIN_TRIES: u8 = 4;

/// So many receives then wait first.
const RECEIVES_WITHOUT: u8 = 32;

impl FirstTries {
    /// Whether the next receive waits first.
    #[inline]
    pub fn are_vain(&mut self) -> bool {
        if self.0 < VAIN_TRIES {
            return false;
        }
        self.0 = if self.0 == VAIN_TRIES + RECEIVES_WITHOUT { VAIN_TRIES - 1 } else { self.0 + 1 };
        self.0 >= VAIN_TRIES
    }

    /// A try has found nothing, or something.
    #[inline]
    pub fn learn(&mut self, is_vain: bool) {
        self.0 = if is_vain { (self.0 + 1).min(VAIN_TRIES) } else { 0 };
    }
}

impl Stream {
    /// As the owner: spins, then sleeps.
    pub(super) fn spin_and_wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        want: Want,
        got: &mut usize,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, State>, Step) {
        if let Some(time) = state.spin_level.time(self.net.spin()) {
            let mut taken = state.take_work();
            drop(state);
            let began = Instant::now();
            let end = began + time;
            let end = deadline.map_or(end, |deadline| deadline.min(end));
            let (step, looks) = self.spin(want, got, &mut taken, end);
            let found = matches!(&step, Step::Done(outcome) if outcome.result.is_ok());
            let harmful = began.elapsed() > LATE || found && looks > 1 && want.is_bulk(*got);
            state = self.state.lock();
            state.give_back(taken);
            state.spin_level.learn(found, harmful);
            if let Step::Done(_) = step {
                return (state, step);
            }
        }
        self.wait_alone(state, want, got, deadline)
    }

    /// Asks the kernel again and again until `end`, because waking a sleeping thread costs more. Between two calls other
    /// threads may run: one of them may bring the bytes. Returns also how often it asked.
    fn spin(&self, want: Want, got: &mut usize, taken: &mut Taken, end: Instant) -> (Step, u32) {
        let mut looks = 0;
        loop {
            std::thread::yield_now();
            looks += 1;
            match self.serve_as_owner(want, got, taken, Ask::Always) {
                Step::Blocked if Instant::now() < end => {}
                step => return (step, looks),
            }
            if self.state.lock().cause.is_some() {
                return (Step::Blocked, looks);
            }
        }
    }

    /// Sleeps until the socket has bytes, and serves `want` with them. An interrupt ends the wait.
    fn wait_alone<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        want: Want,
        got: &mut usize,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, State>, Step) {
        while state.cause.is_none() && state.queue.is_empty() {
            let Some(waiter) = SocketWaiter::own() else { break };
            state.waiter = Some(Arc::clone(&waiter));
            drop(state);
            let woken = waiter.wait(&self.socket, Ready::Receive, deadline);
            state = self.state.lock();
            if state.waiter.take().is_none() {
                waiter.clear();
                break;
            }
            let step;
            (state, step) = match woken {
                Woken::Interrupted => break,
                Woken::Ready => self.serve_unlocked(state, want, got, || Ask::Always),
                Woken::Late => self.serve_late(state, want, got),
            };
            if let Step::Done(_) = step {
                if state.drained {
                    SocketWaiter::note_drained(&self.socket);
                }
                return (state, step);
            }
        }
        (state, Step::Blocked)
    }

    /// The deadline has passed. If the process was stopped, bytes that came in time may wait in the socket.
    fn serve_late<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        want: Want,
        got: &mut usize,
    ) -> (MutexGuard<'a, State>, Step) {
        match self.serve_unlocked(state, want, got, || Ask::held_by(&self.socket)) {
            (state, Step::Blocked) => {
                (state, Step::Done(Outcome { result: Err(Error::TIMEOUT), bytes: *got }))
            }
            done => done,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Lent;
    use crate::stream::fixture::open;
    use std::io::Write;
    use std::net::Shutdown;

    #[test]
    fn vain_tries_are_left_out_but_for_one_now_and_then() {
        let mut tries = FirstTries::default();
        let mut asks = |is_vain| {
            let asks = !tries.are_vain();
            if asks {
                tries.learn(is_vain);
            }
            asks
        };
        assert!((0..VAIN_TRIES).all(|_| asks(true)));
        assert!((0..RECEIVES_WITHOUT).all(|_| !asks(true)));
        assert!(asks(true), "one now and then");
        assert!((0..RECEIVES_WITHOUT).all(|_| !asks(true)));
        assert!((0..VAIN_TRIES).all(|_| asks(false)), "bytes were there");
    }

    #[test]
    fn a_call_that_wakes_after_its_deadline_gets_what_came_in_time() {
        let Some((net, stream, mut peer)) = open(Config::default()) else { return };
        let mut memory = [0; 7];
        let want = Want::Exactly(Lent { start: memory.as_mut_ptr(), size: memory.len() });
        let wait = || {
            let (mut state, mut got) = (stream.state.lock(), 0);
            assert!(state.front.claim());
            let (state, step) = stream.wait_alone(state, want, &mut got, Some(net.started()));
            stream.release(state);
            match step {
                Step::Done(outcome) => (outcome.result, outcome.bytes),
                Step::Blocked => panic!("nobody interrupted it"),
            }
        };
        assert_eq!(wait(), (Err(Error::TIMEOUT), 0));
        peer.write_all(b"in time").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let waiter = SocketWaiter::own().unwrap();
        assert_eq!(waiter.wait(&stream.socket, Ready::Receive, None), Woken::Ready);
        assert_eq!(wait(), (Ok(()), 7));
        assert_eq!(&memory, b"in time");
        assert_eq!(wait(), (Err(Error::EOF), 0));
        stream.close();
        drop(peer);
        net.stop().unwrap();
    }
}
