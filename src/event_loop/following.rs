#![allow(unsafe_code)] // a list that one thread uses
//! What has ended on the loop's own thread, and whose callbacks follow soon, without mail.
//!
//! A callback begins the next operation, and often that one is over at once. Its callback then follows while the caches still
//! have what both need. Invariant: an operation is here only if no other callback of its handle is in the mail. Therefore the
//! callbacks of a handle run in order, whether the loop takes its mail first or this list.

use super::{EventLoop, LoopHandle};
use crate::completion::Ended;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The ends, in their order.
#[derive(Default)]
pub struct Following(RefCell<VecDeque<Ended>>);

// SAFETY: the thread that runs the loop alone uses the list: `LoopHandle::ended` asks for it, and the loop is there.
unsafe impl Sync for Following {}

/// So many callbacks may follow one completion of the engine: that of a receive, and that of the send that it begins. The
/// rest waits for the third step of the round.
const FOLLOW: usize = 2;

impl Following {
    #[inline]
    pub fn push(&self, ended: Ended) {
        self.0.borrow_mut().push_back(ended);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    #[inline]
    fn pop(&self) -> Option<Ended> {
        self.0.borrow_mut().pop_front()
    }
}

impl LoopHandle {
    /// On the thread that runs the loop, with no lock held: runs the callback of an operation that is over.
    #[inline]
    pub fn run_ended(&self, ended: Ended) {
        self.run(|| ended.run_callback());
    }

    /// Runs a callback, whose panic ends nothing else.
    #[inline]
    pub(super) fn run(&self, callback: impl FnOnce()) {
        self.count_callback();
        if catch_unwind(AssertUnwindSafe(callback)).is_err() {
            tracing::error!("a callback panicked");
        }
    }
}

impl EventLoop {
    /// A completion of the engine may have ended operations: runs their callbacks.
    #[inline(always)]
    pub(super) fn follow(&mut self) {
        if !self.handle.following.is_empty() {
            self.run_following();
        }
    }

    #[inline(never)] // keeps the way of a watch short
    fn run_following(&mut self) {
        for _ in 0..FOLLOW {
            let Some(ended) = self.handle.following.pop() else {
                return;
            };
            self.handle.current.begin_round(); // it may send at once, as in the next round
            self.handle.run_ended(ended);
        }
    }

    /// Runs the callbacks that were here before this call.
    pub(super) fn run_all_following(&mut self) {
        for _ in 0..self.handle.following.len() {
            if let Some(ended) = self.handle.following.pop() {
                self.handle.run_ended(ended);
            }
        }
    }
}
