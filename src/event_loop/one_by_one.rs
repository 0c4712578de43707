//! The completions of an engine that asks its sockets one by one.
//!
//! Such an engine knows which requests come next, before it asks their sockets. The loop calls this file in the first step
//! of its round. Invariant: what comes to the cache too early or in vain changes nothing but the time.

use super::EventLoop;
use crate::cache_line::{CACHE_LINE, fetch};
use crate::engine::{Completion, Engine, Next, RequestId};
use std::sync::Arc;

/// What a receive in a queue needs of its stream.
const LINES: usize = 3;

impl EventLoop {
    #[inline(never)] // a ring gives all at once
    pub(super) fn reap_one_by_one(&mut self) {
        let (mut first, mut second) = (None, None);
        while let Some(next) = self.engine.as_mut().and_then(Engine::next) {
            self.reaped += 1;
            let third = self.engine.as_ref().and_then(Engine::upcoming);
            self.warm_up([first, second, third]);
            (first, second) = (second, third);
            match next {
                Next::Bytes(id, buffer, size) => {
                    self.go_on(id, buffer, size);
                    self.follow();
                }
                Next::Completion(completion) => self.handle_next(&completion),
            }
        }
    }

    #[inline(never)] // keeps the way of a message short
    fn handle_next(&mut self, completion: &Completion) {
        self.handle_completion(completion);
    }

    /// Fetches to the cache what the next events need, step by step while others are handled. Otherwise each of them would wait
    /// for one line of the cache after the other.
    #[inline(always)]
    pub(super) fn warm_up(&mut self, [first, second, third]: [Option<RequestId>; 3]) {
        if let Some(id) = third {
            self.requests.fetch(id);
        }
        if let Some((owner, request)) = second.and_then(|id| self.requests.look(id)) {
            fetch(Arc::as_ptr(owner));
            if let Some(callback) = request.callback() {
                callback.warm_up();
            }
        }
        if let Some((owner, request)) = first.and_then(|id| self.requests.look(id)) {
            if request.callback().is_some() {
                owner.warm_up(true);
            }
        }
    }

    /// Whether the completion is for a receive in a queue. A round of watches begins with one of theirs.
    pub(super) fn is_of_chain(&mut self, completion: &Completion) -> bool {
        completion.request().is_some_and(|id| self.requests.owner_of_chain(id).is_some())
    }

    /// The same for completions that a ring has given, beginning with the one that is handled next, if they are for receives
    /// in a queue. A watch needs too little for this to pay.
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
