#![allow(unsafe_code)] // requests name memory
//! One loop: its engine, its mailbox, its deadlines, and its requests in flight.
//!
//! A net has two loops, one for sends and one for receives. This file treats them alike. A loop carries results, deadlines
//! and mail to [`Handler`]s, which are the handles' state machines. One thread makes a loop and runs it
//! (event_loop/thread.rs). The first four steps are one [`EventLoop::turn`]:
//!
//! 1. reap: each completion that was there when the round began goes to the owner of its request;
//! 2. expire: the loop reaps everything that the kernel had by then, and calls the handlers whose deadline has passed;
//! 3. take mail: the loop calls the handlers that were posted. A posted operation runs its callback. An operation that was
//!    over at once posts its callback alone;
//! 4. end the round: handlers do together what callbacks have collected, and the engine gets the sends of callbacks;
//! 5. wait for a completion, a deadline or mail (event_loop/wait.rs): submit, perhaps spin, and sleep.
//!
//! Invariant: a request's memory belongs to this table from its submission to its last completion.

mod ahead;
mod current;
mod death;
mod dispatch;
mod following;
mod handle;
mod handler;
mod mail;
mod requests;
mod round_sends;
mod thread;
mod wait;

pub use self::dispatch::Dispatched;
pub use self::handle::LoopHandle;
pub use self::handler::{Handler, Reaped, Sent};
pub use self::round_sends::{InRound, RoundSends};
pub use crate::engine::RequestId;

use self::current::Round;
use self::requests::Requests;
use crate::completion::Finished;
use crate::engine::{BufferPool, Completion, Engine, Plan, PoolBuffer, Request, Scratch, Wait};
use crate::logging::Log;
use crate::mailbox::Letter;
use crate::spin::Spin;
use crate::sync::atomic::Ordering;
use crate::timers::{Timer, Timers};
use std::ffi::CStr;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a loop is set up.
pub struct Setup {
    /// The thread's name.
    pub name: &'static CStr,
    /// How its engine is made.
    pub plan: Plan,
    /// Why io_uring is not used, although it would have been preferred. The loop's thread logs it.
    pub refusal: Option<String>,
    /// Whether it lends receive buffers to the kernel, and runs callbacks.
    pub receives: bool,
    /// From how many on the sends of its callbacks leave together at the end of a round, if the engine can do that.
    pub round_sends: Option<usize>,
    /// Whether its thread has the policy SCHED_BATCH: on its wake-up, it does not preempt the thread that runs on its CPU.
    pub sched_batch: bool,
    /// The CPU that its thread stays on.
    pub cpu: Option<usize>,
    /// Receives what its thread logs.
    pub log: Option<Arc<dyn Log>>,
    /// How long it may look for work before it sleeps.
    pub spin: Duration,
    /// Runs on the loop's thread when the loop has died, before it fails everything that is left.
    pub died: Box<dyn FnOnce() + Send>,
}

/// One loop.
pub struct EventLoop {
    handle: Arc<LoopHandle>,
    engine: Option<Engine>,
    // Dropped after the engine, because the kernel may still write to its memory. `run` ends only when it is empty.
    requests: Requests,
    pool: Option<Rc<BufferPool>>,
    timers: Timers<Arc<dyn Handler>>,
    /// The moment of this round, once a handler has asked or may ask for it.
    now: Option<Instant>,
    /// See [`EventLoop::settled`].
    settled: Instant,
    /// It has told its mailbox that it sleeps.
    slept: bool,
    refused: Vec<RequestId>,
    crowded: bool,
    completions: Vec<Completion>,
    mail: Vec<Letter<dyn Handler, Finished>>,
    reaped: u64,
    has_multishot: bool,
    scratch: Option<Arc<Scratch>>,
    /// The pool buffers that the sends of this round name.
    lent: Vec<u16>,
    longest_spin: Duration,
    spin: Spin,
    /// This round has received in bulk.
    had_bulk: bool,
    /// What the next turn begins with, while no thread runs the loop.
    round: Round,
    log: Option<Arc<dyn Log>>,
    /// When the timer of the loop's descriptor makes it readable; see event_loop/dispatch.rs.
    readable_at: Option<Instant>,
    died: Option<Box<dyn FnOnce() + Send>>,
}

