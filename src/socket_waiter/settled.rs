//! The epoll descriptor of a thread that waits for one stream again and again.
//!
//! A wait by ppoll(2) looks at two descriptors each time, and joins and leaves the queues of both. An epoll descriptor stays
//! in these queues, so such a wait takes less than half of that. A thread that waits several times in a row for one socket
//! settles for it: it makes the descriptor, which then watches the socket and the thread's interrupts. The thread moves on
//! when it has waited as often in a row for another socket.
//!
//! Invariant: the socket is watched for changes (EPOLLET), and each wait follows a receive that left nothing. So whatever
//! comes after that receive ends the wait. What comes before it may end the wait in vain. Exception: a receive may find
//! nothing although an urgent byte is next, if a signal is pending. A socket with an urgent byte is therefore let go of.

use super::{SocketWaiter, Woken, time_left};
use crate::epoll::Epoll;
use crate::socket::Socket;
use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// So many waits in a row for one socket settle a thread: a move takes two system calls or three.
const WAITS_TO_SETTLE: u32 = 8;

/// What the events of the thread's interrupts say. Those of sockets say the number of the move.
const INTERRUPT: u64 = 0;

/// After one of these no byte comes.
const ENDS: i32 = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;

/// What a thread waits for again and again.
struct Settled {
    /// `None` before the first move, and where epoll is refused.
    watch: Option<Watch>,
    is_refused: bool,
    /// The socket that the latest waits were for, by its address alone, and how many they were. 0: the watched one.
    latest: *const Socket,
    waits: u32,
}

struct Watch {
    epoll: Epoll,
    /// It may have closed. Its memory stays, so no other socket can have its address.
    socket: Weak<Socket>,
    /// The number of the move to it. A socket that a forked child holds open may still bring events of an earlier move.
    number: u64,
    /// See [`is_drained`].
    is_drained: bool,
    has_ended: bool,
    events: Vec<libc::epoll_event>,
}

thread_local! {
    static OWN: RefCell<Settled> = const {
        RefCell::new(Settled { watch: None, is_refused: false, latest: std::ptr::null(), waits: 0 })
    };
}

/// Waits for `socket`'s bytes, if this thread has settled for it. `None`: it has not, and has not waited.
pub fn wait(waiter: &SocketWaiter, socket: &Arc<Socket>, deadline: Option<Instant>) -> Option<Woken> {
    OWN.try_with(|own| own.borrow_mut().wait(waiter, socket, deadline)).ok().flatten()
}

/// Whether a wait for `socket` may come before a receive: this thread has settled for it, and an event waits for all that the
/// socket may have.
pub fn is_drained(socket: &Arc<Socket>) -> bool {
    let is_drained = |own: &RefCell<Settled>| {
        own.borrow().watch.as_ref().is_some_and(|watch| watch.is_drained && watch.is_of(socket))
    };
    OWN.try_with(is_drained).unwrap_or(false)
}

/// A receive by this thread, after its latest wait for `socket`, has left nothing there. An end that came before that wait
/// is no change any more, so no event would tell of it.
pub fn note_drained(socket: &Arc<Socket>) {
    let note = |own: &RefCell<Settled>| {
        if let Some(watch) = own.borrow_mut().watch.as_mut().filter(|watch| watch.is_of(socket)) {
            watch.is_drained = !watch.has_ended;
        }
    };
    let _ = OWN.try_with(note);
}

impl Settled {
    fn wait(
        &mut self,
        waiter: &SocketWaiter,
        socket: &Arc<Socket>,
        deadline: Option<Instant>,
    ) -> Option<Woken> {
        if !self.has_settled(waiter, socket) {
            return None;
        }
        let watch = self.watch.as_mut()?;
        let mut left = match time_left(deadline) {
            Ok(left) => left,
            Err(late) => return Some(late), // however busy the socket is
        };
        loop {
            if watch.epoll.wait(&mut watch.events, left).is_err() {
                self.refuse();
                return None;
            }
            let (is_interrupted, seen) = watch.seen();
            if seen != 0 {
                watch.is_drained = false;
                watch.has_ended |= seen & ENDS as u32 != 0;
            }
            if seen & libc::EPOLLPRI as u32 != 0 {
                watch.let_go();
            }
            match (is_interrupted, seen) {
                (true, _) => return Some(Woken::Interrupted),
                (false, 0) if left == Some(Duration::ZERO) => return Some(Woken::Late),
                (false, 0) => {}
                (false, _) => return Some(Woken::Ready),
            }
            // The process may have been stopped, and what came meanwhile is in time. So there is a last look.
            left = time_left(deadline).unwrap_or(Some(Duration::ZERO));
        }
    }

