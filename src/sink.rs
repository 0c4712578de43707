//! The sending half of a connection.
//!
//! Callers try their sends on their own threads first (sink/send.rs). The sink queues the rest for the send loop, which owns
//! the sink until the queue is empty. ownership.rs says who owns the queue's front at a moment.
//!
//! Invariant: only the owner removes sends from the front. Therefore what the kernel reads stays queued until its answer.
//! Life (open, closing, closed, and the cause that broke the sink) changes at any moment. The owner sees the change when it
//! locks again. Once the gate was shut, the owner must lock to release the sink.

mod close;
mod drive;
mod queue;
mod send;
mod watch;

pub use self::watch::RoomCallback;

use self::queue::SendQueue;
use self::watch::Watch;
use crate::address;
use crate::completion::Target;
use crate::error::{Error, Result};
use crate::event_loop::RequestId;
use crate::mailbox::Listed;
use crate::members::Place;
use crate::net::Net;
use crate::ownership::{Front, Gate, Next, Owner};
use crate::parts::{EMPTY_PART, Gather, PARTS_MAX};
use crate::socket::{Socket, Tried};
use crate::socket_waiter::SocketWaiter;
use crate::stream::Stream;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::timers::Timer;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The sending half of a connection.
pub struct Sink {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    socket: Arc<Socket>,
    stream: Weak<Stream>,
    /// The last round in which a callback sent here. Only the receive loop uses this field and the next.
    last_round: AtomicU32,
    /// Callbacks sent here several times in that round.
    had_several: AtomicBool,
    /// Open only while nothing is queued and nothing stands in a send's way. A callback's send then goes past the lock.
    gate: Gate,
    /// See [`Sink::lock`].
    state: Mutex<State>,
}

/// What a sink reports about itself.
#[derive(Clone, Debug)]
pub struct SinkInfo {
    /// The own address as text.
    pub local: String,
    /// The peer's address as text. It is empty once the connection is gone.
    pub peer: String,
    /// Bytes accepted that the kernel does not have yet.
    pub unsent: usize,
}

/// Where a send comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Not from a callback of this net.
    None,
    /// From a callback, the first send on this sink in the loop's round. The sink tries it at once.
    First,
    /// A further send in the same round, or the first send after a round with several. The round collects such sends,
    /// because together they cost one system call.
    Again,
}

struct State {
    front: Front,
    /// What broke the sink; the first cause stays. Queued and later sends get it.
    cause: Option<Error>,
    /// The net refuses new work, or is about to. New work asks the net first.
    asks_net: bool,
    /// This half counts as one of the two that have closed; see linger.rs.
    counted: bool,
    queue: SendQueue,
    told_full: bool,
    watch: Option<Arc<Watch>>,
    timeout: Option<Duration>,
    /// When the kernel last took bytes, or the sink last had none to give. It counts only while the sink has some.
    progress: Instant,
    /// A send in the loop's ring. It completes in the round that submits it.
    request: Option<RequestId>,
    /// A poll in the loop's ring, which reports room. It stays armed from the first time that the socket was full.
    poll: Option<RequestId>,
    /// The socket had no room for the loop's send, and the poll has reported none since.
    full: bool,
    timer: Timer,
    waiting: Option<WaitingSend>,
}

/// The send of a thread that owns the sink and waits for the socket itself.
struct WaitingSend {
    waiter: Arc<SocketWaiter>,
    /// Bytes that are left to send.
    unsent: usize,
}

impl Sink {
    /// The sending half for `socket`. `stream` is the receiving half.
    pub fn new(net: &Arc<Net>, socket: Arc<Socket>, stream: &Arc<Stream>) -> Arc<Sink> {
        Arc::new(Sink {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            socket,
            stream: Arc::downgrade(stream),
            last_round: AtomicU32::new(0),
            had_several: AtomicBool::new(false),
            gate: Gate::new(net.config.first_try),
            state: Mutex::new(State {
                front: Front::default(),
                cause: None,
                asks_net: false,
                counted: false,
                queue: SendQueue::default(),
                told_full: false,
                watch: None,
                timeout: net.config.timeout,
                progress: net.started(),
                request: None,
                poll: None,
                full: false,
                timer: Timer::default(),
                waiting: None,
            }),
        })
    }

