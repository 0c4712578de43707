#![allow(unsafe_code)] // ring entries name memory by address
//! One entry of a ring: what it asks for, and all the memory that the kernel borrows for it.
//!
//! A loop keeps a request from its submission to its last completion and hands it back then. Invariant: everything an
//! entry points to is owned by the request, or lent by a caller whose operation completes after the request came back.

use crate::buffer::ReadBuffer;
use crate::error::Result;
use crate::parts::{ENTRY_MAX, Gather, message_of};
use crate::pool::POOL_GROUP;
use crate::socket::Socket;
use crate::stand_in::StandIn;
use crate::sys::{Answer, SEND_FLAGS};
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use std::mem;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Gets received bytes and returns how many it is done with; once and last an error and no bytes.
pub type DataCallback = Box<dyn FnMut(Result, &[u8]) -> usize + Send>;

/// What the kernel is asked for.
pub enum Request {
    /// Send as much of a message as the socket has room for now.
    Send {
        /// The connection.
        socket: Arc<Socket>,
        /// What to send.
        message: Message,
    },
    /// Tell, again and again, when a socket that was full has room, and when the connection breaks.
    Room {
        /// The connection.
        socket: Arc<Socket>,
    },
    /// Tell when the connection breaks, and perhaps at other changes; bytes that come are none.
    HangUp {
        /// The connection.
        socket: Arc<Socket>,
    },
    /// Receive into a caller's memory.
    Recv {
        /// The connection.
        socket: Arc<Socket>,
        /// Where to.
        into: Lent,
        /// Give up at once where there is nothing.
        one_try: bool,
    },
    /// Receive into a pool buffer that the kernel picks when data arrives.
    RecvPooled {
        /// The connection.
        socket: Arc<Socket>,
        /// When to look for data.
        start: Start,
    },
    /// The same again and again, without a new entry for each.
    RecvMultishot {
        /// The connection.
        socket: Arc<Socket>,
        /// When to look for data first.
        start: Start,
        /// It ends when so many bytes have come; not 0.
        budget: u32,
        /// Whom the bytes are shown to, lent by the owner, who takes it back when there is more to do, or at the end.
        callback: Option<DataCallback>,
    },
    /// Receive what is there into a private buffer's room.
    RecvBuffered {
        /// The connection.
        socket: Arc<Socket>,
        /// The buffer, which comes back with the request.
        buffer: ReadBuffer,
        /// How much room to offer.
        room: usize,
    },
    /// Wait until there is something to receive.
    Readable {
        /// The connection.
        socket: Arc<Socket>,
    },
    /// Wait until a connect(2) that was begun is over.
    Writable {
        /// The new socket.
        socket: Arc<Socket>,
    },
    /// Receive and forget.
    Discard {
        /// The connection.
        socket: Arc<Socket>,
        /// Memory that many requests overwrite and nobody reads.
        scratch: Arc<Scratch>,
    },
    /// Wait until a listener has a connection.
    Incoming {
        /// In the listener's place.
        stand_in: Arc<StandIn>,
    },
}

/// When a receive looks for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As it is submitted, and then whenever some comes.
    Now,
    /// When the socket says that there is some, in the order in which sockets do: a look at submission would let a busy
    /// connection overtake those that wait in the kernel.
    WhenReadable,
    /// As it is submitted, and never again.
    OneTry,
}

/// IORING_RECVSEND_POLL_FIRST, since 5.19 as buffer rings are.
const RECVSEND_POLL_FIRST: u16 = 1;
/// IORING_RECV_MULTISHOT, since 6.0.
const RECV_MULTISHOT: u16 = 2;
/// Where it has optlen: the bytes after which a multishot receive ends, since 6.17.
const OPTLEN: Range<usize> = 44..48;

/// Writable memory lent by a caller until the receive completes.
#[derive(Clone, Copy)]
pub struct Lent {
    /// The first byte.
    pub start: *mut u8,
    /// How many.
    pub size: usize,
}

// SAFETY: a name for memory; the caller of the receive vouches (Stream::recv_raw_async's contract) that any thread may
// write it until the operation completes.
unsafe impl Send for Lent {}
// SAFETY: as above; only a stream's one owner uses it.
unsafe impl Sync for Lent {}

impl Lent {
    /// What is left after the first `count` bytes.
    pub fn after(self, count: usize) -> Lent {
        Lent { start: self.start.wrapping_add(count), size: self.size - count }
    }

    /// No more than its first `most` bytes.
    pub fn at_most(self, most: usize) -> Lent {
        Lent { size: self.size.min(most), ..self }
    }
}

/// What a send names: one part, or a message header and the parts that it names, at addresses that do not move.
pub enum Message {
    /// One part needs no header, which the kernel would copy and keep.
    One(libc::iovec),
    /// The header names the parts.
    Many(Box<libc::msghdr>, Box<[libc::iovec]>),
}

