//! The receiving half of a connection.
//!
//! This file has what receives and a watch share: the state, its life, and the dispatch of what the receive loop brings.
//! A receive begins on its caller's thread (stream/recv.rs) and may wait there (stream/wait.rs). The receive loop serves
//! receives that are queued (stream/queue.rs), or the watch (stream/watch.rs).
//!
//! Invariant: only the owner (ownership.rs) takes bytes from the socket and the buffer. Therefore receives complete in
//! order, and no byte is lost: the buffer keeps what a receive does not take.

mod close;
#[cfg(all(test, not(loom)))]
mod fixture;
mod forward;
mod idle;
mod line;
mod prefetch;
mod queue;
mod recv;
mod wait;
mod want;
mod watch;
mod watch_deadline;

pub use self::forward::Seen;

use self::prefetch::Prefetch;
use self::queue::RecvQueue;
use self::wait::{FirstTries, SpinLevel};
use self::want::Taken;
use self::watch::Watch;
use self::watch_deadline::Deadline;
use crate::buffer::ReadBuffer;
use crate::cache_line::fetch;
use crate::completion::{Outbox, Target};
use crate::ending::Ending;
use crate::engine::PoolBuffer;
use crate::engine::{Request, Start};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::idle::SendingHalf;
use crate::linger::Linger;
use crate::mailbox::Listed;
use crate::members::{Member, Place, Stop};
use crate::net::Net;
use crate::ownership::{Front, Next, Owner};
use crate::permits::StreamSocket;
use crate::rare::{Rare, Unchanged};
use crate::socket::{Half, Socket, Tried};
use crate::socket_waiter::SocketWaiter;
use crate::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::Answer;
use crate::timers::Timer;
use std::mem;
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The receiving half of a connection. A message needs what comes before the state, which is one cache line.
#[repr(C)]
pub struct Stream {
    listed: AtomicBool,
    /// A receive in flight owns the watch's callback, and nobody has changed the watch since. See stream/watch.rs.
    steady: AtomicBool,
    place: Place,
    net: Arc<Net>,
    socket: StreamSocket,
    /// The sending half of the same connection.
    sink: Weak<dyn SendingHalf>,
    /// What a look-up of the sink's handle reads, for the cache: a callback probably sends.
    sink_handle: AtomicPtr<()>,
    state: Mutex<State>,
}

/// What a message needs is together, at the beginning.
#[repr(C)]
struct State {
    front: Front,
    /// Why pending and later receives and the watch end: CLOSED, STOPPED or PANIC.
    cause: Option<Error>,
    /// The end of the stream, or the error that broke the connection. Every later receive has it as its result.
    end: Option<Error>,
    prefetch: Prefetch,
    /// CLOSED means an abort, and not a close.
    aborted: bool,
    interrupting: bool,
    /// The owner's last receive found less than it asked for.
    drained: bool,
    /// The sink learns when the stream no longer receives. It then polls the socket itself.
    tells_sink: bool,
    spin_level: SpinLevel,
    first_tries: FirstTries,
    queue: Rare<RecvQueue>,
    seldom: Rare<Seldom>,
    buffer: ReadBuffer,
    watch: Option<Watch>,
    request: Option<RequestId>,
    ending: Option<Arc<Ending>>,
    timer: Timer,
    /// The caller's thread that owns the stream and waits for the socket (stream/wait.rs).
    waiter: Option<Arc<SocketWaiter>>,
}

/// What few streams have.
#[derive(Default)]
struct Seldom {
    /// Memory at which a caller may still look. It was the buffer's.
    shown: Option<ReadBuffer>,
    /// The timeout that a caller has set. `None`: the net's counts.
    timeout: Option<Option<Duration>>,
    deadline: Option<Deadline>,
}

impl Unchanged for Seldom {
    const UNCHANGED: &'static Seldom = &Seldom { shown: None, timeout: None, deadline: None };
}

/// What a request that is over has brought to the stream.
enum Brought<'a> {
    /// So many bytes in the memory of the receive at the front.
    Direct(usize),
    /// Bytes in a pool buffer.
    Pooled(PoolBuffer<'a>),
    /// Bytes in the stream's own buffer, behind those that it had.
    Buffered,
    /// No bytes, but the socket has some.
    Readable,
    /// No bytes: the request was one try, and the socket had none.
    WouldBlock,
    /// No bytes: the request failed or was cancelled, or there was no request.
    Nothing,
}

/// Without a pool, a receive for bytes that the socket has offers at least this much room.
const ROOM_MIN: usize = 16 << 10;

impl Stream {
    /// The receiving half for `socket`. `sink` is the sending half.
    pub fn new(net: &Arc<Net>, socket: Arc<Socket>, sink: Weak<dyn SendingHalf>) -> Arc<Stream> {
        Arc::new(Stream {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            socket: StreamSocket::new(socket),
            sink,
            sink_handle: AtomicPtr::new(ptr::null_mut()),
            steady: AtomicBool::new(false),
            state: Mutex::new(State::new()),
        })
    }

