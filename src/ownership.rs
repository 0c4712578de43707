//! Who owns one half of a connection, and when a closed half ends. Only the owner takes work from the front of its queue.
//!
//! A half's lock guards fields alone. No thread holds it across a system call that moves bytes: ownership protects the front
//! of the queue meanwhile. This file alone has the rules that pass ownership on, and a half does what [`Next`] says. loom
//! tries the rules with every interleaving of callers, rounds, the loop and a close.
//!
//! Invariant: while work is queued, the half has an owner, and that owner will look at the queue again.

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Who owns a half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// No owner: the queue is empty.
    #[default]
    Nobody,
    /// A thread that calls the kernel now, without the lock. It looks at the queue when it locks again. If it waits for the
    /// socket, new work or a close interrupts it.
    Caller,
    /// The receive loop's round: it collects what its callbacks send, and tries all of it at the round's end.
    Round,
    /// The loop: it has a request in flight, or mail to begin.
    Loop,
    /// A forward, which alone sends on the half until its end. The receive loop drives it.
    Forward,
}

/// What a thread that has changed a half must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Nothing: the owner comes back. If the owner waits for the socket, interrupt it.
    Nothing,
    /// The same, but the owner is the loop, and it may have to arm its timer for a new deadline.
    TellLoop,
    /// Post the half to its loop, which owns it.
    PostToLoop,
    /// Register for the round's end: the round owns the half now.
    AtRoundEnd,
    /// The calling thread owns the half: try the queue, then release.
    Try,
    /// The half has no owner, and it is not closed. If it has a gate, the gate may open.
    Open,
    /// The forward that waited for the half owns it now: tell the forward.
    TellForward,
    /// Everything accepted has ended, and the half was closed meanwhile: end it. One thread alone gets this.
    Finish,
}

/// The front of a half's queue: who owns it, and whether the half is to end. The half's lock guards it.
#[derive(Debug, Default)]
pub struct Front {
    owner: Owner,
    /// The half takes nothing new. It ends when its owner releases it and no work is left.
    pub closing: bool,
    closed: bool,
    /// A forward owns the half, or becomes its owner as soon as no other work is left.
    forwarded: bool,
}

impl Front {
    /// Who owns the half.
    #[inline]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether a thread has got [`Next::Finish`].
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Makes the calling thread the owner if there is none. It then tries before it queues anything.
    #[inline]
    #[must_use]
    pub fn claim(&mut self) -> bool {
        let free = self.owner == Owner::Nobody;
        if free {
            self.owner = Owner::Caller;
        }
        free
    }

    /// Work was queued. `in_round`: by a callback whose sends the round collects. The half now has an owner.
    #[inline]
    pub fn queued(&mut self, in_round: bool) -> Next {
        match (self.owner, in_round) {
            (Owner::Nobody, true) => {
                self.owner = Owner::Round;
                Next::AtRoundEnd
            }
            (Owner::Nobody, false) => {
                self.owner = Owner::Loop;
                Next::PostToLoop
            }
            // A callback may take long. Therefore another thread does not wait for the end of the round.
            (Owner::Round, false) => {
                self.owner = Owner::Caller;
                Next::Try
            }
            (Owner::Caller | Owner::Forward, _) | (Owner::Round, true) => Next::Nothing,
            (Owner::Loop, _) => Next::TellLoop,
        }
    }

    /// The round is over, or a thread cannot wait for its end. True: the round still owned the half. Now the calling thread
    /// owns it: try the queue.
    #[inline]
    #[must_use]
    pub fn take_from_round(&mut self) -> bool {
        let ours = self.owner == Owner::Round;
        if ours {
            self.owner = Owner::Caller;
        }
        ours
    }

    /// The owner releases the half. While there is work, the loop becomes the owner.
    #[inline]
    pub fn release(&mut self, has_work: bool) -> Next {
        debug_assert!(self.owner != Owner::Nobody, "only an owner can release");
        if has_work {
            self.owner = Owner::Loop;
            return Next::PostToLoop;
        }
        if self.forwarded {
            self.owner = Owner::Forward;
            return Next::TellForward;
        }
        self.owner = Owner::Nobody;
        if !self.closing {
            return Next::Open;
        }
        let ended = std::mem::replace(&mut self.closed, true);
        if ended { Next::Nothing } else { Next::Finish }
    }

