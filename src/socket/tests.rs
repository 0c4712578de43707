use super::*;
use socket2::{Domain, Type};
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};

/// A connection's socket, and the peer's.
fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Socket::of(socket2::Socket::from(listener.accept().unwrap().0).into()), peer)
}

fn reset(peer: TcpStream) {
    socket2::Socket::from(peer).set_linger(Some(Duration::ZERO)).unwrap(); // and closes it
}

/// Waits for `events`. An end of stream counts as input, and an error as any event.
fn wait(socket: &Socket, events: i16) {
    let mut poll = libc::pollfd { fd: socket.fd(), events, revents: 0 };
    // SAFETY: one pollfd, a local.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 10_000) }, 1);
}

#[test]
fn a_connect_is_over_at_once_or_when_the_socket_is_writable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = Socket::to_connect(&address, &Options::default()).unwrap();
    assert_eq!(socket.connect(&address), Ok(true));
    assert_eq!(socket.peer(), Some(address));
    drop(listener);
    let socket = Socket::to_connect(&address, &Options::default()).unwrap();
    assert_eq!(socket.connect(&address), Err(Error::from_errno(libc::ECONNREFUSED)));
    // A listener whose backlog is full drops a connect. The kernel asks again after a second.
    let full = Socket::listen(
        &"127.0.0.1:0".parse().unwrap(),
        &Listening { backlog: 0, reuse_port: false, ipv6_only: None },
        &Options::default(),
    )
    .unwrap();
    let address = full.local().unwrap();
    let new = || Socket::to_connect(&address, &Options::default()).unwrap();
    let sockets: Vec<_> = (0..4).map(|_| new()).collect();
    let waits = sockets.iter().position(|socket| socket.connect(&address) == Ok(false)).unwrap();
    assert_eq!(sockets[waits].connect(&address), Ok(false), "still under way");
    for _ in 0..waits {
        assert!(matches!(full.accept(), Answer::Done(_)));
    }
    wait(&sockets[waits], libc::POLLOUT);
    assert_eq!(sockets[waits].connect(&address), Ok(true));
}

#[test]
fn input_is_discarded_up_to_its_end() {
    let (socket, mut peer) = pair();
    assert!(!socket.discard_input(), "the peer may still send");
    peer.write_all(b"unwanted").unwrap();
    wait(&socket, libc::POLLIN);
    assert!(!socket.discard_input());
    peer.write_all(b"more").unwrap();
    wait(&socket, libc::POLLIN);
    peer.shutdown(Shutdown::Write).unwrap();
    let ends = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        socket.discard_input()
    });
    assert!(ends);
    assert_eq!(socket.error(), None);
}

#[test]
fn a_socket_is_connected_to_itself_by_port_and_address() {
    let bound = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        socket.bind(&address.into()).map(|()| Socket::of(socket.into()))
    };
    let itself = bound("127.0.0.1:0").unwrap();
    let own = itself.local().unwrap();
    assert_eq!(itself.connect(&own), Ok(true));
    assert!(itself.is_connected_to_itself(&own));
    let same_port = || {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = bound(&format!("127.0.0.1:{}", address.port())).ok()?; // fails if another program has that port
        Some((listener, address, socket))
    };
    let (_listener, other, socket) = (0..100).find_map(|_| same_port()).unwrap();
    assert_eq!(socket.connect(&other), Ok(true));
    assert!(!socket.is_connected_to_itself(&other), "another one at the same port");
}

#[test]
fn a_reset_is_the_end_of_input_and_kept_for_the_other_half() {
    let (socket, peer) = pair();
    reset(peer);
    wait(&socket, libc::POLLIN);
    assert!(socket.discard_input());
    assert_eq!(socket.error(), Some(Error::from_errno(libc::ECONNRESET)));
}

#[test]
fn a_reset_whose_error_a_send_may_have_taken_is_no_end_of_stream() {
    let (socket, peer) = pair();
    reset(peer);
    wait(&socket, libc::POLLIN);
    socket.send_begins();
    socket.descriptor.take_error().unwrap(); // as a send of another thread would
    let mut byte = 0;
    // SAFETY: one byte, a local.
    let tried = unsafe { socket.try_recv(&raw mut byte, 1) };
    assert_eq!(tried, Tried::Failed(Error::from_errno(libc::ECONNRESET)));
}

#[test]
fn an_end_of_stream_is_one_with_and_without_a_send_under_way() {
    for sends in [false, true] {
        let (socket, peer) = pair();
        peer.shutdown(Shutdown::Write).unwrap();
        wait(&socket, libc::POLLIN);
        if sends {
            socket.send_begins();
        }
        let mut byte = 0;
        // SAFETY: one byte, a local.
        assert_eq!(unsafe { socket.try_recv(&raw mut byte, 1) }, Tried::End);
        assert!(socket.discard_input());
    }
}
