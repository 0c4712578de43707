//! The configuration of a net.
//!
//! The boundary makes it. Everything that is open on the net reads it. Invariant: it never changes while its net lives.

use crate::defaults::DEFAULTS;
use crate::engine::EngineKind;
use crate::logging::{self, Log};
use std::sync::Arc;
use std::time::Duration;

pub use crate::deadlines::DrainTimeout;

/// The configuration of a net. Its defaults are those of [`DEFAULTS`].
#[derive(Clone)]
pub struct Config {
    /// What the loops wait by. `None`: what the environment names, else io_uring if the system allows it, else epoll.
    pub engine: Option<EngineKind>,
    /// Places in each ring. They do not bound the operations in flight.
    pub ring_entries: u32,
    /// Largest number of operations in flight. One for each direction of a connection does not count.
    pub max_operations: u32,
    /// TCP_NODELAY. `None`: the system's value.
    pub nodelay: Option<bool>,
    /// Whether the caller's thread tries a system call before it uses a ring.
    pub first_try: bool,
    /// The idle time before the first keepalive probe.
    pub keepalive: Option<Duration>,
    /// SO_SNDBUF in bytes. 0: the system's value.
    pub send_buffer: usize,
    /// SO_RCVBUF in bytes. 0: the system's value.
    pub recv_buffer: usize,
    /// Size of a stream's read buffer in bytes. Smaller receives come from the buffer. 0: no buffer.
    pub read_buffer: usize,
    /// Largest number of bytes that a watch or a fill keeps for one connection.
    pub buffer_max: usize,
    /// A sink accepts posts while fewer bytes than this are posted and unsent.
    pub post_mark: usize,
    /// How long an operation may take.
    pub timeout: Option<Duration>,
    /// How long a connection may go without a byte in either direction.
    pub idle_timeout: Option<Duration>,
    /// How long a dial may take.
    pub dial_timeout: Option<Duration>,
    /// How long a closing connection may go without progress.
    pub close_timeout: Duration,
    /// How long a closing connection may take to send what the sink has accepted.
    pub drain_timeout: DrainTimeout,
    /// How long the library keeps a closed connection whose peer has acknowledged everything and does not close.
    pub linger: Duration,
    /// How long `stop` gives connections to close in order.
    pub shutdown_timeout: Duration,
    /// Longest time that a blocking receive, or the receive loop, spins before it sleeps.
    pub spin: Duration,
    /// The CPU for the send loop's thread.
    pub send_cpu: Option<usize>,
    /// The CPU for the receive loop's thread.
    pub recv_cpu: Option<usize>,
    /// Gets what the loops' threads log.
    pub log: Option<Arc<dyn Log>>,
    /// Whether the thread that starts the net runs the receive loop, turn by turn. The net has no receive thread then.
    pub by_caller: bool,
}

impl Config {
    /// Whether the log wants the lines about single connections.
    pub fn logs_details(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.most() >= logging::DEBUG)
    }
}

impl Default for Config {
    fn default() -> Config {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        Config {
            engine: None,
            ring_entries: DEFAULTS.ring_entries,
            max_operations: DEFAULTS.max_operations,
            nodelay: Some(DEFAULTS.nodelay),
            first_try: DEFAULTS.first_try,
            keepalive: None,
            send_buffer: 0,
            recv_buffer: 0,
            read_buffer: DEFAULTS.read_buffer,
            buffer_max: DEFAULTS.buffer_max,
            post_mark: DEFAULTS.post_mark,
            timeout: None,
            idle_timeout: None,
            dial_timeout: Some(ms(DEFAULTS.dial_timeout_ms)),
            close_timeout: ms(DEFAULTS.close_timeout_ms),
            drain_timeout: DrainTimeout::ByBytes,
            linger: ms(DEFAULTS.linger_ms),
            shutdown_timeout: ms(DEFAULTS.shutdown_timeout_ms),
            spin: Duration::from_micros(DEFAULTS.spin_us.into()),
            send_cpu: None,
            recv_cpu: None,
            log: None,
            by_caller: false,
        }
    }
}