    /// A forward begins. It owns the half once earlier work is done. True: it owns the half now.
    #[must_use]
    pub fn begin_forward(&mut self) -> bool {
        debug_assert!(!self.forwarded, "a half has one forward at a time");
        self.forwarded = true;
        let free = self.owner == Owner::Nobody;
        if free {
            self.owner = Owner::Forward;
        }
        free
    }

    /// The forward is over. True: it owned the half, and the calling thread must release the half.
    #[must_use]
    pub fn end_forward(&mut self) -> bool {
        self.forwarded = false;
        self.owner == Owner::Forward
    }

    /// The owner releases a half without work, and will claim it again. The later release then ends a closed half.
    pub fn let_go(&mut self) {
        self.owner = Owner::Nobody;
    }

    /// The half was closed or broken. Returns what the calling thread must do to make the owner notice.
    pub fn notify_closed(&mut self) -> Next {
        match self.owner {
            Owner::Nobody => {
                self.owner = Owner::Caller;
                Next::Try
            }
            Owner::Caller | Owner::Round | Owner::Forward => Next::Nothing,
            Owner::Loop => Next::PostToLoop,
        }
    }
}

/// The way past a half's lock, for a try that needs nothing of what the lock guards.
///
/// An open gate means that the half has no owner, and that nothing stands in the way of a claim. A thread that locks shuts
/// the gate first, and then has the half to itself. Exception: a thread that has passed the gate owns the half, as if it had
/// claimed the half under the lock. If a callback has passed it for a round, the round owns the half.
#[derive(Debug)]
pub struct Gate(AtomicU8);

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const PASSED: u8 = 2;
const IN_ROUND: u8 = 3;

impl Gate {
    /// The gate of a new half.
    pub fn new(open: bool) -> Gate {
        Gate(AtomicU8::new(if open { OPEN } else { SHUT }))
    }

    /// Claims a half without an owner, past the lock. [`Gate::leave`] releases it.
    #[inline]
    pub fn pass(&self) -> bool {
        // Acquire pairs with the Release of `open` and `leave`: what other threads sent is in the kernel before.
        self.0.compare_exchange(OPEN, PASSED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Claims a half without an owner for the receive loop's round, past the lock. [`Gate::leave_round`] comes next, unless a
    /// thread locks the half before.
    #[inline]
    pub fn pass_for_round(&self) -> bool {
        // Acquire as in `pass`. Release pairs with the Acquire of `lock`: who takes the send away from the round sees it.
        self.0.compare_exchange(OPEN, IN_ROUND, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// As the round, which is over: its thread owns the half now, as if it had passed the gate by itself. False: the gate was
    /// shut meanwhile, and the rules under the lock say what the round must do.
    #[inline]
    pub fn leave_round(&self) -> bool {
        self.0.compare_exchange(IN_ROUND, PASSED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Releases the half that [`Gate::pass`] claimed. False: the gate was shut meanwhile, and the owner must release under
    /// the lock.
    #[inline]
    pub fn leave(&self) -> bool {
        // Release pairs with the Acquire of `pass` and `lock`.
        self.0.compare_exchange(PASSED, OPEN, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Locks the half, and shuts the gate before it returns. True: this call has taken away the send for which a callback had
    /// passed the gate for its round. The send is the caller's now, and comes before all others.
    #[inline]
    pub fn lock<'a, S: AsMut<Front>>(&self, state: &'a Mutex<S>) -> (MutexGuard<'a, S>, bool) {
        let mut state = state.lock();
        // The gate opens only under the lock. Therefore a gate that is shut here stays shut.
        let before = match self.0.load(Ordering::Relaxed) {
            SHUT => SHUT,
            _ => self.0.swap(SHUT, Ordering::Acquire),
        };
        match before {
            PASSED => state.as_mut().owner = Owner::Caller,
            IN_ROUND => state.as_mut().owner = Owner::Round,
            _ => {}
        }
        (state, before == IN_ROUND)
    }

    /// Opens the gate. The caller holds the lock, has got [`Next::Open`], and nothing stands in the way of a claim.
    pub fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_models;
