#![allow(unsafe_code)] // sends name memory
//! The sends of one round, which the engine gets together at the round's end.
//!
//! A callback's post is copied here. The memory of a callback's send is named here. So are the bytes of a post that the
//! callback is shown, because the loop keeps their buffer. At the end of the round the engine gets all of them, and the enter
//! that follows decides them.
//!
//! A callback may take long. Therefore another thread may take a send away until then. The gate of the sender (ownership.rs)
//! decides which of the two has it. Invariant: a send that the engine has keeps its memory, and its sender, which keeps the
//! descriptor open, until the kernel has decided it.

use super::{EventLoop, Handler, Sent};
use crate::completion::{Callback, Ended, Outcome};
use crate::engine::PoolBuffer;
use crate::permits::Permit;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::Arc;

/// The sends that one round can hold. Further ones are system calls of their own.
const PLACES: usize = 256;
/// The bytes that one round can hold. They stay in the cache.
const ROOM: usize = 256 << 10;
/// A longer post is a system call of its own. A copy of it would take longer than a call.
const COPY_MAX: usize = 16 << 10;
/// A longer send is a system call of its own, which goes on until the socket is full.
const LENT_MAX: usize = 32 << 10;
/// A copy of fewer bytes takes less than the care for a buffer that is kept.
const LENT_MIN: usize = 1 << 10;

/// The sends of the round. Callbacks on the loop's own thread add to them.
pub struct RoundSends {
    /// The loop's own thread alone uses it.
    own: RefCell<Own>,
    /// What other threads may take, by place.
    places: Box<[UnsafeCell<Place>]>,
    /// The bytes that the running callback is shown. The loop's own thread alone uses it.
    shown: Cell<Shown>,
    /// From so many callbacks on, a round's sends leave together. The loop's own thread alone uses it and the next.
    least: usize,
    has_many: Cell<bool>,
    /// The memory of the sends' bytes.
    start: *mut u8,
    /// Owns that memory, and is not used otherwise: the bytes are in its spare capacity.
    _memory: Vec<u8>,
}

// SAFETY: other threads call `take_away` alone, which uses one place. The loop uses neither this place nor its bytes while
// the caller may use them.
unsafe impl Sync for RoundSends {}
// SAFETY: handlers are Send and Sync. The addresses name memory of this struct, or memory that others keep for it.
unsafe impl Send for RoundSends {}

struct Own {
    sends: Vec<RoundSend>,
    /// How much of the memory they take.
    used: usize,
    /// How many of them the engine has, or others have taken.
    submitted: usize,
}

/// Bytes of a buffer that the loop can keep until the sends are decided.
#[derive(Clone, Copy, Default)]
struct Shown {
    start: usize,
    size: usize,
    /// A post names some of them.
    lent: bool,
}

/// The callback that learns the end of a send, and its place among the operations in flight.
pub type Told = (Callback, Permit);

struct Place {
    /// A copy of a post in this struct's memory, or memory that a caller or the loop lends.
    start: *const u8,
    size: usize,
    /// `None`: a post, or no send has the place.
    told: Option<Told>,
}

/// One send.
struct RoundSend {
    /// The handle that sends. `None`: another thread has taken the send.
    sender: Option<Arc<dyn Handler>>,
    fd: RawFd,
    /// The count that went, or an errno below zero. It is the size until the engine says otherwise.
    result: i32,
}

/// What a send consists of.
pub struct InRound<'a> {
    /// The bytes to send.
    pub data: &'a [u8],
    /// Who learns the end. `None`: a post.
    pub told: Option<Told>,
}

impl RoundSends {
    /// Room for the sends of a round. They leave together if at least so many callbacks run.
    pub fn new(least: usize) -> RoundSends {
        let mut memory = Vec::with_capacity(ROOM);
        let nothing = || UnsafeCell::new(Place { start: std::ptr::null(), size: 0, told: None });
        RoundSends {
            own: RefCell::new(Own { sends: Vec::with_capacity(PLACES), used: 0, submitted: 0 }),
            places: (0..PLACES).map(|_| nothing()).collect(),
            shown: Cell::default(),
            least,
            has_many: Cell::new(false),
            start: memory.as_mut_ptr(),
            _memory: memory,
        }
    }

    /// So many callbacks are about to run.
    #[inline]
    pub fn expect(&self, callbacks: usize) {
        self.has_many.set(callbacks >= self.least);
    }

    /// Whether so many callbacks run that their sends should leave together.
    #[inline]
    pub fn has_many(&self) -> bool {
        self.has_many.get()
    }

