//! A loop without a thread of its own: the thread that made it runs it, turn by turn.
//!
//! Invariant: between two turns the loop's descriptor is readable, or there is nothing to do, and whoever brings work makes
//! the descriptor readable.

use super::{EventLoop, LoopHandle, Setup};
use crate::engine::{Engine, Wait};
use crate::epoll::Epoll;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::threads;
use crate::timer_fd::TimerFd;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What other threads know of such a loop.
pub struct ByCaller {
    /// The thread that runs it.
    thread: u64,
    /// Readable while there is something to do. It stays open when the engine is gone.
    descriptor: Epoll,
    /// Readable at a deadline, if the program polls the descriptor.
    deadline: TimerFd,
    is_polled: AtomicBool,
    ended: Mutex<bool>,
    has_ended: Condvar,
}

/// What became of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// A turn had something to do, or a signal or a wake ended the wait.
    Turn,
    /// The time has passed, and there was nothing to do.
    Nothing,
    /// The loop has no engine any more. The turn ended what could be ended.
    Dead,
    /// The loop has ended: it had been asked to quit, and has nothing left to do.
    Finished,
}

impl LoopHandle {
    fn by_caller(&self) -> Option<&ByCaller> {
        self.by_caller.get()
    }

    /// Whether a thread of the program runs this loop, turn by turn.
    pub fn is_by_caller(&self) -> bool {
        self.by_caller().is_some()
    }

    /// Whether this thread does so, and the loop has not ended.
    pub fn is_dispatched_here(&self) -> bool {
        self.by_caller().is_some_and(|shared| shared.thread == threads::id() && !*shared.ended.lock())
    }

    /// Ends the wait of the present or the next turn. It takes no lock, so a signal handler may call it.
    pub fn wake_dispatch(&self) {
        if self.is_by_caller() {
            self.waker.wake_by_descriptor();
        }
    }

    /// The same, unless this thread runs the turns itself.
    pub(super) fn wake_other_dispatch(&self) {
        if self.by_caller().is_some_and(|shared| shared.thread != threads::id()) {
            self.waker.wake_by_descriptor();
        }
    }

    /// The descriptor that is readable whenever a turn has something to do. From now on it becomes readable at deadlines too.
    pub fn descriptor(&self) -> Option<RawFd> {
        let shared = self.by_caller()?;
        if !shared.is_polled.swap(true, Ordering::Relaxed) {
            self.wake_dispatch(); // the next turn sets the timer
        }
        Some(shared.descriptor.fd())
    }

    /// From now on no turn waits, and the descriptor is readable.
    pub fn stay_readable(&self) {
        if let Some(shared) = self.by_caller() {
            Engine::stay_readable(&shared.descriptor, &self.waker);
        }
    }

    /// Waits until the thread that runs the loop has run it to its end.
    pub fn wait_until_ended(&self) {
        if let Some(shared) = self.by_caller() {
            let mut ended = shared.ended.lock();
            while !*ended {
                ended = shared.has_ended.wait(ended);
            }
        }
    }
}

