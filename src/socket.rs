#![allow(unsafe_code)] // sends and receives of memory that the callers name
//! The socket of one TCP connection or listener: what the kernel's answers mean for it, and the error that both halves
//! share.
//!
//! The two halves of a connection and every request in flight share the socket. The last of them closes the descriptor.
//! Invariant: the socket keeps every error that the kernel reports once. The half that did not see the error finds it here.

mod drain;
mod extras;
mod places;

pub use crate::sys::{Listening, Options, OwnOptions};

use self::extras::Extras;
use self::places::OwnPlaces;
use crate::deadlines::DrainEnd;
use crate::error::{Error, Result};
use crate::parts::{EMPTY_PART, Gather, PARTS_MAX, Parts};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use crate::sys::{Answer, Descriptor};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

/// One of the two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What the sink sends.
    Send = 0,
    /// What the stream receives.
    Recv = 1,
}

/// What one try of a send or a receive gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    /// So many bytes. A receive never gives 0.
    Bytes(usize),
    /// The kernel can do nothing now.
    WouldBlock,
    /// The peer has ended its stream.
    End,
    /// The connection is broken.
    Failed(Error),
}

/// How long a peer has had all bytes that were sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// A lower bound.
    pub time: Duration,
    /// The kernel's estimate of a round trip.
    pub round_trip: Duration,
}

/// The callback for the end of the sending direction.
type EndedHook = Box<dyn Fn() + Send + Sync>;

/// A TCP socket. Its descriptor closes when the last owner drops it. What a message needs is together, at the end.
#[repr(C)]
pub struct Socket {
    extras: Extras,
    /// When the drain of the queued bytes must be over. The sink sets it at the close.
    drain_until: DrainEnd,
    /// One of the `FIN_` values.
    fin: AtomicU8,
    input_ended: AtomicBool,
    /// Whether a send may have taken an error from the kernel that is not stored yet. The sink's owner writes this flag.
    sending: AtomicBool,
    reset: AtomicBool,
    /// The program holds this socket, too, or other processes listen on it. It closes, and is not shut down.
    shared: AtomicBool,
    open_halves: AtomicU8,
    /// The places that its operations have of their own.
    pub places: OwnPlaces,
    /// All bytes that the kernel has taken, and all that it has given. The owner of each half adds, so no addition is lost.
    totals: [AtomicU64; 2],
    error: AtomicI32,
    /// Dropped last: its close calls the hooks of `freed`.
    descriptor: Descriptor,
}

const FIN_NOT_SENT: u8 = 0;
const FIN_SENT: u8 = 1;
/// The sending direction has ended, and the peer had acknowledged all bytes by then.
const FIN_WAS_LAST: u8 = 2;

/// One call to the kernel discards at most this much input. The limit keeps a close in a callback short.
const DISCARDED_AT_ONCE: usize = 256 << 10;

