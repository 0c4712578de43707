//! What completions need comes to the cache before they are handled.
//!
//! The loop calls this file in the first step of its round. Invariant: what comes to the cache too early or in vain changes
//! nothing but the time.

use super::EventLoop;
use crate::cache_line::{CACHE_LINE, fetch};
use crate::engine::Completion;
use std::sync::Arc;

/// What a receive in a queue needs of its stream.
const LINES: usize = 3;

impl EventLoop {
    /// For completions that are handled next: fetches what their watches need. Over a ring this does not pay. The processor goes through several at once,
    /// where handling one after the other would wait for each line of the cache.
    #[inline(never)] // keeps the way of a ring short
    pub(super) fn warm_up_watches(&self, completions: &[Completion]) {
        let requests = completions.iter().filter_map(|completion| self.requests.look(completion.request()?));
        for (owner, request) in requests {
            if let Some(callback) = request.callback() {
                callback.warm_up();
                owner.warm_up(true);
            }
        }
    }

    /// Whether the completion is for a receive in a queue. A round of watches begins with one of theirs.
    pub(super) fn is_of_chain(&mut self, completion: &Completion) -> bool {
        completion.request().is_some_and(|id| self.requests.owner_of_chain(id).is_some())
    }

    /// For completions of which the first is handled next: fetches what receives in a queue need, step by step.
    pub(super) fn warm_up_chains(&mut self, completions: &[Completion]) {
        let id = |ahead: usize| completions.get(ahead).and_then(Completion::request);
        if let Some(id) = id(3) {
            self.requests.fetch(id);
        }
        if let Some(owner) = id(2).and_then(|id| self.requests.owner_of_chain(id)) {
            let start = Arc::as_ptr(owner).cast::<u8>();
            (0..LINES).for_each(|line| fetch(start.wrapping_add(line * CACHE_LINE)));
        }
        if let Some(owner) = id(1).and_then(|id| self.requests.owner_of_chain(id)) {
            owner.warm_up(false);
        }
    }
}
