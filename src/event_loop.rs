#![allow(unsafe_code)] // entries name memory
//! One loop: a thread with a ring of its own, a mailbox, deadlines, and requests in flight.
//!
//! A net has two of them, one for sends and one for receives; nothing here knows which is which. What a loop does is
//! to carry results, moments and mail to [`Handler`]s, which are the handles' state machines. One round of
//! [`EventLoop::run`]:
//!
//! 1. reap: each completion that was there when the round began goes to the owner of its request;
//! 2. expire: handlers whose deadline has passed are told, after a look at everything that the kernel had by then;
//! 3. take mail: handlers that were posted are told; an operation in the mail runs its callback, and of what was over at
//!    once the callback alone is the mail;
//! 4. end the round: what callbacks collected to be done together is done;
//! 5. wait for a completion, a deadline or mail (event_loop/wait.rs): submit, perhaps spin, and sleep.
//!
//! Invariant: a request's memory belongs to this table from its submission to its last completion.

mod handle;
mod requests;
mod wait;

pub use self::handle::LoopHandle;
pub use self::requests::RequestId;

use self::handle::{CURRENT, ROUND, ROUND_NUMBER};
use self::requests::Requests;
use crate::buffer;
use crate::callback_thread;
use crate::completion::{Finished, Operation};
use crate::logging::{Log, Writing};
use crate::mailbox::{self, Letter, Listed};
use crate::pool::{BufferPool, POOL_BUFFER_SIZE, PoolBuffer};
use crate::request::{Request, Scratch, answer_of};
use crate::ring::{Completion, Features, Ring, Wait};
use crate::ring_size::{RingSize, patiently};
use crate::spin::Spin;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::Answer;
use crate::threads::{self, Thread};
use crate::timers::{Timer, Timers};
use io_uring::{opcode, types};
use std::ffi::CStr;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// A state machine that a loop drives. All calls come on that loop's thread, and with no lock held.
pub trait Handler: Listed + Send + Sync {
    /// It was posted: somebody changed its state.
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop);
    /// A request of its is over, and here is its memory again.
    fn on_complete(self: Arc<Self>, _: &mut EventLoop, _: Request, _: Reaped) {
        unreachable!("it submits no requests");
    }
    /// A request of its has brought bytes, and goes on. True: there is more to do, by [`Handler::on_mail`].
    fn on_data(&self, _: &mut Request, _: &[u8]) -> bool {
        unreachable!("it submits no receive that completes more than once");
    }
    /// A poll of its has seen something, and goes on.
    fn on_ready(self: Arc<Self>, _: &mut EventLoop) {
        unreachable!("it submits no poll that completes more than once");
    }
    /// A moment that it armed its timer for has come.
    fn on_timeout(self: Arc<Self>, _: &mut EventLoop) {
        unreachable!("it arms no timer");
    }
    /// The round in which it asked for [`LoopHandle::at_round_end`] is over.
    fn end_round(self: Arc<Self>) {
        unreachable!("it never asked for the end of a round");
    }
    /// One of the calls above panicked: it has to end what it is there for.
    fn fail(self: Arc<Self>);
}

/// What a request came to.
pub struct Reaped<'a> {
    result: i32,
    /// The pool buffer with the bytes, where the kernel picked one.
    pub buffer: Option<PoolBuffer<'a>>,
}

impl Reaped<'_> {
    /// What the kernel says.
    #[inline]
    pub fn answer(&self) -> Answer {
        answer_of(self.result)
    }
}

/// How a loop is set up.
pub struct Setup {
    /// The thread's name.
    pub name: &'static CStr,
    /// How large the ring is.
    pub size: RingSize,
    /// Kernel features to use where they are there.
    pub features: Features,
    /// Whether it lends receive buffers to the kernel, and runs callbacks.
    pub receives: bool,
    /// Whether its thread has the policy SCHED_BATCH: when it is woken, it lets the one that runs on its CPU go on.
    pub sched_batch: bool,
    /// The CPU to stay on.
    pub cpu: Option<usize>,
    /// Where what its thread logs goes.
    pub log: Option<Arc<dyn Log>>,
    /// How long it may look for work before it sleeps.
    pub spin: Duration,
    /// Called on the loop's thread when the loop has died and fails everything from now on.
    pub died: Box<dyn FnOnce() + Send>,
}

impl Listed for Operation {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

/// A complete operation in the mail: what is left to do is its callback.
impl Handler for Operation {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        event_loop.count_callback();
        self.run_callback();
    }