impl EventLoop {
    /// Makes a loop that this thread runs by [`EventLoop::dispatch`].
    pub fn for_caller(handle: &Arc<LoopHandle>, setup: Setup) -> io::Result<EventLoop> {
        let mut event_loop = EventLoop::new(Arc::clone(handle), &setup)?;
        let deadline = TimerFd::new()?;
        let descriptor = match &event_loop.engine {
            Some(engine) => engine.descriptor(deadline.fd())?,
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        handle.by_caller.get_or_init(|| ByCaller {
            thread: threads::id(),
            descriptor,
            deadline,
            is_polled: AtomicBool::new(false),
            ended: Mutex::new(false),
            has_ended: Condvar::new(),
        });
        event_loop.as_current(|this| {
            this.log_start(&setup);
            this.rest();
        });
        event_loop.died = Some(setup.died);
        Ok(event_loop)
    }

    /// Runs one turn: waits until there is something to do, at most for `time`, and does it once. `None`: without a limit.
    pub fn dispatch(&mut self, time: Option<Duration>) -> Dispatched {
        self.as_current(|this| {
            let done = match this.engine {
                Some(_) => this.survives(|this| this.wait_and_turn(time)),
                None => None,
            };
            let done = done.unwrap_or_else(|| this.turn_without_engine());
            if done == Dispatched::Finished {
                this.end();
                this.log_end();
            }
            done
        })
    }

    /// The thread that runs the turns ends, and the net with it.
    pub fn log_abandoned(&mut self) {
        self.as_current(|_| tracing::error!("the thread that dispatched the net has ended before net_stop"));
    }

    fn log_end(&mut self) {
        tracing::info!("a loop has ended");
        if let Some(shared) = self.handle.by_caller() {
            *shared.ended.lock() = true;
            shared.has_ended.notify_all();
        }
    }

    fn wait_and_turn(&mut self, time: Option<Duration>) -> io::Result<Dispatched> {
        let looks_once = time == Some(Duration::ZERO);
        let end = time.filter(|_| !looks_once).and_then(|time| Instant::now().checked_add(time));
        loop {
            self.wait_at_most(looks_once, end)?;
            let interrupted = self.engine.as_ref().is_some_and(Engine::was_interrupted);
            let due = self.is_due();
            if due || self.engine.as_mut().is_some_and(Engine::has_completions) {
                let reaped = self.reaped;
                self.turn_of_caller()?;
                if self.is_finished() {
                    return Ok(Dispatched::Finished);
                }
                self.rest();
                if due || self.reaped != reaped {
                    return Ok(Dispatched::Turn);
                }
            }
            if interrupted {
                return Ok(Dispatched::Turn);
            }
            if looks_once || end.is_some_and(|end| end <= Instant::now()) {
                return Ok(Dispatched::Nothing);
            }
        }
    }

    #[inline(never)] // a turn is long, and has two callers here
    fn turn_of_caller(&mut self) -> io::Result<()> {
        self.turn()?;
        if self.has_sends() {
            self.decide_sends()?;
        }
        Ok(())
    }

    fn wait_at_most(&mut self, looks_once: bool, end: Option<Instant>) -> io::Result<()> {
        let until = match (end, self.timers.next()) {
            (Some(end), Some(next)) => Some(end.min(next)),
            (end, next) => end.or(next),
        };
        let wait = match until {
            _ if looks_once => Wait::No,
            None => Wait::Forever,
            Some(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Wait::No,
                time => Wait::For(time),
            },
        };
        match &mut self.engine {
            Some(engine) => engine.enter(wait),
            None => Ok(()),
        }
    }

    fn is_due(&self) -> bool {
        self.timers.next().is_some_and(|next| next <= Instant::now())
    }

    /// After a turn: whatever brings work from now on makes the descriptor readable. So does work that is left.
    fn rest(&mut self) {
        let mut is_left = self.has_sends() || !self.handle.following.is_empty();
        if let Some(engine) = &mut self.engine {
            engine.work_off();
            is_left |= engine.has_work() || engine.has_completions();
        }
        self.publish();
        self.slept = self.handle.mailbox.sleep();
        if is_left || !self.slept {
            self.handle.waker.wake_by_descriptor();
        }
        self.set_deadline();
    }

    /// Sets the timer of the descriptor, if the next deadline comes before the timer.
    fn set_deadline(&mut self) {
        let Some(shared) = self.handle.by_caller().filter(|shared| shared.is_polled.load(Ordering::Relaxed))
        else {
            return;
        };
        if let Some(next) = self.timers.next() {
            let now = Instant::now();
            if !self.readable_at.is_some_and(|at| now < at && at <= next) {
                shared.deadline.set(next, now);
                self.readable_at = Some(next);
            }
        }
    }

    fn turn_without_engine(&mut self) -> Dispatched {
        self.handle.stay_readable();
        // Without an engine every request is refused, so no failure here can repeat.
        while self.survives(EventLoop::turn_of_caller).is_none() {}
        if self.is_finished() { Dispatched::Finished } else { Dispatched::Dead }
    }
}
