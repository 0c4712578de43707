//! The configuration of a net.
//!
//! The boundary makes it. Everything that is open on the net reads it. Invariant: it never changes while its net lives.

use crate::logging::Log;
use std::sync::Arc;
use std::time::Duration;

pub use crate::deadlines::DrainTimeout;

/// The configuration of a net. The C header gives the same defaults.
#[derive(Clone)]
pub struct Config {
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
}

impl Default for Config {
    fn default() -> Config {
        Config {
            ring_entries: 256,
            max_operations: 65_536,
            nodelay: Some(true),
            first_try: true,
            keepalive: None,
            send_buffer: 0,
            recv_buffer: 0,
            read_buffer: 64 << 10,
            buffer_max: 1 << 20,
            post_mark: 1 << 20,
            timeout: None,
            dial_timeout: Some(Duration::from_secs(10)),
            close_timeout: Duration::from_secs(30),
            drain_timeout: DrainTimeout::ByBytes,
            linger: Duration::from_secs(2),
            shutdown_timeout: Duration::from_secs(5),
            spin: Duration::from_micros(50),
            send_cpu: None,
            recv_cpu: None,
            log: None,
        }
    }
}