    fn fail(self: Arc<Self>) {} // its callback has had its one call
}

/// One loop, on its own thread.
pub struct EventLoop {
    handle: Arc<LoopHandle>,
    ring: Option<Ring>,
    // After the ring, so that what the kernel may still write to is freed last; see `run` for what makes it empty.
    requests: Requests,
    pool: Option<Rc<BufferPool>>,
    timers: Timers<Arc<dyn Handler>>,
    /// Of this round, once somebody has asked or may ask.
    now: Option<Instant>,
    /// See [`EventLoop::settled`].
    settled: Instant,
    /// It told its mailbox that it sleeps.
    slept: bool,
    refused: Vec<RequestId>,
    crowded: bool,
    completions: Vec<Completion>,
    mail: Vec<Letter<dyn Handler, Finished>>,
    reaped: u64,
    features: Features,
    scratch: Option<Arc<Scratch>>,
    longest_spin: Duration,
    spin: Spin,
    /// This round has received in bulk.
    had_bulk: bool,
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        *self.handle.waker.lock() = None; // before the ring goes
    }
}

/// Set in the user data of entries that are the loop's own, and in that of no request.
const OWN: u64 = 1 << 63;
/// The poll of the eventfd.
const EVENTFD: u64 = u64::MAX;
/// A completion that another thread sent, to wake this one.
const WOKEN: u64 = u64::MAX - 1;

/// So many sockets are worked off in one enter, at least.
const SOCKETS_OF_ENTER: usize = 16;
/// So many enters settle what follows from one socket's work: a receive goes on piece by piece.
const SETTLE_MIN: usize = 32;

/// A pool of 2 MiB: small enough to stay in cache, with a buffer for each of the 20 sockets or so that one enter works off.
const POOL_BUFFERS: u16 = 32;

impl EventLoop {
    /// Starts the loop's thread. Returns once its ring is there, with what the ring can do, or the errno of the
    /// failure.
    pub fn start(handle: &Arc<LoopHandle>, setup: Setup) -> io::Result<(Thread, Features)> {
        let (report, started) = sync_channel(1);
        let handle = Arc::clone(handle);
        let thread = threads::spawn(setup.name, move || {
            if let Some(cpu) = setup.cpu
                && let Err(error) = threads::pin(cpu)
            {
                let _ = report.send(Err(error));
                return;
            }
            if setup.sched_batch {
                threads::sched_batch();
            }
            let mut event_loop = match EventLoop::new(handle, &setup) {
                Ok(event_loop) => event_loop,
                Err(error) => {
                    let _ = report.send(Err(error));
                    return;
                }
            };
            // The send loop runs no callbacks but that of the log, in which nothing may block either.
            callback_thread::enter();
            let _ = report.send(Ok(event_loop.features));
            let _writing = setup.log.as_ref().map(Writing::to);
            tracing::info!(name = ?setup.name, features = event_loop.features.names(), "a loop has started");
            event_loop.run_to_the_end(setup.died);
            tracing::info!(name = ?setup.name, "a loop has ended");
        })?;
        match started.recv() {
            Ok(Ok(features)) => Ok((thread, features)),
            Ok(Err(error)) => {
                thread.join();
                Err(error)
            }
            Err(_) => {
                thread.join();
                Err(io::Error::other("the loop's thread panicked at its start"))
            }
        }
    }

    fn new(handle: Arc<LoopHandle>, setup: &Setup) -> io::Result<EventLoop> {
        let mut ring = Ring::new(setup.size, setup.features)?;
        ring.try_out()?;
        let pool = if setup.receives { EventLoop::set_up_receives(&mut ring) } else { None };
        *handle.waker.lock() = ring.probe_send_msg_ring(WOKEN);
        CURRENT.set(Arc::as_ptr(&handle));
        let features = ring.features();
        let mut event_loop = EventLoop {
            handle,
            ring: Some(ring),
            requests: Requests::default(),
            pool,
            timers: Timers::new(),
            now: None,
            settled: Instant::now(),
            slept: false,
            refused: Vec::new(),
            crowded: false,
            completions: Vec::new(),
            mail: Vec::new(),
            reaped: 0,
            features,
            scratch: None,
            longest_spin: setup.spin,
            spin: Spin::default(),
            had_bulk: false,
        };
        event_loop.watch_eventfd();
        Ok(event_loop)
    }

    /// What the loop that receives and accepts needs more than the other.
    fn set_up_receives(ring: &mut Ring) -> Option<Rc<BufferPool>> {
        EventLoop::lend_pool(ring)
    }