/// One enter works off at least so many sockets.
const SOCKETS_OF_ENTER: usize = 16;
/// Among so many completions, what the next receives in queues need comes to the cache ahead, if so many requests are in flight
/// that it has left the cache.
const MANY: usize = 8;
const CROWD: usize = 256;
/// So many enters settle what one socket's work brings, because a receive goes on piece by piece.
const SETTLE_MIN: usize = 32;

impl EventLoop {
    fn log_start(&self, setup: &Setup) {
        let features = self.engine.as_ref().map(|engine| engine.features().names());
        let engine = setup.plan.kind().name();
        let sends = if self.handle.round_sends().is_some() { "entries" } else { "calls" };
        tracing::info!(name = ?setup.name, engine, features, sends, "a loop has started");
        if let Some(reason) = setup.refusal.as_deref() {
            tracing::warn!(engine, reason, "io_uring cannot be used");
        }
    }

    fn new(handle: Arc<LoopHandle>, setup: &Setup) -> io::Result<EventLoop> {
        let mut engine = Engine::new(setup.plan, setup.receives, &handle.waker)?;
        if let Some(least) = setup.round_sends {
            if engine.prepare_silent_sends(setup.plan) {
                handle.round_sends.get_or_init(|| Box::new(RoundSends::new(least)));
            }
        }
        Ok(EventLoop {
            handle,
            requests: Requests::default(),
            pool: engine.pool(),
            timers: Timers::new(),
            now: None,
            settled: Instant::now(),
            slept: false,
            refused: Vec::new(),
            crowded: false,
            completions: Vec::new(),
            mail: Vec::new(),
            reaped: 0,
            has_multishot: engine.has_multishot(),
            scratch: None,
            lent: Vec::new(),
            longest_spin: if engine.can_spin() { setup.spin } else { Duration::ZERO },
            spin: Spin::default(),
            had_bulk: false,
            round: Round::default(),
            log: setup.log.clone(),
            readable_at: None,
            died: None,
            engine: Some(engine),
        })
    }

    /// The moment at which the round began. If the round began without deadlines, it is the moment of the first call.
    /// Reading the clock takes a tenth of a message's time in user space.
    pub fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Everything that the kernel had by this moment has been reaped. Handlers judge by it whether something is late. While
    /// the process is stopped, its deadlines pass, and what comes in time waits in the kernel.
    ///
    /// An owner whose deadline has passed since then arms its timer for it, and gets its call within the next round.
    pub fn settled(&self) -> Instant {
        self.settled
    }

    /// Whether the kernel can pick a buffer of the loop's pool.
    pub fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// Whether a receive may go on by itself.
    pub fn has_multishot(&self) -> bool {
        self.has_multishot
    }

    /// Whether readable connections wait in the kernel's queue. Other connections must not overtake them.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Memory for received bytes that the library discards.
    pub fn scratch(&mut self) -> Arc<Scratch> {
        Arc::clone(self.scratch.get_or_insert_with(Scratch::new))
    }

    /// Gives a request to the kernel. [`Handler::on_complete`] of `owner` brings it back, exactly once.
    pub fn submit(&mut self, owner: Arc<dyn Handler>, request: Request) -> RequestId {
        let (id, request) = self.requests.insert(owner, request);
        let peer = || request.socket().and_then(|socket| socket.peer_to_log());
        tracing::trace!(id = id.bits(), kind = request.kind(), peer = peer(), "submitted");
        match &mut self.engine {
            // SAFETY: the request owns what it names, or its owner's operation lends it until the request comes back
            // (engine/request.rs). The table keeps the request until its completion.
            Some(engine) => unsafe { engine.submit(id, request) },
            None => self.refused.push(id),
        }
        id
    }

    /// Asks the kernel to end a request early, and asks again until the kernel has found it. The request still completes,
    /// perhaps with success.
    pub fn cancel(&mut self, id: RequestId) {
        if let Some(engine) = &mut self.engine {
            engine.cancel(id);
        }
    }

