//! The mark of a thread that runs callbacks.
//!
//! Each loop marks its own thread. The calls that may block read the mark. Invariant: the mark stays until the thread ends.

use std::cell::Cell;

thread_local! {
    static CALLBACK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that runs callbacks.
pub fn enter() {
    CALLBACK_THREAD.set(true);
}

/// Whether this thread runs callbacks, of any net. Nothing may block on such a thread.
pub fn in_callback() -> bool {
    // A destructor of a thread that is ending is not a callback.
    CALLBACK_THREAD.try_with(Cell::get).unwrap_or(false)
}
