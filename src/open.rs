//! The functions that open a listener, a dial or a delayed call on a net.
//!
//! The boundary calls them. Invariant: a refused call leaves nothing behind.

use crate::address::{self, Parsed};
use crate::callback_thread::in_callback;
use crate::completion::Tell;
use crate::connection::{self, Connection};
use crate::delayed_call::DelayedCall;
use crate::dial::{Dial, Started};
use crate::error::{Error, Result};
use crate::listener::Listener;
use crate::net::Net;
use crate::resolver;
use crate::shed;
use crate::socket::Socket;
use crate::stand_in::StandIn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The options of a listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct BindOptions {
    /// How many connections the kernel holds until they are accepted. 0: 4,096.
    pub backlog: u32,
    /// Whether other sockets may bind the same port and share its connections.
    pub reuse_port: bool,
}

/// Reports success after `delay`, as `tell` says.
pub fn call(net: &Arc<Net>, delay: Duration, tell: Tell<'_>) -> Result {
    net.check()?;
    DelayedCall::start(net, delay, tell)
}

/// Connects to `address`, and waits. All addresses of a name share the one `timeout`. `None`: the net's timeout.
pub fn dial(net: &Arc<Net>, address: &str, timeout: Option<Option<Duration>>) -> Result<Connection> {
    match start_dial(net, address, timeout, Tell::Wait)? {
        Started::Over(socket) => connection::adopt(net, socket.ok_or(Error::PANIC)?), // `Tell::Wait` always gets it
        Started::UnderWay(op) => connection::collect(net, &op),
    }
}

/// The same without waiting. It reports the connection as `tell` says.
pub fn dial_async(
    net: &Arc<Net>,
    address: &str,
    timeout: Option<Option<Duration>>,
    tell: Tell<'_>,
) -> Result {
    start_dial(net, address, timeout, tell).map(drop)
}

fn start_dial(
    net: &Arc<Net>,
    address: &str,
    timeout: Option<Option<Duration>>,
    tell: Tell<'_>,
) -> Result<Started> {
    net.check()?;
    let target = address::parse(address)?;
    Dial::start(net, target, timeout.unwrap_or(net.config.dial_timeout), tell)
}

/// Listens on `address`. Looks a name up on this thread, and tries its addresses in order.
pub fn bind(net: &Arc<Net>, address: &str, options: BindOptions) -> Result<Arc<Listener>> {
    net.check()?;
    let addresses = match address::parse(address)? {
        Parsed::Numeric(address) => vec![address],
        Parsed::Name { .. } if in_callback() => return Err(Error::IN_CALLBACK),
        Parsed::Name { host, port } => resolver::resolve_now(&host, port)?,
    };
    let mut last = Error::NAME;
    for address in addresses {
        match bind_to(net, &address, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_to(net: &Arc<Net>, address: &SocketAddr, options: BindOptions) -> Result<Arc<Listener>> {
    let backlog = if options.backlog == 0 { 4096 } else { options.backlog };
    let listen = || {
        let socket = Socket::listen(address, backlog, options.reuse_port, &net.socket_options())?;
        let stand_in = StandIn::of(&socket)?;
        Ok((socket, stand_in))
    };
    let mut made = listen();
    for _ in 0..2 {
        // One retry for each of the two descriptors.
        let Err(error) = made else {
            break;
        };
        if in_callback() || !shed::oldest_and_wait(error) {
            shed::oldest(error); // for the next try
            return Err(error);
        }
        made = listen();
    }
    let (socket, stand_in) = made?;
    Listener::open(net, socket, stand_in)
}
