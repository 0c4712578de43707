//! The addresses of a connection, for lines of the log.
//!
//! A socket whose connection is over no longer knows its peer. Therefore `connection` keeps the addresses of each new
//! connection if the log wants lines about connections. Invariant: without such a log, nothing is kept.

use super::Socket;
use std::net::SocketAddr;
use std::sync::OnceLock;
use tracing::field::{DisplayValue, display};

/// The addresses that a socket has kept.
#[derive(Default)]
pub(super) struct KeptEnds(OnceLock<Box<Ends>>);

/// The two addresses, as far as they are known.
#[derive(Clone, Copy)]
struct Ends {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
}

impl Socket {
    /// Keeps the addresses for the log.
    pub fn keep_ends(&self) {
        self.ends.0.get_or_init(|| Box::new(self.ask_for_ends()));
    }

    /// The local address, for a line of the log.
    pub fn local_to_log(&self) -> Option<DisplayValue<SocketAddr>> {
        self.ends().local.map(display)
    }

    /// The peer's address, for a line of the log.
    pub fn peer_to_log(&self) -> Option<DisplayValue<SocketAddr>> {
        self.ends().peer.map(display)
    }

    fn ends(&self) -> Ends {
        self.ends.0.get().map_or_else(|| self.ask_for_ends(), |ends| **ends)
    }

    fn ask_for_ends(&self) -> Ends {
        Ends { local: self.local(), peer: self.peer() }
    }
}