    /// The sink's net.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// Locks the state and shuts the gate. Until the gate opens again, a claim needs the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.gate.lock(&self.state)
    }

    /// Where a send of the calling thread comes from.
    #[inline]
    fn round(&self) -> Round {
        let Some(round) = self.net.recv_loop.current_round() else {
            return Round::None;
        };
        let again = self.last_round.load(Ordering::Relaxed) == round;
        if again || self.had_several.load(Ordering::Relaxed) {
            return self.round_of_several(round, again);
        }
        self.last_round.store(round, Ordering::Relaxed);
        Round::First
    }

    #[inline(never)]
    fn round_of_several(&self, round: u32, again: bool) -> Round {
        self.last_round.store(round, Ordering::Relaxed);
        self.had_several.store(again, Ordering::Relaxed);
        Round::Again
    }

    /// Passes what was queued to an owner, which sends it.
    fn hand_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>, round: Round) {
        let next = state.front.queued(round != Round::None && self.net.config.first_try);
        self.follow(state, next);
    }

    /// Does what the rules of ownership ask for.
    #[inline(always)] // the compiler knows `next` where something is queued
    fn follow(self: &Arc<Self>, mut state: MutexGuard<'_, State>, next: Next) {
        match next {
            Next::Nothing => state.interrupt_waiter(),
            Next::TellLoop => {
                let has_timeout = state.timeout.is_some();
                drop(state);
                if has_timeout {
                    self.post_to_loop();
                }
            }
            Next::PostToLoop => {
                state.progress = Instant::now();
                drop(state);
                self.post_to_loop();
            }
            Next::AtRoundEnd => {
                drop(state);
                self.net.recv_loop.at_round_end(Arc::clone(self) as _);
            }
            Next::Try => self.try_queue(state),
            Next::Open => {} // the gate stays shut for now
            Next::Finish => self.finish_close(state),
        }
    }

    /// As the owner (`Caller`), offers the queue to the kernel. The send loop gets the rest.
    #[allow(unsafe_code)]
    fn try_queue<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        state.sweep(self.net.started()); // ends what was cancelled; the loop alone judges what is late
        if state.cause.is_none() && !state.queue.is_empty() {
            let mut vectors = [EMPTY_PART; PARTS_MAX];
            let mut gather = Gather::new(&mut vectors);
            state.queue.gather(&mut gather);
            drop(state);
            let tried = if gather.bytes() == 0 {
                Tried::Bytes(0) // flushes alone
            } else {
                // SAFETY: this thread owns the sink, so the items stay queued until this thread has the answer. Posts own
                // their memory. Lenders vouch for theirs until their operations complete.
                unsafe { self.socket.try_send_gathered(gather.parts()) }
            };
            state = self.lock();
            state.queue.answered();
            match tried {
                Tried::Bytes(count) => state.advance(count),
                Tried::WouldBlock => state.end_try(),
                Tried::Failed(error) => state.break_with(error),
                Tried::End => unreachable!("a send has no end of stream"),
            }
        }
        self.release(state);
    }

    /// Releases the sink for an owner that needs nothing under the lock. Takes the lock only if the gate was shut.
    #[inline]
    fn release_by_gate(self: &Arc<Self>) {
        if !self.gate.leave() {
            self.release_by_lock();
        }
    }

    #[inline(never)]
    fn release_by_lock(self: &Arc<Self>) {
        self.release(self.lock());
    }

    /// Releases the sink. The send loop gets what is left in the queue. If nothing is left, a close that waited finishes.
    #[inline]
    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.cause.is_some() || state.told_full {
            return self.release_to_tell(state);
        }
        let has_work = !state.queue.is_empty();
        match state.front.release(has_work) {
            // Only callbacks open the gate. Posts of several threads should pile up behind the lock.
            Next::Open => {
                let in_callback = self.net.config.first_try && self.net.recv_loop.current_round().is_some();
                if in_callback && !state.asks_net {
                    self.gate.open();
                }
            }
            next => self.follow_rarely(state, next),
        }
    }

    /// The same for a sink that is broken or has returned FULL. Its watch may have a call to make.
    #[cold]
    fn release_to_tell(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if let Some(cause) = state.cause {
            state.queue.fail_all(cause);
            if let Some(watch) = &state.watch {
                watch.end(&self.net, cause);
            }
        }
        state.tell_room(&self.net);
        let has_work = !state.queue.is_empty();
        let next = state.front.release(has_work);
        self.follow(state, next);
    }

    #[cold]
    fn follow_rarely(self: &Arc<Self>, state: MutexGuard<'_, State>, next: Next) {
        self.follow(state, next);
    }

    fn post_to_loop(self: &Arc<Self>) {
        self.net.send_loop.post(Arc::clone(self) as _);
    }

    fn target(self: &Arc<Self>) -> Weak<dyn Target> {
        let weak: Weak<Sink> = Arc::downgrade(self);
        weak
    }

    /// Calls `callback` when there is room after a FULL, and when the sink ends. `None` ends the watch with CANCELLED.
    pub fn watch(self: &Arc<Self>, callback: Option<RoomCallback>) -> Result {
        let mut state = self.lock();
        let Some(callback) = callback else {
            if let Some(watch) = &state.watch {
                watch.end(&self.net, Error::CANCELLED);
            }
            return Ok(());
        };
        if state.watch.as_ref().is_some_and(|watch| !watch.is_over()) {
            return Err(Error::BUSY);
        }
        state.check_open(&self.net)?;
        let watch = Watch::new(self, callback);
        match state.cause {
            Some(cause) => watch.end(&self.net, cause), // broken already: the first call is the last
            None => watch.begin(&self.net),
        }
        state.watch = Some(watch);
        state.tell_room(&self.net);
        Ok(())
    }

    /// An event has come while the sink sent nothing, and the connection may be broken. If the sink has an owner, that
    /// owner's next send meets the error.
    fn look_whether_broken(self: &Arc<Self>) {
        if !self.lock().front.claim() {
            return;
        }
        let error = self.socket.look_for_error();
        let mut state = self.lock();
        if let Some(error) = error {
            state.break_with(error);
        }
        self.release(state);
    }

    /// Operations accepted from now on may take `timeout`. Earlier operations keep theirs.
    pub fn set_timeout(self: &Arc<Self>, timeout: Option<Duration>) -> Result {
        let mut state = self.lock();
        state.timeout = timeout;
        if !state.front.closing {
            state.progress = Instant::now();
        }
        let owner = state.front.owner();
        drop(state);
        if owner == Owner::Loop {
            self.post_to_loop(); // posts use the new timeout
        }
        Ok(())
    }

    pub fn info(&self) -> SinkInfo {
        let text = |address: Option<_>| address.as_ref().map(address::format).unwrap_or_default();
        let state = self.lock();
        let unsent = state.queue.unsent() + state.waiting.as_ref().map_or(0, |send| send.unsent);
        drop(state);
        SinkInfo { local: text(self.socket.local()), peer: text(self.socket.peer()), unsent }
    }
}

