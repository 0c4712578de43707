//! What an edge-triggered receive leaves in its socket, epoll reports again.

use super::*;
use crate::engine::Start;
use crate::socket::Socket;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// More bytes than come.
const ALL: usize = usize::MAX;

/// A connection to `listener`: the peer, the accepted side and its socket.
fn connected(listener: &TcpListener) -> (TcpStream, TcpStream, Arc<Socket>) {
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let socket = Arc::new(Socket::adopt(stream.as_raw_fd(), false).unwrap());
    socket.take_over(&Default::default()).unwrap();
    (peer, stream, socket)
}

fn multishot(socket: Arc<Socket>) -> Request {
    Request::RecvMultishot {
        socket,
        start: Start::Now,
        piece: 0,
        budget: 1 << 20,
        callback: Default::default(),
    }
}

/// What `peer` sends before the receive begins, up to the end of the receive or so many bytes: the sizes, and the last result.
fn received(
    act: impl FnOnce(&mut TcpStream),
    seen: libc::c_short,
    enough: usize,
) -> (Vec<usize>, Option<i32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut peer, stream, socket) = connected(&listener);
    act(&mut peer);
    // Not before all of it is there: epoll would report the rest by an edge of its own.
    while enough != ALL && socket.unread() < enough {
        std::thread::yield_now();
    }
    let mut polled = libc::pollfd { fd: stream.as_raw_fd(), events: seen, revents: 0 };
    // SAFETY: one entry, a local.
    assert_eq!(unsafe { libc::poll(&raw mut polled, 1, 10_000) }, 1);
    let mut poller = Poller::new(Features::wanted(), true, &Waker::new().unwrap()).unwrap();
    let mut request = multishot(socket);
    // SAFETY: the request outlives the poller's use of it.
    unsafe { poller.submit(RequestId::new(1, 0), &mut request) };
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < enough {
        poller.enter(Wait::For(Duration::from_secs(10))).unwrap();
        assert!(poller.has_completions(), "nothing came behind {sizes:?}");
        let mut completions = Vec::new();
        while poller.reap(&mut completions) {}
        for completion in completions {
            if !completion.more() {
                return (sizes, Some(completion.result()));
            }
            poller.pool.as_ref().unwrap().give(completion.buffer().unwrap());
            sizes.push(completion.count());
        }
    }
    (sizes, None)
}

