#![allow(unsafe_code)] // a field of an entry that the io-uring crate does not set
//! What a request is as an entry of a ring.
//!
//! Invariant: an entry names only memory that its request owns or was lent.

use crate::engine::pool::POOL_GROUP;
use crate::engine::{Message, Request, Start};
use crate::parts::ENTRY_MAX;
use crate::socket::Socket;
use crate::sys::SEND_FLAGS;
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use std::mem;
use std::ops::Range;
use std::os::fd::RawFd;

/// IORING_RECVSEND_POLL_FIRST, since 5.19 like buffer rings.
const RECVSEND_POLL_FIRST: u16 = 1;
/// IORING_RECV_MULTISHOT, since 6.0.
const RECV_MULTISHOT: u16 = 2;
/// The place of optlen in struct io_uring_sqe: the bytes after which a multishot receive ends, since 6.17.
const OPTLEN: Range<usize> = 44..48;

/// The entry of a request, valid while the request lives.
pub fn of(request: &mut Request) -> Entry {
    match request {
        // A send never waits in the kernel. There it would wait for room and for the peer's FIN alike. After the FIN it
        // wakes up in vain about 127 times, and then the kernel moves it to a worker thread. There no cancel reaches it, and
        // it reports nothing before all of it is out. Therefore `Request::Room` waits instead.
        Request::Send { socket, message } => send(message, types::Fd(socket.fd())),
        Request::Room { socket } => poll_again(socket, libc::POLLOUT),
        Request::HangUp { socket } => poll_again(socket, 0),
        Request::Recv { socket, into, one_try } => {
            let size = into.size.min(ENTRY_MAX) as u32;
            opcode::Recv::new(types::Fd(socket.fd()), into.start, size).flags(recv_flags(*one_try)).build()
        }
        Request::RecvPooled { socket, start } => recv_pooled(socket.fd(), *start, 0, 0),
        Request::RecvMultishot { socket, start, piece, budget, .. } => {
            recv_multishot(socket.fd(), *start, *piece, *budget)
        }
        Request::RecvBuffered { socket, buffer, room } => {
            let (start, size) = buffer.room(*room);
            let size = size.min(ENTRY_MAX) as u32;
            opcode::Recv::new(types::Fd(socket.fd()), start, size).flags(recv_flags(true)).build()
        }
        Request::Readable { socket } => poll(socket.fd(), libc::POLLIN),
        Request::Writable { socket } => poll(socket.fd(), libc::POLLOUT),
        Request::Discard { socket, scratch } => {
            let (start, size) = scratch.room();
            opcode::Recv::new(types::Fd(socket.fd()), start, size as u32).build()
        }
        Request::Incoming { stand_in } => poll(stand_in.fd(), libc::POLLIN),
    }
}

fn send(message: &Message, fd: types::Fd) -> Entry {
    match message {
        Message::One(part) => {
            let start = part.iov_base.cast_const().cast();
            opcode::Send::new(fd, start, part.iov_len as u32).flags(SEND_FLAGS).build()
        }
        Message::Many(header, _) => {
            opcode::SendMsg::new(fd, &raw const **header).flags(SEND_FLAGS as u32).build()
        }
    }
}

/// A send of one part that does not wait, and completes only if not all of it goes.
///
/// With MSG_WAITALL a part of it is no success. The entry never stays in flight, because MSG_DONTWAIT ends it at once.
pub fn silent_send(fd: RawFd, part: libc::iovec) -> Entry {
    let start = part.iov_base.cast_const().cast();
    opcode::Send::new(types::Fd(fd), start, part.iov_len as u32)
        .flags(SEND_FLAGS | libc::MSG_WAITALL)
        .build()
        .flags(Flags::SKIP_SUCCESS)
}

fn poll(fd: RawFd, events: i16) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), events as u32).build()
}

/// A poll that goes on. It completes at each change towards one of the events, and at a FIN, a hang-up or an error.
fn poll_again(socket: &Socket, events: i16) -> Entry {
    opcode::PollAdd::new(types::Fd(socket.fd()), events as u32).multi(true).build()
}

/// `piece` 0: as much as the buffer takes.
fn recv_pooled(fd: RawFd, start: Start, how: u16, piece: u32) -> Entry {
    let poll_first = if start == Start::WhenReadable { RECVSEND_POLL_FIRST } else { 0 };
    opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), piece)
        .ioprio(how | poll_first)
        .flags(recv_flags(start == Start::OneTry))
        .buf_group(POOL_GROUP)
        .build()
        .flags(Flags::BUFFER_SELECT)
}

/// [`Request::RecvMultishot`] for a descriptor.
pub fn recv_multishot(fd: RawFd, start: Start, piece: u32, budget: u32) -> Entry {
    with_field(recv_pooled(fd, start, RECV_MULTISHOT, piece), OPTLEN, &budget.to_ne_bytes())
}

/// The entry with a number that the io-uring crate does not set.
fn with_field(entry: Entry, place: Range<usize>, number: &[u8]) -> Entry {
    const { assert!(size_of::<Entry>() == 64) };
    // SAFETY: both are 64 bytes without padding or invalid values: an entry is the kernel's struct io_uring_sqe.
    let mut bytes: [u8; 64] = unsafe { mem::transmute(entry) };
    bytes[place].copy_from_slice(number);
    // SAFETY: as above, and only a number has changed.
    unsafe { mem::transmute(bytes) }
}

// Never MSG_WAITALL on a receive that may stay in flight, for the reason at `Request::Send`. The owner submits the rest
// again.
fn recv_flags(one_try: bool) -> i32 {
    if one_try { libc::MSG_DONTWAIT } else { 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::callback::DataPlace;
    use crate::parts::{EMPTY_PART, Gather, PARTS_MAX, Parts};
    use crate::socket::{Listening, Options};
    use std::sync::Arc;

    /// The place of ioprio in struct io_uring_sqe. For a receive it holds flags.
    const IOPRIO: Range<usize> = 2..4;
    /// The place of msg_flags.
    const MSG_FLAGS: Range<usize> = 28..32;

    /// An entry's ioprio, and the flags of its call.
    fn fields(request: &mut Request) -> (u16, i32) {
        // SAFETY: as in `with_field`.
        let bytes: [u8; 64] = unsafe { mem::transmute(of(request)) };
        let ioprio = u16::from_ne_bytes(bytes[IOPRIO].try_into().unwrap());
        (ioprio, i32::from_ne_bytes(bytes[MSG_FLAGS].try_into().unwrap()))
    }

    fn socket() -> Arc<Socket> {
        Arc::new(
            Socket::listen(
                &"127.0.0.1:0".parse().unwrap(),
                &Listening { backlog: 1, reuse_port: false, ipv6_only: None },
                &Options::default(),
            )
            .unwrap(),
        )
    }

    #[test]
    fn receives_look_for_data_when_they_are_to() {
        let pooled = |start| fields(&mut Request::RecvPooled { socket: socket(), start });
        assert_eq!(pooled(Start::Now), (0, 0));
        assert_eq!(pooled(Start::WhenReadable), (RECVSEND_POLL_FIRST, 0));
        assert_eq!(pooled(Start::OneTry), (0, libc::MSG_DONTWAIT));
        let multishot = |start| {
            let (piece, budget, callback) = (0, 1 << 20, DataPlace::default());
            fields(&mut Request::RecvMultishot { socket: socket(), start, piece, budget, callback })
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