impl Message {
    /// A message of what was gathered.
    pub fn new(gathered: &Gather<'_>) -> Message {
        match gathered.parts() {
            [part] => Message::One(*part),
            parts => {
                let parts: Box<[libc::iovec]> = parts.into();
                Message::Many(Box::new(message_of(&parts)), parts)
            }
        }
    }

    fn entry(&self, fd: types::Fd, flags: i32) -> Entry {
        match self {
            Message::One(part) => {
                let start = part.iov_base.cast_const().cast();
                opcode::Send::new(fd, start, part.iov_len as u32).flags(flags).build()
            }
            Message::Many(header, _) => {
                opcode::SendMsg::new(fd, &raw const **header).flags(flags as u32).build()
            }
        }
    }
}

/// Memory for bytes that nobody wants.
pub struct Scratch(Box<[std::cell::UnsafeCell<u8>]>);

// SAFETY: only the kernel writes it, and nobody ever reads it.
unsafe impl Sync for Scratch {}
// SAFETY: as above.
unsafe impl Send for Scratch {}

impl Scratch {
    /// 64 KiB, as much as one receive usually finds.
    pub fn new() -> Arc<Scratch> {
        let bytes = vec![0u8; 64 << 10].into_iter().map(std::cell::UnsafeCell::new);
        Arc::new(Scratch(bytes.collect()))
    }
}

impl Request {
    /// What it is, for the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::Send { .. } => "send",
            Request::Room { .. } => "poll for room",
            Request::HangUp { .. } => "poll for a hang-up",
            Request::Recv { .. } => "receive",
            Request::RecvPooled { .. } => "receive into the pool",
            Request::RecvMultishot { .. } => "receive into the pool again and again",
            Request::RecvBuffered { .. } => "receive into the buffer",
            Request::Readable { .. } | Request::Writable { .. } | Request::Incoming { .. } => "poll",
            Request::Discard { .. } => "discard",
        }
    }

    /// Leaks the memory of ours that the kernel may still write to or read; what is left names none but the pool's.
    pub fn leak_memory(&mut self) {
        let socket = match self {
            Request::RecvMultishot { .. } => return, // it keeps what it was lent
            Request::Incoming { .. } => return,      // it has no memory
            Request::Send { socket, .. }
            | Request::Room { socket }
            | Request::HangUp { socket }
            | Request::Recv { socket, .. }
            | Request::RecvPooled { socket, .. }
            | Request::RecvBuffered { socket, .. }
            | Request::Readable { socket }
            | Request::Writable { socket }
            | Request::Discard { socket, .. } => Arc::clone(socket),
        };
        match mem::replace(self, Request::Readable { socket }) {
            Request::Send { message, .. } => mem::forget(message),
            Request::RecvBuffered { buffer, .. } => mem::forget(buffer),
            Request::Discard { scratch, .. } => mem::forget(scratch),
            Request::Room { .. }
            | Request::HangUp { .. }
            | Request::Recv { .. }
            | Request::RecvPooled { .. }
            | Request::RecvMultishot { .. }
            | Request::Readable { .. }
            | Request::Writable { .. }
            | Request::Incoming { .. } => {} // a caller's memory, the pool's, or none
        }
    }

    /// The ring entry, valid while the request lives.
    pub fn entry(&mut self) -> Entry {
        match self {
            // A send never waits in the kernel: there it would wait for room and for the peer's FIN alike. Once the peer has
            // sent its FIN, such a send wakes up in vain until, after about 127 times, the kernel moves it to a worker thread,
            // where it cannot be cancelled and tells nothing before all of it is out. `Request::Room` waits instead.
            Request::Send { socket, message } => message.entry(types::Fd(socket.fd()), SEND_FLAGS),
            Request::Room { socket } => poll_again(socket, libc::POLLOUT),
            Request::HangUp { socket } => poll_again(socket, 0),
            Request::Recv { socket, into, one_try } => {
                let size = into.size.min(ENTRY_MAX) as u32;
                opcode::Recv::new(types::Fd(socket.fd()), into.start, size)
                    .flags(recv_flags(*one_try))
                    .build()
            }
            Request::RecvPooled { socket, start } => recv_pooled(socket.fd(), *start, 0),
            Request::RecvMultishot { socket, start, budget, .. } => {
                recv_multishot(socket.fd(), *start, *budget)
            }
            Request::RecvBuffered { socket, buffer, room } => {
                let (start, size) = buffer.room(*room);
                let size = size.min(ENTRY_MAX) as u32;
                opcode::Recv::new(types::Fd(socket.fd()), start, size).flags(recv_flags(true)).build()
            }
            Request::Readable { socket } => poll(socket.fd(), libc::POLLIN),
            Request::Writable { socket } => poll(socket.fd(), libc::POLLOUT),
            Request::Discard { socket, scratch } => {
                let start = scratch.0.as_ptr().cast_mut().cast();
                opcode::Recv::new(types::Fd(socket.fd()), start, scratch.0.len() as u32).build()
            }
            Request::Incoming { stand_in } => poll(stand_in.fd(), libc::POLLIN),
        }
    }
}

