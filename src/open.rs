//! The functions that open a listener, a dial or a delayed call on a net.
//!
//! The boundary calls them. Invariant: a refused call leaves nothing behind.

use crate::address::{self, Parsed};
use crate::callback_thread::in_callback;
use crate::completion::Tell;
use crate::connection::{self, Connection};
use crate::defaults::DEFAULTS;
use crate::delayed_call::DelayedCall;
use crate::dial::{Dial, How, Started};
use crate::error::{Error, Result};
use crate::listener::Listener;
use crate::net::Net;
use crate::resolver;
use crate::shed;
use crate::socket::{Listening, Options, OwnOptions, Socket};
use crate::stand_in::StandIn;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// How many connections the kernel holds until they are accepted, unless the options say another number.
pub const BACKLOG: u32 = DEFAULTS.backlog;

/// The options of a dial.
#[derive(Clone, Copy, Debug, Default)]
pub struct DialOptions {
    /// How long it may take. `None`: what the config says. `Some(None)`: as long as the kernel tries.
    pub timeout: Option<Option<Duration>>,
    /// The local address. Port 0: the system chooses.
    pub from: Option<SocketAddr>,
    /// The options of the connection.
    pub own: OwnOptions,
}

/// The options of a listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct BindOptions {
    /// How many connections the kernel holds until they are accepted. 0: [`BACKLOG`].
    pub backlog: u32,
    /// Whether other sockets may bind the same port and share its connections.
    pub reuse_port: bool,
    /// Whether an IPv6 listener refuses IPv4. `None`: the system's choice.
    pub ipv6_only: Option<bool>,
    /// The options of the connections that it accepts.
    pub own: OwnOptions,
}

/// Reports success after `delay`, as `tell` says.
pub fn call(net: &Arc<Net>, delay: Duration, tell: Tell<'_>) -> Result {
    net.check()?;
    DelayedCall::start(net, delay, tell)
}

/// Connects to `address`, and waits. All addresses of a name share the one time limit.
pub fn dial(net: &Arc<Net>, address: &str, options: &DialOptions) -> Result<Connection> {
    match start_dial(net, address, options, Tell::Wait)? {
        Started::Over(socket) => connection::adopt(net, socket.ok_or(Error::PANIC)?), // `Tell::Wait` always gets it
        Started::UnderWay(op) => connection::collect(net, &op),
    }
}

/// The same without waiting. It reports the connection as `tell` says.
pub fn dial_async(net: &Arc<Net>, address: &str, options: &DialOptions, tell: Tell<'_>) -> Result {
    start_dial(net, address, options, tell).map(drop)
}

fn start_dial(net: &Arc<Net>, address: &str, options: &DialOptions, tell: Tell<'_>) -> Result<Started> {
    net.check()?;
    let target = address::parse(address)?;
    let how = How {
        timeout: options.timeout.unwrap_or(net.config.dial_timeout),
        from: options.from,
        of_socket: net.socket_options().with(&options.own),
    };
    Dial::start(net, target, how, tell)
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
    let backlog = if options.backlog == 0 { BACKLOG } else { options.backlog };
    let how = Listening { backlog, reuse_port: options.reuse_port, ipv6_only: options.ipv6_only };
    let of_sockets = net.socket_options().with(&options.own);
    let listen = || {
        let socket = Socket::listen(address, &how, &of_sockets)?;
        let stand_in = StandIn::of(&socket)?;
        Ok((socket, stand_in))
    };
    let mut made = listen();
    for _ in 0..2 {
        // One retry for each of the two descriptors.
        let Err(error) = made else {
            break;
        };
        if in_callback() || net.is_dispatched_here() || !shed::oldest_and_wait(error) {
            shed::oldest(error); // for the next try
            return Err(error);
        }
        made = listen();
    }
    let (socket, stand_in) = made?;
    Listener::open(net, socket, stand_in)
}

/// A listener of the listening socket behind `fd`, by a descriptor of its own. The socket stays as it is until
/// [`take_over_listener`].
pub fn adopt_listener(net: &Arc<Net>, fd: RawFd) -> Result<Arc<Listener>> {
    net.check()?;
    let socket = Socket::adopt(fd, true)?;
    let stand_in = StandIn::of(&socket)?;
    Listener::open(net, socket, stand_in)
}

/// Makes the socket of an adopted listener the library's. On success the caller closes its own descriptor. On failure the
/// caller closes the listener.
pub fn take_over_listener(listener: &Listener, own: &OwnOptions) -> Result {
    listener.take_over(&listener.net().socket_options().with(own))
}

/// A connection of the connected socket behind `fd`, by a descriptor of its own. The socket stays as it is, and the connection
/// is not the net's, until [`take_over_connection`].
pub fn adopt_connection(net: &Arc<Net>, fd: RawFd) -> Result<Connection> {
    net.check()?;
    Ok(connection::halves(net, Arc::new(Socket::adopt(fd, false)?)))
}

/// Makes an adopted connection the net's. On success the caller closes its own descriptor. On failure the caller drops the
/// connection.
pub fn take_over_connection(net: &Arc<Net>, connection: &Connection) -> Result {
    let socket = connection.0.socket();
    socket.take_over(&Options::default())?; // all other options stay
    connection::join(net, connection)?;
    socket.own();
    Ok(())
}
