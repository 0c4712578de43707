//! For tests of a stream: one alone, in a net of its own.

use super::Stream;
use crate::config::Config;
use crate::net::{Net, fixture};
use std::net::TcpStream;
use std::sync::Arc;

/// A net, a stream of its, and the peer; `None` where there is no io_uring.
pub fn open(config: Config) -> Option<(Arc<Net>, Arc<Stream>, TcpStream)> {
    let net = fixture::started(config)?;
    let (socket, peer) = fixture::connected(&net);
    let stream = Stream::new(&net, socket);
    net.members.join([Arc::clone(&stream) as _]).unwrap();
    Some((net, stream, peer))
}