fn poll(fd: RawFd, events: i16) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), events as u32).build()
}

/// A poll that goes on, and completes at each change towards one of the events, and at a FIN, a hang-up or an error.
fn poll_again(socket: &Socket, events: i16) -> Entry {
    opcode::PollAdd::new(types::Fd(socket.fd()), events as u32).multi(true).build()
}

fn recv_pooled(fd: RawFd, start: Start, how: u16) -> Entry {
    let poll_first = if start == Start::WhenReadable { RECVSEND_POLL_FIRST } else { 0 };
    opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), 0) // 0: as much as the buffer takes
        .ioprio(how | poll_first)
        .flags(recv_flags(start == Start::OneTry))
        .buf_group(POOL_GROUP)
        .build()
        .flags(Flags::BUFFER_SELECT)
}

/// [`Request::RecvMultishot`] for a descriptor.
pub fn recv_multishot(fd: RawFd, start: Start, budget: u32) -> Entry {
    with_field(recv_pooled(fd, start, RECV_MULTISHOT), OPTLEN, &budget.to_ne_bytes())
}

/// The entry with a number in it that the io-uring crate does not set.
fn with_field(entry: Entry, place: Range<usize>, number: &[u8]) -> Entry {
    const { assert!(size_of::<Entry>() == 64) };
    // SAFETY: both are 64 bytes without padding or invalid values: an entry is the kernel's struct io_uring_sqe.
    let mut bytes: [u8; 64] = unsafe { mem::transmute(entry) };
    bytes[place].copy_from_slice(number);
    // SAFETY: as above; what has changed is a number.
    unsafe { mem::transmute(bytes) }
}

// Never MSG_WAITALL on a receive that may stay in flight, for the reason given at `Request::Send`. The owner submits the rest again instead.
fn recv_flags(one_try: bool) -> i32 {
    if one_try { libc::MSG_DONTWAIT } else { 0 }
}

/// Reads a completion's result, a count or an errno below zero.
#[inline]
pub fn answer_of(result: i32) -> Answer {
    match -result {
        // ENOBUFS: the pool was empty for a moment; its buffers come back within the round.
        libc::ECANCELED | libc::ENOBUFS => Answer::Again,
        _ => Answer::of(result),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::parts::{EMPTY_PART, PARTS_MAX, Parts};
    use crate::socket::Options;

    /// Where struct io_uring_sqe has ioprio, which for a receive says how.
    const IOPRIO: Range<usize> = 2..4;
    /// Where it has msg_flags.
    const MSG_FLAGS: Range<usize> = 28..32;

    /// What stands there in an entry: ioprio, and the flags of the call.
    fn fields(request: &mut Request) -> (u16, i32) {
        // SAFETY: as in `with_field`.
        let bytes: [u8; 64] = unsafe { mem::transmute(request.entry()) };
        let ioprio = u16::from_ne_bytes(bytes[IOPRIO].try_into().unwrap());
        (ioprio, i32::from_ne_bytes(bytes[MSG_FLAGS].try_into().unwrap()))
    }

    fn socket() -> Arc<Socket> {
        Arc::new(Socket::listen(&"127.0.0.1:0".parse().unwrap(), 1, false, &Options::default()).unwrap())
    }

    #[test]
    fn receives_look_for_data_when_they_are_to() {
        let pooled = |start| fields(&mut Request::RecvPooled { socket: socket(), start });
        assert_eq!(pooled(Start::Now), (0, 0));
        assert_eq!(pooled(Start::WhenReadable), (RECVSEND_POLL_FIRST, 0));
        assert_eq!(pooled(Start::OneTry), (0, libc::MSG_DONTWAIT));
        let multishot = |start| {
            fields(&mut Request::RecvMultishot { socket: socket(), start, budget: 1 << 20, callback: None })
        };
        assert_eq!(multishot(Start::Now), (RECV_MULTISHOT, 0));
        assert_eq!(multishot(Start::WhenReadable), (RECV_MULTISHOT | RECVSEND_POLL_FIRST, 0));
    }

    #[test]
    fn sends_raise_no_signal_and_do_not_wait() {
        for count in [1, 2] {
            let mut vectors = [EMPTY_PART; PARTS_MAX];
            let mut gathered = Gather::new(&mut vectors);
            for _ in 0..count {
                gathered.add(&Parts::of(b"data"), 0);
            }
            let mut request = Request::Send { socket: socket(), message: Message::new(&gathered) };
            assert_eq!(fields(&mut request), (0, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT));
        }
    }
}
