//! What the idle limit of a connection finds and ends in its sending half: posts, flushes, a forward, or the first send.
//!
//! Invariant: a sink that is closing has the limits of the drain alone.

use super::{Sink, State};
use crate::error::{Error, Result};
use crate::idle::{Idle, IdleHalf, SendingHalf, Work};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

impl Sink {
    /// The connection may go so long without a byte in either direction. `None`: no limit.
    pub fn set_idle_timeout(self: &Arc<Self>, limit: Option<Duration>) -> Result {
        self.lock().check_open(&self.net)?;
        let sink: Weak<Sink> = Arc::downgrade(self);
        let idle =
            self.socket.idle_or(|| Idle::new(&self.net, &self.socket, sink, Weak::clone(&self.stream) as _));
        Arc::clone(idle).set(limit);
        Ok(())
    }
}

impl SendingHalf for Sink {
    fn stream_is_quiet(self: Arc<Self>) {
        self.post_room();
    }
}

impl IdleHalf for Sink {
    fn work(&self) -> Work {
        let state = self.lock();
        let sends =
            !state.queue.is_empty() || state.seldom.waiting.is_some() || state.seldom.forward.is_some();
        if sends && state.is_bounded() { Work::Waits } else { Work::None }
    }

    fn interrupt(&self) {
        self.lock().interrupt_waiter();
    }

    fn end_idle(self: Arc<Self>, now: Instant) -> bool {
        let mut state = self.lock();
        if !state.is_bounded() {
            return false;
        }
        let waits = !state.queue.is_empty();
        if state.queue.posted() > 0 {
            state.break_with(Error::TIMEOUT);
            let socket = &self.socket;
            tracing::warn!(
                local = socket.local_to_log(),
                peer = socket.peer_to_log(),
                "a peer takes too long; what is unsent is lost"
            );
            if self.net.members.is_stopping() {
                self.net.sends_were_cut();
            }
        } else {
            state.queue.end_first(now);
        }
        let forward = state.seldom.forward.clone();
        if forward.is_some() {
            state.seldom.forward_is_late = true;
        }
        drop(state);
        let ends = waits || forward.is_some();
        if let Some(forward) = forward {
            self.net.recv_loop.post(forward);
        }
        if waits {
            self.post_to_loop();
        }
        ends
    }
}

impl State {
    fn is_bounded(&self) -> bool {
        !self.front.closing && self.cause.is_none()
    }
}
