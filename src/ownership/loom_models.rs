//! The rules of ownership in every order that loom finds. The front, gate and mailbox are the real ones. The half around
//! them is as small as it can be and still send.

#![allow(unsafe_code)]

use super::*;
use crate::mailbox::{self, Letter, Listed, Mailbox};
use crate::sync::atomic::AtomicBool;
use crate::sync::cell::UnsafeCell;
use crate::sync::{Arc, Condvar};
use loom::thread;
use std::collections::VecDeque;
use std::mem;

/// A half that sends numbers. Its kernel refuses all but the first ones, which covers every path.
struct Half {
    first_try: bool,
    /// The sends of callbacks leave together at the end of the round.
    together: bool,
    /// The loop never finds room.
    full: bool,
    listed: AtomicBool,
    gate: Gate,
    in_round: InRound,
    state: Mutex<State>,
    kernel: Kernel,
    mailbox: Mailbox<Half>,
    waker: Mutex<bool>,
    woken: Condvar,
    /// The loop of the model ends with the half.
    ended: AtomicBool,
    /// The round has something to try at its end. The loop alone uses this.
    round_ends: AtomicBool,
}

#[derive(Default)]
struct State {
    front: Front,
    broken: bool,
    queue: VecDeque<u32>,
}

/// What the owner alone accesses, without a lock. loom complains unless the rules order one owner's accesses before those of
/// the next owner.
struct Kernel(UnsafeCell<Asked>);

/// What the round has. Whoever the gate gives it to accesses it, without a lock.
struct InRound(UnsafeCell<u32>);

struct Asked {
    room: u32,
    out: Vec<u32>,
    finished: bool,
}

// SAFETY: loom checks each access.
unsafe impl Sync for Kernel {}
// SAFETY: as above.
unsafe impl Sync for InRound {}

impl InRound {
    /// The loop alone puts, before it passes the gate.
    fn put(&self, number: u32) {
        // SAFETY: loom checks that no other thread accesses it meanwhile.
        self.0.with_mut(|place| unsafe { *place = number });
    }

    fn take(&self) -> u32 {
        // SAFETY: as above.
        self.0.with_mut(|place| mem::take(unsafe { &mut *place }))
    }
}

/// Where a send comes from, as in sink.rs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    None,
    First,
    Again,
}

/// How sends leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// By system calls of their own.
    Calls,
    /// Those of callbacks together, at the end of the round.
    Together,
    /// All by way of the loop.
    Loop,
}

impl Kernel {
    fn ask<R>(&self, question: impl FnOnce(&mut Asked) -> R) -> R {
        // SAFETY: loom checks that no other thread accesses it meanwhile.
        self.0.with_mut(|asked| question(unsafe { &mut *asked }))
    }

    fn takes(&self, number: u32) -> bool {
        self.ask(|asked| {
            assert!(!asked.finished, "nothing follows the end");
            let takes = asked.room > 0;
            if takes {
                asked.room -= 1;
                asked.out.push(number);
            }
            takes
        })
    }
}

impl AsMut<Front> for State {
    fn as_mut(&mut self) -> &mut Front {
        &mut self.front
    }
}

