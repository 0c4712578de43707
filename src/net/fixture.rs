//! For tests of the handles: a net, and a socket with its peer.

use super::Net;
use crate::config::Config;
use crate::error::Error;
use crate::socket::Socket;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A net. `None`: there is no io_uring, or too little memory may be locked.
pub fn started(config: Config) -> Option<Arc<Net>> {
    match Net::start(config) {
        Err(error @ (Error::UNAVAILABLE | Error::LOCKED_MEMORY)) => {
            eprintln!("skipped: {error}");
            None
        }
        net => Some(net.unwrap()),
    }
}

/// A connected socket for a handle of `net`, and the other end of its connection.
pub fn connected(net: &Net) -> (Arc<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = Socket::to_connect(&address, &net.socket_options()).unwrap();
    assert_eq!(socket.connect(&address), Ok(true));
    let (peer, _) = listener.accept().unwrap();
    (Arc::new(socket), peer)
}
