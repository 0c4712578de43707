//! One address that a dial has tried and that has not answered yet.
//!
//! `dial` and `race` use it. Invariant: an attempt has at most one request in flight, which comes back before its dial ends.

use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, RequestId};
use crate::socket::{Options, Socket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a dial connects.
#[derive(Clone, Debug)]
pub struct How {
    /// How long the whole dial may take.
    pub timeout: Option<Duration>,
    /// The local address. The dial skips addresses of the other family.
    pub from: Option<SocketAddr>,
    /// The options of the connection.
    pub of_socket: Options,
}

impl How {
    /// A socket for `address`, which has the family of `from`.
    fn socket(&self, address: &SocketAddr) -> Result<Socket> {
        match &self.from {
            None => Socket::to_connect(address, &self.of_socket),
            Some(from) => Socket::to_connect_from(from, &self.of_socket),
        }
    }
}

/// What an address answers.
pub enum Answer {
    /// The connection is there.
    Connected,
    /// There is no answer yet.
    NotYet,
    /// No socket listens there, and the dial's socket has connected to itself.
    Itself,
    /// The address has refused, or cannot be reached.
    Failed(Error),
}

/// An address that was tried.
pub struct Attempt {
    /// The new socket.
    pub socket: Arc<Socket>,
    /// The address.
    pub address: SocketAddr,
    /// The request that waits for the answer. `None` until the loop has seen the attempt.
    request: Option<RequestId>,
    interrupting: bool,
}

impl Attempt {
    /// Makes a socket and begins to connect it to `address`.
    pub fn begin(how: &How, address: SocketAddr) -> Result<(Attempt, Answer)> {
        let socket = Arc::new(how.socket(&address)?);
        let attempt = Attempt { socket, address, request: None, interrupting: false };
        let answer = attempt.answer();
        Ok((attempt, answer))
    }

    /// Begins to connect, or looks whether the address has answered.
    pub fn answer(&self) -> Answer {
        match self.socket.connect(&self.address) {
            Ok(false) => Answer::NotYet,
            Ok(true) if self.socket.is_connected_to_itself(&self.address) => {
                tracing::debug!(address = %self.address, "a socket has connected to itself");
                self.socket.reset(); // frees the port at once; an orderly close would hold it for a minute
                Answer::Itself
            }
            Ok(true) => {
                tracing::debug!(
                    local = self.socket.local_to_log(), // asked for only if the log wants the line
                    peer = %self.address,
                    "dialled a connection"
                );
                Answer::Connected
            }
            Err(error) => self.failed(error),
        }
    }

    /// The answer of an address that failed.
    pub fn failed(&self, error: Error) -> Answer {
        tracing::debug!(address = %self.address, %error, "an address could not be dialled");
        Answer::Failed(error)
    }

    /// Submits the request that completes when there is an answer, unless it is in flight.
    pub fn await_answer<H: Handler + 'static>(&mut self, dial: &Arc<H>, event_loop: &mut EventLoop) {
        if self.request.is_none() {
            let request = Request::Writable { socket: Arc::clone(&self.socket) };
            self.request = Some(event_loop.submit(Arc::clone(dial) as _, request));
        }
    }

    /// The request has come back.
    pub fn came_back(&mut self) {
        self.request = None;
    }

    /// Interrupts the request. False: none is in flight, so the attempt can be dropped.
    pub fn interrupt(&mut self, event_loop: &mut EventLoop) -> bool {
        if let Some(request) = self.request.filter(|_| !self.interrupting) {
            self.interrupting = true;
            event_loop.cancel(request);
        }
        self.request.is_some()
    }
}