    /// Copies a post, and asks `pass` whether the sender may send now. False: it may not, or the post is empty or does not fit.
    #[inline]
    pub fn copy<H: Handler + 'static>(
        &self,
        sender: &Arc<H>,
        fd: RawFd,
        data: &[u8],
        pass: impl FnOnce(u32) -> bool,
    ) -> bool {
        let mut own = self.own.borrow_mut();
        let size = data.len();
        if own.sends.len() == PLACES || size == 0 {
            return false;
        }
        if (LENT_MIN..=LENT_MAX).contains(&size) && self.is_shown(data) {
            return self.name_shown(&mut own, sender, fd, data, pass);
        }
        if size > COPY_MAX.min(ROOM - own.used) {
            return false;
        }
        let start = self.start.wrapping_add(own.used);
        // SAFETY: the bytes lie within the capacity, and behind those of all other sends.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), start, size) };
        let added = self.add(&mut own, sender, fd, (start, size), pass);
        if added {
            own.used += size;
        }
        added
    }

    #[inline(never)] // keeps the way of a short post short
    fn name_shown<H: Handler + 'static>(
        &self,
        own: &mut Own,
        sender: &Arc<H>,
        fd: RawFd,
        data: &[u8],
        pass: impl FnOnce(u32) -> bool,
    ) -> bool {
        let added = self.add(own, sender, fd, (data.as_ptr(), data.len()), pass);
        if added {
            self.shown.set(Shown { lent: true, ..self.shown.get() });
        }
        added
    }

    fn is_shown(&self, data: &[u8]) -> bool {
        let shown = self.shown.get();
        let offset = (data.as_ptr() as usize).wrapping_sub(shown.start);
        offset < shown.size && data.len() <= shown.size - offset
    }

    /// Whether posts should name such bytes instead of copying them.
    #[inline]
    pub fn lends(bytes: &[u8]) -> bool {
        bytes.len() >= LENT_MIN
    }

    /// The next callback is shown `bytes`, whose buffer the loop can keep.
    pub fn show(&self, bytes: &[u8]) {
        self.shown.set(Shown { start: bytes.as_ptr() as usize, size: bytes.len(), lent: false });
    }

    /// The callback has returned. True: sends name some of the bytes that it was shown.
    pub fn have_borrowed(&self) -> bool {
        self.shown.take().lent
    }

    /// Names the memory of a send, and asks `pass` as above. Gives `told` back if the send must go another way.
    ///
    /// # Safety
    /// The memory is readable and unchanged until the callback runs.
    #[inline]
    pub unsafe fn lend<H: Handler + 'static>(
        &self,
        sender: &Arc<H>,
        fd: RawFd,
        memory: (*const u8, usize),
        told: Told,
        pass: impl FnOnce(u32) -> bool,
    ) -> Result<(), Told> {
        let mut own = self.own.borrow_mut();
        if own.sends.len() == PLACES || !(1..=LENT_MAX).contains(&memory.1) {
            return Err(told);
        }
        let place = self.places[own.sends.len()].get();
        // SAFETY: nobody else uses the place, because no send has it.
        unsafe { (*place).told = Some(told) };
        if self.add(&mut own, sender, fd, memory, pass) {
            return Ok(());
        }
        // SAFETY: as above.
        Err(unsafe { (*place).told.take() }.expect("it has just been put there"))
    }

    #[inline]
    fn add<H: Handler + 'static>(
        &self,
        own: &mut Own,
        sender: &Arc<H>,
        fd: RawFd,
        (start, size): (*const u8, usize),
        pass: impl FnOnce(u32) -> bool,
    ) -> bool {
        let number = own.sends.len();
        // SAFETY: nobody else uses the place, because no send has it.
        let place = unsafe { &mut *self.places[number].get() };
        (place.start, place.size) = (start, size);
        let added = pass(number as u32);
        if added {
            let sender = Arc::clone(sender) as _;
            own.sends.push(RoundSend { sender: Some(sender), fd, result: size as i32 });
        }
        added
    }

    /// Takes a send out of its place.
    ///
    /// # Safety
    /// The sender's gate has given the send to the caller, who still holds the sender's lock. Or the caller is the loop, and
    /// the send is decided. The caller uses the bytes only while that holds, or until the loop calls [`RoundSends::put_back`].
    pub unsafe fn take_away(&self, place: usize) -> InRound<'_> {
        // SAFETY: the caller alone uses the place, and the gate has ordered the accesses of others.
        let place = unsafe { &mut *self.places[place].get() };
        // SAFETY: the bytes are copied, or the caller of `lend` vouches for them.
        let data = unsafe { std::slice::from_raw_parts(place.start, place.size) };
        InRound { data, told: place.told.take() }
    }

    /// Whether a decided send was a post, and has gone as a whole. The loop has the send.
    #[inline]
    fn is_whole_post(&self, place: usize, result: i32) -> bool {
        // SAFETY: the gate has given the send to the loop for good.
        let content = unsafe { &*self.places[place].get() };
        result as usize == content.size && content.told.is_none()
    }

    /// Whether there are sends that are not decided.
    #[inline]
    fn exist(&self) -> bool {
        !self.own.borrow().sends.is_empty()
    }

    /// Calls `submit` for each send that has not left the round, with its place, descriptor and memory. Calls `taken` with
    /// the senders of those that other threads have taken.
    fn submit(
        &self,
        mut submit: impl FnMut(usize, RawFd, libc::iovec),
        mut taken: impl FnMut(Arc<dyn Handler>),
    ) {
        let mut own = self.own.borrow_mut();
        let count = own.sends.len();
        let first = mem::replace(&mut own.submitted, count);
        for (place, send) in own.sends.iter_mut().enumerate().skip(first) {
            let Some(sender) = &send.sender else {
                continue;
            };
            if sender.leave_round() {
                // SAFETY: the gate gives the send to the round for good.
                let content = unsafe { &*self.places[place].get() };
                let (start, iov_len) = (content.start.cast_mut().cast(), content.size);
                submit(place, send.fd, libc::iovec { iov_base: start, iov_len });
            } else {
                send.sender.take().into_iter().for_each(&mut taken);
            }
        }
    }

    /// Notes the result of a send that has not gone as a whole.
    pub fn note(&self, place: usize, result: i32) {
        if let Some(send) = self.own.borrow_mut().sends.get_mut(place) {
            send.result = result;
        }
    }

    /// No send will be decided any more.
    fn fail_all(&self, result: i32) {
        self.own.borrow_mut().sends.iter_mut().for_each(|send| send.result = result);
    }

    /// Takes the list of all sends, which are decided. What they consist of stays until [`RoundSends::put_back`].
    fn take(&self) -> Vec<RoundSend> {
        mem::take(&mut self.own.borrow_mut().sends)
    }

    /// Puts the emptied list back, to use its memory again.
    fn put_back(&self, list: Vec<RoundSend>) {
        debug_assert!(list.is_empty(), "each sender has been told");
        *self.own.borrow_mut() = Own { sends: list, used: 0, submitted: 0 };
    }
}