    /// The net that it belongs to.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// The handle of the sink is at `place` of the table, which callbacks probably look up.
    pub fn note_sink_handle(&self, place: *const ()) {
        self.sink_handle.store(place.cast_mut(), Ordering::Relaxed);
    }

    /// As the owner: releases the stream. Queued receives go to the receive loop. If the handle is closed, the half closes.
    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if let Some(cause) = state.cause.filter(|_| !state.queue.is_empty()) {
            state.queue.fail_all(self.outbox(), cause);
        }
        let has_work = !state.queue.is_empty() || state.watch.is_some();
        match state.front.release(has_work) {
            Next::PostToLoop => {
                drop(state);
                self.post_to_loop();
            }
            Next::Finish => {
                self.tell_sink(&mut state);
                let buffer = mem::take(&mut state.buffer);
                let (ending, result) = (state.ending.take(), state.how_it_ended());
                drop(state);
                drop(buffer);
                Linger::half_closed(&self.net, &self.socket);
                if let Some(ending) = ending {
                    ending.half_over(&self.net.recv_loop, Half::Recv, result); // before the stream leaves
                }
                self.net.members.leave(&**self);
            }
            _ => self.tell_sink(&mut state), // nobody owns the stream
        }
    }

    /// Whether the stream receives nothing. If it does receive, it tells the sink when it no longer does.
    pub fn is_quiet_or_tells(&self) -> bool {
        let mut state = self.state.lock();
        let quiet =
            state.front.owner() == Owner::Nobody || state.watch.as_ref().is_some_and(Watch::is_paused);
        state.tells_sink |= !quiet;
        quiet
    }

    fn tell_sink(&self, state: &mut State) {
        if mem::take(&mut state.tells_sink) {
            if let Some(sink) = self.sink.upgrade() {
                sink.stream_is_quiet();
            }
        }
    }

    fn post_to_loop(self: &Arc<Self>) {
        self.net.recv_loop.post(Arc::clone(self) as _);
    }

    fn outbox(&self) -> &dyn Outbox {
        &*self.net.recv_loop
    }

    fn target(self: &Arc<Self>) -> Weak<dyn Target> {
        let weak: Weak<Stream> = Arc::downgrade(self);
        weak
    }

    /// Receives accepted from now on may take `timeout`. Earlier ones keep theirs.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.state.lock().seldom.timeout = Some(timeout);
    }

    /// As the receive loop: hands what a request has brought to the watch or the queue, which then does what is next.
    fn drive<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        brought: Brought<'_>,
    ) {
        match (state.front.owner(), &state.watch) {
            (Owner::Loop, Some(_)) => self.drive_watch(state, event_loop, brought),
            (Owner::Loop, None) => self.drive_queue(state, event_loop, brought),
            _ => {} // late mail: another owner has done what it was for
        }
    }

    /// Reads what a request that is over has brought. The stream takes back the memory or the callback of the request.
    #[allow(unsafe_code)]
    fn brought<'a>(&self, state: &mut State, mut request: Request, reaped: Reaped<'a>) -> Brought<'a> {
        let answer = self.answer_to(&request, reaped.answer());
        if let (Answer::Done(count), false) = (answer, matches!(request, Request::Readable { .. })) {
            self.socket.count(Half::Recv, count);
        }
        match &mut request {
            Request::RecvMultishot { callback, .. } => state.take_back(callback),
            Request::RecvBuffered { buffer, .. } => {
                let count = if let Answer::Done(count) = answer { count } else { 0 };
                let buffer = &mut **buffer;
                // SAFETY: the kernel has written `count` bytes to the room that the request offered, and none if it failed.
                unsafe { buffer.filled(count) };
                buffer.trim();
                state.buffer = mem::take(buffer);
            }
            _ => {}
        }
        match (answer, request) {
            (Answer::Done(count), Request::Recv { .. }) => Brought::Direct(count),
            (Answer::Done(_), Request::RecvBuffered { .. }) => Brought::Buffered,
            (Answer::Done(_), Request::Readable { .. }) => Brought::Readable,
            (Answer::Done(_), _) => reaped.buffer.map_or(Brought::Nothing, Brought::Pooled),
            (Answer::WouldBlock, _) => Brought::WouldBlock,
            (Answer::Again, _) => Brought::Nothing,
            (Answer::Failed(error), _) => {
                state.end.get_or_insert(error);
                Brought::Nothing
            }
        }
    }

    /// What `answer` means for a connection. A receive without bytes has met the end of the stream.
    fn answer_to(&self, request: &Request, answer: Answer) -> Answer {
        match answer {
            Answer::Done(0) if !matches!(request, Request::Readable { .. }) => {
                let end = self.socket.received_end();
                Answer::Failed(if let Tried::Failed(error) = end { error } else { Error::EOF })
            }
            Answer::Failed(error) => Answer::Failed(self.socket.fail(error)),
            answer => answer,
        }
    }

    /// Without a pool: receives what the socket has into the stream's own buffer.
    fn receive_what_is_there(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        let room = self.net.config.read_buffer.max(ROOM_MIN);
        let buffer = Box::new(mem::take(&mut state.buffer));
        let request = Request::RecvBuffered { socket: Arc::clone(&self.socket), buffer, room };
        state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
    }

    /// A request whose bytes go to the buffer. It holds no memory while nothing arrives. Exception: one try without a pool.
    fn buffered_request(
        &self,
        event_loop: &EventLoop,
        state: &mut State,
        room: usize,
        one_try: bool,
    ) -> Request {
        let socket = Arc::clone(&self.socket);
        if event_loop.has_pool() {
            let start = match one_try {
                true => Start::OneTry,
                false if event_loop.is_crowded() => Start::WhenReadable,
                false => Start::Now,
            };
            Request::RecvPooled { socket, start }
        } else if one_try {
            let buffer = Box::new(mem::take(&mut state.buffer));
            Request::RecvBuffered { socket, buffer, room }
        } else {
            Request::Readable { socket }
        }
    }
}

