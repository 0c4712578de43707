//! The seam between a loop and the kernel: requests go in, completions come out.
//!
//! A loop submits a [`Request`] under a [`RequestId`], and may cancel it. It waits in [`Engine::enter`] until something
//! completes, until a time limit, or until another thread wakes it up by the [`Waker`]. Then it reaps the completions. Only
//! this directory names io_uring. Invariant: each submitted request has exactly one last completion, unless the loop gives
//! up the engine before.
//!
//! There are two engines: one over io_uring (engine/ring.rs) and one over epoll (engine/poller.rs). The loop above is the
//! same code for both.

mod availability;
mod choice;
mod features;
mod poller;
mod pool;
mod request;
mod ring;
mod waker;

pub use self::availability::{explain, kernel_release};
pub use self::choice::{EngineKind, Plan, start_for_caller, start_over};
pub use self::features::Features;
pub use self::pool::{BufferPool, POOL_BUFFER_SIZE, PoolBuffer};
pub use self::request::{Lent, Message, Request, Scratch, Start};
pub use self::waker::Waker;

use self::poller::Poller;
use self::ring::Ring;
use crate::epoll::Epoll;
use crate::sys::Answer;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Names a request in flight. No other request ever has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(NonZeroU64);

impl RequestId {
    /// Generations begin with 1 and end before this number. Therefore the highest bit of an identifier is clear, and engines
    /// use it for their own entries.
    pub const GENERATIONS: u32 = 1 << 31;

    /// Names the request at `index` of a table. The generation grows with each request there.
    pub fn new(generation: u32, index: usize) -> RequestId {
        let bits = u64::from(generation) << 32 | index as u64;
        RequestId(NonZeroU64::new(bits).expect("generations begin with 1"))
    }

    /// The name that has these bits.
    #[inline]
    pub fn from_bits(bits: u64) -> Option<RequestId> {
        NonZeroU64::new(bits).map(RequestId)
    }

    /// Which of the requests at [`RequestId::index`] this is.
    pub fn generation(self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// The place in the table.
    pub fn index(self) -> usize {
        self.bits() as u32 as usize
    }

    /// Both in one number.
    pub fn bits(self) -> u64 {
        self.0.get()
    }
}

/// Set in the numbers of entries that are no requests: the engine's own, and silent sends.
const OWN: u64 = 1 << 63;
/// No silent send has a higher place. Other own entries have higher numbers, because generations begin with 1.
const PLACE_MAX: u64 = u32::MAX as u64;

/// One event of a request, or of one of the engine's own entries.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    number: u64,
    result: i32,
    /// IORING_CQE_F_*, in every engine.
    flags: u32,
}

impl Completion {
    /// The completion of a request that no engine has taken.
    pub fn refused(id: RequestId) -> Completion {
        Completion { number: id.bits(), result: -libc::EIO, flags: 0 }
    }

    /// The request, which is over or goes on. `None`: the completion is for [`Engine::note`].
    #[inline]
    pub fn request(&self) -> Option<RequestId> {
        NonZeroU64::new(self.number).filter(|number| number.get() & OWN == 0).map(RequestId)
    }

    /// The place of the silent send that has not gone as a whole, if this is its completion.
    #[inline]
    pub fn silent_send(&self) -> Option<usize> {
        let place = self.number ^ OWN;
        (place <= PLACE_MAX).then_some(place as usize)
    }

    /// A count, or an errno below zero.
    pub fn result(&self) -> i32 {
        self.result
    }

    /// The number of bytes that it brought; 0 if it failed.
    pub fn count(&self) -> usize {
        self.result.max(0) as usize
    }

    /// The pool buffer that holds the bytes.
    pub fn buffer(&self) -> Option<u16> {
        ring::buffer(self.flags)
    }

    /// Whether the request will complete again.
    pub fn more(&self) -> bool {
        ring::more(self.flags)
    }
}

/// Reads a completion's result.
#[inline]
pub fn answer_of(result: i32) -> Answer {
    match -result {
        // ENOBUFS: the pool was empty for a moment. Its buffers come back within the round.
        libc::ECANCELED | libc::ENOBUFS => Answer::Again,
        _ => Answer::of(result),
    }
}

/// How long to stay in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Submit and look, without waiting.
    No,
    /// Until something completes.
    Forever,
    /// Until something completes, at most so long.
    For(Duration),
}

