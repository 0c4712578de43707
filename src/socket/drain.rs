//! How long the drain of a socket may take. The sink sets it, and the linger reads it.
//!
//! Invariant: the end is set once, when the drain begins.

use super::Socket;
use std::time::Instant;

impl Socket {
    /// Begins a drain that must be over at `until`, if ever.
    pub fn begin_drain(&self, until: Option<Instant>) {
        self.drain_until.begin(until);
    }

    /// When the drain must be over. `None`: no drain has begun. `Some(None)`: the drain has no limit.
    pub fn drain_until(&self) -> Option<Option<Instant>> {
        self.drain_until.get()
    }
}
