//! A receive that goes on by itself, for a program whose callbacks begin one receive after the other.
//!
//! If a callback begins a receive that has to wait, the loop arms a multishot receive. It stays armed after that receive has
//! ended. Bytes that come while no receive waits go to the stream's buffer. The next receive takes them from there, or waits
//! without a request of its own. The receive loop owns the stream meanwhile.
//!
//! Invariant: an armed receive brings no more than the read buffer had room for. Therefore TCP holds back the peer of a
//! program that stops receiving. The next receive that has to wait arms a new one.

use super::queue::Item;
use super::want::Want;
use super::watch::BUDGET_MAX;
use super::{State, Stream};
use crate::callback::DataPlace;
use crate::completion::{Accepted, Begun};
use crate::deadlines::Limit;
use crate::engine::{POOL_BUFFER_SIZE, Request};
use crate::error::Result;
use crate::event_loop::EventLoop;
use crate::ownership::Next;
use crate::sync::MutexGuard;
use std::mem;
use std::sync::Arc;

/// What a stream knows of the receive that goes on.
#[derive(Default)]
pub(super) struct Prefetch {
    /// How much the armed receive brings at once. 0: none is armed.
    piece: u16,
    /// The peer sends in bulk: so many receives ask the socket at once, and are not prefetched.
    bulk: u8,
    /// A caller looks at the buffer's memory.
    shown: bool,
}

/// Receives for bulk that ask the socket before the next one is prefetched.
const BULK_RECEIVES: u8 = 16;
/// A receive that brings so many bytes is bulk. Pieces of an armed receive are bulk if they are full.
const BULK: usize = POOL_BUFFER_SIZE / 2;
/// An armed receive with smaller pieces costs more than it saves.
const PIECE_MIN: usize = 512;
/// A piece is smaller than a pool buffer, and its size takes two bytes.
const PIECE_MAX: usize = u16::MAX as usize;
const _: () = assert!(PIECE_MAX < POOL_BUFFER_SIZE);

impl Prefetch {
    /// Whether a receive is armed.
    pub fn is_armed(&self) -> bool {
        self.piece > 0
    }

    /// The armed receive, if there was one, is over.
    pub fn ended(&mut self) {
        self.piece = 0;
    }

    /// A request has brought so many bytes at once.
    pub fn note_size(&mut self, size: usize) {
        if size >= if self.is_armed() { self.piece.into() } else { BULK } {
            self.bulk = BULK_RECEIVES;
        }
    }

    /// A callback begins a receive. True: the receive asks the socket at once.
    pub fn asks(&mut self) -> bool {
        let asks = self.bulk > 0;
        self.bulk = self.bulk.saturating_sub(1);
        asks
    }
}

impl State {
    /// Whether the loop keeps the stream only for an armed receive. Callers then find the stream as if nobody owned it.
    /// Exception: the socket's bytes are the loop's.
    pub(super) fn is_resting(&self) -> bool {
        self.prefetch.is_armed() && self.queue.is_empty() && self.watch.is_none()
    }

    /// A receive of a callback would only wait on the resting stream, and has no deadline that the loop must learn.
    pub(super) fn has_nothing_to_serve(&self, limit: &Limit) -> bool {
        self.buffer.is_empty() && self.end.is_none() && limit.deadline.is_none()
    }

    /// A caller gets a look at the buffer. The bytes stay where they are until [`State::forget_shown`].
    pub(super) fn note_shown(&mut self) {
        self.prefetch.shown = true;
    }

    /// The next call on the stream: nobody looks at the buffer any more.
    pub(super) fn forget_shown(&mut self) {
        self.prefetch.shown = false;
        if let Some(seldom) = self.seldom.changed() {
            seldom.shown = None;
        }
    }

    /// Puts bytes behind those in the buffer.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if mem::take(&mut self.prefetch.shown) {
            let shown = self.buffer.replace_by_copy();
            self.seldom.shown = Some(shown);
        }
        self.buffer.append(bytes);
        self.buffer.shrink();
    }
}

impl Stream {
    /// Whether the caller runs on the thread that owns a resting stream.
    pub(super) fn is_own_callback(&self) -> bool {
        self.net.recv_loop.current_round().is_some()
    }

    /// Begins a receive on a resting stream. On the loop's own thread, the buffer may serve it at once. Else the loop does.
    #[inline(never)] // keeps the way of other receives short
    pub(super) fn begin_resting(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        want: Want,
        accepted: Accepted<'_>,
        limit: Limit,
        chained: bool,
    ) -> Result<Begun> {
        let mut got = 0;
        if self.is_own_callback() {
            let mut taken = state.take_work();
            let done = want.satisfy(&mut got, &mut taken, self.net.config.read_buffer);
            state.give_back(taken);
            if let Some(outcome) = done {
                return Ok(self.net.over_at_once(accepted, outcome.result, outcome.bytes));
            }
        }
        let teller = self.net.teller(accepted, &self.socket, || self.target(), false)?;
        let begun = teller.begun();
        let kept = limit.deadline.is_none_or(|deadline| state.timer.covers(deadline));
        state.queue.push(Item { want, got, teller, limit, chained }, false);
        let next = state.front.queued(false);
        debug_assert_eq!(next, Next::TellLoop, "the loop owns the stream");
        drop(state);
        if !chained || !kept {
            self.post_to_loop();
        }
        Ok(begun)
    }

    /// The receive that goes on, for a receive that a callback has begun. `None`: it would not pay, or the kernel has none.
    pub(super) fn prefetch(&self, event_loop: &EventLoop, state: &mut State) -> Option<Request> {
        let room = self.net.config.read_buffer.saturating_sub(state.buffer.len());
        let piece = (room / 2).min(PIECE_MAX);
        if state.prefetch.bulk > 0 || piece < PIECE_MIN || !event_loop.has_multishot() {
            return None;
        }
        let Request::RecvPooled { socket, start } = self.buffered_request(event_loop, state, 0, false) else {
            return None;
        };
        let budget = (room - piece).min(BUDGET_MAX) as u32;
        state.prefetch.piece = piece as u16;
        Some(Request::RecvMultishot {
            socket,
            start,
            piece: piece as u32,
            budget,
            callback: DataPlace::default(),
        })
    }

    /// The armed receive has brought `bytes`, and goes on. True: the loop has more to do for the stream.
    pub(super) fn prefetched(&self, mut state: MutexGuard<'_, State>, bytes: &[u8]) -> bool {
        state.prefetch.note_size(bytes.len());
        let ended = if state.buffer.is_empty() { state.queue.end_alone(bytes) } else { None };
        if let Some(ended) = ended {
            let has_more = state.queue.front_asks_alone();
            drop(state);
            self.net.recv_loop.run_ended(ended);
            return has_more;
        }
        state.hand_out(self.outbox(), bytes, self.net.config.read_buffer);
        state.queue.front_asks_alone()
    }
}