/// Errors of one call and not of the connection, for example unreadable memory.
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

    /// The same at the local address `from`.
    pub fn to_connect_from(from: &SocketAddr, options: &Options) -> Result<Socket> {
        let descriptor = Descriptor::new(from, options)?;
        descriptor.bind_local(from)?;
        Ok(Socket::of(descriptor))
    }

    /// A listening socket. The sockets that it accepts inherit `options`.
    pub fn listen(address: &SocketAddr, how: &Listening, options: &Options) -> Result<Socket> {
        let descriptor = Descriptor::new(address, options)?;
        descriptor.listen(address, how)?;
        Ok(Socket::of(descriptor))
    }

    /// The socket behind `fd`, which listens or is connected, by a descriptor of its own. [`Socket::take_over`] comes next.
    pub fn adopt(fd: RawFd, listens: bool) -> Result<Socket> {
        let socket = Socket::of(Descriptor::adopt(fd, listens)?);
        socket.shared.store(true, Ordering::Relaxed);
        Ok(socket)
    }

    /// Sets what the library needs on an adopted socket, and `options`. Sockets that it accepts inherit them.
    pub fn take_over(&self, options: &Options) -> Result {
        self.descriptor.take_over(options)
    }

    /// The socket is the library's alone. It ends with the connection.
    pub fn own(&self) {
        self.shared.store(false, Ordering::Relaxed);
    }

    /// Begins to connect to `address`, or asks how far the connect is. It does not wait. False: the connect is under way. It
    /// is over when the socket is writable or broken.
    pub fn connect(&self, address: &SocketAddr) -> Result<bool> {
        // The first call begins the connect. The second call, or one after a wait, reports the result. Over the loopback
        // device the result is there before the first call returns.
        for _ in 0..2 {
            match self.descriptor.connect(address) {
                Answer::Done(_) => return Ok(true),
                Answer::WouldBlock | Answer::Again => {}
                Answer::Failed(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether the socket is connected to itself. The kernel may choose the dialled port as the local port if no listener
    /// has it. The socket then answers its own connect.
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
            fin: AtomicU8::new(FIN_NOT_SENT),
            input_ended: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            open_halves: AtomicU8::new(2),
            places: OwnPlaces::new(),
            totals: [AtomicU64::new(0), AtomicU64::new(0)],
            extras: Extras::default(),
            drain_until: DrainEnd::new(),
            descriptor,
        }
    }

    /// The descriptor's number, for ring entries of requests that hold this socket.
    pub fn fd(&self) -> RawFd {
        self.descriptor.number()
    }

    /// The local address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.descriptor.local()
    }

    /// The peer's address.
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

    /// A function of its own: a send of one part does without a KiB of stack.
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

    /// What the kernel's answer to a send means for the connection. The caller has called [`Socket::send_begins`].
    #[inline]
    pub fn sent(&self, answer: Answer) -> Tried {
        let tried = match answer {
            Answer::Done(count) => {
                self.count(Half::Send, count);
                Tried::Bytes(count)
            }
            Answer::WouldBlock | Answer::Again => Tried::WouldBlock,
            Answer::Failed(error) => Tried::Failed(self.fail(error)),
        };
        self.send_ends();
        tried
    }

    /// As the owner of `half`, which has moved `bytes` by another way than the calls above.
    #[inline]
    pub fn count(&self, half: Half, bytes: usize) {
        let total = &self.totals[half as usize];
        total.store(total.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
    }

    /// How many bytes `half` has moved.
    pub fn total(&self, half: Half) -> u64 {
        self.totals[half as usize].load(Ordering::Relaxed)
    }

    /// The caller marks a send before it asks the kernel, by a call or by a ring.
    pub fn send_begins(&self) {
        self.sending.store(true, Ordering::Relaxed); // a later receive sees it: the kernel locks the socket for both
    }

    /// The kernel has answered, and the caller has stored an error.
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
            Answer::Done(count) => {
                self.count(Half::Recv, count);
                Tried::Bytes(count)
            }
            Answer::WouldBlock | Answer::Again => Tried::WouldBlock,
            Answer::Failed(error) => Tried::Failed(self.fail(error)),
        }
    }

    /// What a receive of 0 bytes means. After a reset one half consumes the error, and the other half reads 0.
    pub fn received_end(&self) -> Tried {
        // The kernel reports a reset once, to a receive or to a send. Receives run one at a time, and this receive got no
        // error. A send that took the error before this receive is still under way, or has stored the error.
        let may_be_taken = self.sending.load(Ordering::Acquire); // before the error; pairs with `send_ends`
        if let Some(error) = self.error() {
            return Tried::Failed(error);
        }
        // After our own FIN, TCP_CLOSE may be an orderly end. Before our FIN, TCP_CLOSE means a reset.
        if may_be_taken && !self.has_sent_fin() && self.is_dead() {
            return Tried::Failed(self.fail(RESET));
        }
        self.input_ended.store(true, Ordering::Relaxed); // a hint, for `discard_input`
        Tried::End
    }

    /// Discards the bytes that have arrived, without waiting. True: no more bytes can arrive, because the peer has ended its
    /// stream or the connection is broken.
    pub fn discard_input(&self) -> bool {
        if self.input_ended.load(Ordering::Relaxed) {
            return true;
        }
        // The first step takes the bytes that are there, and the second the end behind them. If the peer sends more
        // meanwhile, a linger waits for it.
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

    /// The error that has broken the connection, if any. Only the owner of the sending half may call this. The kernel
    /// reports an error once, and this call may take it.
    pub fn look_for_error(&self) -> Option<Error> {
        self.send_begins(); // else a receive that finds the error taken sees an end of stream
        let error = self.take_error();
        self.send_ends();
        error
    }

    /// The same for the owner of the receiving half, whose receives see what this call has taken. It tells no error from an
    /// orderly end once our FIN is out, unless the kernel or a send has reported the error.
    pub fn look_for_error_received(&self) -> Option<Error> {
        self.take_error()
    }

    fn take_error(&self) -> Option<Error> {
        match self.descriptor.take_error() {
            Some(error) => Some(self.fail(error)),
            None => self.error().or_else(|| {
                let reset = self.is_dead() && !self.has_sent_fin();
                reset.then(|| self.fail(RESET))
            }),
        }
    }

    fn is_dead(&self) -> bool {
        const TCP_CLOSE: u8 = 7;
        self.descriptor.info().is_some_and(|info| info.tcpi_state == TCP_CLOSE)
    }

    /// What `error` means for the connection. If it ends the connection, it is stored for the other half, and the first
    /// stored error is returned. An error of one call is returned as it is.
    #[cold]
    pub fn fail(&self, error: Error) -> Error {
        if OF_ONE_CALL.contains(&error) { error } else { self.fail_with(error) }
    }

    /// Stores for both halves why the connection ends, and returns the first cause. The first cause stays.
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

    /// Ends the sending direction in order: the kernel sends a FIN after all bytes.
    /// An error: the connection was broken before, and the kernel has refused the FIN.
    pub fn shutdown_send(&self) -> Result {
        // The check comes before the FIN: an acknowledgement that is seen later may be younger than the FIN. If the peer has
        // ended its stream, no caller asks for the result.
        let is_last = !self.input_ended.load(Ordering::Relaxed) && self.unacknowledged() == 0;
        self.fin.store(if is_last { FIN_WAS_LAST } else { FIN_SENT }, Ordering::Release);
        let sent = self.descriptor.shutdown(Shutdown::Write);
        self.tell_ended();
        if sent { Ok(()) } else { Err(self.look_for_error().unwrap_or_else(|| self.fail(RESET))) }
    }

    /// Whether the sending direction has ended in order.
    pub fn has_sent_fin(&self) -> bool {
        self.fin.load(Ordering::Acquire) != FIN_NOT_SENT
    }

    /// A lower bound of the time since the peer received all bytes before the FIN. `None`: it is unknown.
    ///
    /// The time counts from the last send of data, retransmissions included, less one round trip for the acknowledgement.
    /// The time of the last acknowledgement does not fit, because keepalive and the peer's own bytes renew it.
    pub fn quiet(&self) -> Option<Quiet> {
        if self.fin.load(Ordering::Relaxed) != FIN_WAS_LAST {
            return None;
        }
        let info = self.descriptor.info()?;
        let round_trip = Duration::from_micros(info.tcpi_rtt.into());
        let unsent = Duration::from_millis(info.tcpi_last_data_sent.into());
        Some(Quiet { time: unsent.saturating_sub(round_trip), round_trip })
    }

    /// Ends a listener, also in forked children that hold the descriptor. Exception: others go on with a shared one.
    pub fn shutdown_listener(&self) {
        if !self.shared.load(Ordering::Relaxed) {
            self.descriptor.shutdown(Shutdown::Both);
        }
    }

    /// Resets the connection at once, even if forked children hold the descriptor.
    ///
    /// connect(2) to AF_UNSPEC sends a RST and ends every operation in flight. After shutdown(2) the peer would see an end
    /// of stream instead, and SO_LINGER acts only at the last close. A second call does nothing.
    pub fn reset(&self) {
        if self.reset.swap(true, Ordering::AcqRel) {
            return;
        }
        self.descriptor.disconnect();
        self.tell_ended();
    }

    /// Whether [`Socket::reset`] was called.
    pub fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// The number of bytes that the peer has not acknowledged yet. A FIN counts as one.
    pub fn unacknowledged(&self) -> usize {
        self.descriptor.unacknowledged()
    }

    /// The number of bytes that have arrived and wait to be received.
    pub fn unread(&self) -> usize {
        self.descriptor.unread()
    }

    /// One half no longer uses the socket. True for the last half.
    pub fn half_closed(&self) -> bool {
        self.open_halves.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // This ends a connection that no caller collected, and is a loop's last resort. A forked child may still hold the
        // descriptor. In that case close(2) alone sends no FIN.
        let ended = self.has_sent_fin() || self.reset.load(Ordering::Relaxed);
        if !ended && !self.shared.load(Ordering::Relaxed) {
            self.descriptor.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
