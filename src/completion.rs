//! One operation's result, delivered once: to a callback on the receive loop, or to the waiters.
//!
//! An [`Operation`] is made when work is queued, or accepted with an op. The handle that serves it, its waiters and the op
//! that C holds share it. Invariant: [`Operation::complete`] takes effect once. A callback runs exactly once, on the
//! outbox's callback thread, and with no lock held.

use crate::error::{Error, Result};
use crate::permits::Permit;
use crate::socket::Socket;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Success or an error.
    pub result: Result,
    /// Bytes transferred, also if `result` is an error.
    pub bytes: usize,
}

impl Outcome {
    /// The outcome of an operation that moves no bytes.
    pub fn without_bytes<T>(result: &Result<T>) -> Outcome {
        Outcome { result: result.as_ref().map(drop).map_err(|error| *error), bytes: 0 }
    }

    /// The same outcome. Exception: an operation that failed after `cause` had ended its handle gets `cause`, because the
    /// kernel's error only follows from that end.
    pub fn ended_by(self, cause: Option<Error>) -> Outcome {
        match (self.result, cause) {
            (Err(_), Some(cause)) => Outcome { result: Err(cause), ..self },
            _ => self,
        }
    }
}

/// What a callback gets.
pub struct Done {
    /// How the operation ended.
    pub outcome: Outcome,
    /// The connection that a dial or an accept has made. The callback owns it.
    pub connection: Option<Arc<Socket>>,
}

/// Runs once on the receive loop's thread.
pub type Callback = Box<dyn FnOnce(Done) + Send>;

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The operation is done. If it has a callback, the callback has returned, or it is the caller of the wait.
    Done(Outcome),
    /// The time passed before the operation was done.
    Pending,
    /// The operation was released meanwhile.
    Released,
}

/// Gets completed operations that have a callback.
pub trait Outbox: Send + Sync {
    /// Makes the callback thread call [`Operation::run_callback`].
    fn deliver(&self, operation: Arc<Operation>);
    /// Whether the caller runs on the callback thread, and therefore inside a callback.
    fn runs_here(&self) -> bool;
}

/// The handle that serves an operation.
pub trait Target: Send + Sync {
    /// A caller has cancelled an operation of this handle. The handle looks which.
    fn cancel_requested(self: Arc<Self>);
}

/// An operation that was over at once and has only a callback, which is still to run.
pub struct Finished {
    /// Runs once, on the thread of the loop that gets this as mail.
    pub callback: Callback,
    /// How the operation ended.
    pub outcome: Outcome,
    /// The connection that the operation made.
    pub connection: Option<Arc<Socket>>,
    /// The operation's place among those in flight. The callback begins after it is given back.
    pub permit: Permit,
}

impl Finished {
    /// Runs the callback.
    pub fn run_callback(mut self) {
        drop(self.permit.give_back()); // before the callback, as in `Operation::run_callback`
        (self.callback)(Done { outcome: self.outcome, connection: self.connection });
    }
}

/// How the caller that begins an operation learns its end.
pub enum Tell<'a> {
    /// The caller waits for it.
    Wait,
    /// By an op, through which threads may wait or cancel.
    By(&'a Arc<Operation>),
    /// By a callback alone. An [`Operation`] is made only if the end does not come at once.
    Call(Callback),
}

/// The [`Tell`] of an accepted operation.
pub enum Accepted<'a> {
    /// The caller waits. It needs a place among the operations in flight only when its work is queued.
    Wait,
    /// The op, which has its place.
    By(&'a Arc<Operation>),
    /// The callback and its place.
    Call(Callback, Permit),
}

/// What became of an operation that was begun.
pub enum Begun {
    /// It is over, and its end is reported.
    Finished(Outcome),
    /// It is under way. The operation reports its end.
    Queued(Arc<Operation>),
}

/// One accepted operation.
pub struct Operation {
    /// Whether the receive loop's mailbox lists it, for its callback.
    pub listed: AtomicBool,
    outbox: Arc<dyn Outbox>,
    cancelled: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Being served.
    Pending,
    /// It is complete, and its callback has not begun yet.
    Queued,
    /// Its callback runs.
    Running,
    /// Over.
    Done,
}

struct State {
    phase: Phase,
    outcome: Outcome,
    callback: Option<Callback>,
    connection: Option<Arc<Socket>>,
    target: Option<Weak<dyn Target>>,
    permit: Option<Permit>,
    released: bool,
    waiters: u32,
}

impl Operation {
    /// A new operation. `callback`, if there is one, gets its result.
    pub fn new(outbox: Arc<dyn Outbox>, callback: Option<Callback>) -> Arc<Operation> {
        let outcome = Outcome { result: Err(Error::PENDING), bytes: 0 };
        Arc::new(Operation {
            listed: AtomicBool::new(false),
            outbox,
            cancelled: AtomicBool::new(false),
            state: Mutex::new(State {
                phase: Phase::Pending,
                outcome,
                callback,
                connection: None,
                target: None,
                permit: None,
                released: false,
                waiters: 0,
            }),
            changed: Condvar::new(),
        })
    }