    fn has_settled(&mut self, waiter: &SocketWaiter, socket: &Arc<Socket>) -> bool {
        let address = Arc::as_ptr(socket);
        if self.watch.as_ref().is_some_and(|watch| watch.is_of(socket)) {
            self.waits = 0;
            return true;
        }
        if self.latest != address {
            (self.latest, self.waits) = (address, 0);
        }
        self.waits += 1;
        self.waits > WAITS_TO_SETTLE && !self.is_refused && self.move_to(waiter, socket)
    }

    /// Watches `socket` instead of the one before. False: epoll is refused, or descriptors or memory are short.
    #[cold]
    fn move_to(&mut self, waiter: &SocketWaiter, socket: &Arc<Socket>) -> bool {
        self.waits = 0;
        if self.watch.is_none() {
            self.watch = Watch::new(waiter);
        }
        self.watch.as_mut().is_some_and(|watch| watch.move_to(socket))
    }

    #[cold]
    fn refuse(&mut self) {
        self.is_refused = true;
        self.watch = None;
    }
}

impl Watch {
    fn new(waiter: &SocketWaiter) -> Option<Watch> {
        let epoll = Epoll::new().ok()?;
        epoll.add(waiter.0.fd(), libc::EPOLLIN as u32, INTERRUPT).ok()?;
        let (socket, number, events) = (Weak::new(), INTERRUPT, Vec::with_capacity(2));
        Some(Watch { epoll, socket, number, is_drained: false, has_ended: false, events })
    }

    fn is_of(&self, socket: &Arc<Socket>) -> bool {
        self.socket.as_ptr() == Arc::as_ptr(socket)
    }

    fn move_to(&mut self, socket: &Arc<Socket>) -> bool {
        self.let_go();
        self.number += 1;
        (self.is_drained, self.has_ended) = (false, false);
        let events = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;
        if self.epoll.add(socket.fd(), events as u32, self.number).is_err() {
            return false;
        }
        self.socket = Arc::downgrade(socket);
        true
    }

    /// Whether there was an interrupt, and what was seen of the socket. Nothing, if the time was over or a signal came.
    fn seen(&self) -> (bool, u32) {
        self.events.iter().fold(
            (false, 0),
            |(is_interrupted, seen), &libc::epoll_event { events, u64: data }| {
                match data {
                    INTERRUPT => (true, seen),
                    data if data == self.number => (is_interrupted, events),
                    _ => (is_interrupted, seen), // of an earlier move
                }
            },
        )
    }

