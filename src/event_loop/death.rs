//! How a loop ends: in order, or without an engine after the engine has failed or the loop has panicked.
//!
//! Invariant: every request comes back to its owner, and no memory is freed that the kernel may still write to.

use super::EventLoop;
use super::current;
use crate::buffer;
use crate::engine::Completion;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long a dying loop waits for the requests that the kernel still has.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Runs rounds until the loop is finished, with or without its engine.
    pub(super) fn run_to_the_end(&mut self) {
        if self.survives(EventLoop::run).is_none() {
            // Without an engine every request is refused, so no failure here can repeat.
            while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {}
        }
        self.end();
    }

    /// Calls a part of the loop. `None`: it has failed or panicked, and the loop has no engine any more.
    pub(super) fn survives<T>(&mut self, part: impl FnOnce(&mut EventLoop) -> io::Result<T>) -> Option<T> {
        let failure = match catch_unwind(AssertUnwindSafe(|| part(self))) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => format!("the loop's engine failed: {error}"),
            Err(_) => "the loop panicked".to_owned(),
        };
        tracing::error!("{failure}");
        let given_back = self.leave_engine();
        if let Some(died) = self.died.take() {
            died(); // before anything ends: each member reports the reason
        }
        self.fail_rest(given_back);
        self.fail_sends();
        None
    }

    /// The loop is finished.
    pub(super) fn end(&mut self) {
        drop(current::take_waiting());
        buffer::free_spare();
        drop(self.handle.mailbox.close()); // late mail needs no call: its senders have left the net
    }

    /// The engine has failed: takes back from the kernel the requests that it returns.
    pub(super) fn leave_engine(&mut self) -> Vec<Completion> {
        self.longest_spin = Duration::ZERO;
        self.engine.take().map(|engine| engine.give_up(LAST_WAIT)).unwrap_or_default()
    }

    /// Ends the requests that the kernel has given back, and fails the rest.
    fn fail_rest(&mut self, given_back: Vec<Completion>) {
        for completion in &given_back {
            if let Some(id) = completion.request() {
                // With its own result: bytes that were moved are counted.
                let _ = catch_unwind(AssertUnwindSafe(|| self.finish(id, completion)));
            }
        }
        // The kernel may still write to the memory of the rest. The loop leaks its own memory. It cannot leak a caller's
        // memory, but the caller's operation must not hang.
        self.requests.leak_memory();
        self.refused = self.requests.ids(); // includes those that were refused meanwhile, each once
        if let Some(pool) = self.pool.take().filter(|pool| pool.is_for_kernel()) {
            let _ = ManuallyDrop::new(pool);
        }
    }
}
