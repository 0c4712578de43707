//! Who owns one half of a connection, and so may take work from the front of its queue.
//!
//! A half's lock guards fields only and is never held across a system call; what the lock cannot cover, the owner does.
//! The rules of passing it on stand here alone, and loom tries them with every interleaving of callers, the loop and
//! a close. Invariant: while work is queued, somebody owns the half and will come back to look at the queue.

use crate::sync::atomic::{AtomicU8, Ordering};

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

/// What whoever has just queued work, or closed the half, must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the owner comes back.
    Nothing,
    /// The same, but the owner is the loop, which may have a new deadline to mind.
    TellLoop,
    /// Post the half to its loop, which owns it now.
    PostToLoop,
    /// Ask for the round's end: the round owns the half now.
    AtRoundEnd,
    /// The half is the caller's: try the queue, then release.
    Try,
}

/// What whoever has released a half must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRelease {
    /// Nothing is left to do.
    Nothing,
    /// Post the half to its loop, which owns it now.
    PostToLoop,
    /// Everything accepted has ended, and the half was closed meanwhile: end it.
    Finish,
}

impl Owner {
    /// Makes the caller the owner of what nobody owns, to try before anything is queued.
    pub fn claim(&mut self) -> bool {
        let free = *self == Owner::Nobody;
        if free {
            *self = Owner::Caller;
        }
        free
    }

    /// Work was queued, `in_round` by a callback whose sends are collected. A half that nobody owned has an owner now.
    pub fn queued(&mut self, in_round: bool) -> Next {
        match (*self, in_round) {
            (Owner::Nobody, true) => {
                *self = Owner::Round;
                Next::AtRoundEnd
            }
            (Owner::Nobody, false) => {
                *self = Owner::Loop;
                Next::PostToLoop
            }
            // A callback may take long; another thread does not wait for the end of its round.
            (Owner::Round, false) => {
                *self = Owner::Caller;
                Next::Try
            }
            (Owner::Caller, _) | (Owner::Round, true) => Next::Nothing,
            (Owner::Loop, _) => Next::TellLoop,
        }
    }

    /// The round is over, or somebody cannot wait for its end. True: nobody took the half from the round before, and the
    /// caller owns it now: try the queue.
    pub fn take_from_round(&mut self) -> bool {
        let ours = *self == Owner::Round;
        if ours {
            *self = Owner::Caller;
        }
        ours
    }

    /// The owner gives the half back; it goes to the loop while there is work.
    pub fn release(&mut self, has_work: bool, closing: bool) -> AfterRelease {
        debug_assert!(*self != Owner::Nobody, "only an owner can release");
        if has_work {
            *self = Owner::Loop;
            return AfterRelease::PostToLoop;
        }
        *self = Owner::Nobody;
        if closing { AfterRelease::Finish } else { AfterRelease::Nothing }
    }

