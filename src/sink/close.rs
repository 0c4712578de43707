//! How a sink ends: by a close, an abort, its net, or an error that broke it.
//!
//! Invariant: the half counts as closed once, and the sink leaves its net after that. A FIN follows everything that was
//! accepted. If something was lost, a reset replaces the FIN.

use super::{Sink, State};
use crate::error::Error;
use crate::linger::Linger;
use crate::members::{Member, Place, Stop};
use crate::ownership::Owner;
use crate::socket::Half;
use crate::sync::MutexGuard;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

impl Sink {
    /// Ends the half, once everything accepted is out or lost: FIN or reset, and the end of the watch.
    pub(super) fn finish_close(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let counted = mem::replace(&mut state.counted, true);
        let (cause, polls) = (state.cause, state.poll.is_some());
        let ending = state.ending.take();
        drop(state);
        if polls {
            self.post_to_loop(); // the loop ends the poll; before the sink leaves
        }
        let result = match cause {
            // A truncated stream must not look complete.
            Some(cause) => {
                self.socket.reset();
                Err(cause)
            }
            None => self.socket.shutdown_send(),
        };
        if let Some(ending) = ending {
            ending.half_over(&self.net.recv_loop, Half::Send, result); // before the sink leaves
        }
        if !counted {
            Linger::half_closed(&self.net, &self.socket); // before the sink leaves: a net without members may end
        }
        self.net.members.leave(&**self);
    }

    /// Sends what was accepted, then a FIN. A second close does nothing. The close of a broken sink resets.
    pub fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.front.closing || state.counted {
            return; // closed, or another thread closes it now
        }
        if state.front.owner() != Owner::Nobody {
            // When both halves are closed, the linger discards input during the drain: a peer that sends before it reads
            // would otherwise never read. This comes before the sink is closing, because a closing sink may finish and
            // leave, and a net without members may end.
            state.counted = true;
            drop(state);
            Linger::half_closed(&self.net, &self.socket);
            state = self.lock();
        }
        self.silence_room(&mut state);
        state.begin_closing();
        self.look_again(state);
    }

    /// Discards what is unsent, resets the connection, and ends both halves.
    pub fn abort(self: &Arc<Self>) {
        // The stream ends first: its pending operations must end with CLOSED, before they meet the reset.
        if let Some(stream) = self.stream.upgrade() {
            stream.end(Error::CLOSED);
        }
        self.end_now(Error::CLOSED);
    }

    pub(super) fn end_now(self: &Arc<Self>, cause: Error) {
        let mut state = self.lock();
        if state.front.is_closed() && cause == Error::STOPPED {
            return; // the FIN is out: the linger cuts what the peer has not acknowledged, and reports it
        }
        let counted = mem::replace(&mut state.counted, true);
        if !state.front.is_closed() {
            if cause != Error::PANIC {
                self.silence_room(&mut state);
            } else if state.room.end() {
                self.post_room(); // the handle is still open
            }
            state.begin_closing();
            if cause == Error::STOPPED && !state.queue.is_empty() {
                self.net.sends_were_cut();
            }
            state.cause.get_or_insert(cause);
        }
        drop(state);
        self.socket.reset();
        if !counted {
            Linger::half_closed(&self.net, &self.socket);
        }
        self.look_again(self.lock());
    }

    fn silence_room(self: &Arc<Self>, state: &mut State) {
        if state.room.silence() {
            self.post_room(); // which ends the poll
        }
    }

    /// Notifies the owner that the end has begun.
    fn look_again(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if let Some(forward) = &state.seldom.forward {
            self.net.recv_loop.post(Arc::clone(forward)); // which ends, and releases the sink
        }
        let next = state.front.notify_closed();
        self.follow(state, next); // from now on the close timeout counts
    }
}

impl State {
    fn begin_closing(&mut self) {
        if !self.front.closing {
            self.front.closing = true;
            if self.front.owner() != Owner::Nobody {
                self.seldom.progress = Some(Instant::now()); // the drain begins
            }
        }
    }
}

impl Member for Sink {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        match how {
            Stop::Work => {} // accepted sends go out first
            Stop::Connections => self.close(),
            Stop::Now(cause) => self.end_now(cause),
        }
    }

    fn ask_net(&self) {
        self.lock().asks_net = true; // the lock shuts the gate, too
    }
}
