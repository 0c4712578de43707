//! Whose turn it is to take work from the front of one half of a connection.
//!
//! A half's lock guards fields only and is never held across a system call; what the lock cannot cover, the turn does.
//! The rules of passing it on stand here alone, and loom tries them with every interleaving of callers, the loop and
//! a close. Invariant: while work is queued, somebody has the turn and will come back to look at the queue.

/// Who has the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nobody; the queue is empty.
    #[default]
    Idle,
    /// A thread that asks the kernel now, without the lock, and looks at the queue when it locks again. If it waits for the
    /// socket, it is called off once there is something to look at.
    Trying,
    /// The receive loop's round: it collects what its callbacks send, and tries it together at the round's end.
    Batched,
    /// The loop: it has a request in flight, or mail that tells it to begin.
    Loop,
}

/// What the one who has just queued work must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// Nothing: the one who has the turn comes back.
    Fine,
    /// The same, but the loop may have a new deadline to mind.
    TellLoop,
    /// Post the half to its loop, which has the turn now.
    PostToLoop,
    /// Ask for the round's end, which has the turn now.
    AtRoundEnd,
    /// The turn is the caller's: try the queue, then release.
    Try,
}

/// What the one who has given its turn back must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Nothing is left to do.
    Idle,
    /// Post the half to its loop, which has the turn now.
    PostToLoop,
    /// Everything accepted has ended, and the half was closed meanwhile: end it.
    Finish,
}

impl Turn {
    /// Takes a free turn, to try before anything is queued.
    pub fn take(&mut self) -> bool {
        let free = *self == Turn::Idle;
        if free {
            *self = Turn::Trying;
        }
        free
    }

    /// Work was queued, `in_round` by a callback whose sends are collected. A turn that was free is somebody's now.
    pub fn queued(&mut self, in_round: bool) -> Queued {
        match (*self, in_round) {
            (Turn::Idle, true) => {
                *self = Turn::Batched;
                Queued::AtRoundEnd
            }
            (Turn::Idle, false) => {
                *self = Turn::Loop;
                Queued::PostToLoop
            }
            // A callback may take long; another thread does not wait for the end of its round.
            (Turn::Batched, false) => {
                *self = Turn::Trying;
                Queued::Try
            }
            (Turn::Trying, _) | (Turn::Batched, true) => Queued::Fine,
            (Turn::Loop, _) => Queued::TellLoop,
        }
    }

    /// The round is over. True: its turn was not taken over meanwhile, and the caller has it: try the queue.
    pub fn round_ended(&mut self) -> bool {
        let ours = *self == Turn::Batched;
        if ours {
            *self = Turn::Trying;
        }
        ours
    }

    /// The one who has the turn gives it back; the loop keeps it while there is work.
    pub fn release(&mut self, has_work: bool, closing: bool) -> Released {
        debug_assert!(*self != Turn::Idle, "only the one who has the turn can give it back");
        if has_work {
            *self = Turn::Loop;
            return Released::PostToLoop;
        }
        *self = Turn::Idle;
        if closing { Released::Finish } else { Released::Idle }
    }

    /// The half was closed or broken. What the caller must do so that it is noticed.
    pub fn noticed(&mut self) -> Queued {
        match self {
            Turn::Idle => {
                *self = Turn::Trying;
                Queued::Try
            }
            Turn::Trying | Turn::Batched => Queued::Fine,
            Turn::Loop => Queued::TellLoop,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::mailbox::{self, Letter, Listed, Mailbox};
    use crate::sync::atomic::{AtomicBool, Ordering};
    use crate::sync::{Arc, Condvar, Mutex};
    use loom::thread;
    use std::collections::VecDeque;

    /// A sink in small: numbers instead of sends, and a kernel that takes the first number offered directly and
    /// refuses the rest, so that every path is walked.
    struct Half {
        listed: AtomicBool,
        state: Mutex<State>,
        mailbox: Mailbox<Half>,
        bell: Mutex<bool>,
        rung: Condvar,
    }

    #[derive(Default)]
    struct State {
        turn: Turn,
        closing: bool,
        closed: u32,
        queue: VecDeque<u32>,
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
                state: Mutex::new(State { budget, ..State::default() }),
                mailbox: Mailbox::new(),
                bell: Mutex::new(false),
                rung: Condvar::new(),
            })
        }