    /// The half was closed or broken. What the caller must do so that the owner notices.
    pub fn notify_closed(&mut self) -> Next {
        match self {
            Owner::Nobody => {
                *self = Owner::Caller;
                Next::Try
            }
            Owner::Caller | Owner::Round => Next::Nothing,
            Owner::Loop => Next::TellLoop,
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
        // Release pairs with the Acquire of `pass` and `shut`.
        self.0.compare_exchange(PASSED, OPEN, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Under the lock, before anything else is done there.
    pub fn shut(&self, owner: &mut Owner) {
        // It is opened under the lock alone, so that a gate seen shut stays so.
        if self.0.load(Ordering::Relaxed) != SHUT && self.0.swap(SHUT, Ordering::Acquire) == PASSED {
            *owner = Owner::Caller;
        }
    }

    /// Under the lock: nobody owns the half, and nothing stands in the way of one who claims it.
    pub fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::mailbox::{self, Letter, Listed, Mailbox};
    use crate::sync::atomic::AtomicBool;
    use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
    use loom::thread;
    use std::collections::VecDeque;
    use std::mem;

    /// A sink in small: numbers instead of sends, and a kernel that takes the first number offered directly and
    /// refuses the rest, so that every path is walked.
    struct Half {
        listed: AtomicBool,
        gate: Gate,
        state: Mutex<State>,
        kernel: Mutex<Kernel>,
        mailbox: Mailbox<Half>,
        waker: Mutex<bool>,
        woken: Condvar,
    }

    #[derive(Default)]
    struct State {
        owner: Owner,
        closing: bool,
        closed: u32,
        queue: VecDeque<u32>,
    }

    #[derive(Default)]
    struct Kernel {
        asked: bool,
        out: Vec<u32>,
        budget: u32,
    }

    impl Listed for Half {
        fn listed(&self) -> &AtomicBool {
            &self.listed
        }
    }

    impl Half {
        fn new(budget: u32) -> Arc<Half> {
            Arc::new(Half {
                listed: AtomicBool::new(false),
                gate: Gate::new(true),
                state: Mutex::new(State::default()),
                kernel: Mutex::new(Kernel { budget, ..Kernel::default() }),
                mailbox: Mailbox::new(),
                waker: Mutex::new(false),
                woken: Condvar::new(),
            })
        }

        fn post(self: &Arc<Self>) {
            if self.mailbox.post(Arc::clone(self)) {
                *self.waker.lock() = true;
                self.woken.notify_one();
            }
        }

        fn lock(&self) -> MutexGuard<'_, State> {
            let mut state = self.state.lock();
            self.gate.shut(&mut state.owner);
            state
        }

        fn kernel_takes(&self, number: u32) -> bool {
            let asked = mem::replace(&mut self.kernel.lock().asked, true);
            assert!(!asked, "the half has one owner");
            let mut kernel = self.kernel.lock();
            kernel.asked = false;
            let takes = kernel.budget > 0;
            if takes {
                kernel.budget -= 1;
                kernel.out.push(number);
            }
            takes
        }

        fn release(self: &Arc<Self>, state: &mut State) {
            match state.owner.release(!state.queue.is_empty(), state.closing) {
                AfterRelease::Nothing => self.gate.open(),
                AfterRelease::PostToLoop => self.post(),
                AfterRelease::Finish => state.closed += 1,
            }
        }

        fn try_queue(self: &Arc<Self>) {
            let mut state = self.lock();
            if let Some(number) = state.queue.front().copied()
                && self.kernel_takes(number)
            {
                state.queue.pop_front();
            }
            self.release(&mut state);
        }

        /// As the owner: what a first try does, and what follows it.
        fn try_first(self: &Arc<Self>, number: u32) {
            if self.kernel_takes(number) {
                if !self.gate.leave() {
                    self.release(&mut self.lock());
                }
            } else {
                let mut state = self.lock();
                state.queue.push_front(number);
                self.release(&mut state);
            }
        }

        /// A send from any thread. True: accepted.
        fn send(self: &Arc<Self>, number: u32, in_round: bool) -> bool {
            if !in_round && self.gate.pass() {
                self.try_first(number);
                return true;
            }
            let mut state = self.lock();
            if state.closing {
                return false;
            }
            if !in_round && state.owner.claim() {
                drop(state);
                self.try_first(number);
                return true;
            }
            state.queue.push_back(number);
            match state.owner.queued(in_round) {
                Next::Nothing | Next::TellLoop | Next::AtRoundEnd => {}
                Next::PostToLoop => self.post(),
                Next::Try => {
                    drop(state);
                    self.try_queue();
                }
            }
            true
        }

        fn end_round(self: &Arc<Self>) {
            let ours = self.lock().owner.take_from_round();
            if ours {
                self.try_queue();
            }
        }

        fn close(self: &Arc<Self>) {
            let mut state = self.lock();
            state.closing = true;
            match state.owner.notify_closed() {
                Next::Try => self.release(&mut state),
                Next::TellLoop => self.post(),
                _ => {}
            }
        }

        /// The loop, until the half has ended.
        fn run(self: &Arc<Self>) {
            let mut mail = Vec::new();
            while self.lock().closed == 0 {
                self.mailbox.take(&mut mail);
                for letter in mail.drain(..) {
                    let Letter::Listed(half) = letter else { unreachable!("nothing else was posted") };
                    mailbox::unlist(&*half);
                    let mut state = half.lock();
                    if state.owner == Owner::Loop {
                        // As the ring would: everything that is queued goes out in its order.
                        half.kernel.lock().out.extend(state.queue.drain(..));
                        half.release(&mut state);
                    }
                }
                if self.lock().closed == 0 && self.mailbox.sleep() {
                    let mut woken = self.waker.lock();
                    while !*woken {
                        woken = self.woken.wait(woken);
                    }
                    *woken = false;
                }
            }
        }

        fn wake_for_the_end(&self) {
            // The model's loop ends by looking; a half that was finished by a caller has no mail for it.
            if self.mailbox.nudge() {
                *self.waker.lock() = true;
                self.woken.notify_one();
            }
        }
    }

    fn in_order(out: &[u32], first: u32, second: u32) -> bool {
        let place = |number| out.iter().position(|found| *found == number);
        match (place(first), place(second)) {
            (Some(a), Some(b)) => a < b,
            (None, Some(_)) => false,
            _ => true,
        }
    }

    /// Two threads send while a third closes: what was accepted goes out once, each thread's in its order, and the
    /// half ends exactly once and not before.
    fn model(budget: u32) {
        loom::model(move || {
            let half = Half::new(budget);
            let sender = {
                let half = Arc::clone(&half);
                thread::spawn(move || {
                    let accepted = [half.send(1, false), half.send(2, false)];
                    half.close();
                    half.wake_for_the_end();
                    accepted
                })
            };
            let looper = {
                let half = Arc::clone(&half);
                thread::spawn(move || {
                    // The loop's thread runs callbacks too: one that sends, and the end of its round.
                    let accepted = half.send(3, true);
                    half.end_round();
                    half.run();
                    accepted
                })
            };
            let accepted = sender.join().unwrap();
            let in_round = looper.join().unwrap();
            let state = half.state.lock();
            let mut out = half.kernel.lock().out.clone();
            assert!(in_order(&out, 1, 2), "order of one thread: {out:?}");
            out.sort_unstable();
            let mut wanted = Vec::new();
            wanted.extend(accepted[0].then_some(1));
            wanted.extend(accepted[1].then_some(2));
            wanted.extend(in_round.then_some(3));
            assert_eq!(out, wanted);
            assert_eq!(state.closed, 1);
            assert!(state.queue.is_empty());
            drop(state);
            assert_eq!(half.lock().owner, Owner::Nobody);
            let _ = half.listed.load(Ordering::Relaxed);
        });
    }

    #[test]
    fn nothing_is_lost_when_the_kernel_takes_all() {
        model(9);
    }

    #[test]
    fn nothing_is_lost_when_the_kernel_takes_nothing() {
        model(0);
    }

    #[test]
    fn nothing_is_lost_when_the_kernel_takes_one() {
        model(1);
    }
}
