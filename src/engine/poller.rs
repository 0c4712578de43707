#![allow(unsafe_code)] // calls on memory that requests name
//! The engine over epoll: it waits until sockets are ready, and then does by calls what each request asks for.
//!
//! One turn of [`Poller::enter`]:
//!
//! 1. work off what was noted, in order: try each request, arm the request if it has to wait, or cancel it;
//! 2. wait for events.
//!
//! Then each [`Poller::reap`] asks the sockets of the next few events, once for each event, and makes the completion that a ring
//! would have. It asks them in a row, because the code of a receive is in the cache then. After an answer with many bytes the
//! loop handles what there is before the next socket is asked. Therefore few pool buffers, which stay in the cache, serve all
//! receives.
//!
//! An event has the number of its request. A socket is armed once in an epoll descriptor, because a half has one request in
//! flight that waits, and each loop serves one direction. Exception: a poll for a hang-up goes on beside the receives of its
//! socket, and beside other such polls (poller/hang_ups.rs).
//!
//! Silent sends go to a ring of their own (ring/send_ring.rs), if the plan allows one.
//!
//! Invariant: a descriptor is armed only while a request in flight holds it open. A forked child may hold a closed descriptor,
//! and events of such a descriptor would wake the loop up again and again.

mod hang_ups;
mod task;

use self::hang_ups::HangUps;
use self::task::{Outcome, Task, Tasks};
use super::pool::{BufferPool, POOL_BUFFER_SIZE};
use super::ring::SendRing;
use super::{Completion, Features, Plan, Request, RequestId, Wait, Waker};
use crate::epoll::Epoll;
use crate::sys::to_error;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The data of the eventfd's events.
const WOKEN: u64 = u64::MAX;
/// The data of the event that polls for a hang-up have events.
const HANG_UPS: u64 = u64::MAX - 1;
/// The data of the events of a descriptor that becomes readable at a deadline.
const DEADLINE: u64 = u64::MAX - 2;

/// The most events of one wait. The wait looks at each socket, and what it has looked at should still be in the cache when the
/// socket is asked.
const EVENTS: usize = 64;

/// The most sockets that are asked one right after the other.
const BATCH: usize = 16;
/// The most bytes of an answer after which the next socket is asked at once.
const SMALL: isize = 4 << 10;

/// The flags of a completion, as io_uring has them.
const MORE: u32 = 1 << 1;
const BUFFER: u32 = 1;
const BUFFER_SHIFT: u32 = 16;

/// Two epoll descriptors, and what waits in them.
pub struct Poller {
    epoll: Epoll,
    /// `None`: the loop does not receive, and has no such polls.
    hang_ups: Option<HangUps>,
    pool: Option<Rc<BufferPool>>,
    /// Takes silent sends. `None`: the engine takes none.
    sends: Option<Box<SendRing>>,
    multishot: bool,
    noted: VecDeque<Note>,
    tasks: Tasks,
    done: Vec<Completion>,
    events: Vec<libc::epoll_event>,
    /// The first event whose socket was not asked.
    next: usize,
    crowded: bool,
    interrupted: bool,
    enters: u64,
    entries: u64,
    /// Its eventfd is armed for as long as the engine exists.
    _waker: Arc<Waker>,
}

/// What the loop has asked for, in its order. If a cancel overtook the submission of its request, the request would lose its
/// one try.
#[derive(Clone, Copy, Debug)]
enum Note {
    Submit(RequestId),
    Cancel(RequestId),
}

