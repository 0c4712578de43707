//! The state machines that a loop drives, and the results that it passes to them.
//!
//! Invariant: each request that a handler submits comes back to it once, with its memory.

use super::EventLoop;
use super::round_sends::InRound;
use crate::completion::Operation;
use crate::engine::{PoolBuffer, Request, answer_of};
use crate::mailbox::Listed;
use crate::sync::atomic::AtomicBool;
use crate::sys::Answer;
use std::sync::Arc;

/// A state machine that a loop drives. All calls come on that loop's thread, with no lock held.
pub trait Handler: Listed + Send + Sync {
    /// A thread has changed its state, and posted it.
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop);
    /// One of its requests is over, and comes back with its memory.
    fn on_complete(self: Arc<Self>, _: &mut EventLoop, _: Request, _: Reaped) {
        unreachable!("it submits no requests");
    }
    /// One of its requests has brought bytes, and goes on. True: there is more to do, by [`Handler::on_mail`].
    fn on_data(&self, _: &mut Request, _: &[u8]) -> bool {
        unreachable!("it submits no receive that completes more than once");
    }
    /// [`Handler::on_data`] probably comes soon, for a watch or for receives in a queue: fetches to the cache what that reads.
    fn warm_up(&self, _is_watched: bool) {}
    /// One of its polls has seen something, and goes on.
    fn on_ready(self: Arc<Self>, _: &mut EventLoop) {
        unreachable!("it submits no poll that completes more than once");
    }
    /// A moment for which it armed its timer has come.
    fn on_timeout(self: Arc<Self>, _: &mut EventLoop) {
        unreachable!("it arms no timer");
    }
    /// The round in which it sends is over. True: the engine may have the send. False: another thread has taken it away, and
    /// [`Handler::end_round`] comes.
    fn leave_round(&self) -> bool {
        unreachable!("it sends nothing in a round");
    }
    /// All bytes of its send in the round have gone. False: it needs [`Handler::on_sent`].
    fn all_sent(&self, _: usize) -> bool {
        unreachable!("it sends nothing in a round");
    }
    /// Its send in the round is over.
    fn on_sent(self: Arc<Self>, _: Sent) {
        unreachable!("it sends nothing in a round");
    }
    /// The round in which it asked for [`super::LoopHandle::at_round_end`] is over.
    fn end_round(self: Arc<Self>) {
        unreachable!("it never asked for the end of a round");
    }
    /// One of the calls above panicked: the handler must end its handle or operation.
    fn fail(self: Arc<Self>);
}

/// The outcome of a send in a round.
pub struct Sent<'a> {
    pub(super) result: i32,
    /// What was to be sent.
    pub content: InRound<'a>,
}

impl Sent<'_> {
    /// The kernel's answer.
    pub fn answer(&self) -> Answer {
        answer_of(self.result)
    }
}

/// The outcome of a request.
pub struct Reaped<'a> {
    pub(super) result: i32,
    /// The pool buffer with the bytes, if the kernel picked one.
    pub buffer: Option<PoolBuffer<'a>>,
}

impl Reaped<'_> {
    /// The kernel's answer.
    #[inline]
    pub fn answer(&self) -> Answer {
        answer_of(self.result)
    }
}

impl Listed for Operation {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

/// A complete operation in the mail: only its callback is left to run.
impl Handler for Operation {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        event_loop.count_callback();
        self.run_callback();
    }

    fn fail(self: Arc<Self>) {} // its callback has had its one call
}
