//! The mark of a thread that runs callbacks.
//!
//! A loop marks the thread that runs it. The calls that may block read the mark. Invariant: a thread has the mark exactly
//! while it runs a loop.

use std::cell::Cell;

thread_local! {
    static CALLBACK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that runs callbacks.
pub fn enter() {
    CALLBACK_THREAD.set(true);
}

/// Takes the mark away.
pub fn leave() {
    CALLBACK_THREAD.set(false);
}

/// Whether this thread runs callbacks, of any net. Nothing may block on such a thread.
pub fn in_callback() -> bool {
    // A destructor of a thread that is ending is not a callback.
    CALLBACK_THREAD.try_with(Cell::get).unwrap_or(false)
}
