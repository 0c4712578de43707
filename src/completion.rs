//! One operation's result, delivered once: to a callback on the receive loop, or to those who wait.
//!
//! Made when an operation is queued, or accepted with a handle for it; shared by its server, its waiter and the handle that C
//! holds. Invariant: [`Operation::complete`] takes effect once; a callback runs exactly once, on the thread that the outbox
//! names, and with no lock held.

use crate::error::{Error, Result};
use crate::permits::Permit;
use crate::socket::Socket;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How an operation ended: its status, and the bytes transferred whatever the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Success or why not.
    pub result: Result,
    /// Bytes transferred, also where `result` is an error.
    pub bytes: usize,
}

impl Outcome {
    /// Of what moves no bytes.
    pub fn without_bytes<T>(result: &Result<T>) -> Outcome {
        Outcome { result: result.as_ref().map(drop).map_err(|error| *error), bytes: 0 }
    }

    /// The same, but where it failed after `cause` had ended the handle, that is why: the error that the kernel gave is
    /// only how it met the end.
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
    /// The connection that a dial or an accept has made; the callback's alone.
    pub connection: Option<Arc<Socket>>,
}

/// Runs once on the receive loop's thread.
pub type Callback = Box<dyn FnOnce(Done) + Send>;

/// What waiting for an operation gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It is done; a callback, if it has one, has returned.
    Done(Outcome),
    /// Not yet.
    Pending,
    /// The operation was released meanwhile.
    Released,
}

/// Where operations with a callback go when they are complete.
pub trait Outbox: Send + Sync {
    /// Sees to it that [`Operation::run_callback`] is called on the callback thread.
    fn deliver(&self, operation: Arc<Operation>);
    /// Whether this is the callback thread: a callback that runs is the one that asks.
    fn runs_here(&self) -> bool;
}

/// The handle that serves an operation, told when a cancellation is asked for.
pub trait Target: Send + Sync {
    /// An operation of this handle is to be cancelled: look which.
    fn cancel_requested(self: Arc<Self>);
}

/// What was over at once, and had a callback alone: all that is left is to call it.
pub struct Finished {
    /// To be run once, on the thread of the loop that this is posted to.
    pub callback: Callback,
    /// How it ended.
    pub outcome: Outcome,
    /// The connection that it made.
    pub connection: Option<Arc<Socket>>,
    /// Its place among the operations in flight, which it has until its callback runs.
    pub permit: Permit,
}

impl Finished {
    /// Runs the callback.
    pub fn run_callback(mut self) {
        drop(self.permit.give_back()); // before the callback, as an operation does
        (self.callback)(Done { outcome: self.outcome, connection: self.connection });
    }
}

/// How the one who begins something learns its end.
pub enum Tell<'a> {
    /// He waits for it.
    Wait,
    /// By an operation, which somebody may ask or cancel.
    By(&'a Arc<Operation>),
    /// By a callback alone: an operation is made only if it is not over at once.
    Call(Callback),
}

/// A [`Tell`] of something that was accepted.
pub enum Accepted<'a> {
    /// He waits, and needs no place among the operations in flight before he has to be queued.
    Wait,
    /// The operation has its place.
    By(&'a Arc<Operation>),
    /// The callback's place.
    Call(Callback, Permit),
}

/// What became of something that was begun: it is over and told, or the operation tells when.
pub enum Begun {
    /// Over.
    Finished(Outcome),
    /// Under way.
    Queued(Arc<Operation>),
}

/// One accepted operation.
pub struct Operation {
    /// Listed in the receive loop's mailbox, for its callback.
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
    /// Complete; its callback waits for its turn.
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
    /// A new operation, with the callback that is to have its result, or none.
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

    /// Accepted: it occupies `permit` until it is over, and `target` is told when it is to be cancelled.
    pub fn accept(&self, permit: Permit, target: Weak<dyn Target>) {
        let mut state = self.state.lock();
        state.permit = Some(permit);
        state.target = Some(target);
    }

    /// Delivers the result; only the first call counts.
    pub fn complete(self: &Arc<Self>, result: Result, bytes: usize) {
        self.finish(Outcome { result, bytes }, None);
    }

    /// The same for an operation that makes a connection. True: there is no callback, and the connection waits for the
    /// one who collects it.
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

    /// Runs the callback; on the callback thread, once, from the loop's mail.
    pub fn run_callback(&self) {
        let mut state = self.state.lock();
        let Some(callback) = state.callback.take() else {
            return;
        };
        state.phase = Phase::Running;
        let done = Done { outcome: state.outcome, connection: state.connection.take() };
        // Before the callback: the operation that follows this one is usually begun in it.
        let socket = state.permit.as_mut().and_then(Permit::give_back);
        drop(state);
        drop(socket);
        callback(done);
        self.over(self.state.lock());
    }

    fn over(&self, mut state: MutexGuard<'_, State>) {
        state.phase = Phase::Done;
        // Before the waiters wake: there is room for their next operation.
        let socket = state.permit.as_mut().and_then(Permit::give_back);
        let target = state.target.take();
        if state.waiters > 0 {
            self.changed.notify_all();
        }
        drop(state);
        drop((socket, target));
    }

    /// Waits until the operation is over, at most for `timeout`; `None` is for ever.
    pub fn wait(&self, timeout: Option<Duration>) -> Waited {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        loop {
            if state.released {
                return Waited::Released;
            }
            // Its own callback is told the result already, and may ask again.
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

    /// Waits for an operation that nobody else can release.
    pub fn outcome(&self) -> Outcome {
        match self.wait(None) {
            Waited::Done(outcome) => outcome,
            // Not reached: there is no handle through which to release it, and no limit to the wait.
            Waited::Pending | Waited::Released => Outcome { result: Err(Error::PANIC), bytes: 0 },
        }
    }

    /// The connection that the operation made, for its first collector; a callback has had it already.
    pub fn take_connection(&self) -> Option<Arc<Socket>> {
        self.state.lock().connection.take()
    }

    /// Whether a connection waits for its collector.
    pub fn has_connection(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    /// The net has stopped: a connection that nobody has collected closes, and the operation ended with STOPPED after
    /// all. Also for a collector who comes too late.
    pub fn revoke_connection(&self) {
        let mut state = self.state.lock();
        state.outcome.result = Err(Error::STOPPED);
        let connection = state.connection.take();
        drop(state);
        drop(connection);
    }

    /// Asks for the end of the operation; it may still succeed.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release); // pairs with is_cancelled
        let target = self.state.lock().target.clone();
        if let Some(target) = target.and_then(|target| target.upgrade()) {
            target.cancel_requested();
        }
    }

    /// Whether a cancellation was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) // pairs with cancel
    }

    /// Lets go of the operation: an uncollected connection closes, waiters are told. BUSY while the operation is
    /// unfinished and no callback would ever tell its result.
    pub fn release(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase == Phase::Pending && state.callback.is_none() {
            return Err(Error::BUSY);
        }
        state.released = true;
        // A callback that is still to come owns the connection; without one it was for the waiter.
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

        /// A waiter that is about to sleep, and the completion: the waiter always wakes, with the result.
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

        /// A release overtakes a waiter: the waiter is told, whichever comes first, and nobody hangs.
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

        /// The callback runs once, and a waiter that is told "done" comes after its return.
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

        /// A cancellation and the acceptance race: the target is told, or the operation is seen to be cancelled.
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