    /// Accepts the operation. It owns `permit` until its end, and a cancellation calls `target`.
    pub fn accept(&self, permit: Permit, target: Weak<dyn Target>) {
        let mut state = self.state.lock();
        state.permit = Some(permit);
        state.target = Some(target);
    }

    /// Delivers the result. Only the first call counts.
    pub fn complete(self: &Arc<Self>, result: Result, bytes: usize) {
        self.finish(Outcome { result, bytes }, None);
    }

    /// The same for an operation that makes a connection. True: there is no callback, and the connection waits for its
    /// collector.
    pub fn complete_connection(self: &Arc<Self>, result: Result<Arc<Socket>>) -> bool {
        self.finish(Outcome::without_bytes(&result), result.ok())
    }

    fn finish(self: &Arc<Self>, outcome: Outcome, connection: Option<Arc<Socket>>) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Pending {
            debug_assert!(false, "an operation completes once");
            return false;
        }
        state.outcome = outcome;
        state.connection = connection;
        if state.callback.is_some() {
            state.phase = Phase::Queued;
            drop(state);
            self.outbox.deliver(Arc::clone(self));
            return false;
        }
        let waits = state.connection.is_some();
        self.over(state);
        waits
    }

    /// Runs the callback. The callback thread calls this once, when the operation comes as mail.
    pub fn run_callback(&self) {
        let mut state = self.state.lock();
        let Some(callback) = state.callback.take() else {
            return;
        };
        state.phase = Phase::Running;
        let done = Done { outcome: state.outcome, connection: state.connection.take() };
        // Before the callback, because the callback usually begins the next operation.
        let socket = state.permit.as_mut().and_then(Permit::give_back);
        drop(state);
        drop(socket);
        callback(done);
        self.over(self.state.lock());
    }

    fn over(&self, mut state: MutexGuard<'_, State>) {
        state.phase = Phase::Done;
        // Before the waiters wake up, because their next operation needs the place.
        let socket = state.permit.as_mut().and_then(Permit::give_back);
        let target = state.target.take();
        if state.waiters > 0 {
            self.changed.notify_all();
        }
        drop(state);
        drop((socket, target));
    }

    /// Waits until the operation is over, at most for `timeout`. `None`: no limit.
    pub fn wait(&self, timeout: Option<Duration>) -> Waited {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        loop {
            if state.released {
                return Waited::Released;
            }
            // The operation's own callback has the result already, and may ask for it again.
            if state.phase == Phase::Done || (state.phase == Phase::Running && self.outbox.runs_here()) {
                return Waited::Done(state.outcome);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Waited::Pending;
            }
            state.waiters += 1;
            match left {
                Some(left) => {
                    state = self.changed.wait_timeout(state, left).0;
                }
                None => state = self.changed.wait(state),
            }
            state.waiters -= 1;
        }
    }

    /// Waits without a limit. Only the caller can release the operation.
    pub fn outcome(&self) -> Outcome {
        match self.wait(None) {
            Waited::Done(outcome) => outcome,
            // Not reached: no op exists through which to release it, and the wait has no limit.
            Waited::Pending | Waited::Released => Outcome { result: Err(Error::PANIC), bytes: 0 },
        }
    }

    /// The connection that the operation made, for its first collector. `None`: a callback or a collector has taken it.
    pub fn take_connection(&self) -> Option<Arc<Socket>> {
        self.state.lock().connection.take()
    }

    /// Whether a connection waits for its collector.
    pub fn has_connection(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    /// The net has stopped. The uncollected connection closes, and the operation's result becomes STOPPED, also for a
    /// collector that comes too late.
    pub fn revoke_connection(&self) {
        let mut state = self.state.lock();
        state.outcome.result = Err(Error::STOPPED);
        let connection = state.connection.take();
        drop(state);
        drop(connection);
    }

    /// Cancels the operation. It may still succeed.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release); // pairs with `is_cancelled`
        let target = self.state.lock().target.clone();
        if let Some(target) = target.and_then(|target| target.upgrade()) {
            target.cancel_requested();
        }
    }

    /// Whether a caller has cancelled the operation.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) // pairs with `cancel`
    }

    /// Releases the operation. An uncollected connection closes, and waiters get [`Waited::Released`]. BUSY: the operation
    /// is unfinished and has no callback, so its result would be lost.
    pub fn release(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase == Phase::Pending && state.callback.is_none() {
            return Err(Error::BUSY);
        }
        state.released = true;
        // A callback that has not begun gets the connection. Without a callback, the connection was for a collector.
        let unclaimed = match state.phase {
            Phase::Done => state.connection.take(),
            Phase::Pending | Phase::Queued | Phase::Running => None,
        };
        if state.waiters > 0 {
            self.changed.notify_all();
        }
        drop(state);
        drop(unclaimed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outbox that runs callbacks where they are delivered.
    struct AtOnce;

    impl Outbox for AtOnce {
        fn deliver(&self, operation: Arc<Operation>) {
            operation.run_callback();
        }

        fn runs_here(&self) -> bool {
            false
        }
    }

    #[cfg(not(loom))]
    mod alone {
        use super::*;

        #[test]
        fn a_result_is_kept_until_the_release() {
            let operation = Operation::new(Arc::new(AtOnce), None);
            assert_eq!(operation.wait(Some(Duration::ZERO)), Waited::Pending);
            assert_eq!(operation.release(), Err(Error::BUSY), "nobody would ever hear of it");
            operation.complete(Err(Error::EOF), 3);
            let outcome = Outcome { result: Err(Error::EOF), bytes: 3 };
            assert_eq!(operation.wait(None), Waited::Done(outcome));
            assert_eq!(operation.wait(Some(Duration::from_secs(1))), Waited::Done(outcome));
            assert_eq!(operation.release(), Ok(()));
            assert_eq!(operation.wait(None), Waited::Released);
        }
    }

    #[cfg(loom)]
    mod loom_tests {
        use super::*;
        use crate::sync::atomic::{AtomicU32, AtomicUsize};
        use loom::thread;

        /// A completion races with a waiter that is about to sleep. The waiter always wakes up with the result.
        #[test]
        fn a_waiter_always_wakes() {
            loom::model(|| {
                let operation = Operation::new(Arc::new(AtOnce), None);
                let waiter = {
                    let operation = Arc::clone(&operation);
                    thread::spawn(move || operation.wait(None))
                };
                operation.complete(Ok(()), 7);
                let outcome = Outcome { result: Ok(()), bytes: 7 };
                assert_eq!(waiter.join().unwrap(), Waited::Done(outcome));
            });
        }

        /// A release races with a waiter. The waiter always returns, whichever comes first.
        #[test]
        fn a_release_wakes_waiters() {
            loom::model(|| {
                let operation = Operation::new(Arc::new(AtOnce), Some(Box::new(|_| {})));
                let waiter = {
                    let operation = Arc::clone(&operation);
                    thread::spawn(move || operation.wait(None))
                };
                let finisher = {
                    let operation = Arc::clone(&operation);
                    thread::spawn(move || operation.complete(Ok(()), 1))
                };
                assert_eq!(operation.release(), Ok(()), "a callback is to tell the result");
                let outcome = Outcome { result: Ok(()), bytes: 1 };
                let waited = waiter.join().unwrap();
                assert!(waited == Waited::Released || waited == Waited::Done(outcome), "{waited:?}");
                finisher.join().unwrap();
            });
        }

        /// The callback runs once. A waiter gets "done" only after the callback has returned.
        #[test]
        fn a_waiter_comes_after_the_callback() {
            loom::model(|| {
                let ran = Arc::new(AtomicU32::new(0));
                let counter = Arc::clone(&ran);
                let callback: Callback = Box::new(move |_| {
                    counter.fetch_add(1, Ordering::Relaxed);
                });
                let operation = Operation::new(Arc::new(AtOnce), Some(callback));
                let finisher = {
                    let operation = Arc::clone(&operation);
                    thread::spawn(move || operation.complete(Ok(()), 0))
                };
                let waited = operation.wait(None);
                assert_eq!(waited, Waited::Done(Outcome { result: Ok(()), bytes: 0 }));
                assert_eq!(ran.load(Ordering::Relaxed), 1);
                finisher.join().unwrap();
            });
        }

        /// A cancellation races with the acceptance. The target learns it, or `is_cancelled` says so.
        #[test]
        fn a_cancellation_is_never_missed() {
            struct Handle(AtomicBool);
            impl Target for Handle {
                fn cancel_requested(self: Arc<Self>) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            loom::model(|| {
                let handle = Arc::new(Handle(AtomicBool::new(false)));
                let operation = Operation::new(Arc::new(AtOnce), None);
                let canceller = {
                    let operation = Arc::clone(&operation);
                    thread::spawn(move || operation.cancel())
                };
                let target: Weak<Handle> = Arc::downgrade(&handle);
                let count = Arc::new(AtomicUsize::new(0));
                operation.accept(Permit::counted(&count, 1).unwrap(), target);
                let seen = operation.is_cancelled();
                canceller.join().unwrap();
                assert!(seen || handle.0.load(Ordering::Relaxed));
            });
        }
    }
}
