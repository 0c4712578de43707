//! What a sink sends by way of the receive loop's round, together with the sends of other sinks.
//!
//! The round owns the sink until its end, unless a thread locks the sink before and takes the send away. Invariant: a send
//! that the round has comes before everything that is queued.

use super::queue::{Content, Item};
use super::{Sink, State};
use crate::completion::{Tell, Teller};
use crate::deadlines::Limit;
use crate::error::Error;
use crate::event_loop::{InRound, RoundSends};
use crate::parts::Parts;
use crate::socket::Tried;
use crate::sync::atomic::Ordering;
use std::sync::Arc;

impl Sink {
    /// Gives a callback's post to its round, which sends it together with others. False: the post must go another way.
    #[inline(always)] // most posts where no sends leave together end here
    pub(super) fn post_in_round(self: &Arc<Self>, data: &[u8]) -> bool {
        let sends = self.net.recv_loop.round_of_many();
        sends.is_some_and(|sends| self.copy_to_round(sends, data))
    }

    #[inline(never)] // keeps a post by a call short
    fn copy_to_round(self: &Arc<Self>, sends: &RoundSends, data: &[u8]) -> bool {
        sends.copy(self, self.socket.fd(), data, |place| self.pass_for_round(place))
    }

    /// Gives a callback's send to its round, which sends it together with others. Gives `tell` back if the send must go another
    /// way.
    ///
    /// # Safety
    /// As `begin_send`.
    #[allow(unsafe_code)]
    #[inline]
    pub(super) unsafe fn send_in_round<'a>(
        self: &Arc<Self>,
        sends: &RoundSends,
        parts: &Parts,
        tell: Tell<'a>,
    ) -> std::result::Result<(), Tell<'a>> {
        let (memory, callback) = match (parts, tell) {
            (Parts::One(start, size), Tell::Call(callback)) => ((*start, *size), callback),
            (_, tell) => return Err(tell),
        };
        let Ok(permit) = self.net.permit_for(&self.socket) else {
            return Err(Tell::Call(callback)); // the other way reports that
        };
        let (fd, told) = (self.socket.fd(), (callback, permit));
        // SAFETY: the caller vouches until the end.
        let lent = unsafe { sends.lend(self, fd, memory, told, |place| self.pass_for_round(place)) };
        lent.map_err(|(callback, _)| Tell::Call(callback))
    }

    #[inline]
    fn pass_for_round(&self, place: u32) -> bool {
        self.place_in_round.store(place, Ordering::Relaxed);
        self.gate.pass_for_round()
    }

    /// Goes on with a send that has left with a round, at least in part, and still owns the sink. The callers of posts were
    /// told that the sink took them.
    pub(super) fn end_sent(self: &Arc<Self>, content: InRound<'_>, tried: Tried) {
        let sent = if let Tried::Bytes(count) = tried { count } else { 0 };
        let mut state = self.lock();
        if let Tried::Failed(error) = tried {
            state.break_with(error);
        }
        if sent == content.data.len() {
            return self.try_queue(state); // what was queued meanwhile
        }
        if state.cause == Some(Error::STOPPED) {
            self.net.sends_were_cut();
        }
        self.queue_sent(&mut state, content, sent);
        if state.queue.is_one_try() {
            state.end_try(self.outbox());
        }
        self.release(state);
    }

    /// Queues the send that waited for the end of a round, before all that follows.
    #[allow(unsafe_code)]
    #[cold]
    pub(super) fn queue_taken(&self, state: &mut State) {
        let Some(sends) = self.net.recv_loop.round_sends() else {
            return;
        };
        let place = self.place_in_round.load(Ordering::Relaxed); // the gate orders it
        // SAFETY: the gate has just given the send to this thread, which holds the lock.
        let taken = unsafe { sends.take_away(place as usize) };
        self.queue_sent(state, taken, 0);
    }

    /// Queues the rest of a send that was in a round. It comes before all that follows. `sent` bytes of it are out.
    fn queue_sent(&self, state: &mut State, InRound { data, told }: InRound<'_>, sent: usize) {
        if let Some((callback, permit)) = told {
            let content = Content::Lent(Parts::of(data), Teller::Call(callback, permit));
            let limit = Limit::from_now(state.timeout(&self.net));
            return state.queue.push(Item { content, sent, size: data.len(), limit }, true);
        }
        if let Err(error) = state.queue.post_front(&data[sent..]) {
            state.break_with(error); // its caller was told that the sink took it
        }
    }
}
