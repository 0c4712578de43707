//! The configuration of a net.
//!
//! Made by the boundary, read by everything that is open on a net. Invariant: it stays as it is while its net lives.

use crate::logging::Log;
use std::sync::Arc;
use std::time::Duration;

pub use crate::deadlines::DrainTimeout;

/// How a net is to be. The defaults are those of the C header.
#[derive(Clone)]
pub struct Config {
    /// Places in each ring; operations in flight are not bounded by it.
    pub ring_entries: u32,
    /// The most operations in flight, beyond one for each direction of a connection.
    pub max_operations: u32,
    /// TCP_NODELAY; `None` leaves the system's.
    pub nodelay: Option<bool>,
    /// Whether the kernel is asked on the caller's thread before a ring is.
    pub first_try: bool,
    /// The idle time before the first keepalive probe.
    pub keepalive: Option<Duration>,
    /// SO_SNDBUF in bytes; 0 leaves the system's.
    pub send_buffer: usize,
    /// SO_RCVBUF in bytes; 0 leaves the system's.
    pub recv_buffer: usize,
    /// What one receive of the kernel may fill for many small ones, in bytes; 0 is unbuffered.
    pub read_buffer: usize,
    /// The most bytes that a watch or a fill keeps for one connection.
    pub buffer_max: usize,
    /// Posts are accepted while fewer bytes than this are posted and unsent.
    pub post_mark: usize,
    /// How long an operation may take.
    pub timeout: Option<Duration>,
    /// How long a dial may take.
    pub dial_timeout: Option<Duration>,
    /// How long a closing connection may make no progress.
    pub close_timeout: Duration,
    /// How long a closing connection may take to send what was accepted.
    pub drain_timeout: DrainTimeout,
    /// How long a closed connection is kept for a peer that has acknowledged everything and does not close.
    pub linger: Duration,
    /// How long `stop` lets connections close in order.
    pub shutdown_timeout: Duration,
    /// The longest that a blocking receive spins before it sleeps, and the receive loop.
    pub spin: Duration,
    /// The CPU for the send loop's thread.
    pub send_cpu: Option<usize>,
    /// The CPU for the receive loop's thread.
    pub recv_cpu: Option<usize>,
    /// Where what the loops' threads log goes.
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
