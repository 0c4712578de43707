//! For tests of a stream: one alone, in a net of its own.

use super::Stream;
use crate::config::Config;
use crate::idle::{IdleHalf, SendingHalf, Work};
use crate::members::{Member, Place, Stop};
use crate::net::{Net, fixture};
use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// The type of a sink that is not there.
enum NoSink {}

impl Member for NoSink {
    fn place(&self) -> &Place {
        match *self {}
    }

    fn stop(self: Arc<Self>, _: Stop) {}
}

impl IdleHalf for NoSink {
    fn work(&self) -> Work {
        match *self {}
    }

    fn interrupt(&self) {}

    fn end_idle(self: Arc<Self>, _: Instant) -> bool {
        match *self {}
    }
}

impl SendingHalf for NoSink {
    fn stream_is_quiet(self: Arc<Self>) {}
}

/// A net, a stream of its, and the peer; `None` where there is no io_uring.
pub fn open(config: Config) -> Option<(Arc<Net>, Arc<Stream>, TcpStream)> {
    let net = fixture::started(config)?;
    let (socket, peer) = fixture::connected(&net);
    let alone: Weak<NoSink> = Weak::new();
    let stream = Stream::new(&net, socket, alone);
    net.members.join([Arc::clone(&stream) as _]).unwrap();
    Some((net, stream, peer))
}