/// The link between one loop and the kernel. Only the thread that made it uses it.
pub enum Engine {
    /// One io_uring.
    Ring(Ring),
    /// epoll.
    Poller(Poller),
}

impl Engine {
    /// Makes an engine and tries it out. It has buffers to lend to the kernel if it `receives`. Fails with the errno of the
    /// last try. From now on `waker` wakes it up.
    pub fn new(plan: Plan, receives: bool, waker: &Arc<Waker>) -> io::Result<Engine> {
        match plan.kind {
            EngineKind::IoUring => Ring::new(plan.size, plan.features, receives, waker).map(Engine::Ring),
            EngineKind::Epoll => Poller::new(plan.features, receives, waker).map(Engine::Poller),
        }
    }

    /// The features of io_uring that it uses.
    pub fn features(&self) -> Features {
        match self {
            Engine::Ring(ring) => ring.features(),
            Engine::Poller(_) => Features(0),
        }
    }

    /// Whether a receive may go on by itself.
    pub fn has_multishot(&self) -> bool {
        match self {
            Engine::Ring(ring) => ring.features().has(Features::MULTISHOT),
            Engine::Poller(poller) => poller.has_multishot(),
        }
    }

    /// Whether it asks sockets for what it gives, a few of them at a time.
    pub fn asks_sockets(&self) -> bool {
        matches!(self, Engine::Poller(_))
    }

    /// Whether it can see without a system call that there is something to reap. Only then a spin pays.
    pub fn can_spin(&self) -> bool {
        matches!(self, Engine::Ring(_))
    }

    /// The buffers that completions name. The caller keeps them until it has read the last of these completions.
    pub fn pool(&self) -> Option<Rc<BufferPool>> {
        match self {
            Engine::Ring(ring) => ring.pool(),
            Engine::Poller(poller) => poller.pool(),
        }
    }

    /// Queues a request. Requests reach the kernel in order, with the next [`Engine::enter`] or a later one.
    ///
    /// # Safety
    /// What the request names stays valid until its last completion is reaped.
    #[allow(unsafe_code)] // requests name memory by address
    #[inline]
    pub unsafe fn submit(&mut self, id: RequestId, request: &mut Request) {
        // SAFETY: the caller vouches for the same.
        unsafe {
            match self {
                Engine::Ring(ring) => ring.submit(id, request),
                Engine::Poller(poller) => poller.submit(id, request),
            }
        }
    }

    /// Prepares for [`Engine::send_silently`]. False: the engine takes no such sends. The loop asks once.
    pub fn prepare_silent_sends(&mut self, plan: Plan) -> bool {
        match self {
            Engine::Ring(ring) => ring.features().has(Features::SILENT_SENDS),
            Engine::Poller(poller) => plan.has_send_ring && poller.prepare_silent_sends(plan),
        }
    }

    /// Queues a send that does not wait. It completes only if not all of it goes. [`Engine::decide`] says when the kernel
    /// has seen it. `place` names it until then.
    ///
    /// # Safety
    /// The descriptor stays open, and the memory of `part` stays readable, until the kernel has seen the send.
    #[allow(unsafe_code)] // as above
    pub unsafe fn send_silently(&mut self, place: usize, fd: RawFd, part: libc::iovec) {
        match self {
            // SAFETY: the caller vouches for the same.
            Engine::Ring(ring) => unsafe { ring.send_silently(place, fd, part) },
            // SAFETY: as above.
            Engine::Poller(poller) => unsafe { poller.send_silently(place, fd, part) },
        }
    }

    /// Submits what was queued, and does nothing else. [`Engine::enter`] works off much at once, and the pool might have too
    /// few buffers for two such enters in one round. Moves completions to `into`. True: the kernel has seen every silent
    /// send, and `into` has every completion of one.
    pub fn decide(&mut self, into: &mut Vec<Completion>) -> io::Result<bool> {
        match self {
            Engine::Ring(ring) => ring.decide(into),
            Engine::Poller(poller) => poller.decide(into),
        }
    }

    /// Queues a cancel of a request. The request still completes, perhaps with success.
    pub fn cancel(&mut self, id: RequestId) {
        match self {
            Engine::Ring(ring) => ring.cancel(id),
            Engine::Poller(poller) => poller.cancel(id),
        }
    }