    /// None where memory is short, or the kernel has no buffer rings.
    fn lend_pool(ring: &mut Ring) -> Option<Rc<BufferPool>> {
        if !ring.wants(Features::BUFFER_RING) {
            return None;
        }
        let pool = BufferPool::new(POOL_BUFFERS, POOL_BUFFER_SIZE).ok()?;
        // SAFETY: EventLoop drops its ring before its pool.
        patiently(|| unsafe { ring.register_pool(&pool) }).ok()?;
        ring.probe_multishot();
        Some(Rc::new(pool))
    }

    /// What a loop of such a ring could use, its pool included.
    pub fn probe_features(mut ring: Ring) -> io::Result<Features> {
        ring.try_out()?;
        let pool = EventLoop::set_up_receives(&mut ring);
        ring.probe_send_msg_ring(WOKEN);
        let features = ring.features();
        drop(ring); // before the pool that it may have borrowed
        drop(pool);
        Ok(features)
    }

    fn watch_eventfd(&mut self) {
        let fd = types::Fd(self.handle.eventfd.fd());
        // Edge triggered: each write to the eventfd is one completion, and nobody needs to read it.
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build().user_data(EVENTFD);
        if let Some(ring) = &mut self.ring {
            // SAFETY: the entry points to nothing.
            unsafe { ring.push(entry) };
        }
    }

    /// The moment at which the round began, or at which somebody first asked in a round that began without deadlines:
    /// reading the clock is a tenth of what a message costs in user space.
    pub fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// What the kernel had by this moment, and no later one, has been reaped for certain: the moment to judge by whether
    /// something is late. While the process is stopped, its deadlines pass, and what comes in time waits in the kernel.
    ///
    /// An owner whose deadline has passed since arms its timer for it, and is told within the next round.
    pub fn settled(&self) -> Instant {
        self.settled
    }

    /// Whether the kernel can pick a buffer of the loop's pool.
    pub fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// Whether a receive may go on by itself.
    pub fn has_multishot(&self) -> bool {
        self.features.has(Features::MULTISHOT)
    }

    /// Whether connections that became readable wait for their turn in the kernel: others must not overtake them.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Memory to receive into what nobody wants.
    pub fn scratch(&mut self) -> Arc<Scratch> {
        Arc::clone(self.scratch.get_or_insert_with(Scratch::new))
    }

    /// Gives a request to the kernel. [`Handler::on_complete`] of `owner` brings it back, exactly once.
    pub fn submit(&mut self, owner: Arc<dyn Handler>, request: Request) -> RequestId {
        let (id, request) = self.requests.insert(owner, request);
        tracing::trace!(id = id.bits(), kind = request.kind(), "submitted");
        match &mut self.ring {
            Some(ring) => {
                let entry = request.entry().user_data(id.bits());
                // SAFETY: the request owns what the entry points to, or its owner's operation lends it until the
                // request comes back (request.rs); the table keeps the request until its completion.
                unsafe { ring.push(entry) };
            }
            None => self.refused.push(id),
        }
        id
    }

    /// Asks the kernel to end a request early, until it has heard. The request still completes, perhaps with success.
    pub fn cancel(&mut self, id: RequestId) {
        if let Some(ring) = &mut self.ring {
            let entry = opcode::AsyncCancel::new(id.bits()).build().user_data(id.bits() | OWN);
            // SAFETY: the entry points to nothing.
            unsafe { ring.push(entry) };
        }
    }

    /// Has `owner` told at `when` or earlier; see [`Deadlines::arm`].
    pub fn arm(&mut self, timer: &mut Timer, when: Instant, owner: impl FnOnce() -> Arc<dyn Handler>) {
        self.timers.arm(timer, when, owner);
    }

    /// Forgets the timer.
    pub fn disarm(&mut self, timer: &mut Timer) {
        self.timers.disarm(timer);
    }

    /// Bytes in bulk have come, which are better left to grow than looked for: this round's wait begins with a sleep.
    pub fn note_bulk(&mut self) {
        self.had_bulk = true;
    }

    /// A callback is about to run.
    pub fn count_callback(&self) {
        self.handle.count_callback();
    }

