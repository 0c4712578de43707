//! Posts: bytes that go out without an operation, and never block the caller.
//!
//! If the sink has no owner, a post tries its bytes on the caller's thread, or leaves with the round of its callback. The queue
//! takes the rest.
//!
//! Invariant: a call that has claimed the sink releases it on every path. Before that, the call puts its rest at the queue's
//! front. A post is accepted whole or not at all. Exception: if memory is short when a part has gone, the sink breaks.

use super::queue::{SendQueue, room_for};
use super::{Round, Sink};
use crate::error::{Error, Result};
use crate::parts::{EMPTY_PART, Gather, Many, Parts, part_of};
use crate::shared_bytes::SharedBytes;
use crate::socket::{Socket, Tried};
use std::sync::Arc;

/// A post of several pieces up to this size is copied into one. That takes less than the care for several.
const COPY_MAX: usize = 4 << 10;
/// Shared bytes up to this size are copied, too. A copy takes less than the care for a holder.
const SHARED_COPY_MAX: usize = 1 << 10;
/// Such a post up to this size is joined on the stack.
const JOIN_MAX: usize = 2 * SHARED_COPY_MAX;

/// What a post consists of.
trait Post {
    /// Number of bytes.
    fn size(&self) -> usize;
    /// Offers the bytes from `sent` on to the kernel.
    fn try_rest(&self, socket: &Socket, sent: usize) -> Tried;
    /// Puts the bytes from `sent` on at the queue's front. ENOMEM: the queue took nothing.
    fn queue_front(&self, queue: &mut SendQueue, sent: usize) -> Result;
    /// Puts all bytes at the queue's end. ENOMEM: the queue took nothing.
    fn queue_back(&self, queue: &mut SendQueue) -> Result;
}

impl Post for [u8] {
    #[inline]
    fn size(&self) -> usize {
        self.len()
    }

    #[allow(unsafe_code)]
    #[inline]
    fn try_rest(&self, socket: &Socket, sent: usize) -> Tried {
        // SAFETY: the bytes are borrowed for the whole of this call.
        unsafe { socket.try_send(&Parts::of(self), sent) }
    }

    #[inline]
    fn queue_front(&self, queue: &mut SendQueue, sent: usize) -> Result {
        queue.post_front(&self[sent..])
    }

    #[inline]
    fn queue_back(&self, queue: &mut SendQueue) -> Result {
        queue.post_back(self)
    }
}

/// Several pieces of the caller's memory.
struct Pieces {
    parts: Parts,
    size: usize,
}

#[allow(unsafe_code)] // who makes one vouches for the memory
impl Post for Pieces {
    fn size(&self) -> usize {
        self.size
    }

    fn try_rest(&self, socket: &Socket, sent: usize) -> Tried {
        // SAFETY: as above.
        unsafe { socket.try_send(&self.parts, sent) }
    }

    fn queue_front(&self, queue: &mut SendQueue, sent: usize) -> Result {
        // SAFETY: as above.
        queue.post_front_by(self.size - sent, |bytes| unsafe { self.parts.append_to(bytes, sent) })
    }

    fn queue_back(&self, queue: &mut SendQueue) -> Result {
        // SAFETY: as above.
        queue.post_back_by(self.size, |bytes| unsafe { self.parts.append_to(bytes, 0) })
    }
}

/// A head of the caller's, and bytes that the queue may hold without a copy.
struct HeadAndShared<'a> {
    head: &'a [u8],
    bytes: &'a SharedBytes,
}

impl Post for HeadAndShared<'_> {
    fn size(&self) -> usize {
        self.head.len() + self.bytes.as_slice().len()
    }

    #[allow(unsafe_code)]
    fn try_rest(&self, socket: &Socket, sent: usize) -> Tried {
        let mut vectors = [EMPTY_PART; 2];
        let mut gather = Gather::new(&mut vectors);
        let of_head = sent.min(self.head.len());
        gather.add(&Parts::of(&self.head[of_head..]), 0);
        gather.add(&Parts::of(self.bytes.as_slice()), sent - of_head);
        // SAFETY: both are borrowed for the whole of this call.
        unsafe { socket.try_send_gathered(gather.parts()) }
    }

    fn queue_front(&self, queue: &mut SendQueue, sent: usize) -> Result {
        let of_head = sent.min(self.head.len());
        let rest = &self.head[of_head..];
        let mut head = room_for(rest.len())?;
        head.extend_from_slice(rest);
        queue.post_shared(self.bytes.share(), sent - of_head, true);
        if !head.is_empty() {
            queue.post_piece(head, true);
        }
        Ok(())
    }

    fn queue_back(&self, queue: &mut SendQueue) -> Result {
        if !self.head.is_empty() {
            queue.post_back(self.head)?;
        }
        queue.post_shared(self.bytes.share(), 0, false);
        Ok(())
    }
}

