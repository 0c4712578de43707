//! The loop that a thread runs now, and its round.
//!
//! Callbacks learn by it that they are in a round of their net. Invariant: a loop names a thread, and the thread has values
//! here, exactly while the thread runs the loop. A loop that no thread runs keeps its [`Round`].

use super::{EventLoop, Handler};
use crate::callback_thread;
use crate::logging::Writing;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::threads;
use std::cell::RefCell;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;

/// The thread that runs a loop now, and the number of the round. That thread alone writes both. Any other thread may see any
/// of the values, and never its own number as the thread's.
#[derive(Default)]
pub struct Current {
    /// 0: no thread runs the loop.
    thread: AtomicUsize,
    round: AtomicU32,
}

/// The handlers that wait for the end of a round.
#[derive(Default)]
pub struct Round {
    waiting: Vec<Arc<dyn Handler>>,
}

thread_local! {
    // It has no destructor, for the reason in threads.rs. The loop frees it at its end.
    static WAITING: ManuallyDrop<RefCell<Vec<Arc<dyn Handler>>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

impl EventLoop {
    /// Runs the loop on this thread for the time of the call, which may not panic.
    pub(super) fn as_current<T>(&mut self, call: impl FnOnce(&mut EventLoop) -> T) -> T {
        let writing = self.log.as_ref().map(Writing::to);
        let Round { waiting } = mem::take(&mut self.round);
        self.handle.current.thread.store(threads::place(), Ordering::Relaxed);
        WAITING.with(|list| list.replace(waiting));
        // The send loop runs only the log's callback. That callback may not block either.
        callback_thread::enter();
        let result = call(self);
        callback_thread::leave();
        self.round = Round { waiting: take_waiting() };
        self.handle.current.thread.store(0, Ordering::Relaxed);
        drop(writing);
        result
    }
}

impl Current {
    /// The number of the round, if this thread runs the loop.
    #[inline]
    pub fn round(&self) -> Option<u32> {
        let is_here = self.thread.load(Ordering::Relaxed) == threads::place();
        is_here.then(|| self.round.load(Ordering::Relaxed))
    }

    /// The next round begins.
    #[inline]
    pub fn begin_round(&self) {
        self.round.store(self.round.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// A handler waits for the end of the round.
#[inline]
pub fn wait_for_end(handler: Arc<dyn Handler>) {
    WAITING.with(|list| list.borrow_mut().push(handler));
}

/// Whether a handler waits for the end of the round.
#[inline]
pub fn has_waiting() -> bool {
    WAITING.with(|list| !list.borrow().is_empty())
}

/// The handlers that wait for the end of the round.
#[inline]
pub fn take_waiting() -> Vec<Arc<dyn Handler>> {
    WAITING.with(|list| list.take())
}

/// Uses the memory of an emptied list for the next round.
#[inline]
pub fn reuse(emptied: Vec<Arc<dyn Handler>>) {
    WAITING.with(|list| {
        let mut list = list.borrow_mut();
        if list.is_empty() {
            *list = emptied;
        }
    });
}