#[test]
fn an_end_behind_the_bytes() {
    let act = |peer: &mut TcpStream| {
        peer.write_all(&[7; 10]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    };
    assert_eq!(received(act, libc::POLLRDHUP, ALL), (vec![10], Some(0)));
}

#[test]
fn more_bytes_than_a_buffer_has_room_for() {
    let act = |peer: &mut TcpStream| {
        peer.write_all(&[7; POOL_BUFFER_SIZE + 1]).unwrap();
    };
    assert_eq!(received(act, libc::POLLIN, POOL_BUFFER_SIZE + 1).0, [POOL_BUFFER_SIZE, 1]);
}

#[test]
fn bytes_behind_an_urgent_one() {
    let act = |peer: &mut TcpStream| {
        peer.write_all(&[7; 3]).unwrap();
        // SAFETY: one byte, a constant.
        assert_eq!(unsafe { libc::send(peer.as_raw_fd(), [8u8].as_ptr().cast(), 1, libc::MSG_OOB) }, 1);
        peer.write_all(&[9; 2]).unwrap();
    };
    let (sizes, _) = received(act, libc::POLLPRI, 6);
    assert_eq!(sizes.iter().sum::<usize>(), 6);
}

#[test]
fn a_reset_behind_the_bytes() {
    let act = |peer: &mut TcpStream| {
        peer.write_all(&[7; 10]).unwrap();
        let reset = libc::linger { l_onoff: 1, l_linger: 0 };
        let (value, size) = ((&raw const reset).cast(), size_of::<libc::linger>() as libc::socklen_t);
        // SAFETY: `value` and `size` describe the local above.
        unsafe { libc::setsockopt(peer.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size) };
        let other = TcpStream::connect(peer.peer_addr().unwrap());
        drop(std::mem::replace(peer, other.unwrap()));
    };
    assert_eq!(received(act, libc::POLLRDHUP, ALL), (vec![10], Some(-libc::ECONNRESET)));
}

/// A poller with receives of `count` streams, each of which has three bytes, after its wait.
fn poller_with_bytes(count: usize) -> (Poller, Vec<(TcpStream, TcpStream)>, Vec<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut poller = Poller::new(Features::wanted(), true, &Waker::new().unwrap()).unwrap();
    let (mut pairs, mut requests) = (Vec::new(), Vec::new());
    for index in 0..count {
        let (mut peer, stream, socket) = connected(&listener);
        peer.write_all(&[7; 3]).unwrap();
        while socket.unread() < 3 {
            std::thread::yield_now();
        }
        let mut request = multishot(socket);
        // SAFETY: the request outlives the poller's use of it, and names no memory of its own.
        unsafe { poller.submit(RequestId::new(1, index), &mut request) };
        requests.push(request);
        pairs.push((peer, stream));
    }
    poller.enter(Wait::For(Duration::from_secs(10))).unwrap();
    assert_eq!(poller.left(), count);
    (poller, pairs, requests)
}

/// What the poller gives at once: the index of each request, and the bytes that it has brought or its last result.
fn reaped(poller: &mut Poller) -> Vec<(usize, i32)> {
    let mut completions = Vec::new();
    poller.reap(&mut completions);
    for buffer in completions.iter().filter_map(Completion::buffer) {
        poller.pool.as_ref().unwrap().give(buffer);
    }
    completions
        .iter()
        .map(|completion| (completion.request().unwrap().index(), completion.result()))
        .collect()
}

/// So many results, from the request at `first` on.
fn results(first: usize, end: usize, result: i32) -> Vec<(usize, i32)> {
    (first..end).map(|index| (index, result)).collect()
}

#[test]
fn a_cancel_between_two_batches_comes_after_the_bytes() {
    let count = BATCH + 2;
    let (mut poller, _pairs, _requests) = poller_with_bytes(count);
    assert_eq!(reaped(&mut poller), results(0, BATCH, 3));
    (0..count).for_each(|index| poller.cancel(RequestId::new(1, index)));
    assert_eq!(reaped(&mut poller), results(BATCH, count, 3));
    assert!(!poller.has_completions());
    poller.enter(Wait::No).unwrap();
    assert_eq!(reaped(&mut poller), results(0, count, -libc::ECANCELED));
}

#[test]
fn a_poller_that_is_given_up_leaves_the_bytes_that_it_did_not_ask_for() {
    let count = BATCH + 2;
    let (mut poller, _pairs, requests) = poller_with_bytes(count);
    assert_eq!(reaped(&mut poller), results(0, BATCH, 3));
    let given_back = poller.give_up();
    assert_eq!(given_back.len(), count);
    assert!(given_back.iter().all(|completion| completion.result() == -libc::ECANCELED));
    let unread: Vec<_> = requests.iter().map(|request| request.socket().unwrap().unread()).collect();
    assert_eq!(unread, [[0; BATCH].as_slice(), &[3; 2]].concat());
}

#[test]
fn a_large_answer_ends_a_batch() {
    let (mut poller, mut pairs, requests) = poller_with_bytes(3);
    let large = vec![7; SMALL as usize];
    pairs[1].0.write_all(&large).unwrap();
    while requests[1].socket().unwrap().unread() < large.len() + 3 {
        std::thread::yield_now();
    }
    assert_eq!(reaped(&mut poller), [(0, 3), (1, 3 + SMALL as i32)]);
    assert_eq!(reaped(&mut poller), [(2, 3)]);
}
