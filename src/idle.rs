//! The idle limit of a connection: so long without a byte in either direction.
//!
//! `connection` sets the limit, and the receive loop looks at the connection eight times within it. A look compares the totals
//! that both halves keep anyway. Therefore a message costs nothing more, and a limit ends at most a quarter late.
//!
//! Invariant: time counts between two looks that both find work, and no byte moved between them. A look counts one step at
//! most, however late it is. Therefore a process that was stopped sees what has come meanwhile before it ends anything.

use crate::deadlines::IdleLimit;
use crate::event_loop::{EventLoop, Handler};
use crate::mailbox::Listed;
use crate::members::Member;
use crate::net::Net;
use crate::socket::{Half, Socket};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use crate::timers::Timer;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What a half does for the idle limit of its connection.
pub trait IdleHalf: Send + Sync {
    /// What it has to do.
    fn work(&self) -> Work;
    /// Interrupts a caller that waits for the socket itself. What it waits for goes to the queue.
    fn interrupt(&self);
    /// Ends what the limit bounds with TIMEOUT. `now` is when the receive loop last settled. True: there was something.
    fn end_idle(self: Arc<Self>, now: Instant) -> bool;
}

/// The sending half, as the receiving half knows it.
pub trait SendingHalf: Member + IdleHalf {
    /// The stream no longer receives, and was asked to tell that. The caller may hold the stream's lock.
    fn stream_is_quiet(self: Arc<Self>);
}

/// What a half has to do, for the idle limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing that bytes would bring on. The time begins anew.
    None,
    /// It is paused, or was since the last look. The time stands still.
    Paused,
    /// It waits for bytes, or for room for bytes.
    Waits,
}

/// The idle limit of one connection. Most connections have none.
pub struct Idle {
    listed: AtomicBool,
    net: Arc<Net>,
    socket: Weak<Socket>,
    sink: Weak<dyn SendingHalf>,
    stream: Weak<dyn IdleHalf>,
    state: Mutex<State>,
}

struct State {
    limit: Option<Duration>,
    /// The limit was set, and the time counts from now.
    is_new: bool,
    /// Both halves are closed.
    over: bool,
    /// The bytes that had moved at the last look.
    seen: u64,
    /// The last look found something that waits.
    waits: bool,
    last: Instant,
    was_late: bool,
    /// How long nothing has moved.
    quiet: Duration,
    timer: Timer,
}

/// Looks within one limit.
const LOOKS: u32 = 8;
const STEP_MIN: Duration = Duration::from_millis(1);
/// A look that comes so much later than it should is late.
const LATE: Duration = Duration::from_millis(20);

impl Idle {
    /// Without a limit.
    pub fn new(
        net: &Arc<Net>,
        socket: &Arc<Socket>,
        sink: Weak<dyn SendingHalf>,
        stream: Weak<dyn IdleHalf>,
    ) -> Arc<Idle> {
        Arc::new(Idle {
            listed: AtomicBool::new(false),
            net: Arc::clone(net),
            socket: Arc::downgrade(socket),
            sink,
            stream,
            state: Mutex::new(State {
                limit: None,
                is_new: false,
                over: false,
                seen: 0,
                waits: false,
                last: net.started(),
                was_late: false,
                quiet: Duration::ZERO,
                timer: Timer::default(),
            }),
        })
    }

    /// Looks at the connection, and at the next moment again.
    fn look(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop, now: Instant) {
        let (Some(limit), Some(socket)) = (state.limit, self.socket.upgrade()) else {
            return event_loop.disarm(&mut state.timer);
        };
        let (sink, stream) = (self.sink.upgrade(), self.stream.upgrade());
        if state.over || (sink.is_none() && stream.is_none()) {
            return event_loop.disarm(&mut state.timer);
        }
        let sends = sink.as_ref().map_or(Work::None, |sink| sink.work());
        let receives = stream.as_ref().map_or(Work::None, |stream| stream.work());
        let moved = socket.total(Half::Send).wrapping_add(socket.total(Half::Recv));
        let step = (limit / LOOKS).max(STEP_MIN);
        let work = if sends == Work::Waits { sends } else { receives };
        let is_late = state.note(work, moved, step, now);
        if state.quiet + 2 * step >= limit {
            sink.iter().for_each(|sink| sink.interrupt());
            stream.iter().for_each(|stream| stream.interrupt());
        }
        if state.quiet >= limit && !is_late {
            let settled = event_loop.settled();
            let sink = sink.is_some_and(|sink| sink.end_idle(settled));
            let stream = stream.is_some_and(|stream| stream.end_idle(settled));
            if sink || stream {
                (state.quiet, state.waits) = (Duration::ZERO, false); // what comes next has the whole time
            }
        }
        if let Some(when) = now.checked_add(step) {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
        }
    }
}

impl State {
    /// Takes in what a look has found. True: the look is late, and the next one decides.
    fn note(&mut self, work: Work, moved: u64, step: Duration, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(mem::replace(&mut self.last, now));
        let waited = mem::replace(&mut self.waits, work == Work::Waits);
        if mem::take(&mut self.is_new) || mem::replace(&mut self.seen, moved) != moved || work == Work::None {
            self.seen = moved;
            self.quiet = Duration::ZERO;
        } else if waited && work == Work::Waits {
            self.quiet += elapsed.min(step);
        }
        let is_late = elapsed > 2 * step + LATE;
        let was_late = mem::replace(&mut self.was_late, is_late);
        is_late && !was_late
    }
}

impl IdleLimit for Idle {
    fn set(self: Arc<Self>, limit: Option<Duration>) {
        let mut state = self.state.lock();
        (state.limit, state.is_new) = (limit, true);
        drop(state);
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }

    fn end(self: Arc<Self>) {
        self.state.lock().over = true;
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }
}

impl Listed for Idle {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Handler for Idle {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        event_loop.disarm(&mut state.timer);
        self.look(&mut state, event_loop, Instant::now());
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        state.timer.fired();
        self.look(&mut state, event_loop, event_loop.settled());
    }

    fn fail(self: Arc<Self>) {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn state(start: Instant) -> State {
        State {
            limit: None,
            is_new: false,
            over: false,
            seen: 0,
            waits: false,
            last: start,
            was_late: false,
            quiet: Duration::ZERO,
            timer: Timer::default(),
        }
    }

    #[test]
    fn time_counts_between_two_looks_that_find_work_and_no_byte() {
        let start = Instant::now();
        let mut state = state(start);
        let looks = [
            (Work::Waits, 0, 0), // it may have begun just now
            (Work::Waits, 0, 1),
            (Work::Waits, 5, 0), // bytes have moved
            (Work::Waits, 5, 1),
            (Work::Paused, 5, 1), // stands still
            (Work::Waits, 5, 1),
            (Work::Waits, 5, 2),
            (Work::None, 5, 0),
            (Work::Waits, 5, 0),
        ];
        for (index, (work, moved, steps)) in looks.into_iter().enumerate() {
            state.note(work, moved, STEP, start + STEP * (index as u32 + 1));
            assert_eq!(state.quiet, STEP * steps, "look {index}");
        }
    }

    #[test]
    fn a_late_look_counts_one_step_and_decides_nothing() {
        let start = Instant::now();
        let mut state = state(start);
        assert!(!state.note(Work::Waits, 0, STEP, start + STEP));
        assert!(state.note(Work::Waits, 0, STEP, start + 50 * STEP));
        assert_eq!(state.quiet, STEP);
        assert!(!state.note(Work::Waits, 0, STEP, start + 99 * STEP), "late again, as under load");
    }
}
