//! The sending half of a connection.
//!
//! Callers try their sends and posts on their own threads first (sink/send.rs, sink/post.rs). The sink queues the rest for the
//! send loop, which owns the sink until the queue is empty. ownership.rs says who owns the queue's front at a moment.
//!
//! Invariant: only the owner removes sends from the front. Therefore what the kernel reads stays queued until its answer.
//! Life (open, closing, closed, and the cause that broke the sink) changes at any moment. The owner sees the change when it
//! locks again. Once the gate was shut, the owner must lock to release the sink.

mod close;
mod drive;
mod forward;
mod idle;
mod post;
mod queue;
mod round;
mod send;
mod watch;

pub use self::forward::Forwarded;

use self::queue::SendQueue;
use self::watch::Room;
use crate::address;
use crate::completion::{Outbox, Target};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::event_loop::{Handler, RequestId};
use crate::idle::SendingHalf;
use crate::mailbox::Listed;
use crate::members::Place;
use crate::net::Net;
use crate::ownership::{Front, Gate, Next};
use crate::parts::{EMPTY_PART, Gather, PARTS_MAX};
use crate::permits::SinkSocket;
use crate::rare::{Rare, Unchanged};
use crate::socket::{Half, Socket, Tried};
use crate::socket_waiter::SocketWaiter;
use crate::stream::Stream;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::timers::Timer;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The sending half of a connection. A callback's send needs what comes before the state, which is one cache line.
#[repr(C)]
pub struct Sink {
    listed: AtomicBool,
    /// The mark of the side that tells of room. See sink/watch.rs.
    room_listed: AtomicBool,
    /// Open only while nothing is queued and nothing stands in a send's way. A callback's send then goes past the lock.
    gate: Gate,
    /// Callbacks sent here several times in the last round. Only the receive loop uses this field and the next.
    had_several: AtomicBool,
    /// The last round in which a callback sent here.
    last_round: AtomicU32,
    /// Where the round has a send of this sink. The receive loop writes it, and the gate says who may read it.
    place_in_round: AtomicU32,
    place: Place,
    net: Arc<Net>,
    socket: SinkSocket,
    stream: Weak<Stream>,
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
    /// Bytes that the kernel has taken.
    pub sent: u64,
    /// Bytes that the stream has received from the kernel.
    pub received: u64,
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
    queue: Rare<SendQueue>,
    told_full: bool,
    room: Room,
    ending: Option<Arc<Ending>>,
    seldom: Rare<Seldom>,
    /// A send in the loop's ring. It completes in the round that submits it.
    request: Option<RequestId>,
    /// A poll in the loop's ring, which reports room. It stays armed from the first time that the socket was full.
    poll: Option<RequestId>,
    /// The socket had no room for the loop's send, and the poll has reported none since.
    full: bool,
}

/// What few sinks have.
#[derive(Default)]
struct Seldom {
    /// The timeout that a caller has set. `None`: the net's counts.
    timeout: Option<Option<Duration>>,
    waiting: Option<WaitingSend>,
    /// The forward that alone may send. See sink/forward.rs.
    forward: Option<Arc<dyn Handler>>,
    /// The idle limit has ended the forward.
    forward_is_late: bool,
    /// When the kernel last took bytes of a drain, or the drain began.
    progress: Option<Instant>,
    /// For deadlines of what waits in the queue.
    timer: Timer,
}

impl Unchanged for Seldom {
    const UNCHANGED: &'static Seldom = &Seldom {
        timeout: None,
        waiting: None,
        forward: None,
        forward_is_late: false,
        progress: None,
        timer: Timer::DISARMED,
    };
}

/// The send of a thread that owns the sink and waits for the socket itself.
struct WaitingSend {
    waiter: Arc<SocketWaiter>,
    /// Bytes that are left to send.
    unsent: usize,
}

impl Sink {
    /// Both halves for `socket`.
    pub fn with_stream(net: &Arc<Net>, socket: Arc<Socket>) -> (Arc<Sink>, Arc<Stream>) {
        let mut stream = None;
        let sink = Arc::new_cyclic(|sink: &Weak<Sink>| {
            let sink: Weak<dyn SendingHalf> = Weak::clone(sink) as _;
            let receives = stream.insert(Stream::new(net, Arc::clone(&socket), sink));
            Sink::new(net, socket, receives)
        });
        let stream = stream.expect("the sink is made with its stream");
        (sink, stream)
    }