    /// Calls [`Handler::on_timeout`] of `owner` at `when` or earlier; see [`Timers::arm`].
    pub fn arm(&mut self, timer: &mut Timer, when: Instant, owner: impl FnOnce() -> Arc<dyn Handler>) {
        self.timers.arm(timer, when, owner);
    }

    /// Forgets the timer.
    pub fn disarm(&mut self, timer: &mut Timer) {
        self.timers.disarm(timer);
    }

    /// Bytes in bulk have come. A sleep lets more of them gather, so this round's wait begins with a sleep.
    pub fn note_bulk(&mut self) {
        self.had_bulk = true;
    }

    /// A callback is about to run.
    pub fn count_callback(&self) {
        self.handle.count_callback();
    }

    /// The five steps, until [`LoopHandle::quit`] was called and there is nothing left to do.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.turn()?;
            if self.is_finished() {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// The steps 1 to 4.
    #[inline(always)] // two callers: the loop above, and the turns of a caller
    fn turn(&mut self) -> io::Result<()> {
        if mem::take(&mut self.slept) {
            self.handle.mailbox.awake(); // before the callbacks, which post to this loop
        }
        self.now = self.timers.next().map(|_| Instant::now());
        self.handle.current.begin_round();
        self.reap();
        self.expire()?;
        self.take_mail();
        self.end_round();
        Ok(())
    }

    fn is_finished(&mut self) -> bool {
        self.handle.quit.load(Ordering::Acquire) // first: the checks below may look at every request
            && self.requests.is_empty()
            && self.refused.is_empty()
            && !self.has_sends()
            && self.handle.following.is_empty()
            && self.handle.mailbox.is_empty()
    }

    /// Step 1.
    #[inline(always)] // two callers, one of them in each round
    fn reap(&mut self) {
        let mut first = true;
        while self.reap_some(first) {
            first = false;
        }
    }

    /// Handles what the engine gives at once, the `first` time in a row or again. True: it has more.
    #[inline(always)]
    fn reap_some(&mut self, first: bool) -> bool {
        let mut completions = mem::take(&mut self.completions);
        let mut more = false;
        if let Some(engine) = &mut self.engine {
            more = engine.reap(&mut completions);
            self.crowded = engine.is_crowded();
        }
        if !self.refused.is_empty() {
            completions.extend(self.refused.drain(..).map(Completion::refused));
        }
        self.reaped += completions.len() as u64;
        if let Some(sends) = self.handle.round_sends.get().filter(|_| first) {
            sends.expect(completions.len() + self.engine.as_ref().map_or(0, Engine::left));
        }
        let is_crowd = completions.len() > 1 && self.requests.len() >= CROWD;
        if is_crowd && self.engine.as_ref().is_some_and(Engine::asks_sockets) {
            self.warm_up_watches(&completions);
        }
        let are_many = is_crowd && completions.len() >= MANY && self.is_of_chain(&completions[0]);
        for (index, completion) in completions.iter().enumerate() {
            if are_many {
                self.warm_up_chains(&completions[index..]);
            }
            self.handle_completion(completion);
        }
        completions.clear();
        self.completions = completions;
        more
    }

    #[inline(always)]
    fn handle_completion(&mut self, completion: &Completion) {
        match completion.request() {
            Some(id) => self.finish(id, completion),
            None => self.note(completion),
        }
        self.follow();
    }

    #[inline(never)] // keeps the usual round short
    fn note(&mut self, completion: &Completion) {
        if let (Some(place), Some(sends)) = (completion.silent_send(), self.handle.round_sends()) {
            return sends.note(place, completion.result()); // an enter had not decided all of the sends
        }
        if let Some(id) = self.engine.as_mut().and_then(|engine| engine.note(completion)) {
            self.cancel_again(id);
        }
    }

    /// A cancel has not found its request. If the request is not over, the kernel is about to try it again: the request
    /// neither waits for its socket nor runs. This state ends soon, because no request goes on without a bound.
    fn cancel_again(&mut self, id: RequestId) {
        if self.requests.get(id).is_some() {
            self.cancel(id);
        }
    }

    #[inline(always)] // a message returns once less
    fn finish(&mut self, id: RequestId, completion: &Completion) {
        match completion.buffer() {
            Some(buffer) if completion.more() => self.go_on(id, buffer, completion.count()),
            None if completion.more() => self.poll_goes_on(id),
            buffer => self.end_request(id, completion, buffer),
        }
    }

    #[inline(never)] // keeps the way of a message short
    fn end_request(&mut self, id: RequestId, completion: &Completion, buffer: Option<u16>) {
        let pool = self.pool.clone();
        let buffer =
            buffer.zip(pool.as_ref()).map(|(buffer, pool)| PoolBuffer::new(pool, buffer, completion.count()));
        let reaped = Reaped { result: completion.result(), buffer };
        if let Some((owner, request)) = self.requests.remove(id) {
            let peer = || request.socket().and_then(|socket| socket.peer_to_log());
            tracing::trace!(
                id = id.bits(),
                kind = request.kind(),
                peer = peer(),
                result = reaped.result,
                "completed"
            );
            self.guarded(owner, |owner, this| owner.on_complete(this, request, reaped));
        } else {
            debug_assert!(false, "a completion without a request");
        }
    }

    /// A request has brought bytes, and stays in flight.
    #[inline(always)] // a message returns once less
    fn go_on(&mut self, id: RequestId, buffer: u16, size: usize) {
        let (Some(pool), Some((owner, request))) = (&self.pool, self.requests.get(id)) else {
            debug_assert!(false, "a completion without a request");
            return;
        };
        let buffer = PoolBuffer::new(pool, buffer, size);
        let sends = self.handle.round_sends().filter(|_| RoundSends::lends(buffer.as_slice()));
        if let Some(sends) = sends {
            sends.show(buffer.as_slice());
        }
        let mut has_more = false;
        let shown = catch_unwind(AssertUnwindSafe(|| has_more = owner.on_data(request, buffer.as_slice())));
        if sends.is_some_and(RoundSends::have_borrowed) {
            self.lent.push(buffer.keep());
        } else {
            drop(buffer);
        }
        if has_more || shown.is_err() {
            let owner = Arc::clone(owner);
            self.after_data(owner, shown.is_err());
        }
    }

    #[inline(never)] // keeps the way of a message short
    fn after_data(&mut self, owner: Arc<dyn Handler>, panicked: bool) {
        if panicked {
            EventLoop::end_failed(owner);
        } else {
            self.guarded(owner, |owner, this| owner.on_mail(this));
        }
    }

    #[inline(never)] // as above
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
            _ => Ok(()), // no moment: there was no deadline when the round began
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

    /// Reaps what the kernel has put off, and what follows from it. A round's one enter may leave most of it, because the
    /// kernel works off some 20 sockets in one enter since 6.13. An enter that a signal or its time limit ended has worked
    /// off none.
    fn settle(&mut self) -> io::Result<()> {
        let mut must_look = self.engine.as_ref().is_some_and(Engine::must_look);
        for _ in 0..SETTLE_MIN + self.requests.len() / SOCKETS_OF_ENTER {
            let Some(engine) = &mut self.engine else {
                break;
            };
            if !engine.has_work() && !mem::take(&mut must_look) {
                break;
            }
            engine.enter(Wait::No)?;
            self.reap();
        }
        Ok(())
    }

    /// Step 4.
    #[inline(always)] // as a turn
    fn end_round(&mut self) {
        self.submit_sends();
        if current::has_waiting() {
            self.end_waiting();
        }
    }

    #[inline(never)] // keeps the usual round short
    fn end_waiting(&mut self) {
        let mut waiting = current::take_waiting();
        for handler in waiting.drain(..) {
            self.guarded(handler, |handler, _| handler.end_round());
        }
        current::reuse(waiting);
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

    fn publish(&mut self) {
        let counters = &self.handle.counters;
        let (enters, entries) = self.engine.as_ref().map_or((0, 0), Engine::counts);
        counters.enters.store(enters, Ordering::Relaxed);
        counters.entries.store(entries, Ordering::Relaxed);
        counters.completions.store(self.reaped, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
