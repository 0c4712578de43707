//! What few sockets have: the addresses for the log, a limit without bytes, and who waits for the end of the sending direction.
//!
//! Invariant: a socket has memory for them only after it got one of them. Each is set once.

use super::{EndedHook, Socket};
use crate::deadlines::IdleLimit;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tracing::field::{DisplayValue, display};

/// The place of a socket's extras.
#[derive(Default)]
pub(super) struct Extras(OnceLock<Box<Given>>);

#[derive(Default)]
struct Given {
    ended: OnceLock<EndedHook>,
    ends: OnceLock<Ends>,
    idle: OnceLock<Arc<dyn IdleLimit>>,
}

/// The addresses of a connection, as far as they are known.
#[derive(Clone, Copy)]
struct Ends {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
}

impl Extras {
    fn given(&self) -> &Given {
        self.0.get_or_init(Box::default)
    }
}

impl Socket {
    /// Keeps the addresses for the log. A socket whose connection is over no longer knows its peer. `connection` asks for
    /// this if the log wants lines about connections.
    pub fn keep_ends(&self) {
        self.extras.given().ends.get_or_init(|| self.ask_for_ends());
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
        let kept = self.extras.0.get().and_then(|given| given.ends.get());
        kept.map_or_else(|| self.ask_for_ends(), |ends| *ends)
    }

    fn ask_for_ends(&self) -> Ends {
        Ends { local: self.local(), peer: self.peer() }
    }

    /// The idle limit of the connection, if it ever had one.
    pub fn idle(&self) -> Option<&Arc<dyn IdleLimit>> {
        self.extras.0.get()?.idle.get()
    }

    /// The same, made by `make` if there is none.
    pub fn idle_or(&self, make: impl FnOnce() -> Arc<dyn IdleLimit>) -> &Arc<dyn IdleLimit> {
        self.extras.given().idle.get_or_init(make)
    }

    /// Calls `hook` whenever the sending direction ends, by a FIN or a reset. The linger that takes over from the two halves
    /// sets it. The hook does not run for an earlier end.
    pub fn when_ended(&self, hook: EndedHook) {
        let first = self.extras.given().ended.set(hook);
        debug_assert!(first.is_ok(), "one takes over");
    }

    pub(super) fn tell_ended(&self) {
        if let Some(hook) = self.extras.0.get().and_then(|given| given.ended.get()) {
            hook();
        }
    }
}
