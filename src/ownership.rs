//! Who owns one half of a connection, and so may take work from the front of its queue; and when a closed half ends.
//!
//! A half's lock guards fields only and is never held across a system call; what the lock cannot cover, the owner does.
//! The rules of passing it on stand here alone: a half does what [`Next`] says. loom tries them with every interleaving of
//! callers, rounds, the loop and a close. Invariant: while work is queued, somebody owns the half and will come back to look at the queue.

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Who owns a half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Nobody; the queue is empty.
    #[default]
    Nobody,
    /// A thread that asks the kernel now, without the lock, and looks at the queue when it locks again. If it waits for the
    /// socket, it is interrupted once there is something to look at.
    Caller,
    /// The receive loop's round: it collects what its callbacks send, and tries it together at the round's end.
    Round,
    /// The loop: it has a request in flight, or mail that tells it to begin.
    Loop,
}

/// What whoever has changed a half must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Nothing: the owner comes back. If it waits for the socket, interrupt it.
    Nothing,
    /// The same, but the owner is the loop, which may have a new deadline to mind.
    TellLoop,
    /// Post the half to its loop, which owns it.
    PostToLoop,
    /// Ask for the round's end: the round owns the half now.
    AtRoundEnd,
    /// The half is the caller's: try the queue, then release.
    Try,
    /// Nobody owns the half, and it is not closed. If it has a gate, the gate may open.
    Open,
    /// Everything accepted has ended, and the half was closed meanwhile: end it. Nobody else is told to.
    Finish,
}

/// The front of a half's queue: who owns it, and whether the half is to end. The half's lock guards it.
#[derive(Debug, Default)]
pub struct Front {
    owner: Owner,
    /// The half takes nothing new. It ends when its owner releases it without work.
    pub closing: bool,
    closed: bool,
}

impl Front {
    /// Who owns it.
    #[inline]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Somebody was told to end the half.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Makes the caller the owner of what nobody owns, to try before anything is queued.
    #[inline]
    #[must_use]
    pub fn claim(&mut self) -> bool {
        let free = self.owner == Owner::Nobody;
        if free {
            self.owner = Owner::Caller;
        }
        free
    }

    /// Work was queued, `in_round` by a callback whose sends are collected. A half that nobody owned has an owner now.
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
            // A callback may take long; another thread does not wait for the end of its round.
            (Owner::Round, false) => {
                self.owner = Owner::Caller;
                Next::Try
            }
            (Owner::Caller, _) | (Owner::Round, true) => Next::Nothing,
            (Owner::Loop, _) => Next::TellLoop,
        }
    }

    /// The round is over, or somebody cannot wait for its end. True: nobody took the half from the round before, and the
    /// caller owns it now: try the queue.
    #[inline]
    #[must_use]
    pub fn take_from_round(&mut self) -> bool {
        let ours = self.owner == Owner::Round;
        if ours {
            self.owner = Owner::Caller;
        }
        ours
    }

    /// The owner gives the half back; it goes to the loop while there is work.
    #[inline]
    pub fn release(&mut self, has_work: bool) -> Next {
        debug_assert!(self.owner != Owner::Nobody, "only an owner can release");
        if has_work {
            self.owner = Owner::Loop;
            return Next::PostToLoop;
        }
        self.owner = Owner::Nobody;
        if !self.closing {
            return Next::Open;
        }
        let ended = std::mem::replace(&mut self.closed, true);
        if ended { Next::Nothing } else { Next::Finish }
    }

    /// The owner gives back a half without work, and will claim it again: then its release ends a closed half.
    pub fn let_go(&mut self) {
        self.owner = Owner::Nobody;
    }

    /// The half was closed or broken: what the caller must do so that the owner notices.
    pub fn notify_closed(&mut self) -> Next {
        match self.owner {
            Owner::Nobody => {
                self.owner = Owner::Caller;
                Next::Try
            }
            Owner::Caller | Owner::Round => Next::Nothing,
            Owner::Loop => Next::PostToLoop,
        }
    }
}

/// The way past a half's lock, for a try that needs nothing of what the lock guards.
///
/// Open: nobody owns the half, and nothing stands in the way of one who claims it. Whoever locks shuts the gate first and
/// has all to itself then, except that one who is past the gate owns the half, as if it had claimed it under the lock.
#[derive(Debug)]
pub struct Gate(AtomicU8);

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const PASSED: u8 = 2;

impl Gate {
    /// Of a half to which nothing has happened yet.
    pub fn new(open: bool) -> Gate {
        Gate(AtomicU8::new(if open { OPEN } else { SHUT }))
    }

    /// Claims a half that nobody owns, without the lock; [`Gate::leave`] releases it.
    #[inline]
    pub fn pass(&self) -> bool {
        // Acquire pairs with the Release of `open` and `leave`: what others sent is in the kernel before.
        self.0.compare_exchange(OPEN, PASSED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The one who has passed releases the half. False: the gate was shut meanwhile, and it has to release under the lock.
    #[inline]
    pub fn leave(&self) -> bool {
        // Release pairs with the Acquire of `pass` and `lock`.
        self.0.compare_exchange(PASSED, OPEN, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Locks the half, and shuts the gate before anything else is done there.
    #[inline]
    pub fn lock<'a, S: AsMut<Front>>(&self, state: &'a Mutex<S>) -> MutexGuard<'a, S> {
        let mut state = state.lock();
        // It is opened under the lock alone, so that a gate seen shut stays so.
        if self.0.load(Ordering::Relaxed) != SHUT && self.0.swap(SHUT, Ordering::Acquire) == PASSED {
            state.as_mut().owner = Owner::Caller;
        }
        state
    }

    /// Under the lock, after [`Next::Open`]: nothing stands in the way of one who claims the half.
    pub fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_models;
