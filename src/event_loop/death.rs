//! How a loop ends: in order, or without an engine when that failed or the loop panicked.
//!
//! Invariant: every request comes back to its owner, and no memory is freed that the kernel may still write to.

use super::EventLoop;
use super::handle::ROUND;
use crate::buffer;
use crate::engine::Completion;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long a dying loop waits for what the kernel still has.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl EventLoop {
    pub(super) fn run_to_the_end(&mut self, died: Box<dyn FnOnce() + Send>) {
        let failure = match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the loop's ring failed: {error}")),
            Err(_) => Some("the loop panicked".to_owned()),
        };
        if let Some(failure) = failure {
            tracing::error!("{failure}");
            let given_back = self.leave_engine();
            died(); // before anything ends: each member is to tell why
            self.fail_rest(given_back);
            // Without an engine every request is refused, so nothing can fail here that could fail again.
            while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {}
        }
        drop(ROUND.with(|round| round.take()));
        buffer::free_spare();
        drop(self.handle.mailbox.close()); // late mail has nothing to tell: its senders have left the net
    }

    /// The engine cannot be used any more: takes back from the kernel what it will give.
    pub(super) fn leave_engine(&mut self) -> Vec<Completion> {
        self.longest_spin = Duration::ZERO;
        self.engine.take().map(|engine| engine.give_up(LAST_WAIT)).unwrap_or_default()
    }

    /// Ends what the kernel has given back, and fails the rest.
    fn fail_rest(&mut self, given_back: Vec<Completion>) {
        for completion in &given_back {
            if let Some(id) = completion.request() {
                // As it is: bytes that were moved are counted.
                let _ = catch_unwind(AssertUnwindSafe(|| self.finish(id, completion)));
            }
        }
        // What the kernel has not given back it may still write to. Our own memory is leaked for it; a caller's memory
        // cannot be, but its operation must not hang.
        self.requests.leak_memory();
        self.refused = self.requests.ids(); // with those that were refused meanwhile, each once
        if let Some(pool) = self.pool.take() {
            let _ = ManuallyDrop::new(pool);
        }
    }
}
