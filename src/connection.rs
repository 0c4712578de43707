//! A connection: how its two halves are made of one socket.
//!
//! Called for each connection that was dialled or accepted. Invariant: both halves join the net, or neither joins and the
//! socket closes.

use crate::completion::Operation;
use crate::error::{Error, Result};
use crate::net::Net;
use crate::sink::Sink;
use crate::socket::Socket;
use crate::stream::Stream;
use std::sync::Arc;

/// The two halves.
pub type Connection = (Arc<Sink>, Arc<Stream>);

/// Makes the two halves of a connection. On an error, for example STOPPED, the connection closes.
pub fn adopt(net: &Arc<Net>, socket: Arc<Socket>) -> Result<Connection> {
    let stream = Stream::new(net, Arc::clone(&socket));
    let sink = Sink::new(net, socket, &stream);
    net.members.join_counted([Arc::clone(&sink) as _, Arc::clone(&stream) as _], &net.connections)?;
    Ok((sink, stream))
}

/// Waits for an operation that makes a connection, and takes the connection.
pub fn collect(net: &Arc<Net>, op: &Arc<Operation>) -> Result<Connection> {
    op.outcome().result?;
    let socket = op.take_connection().ok_or(Error::STOPPED)?;
    adopt(net, socket)
}