impl Poller {
    pub fn new(wanted: Features, receives: bool, waker: &Arc<Waker>) -> io::Result<Poller> {
        let mut poller = Poller {
            epoll: Epoll::new()?,
            hang_ups: if receives { Some(HangUps::new()?) } else { None },
            pool: None,
            sends: None,
            multishot: false,
            noted: VecDeque::new(),
            tasks: Tasks::default(),
            done: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            next: 0,
            crowded: false,
            interrupted: false,
            enters: 0,
            entries: 0,
            _waker: Arc::clone(waker),
        };
        // Edge triggered: each write to the eventfd is one event, without a read of it.
        poller.epoll.add(waker.fd(), (libc::EPOLLIN | libc::EPOLLET) as u32, WOKEN)?;
        if let Some(hang_ups) = &poller.hang_ups {
            poller.epoll.add(hang_ups.fd(), libc::EPOLLIN as u32, HANG_UPS)?;
        }
        poller.enter(Wait::No)?; // a filter may allow the set-up and refuse the wait
        if receives && wanted.has(Features::BUFFER_RING) {
            poller.pool = Some(Rc::new(BufferPool::for_calls(POOL_BUFFER_SIZE)?));
            poller.multishot = wanted.has(Features::MULTISHOT);
        }
        Ok(poller)
    }

    pub fn prepare_silent_sends(&mut self, plan: Plan) -> bool {
        self.sends = SendRing::new(plan.size, plan.features).map(Box::new);
        self.sends.is_some()
    }

    /// # Safety
    /// That of [`super::Engine::send_silently`].
    #[inline]
    pub unsafe fn send_silently(&mut self, place: usize, fd: RawFd, part: libc::iovec) {
        let sends = self.sends.as_mut().expect("the loop has prepared them");
        // SAFETY: the caller vouches for the same.
        unsafe { sends.send_silently(place, fd, part) };
    }

    pub fn decide(&mut self, into: &mut Vec<Completion>) -> io::Result<bool> {
        self.sends.as_mut().map_or(Ok(true), |sends| sends.decide(into))
    }

    pub fn has_multishot(&self) -> bool {
        self.multishot
    }

    pub fn pool(&self) -> Option<Rc<BufferPool>> {
        self.pool.clone()
    }

    /// # Safety
    /// That of [`super::Engine::submit`].
    #[inline]
    pub unsafe fn submit(&mut self, id: RequestId, request: &mut Request) {
        self.entries += 1;
        self.tasks.insert(id, Task::of(request));
        self.noted.push_back(Note::Submit(id));
    }

    pub fn cancel(&mut self, id: RequestId) {
        self.noted.push_back(Note::Cancel(id));
    }

    pub fn has_work(&self) -> bool {
        !self.noted.is_empty() || self.crowded
    }

    pub fn has_armed(&self) -> bool {
        self.tasks.are_armed()
    }

    pub fn has_completions(&self) -> bool {
        !self.done.is_empty() || self.next < self.events.len()
    }

    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    pub fn left(&self) -> usize {
        self.events.len() - self.next
    }

    pub fn counts(&self) -> (u64, u64) {
        let (enters, entries) = self.sends.as_ref().map_or((0, 0), |sends| sends.counts());
        (self.enters + enters, self.entries + entries)
    }

