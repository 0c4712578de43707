//! The seam between a loop and the kernel: requests go in, completions come out.
//!
//! A loop submits a [`Request`] under a [`RequestId`], and may cancel it. It waits in [`Engine::enter`] until something
//! completes, until a time limit, or until another thread wakes it up by the [`Waker`]. Then it reaps the completions. Only
//! this directory names io_uring. Invariant: each submitted request has exactly one last completion, unless the loop gives
//! up the engine before.

mod availability;
mod features;
mod pool;
mod request;
mod ring;
mod waker;

pub use self::availability::{explain, kernel_release, status_of_start};
pub use self::features::Features;
pub use self::pool::{BufferPool, POOL_BUFFER_SIZE, PoolBuffer};
pub use self::request::{DataCallback, Lent, Message, Request, Scratch, Start};
pub use self::waker::Waker;

use self::ring::{Ring, RingSize};
use crate::sys::Answer;
use std::io;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How to make both engines of a net.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    size: RingSize,
    features: Features,
}

impl Plan {
    /// So many entries, or as many as the limit on locked memory can hold, and every feature that the kernel has.
    pub fn new(entries: u32) -> Plan {
        Plan { size: RingSize::new(entries), features: Features::wanted() }
    }

    /// The same plan with these features alone.
    #[cfg(all(test, not(loom)))]
    pub fn with(self, features: Features) -> Plan {
        Plan { features, ..self }
    }
}

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

/// Set in the numbers of the engine's own entries alone.
const OWN: u64 = 1 << 63;

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
}

impl Engine {
    /// Makes an engine and tries it out. It has buffers to lend to the kernel if it `receives`. Fails with the errno of the
    /// last try. From now on `waker` wakes it up.
    pub fn new(plan: Plan, receives: bool, waker: &Arc<Waker>) -> io::Result<Engine> {
        Ring::new(plan.size, plan.features, receives, waker).map(Engine::Ring)
    }

    /// What it can do.
    pub fn features(&self) -> Features {
        let Engine::Ring(ring) = self;
        ring.features()
    }

    /// The buffers that completions name. The caller keeps them until it has read the last of these completions.
    pub fn pool(&self) -> Option<Rc<BufferPool>> {
        let Engine::Ring(ring) = self;
        ring.pool()
    }

    /// Queues a request. Requests reach the kernel in order, with the next [`Engine::enter`] or a later one.
    ///
    /// # Safety
    /// The request stays where it is, and what it names stays valid, until its last completion is reaped.
    #[allow(unsafe_code)] // requests name memory by address
    pub unsafe fn submit(&mut self, id: RequestId, request: &mut Request) {
        let Engine::Ring(ring) = self;
        // SAFETY: the caller vouches for the same.
        unsafe { ring.submit(id, request) }
    }

    /// Queues a cancel of a request. The request still completes, perhaps with success.
    pub fn cancel(&mut self, id: RequestId) {
        let Engine::Ring(ring) = self;
        ring.cancel(id);
    }

    /// Whether an enter has something to do without waiting.
    pub fn has_work(&mut self) -> bool {
        let Engine::Ring(ring) = self;
        ring.has_work()
    }

    /// Whether there is something to reap.
    pub fn has_completions(&mut self) -> bool {
        let Engine::Ring(ring) = self;
        ring.has_completions()
    }

    /// Whether ready sockets wait in the kernel's queue.
    pub fn is_crowded(&mut self) -> bool {
        let Engine::Ring(ring) = self;
        ring.is_crowded()
    }

    /// Submits the queued entries, and waits as `wait` says. It may return early: the caller reaps and calls it again.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let Engine::Ring(ring) = self;
        ring.enter(wait)
    }

    /// Moves the completions to `into`.
    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        let Engine::Ring(ring) = self;
        ring.reap(into);
    }

    /// Handles a completion of one of the engine's own entries. Returns the request if its cancel did not find it. The
    /// request may be over, or the kernel was about to try it again while it neither waited nor ran.
    pub fn note(&mut self, completion: &Completion) -> Option<RequestId> {
        let Engine::Ring(ring) = self;
        ring.note(completion)
    }

    /// The last resort of a dying loop: asks the kernel to end everything in flight, waits for it up to `time`, and returns
    /// the completions.
    pub fn give_up(self, time: Duration) -> Vec<Completion> {
        let Engine::Ring(ring) = self;
        ring.give_up(time)
    }

    /// Calls of [`Engine::enter`] so far, and entries queued so far.
    pub fn counts(&self) -> (u64, u64) {
        let Engine::Ring(ring) = self;
        ring.counts()
    }

    /// Ends the poll of the waker's eventfd, as the kernel may at any time.
    #[cfg(all(test, not(loom)))]
    pub fn lose_waker(&mut self) {
        let Engine::Ring(ring) = self;
        ring.lose_waker();
    }
}
