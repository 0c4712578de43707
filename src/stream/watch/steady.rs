//! The messages of a watch that do not take the stream's lock. Most do not.
//!
//! While a multishot receive goes on, its request owns the callback, and the flag `steady` says that nobody has changed the
//! watch. A thread that changes the watch clears the flag under the lock. Invariant: a receive owns the callback only while
//! the buffer is empty.

use super::{State, Stream};
use crate::buffer::ReadBuffer;
use crate::callback::{DataCallback, DataPlace};
use crate::engine::POOL_BUFFER_SIZE;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use std::mem;

impl Stream {
    /// Shows what a receive that goes on has brought. `lent` is the place of the callback that the receive may own. True:
    /// the loop has more to do for the watch.
    #[inline(always)] // into `on_data`
    pub(in crate::stream) fn show_next(&self, lent: &mut DataPlace, bytes: &[u8]) -> bool {
        let callback = if self.is_steady() && bytes.len() < POOL_BUFFER_SIZE { lent.take() } else { None };
        let Some(mut callback) = callback else {
            return self.show_by_lock(lent, bytes);
        };
        let consumed = self.call(&mut callback, Ok(()), bytes);
        if consumed == bytes.len() && self.is_steady() {
            *lent = callback.into();
            return false;
        }
        self.end_steady(callback, consumed, lent, bytes)
    }

    #[inline(never)] // keeps the way past the lock short
    fn show_by_lock(&self, lent: &mut DataPlace, bytes: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.watch.is_none() {
            return self.prefetched(state, bytes);
        }
        state.take_back(lent);
        self.lend(self.arrived(state, bytes), lent)
    }

    /// Goes on after a call that has left some of `bytes`, or during which the watch was changed.
    #[inline(never)] // as above
    fn end_steady(
        &self,
        callback: DataCallback,
        consumed: usize,
        lent: &mut DataPlace,
        bytes: &[u8],
    ) -> bool {
        let mut kept = ReadBuffer::default(); // a receive owns the callback only while nothing is kept
        kept.append(bytes.get(consumed..).unwrap_or_default());
        let mut state = self.state.lock();
        state.buffer = kept;
        state.put_back(callback, consumed <= bytes.len());
        self.bound_kept(&mut state);
        self.lend(state, lent)
    }

    /// Whether the watch is as it was when [`Stream::lend`] looked. No other memory is read because of this flag. Therefore
    /// the order of its own values suffices.
    fn is_steady(&self) -> bool {
        self.steady.load(Ordering::Relaxed)
    }

    /// Locks the state for a change that concerns the watch. The next message takes the lock, too.
    pub(in crate::stream) fn lock_to_change(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock();
        self.steady.store(false, Ordering::Relaxed);
        state
    }

    /// Lends the callback to the receive, unless bytes are kept. True: the loop has more to do for the watch.
    fn lend(&self, mut state: MutexGuard<'_, State>, to: &mut DataPlace) -> bool {
        if !state.may_lend() {
            return true;
        }
        if state.buffer.is_empty() {
            if let Some(watch) = &mut state.watch {
                mem::swap(to, &mut watch.callback);
                self.steady.store(true, Ordering::Relaxed);
            }
        }
        false
    }
}

impl State {
    /// Whether the loop has nothing else to do for the watch than to show the next bytes.
    fn may_lend(&self) -> bool {
        let watch = self.watch.as_ref();
        self.cause.is_none()
            && watch.is_some_and(|watch| !watch.paused && !watch.owed && watch.ending.is_none())
    }

    /// Takes the callback back from a receive. The watch stays as long as its receive is in flight.
    pub(in crate::stream) fn take_back(&mut self, lent: &mut DataPlace) {
        if let Some(watch) = self.watch.as_mut().filter(|_| lent.is_taken()) {
            watch.callback = mem::take(lent);
        }
    }
}
