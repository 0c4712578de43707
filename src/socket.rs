#![allow(unsafe_code)] // sends and receives of memory that the callers name
//! One TCP connection's or listener's socket: what the kernel's answers mean for it, and the error that both halves share.
//!
//! Shared by the two halves of a connection and by every request in flight, so that the descriptor closes after the
//! last of them. Invariant: no error that the kernel reported once is forgotten; the half that did not see it learns
//! it here.

pub use crate::sys::Options;

use crate::deadlines::DrainEnd;
use crate::error::{Error, Result};
use crate::parts::{EMPTY_PART, Gather, PARTS_MAX, Parts};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use crate::sys::{Answer, Descriptor};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One of the two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What the sink sends.
    Send = 0,
    /// What the stream receives.
    Recv = 1,
}

/// What one try of the kernel gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    /// So many bytes; for a receive never 0.
    Bytes(usize),
    /// Nothing now.
    WouldBlock,
    /// The other side has ended its stream.
    End,
    /// The connection is broken.
    Failed(Error),
}

/// How long a peer has had everything that was sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// At least so long.
    pub time: Duration,
    /// The kernel's estimate of a round trip.
    pub round_trip: Duration,
}

/// Called when the own direction of a connection has ended.
type EndedHook = Box<dyn Fn() + Send + Sync>;

/// A TCP socket, closed when the last owner lets go.
pub struct Socket {
    error: AtomicI32,
    fin_sent: AtomicBool,
    /// When the own direction ended, the peer had acknowledged everything before it.
    fin_was_last: AtomicBool,
    input_ended: AtomicBool,
    /// Whether a send may have taken an error from the kernel that is not stored yet. Written by the sink's
    /// owner.
    sending: AtomicBool,
    reset: AtomicBool,
    open_halves: AtomicU8,
    embedded: [AtomicBool; 2],
    ended: OnceLock<Box<EndedHook>>,
    /// When the drain of what was queued at the close must be over; set by the sink.
    drain_until: DrainEnd,
    /// Last: as it closes, who waits for a descriptor hears of it.
    descriptor: Descriptor,
}

/// As much input as one call drops, so that a close in a callback is not long.
const DISCARDED_AT_ONCE: usize = 256 << 10;

/// Errors that are the fault of one call and not of the connection: memory that cannot be read, say.
const OF_ONE_CALL: [Error; 6] = [
    Error::from_errno(libc::EFAULT),
    Error::from_errno(libc::EINVAL),
    Error::from_errno(libc::ENOMEM),
    Error::from_errno(libc::ENOBUFS),
    Error::from_errno(libc::EMSGSIZE),
    Error::from_errno(libc::EIO),
];

const RESET: Error = Error::from_errno(libc::ECONNRESET);

impl Socket {
    /// A new socket for `address`'s family, for [`Socket::connect`].
    pub fn to_connect(address: &SocketAddr, options: &Options) -> Result<Socket> {
        Descriptor::new(address, options).map(Socket::of)
    }

    /// A listening socket. The sockets that it accepts inherit `options`.
    pub fn listen(address: &SocketAddr, backlog: u32, reuse_port: bool, options: &Options) -> Result<Socket> {
        let descriptor = Descriptor::new(address, options)?;
        descriptor.listen(address, backlog, reuse_port)?;
        Ok(Socket::of(descriptor))
    }

