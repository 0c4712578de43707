//! A connection: how its two halves are made of one socket, and what a caller asks of both.
//!
//! Invariant: both halves join the net, or neither joins and the socket closes. What is asked of both is begun on both, or
//! refused.

use crate::callback::{DataCallback, StatusCallback};
use crate::completion::Operation;
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::net::Net;
use crate::sink::Sink;
use crate::socket::Socket;
use crate::stream::Stream;
use std::sync::Arc;
use std::time::Duration;

/// The two halves.
pub type Connection = (Arc<Sink>, Arc<Stream>);

/// Makes the two halves of a connection. On an error, for example STOPPED, the connection closes.
pub fn adopt(net: &Arc<Net>, socket: Arc<Socket>) -> Result<Connection> {
    let connection = halves(net, socket);
    join(net, &connection)?;
    Ok(connection)
}

/// The two halves of a connection that is not the net's yet. A drop of both closes the descriptor and nothing more.
pub fn halves(net: &Arc<Net>, socket: Arc<Socket>) -> Connection {
    if net.config.logs_details() {
        socket.keep_ends();
    }
    Sink::with_stream(net, socket)
}

/// Both halves join the net.
pub fn join(net: &Arc<Net>, (sink, stream): &Connection) -> Result {
    net.members.join_counted([Arc::clone(sink) as _, Arc::clone(stream) as _], &net.connections)?;
    if net.config.idle_timeout.is_some() {
        stream.set_idle_timeout(net.config.idle_timeout)?;
    }
    Ok(())
}

/// Waits for an operation that makes a connection, and takes the connection.
pub fn collect(net: &Arc<Net>, op: &Arc<Operation>) -> Result<Connection> {
    op.outcome().result?;
    let socket = op.take_connection().ok_or(Error::STOPPED)?;
    adopt(net, socket)
}

/// What a watch calls, on the receive loop.
pub struct Callbacks {
    /// Gets every byte that the stream receives, and one last call with an error.
    pub data: Option<DataCallback>,
    /// Learns that there is room again after a FULL. Its last call brings what broke the sink.
    pub room: Option<StatusCallback>,
    /// Comes once, after all other callbacks of the halves.
    pub end: Option<StatusCallback>,
}

/// Watches one half or both halves of a connection. INVALID: there is nothing to call, or a callback's half is missing, or
/// the halves are not of one connection. BUSY: such a callback is there already, or receives are pending.
pub fn watch(sink: Option<&Arc<Sink>>, stream: Option<&Arc<Stream>>, callbacks: Callbacks) -> Result {
    let Callbacks { data, room, end } = callbacks;
    let calls_none = data.is_none() && room.is_none() && end.is_none();
    let lacks_half = (data.is_some() && stream.is_none()) || (room.is_some() && sink.is_none());
    if calls_none || lacks_half || !are_one(sink, stream) {
        return Err(Error::INVALID);
    }
    let ending = end.map(|end| Ending::new(sink.is_some(), stream.is_some(), end));
    if let Some(sink) = sink {
        sink.prepare_watch(room, ending.as_ref())?;
    }
    if let Some(stream) = stream {
        stream.watch(data, ending.as_ref()).inspect_err(|_| {
            if let Some(sink) = sink {
                sink.drop_watch(room.is_some(), ending.as_ref());
            }
        })?;
    }
    if let (Some(sink), Some(_)) = (sink, room) {
        sink.begin_watch();
    }
    Ok(())
}

/// Bounds the time without a byte in either direction. INVALID: the halves are not of one connection, or there is none.
pub fn set_idle_timeout(
    sink: Option<&Arc<Sink>>,
    stream: Option<&Arc<Stream>>,
    limit: Option<Duration>,
) -> Result {
    match (sink, stream) {
        _ if !are_one(sink, stream) => Err(Error::INVALID),
        (_, Some(stream)) => stream.set_idle_timeout(limit),
        (Some(sink), None) => sink.set_idle_timeout(limit),
        (None, None) => unreachable!("one of the two is there"),
    }
}

/// Whether the given halves belong to one connection.
fn are_one(sink: Option<&Arc<Sink>>, stream: Option<&Arc<Stream>>) -> bool {
    match (sink, stream) {
        (Some(sink), Some(stream)) => sink.is_of(stream),
        (None, None) => false,
        _ => true,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What an allocator such as glibc's takes for an `Arc<T>`: its two counts, and eight bytes of the allocator's.
    const fn shared<T>() -> usize {
        (2 * size_of::<usize>() + size_of::<T>() + 8).next_multiple_of(16)
    }

    /// Each idle connection that is watched has these. A table has its handles, the net two places, the loop a request.
    #[test]
    fn an_idle_connection_takes_few_bytes() {
        let sizes = [shared::<Stream>(), shared::<Sink>(), shared::<Socket>(), shared::<Ending>()];
        assert_eq!(sizes, [224, 160, 80, 64], "docs/PERFORMANCE.md, Memory, has these sizes");
    }
}
