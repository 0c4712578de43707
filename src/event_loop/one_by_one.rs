//! The completions of an engine that asks its sockets one by one.
//!
//! Such an engine knows which requests come next, before it asks their sockets. The loop calls this file in the first step
//! of its round. Invariant: what comes to the cache too early or in vain changes nothing but the time.

use super::EventLoop;
use crate::cache_line::fetch;
use crate::engine::{Completion, Engine, Next, RequestId};
use std::sync::Arc;

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
                Next::Bytes(id, buffer, size) => self.go_on(id, buffer, size),
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
    fn warm_up(&mut self, [first, second, third]: [Option<RequestId>; 3]) {
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
                owner.warm_up();
            }
        }
    }
}