    fn new(net: &Arc<Net>, socket: Arc<Socket>, stream: &Arc<Stream>) -> Sink {
        Sink {
            listed: AtomicBool::new(false),
            room_listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            socket: SinkSocket::new(socket),
            stream: Arc::downgrade(stream),
            last_round: AtomicU32::new(0),
            place_in_round: AtomicU32::new(0),
            had_several: AtomicBool::new(false),
            gate: Gate::new(net.config.first_try),
            state: Mutex::new(State {
                front: Front::default(),
                cause: None,
                asks_net: false,
                counted: false,
                queue: Rare::default(),
                told_full: false,
                room: Room::default(),
                ending: None,
                seldom: Rare::default(),
                request: None,
                poll: None,
                full: false,
            }),
        }
    }

    /// Whether `stream` is the receiving half of the same connection.
    pub fn is_of(&self, stream: &Arc<Stream>) -> bool {
        std::ptr::eq(self.stream.as_ptr(), Arc::as_ptr(stream))
    }

    /// The sink's net.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// Locks the state and shuts the gate. Until the gate opens again, a claim needs the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        let (mut state, has_taken) = self.gate.lock(&self.state);
        if has_taken {
            self.queue_taken(&mut state);
        }
        state
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
                let has_timeout = state.timeout(&self.net).is_some();
                drop(state);
                if has_timeout {
                    self.post_to_loop();
                }
            }
            Next::PostToLoop => {
                drop(state);
                self.post_to_loop();
            }
            Next::AtRoundEnd => {
                drop(state);
                self.net.recv_loop.at_round_end(Arc::clone(self) as _);
            }
            Next::Try => self.try_queue(state),
            Next::Open => {} // the gate stays shut for now
            Next::TellForward => self.pass_to_forward(state),
            Next::Finish => self.finish_close(state),
        }
    }

    /// As the owner (`Caller`), offers the queue to the kernel. The send loop gets the rest.
    #[allow(unsafe_code)]
    fn try_queue<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        state.sweep(self.outbox(), self.net.started()); // ends what was cancelled; the loop alone judges what is late
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
                Tried::Bytes(count) => state.advance(self.outbox(), count),
                Tried::WouldBlock => state.end_try(self.outbox()),
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
            if !state.queue.is_empty() {
                state.queue.fail_all(self.outbox(), cause);
            }
            if state.room.end() {
                self.post_room();
            }
        }
        self.tell_room(&mut state);
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

    /// Gets the ends of sends.
    fn outbox(&self) -> &dyn Outbox {
        &*self.net.recv_loop
    }

    fn target(self: &Arc<Self>) -> Weak<dyn Target> {
        let weak: Weak<Sink> = Arc::downgrade(self);
        weak
    }

    /// Operations accepted from now on may take `timeout`. Earlier operations keep theirs.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.lock().seldom.timeout = Some(timeout);
    }

    /// The socket of the connection.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The connection's descriptor, for options.
    pub fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    pub fn info(&self) -> SinkInfo {
        let text = |address: Option<_>| address.as_ref().map(address::format).unwrap_or_default();
        let state = self.lock();
        let unsent = state.queue.unsent() + state.seldom.waiting.as_ref().map_or(0, |send| send.unsent);
        drop(state);
        SinkInfo {
            local: text(self.socket.local()),
            peer: text(self.socket.peer()),
            unsent,
            sent: self.socket.total(Half::Send),
            received: self.socket.total(Half::Recv),
        }
    }
}

impl State {
    /// How long an operation that is accepted now may take.
    fn timeout(&self, net: &Net) -> Option<Duration> {
        self.seldom.get().and_then(|seldom| seldom.timeout).unwrap_or(net.config.timeout)
    }

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
        if let Some(send) = self.seldom.changed().and_then(|seldom| seldom.waiting.take()) {
            send.waiter.interrupt();
        }
    }

    fn break_with(&mut self, cause: Error) {
        self.cause.get_or_insert(cause);
    }

    /// The kernel took `count` bytes.
    fn advance(&mut self, outbox: &dyn Outbox, count: usize) {
        if self.queue.advance(outbox, count) {
            self.break_with(Error::TORN);
        }
        if count > 0 && self.front.closing {
            self.seldom.progress = Some(Instant::now());
        }
    }

    /// The kernel took nothing.
    fn end_try(&mut self, outbox: &dyn Outbox) {
        if self.queue.end_try(outbox) {
            self.break_with(Error::TORN);
        }
    }

    /// Ends items that were cancelled or are late.
    fn sweep(&mut self, outbox: &dyn Outbox, now: Instant) {
        if !self.queue.is_empty() && self.queue.sweep(outbox, now, self.front.closing) {
            self.break_with(Error::TORN);
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