impl State {
    fn new() -> State {
        State {
            front: Front::default(),
            cause: None,
            aborted: false,
            end: None,
            buffer: ReadBuffer::default(),
            prefetch: Prefetch::default(),
            queue: Rare::default(),
            seldom: Rare::default(),
            watch: None,
            ending: None,
            request: None,
            interrupting: false,
            timer: Timer::default(),
            spin_level: SpinLevel::default(),
            first_tries: FirstTries::default(),
            drained: false,
            waiter: None,
            tells_sink: false,
        }
    }

    /// How long a receive that is accepted now may take.
    fn timeout(&self, net: &Net) -> Option<Duration> {
        self.seldom.get().and_then(|seldom| seldom.timeout).unwrap_or(net.config.timeout)
    }

    fn check_open(&self, net: &Net) -> Result {
        match net.refusal() {
            Some(refusal) => Err(refusal),
            None if self.front.closing => Err(Error::CLOSED),
            None => Ok(()),
        }
    }

    /// The same for calls without a completion: they return the cause that has ended the stream.
    fn check_sound(&self, net: &Net) -> Result {
        self.check_open(net)?;
        self.cause.map_or(Ok(()), Err)
    }

    fn check_idle(&self) -> Result {
        if self.front.owner() == Owner::Nobody || self.is_resting() { Ok(()) } else { Err(Error::BUSY) }
    }

    fn take_work(&mut self) -> Taken {
        Taken { buffer: mem::take(&mut self.buffer), end: self.end, drained: false }
    }

    fn give_back(&mut self, taken: Taken) {
        self.buffer = taken.buffer;
        self.end = taken.end;
        self.drained = taken.drained;
    }

    /// Cancels the request in flight, if there is one, and only once.
    fn cancel_request(&mut self, event_loop: &mut EventLoop) {
        if let Some(request) = self.request.filter(|_| !self.interrupting) {
            self.interrupting = true;
            event_loop.cancel(request);
        }
    }

    /// Interrupts the caller's thread that waits for the socket, if there is one.
    fn interrupt_waiter(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.interrupt();
        }
    }
}

impl Listed for Stream {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for Stream {
    fn cancel_requested(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.queue.note_cancelled();
        if state.front.owner() == Owner::Loop {
            drop(state);
            self.post_to_loop(); // any other owner passes the queue to the loop when it releases the stream
        }
    }
}

impl Handler for Stream {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(self.state.lock(), event_loop, Brought::Nothing);
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, request: Request, reaped: Reaped) {
        let mut state = self.state.lock();
        state.request = None;
        state.interrupting = false;
        if let Some(buffer) = &reaped.buffer {
            state.prefetch.note_size(buffer.as_slice().len());
        }
        state.prefetch.ended();
        let brought = self.brought(&mut state, request, reaped);
        self.drive(state, event_loop, brought);
    }

    fn warm_up(&self, is_watched: bool) {
        fetch(Arc::as_ptr(&self.socket).wrapping_add(1).cast::<u8>().wrapping_sub(1)); // its end
        fetch(self.sink.as_ptr());
        fetch(self.sink_handle.load(Ordering::Relaxed));
        if !is_watched {
            self.state.lock().queue.fetch();
        }
    }

    fn on_data(&self, request: &mut Request, bytes: &[u8]) -> bool {
        let Request::RecvMultishot { callback, .. } = request else {
            unreachable!("no other request goes on");
        };
        self.socket.count(Half::Recv, bytes.len());
        self.show_next(callback, bytes)
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        state.timer.fired();
        self.drive(state, event_loop, Brought::Nothing);
    }

    fn fail(self: Arc<Self>) {
        self.end(Error::PANIC);
    }
}

impl Member for Stream {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        let Some(cause) = how.ends_work() else {
            return;
        };
        let mut state = self.lock_to_change();
        if state.front.is_closed() {
            return;
        }
        state.front.closing = true;
        state.cause.get_or_insert(cause);
        self.look_again(state);
    }
}
