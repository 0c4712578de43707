//! Hooks that wait for a free descriptor after the process has run out of descriptors.
//!
//! `sys` reports here that a descriptor has closed. Invariant: a hook runs once, after the descriptor has closed, and
//! without a lock of this file.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

type Hook = Box<dyn FnOnce() + Send>;
// Outside of every loom model, and therefore not from `sync`.
static STARVED: rustix_futex_sync::Mutex<Vec<Hook>> = rustix_futex_sync::Mutex::new(Vec::new());
static STARVED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Runs `hook` once, when the next socket of this process closes.
pub fn when_descriptor_closes(hook: Hook) {
    STARVED.lock().push(hook);
    STARVED_COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Runs the hooks: a descriptor has closed.
pub fn descriptor_closed() {
    if STARVED_COUNT.load(Ordering::Relaxed) > 0 {
        let hooks = mem::take(&mut *STARVED.lock());
        STARVED_COUNT.fetch_sub(hooks.len(), Ordering::Relaxed);
        hooks.into_iter().for_each(|hook| hook());
    }
}