impl EventLoop {
    /// Gives the sends of this round to the engine. Other threads have taken some of them; their senders look once more.
    pub(super) fn submit_sends(&mut self) {
        let (Some(sends), Some(engine)) = (self.handle.round_sends(), &mut self.engine) else {
            return;
        };
        sends.submit(
            // SAFETY: until it is decided, the send keeps its sender, which has the descriptor, and its memory.
            |place, fd, part| unsafe { engine.send_silently(place, fd, part) },
            |sender| self.handle.at_round_end(sender),
        );
    }

    /// Enters the kernel with the sends of this round. That decides them, and their senders learn how.
    #[inline(never)] // keeps a round without sends short
    pub(super) fn decide_sends(&mut self) -> io::Result<()> {
        let (Some(sends), Some(engine)) = (self.handle.round_sends(), &mut self.engine) else {
            self.fail_sends();
            return Ok(());
        };
        let decided = engine.decide(&mut self.completions)?;
        self.completions.retain(|completion| {
            let place = completion.silent_send();
            place.is_none_or(|place| {
                sends.note(place, completion.result());
                false
            })
        });
        if decided {
            self.tell_senders();
        }
        Ok(())
    }

    fn tell_senders(&mut self) {
        let handle = Arc::clone(&self.handle);
        let Some(sends) = handle.round_sends() else {
            return;
        };
        let mut list = sends.take();
        for (place, RoundSend { sender, result, .. }) in list.drain(..).enumerate() {
            let Some(sender) = sender else {
                continue;
            };
            if !(sends.is_whole_post(place, result) && sender.all_sent(result as usize)) {
                // SAFETY: the send is decided.
                let content = unsafe { sends.take_away(place) };
                self.tell_sender(sender, Sent { result, content });
            }
        }
        sends.put_back(list);
        for buffer in self.lent.drain(..) {
            if let Some(pool) = &self.pool {
                drop(PoolBuffer::new(pool, buffer, 0)); // gives it back to the kernel
            }
        }
    }

    #[inline(never)] // keeps the way of posts short
    fn tell_sender(&mut self, sender: Arc<dyn Handler>, mut sent: Sent<'_>) {
        let bytes = sent.content.data.len();
        if sent.result as usize == bytes {
            if let Some((callback, permit)) = sent.content.told.take() {
                let outcome = Outcome { result: Ok(()), bytes };
                self.handle.ended(Ended { callback, outcome, permit });
                if sender.all_sent(bytes) {
                    return;
                }
            }
        }
        self.guarded(sender, |sender, _| sender.on_sent(sent));
    }

    pub(super) fn has_sends(&self) -> bool {
        self.handle.round_sends().is_some_and(RoundSends::exist)
    }

    /// Ends the sends that no engine will decide.
    pub(super) fn fail_sends(&mut self) {
        let mut taken = Vec::new();
        if let Some(sends) = self.handle.round_sends() {
            sends.submit(|_, _, _| {}, |sender| taken.push(sender));
            sends.fail_all(-libc::EIO);
        }
        for sender in taken {
            self.guarded(sender, |sender, _| sender.end_round());
        }
        self.tell_senders();
    }
}