    /// Watches no socket.
    fn let_go(&mut self) {
        if let Some(socket) = std::mem::take(&mut self.socket).upgrade() {
            let _ = self.epoll.remove(socket.fd()); // it is there
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;
    use crate::socket::{Options, Tried};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{BorrowedFd, OwnedFd};

    fn pair() -> (Arc<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::to_connect(&address, &Options::default()).unwrap();
        assert_eq!(socket.connect(&address), Ok(true));
        (Arc::new(socket), listener.accept().unwrap().0)
    }

    fn fresh() -> (Settled, SocketWaiter) {
        let waiter = SocketWaiter(EventFd::new().unwrap());
        (Settled { watch: None, is_refused: false, latest: std::ptr::null(), waits: 0 }, waiter)
    }

    /// Takes all bytes that are there.
    #[allow(unsafe_code)]
    fn drain(socket: &Socket) -> usize {
        let (mut byte, mut count) = (0u8, 0);
        // SAFETY: one byte, a local.
        while unsafe { socket.try_recv(&raw mut byte, 1) } == Tried::Bytes(1) {
            count += 1;
        }
        count
    }

    /// As a forked child would have.
    #[allow(unsafe_code)]
    fn another_descriptor(socket: &Socket) -> OwnedFd {
        // SAFETY: the socket is open here.
        unsafe { BorrowedFd::borrow_raw(socket.fd()) }.try_clone_to_owned().unwrap()
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(5))
    }

    fn settle(own: &mut Settled, waiter: &SocketWaiter, socket: &Arc<Socket>) {
        for _ in 0..WAITS_TO_SETTLE {
            assert_eq!(own.wait(waiter, socket, soon()), None);
        }
    }

    #[test]
    fn a_thread_settles_for_the_socket_that_it_waits_for_most() {
        let ((mut own, waiter), (one, mut peer), (two, mut other)) = (fresh(), pair(), pair());
        settle(&mut own, &waiter, &one);
        assert_eq!(own.wait(&waiter, &one, soon()), Some(Woken::Late));
        assert_eq!(own.wait(&waiter, &two, soon()), None);
        peer.write_all(b"x").unwrap();
        assert_eq!(own.wait(&waiter, &one, None), Some(Woken::Ready), "it stays, and begins to count anew");
        settle(&mut own, &waiter, &two);
        peer.write_all(b"x").unwrap();
        assert_eq!(own.wait(&waiter, &two, soon()), Some(Woken::Late));
        other.write_all(b"x").unwrap();
        assert_eq!(own.wait(&waiter, &two, None), Some(Woken::Ready));
        assert_eq!(own.wait(&waiter, &one, soon()), None);
    }

    #[test]
    fn bytes_that_came_before_or_after_the_move_and_interrupts_end_a_wait() {
        let ((mut own, waiter), (socket, mut peer)) = (fresh(), pair());
        peer.write_all(b"x").unwrap();
        settle(&mut own, &waiter, &socket);
        for _ in 0..100 {
            assert_eq!(own.wait(&waiter, &socket, None), Some(Woken::Ready));
            assert_eq!(drain(&socket), 1);
            assert_eq!(own.wait(&waiter, &socket, soon()), Some(Woken::Late));
            peer.write_all(b"x").unwrap();
        }
        waiter.interrupt();
        assert_eq!(own.wait(&waiter, &socket, None), Some(Woken::Interrupted));
        waiter.clear();
        drop(peer);
        assert_eq!(own.wait(&waiter, &socket, None), Some(Woken::Ready), "the end");
    }

    #[test]
    fn a_wait_may_come_first_only_if_an_event_waits_for_all_that_is_there() {
        let (waiter, (socket, mut peer)) = (SocketWaiter(EventFd::new().unwrap()), pair());
        let next = |deadline| wait(&waiter, &socket, deadline);
        note_drained(&socket);
        assert!(!is_drained(&socket), "not settled");
        for _ in 0..WAITS_TO_SETTLE {
            assert_eq!(next(soon()), None);
        }
        assert_eq!(next(soon()), Some(Woken::Late));
        peer.write_all(b"x").unwrap();
        assert_eq!(next(None), Some(Woken::Ready));
        assert!(!is_drained(&socket), "nobody has received since");
        assert_eq!(drain(&socket), 1);
        note_drained(&socket);
        assert!(is_drained(&socket));
        peer.write_all(b"xy").unwrap();
        assert_eq!(next(None), Some(Woken::Ready));
        assert_eq!(drain(&socket), 2);
        note_drained(&socket);
        drop(peer);
        assert!(is_drained(&socket), "the end is a change");
        assert_eq!(next(None), Some(Woken::Ready));
        note_drained(&socket);
        assert!(!is_drained(&socket), "no event follows the end");
    }

    #[test]
    fn a_socket_in_the_place_of_a_closed_one_is_another() {
        let ((mut own, waiter), (one, first_peer)) = (fresh(), pair());
        settle(&mut own, &waiter, &one);
        assert_eq!(own.wait(&waiter, &one, soon()), Some(Woken::Late));
        let held = another_descriptor(&one);
        drop(one);
        let (two, mut peer) = pair();
        settle(&mut own, &waiter, &two); // whatever its address and descriptor are
        drop(first_peer); // an event of the first socket, which is still open
        assert_eq!(own.wait(&waiter, &two, soon()), Some(Woken::Late));
        peer.write_all(b"x").unwrap();
        assert_eq!(own.wait(&waiter, &two, None), Some(Woken::Ready));
        drop(held);
    }

    #[test]
    fn an_urgent_byte_lets_the_thread_go() {
        let ((mut own, waiter), (socket, peer)) = (fresh(), pair());
        settle(&mut own, &waiter, &socket);
        assert_eq!(own.wait(&waiter, &socket, soon()), Some(Woken::Late));
        assert_eq!(socket2::Socket::from(peer).send_out_of_band(b"x").unwrap(), 1);
        assert_eq!(own.wait(&waiter, &socket, None), Some(Woken::Ready));
        assert_eq!(own.wait(&waiter, &socket, soon()), None, "by ppoll, as the byte is there");
    }

    #[test]
    fn a_refused_wait_is_made_by_ppoll() {
        let ((mut own, waiter), (socket, _peer)) = (fresh(), pair());
        settle(&mut own, &waiter, &socket);
        assert_eq!(own.wait(&waiter, &socket, soon()), Some(Woken::Late));
        own.refuse();
        settle(&mut own, &waiter, &socket);
        assert_eq!(own.wait(&waiter, &socket, soon()), None);
    }
}
