#![allow(unsafe_code)] // memory that a caller lends across threads
//! What a loop asks the kernel for, and all the memory that the kernel borrows for it.
//!
//! A loop keeps a request from its submission to its last completion, and then hands it back. Invariant: the request owns
//! everything that it names, or a caller lends it. The caller's operation completes after the request has come back.

use crate::buffer::ReadBuffer;
use crate::callback::DataPlace;
use crate::parts::{Gather, message_of};
use crate::socket::Socket;
use crate::stand_in::StandIn;
use std::mem;
use std::sync::Arc;

/// What a loop asks the kernel for.
pub enum Request {
    /// Send as much of a message as the socket has room for now.
    Send {
        /// The connection.
        socket: Arc<Socket>,
        /// What to send.
        message: Message,
    },
    /// Report, again and again, when a full socket has room, and when the connection breaks.
    Room {
        /// The connection.
        socket: Arc<Socket>,
    },
    /// Report when the connection breaks, and perhaps at other changes. Arriving bytes are not among them.
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
        /// Give up at once if there is nothing to receive.
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
        /// The most that it brings at once. 0: as much as a pool buffer takes.
        piece: u32,
        /// The receive ends when so many bytes have come; not 0. The last piece may bring more.
        budget: u32,
        /// Gets the bytes. Its owner lends it, and takes it back when there is more to do, or at the end.
        callback: DataPlace,
    },
    /// Receive what is there into a private buffer's room.
    RecvBuffered {
        /// The connection.
        socket: Arc<Socket>,
        /// The buffer, which comes back with the request. Boxed, because a loop has many requests, and few of this kind.
        buffer: Box<ReadBuffer>,
        /// How much room to offer.
        room: usize,
    },
    /// Wait until there is something to receive.
    Readable {
        /// The connection.
        socket: Arc<Socket>,
    },
    /// Wait until a connect(2) that has begun is over.
    Writable {
        /// The new socket.
        socket: Arc<Socket>,
    },
    /// Receive bytes and discard them.
    Discard {
        /// The connection.
        socket: Arc<Socket>,
        /// Memory that many requests overwrite and no thread reads.
        scratch: Arc<Scratch>,
    },
    /// Wait until a listener has a connection.
    Incoming {
        /// The descriptor that stands for the listener.
        stand_in: Arc<StandIn>,
    },
}

/// When a receive looks for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its submission, and then whenever data comes.
    Now,
    /// When the socket reports data, in the order in which sockets report. A look at submission would let a busy connection
    /// overtake the connections that wait in the kernel.
    WhenReadable,
    /// At its submission, and never again.
    OneTry,
}

/// Writable memory that a caller lends until the receive completes.
#[derive(Clone, Copy)]
pub struct Lent {
    /// The first byte.
    pub start: *mut u8,
    /// How many.
    pub size: usize,
}

// SAFETY: it is a name for memory. The caller of the receive vouches (Stream::recv_raw_async's contract) that any thread may
// write the memory until the operation completes.
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

/// What a send names: one part, or a message header and its parts, at addresses that do not move.
pub enum Message {
    /// One part. It needs no header, which the kernel would copy and keep.
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
}

/// Memory for bytes that are discarded.
pub struct Scratch(Box<[std::cell::UnsafeCell<u8>]>);

// SAFETY: only the kernel writes it, and no thread ever reads it.
unsafe impl Sync for Scratch {}
// SAFETY: as above.
unsafe impl Send for Scratch {}

impl Scratch {
    /// 64 KiB, as much as one receive usually finds.
    pub fn new() -> Arc<Scratch> {
        let bytes = vec![0u8; 64 << 10].into_iter().map(std::cell::UnsafeCell::new);
        Arc::new(Scratch(bytes.collect()))
    }

    /// The first byte, and how many there are.
    pub(super) fn room(&self) -> (*mut u8, usize) {
        (self.0.as_ptr().cast_mut().cast(), self.0.len())
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

    /// The socket. `None`: the request waits for a listener's connections.
    pub fn socket(&self) -> Option<&Arc<Socket>> {
        match self {
            Request::Send { socket, .. }
            | Request::Room { socket }
            | Request::HangUp { socket }
            | Request::Recv { socket, .. }
            | Request::RecvPooled { socket, .. }
            | Request::RecvMultishot { socket, .. }
            | Request::RecvBuffered { socket, .. }
            | Request::Readable { socket }
            | Request::Writable { socket }
            | Request::Discard { socket, .. } => Some(socket),
            Request::Incoming { .. } => None,
        }
    }

    /// The callback that it was lent.
    pub fn callback(&self) -> Option<&DataPlace> {
        if let Request::RecvMultishot { callback, .. } = self {
            Some(callback).filter(|callback| callback.is_taken())
        } else {
            None
        }
    }

    /// Leaks the request's own memory that the kernel may still write to or read. What is left names no memory but the
    /// pool's. A request without such memory stays as it is.
    pub fn leak_memory(&mut self) {
        let socket = match self {
            Request::Send { socket, .. }
            | Request::Recv { socket, .. }
            | Request::RecvPooled { socket, .. }
            | Request::RecvBuffered { socket, .. }
            | Request::Discard { socket, .. } => Arc::clone(socket),
            Request::RecvMultishot { .. } // it keeps what it was lent
            | Request::Room { .. }
            | Request::HangUp { .. }
            | Request::Readable { .. }
            | Request::Writable { .. }
            | Request::Incoming { .. } => return,
        };
        match mem::replace(self, Request::Readable { socket }) {
            Request::Send { message, .. } => mem::forget(message),
            Request::RecvBuffered { buffer, .. } => mem::forget(buffer),
            Request::Discard { scratch, .. } => mem::forget(scratch),
            _ => {} // a caller's memory, or the pool's
        }
    }
}