impl State {
    fn check_open(&self, net: &Net) -> Result {
        if !self.front.closing && !self.asks_net {
            return Ok(());
        }
        let closed = self.front.closing.then_some(Error::CLOSED);
        net.refusal().or(closed).map_or(Ok(()), Err)
    }

    /// For calls without a completion: they return at once what has broken the sink.
    fn check_sound(&self, net: &Net) -> Result {
        self.check_open(net)?;
        self.cause.map_or(Ok(()), Err)
    }

    /// Interrupts the thread that waits alone. That thread passes its rest to the loop.
    fn interrupt_waiter(&mut self) {
        if let Some(send) = self.waiting.take() {
            send.waiter.interrupt();
        }
    }

    fn break_with(&mut self, cause: Error) {
        self.cause.get_or_insert(cause);
    }

    /// To be called before a post is queued. The time limit of posts counts from the first one.
    fn first_post(&mut self) {
        if self.queue.posted() == 0 && self.timeout.is_some() {
            self.progress = Instant::now();
        }
    }

    /// The kernel took `count` bytes.
    fn advance(&mut self, count: usize) {
        if count > 0 {
            self.progress = Instant::now();
        }
        if self.queue.advance(count) {
            self.break_with(Error::TORN);
        }
    }

    /// The kernel took nothing.
    fn end_try(&mut self) {
        if self.queue.end_try() {
            self.break_with(Error::TORN);
        }
    }

    /// Ends items that were cancelled or are late.
    fn sweep(&mut self, now: Instant) {
        if self.queue.sweep(now, self.front.closing) {
            self.break_with(Error::TORN);
        }
    }

    /// Reports room to the watch, if a post has returned FULL and half the mark is free.
    fn tell_room(&mut self, net: &Arc<Net>) {
        if self.told_full
            && self.queue.posted() <= net.config.post_mark / 2
            && let Some(watch) = &self.watch
            && watch.room(net)
        {
            self.told_full = false;
        }
    }
}

impl AsMut<Front> for State {
    #[inline]
    fn as_mut(&mut self) -> &mut Front {
        &mut self.front
    }
}

impl Listed for Sink {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for Sink {
    fn cancel_requested(self: Arc<Self>) {
        self.lock().queue.note_cancelled();
        self.post_to_loop();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