impl Listed for Half {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Half {
    fn new(mode: Mode, full: bool, room: u32) -> Arc<Half> {
        let kernel = Kernel(UnsafeCell::new(Asked { room, out: Vec::new(), finished: false }));
        Arc::new(Half {
            first_try: mode != Mode::Loop,
            together: mode == Mode::Together,
            full,
            listed: AtomicBool::new(false),
            gate: Gate::new(mode != Mode::Loop),
            in_round: InRound(UnsafeCell::new(0)),
            state: Mutex::new(State::default()),
            kernel,
            mailbox: Mailbox::new(),
            waker: Mutex::new(false),
            woken: Condvar::new(),
            ended: AtomicBool::new(false),
            round_ends: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let (mut state, has_taken) = self.gate.lock(&self.state);
        if has_taken {
            state.queue.push_front(self.in_round.take());
        }
        state
    }

    fn follow(self: &Arc<Self>, state: MutexGuard<'_, State>, next: Next) {
        match next {
            Next::Nothing | Next::TellLoop => {}
            Next::Open => {
                if self.first_try && !state.broken {
                    self.gate.open();
                }
            }
            Next::TellForward => unreachable!("nothing is forwarded here"),
            Next::AtRoundEnd => self.round_ends.store(true, Ordering::Relaxed),
            Next::Try => self.try_queue(state),
            Next::PostToLoop => {
                drop(state);
                if self.mailbox.post(Arc::clone(self)) {
                    self.wake_up();
                }
            }
            Next::Finish => {
                drop(state);
                let again = self.kernel.ask(|asked| mem::replace(&mut asked.finished, true));
                assert!(!again, "the half ends once");
                self.ended.store(true, Ordering::Release);
                if self.mailbox.nudge() {
                    self.wake_up();
                }
            }
        }
    }

    fn wake_up(&self) {
        *self.waker.lock() = true;
        self.woken.notify_one();
    }

    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.broken {
            state.queue.clear();
        }
        let has_work = !state.queue.is_empty();
        let next = state.front.release(has_work);
        self.follow(state, next);
    }

    fn try_queue<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        if let Some(number) = state.queue.front().copied() {
            drop(state);
            let taken = self.kernel.takes(number);
            state = self.lock();
            if taken {
                state.queue.pop_front();
            }
        }
        self.release(state);
    }

    /// As the owner.
    fn try_first(self: &Arc<Self>, number: u32) {
        if !self.kernel.takes(number) {
            let mut state = self.lock();
            state.queue.push_front(number);
            self.release(state);
        } else if !self.gate.leave() {
            self.release(self.lock());
        }
    }

    /// The send leaves with the round. False: it must go another way.
    fn send_in_round(self: &Arc<Self>, number: u32) -> bool {
        self.in_round.put(number);
        self.gate.pass_for_round()
    }

    /// As the loop, which asks the kernel for what the round has.
    fn leave_round(self: &Arc<Self>) {
        if self.gate.leave_round() {
            let number = self.in_round.take();
            self.end_sent(number);
        } else {
            self.round_ends.store(true, Ordering::Relaxed);
        }
    }

    /// The kernel has decided what the round had.
    fn end_sent(self: &Arc<Self>, number: u32) {
        let taken = self.kernel.takes(number);
        if taken && self.gate.leave() {
            return;
        }
        let mut state = self.lock();
        if taken {
            return self.try_queue(state);
        }
        state.queue.push_front(number);
        self.release(state);
    }

    /// True: accepted.
    fn send(self: &Arc<Self>, number: u32, round: Round) -> bool {
        if round == Round::First && self.together && self.send_in_round(number) {
            return true;
        }
        if round == Round::First && self.gate.pass() {
            self.try_first(number);
            return true;
        }
        let mut state = self.lock();
        if state.front.closing {
            return false;
        }
        if self.first_try && round != Round::Again && state.front.claim() {
            drop(state);
            self.try_first(number);
            return true;
        }
        state.queue.push_back(number);
        let next = state.front.queued(round != Round::None && self.first_try);
        self.follow(state, next);
        true
    }

    fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.front.closing = true;
        let next = state.front.notify_closed();
        self.follow(state, next);
    }

    fn abort(self: &Arc<Self>) {
        let mut state = self.lock();
        state.front.closing = true;
        state.broken = true;
        drop(state); // the real half resets the connection here, without the lock
        let mut state = self.lock();
        let next = state.front.notify_closed();
        self.follow(state, next);
    }

    fn end_round(self: &Arc<Self>) {
        if self.together {
            self.leave_round();
        }
        if self.round_ends.load(Ordering::Relaxed) {
            self.round_ends.store(false, Ordering::Relaxed);
            let mut state = self.lock();
            if state.front.take_from_round() {
                self.try_queue(state);
            }
        }
    }