    /// Whether an enter has something to do without waiting.
    #[inline]
    pub fn has_work(&mut self) -> bool {
        match self {
            Engine::Ring(ring) => ring.has_work(),
            Engine::Poller(poller) => poller.has_work(),
        }
    }

    /// Whether it learns only in an enter that one of its sockets is ready, and has sockets that wait. A loop that always has
    /// mail must enter all the same.
    #[inline]
    pub fn must_look(&self) -> bool {
        match self {
            Engine::Ring(_) => false,
            Engine::Poller(poller) => poller.has_armed(),
        }
    }

    /// Whether there is something to reap.
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        match self {
            Engine::Ring(ring) => ring.has_completions(),
            Engine::Poller(poller) => poller.has_completions(),
        }
    }

    /// Whether ready sockets wait in the kernel's queue.
    #[inline]
    pub fn is_crowded(&mut self) -> bool {
        match self {
            Engine::Ring(ring) => ring.is_crowded(),
            Engine::Poller(poller) => poller.is_crowded(),
        }
    }

    /// Submits the queued entries, and waits as `wait` says. It may return early: the caller reaps and calls it again.
    #[inline]
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        match self {
            Engine::Ring(ring) => ring.enter(wait),
            Engine::Poller(poller) => poller.enter(wait),
        }
    }

    /// Does what was queued, as far as that needs no look at the sockets that wait.
    pub fn work_off(&mut self) {
        match self {
            Engine::Ring(_) => {} // an enter does it
            Engine::Poller(poller) => poller.work_off(),
        }
    }

    /// Whether a signal has ended the wait of the last enter.
    pub fn was_interrupted(&self) -> bool {
        match self {
            Engine::Ring(_) => false,
            Engine::Poller(poller) => poller.was_interrupted(),
        }
    }

    /// A descriptor that is readable whenever an enter would not wait, the queued requests apart. It stays open when the engine
    /// is gone. `timer` becomes readable at deadlines, and ends a wait too. Engines over epoll alone have one.
    pub fn descriptor(&self, timer: RawFd) -> io::Result<Epoll> {
        match self {
            Engine::Ring(_) => Err(io::ErrorKind::Unsupported.into()),
            Engine::Poller(poller) => poller.descriptor(timer),
        }
    }

    /// Makes such a descriptor readable for good, also if its engine is gone. An enter does not wait any more.
    pub fn stay_readable(descriptor: &Epoll, waker: &Waker) {
        Poller::stay_readable(descriptor, waker);
    }

    /// Moves completions to `into`. True: more may follow, once the caller has handled these.
    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Completion>) -> bool {
        match self {
            Engine::Ring(ring) => {
                ring.reap(into);
                false
            }
            Engine::Poller(poller) => poller.reap(into),
        }
    }

    /// How many may follow what [`Engine::reap`] has given.
    #[inline]
    pub fn left(&self) -> usize {
        match self {
            Engine::Ring(_) => 0,
            Engine::Poller(poller) => poller.left(),
        }
    }

    /// Handles a completion of one of the engine's own entries. Returns the request if its cancel did not find it. The
    /// request may be over, or the kernel was about to try it again while it neither waited nor ran.
    pub fn note(&mut self, completion: &Completion) -> Option<RequestId> {
        match self {
            Engine::Ring(ring) => ring.note(completion),
            Engine::Poller(_) => None, // a wake-up: the loop looks at its mail in each round
        }
    }

    /// The last resort of a dying loop: ends everything in flight, waits for the kernel up to `time`, and returns the
    /// completions.
    pub fn give_up(self, time: Duration) -> Vec<Completion> {
        match self {
            Engine::Ring(ring) => ring.give_up(time),
            Engine::Poller(poller) => poller.give_up(),
        }
    }

    /// Calls of [`Engine::enter`] that entered the kernel so far, and requests queued so far.
    pub fn counts(&self) -> (u64, u64) {
        match self {
            Engine::Ring(ring) => ring.counts(),
            Engine::Poller(poller) => poller.counts(),
        }
    }

    /// Ends the poll of the waker's eventfd, as the kernel may at any time.
    #[cfg(all(test, not(loom)))]
    pub fn lose_waker(&mut self) {
        if let Engine::Ring(ring) = self {
            ring.lose_waker();
        }
    }
}
