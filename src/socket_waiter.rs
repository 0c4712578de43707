//! A caller's thread that waits for a socket by itself, until the socket is ready or another thread interrupts it.
//!
//! A blocking call needs no loop to wait for it if it owns its half, and no other operation waits behind it. A second call
//! or a close that needs the half interrupts the waiter, which then hands its rest to the loop. Invariant: a waiter is
//! interrupted at most once for each wait, under the lock of the half that it is entered in. It clears the interrupt before
//! it waits again.
//!
//! A thread waits by ppoll(2), or, if it waits for one stream again and again, by an epoll descriptor of its own
//! (socket_waiter/settled.rs).

mod settled;

use crate::eventfd::EventFd;
use crate::socket::Socket;
use crate::sys::{self, Answer};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One for each thread that ever waited. Its descriptor closes with the thread.
pub struct SocketWaiter(EventFd);

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// There is something to receive, the end included.
    Receive,
    /// There is room to send.
    Send,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The socket is ready, or broken: the caller asks the socket.
    Ready,
    /// The deadline has passed.
    Late,
    /// Another thread needs the half, or this process may not wait in this way: a filter of system calls can forbid it.
    Interrupted,
}

thread_local! {
    static OWN: OnceCell<Option<Arc<SocketWaiter>>> = const { OnceCell::new() };
}

impl SocketWaiter {
    /// This thread's waiter. `None` if descriptors are short, or the thread is ending.
    pub fn own() -> Option<Arc<SocketWaiter>> {
        let new = || EventFd::new().ok().map(|eventfd| Arc::new(SocketWaiter(eventfd)));
        OWN.try_with(|own| own.get_or_init(new).clone()).ok().flatten()
    }

    /// Waits until `socket` is ready, until `deadline`, or until another thread interrupts the wait. The caller has asked
    /// the socket before, in vain, or [`SocketWaiter::may_wait_first`]. A wait that ends by the socket may be in vain too.
    pub fn wait(&self, socket: &Arc<Socket>, ready: Ready, deadline: Option<Instant>) -> Woken {
        let events = match ready {
            Ready::Receive => match settled::wait(self, socket, deadline) {
                Some(woken) => return woken,
                None => libc::POLLIN,
            },
            Ready::Send => libc::POLLOUT,
        };
        let mut polled = [
            libc::pollfd { fd: socket.fd(), events, revents: 0 },
            libc::pollfd { fd: self.0.fd(), events: libc::POLLIN, revents: 0 },
        ];
        loop {
            let left = match time_left(deadline) {
                Ok(left) => left,
                Err(late) => return late, // however busy the socket is
            };
            match sys::poll(&mut polled, left) {
                Answer::Done(0) | Answer::Again => {} // the deadline, which the next look sees, or a signal
                Answer::Done(_) if polled[1].revents == 0 => return Woken::Ready,
                Answer::Done(_) | Answer::WouldBlock | Answer::Failed(_) => return Woken::Interrupted,
            }
        }
    }

    /// Whether this thread may wait for `socket`'s bytes without a receive that finds nothing.
    pub fn may_wait_first(socket: &Arc<Socket>) -> bool {
        settled::is_drained(socket)
    }

    /// This thread has waited for `socket`'s bytes, and has received all that was there.
    pub fn note_drained(socket: &Arc<Socket>) {
        settled::note_drained(socket);
    }

    /// Ends the wait, now or as soon as it begins.
    pub fn interrupt(&self) {
        self.0.wake();
    }

    /// Forgets the interrupt, so it does not end the next wait.
    pub fn clear(&self) {
        self.0.clear();
    }
}

/// The time until `deadline`. `Err`: the deadline has passed.
fn time_left(deadline: Option<Instant>) -> Result<Option<Duration>, Woken> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) { Err(Woken::Late) } else { Ok(left) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::socket::Options;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (Arc<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::to_connect(&address, &Options::default()).unwrap();
        assert_eq!(socket.connect(&address), Ok(true));
        (Arc::new(socket), listener.accept().unwrap().0)
    }

    #[test]
    fn a_wait_ends_by_the_socket_the_deadline_or_an_interrupt() {
        let waiter = SocketWaiter::own().unwrap();
        let (two, mut one) = pair();
        let soon = Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(waiter.wait(&two, Ready::Receive, soon), Woken::Late);
        assert_eq!(waiter.wait(&two, Ready::Send, None), Woken::Ready);
        one.write_all(b"x").unwrap();
        assert_eq!(waiter.wait(&two, Ready::Receive, None), Woken::Ready);
        assert_eq!(waiter.wait(&two, Ready::Receive, soon), Woken::Late, "though ready");
        waiter.interrupt();
        assert_eq!(waiter.wait(&two, Ready::Receive, None), Woken::Interrupted);
        waiter.clear();
        assert_eq!(waiter.wait(&two, Ready::Receive, None), Woken::Ready);
    }

    #[test]
    fn an_interrupt_from_another_thread_wakes() {
        let waiter = SocketWaiter::own().unwrap();
        let (two, _one) = pair();
        let waiting = Arc::clone(&waiter);
        let caller = std::thread::spawn(move || waiting.interrupt());
        assert_eq!(waiter.wait(&two, Ready::Receive, None), Woken::Interrupted);
        caller.join().unwrap();
    }
}