    /// Connects to `address` without waiting, or looks how far that is. False: it is under way, and over when the socket
    /// is writable or broken.
    pub fn connect(&self, address: &SocketAddr) -> Result<bool> {
        // The first call begins. The second, or one after a wait, tells the end; over the loopback device that has come
        // before the first returns.
        for _ in 0..2 {
            match self.descriptor.connect(address) {
                Answer::Done(_) => return Ok(true),
                Answer::WouldBlock | Answer::Again => {}
                Answer::Failed(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether a connection is one of the socket with itself. Where nobody listens at a port that callers get as well,
    /// the kernel may choose that port for the caller, which then answers itself.
    pub fn is_connected_to_itself(&self, dialled: &SocketAddr) -> bool {
        let Some(local) = self.local() else {
            return false;
        };
        local.port() == dialled.port() && self.peer() == Some(local)
    }

    /// Takes a connection from a listening socket, without waiting.
    pub fn accept(&self) -> Answer<Socket> {
        self.descriptor.accept().map(Socket::of)
    }

    fn of(descriptor: Descriptor) -> Socket {
        Socket {
            error: AtomicI32::new(0),
            fin_sent: AtomicBool::new(false),
            fin_was_last: AtomicBool::new(false),
            input_ended: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            open_halves: AtomicU8::new(2),
            embedded: [AtomicBool::new(false), AtomicBool::new(false)],
            ended: OnceLock::new(),
            drain_until: DrainEnd::new(),
            descriptor,
        }
    }

    /// The descriptor's number, for ring entries of requests that hold this socket.
    pub fn fd(&self) -> RawFd {
        self.descriptor.number()
    }

    /// The own address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.descriptor.local()
    }

    /// The other side's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.descriptor.peer()
    }

    /// Offers `parts`, from byte `skip` on, to the kernel without waiting.
    ///
    /// # Safety
    /// The memory that `parts` names is readable during the call.
    #[inline]
    pub unsafe fn try_send(&self, parts: &Parts, skip: usize) -> Tried {
        match parts {
            Parts::One(data, size) => {
                self.send_begins();
                // SAFETY: the caller vouches for the memory; skip is within it.
                self.sent(unsafe { self.descriptor.send(data.add(skip), size - skip) })
            }
            // SAFETY: the caller vouches for the memory.
            Parts::Many(_) => unsafe { self.try_send_many(parts, skip) },
        }
    }

    /// By itself, since one part does without a KiB of stack.
    ///
    /// # Safety
    /// As `try_send`.
    #[inline(never)]
    unsafe fn try_send_many(&self, parts: &Parts, skip: usize) -> Tried {
        let mut vectors = [EMPTY_PART; PARTS_MAX];
        let mut gathered = Gather::new(&mut vectors);
        gathered.add(parts, skip);
        // SAFETY: the vectors name the caller's memory and live on this stack.
        unsafe { self.try_send_gathered(gathered.parts()) }
    }

    /// Offers gathered parts to the kernel without waiting.
    ///
    /// # Safety
    /// The memory that `parts` names is readable during the call.
    pub unsafe fn try_send_gathered(&self, parts: &[libc::iovec]) -> Tried {
        self.send_begins();
        if let [part] = parts {
            // SAFETY: the caller vouches for the one part.
            return self.sent(unsafe { self.descriptor.send(part.iov_base.cast(), part.iov_len) });
        }
        // SAFETY: the caller vouches for the parts.
        self.sent(unsafe { self.descriptor.send_parts(parts) })
    }

    #[inline]
    fn sent(&self, answer: Answer) -> Tried {
        let tried = match answer {
            Answer::Done(count) => Tried::Bytes(count),
            Answer::WouldBlock | Answer::Again => Tried::WouldBlock,
            Answer::Failed(error) => Tried::Failed(self.fail(error)),
        };
        self.send_ends();
        tried
    }

    /// Before the kernel is asked to send, here or by a ring.
    pub fn send_begins(&self) {
        self.sending.store(true, Ordering::Relaxed); // seen by who receives after it: the kernel locks the socket for both
    }

    /// Its answer is in, and an error stored.
    pub fn send_ends(&self) {
        self.sending.store(false, Ordering::Release); // pairs with `received_end`
    }

    /// Asks the kernel for bytes without waiting.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable during the call and `size` is not 0.
    pub unsafe fn try_recv(&self, into: *mut u8, size: usize) -> Tried {
        // SAFETY: the caller vouches for the memory.
        match unsafe { self.descriptor.recv(into, size) } {
            Answer::Done(0) => self.received_end(),
            Answer::Done(count) => Tried::Bytes(count),
            Answer::WouldBlock | Answer::Again => Tried::WouldBlock,
            Answer::Failed(error) => Tried::Failed(self.fail(error)),
        }
    }

    /// What a receive of 0 bytes means: after a reset one half consumes the error, and the other reads 0.
    pub fn received_end(&self) -> Tried {
        // The kernel tells a reset's error once, to a receive or to a send; receives ask one at a time, and this one got
        // none. A send that got it before this receive was under way then: it still is, or has stored the error.
        let may_be_taken = self.sending.load(Ordering::Acquire); // before the error; pairs with `send_ends`
        if let Some(error) = self.error() {
            return Tried::Failed(error);
        }
        // After a FIN of ours the state may be TCP_CLOSE in all order; before it, that means a reset.
        if may_be_taken && !self.fin_sent.load(Ordering::Acquire) && self.is_dead() {
            return Tried::Failed(self.fail(RESET));
        }
        self.input_ended.store(true, Ordering::Relaxed); // a hint, for `discard_input`
        Tried::End
    }

    /// Discards what has come and nobody will receive, without waiting. True: nothing can come any more, since the peer
    /// has ended its stream or the connection is broken.
    pub fn discard_input(&self) -> bool {
        if self.input_ended.load(Ordering::Relaxed) {
            return true;
        }
        // What is there, and the end behind it. A peer that sends more meanwhile is for a linger to wait for.
        for _ in 0..2 {
            match self.descriptor.discard(DISCARDED_AT_ONCE) {
                Answer::Done(0) => return true,
                Answer::Done(_) => {}
                Answer::WouldBlock | Answer::Again => return false,
                Answer::Failed(error) => {
                    self.fail(error);
                    return true;
                }
            }
        }
        false
    }

    /// What has broken the connection, if anything has; for the one who owns the half that sends. The kernel tells an error
    /// once, which may be now.
    pub fn look_for_error(&self) -> Option<Error> {
        self.send_begins(); // a receive that finds the error taken must not mistake that for the end
        let error = match self.descriptor.take_error() {
            Some(error) => Some(self.fail(error)),
            None => self.error().or_else(|| {
                let reset = self.is_dead() && !self.has_sent_fin();
                reset.then(|| self.fail(RESET))
            }),
        };
        self.send_ends();
        error
    }

    fn is_dead(&self) -> bool {
        const TCP_CLOSE: u8 = 7;
        self.descriptor.info().is_some_and(|info| info.tcpi_state == TCP_CLOSE)
    }

    /// What `error` means here. An end of the connection is stored for the half that did not see it, and the first one
    /// stays. The fault of one call is that call's alone.
    #[cold]
    pub fn fail(&self, error: Error) -> Error {
        if OF_ONE_CALL.contains(&error) { error } else { self.fail_with(error) }
    }

    /// Stores why the connection ends, for both halves; the first cause stays, and is returned.
    pub fn fail_with(&self, error: Error) -> Error {
        match self.error.compare_exchange(0, error.code(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => error,
            Err(first) => Error::from_errno(-first),
        }
    }

    /// The error that either half met.
    pub fn error(&self) -> Option<Error> {
        match self.error.load(Ordering::Acquire) {
            0 => None,
            code => Some(Error::from_errno(-code)),
        }
    }

    /// Ends the own direction in order: FIN after everything sent.
    pub fn shutdown_send(&self) {
        // Before the FIN: an acknowledgement that is seen after it may be younger than the FIN. Nobody asks for it where the
        // peer has ended its stream.
        if !self.input_ended.load(Ordering::Relaxed) && self.unacknowledged() == 0 {
            self.fin_was_last.store(true, Ordering::Relaxed); // published with `fin_sent`
        }
        self.fin_sent.store(true, Ordering::Release);
        self.descriptor.shutdown(Shutdown::Write);
        self.tell_ended();
    }

    /// Whether the own direction has ended in order.
    pub fn has_sent_fin(&self) -> bool {
        self.fin_sent.load(Ordering::Acquire)
    }

    /// How long the peer has had everything that was sent before the FIN, at least; `None` where that is not known.
    ///
    /// Counted from when bytes last left, since their acknowledgement came a round trip later; a retransmission counts
    /// as well. The time of the last acknowledgement would not do: keepalive and the peer's own bytes renew it.
    pub fn quiet(&self) -> Option<Quiet> {
        if !self.has_sent_fin() || !self.fin_was_last.load(Ordering::Relaxed) {
            return None;
        }
        let info = self.descriptor.info()?;
        let round_trip = Duration::from_micros(info.tcpi_rtt.into());
        let unsent = Duration::from_millis(info.tcpi_last_data_sent.into());
        Some(Quiet { time: unsent.saturating_sub(round_trip), round_trip })
    }

    /// Calls `hook` whenever the own direction ends, by a FIN or a reset. For the one who takes over from the two halves;
    /// what had ended before is not told.
    pub fn when_ended(&self, hook: EndedHook) {
        let first = self.ended.set(Box::new(hook));
        debug_assert!(first.is_ok(), "one takes over");
    }

    fn tell_ended(&self) {
        if let Some(hook) = self.ended.get() {
            hook();
        }
    }

    /// Ends a listener, also for forked children that hold the descriptor.
    pub fn shutdown_listener(&self) {
        self.descriptor.shutdown(Shutdown::Both);
    }

    /// Resets the connection at once, in spite of forked children that hold the descriptor.
    ///
    /// connect(2) to AF_UNSPEC disconnects with a RST and ends every operation in flight. After shutdown(2) the peer
    /// would see an end of stream instead, and SO_LINGER acts only at the last close.
    pub fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.descriptor.disconnect();
        self.tell_ended();
    }

    /// Whether [`Socket::reset`] was called.
    pub fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// The bytes that the peer has not acknowledged yet, a FIN counting as one.
    pub fn unacknowledged(&self) -> usize {
        self.descriptor.unacknowledged()
    }

    /// The bytes that have come and nobody has received.
    pub fn unread(&self) -> usize {
        self.descriptor.unread()
    }

    /// A drain has begun that must be over at `until`, if ever.
    pub fn begin_drain(&self, until: Option<Instant>) {
        self.drain_until.begin(until);
    }

    /// When the drain must be over that has begun, if one has.
    pub fn drain_until(&self) -> Option<Option<Instant>> {
        self.drain_until.get()
    }

    /// One half is done with the socket; true for the last one.
    pub fn half_closed(&self) -> bool {
        self.open_halves.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the one operation that each direction has without asking the net; false while it is in use.
    pub fn take_embedded(&self, half: Half) -> bool {
        !self.embedded[half as usize].swap(true, Ordering::AcqRel)
    }

    /// Gives the direction's own operation back.
    pub fn give_embedded(&self, half: Half) {
        self.embedded[half as usize].store(false, Ordering::Release);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A connection that nobody collected, or a loop's last resort: a forked child may still hold the descriptor,
        // and close(2) alone would send no FIN then.
        if !self.fin_sent.load(Ordering::Relaxed) && !self.reset.load(Ordering::Relaxed) {
            self.descriptor.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