    /// As the loop, until the half has ended.
    fn run(self: &Arc<Self>) {
        let mut mail = Vec::new();
        while !self.ended.load(Ordering::Acquire) {
            self.mailbox.take(&mut mail);
            for letter in mail.drain(..) {
                let Letter::Listed(half) = letter else { unreachable!("nothing else was posted") };
                mailbox::unlist(&*half);
                let mut state = half.lock();
                if state.front.owner() == Owner::Loop && (state.broken || !half.full) {
                    // As the ring does: sends the whole queue in its order.
                    if !state.broken {
                        half.kernel.ask(|asked| asked.out.extend(state.queue.drain(..)));
                    }
                    half.release(state);
                }
            }
            if self.mailbox.sleep() {
                let mut woken = self.waker.lock();
                while !*woken {
                    woken = self.woken.wait(woken);
                }
                *woken = false;
            }
        }
    }
}

/// One thread sends and closes while the loop's thread sends as callbacks do. What was accepted goes out once, and each
/// thread's numbers in their order. The half then ends, once.
fn model(mode: Mode, room: u32) {
    loom::model(move || {
        let half = Half::new(mode, false, room);
        let sender = {
            let half = Arc::clone(&half);
            thread::spawn(move || {
                let accepted = [1, 2].map(|number| half.send(number, Round::None));
                half.close();
                accepted
            })
        };
        let looper = {
            let half = Arc::clone(&half);
            thread::spawn(move || {
                let accepted =
                    [(3, Round::First), (4, Round::Again)].map(|(number, round)| half.send(number, round));
                half.end_round();
                half.run();
                accepted
            })
        };
        let accepted = [1, 2].into_iter().zip(sender.join().unwrap());
        let accepted = accepted.chain([3, 4].into_iter().zip(looper.join().unwrap()));
        let accepted: Vec<_> = accepted.filter(|(_, accepted)| *accepted).map(|(number, _)| number).collect();
        let out = half.kernel.ask(|asked| asked.out.clone());
        let of = |numbers: &[u32], thread: &[u32]| {
            numbers.iter().copied().filter(|number| thread.contains(number)).collect::<Vec<_>>()
        };
        for thread in [[1, 2].as_slice(), &[3, 4]] {
            assert_eq!(of(&out, thread), of(&accepted, thread), "{out:?}");
        }
        assert!(half.kernel.ask(|asked| asked.finished));
        let state = half.lock();
        assert!(state.queue.is_empty());
        assert_eq!(state.front.owner(), Owner::Nobody);
    });
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_all() {
    model(Mode::Calls, 9);
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_nothing() {
    model(Mode::Calls, 0);
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_one() {
    model(Mode::Calls, 1);
}

#[test]
fn nothing_is_lost_without_a_first_try() {
    model(Mode::Loop, 0);
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_a_rounds_sends() {
    model(Mode::Together, 9);
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_no_send_of_a_round() {
    model(Mode::Together, 0);
}

#[test]
fn nothing_is_lost_when_the_kernel_takes_one_send_of_a_round() {
    model(Mode::Together, 1);
}

/// A half ends although its loop waits for room that never comes.
fn abort_model(mode: Mode, room: u32) {
    loom::model(move || {
        let half = Half::new(mode, true, room);
        let sender = {
            let half = Arc::clone(&half);
            thread::spawn(move || {
                half.send(1, Round::None);
                half.abort();
            })
        };
        let looper = {
            let half = Arc::clone(&half);
            thread::spawn(move || {
                half.send(2, Round::First);
                half.send(3, Round::Again);
                half.end_round();
                half.run();
            })
        };
        sender.join().unwrap();
        looper.join().unwrap();
        assert!(half.kernel.ask(|asked| asked.finished));
        let state = half.lock();
        assert!(state.queue.is_empty());
        assert_eq!(state.front.owner(), Owner::Nobody);
    });
}

#[test]
fn an_abort_ends_what_the_loop_cannot_send() {
    abort_model(Mode::Calls, 0);
}

#[test]
fn an_abort_beside_a_send_ends_the_half_once() {
    abort_model(Mode::Calls, 9);
}

#[test]
fn an_abort_ends_what_a_round_has() {
    abort_model(Mode::Together, 0);
}
