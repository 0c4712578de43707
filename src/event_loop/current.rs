//! The loop that a thread runs now, and its round.
//!
//! Callbacks learn by it that they are in a round of their net. Invariant: a thread has values here exactly while it runs a
//! loop. A loop that no thread runs keeps its [`Round`].

use super::{EventLoop, Handler, LoopHandle};
use crate::callback_thread;
use crate::logging::Writing;
use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::Arc;

/// A round: its number, and the handlers that wait for its end.
#[derive(Default)]
pub struct Round {
    number: u32,
    waiting: Vec<Arc<dyn Handler>>,
}

thread_local! {
    // The loop, as an address to compare with.
    static CURRENT: Cell<*const LoopHandle> = const { Cell::new(ptr::null()) };
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    // It has no destructor, for the reason in threads.rs. The loop frees it at its end.
    static WAITING: ManuallyDrop<RefCell<Vec<Arc<dyn Handler>>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

impl EventLoop {
    /// Runs the loop on this thread for the time of the call, which may not panic.
    pub(super) fn as_current<T>(&mut self, call: impl FnOnce(&mut EventLoop) -> T) -> T {
        let writing = self.log.as_ref().map(Writing::to);
        let Round { number, waiting } = mem::take(&mut self.round);
        CURRENT.set(Arc::as_ptr(&self.handle));
        NUMBER.set(number);
        WAITING.with(|list| list.replace(waiting));
        // The send loop runs only the log's callback. That callback may not block either.
        callback_thread::enter();
        let result = call(self);
        callback_thread::leave();
        self.round = Round { number: NUMBER.get(), waiting: take_waiting() };
        CURRENT.set(ptr::null());
        drop(writing);
        result
    }
}

/// The number of the round, if this thread runs that loop.
#[inline]
pub fn round_of(handle: &LoopHandle) -> Option<u32> {
    (CURRENT.get() == ptr::from_ref(handle)).then(|| NUMBER.get())
}

/// The next round begins.
#[inline]
pub fn begin_round() {
    NUMBER.set(NUMBER.get().wrapping_add(1));
}

/// A handler waits for the end of the round.
#[inline]
pub fn wait_for_end(handler: Arc<dyn Handler>) {
    WAITING.with(|list| list.borrow_mut().push(handler));
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
