//! When a stream's watch must end: a deadline that bytes and pauses do not move.
//!
//! The deadline counts from the call that sets it, or from the arming of the watch if that is later. Invariant: only an armed
//! watch has a moment at which it must end.

use super::{State, Stream};
use crate::error::Result;
use crate::event_loop::EventLoop;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long each watch of a stream may last. Most streams have none.
pub(super) struct Deadline {
    limit: Duration,
    /// When the armed watch must end. `None`: no watch is armed, or that moment is beyond the range of the clock.
    ends: Option<Instant>,
}

impl Stream {
    /// An armed watch ends with TIMEOUT after `limit`, and so does each later one. `None`: no deadline.
    pub fn set_deadline(self: &Arc<Self>, limit: Option<Duration>) -> Result {
        let mut state = self.lock_to_change();
        state.seldom.deadline = limit.map(|limit| Deadline { limit, ends: None });
        let armed = state.watch.is_some();
        if armed {
            state.begin_deadline();
        }
        drop(state);
        if armed {
            self.post_to_loop(); // which arms the timer
        }
        Ok(())
    }

    /// As the receive loop: arms the timer for the deadline of the watch.
    pub(super) fn arm_watch_timer(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        if let Some(when) = state.watch_ends() {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
        }
    }
}

impl State {
    /// A watch is armed, or has a new deadline: it counts from now.
    pub(super) fn begin_deadline(&mut self) {
        if let Some(deadline) = self.seldom.changed().and_then(|seldom| seldom.deadline.as_mut()) {
            deadline.ends = Instant::now().checked_add(deadline.limit);
        }
    }

    /// When the watch must end, however many bytes come.
    pub(super) fn watch_ends(&self) -> Option<Instant> {
        self.watch.as_ref()?;
        self.seldom.get()?.deadline.as_ref()?.ends
    }
}