        fn post(self: &Arc<Self>) {
            if self.mailbox.post(Arc::clone(self)) {
                *self.bell.lock() = true;
                self.rung.notify_one();
            }
        }

        fn kernel_takes(state: &mut State) -> bool {
            let takes = state.budget > 0;
            state.budget = state.budget.saturating_sub(1);
            takes
        }

        fn release(self: &Arc<Self>, state: &mut State) {
            match state.turn.release(!state.queue.is_empty(), state.closing) {
                Released::Idle => {}
                Released::PostToLoop => self.post(),
                Released::Finish => state.closed += 1,
            }
        }

        fn try_queue(self: &Arc<Self>) {
            let mut state = self.state.lock();
            if !state.queue.is_empty() && Half::kernel_takes(&mut state) {
                let number = state.queue.pop_front().unwrap();
                state.out.push(number);
            }
            self.release(&mut state);
        }

        /// A send from any thread. True: accepted.
        fn send(self: &Arc<Self>, number: u32, in_round: bool) -> bool {
            let mut state = self.state.lock();
            if state.closing {
                return false;
            }
            if !in_round && state.turn.take() {
                drop(state); // the kernel is asked here
                state = self.state.lock();
                if Half::kernel_takes(&mut state) {
                    state.out.push(number);
                } else {
                    state.queue.push_front(number);
                }
                self.release(&mut state);
                return true;
            }
            state.queue.push_back(number);
            match state.turn.queued(in_round) {
                Queued::Fine | Queued::TellLoop | Queued::AtRoundEnd => {}
                Queued::PostToLoop => self.post(),
                Queued::Try => {
                    drop(state);
                    self.try_queue();
                }
            }
            true
        }

        fn end_round(self: &Arc<Self>) {
            let ours = self.state.lock().turn.round_ended();
            if ours {
                self.try_queue();
            }
        }

        fn close(self: &Arc<Self>) {
            let mut state = self.state.lock();
            state.closing = true;
            match state.turn.noticed() {
                Queued::Try => self.release(&mut state),
                Queued::TellLoop => self.post(),
                _ => {}
            }
        }

        /// The loop, until the half has ended.
        fn run(self: &Arc<Self>) {
            let mut mail = Vec::new();
            while self.state.lock().closed == 0 {
                self.mailbox.take(&mut mail);
                for letter in mail.drain(..) {
                    let Letter::Listed(half) = letter else { unreachable!("nothing else was posted") };
                    mailbox::unlist(&*half);
                    let mut state = half.state.lock();
                    if state.turn == Turn::Loop {
                        // As the ring would: everything that is queued goes out in its order.
                        let queued: Vec<u32> = state.queue.drain(..).collect();
                        state.out.extend(queued);
                        half.release(&mut state);
                    }
                }
                if self.state.lock().closed == 0 && self.mailbox.sleep() {
                    let mut rung = self.bell.lock();
                    while !*rung {
                        self.rung.wait(&mut rung);
                    }
                    *rung = false;
                }
            }
        }

        fn wake_for_the_end(&self) {
            // The model's loop ends by looking; a half that was finished by a caller has no mail for it.
            if self.mailbox.nudge() {
                *self.bell.lock() = true;
                self.rung.notify_one();
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
            let batched = looper.join().unwrap();
            let state = half.state.lock();
            let mut out = state.out.clone();
            assert!(in_order(&out, 1, 2), "order of one thread: {out:?}");
            out.sort_unstable();
            let mut wanted = Vec::new();
            wanted.extend(accepted[0].then_some(1));
            wanted.extend(accepted[1].then_some(2));
            wanted.extend(batched.then_some(3));
            assert_eq!(out, wanted);
            assert_eq!(state.closed, 1);
            assert!(state.queue.is_empty());
            drop(state);
            assert_eq!(half.state.lock().turn, Turn::Idle);
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
