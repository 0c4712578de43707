//! What other threads know of a loop: where they post, how they wake it, and what it counts.
//!
//! Any thread calls it. Invariant: a post to a loop that sleeps wakes it up.

use super::Handler;
use super::current::{self, Current};
use super::dispatch::ByCaller;
use super::following::Following;
use super::round_sends::RoundSends;
use crate::completion::{Ended, Finished, Operation, Outbox};
use crate::engine::Waker;
use crate::error::Result;
use crate::mailbox::Mailbox;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What other threads know of a loop. What a message needs is in the first cache line.
#[repr(C, align(64))]
pub struct LoopHandle {
    pub(super) current: Current,
    /// The loop makes it if the sends of its callbacks leave together.
    pub(super) round_sends: OnceLock<Box<RoundSends>>,
    /// What the loop has done so far, for statistics.
    pub counters: Counters,
    /// The loop's own thread alone uses it.
    pub(super) following: Following,
    pub(super) quit: AtomicBool,
    pub(super) waker: Arc<Waker>,
    /// Set if a thread of the program runs the loop.
    pub(super) by_caller: OnceLock<ByCaller>,
    pub(super) mailbox: Mailbox<dyn Handler, Finished>,
}

/// Statistics. The loop alone writes each, except for `wakes`.
#[derive(Default)]
#[repr(C)]
pub struct Counters {
    /// Callbacks run; counted by [`LoopHandle::count_callback`].
    pub callbacks: AtomicU64,
    /// Calls that submit and wait.
    pub enters: AtomicU64,
    /// Entries that were submitted.
    pub entries: AtomicU64,
    /// Completions reaped.
    pub completions: AtomicU64,
    /// Wake-ups by other threads.
    pub wakes: AtomicU64,
}

impl LoopHandle {
    /// The handle of a loop that is to be started.
    pub fn new() -> Result<Arc<LoopHandle>> {
        Ok(Arc::new(LoopHandle {
            current: Current::default(),
            round_sends: OnceLock::new(),
            counters: Counters::default(),
            following: Following::default(),
            quit: AtomicBool::new(false),
            waker: Waker::new()?,
            by_caller: OnceLock::new(),
            mailbox: Mailbox::new(),
        }))
    }

    /// The loop calls [`Handler::on_mail`] on its thread, soon and at least once after this call. Cannot fail.
    pub fn post(&self, handler: Arc<dyn Handler>) {
        if self.mailbox.post(handler) {
            self.wake();
        }
    }

    /// The loop runs the callback of an operation that is over, on its thread. Cannot fail.
    pub fn post_finished(&self, finished: Finished) {
        if self.mailbox.post_plain(finished) {
            self.wake();
        }
    }

    /// The loop runs the callback of an operation that is over, on its thread. Cannot fail.
    #[inline]
    pub fn ended(&self, ended: Ended) {
        if self.current_round().is_some() {
            self.ended_here(ended);
        } else {
            self.post_ended(ended);
        }
    }

    /// The same on the thread that runs the loop.
    #[inline]
    pub fn ended_here(&self, ended: Ended) {
        if ended.permit.is_alone() {
            self.following.push(ended);
        } else {
            self.post_ended(ended);
        }
    }

    #[inline(never)] // keeps the usual way short
    fn post_ended(&self, ended: Ended) {
        self.post_finished(ended.into());
    }

    /// Ends the loop once it has nothing in flight and no mail.
    pub fn quit(&self) {
        self.quit.store(true, Ordering::Release);
        if self.mailbox.nudge() {
            self.wake();
        }
    }

    /// On the thread that runs the loop now: the number of the round, which repeats after four thousand million rounds. On
    /// any other thread: `None`.
    #[inline]
    pub fn current_round(&self) -> Option<u32> {
        self.current.round()
    }

    /// On the thread that runs the loop: the loop calls [`Handler::end_round`] after the callbacks of this round.
    pub fn at_round_end(&self, handler: Arc<dyn Handler>) {
        debug_assert!(self.current_round().is_some(), "only callbacks have a round");
        current::wait_for_end(handler);
    }

    /// The sends of the round, if the sends of callbacks leave together. [`Handler::leave_round`] asks the sender of each once
    /// more at the round's end, and [`Handler::all_sent`] or [`Handler::on_sent`] tells it the end.
    #[inline]
    pub fn round_sends(&self) -> Option<&RoundSends> {
        self.round_sends.get().map(Box::as_ref)
    }

    /// On the thread that runs the loop: the same, if this round probably has so many sends that this pays.
    #[inline]
    pub fn round_of_many(&self) -> Option<&RoundSends> {
        self.round_sends().filter(|sends| sends.has_many())
    }

    /// On the thread that runs the loop: a callback is about to run.
    pub fn count_callback(&self) {
        let callbacks = &self.counters.callbacks;
        callbacks.store(callbacks.load(Ordering::Relaxed) + 1, Ordering::Relaxed); // this thread alone writes it
    }

    fn wake(&self) {
        self.counters.wakes.fetch_add(1, Ordering::Relaxed);
        self.waker.wake();
    }
}

impl Outbox for LoopHandle {
    fn deliver(&self, operation: Arc<Operation>) {
        self.post(operation);
    }

    fn deliver_finished(&self, finished: Finished) {
        self.post_finished(finished);
    }

    fn deliver_ended(&self, ended: Ended) {
        self.ended(ended);
    }

    fn runs_here(&self) -> bool {
        self.current_round().is_some()
    }

    fn is_over(&self) {
        self.wake_other_dispatch();
    }
}
