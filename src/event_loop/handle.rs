//! What others know of a loop: where they post, how it is woken, and what it counts.
//!
//! Anybody calls it, from any thread; of the thread-locals only the loop's own thread has values. Invariant: a loop that
//! sleeps when it is posted to is woken.

use super::Handler;
use crate::completion::{Finished, Operation, Outbox};
use crate::engine::Waker;
use crate::error::Result;
use crate::mailbox::Mailbox;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// What others know of a loop.
pub struct LoopHandle {
    pub(super) mailbox: Mailbox<dyn Handler, Finished>,
    pub(super) waker: Arc<Waker>,
    pub(super) quit: AtomicBool,
    /// What the loop has done so far, for statistics.
    pub counters: Counters,
}

/// Statistics; each written by the loop alone, except for `wakes`.
#[derive(Default)]
pub struct Counters {
    /// Calls that submit and wait.
    pub enters: AtomicU64,
    /// Entries that were submitted.
    pub entries: AtomicU64,
    /// Completions reaped.
    pub completions: AtomicU64,
    /// Wake-ups by others.
    pub wakes: AtomicU64,
    /// Callbacks run; counted by [`LoopHandle::count_callback`].
    pub callbacks: AtomicU64,
}

thread_local! {
    // The loop that this thread runs, as an address to compare with; and who waits for the end of its round.
    pub(super) static CURRENT: Cell<*const LoopHandle> = const { Cell::new(std::ptr::null()) };
    pub(super) static ROUND_NUMBER: Cell<u32> = const { Cell::new(0) };
    // Without a destructor, for the reason in threads.rs; the loop frees it at its end.
    pub(super) static ROUND: ManuallyDrop<RefCell<Vec<Arc<dyn Handler>>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

impl LoopHandle {
    /// The outside of a loop that is to be started.
    pub fn new() -> Result<Arc<LoopHandle>> {
        Ok(Arc::new(LoopHandle {
            mailbox: Mailbox::new(),
            waker: Waker::new()?,
            quit: AtomicBool::new(false),
            counters: Counters::default(),
        }))
    }

    /// Has [`Handler::on_mail`] called on the loop's thread, soon and at least once after this call. Cannot fail.
    pub fn post(&self, handler: Arc<dyn Handler>) {
        if self.mailbox.post(handler) {
            self.wake();
        }
    }

    /// Has the callback of something that is over run on the loop's thread. Cannot fail.
    pub fn post_finished(&self, finished: Finished) {
        if self.mailbox.post_plain(finished) {
            self.wake();
        }
    }

    /// Ends the loop once it has nothing in flight and no mail.
    pub fn quit(&self) {
        self.quit.store(true, Ordering::Release);
        if self.mailbox.nudge() {
            self.wake();
        }
    }

    /// On the loop's own thread, the number of the round, which comes again after four thousand million; `None` on any
    /// other.
    pub fn current_round(&self) -> Option<u32> {
        (CURRENT.get() == std::ptr::from_ref(self)).then(|| ROUND_NUMBER.get())
    }

    /// On the loop's own thread: has [`Handler::end_round`] called when the callbacks of this round have run.
    pub fn at_round_end(&self, handler: Arc<dyn Handler>) {
        debug_assert!(self.current_round().is_some(), "only callbacks have a round");
        ROUND.with(|round| round.borrow_mut().push(handler));
    }

    /// On the loop's own thread: a callback is about to run.
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

    fn runs_here(&self) -> bool {
        self.current_round().is_some()
    }
}
