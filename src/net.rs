//! A net: two loops on two threads, and everything that is open on them.
//!
//! Owns the loops' outsides, the configuration, the members and the count of operations in flight. Invariant: both loops run
//! until the net has no members.

#[cfg(all(test, not(loom)))]
pub mod fixture;

use crate::availability::status_of_start;
use crate::callback_thread::in_callback;
use crate::completion::{Accepted, Begun, Callback, Finished, Operation, Outcome, Target, Tell};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, LoopHandle, Setup};
use crate::fork;
use crate::logging::Log;
use crate::members::{Members, Stop};
use crate::permits::Permit;
use crate::ring::Features;
use crate::ring_size::RingSize;
use crate::socket::{Half, Options, Socket};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::threads::Thread;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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

/// Counts of what a net does; the header describes each.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub send_enters: u64,
    pub send_entries: u64,
    pub send_completions: u64,
    pub send_wakes: u64,
    pub recv_enters: u64,
    pub recv_entries: u64,
    pub recv_completions: u64,
    pub recv_wakes: u64,
    pub callbacks: u64,
    pub connections: u64,
    pub listeners: u64,
    pub operations: u64,
    pub accept_errors: u64,
    pub drains_timed_out: u64,
    pub drains_shed: u64,
}

/// Two loops and what is open on them.
pub struct Net {
    /// What it was started with.
    pub config: Config,
    /// The loop of everything that sends.
    pub send_loop: Arc<LoopHandle>,
    /// The loop of everything that receives, accepts, connects and runs callbacks.
    pub recv_loop: Arc<LoopHandle>,
    /// What is open on it.
    pub members: Members,
    /// Connections open now, draining ones included.
    pub connections: AtomicUsize,
    /// Listeners open now.
    pub listeners: AtomicUsize,
    /// Errors of accept that were passed over.
    pub accept_errors: AtomicU64,
    /// Closed connections that a close or drain timeout has reset.
    pub drains_timed_out: AtomicU64,
    /// Closed connections that have ended early for want of descriptors or memory.
    pub drains_shed: AtomicU64,
    started: Instant,
    may_spin: bool,
    operations: Arc<AtomicUsize>,
    uncollected: Mutex<Vec<Weak<Operation>>>,
    unsent: AtomicBool,
    /// Locked by those who start and stop the net, and by no loop; see sync.rs.
    threads: parking_lot::Mutex<Vec<Thread>>,
}

impl Net {
    /// Starts the two loops. When this returns, their rings exist.
    pub fn start(config: Config) -> Result<Arc<Net>> {
        fork::arm();
        let send_loop = LoopHandle::new()?;
        let recv_loop = LoopHandle::new()?;
        let net = Arc::new(Net {
            send_loop,
            recv_loop,
            members: Members::new(),
            connections: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            accept_errors: AtomicU64::new(0),
            drains_timed_out: AtomicU64::new(0),
            drains_shed: AtomicU64::new(0),
            started: Instant::now(),
            may_spin: allowed_cpus() > 1,
            operations: Arc::new(AtomicUsize::new(0)),
            uncollected: Mutex::new(Vec::new()),
            unsent: AtomicBool::new(false),
            threads: parking_lot::Mutex::new(Vec::new()),
            config,
        });
        net.start_loops().map_err(|error| status_of_start(&error))?;
        Ok(net)
    }

    /// Both or none.
    fn start_loops(self: &Arc<Self>) -> io::Result<()> {
        let size = RingSize::new(self.config.ring_entries);
        self.start_loop(size, false)?;
        self.start_loop(size, true).inspect_err(|_| self.end_loops())
    }

