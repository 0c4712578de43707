//! A net: two loops on two threads, and everything that is open on them.
//!
//! Owns the loops' outsides, the members and the counts. Invariant: both loops run until the net has no members.

#[cfg(all(test, not(loom)))]
pub mod fixture;
mod operations;

use crate::callback_thread::in_callback;
use crate::config::Config;
use crate::engine::{Plan, status_of_start};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, LoopHandle, Setup};
use crate::fork;
use crate::members::{Members, Stop};
use crate::socket::Options;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::threads::Thread;
use crate::uncollected::Uncollected;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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
    /// Connections that wait for their collector.
    pub uncollected: Uncollected,
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
            uncollected: Uncollected::new(),
            connections: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            accept_errors: AtomicU64::new(0),
            drains_timed_out: AtomicU64::new(0),
            drains_shed: AtomicU64::new(0),
            started: Instant::now(),
            may_spin: allowed_cpus() > 1,
            operations: Arc::new(AtomicUsize::new(0)),
            unsent: AtomicBool::new(false),
            threads: parking_lot::Mutex::new(Vec::new()),
            config,
        });
        net.start_loops().map_err(|error| status_of_start(&error))?;
        Ok(net)
    }

    /// Both or none.
    fn start_loops(self: &Arc<Self>) -> io::Result<()> {
        let plan = Plan::new(self.config.ring_entries);
        self.start_loop(plan, false)?;
        self.start_loop(plan, true).inspect_err(|_| self.end_loops())
    }

    fn start_loop(self: &Arc<Self>, plan: Plan, receives: bool) -> io::Result<()> {
        let (handle, name) = if receives {
            (&self.recv_loop, c"iouringnet-recv")
        } else {
            (&self.send_loop, c"iouringnet-send")
        };
        let net: Weak<Net> = Arc::downgrade(self);
        let setup = Setup {
            name,
            plan,
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
        self.uncollected.revoke();
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
