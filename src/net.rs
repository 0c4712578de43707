//! A net: two loops on two threads, and everything that is open on them.
//!
//! The net owns the loops' handles and threads, the members and the counts. Invariant: both loops run until the net has no
//! members.

mod dispatch;
#[cfg(all(test, not(loom)))]
pub mod fixture;
pub mod metrics;
mod operations;
mod stop;

use crate::call_cost;
use crate::callback_thread::in_callback;
use crate::completion::Operation;
use crate::config::Config;
use crate::engine::{EngineKind, Plan, explain, start_for_caller, start_over};
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

/// Counts of what a net does. The header describes each count.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
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
    pub engine: EngineKind,
}

/// Two loops and what is open on them.
pub struct Net {
    /// The configuration that the net was started with.
    pub config: Config,
    /// The loop that sends.
    pub send_loop: Arc<LoopHandle>,
    /// The loop that receives, accepts, connects and runs callbacks.
    pub recv_loop: Arc<LoopHandle>,
    /// What is open on the net.
    pub members: Members,
    /// Connections that no caller has collected yet.
    pub uncollected: Uncollected,
    /// Connections that are open now, including closed ones that drain or linger.
    pub connections: AtomicUsize,
    /// Listeners that are open now.
    pub listeners: AtomicUsize,
    /// Errors of accept after which the listener went on.
    pub accept_errors: AtomicU64,
    /// Closed connections that the library has reset because of the close timeout or the drain timeout.
    pub drains_timed_out: AtomicU64,
    /// Closed connections that the library has ended early because descriptors or memory ran short.
    pub drains_shed: AtomicU64,
    started: Instant,
    engine: EngineKind,
    may_spin: bool,
    operations: Arc<AtomicUsize>,
    unsent: AtomicBool,
    /// The threads that start and stop the net take this lock. No loop takes it. See sync.rs.
    threads: parking_lot::Mutex<Vec<Thread>>,
}

impl Net {
    /// Starts the two loops. When this returns, their engines exist.
    pub fn start(config: Config) -> Result<Arc<Net>> {
        fork::arm();
        if config.by_caller && in_callback() {
            return Err(Error::IN_CALLBACK); // this thread belongs to another net, and could not dispatch this one
        }
        let start = |plan| Net::start_by(plan, config.clone());
        let net = if config.by_caller {
            start_for_caller(config.engine, config.ring_entries, start)
        } else {
            start_over(config.engine, config.ring_entries, start)
        };
        net.map_err(|failure| failure.status())
    }