    #[inline(never)]
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.work_off();
        if self.next < self.events.len() {
            return Ok(());
        }
        let time = match wait {
            _ if !self.done.is_empty() || !self.noted.is_empty() => Some(Duration::ZERO),
            Wait::No => Some(Duration::ZERO),
            Wait::Forever => None,
            Wait::For(time) => Some(time),
        };
        self.enters += 1;
        self.next = 0;
        self.interrupted = self.epoll.wait(&mut self.events, time)?;
        self.crowded = self.events.len() == self.events.capacity();
        Ok(())
    }

    /// Whether a signal has ended the last wait.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// A second descriptor of the engine's epoll, which is readable whenever a wait would end at once. From now on the deadlines
    /// of `timer` end a wait too, and bring no completion.
    pub fn descriptor(&self, timer: RawFd) -> io::Result<Epoll> {
        self.epoll.add(timer, (libc::EPOLLIN | libc::EPOLLET) as u32, DEADLINE)?;
        self.epoll.duplicate()
    }

    /// From now on no wait lasts, and the descriptor is readable: the waker's eventfd, which has a wake, is level-triggered.
    pub fn stay_readable(descriptor: &Epoll, waker: &Waker) {
        waker.wake_by_descriptor();
        let _ = descriptor.change(waker.fd(), libc::EPOLLIN as u32, WOKEN); // it knows the eventfd
    }

    /// Works off what was noted, as far as there are pool buffers. The loop gives them back when it handles the completions.
    pub fn work_off(&mut self) {
        while let Some(note) = self.noted.front().copied() {
            match note {
                Note::Submit(id) if !self.begin(id) => return,
                Note::Submit(_) => {}
                Note::Cancel(id) => self.end_early(id),
            }
            self.noted.pop_front();
        }
    }

    /// Tries a request, and arms it if it has to wait. False: there is no pool buffer for it.
    fn begin(&mut self, id: RequestId) -> bool {
        let Some(task) = self.tasks.get(id) else {
            return true;
        };
        let outcome = if task.tries_first {
            // SAFETY: the table has tasks of requests in flight alone.
            unsafe { task.ask(0, self.pool.as_deref()) }
        } else {
            Outcome::Wait
        };
        match outcome {
            Outcome::Complete(result, buffer) => {
                self.tasks.remove(id);
                self.done.push(completion(id, result, buffer, false));
            }
            Outcome::Wait => self.arm(id),
            Outcome::NoBuffer => return false,
        }
        true
    }

    fn arm(&mut self, id: RequestId) {
        let Some(task) = self.tasks.arm(id) else {
            return;
        };
        let armed = match &mut self.hang_ups {
            Some(hang_ups) if task.is_hang_up() => hang_ups.add(task.fd, task.events, id),
            _ => Poller::arm_alone(&self.epoll, &task, id),
        };
        if let Err(error) = armed {
            self.tasks.remove(id);
            self.done.push(completion(id, to_error(error).code(), None, false));
        }
    }

    fn arm_alone(epoll: &Epoll, task: &Task, id: RequestId) -> io::Result<()> {
        // A task that stays armed is removed at its end. Any other leaves its socket known, and not armed.
        let first = if task.stays_armed() { Epoll::add } else { Epoll::change };
        match first(epoll, task.fd, task.events, id.bits()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                epoll.add(task.fd, task.events, id.bits())
            }
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                epoll.change(task.fd, task.events, id.bits())
            }
            armed => armed,
        }
    }

    /// Cancels a request, unless it has completed.
    fn end_early(&mut self, id: RequestId) {
        if self.tasks.get(id).is_some() {
            self.end(id);
            self.done.push(completion(id, -libc::ECANCELED, None, false));
        }
    }

    /// Forgets a task. If it is armed, epoll forgets its socket.
    fn end(&mut self, id: RequestId) {
        if let Some(task) = self.tasks.remove(id) {
            match &mut self.hang_ups {
                Some(hang_ups) if task.is_hang_up() => hang_ups.remove(task.fd, id),
                _ => drop(self.epoll.remove(task.fd)), // it does not know the socket of a task that was not armed
            }
        }
    }

    /// Moves completions to `into`: first those that need no event, then what the sockets of the next events answer. True: it
    /// has more.
    #[inline(never)] // keeps the way of a ring short
    pub fn reap(&mut self, into: &mut Vec<Completion>) -> bool {
        into.append(&mut self.done);
        self.ask_some(into);
        self.has_completions()
    }

    #[inline(always)]
    fn ask_some(&mut self, into: &mut Vec<Completion>) {
        let end = self.events.len().min(self.next + BATCH);
        while self.next < end {
            let event = self.events[self.next];
            self.next += 1;
            if self.ask(event, into) > SMALL {
                return;
            }
        }
    }

    /// Adds what an event brings, once its socket has been asked. Returns how many bytes there are in a pool buffer; 0 or less:
    /// there are none.
    #[inline(always)]
    fn ask(&mut self, event: libc::epoll_event, into: &mut Vec<Completion>) -> isize {
        let Some(id) = RequestId::from_bits(event.u64) else {
            return 0; // no event has this number
        };
        let (Some(task), Some(pool)) = (self.tasks.get(id).filter(|task| task.is_pooled()), &self.pool)
        else {
            into.extend(self.take_other(id, event.events));
            return 0;
        };
        let Some(buffer) = pool.take() else {
            into.extend(self.end_event(id, Outcome::NoBuffer));
            return 0;
        };
        // SAFETY: it was taken just now.
        let result = unsafe { task.receive(pool, buffer) };
        if result <= 0 || !task.goes_on_after(result as u32) {
            let outcome = task.received(pool, buffer, result);
            into.extend(self.end_event(id, outcome));
            return result;
        }
        if task.may_have_more(result as u32, event.events) {
            self.look_again(id);
        }
        into.push(completion(id, result as i32, Some(buffer), true)); // a message
        result
    }

    /// What an event brings that is not for a receive into a pool buffer.
    #[inline(never)] // keeps the way of a message short
    fn take_other(&mut self, id: RequestId, events: u32) -> Option<Completion> {
        match id.bits() {
            WOKEN => return Some(Completion { number: WOKEN, result: 0, flags: MORE }),
            HANG_UPS => self.take_hang_ups(),
            _ => {} // a request, or a deadline: the loop looks at its deadlines in each round
        }
        let task = self.tasks.get(id)?; // none: it was cancelled since
        // SAFETY: the table has tasks of requests in flight alone.
        match unsafe { task.ask(events, self.pool.as_deref()) } {
            Outcome::Complete(result, buffer) if task.goes_on(result) => {
                Some(completion(id, result, buffer, true))
            }
            outcome => self.end_event(id, outcome),
        }
    }

    /// Has epoll report once more what the socket of an armed request has, behind all sockets that it reports already.
    #[cold]
    fn look_again(&mut self, id: RequestId) {
        if let Some(task) = self.tasks.get(id) {
            let _ = self.epoll.change(task.fd, task.events, id.bits()); // it knows the socket
        }
    }

    /// Goes on after an event that has ended its request, or has brought nothing.
    #[cold]
    fn end_event(&mut self, id: RequestId, outcome: Outcome) -> Option<Completion> {
        let stays_armed = self.tasks.get(id)?.stays_armed();
        match outcome {
            Outcome::Complete(result, buffer) => {
                if stays_armed {
                    self.end(id);
                } else {
                    self.tasks.remove(id); // the event has disarmed it
                }
                Some(completion(id, result, buffer, false))
            }
            Outcome::Wait | Outcome::NoBuffer => {
                if !stays_armed {
                    self.arm(id);
                } else if outcome == Outcome::NoBuffer {
                    self.look_again(id);
                }
                None
            }
        }
    }

    /// Queues the events of polls for a hang-up behind the others.
    #[cold]
    fn take_hang_ups(&mut self) {
        if let Some(hang_ups) = &mut self.hang_ups {
            hang_ups.take(&mut self.events);
        }
    }

    /// Ends every request. No call is under way, so all come back at once.
    pub fn give_up(mut self) -> Vec<Completion> {
        let ids = self.tasks.ids();
        self.events.clear(); // their sockets keep what they have
        ids.into_iter().for_each(|id| self.end_early(id));
        self.done
    }
}

#[inline]
fn completion(id: RequestId, result: i32, buffer: Option<u16>, more: bool) -> Completion {
    let buffer = buffer.map_or(0, |buffer| BUFFER | u32::from(buffer) << BUFFER_SHIFT);
    let more = if more { MORE } else { 0 };
    Completion { number: id.bits(), result, flags: buffer | more }
}

#[cfg(all(test, not(loom)))]
mod tests;
