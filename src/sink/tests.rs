//! Tests of a sink at moments that no program can bring about.

use super::*;
use crate::config::Config;
use crate::members::{Member, Stop};
use crate::net::fixture;
use std::io::Read;
use std::net::TcpStream;

pub struct Connection {
    pub net: Arc<Net>,
    pub sink: Arc<Sink>,
    pub stream: Arc<Stream>,
    pub peer: TcpStream,
}

/// A connection in a net of its own. `None`: there is no io_uring.
pub fn connection() -> Option<Connection> {
    let net = fixture::started(Config::default())?;
    let (socket, peer) = fixture::connected(&net);
    let (sink, stream) = Sink::with_stream(&net, socket);
    net.members.join_counted([Arc::clone(&sink) as _, Arc::clone(&stream) as _], &net.connections).unwrap();
    Some(Connection { net, sink, stream, peer })
}

#[test]
fn a_stop_that_comes_to_a_sink_whose_fin_is_out_does_not_reset() {
    const SIZE: usize = 300_000; // more than the peer's kernel takes, and less than our kernel takes
    let Some(Connection { net, sink, stream, mut peer }) = connection() else { return };
    sink.post(&[1; SIZE]).unwrap();
    assert_eq!(sink.flush(), Ok(()));
    sink.close();
    Arc::clone(&sink).stop(Stop::Now(Error::STOPPED));
    let mut got = Vec::new();
    assert_eq!(peer.read_to_end(&mut got).unwrap(), SIZE);
    stream.close();
    drop(peer);
    assert_eq!(net.stop(), Ok(()));
}

#[test]
fn a_stop_that_comes_beside_a_send_that_goes_out_cuts_nothing() {
    let Some(Connection { net, sink, stream, peer }) = connection() else { return };
    assert!(sink.lock().front.claim()); // as a thread does while it sends
    Arc::clone(&sink).stop(Stop::Now(Error::STOPPED));
    sink.release_by_gate();
    stream.close();
    drop(peer);
    assert_eq!(net.stop(), Ok(()));
}

#[test]
fn a_drain_has_time_for_what_is_queued_too() {
    const QUEUED: usize = 1 << 20;
    let Some(Connection { net, sink, stream, peer }) = connection() else { return };
    let mut state = sink.lock();
    assert!(state.front.claim());
    state.queue.post_back(&[0; QUEUED]).unwrap();
    state.front.closing = true;
    let begins = Instant::now();
    sink.begin_drain(&mut state);
    let until = sink.socket.drain_until().flatten();
    assert_eq!(until.map(|until| until >= begins + Duration::from_secs(60 + 1024)), Some(true));
    state.front.closing = false;
    sink.release(state);
    sink.abort();
    stream.close();
    drop(peer);
    net.stop().unwrap();
}

#[test]
fn a_drain_has_time_for_what_the_kernel_holds_beside_the_queue() {
    const POSTED: usize = 32 << 20; // far more than both kernels take
    let Some(Connection { net, sink, stream, peer }) = connection() else { return };
    sink.post(&vec![1; POSTED]).unwrap();
    let mut state = sink.lock(); // the send loop needs this lock for the sink
    let (queued, held) = (state.queue.unsent(), sink.socket.unacknowledged());
    assert!(queued > 0 && held >= 16 << 10, "{queued} and {held}");
    state.front.closing = true;
    let begins = Instant::now();
    sink.begin_drain(&mut state);
    let until = sink.socket.drain_until().flatten().unwrap();
    state.front.closing = false;
    let left = queued + held.min(sink.socket.unacknowledged());
    assert!(until >= begins + Duration::from_secs(60 + left as u64 / 1024));
    drop(state);
    sink.abort();
    stream.close();
    drop(peer);
    net.stop().unwrap();
}