    fn run_to_the_end(&mut self, died: Box<dyn FnOnce() + Send>) {
        let failure = match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the loop's ring failed: {error}")),
            Err(_) => Some("the loop panicked".to_owned()),
        };
        if let Some(failure) = failure {
            tracing::error!("{failure}");
            let given_back = self.leave_ring();
            died(); // before anything ends: each member is to tell why
            self.fail_rest(given_back);
            // Without a ring every request is refused, so nothing can fail here that could fail again.
            while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {}
        }
        drop(ROUND.with(|round| round.take()));
        buffer::free_spare();
        drop(self.handle.mailbox.close()); // late mail has nothing to tell: its senders have left the net
    }

    /// The five steps, until there is nothing left to do after [`LoopHandle::quit`].
    fn run(&mut self) -> io::Result<()> {
        loop {
            if mem::take(&mut self.slept) {
                self.handle.mailbox.awake(); // before the callbacks, whose posts come to this loop
            }
            self.now = self.timers.next().map(|_| Instant::now());
            ROUND_NUMBER.set(ROUND_NUMBER.get().wrapping_add(1));
            self.reap();
            self.expire()?;
            self.take_mail();
            self.end_round();
            if self.is_finished() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    fn is_finished(&mut self) -> bool {
        self.handle.quit.load(Ordering::Acquire) // first: what follows may look at every request
            && self.requests.is_empty()
            && self.refused.is_empty()
            && self.handle.mailbox.is_empty()
    }

    /// Step 1.
    #[inline(always)] // called from two places, of which one is each round
    fn reap(&mut self) {
        let mut completions = mem::take(&mut self.completions);
        if let Some(ring) = &mut self.ring {
            ring.reap(&mut completions);
            self.crowded = ring.is_crowded();
        }
        let refused = self.refused.drain(..).map(|id| Completion {
            user_data: id.bits(),
            result: -libc::EIO,
            flags: 0,
        });
        completions.extend(refused);
        self.reaped += completions.len() as u64;
        for completion in &completions {
            match completion.user_data {
                data if data & OWN == 0 => self.finish(completion),
                EVENTFD if !completion.more() => self.watch_eventfd(),
                EVENTFD | WOKEN => {}
                cancel => self.cancelled(cancel & !OWN, completion.result),
            }
        }
        completions.clear();
        self.completions = completions;
    }

    /// The kernel does not find a request that it is about to try again: it neither waits for its socket then, nor runs. That
    /// is over soon, since no request goes on without a bound.
    fn cancelled(&mut self, id: u64, result: i32) {
        if result == -libc::ENOENT
            && let Some(id) = RequestId::from_bits(id).filter(|id| self.requests.get(*id).is_some())
        {
            self.cancel(id);
        }
    }

    fn finish(&mut self, completion: &Completion) {
        let Some(id) = RequestId::from_bits(completion.user_data) else {
            debug_assert!(false, "a completion without a request");
            return;
        };
        match completion.buffer() {
            Some(buffer) if completion.more() => self.go_on(id, buffer, completion.count()),
            None if completion.more() => self.poll_goes_on(id),
            buffer => self.end_request(id, completion, buffer),
        }
    }

    fn end_request(&mut self, id: RequestId, completion: &Completion, buffer: Option<u16>) {
        let pool = self.pool.clone();
        let buffer =
            buffer.zip(pool.as_ref()).map(|(buffer, pool)| PoolBuffer::new(pool, buffer, completion.count()));
        let reaped = Reaped { result: completion.result, buffer };
        if let Some((owner, request)) = self.requests.remove(id) {
            tracing::trace!(id = id.bits(), kind = request.kind(), result = reaped.result, "completed");
            self.guarded(owner, |owner, this| owner.on_complete(this, request, reaped));
        } else {
            debug_assert!(false, "a completion without a request");
        }
    }

    /// A request has brought bytes, and stays in flight.
    fn go_on(&mut self, id: RequestId, buffer: u16, size: usize) {
        let buffer = self.pool.as_ref().map(|pool| PoolBuffer::new(pool, buffer, size));
        let (Some(buffer), Some((owner, request))) = (buffer, self.requests.get(id)) else {
            debug_assert!(false, "a completion without a request");
            return;
        };
        let continued = catch_unwind(AssertUnwindSafe(|| owner.on_data(request, buffer.as_slice())));
        drop(buffer);
        match continued {
            Ok(false) => {}
            Ok(true) => {
                let owner = Arc::clone(owner);
                self.guarded(owner, |owner, this| owner.on_mail(this));
            }
            Err(_) => EventLoop::end_failed(Arc::clone(owner)),
        }
    }

    fn poll_goes_on(&mut self, id: RequestId) {
        let owner = self.requests.get(id).map(|(owner, _)| Arc::clone(owner));
        debug_assert!(owner.is_some(), "a completion without a request");
        if let Some(owner) = owner {
            self.guarded(owner, |owner, this| owner.on_ready(this));
        }
    }

    /// Step 2.
    fn expire(&mut self) -> io::Result<()> {
        match self.now {
            Some(now) if self.timers.next().is_some_and(|next| next <= now) => self.expire_due(now),
            _ => Ok(()), // without a moment there was no deadline when the round began
        }
    }

    #[inline(never)] // keeps the usual round short
    fn expire_due(&mut self, now: Instant) -> io::Result<()> {
        self.settle()?;
        self.settled = now;
        let mark = self.timers.mark();
        while let Some(owner) = self.timers.pop_due(now, mark) {
            self.guarded(owner, |owner, this| owner.on_timeout(this));
        }
        Ok(())
    }

    /// Reaps what the kernel has put off, and what follows from it. A round's one enter may leave most of it, as the kernel
    /// works off some 20 sockets in one since 6.13; and one that a signal or its time ended has worked off none.
    fn settle(&mut self) -> io::Result<()> {
        for _ in 0..SETTLE_MIN + self.requests.len() / SOCKETS_OF_ENTER {
            let Some(ring) = &mut self.ring else {
                break;
            };
            if !ring.has_work() {
                break;
            }
            ring.enter(Wait::No)?;
            self.reap();
        }
        Ok(())
    }

    /// Step 3.
    fn take_mail(&mut self) {
        let mut mail = mem::take(&mut self.mail);
        self.handle.mailbox.take(&mut mail);
        for letter in mail.drain(..) {
            let handler = match letter {
                Letter::Listed(handler) => handler,
                Letter::Plain(finished) => {
                    self.count_callback();
                    if catch_unwind(AssertUnwindSafe(|| finished.run_callback())).is_err() {
                        tracing::error!("a callback panicked");
                    }
                    continue;
                }
            };
            mailbox::unlist(&*handler);
            self.guarded(handler, |handler, this| handler.on_mail(this));
        }
        self.mail = mail;
    }

    /// Step 4.
    fn end_round(&mut self) {
        let mut round = ROUND.with(|round| round.take());
        for handler in round.drain(..) {
            self.guarded(handler, |handler, _| handler.end_round());
        }
        ROUND.with(|next| {
            let mut next = next.borrow_mut();
            if next.is_empty() {
                *next = round; // its memory is of use again
            }
        });
    }

    /// A panic in one handler ends that handler, not the loop.
    fn guarded(&mut self, handler: Arc<dyn Handler>, call: impl FnOnce(Arc<dyn Handler>, &mut EventLoop)) {
        let again = Arc::clone(&handler);
        if catch_unwind(AssertUnwindSafe(|| call(handler, self))).is_err() {
            EventLoop::end_failed(again);
        }
    }

    fn end_failed(handler: Arc<dyn Handler>) {
        tracing::error!("a handle's state machine panicked; the handle is ended");
        let _ = catch_unwind(AssertUnwindSafe(|| handler.fail()));
    }

    /// The ring cannot be used any more: takes back from the kernel what it will give.
    fn leave_ring(&mut self) -> Vec<Completion> {
        self.longest_spin = Duration::ZERO;
        *self.handle.waker.lock() = None;
        let mut given_back = Vec::new();
        if let Some(mut ring) = self.ring.take() {
            ring.cancel_all(Duration::from_secs(1));
            let _ = ring.enter(Wait::No);
            ring.reap(&mut given_back);
        }
        given_back
    }

    /// Ends what the kernel has given back, and fails the rest.
    fn fail_rest(&mut self, given_back: Vec<Completion>) {
        for completion in given_back.iter().filter(|completion| completion.user_data & OWN == 0) {
            // As it is: bytes that were moved are counted.
            let _ = catch_unwind(AssertUnwindSafe(|| self.finish(completion)));
        }
        // What the kernel has not given back it may still write to. Our own memory is leaked for it; a caller's memory
        // cannot be, but its operation must not hang.
        self.requests.leak_memory();
        self.refused = self.requests.ids(); // with those that were refused meanwhile, each once
        if let Some(pool) = self.pool.take() {
            let _ = ManuallyDrop::new(pool);
        }
    }

    fn publish(&mut self) {
        let counters = &self.handle.counters;
        let (enters, entries) = self.ring.as_ref().map_or((0, 0), Ring::counts);
        counters.enters.store(enters, Ordering::Relaxed);
        counters.entries.store(entries, Ordering::Relaxed);
        counters.completions.store(self.reaped, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