impl Sink {
    /// Sends `data` without waiting, and copies what does not go at once. FULL: unsent posts have reached the net's mark,
    /// and the sink took nothing. ENOMEM: the sink took nothing, or it is broken because a part had gone.
    #[inline(always)] // into sink_post, which looks up the thread's own values, too
    pub fn post(self: &Arc<Self>, data: &[u8]) -> Result {
        let round = self.round();
        if round == Round::First && self.post_in_round(data) {
            return Ok(());
        }
        self.post_now(data, round)
    }

    /// The same, for posts that have been joined or are shared.
    #[inline(never)]
    fn post_joined(self: &Arc<Self>, data: &[u8]) -> Result {
        self.post(data)
    }

    /// The same for several pieces of memory as one.
    ///
    /// # Safety
    /// The memory that `parts` names is readable and unchanged until this returns.
    #[allow(unsafe_code)]
    pub unsafe fn postv(self: &Arc<Self>, parts: Parts) -> Result {
        let size = parts.size().ok_or(Error::INVALID)?;
        if size > COPY_MAX {
            return self.post_now(&Pieces { parts, size }, self.round());
        }
        let mut bytes = Vec::with_capacity(size);
        // SAFETY: the caller vouches for the memory.
        unsafe { parts.append_to(&mut bytes, 0) };
        self.post_joined(&bytes)
    }

    /// The same for a head, which is copied, and shared bytes, which the queue holds without a copy.
    #[allow(unsafe_code)]
    pub fn post_shared(self: &Arc<Self>, head: &[u8], bytes: &SharedBytes) -> Result {
        let body = bytes.as_slice();
        let size = head.len().checked_add(body.len()).filter(|size| isize::try_from(*size).is_ok());
        let size = size.ok_or(Error::INVALID)?;
        if body.len() > SHARED_COPY_MAX {
            return self.post_now(&HeadAndShared { head, bytes }, self.round());
        }
        if head.is_empty() {
            return self.post_joined(body);
        }
        if size <= JOIN_MAX {
            let mut joined = [0; JOIN_MAX];
            joined[..head.len()].copy_from_slice(head);
            joined[head.len()..size].copy_from_slice(body);
            return self.post_joined(&joined[..size]);
        }
        let parts = Many::new(Box::new([head, body].map(part_of))).ok_or(Error::INVALID)?;
        // SAFETY: both are borrowed for the whole of this call.
        unsafe { self.postv(Parts::Many(parts)) }
    }

    #[inline(always)] // as `post`
    fn post_now<P: Post + ?Sized>(self: &Arc<Self>, post: &P, round: Round) -> Result {
        if round != Round::First || post.size() == 0 || !self.gate.pass() {
            return self.post_by_lock(post, round);
        }
        let tried = post.try_rest(&self.socket, 0);
        if matches!(tried, Tried::Bytes(count) if count == post.size()) {
            self.release_by_gate();
            return Ok(());
        }
        self.end_tried_post(post, round, tried)
    }

    #[inline(always)] // a call costs posts of several threads a tenth of their rate
    fn post_by_lock<P: Post + ?Sized>(self: &Arc<Self>, post: &P, round: Round) -> Result {
        let mut state = self.lock();
        state.check_sound(&self.net)?;
        state.check_own()?;
        if state.queue.posted() >= self.net.config.post_mark {
            state.told_full = true;
            return Err(Error::FULL);
        }
        if post.size() == 0 {
            return Ok(());
        }
        if self.net.config.first_try && round != Round::Again && state.front.claim() {
            drop(state);
            let tried = post.try_rest(&self.socket, 0);
            return self.end_tried_post(post, round, tried);
        }
        post.queue_back(&mut state.queue)?;
        self.hand_on(state, round);
        Ok(())
    }

    /// Goes on with a post that owns the sink and has had its first try: tries the rest further, or queues it.
    #[inline(never)] // keeps the way past the lock short
    fn end_tried_post<P: Post + ?Sized>(
        self: &Arc<Self>,
        post: &P,
        round: Round,
        mut tried: Tried,
    ) -> Result {
        let mut sent = 0;
        while let Tried::Bytes(count) = tried {
            sent += count;
            // A callback must be short, however fast the peer reads. Therefore the send loop sends its rest.
            if sent == post.size() || round != Round::None {
                break;
            }
            tried = post.try_rest(&self.socket, sent);
        }
        let mut state = self.lock();
        if let Tried::Failed(error) = tried {
            state.break_with(error);
        }
        if sent < post.size() {
            if let Some(cause) = state.cause {
                self.release(state);
                return Err(cause);
            }
            if let Err(error) = post.queue_front(&mut state.queue, sent) {
                if sent > 0 {
                    state.break_with(error); // nothing may follow a part of a post
                }
                self.release(state);
                return Err(error);
            }
        }
        self.release(state);
        Ok(())
    }
}