    fn start_by(plan: Plan, config: Config) -> io::Result<Arc<Net>> {
        let send_loop = LoopHandle::new().map_err(Error::to_io)?;
        let recv_loop = LoopHandle::new().map_err(Error::to_io)?;
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
            engine: plan.kind(),
            may_spin: allowed_cpus() > 1,
            operations: Arc::new(AtomicUsize::new(0)),
            unsent: AtomicBool::new(false),
            threads: parking_lot::Mutex::new(Vec::new()),
            config,
        });
        net.start_loops(plan)?;
        Ok(net)
    }

    /// Starts both loops or neither.
    fn start_loops(self: &Arc<Self>, plan: Plan) -> io::Result<()> {
        self.start_loop(plan, false)?;
        self.start_loop(plan, true).inspect_err(|_| self.end_loops(|| ()))
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
            refusal: plan.refusal().filter(|_| receives).map(explain),
            receives,
            round_sends: if receives && self.config.first_try {
                call_cost::least_for_entries()
            } else {
                None
            },
            // With the first try on, the send loop gets only sends that met a full socket. Many bytes go out before them.
            // Without SCHED_BATCH, each socket with room again would make the send loop preempt the receive loop. On one CPU
            // the two loops would then alternate, and neither would finish its work first.
            sched_batch: !receives && self.config.first_try,
            cpu: if receives { self.config.recv_cpu } else { self.config.send_cpu },
            log: self.config.log.clone(),
            // Without the first try, each message passes between the loops, and both need their CPUs.
            spin: if receives && self.config.first_try { self.spin() } else { Duration::ZERO },
            died: Box::new(move || {
                if let Some(net) = net.upgrade() {
                    net.members.die();
                    net.recv_loop.stay_readable();
                }
            }),
        };
        if receives && self.config.by_caller {
            return self.start_here(setup);
        }
        self.threads.lock().push(EventLoop::start(handle, setup)?);
        Ok(())
    }

    /// When the net was started: a past moment that costs no call of the clock.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Why this net refuses work: it stops, or one of its loops died. `None`: it accepts work.
    pub fn refusal(&self) -> Option<Error> {
        self.members.refusal()
    }

    /// Returns the refusal as an error, if there is one.
    pub fn check(&self) -> Result {
        self.refusal().map_or(Ok(()), Err)
    }

    /// How long a blocking receive or the receive loop may spin. Zero if the process may use only one CPU.
    pub fn spin(&self) -> Duration {
        if self.may_spin { self.config.spin } else { Duration::ZERO }
    }

    /// The options of every socket of this net.
    pub fn socket_options(&self) -> Options {
        Options {
            nodelay: self.config.nodelay,
            keepalive: self.config.keepalive,
            send_buffer: self.config.send_buffer,
            recv_buffer: self.config.recv_buffer,
        }
    }

    /// Ends everything; see the header's `net_stop`. TIMEOUT: sends were cut. Later callers get the same result.
    pub fn stop(&self) -> Result {
        if in_callback() {
            return Err(Error::IN_CALLBACK);
        }
        if !self.members.begin_stop() {
            return self.wait_until_stopped();
        }
        self.carry_out_stop(None)
    }

    /// The stop that this thread has begun. `last` completes when the net has nothing else to report.
    fn carry_out_stop(&self, last: Option<Arc<Operation>>) -> Result {
        self.members.stop(Stop::Work);
        self.members.stop(Stop::Connections);
        if !self.wait_until_empty(self.config.shutdown_timeout) {
            self.members.stop(Stop::Now(Error::STOPPED));
            self.wait_until_empty(Duration::MAX);
        }
        let result = || if self.unsent.load(Ordering::Acquire) { Err(Error::TIMEOUT) } else { Ok(()) };
        self.end_loops(|| {
            if let Some(last) = last {
                last.complete(result(), 0);
            }
        });
        self.uncollected.revoke();
        self.members.end_stop(result());
        result()
    }

    fn wait_until_empty(&self, timeout: Duration) -> bool {
        if self.is_dispatched_here() {
            return self.dispatch_until(|| self.members.are_gone(), timeout);
        }
        self.members.wait_until_empty(timeout)
    }

    fn wait_until_stopped(&self) -> Result {
        if self.is_dispatched_here() {
            self.dispatch_until(|| self.members.stopped().is_some(), Duration::MAX);
        }
        self.members.wait_until_stopped()
    }

    /// A member has cut sends because the net stops. The stop returns TIMEOUT.
    pub fn sends_were_cut(&self) {
        self.unsent.store(true, Ordering::Release);
    }

    /// Ends the send loop first, because its last completions are mail for the receive loop. `last` posts what comes after
    /// them.
    fn end_loops(&self, last: impl FnOnce()) {
        let mut threads = std::mem::take(&mut *self.threads.lock()).into_iter();
        let end = |handle: &LoopHandle, thread: Option<Thread>| {
            if let Some(thread) = thread {
                handle.quit();
                thread.join();
            }
        };
        end(&self.send_loop, threads.next());
        last();
        end(&self.recv_loop, threads.next());
        if self.recv_loop.is_by_caller() {
            self.recv_loop.quit();
            if self.is_dispatched_here() {
                self.dispatch_until(|| false, Duration::MAX);
            }
            self.recv_loop.wait_until_ended();
        }
    }

    /// What the net has done so far, and what is open now.
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
            engine: self.engine,
        }
    }
}

impl Drop for Net {
    /// Each member owns the net. Therefore a net that drops has no members.
    fn drop(&mut self) {
        self.send_loop.quit();
        self.recv_loop.quit();
    }
}

/// How many CPUs this process may use, by its affinity mask and its cgroup's quota.
fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