    fn start_loop(self: &Arc<Self>, size: RingSize, receives: bool) -> io::Result<()> {
        let (handle, name) = if receives {
            (&self.recv_loop, c"iouringnet-recv")
        } else {
            (&self.send_loop, c"iouringnet-send")
        };
        let net: Weak<Net> = Arc::downgrade(self);
        let setup = Setup {
            name,
            size,
            features: Features::wanted(),
            receives,
            // With the first try on, what is handed to the send loop has met a full socket, with much to be sent before it. If it
            // interrupted the receive loop for each socket that has room again, the two would take turns on one CPU, instead
            // of each finishing what there is.
            sched_batch: !receives && self.config.first_try,
            cpu: if receives { self.config.recv_cpu } else { self.config.send_cpu },
            log: self.config.log.clone(),
            // Loops that hand each message on need both processors.
            spin: if receives && self.config.first_try { self.spin() } else { Duration::ZERO },
            died: Box::new(move || {
                if let Some(net) = net.upgrade() {
                    net.members.die();
                }
            }),
        };
        let (thread, _features) = EventLoop::start(handle, setup)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// When it was started: a moment in the past that is to be had without asking for the time.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Why this net takes no more work, if so: it stops, or a loop of it died.
    pub fn refusal(&self) -> Option<Error> {
        self.members.refusal()
    }

    /// Refuses work for a net that takes none.
    pub fn check(&self) -> Result {
        self.refusal().map_or(Ok(()), Err)
    }

    /// A new operation of this net.
    pub fn operation(self: &Arc<Self>, callback: Option<Callback>) -> Arc<Operation> {
        Operation::new(Arc::clone(&self.recv_loop) as _, callback)
    }

    /// The operation of what is not over at once.
    pub fn operation_for(self: &Arc<Self>, tell: Tell<'_>) -> Arc<Operation> {
        match tell {
            Tell::Wait => self.operation(None),
            Tell::By(op) => Arc::clone(op),
            Tell::Call(callback) => self.operation(Some(callback)),
        }
    }

    /// A place among the operations in flight; LIMIT when there is none.
    pub fn permit(&self) -> Result<Permit> {
        Permit::counted(&self.operations, self.config.max_operations as usize)
    }

    /// The same for one direction of a connection, which has one place of its own.
    pub fn permit_for(&self, socket: &Arc<Socket>, half: Half) -> Result<Permit> {
        Permit::embedded(socket, half).map_or_else(|| self.permit(), Ok)
    }

    /// Accepts a send or receive, which [`Net::over_at_once`] or [`Net::queued`] gets next. LIMIT if there is no place.
    #[inline]
    pub fn accept_work<'a>(
        &self,
        tell: Tell<'a>,
        socket: &Arc<Socket>,
        half: Half,
        target: impl FnOnce() -> Weak<dyn Target>,
    ) -> Result<Accepted<'a>> {
        Ok(match tell {
            Tell::Wait => Accepted::Wait,
            Tell::By(op) => {
                op.accept(self.permit_for(socket, half)?, target());
                Accepted::By(op)
            }
            Tell::Call(callback) => Accepted::Call(callback, self.permit_for(socket, half)?),
        })
    }

    /// Tells the end of what needs no queue.
    #[inline]
    pub fn over_at_once(&self, accepted: Accepted<'_>, result: Result, bytes: usize) -> Begun {
        let outcome = Outcome { result, bytes };
        match accepted {
            Accepted::Wait => {}
            Accepted::By(op) => op.complete(result, bytes),
            Accepted::Call(callback, permit) => {
                self.recv_loop.post_finished(Finished { callback, outcome, connection: None, permit });
            }
        }
        Begun::Finished(outcome)
    }

    /// The operation of what has to be queued. LIMIT where its caller waits and there is no place, unless it has `begun`,
    /// by moving bytes or by waiting: then it has to go on, and is one more than the bound.
    pub fn queued(
        self: &Arc<Self>,
        accepted: Accepted<'_>,
        socket: &Arc<Socket>,
        half: Half,
        target: Weak<dyn Target>,
        begun: bool,
    ) -> Result<Arc<Operation>> {
        let (op, permit) = match accepted {
            Accepted::By(op) => return Ok(Arc::clone(op)),
            Accepted::Call(callback, permit) => (self.operation(Some(callback)), Ok(permit)),
            Accepted::Wait => (self.operation(None), self.permit_for(socket, half)),
        };
        match permit {
            Ok(permit) => op.accept(permit, target),
            Err(error) if !begun => return Err(error),
            Err(_) => {}
        }
        Ok(op)
    }

    /// How long a blocking receive may spin, and the receive loop; zero where only one CPU is allowed.
    pub fn spin(&self) -> Duration {
        if self.may_spin { self.config.spin } else { Duration::ZERO }
    }

    /// What every socket of this net is set to.
    pub fn socket_options(&self) -> Options {
        Options {
            nodelay: self.config.nodelay,
            keepalive: self.config.keepalive,
            send_buffer: self.config.send_buffer,
            recv_buffer: self.config.recv_buffer,
        }
    }

    /// Completes `op` with a connection, or with why there is none. One that has no callback waits for its collector, and a
    /// stop closes it.
    pub fn complete_connection(&self, op: &Arc<Operation>, result: Result<Arc<Socket>>) {
        if !op.complete_connection(result) {
            return;
        }
        let mut uncollected = self.uncollected.lock();
        if uncollected.len() == uncollected.capacity() {
            let waits = |op: &Weak<Operation>| op.upgrade().is_some_and(|op| op.has_connection());
            uncollected.retain(waits);
        }
        uncollected.push(Arc::downgrade(op));
    }

    /// Ends everything; see the header's `net_stop`. TIMEOUT if sends were cut. Further callers get the same result.
    pub fn stop(&self) -> Result {
        if in_callback() {
            return Err(Error::IN_CALLBACK);
        }
        if let Some(result) = self.members.begin_stop() {
            return result;
        }
        self.members.stop(Stop::Work);
        self.members.stop(Stop::Connections);
        if !self.members.wait_until_empty(self.config.shutdown_timeout) {
            self.members.stop(Stop::Now(Error::STOPPED));
            self.members.wait_until_empty(Duration::MAX);
        }
        self.end_loops();
        let uncollected = std::mem::take(&mut *self.uncollected.lock());
        for op in uncollected.iter().filter_map(Weak::upgrade).filter(|op| op.has_connection()) {
            op.revoke_connection();
        }

        let result = if self.unsent.load(Ordering::Acquire) { Err(Error::TIMEOUT) } else { Ok(()) };
        self.members.end_stop(result);
        result
    }

    /// A member had to cut sends that the shutdown timeout left no time for.
    pub fn sends_were_cut(&self) {
        self.unsent.store(true, Ordering::Release);
    }

    /// The send loop first: its last completions are mail for the receive loop.
    fn end_loops(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for (thread, handle) in threads.into_iter().zip([&self.send_loop, &self.recv_loop]) {
            handle.quit();
            thread.join();
        }
    }

    /// What the net has done so far, and what is open.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as u64;
        let (send, recv) = (&self.send_loop.counters, &self.recv_loop.counters);
        Stats {
            send_enters: read(&send.enters),
            send_entries: read(&send.entries),
            send_completions: read(&send.completions),
            send_wakes: read(&send.wakes),
            recv_enters: read(&recv.enters),
            recv_entries: read(&recv.entries),
            recv_completions: read(&recv.completions),
            recv_wakes: read(&recv.wakes),
            callbacks: read(&recv.callbacks),
            connections: count(&self.connections),
            listeners: count(&self.listeners),
            operations: count(&self.operations),
            accept_errors: read(&self.accept_errors),
            drains_timed_out: read(&self.drains_timed_out),
            drains_shed: read(&self.drains_shed),
        }
    }
}

impl Drop for Net {
    /// The last owner is gone, so there are no members either: each of them owns the net.
    fn drop(&mut self) {
        self.send_loop.quit();
        self.recv_loop.quit();
    }
}

/// The CPUs that this process may use, by its affinity mask and its cgroup's quota.
fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
