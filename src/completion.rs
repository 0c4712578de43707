//! One operation's result, delivered once: to a callback on the receive loop, or to the waiters.
//!
//! An [`Operation`] is made when work is queued, or accepted with an op. The handle that serves it, its waiters and the op
//! that C holds share it. Invariant: [`Operation::complete`] takes effect once. A callback runs exactly once, on the
//! outbox's callback thread, and with no lock held.

use crate::error::{Error, Result};
use crate::once::Once;
use crate::permits::Permit;
use crate::shared_bytes::Adopted;
use crate::socket::{Half, Socket};
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
    /// The end of a forward whose error this is: the half that receives, or the half that sends.
    pub side: Option<Half>,
}

/// Runs once on the receive loop's thread.
pub type Callback = Once<Done>;

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
    /// Makes the callback thread call [`Finished::run_callback`].
    fn deliver_finished(&self, finished: Finished);
    /// The same for an operation of a connection. On the callback thread it may need no mail.
    fn deliver_ended(&self, ended: Ended) {
        self.deliver_finished(ended.into());
    }
    /// Whether the caller runs on the callback thread, and therefore inside a callback.
    fn runs_here(&self) -> bool;
    /// An operation without a callback is over. A thread that runs callbacks itself may look at operations between them.
    fn is_over(&self);
}

/// The handle that serves an operation.
pub trait Target: Send + Sync {
    /// A caller has cancelled an operation of this handle. The handle looks which.
    fn cancel_requested(self: Arc<Self>);
}

/// A send or receive that is over and has only a callback, which is still to run.
pub struct Ended {
    /// Runs once, on the thread of the receive loop.
    pub callback: Callback,
    /// How the operation ended.
    pub outcome: Outcome,
    /// As in [`Finished`].
    pub permit: Permit,
}

impl Ended {
    /// Runs the callback.
    #[inline]
    pub fn run_callback(self) {
        let Ended { callback, outcome, permit } = self;
        permit.end(); // before the callback, as in `Operation::run_callback`
        callback.call(Done { outcome, connection: None, side: None });
    }
}

/// The same as mail, for operations of every kind.
pub struct Finished {
    /// Runs once, on the thread of the loop that gets this as mail.
    pub callback: Callback,
    /// How the operation ended.
    pub outcome: Outcome,
    /// The connection that the operation made.
    pub connection: Option<Arc<Socket>>,
    /// See [`Done::side`].
    pub side: Option<Half>,
    /// The operation's place among those in flight. The callback begins after it is given back.
    pub permit: Permit,
}

impl Finished {
    /// No operation: the memory of the program ends where a callback would run, and counts as one.
    pub fn end_of(memory: Adopted) -> Finished {
        let outcome = Outcome { result: Ok(()), bytes: 0 };
        Finished {
            callback: Once::boxed(|_| drop(memory)),
            outcome,
            connection: None,
            side: None,
            permit: Permit::none(),
        }
    }

    /// Runs the callback.
    pub fn run_callback(self) {
        let Finished { callback, outcome, connection, side, permit } = self;
        permit.end(); // before the callback, as in `Operation::run_callback`
        callback.call(Done { outcome, connection, side });
    }
}

impl From<Ended> for Finished {
    fn from(Ended { callback, outcome, permit }: Ended) -> Finished {
        Finished { callback, outcome, connection: None, side: None, permit }
    }
}

/// How the caller that begins an operation learns its end.
pub enum Tell<'a> {
    /// The caller waits for it.
    Wait,
    /// By an op, through which threads may wait or cancel.
    By(&'a Arc<Operation>),
    /// By a callback alone. It needs no [`Operation`].
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
    /// It is under way. Its callback learns the end.
    Called,
}

/// Who learns the end of a send or receive that is under way.
pub enum Teller {
    /// The operation, whose waiters or callback learn it.
    Operation(Arc<Operation>),
    /// A callback alone, with its place among those in flight.
    Call(Callback, Permit),
}

impl Teller {
    /// For the caller that has begun: it is under way.
    pub fn begun(&self) -> Begun {
        match self {
            Teller::Operation(operation) => Begun::Queued(Arc::clone(operation)),
            Teller::Call(..) => Begun::Called,
        }
    }

    /// Whether a caller has cancelled it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Teller::Operation(operation) if operation.is_cancelled())
    }

    /// Reports the end. A callback runs by way of `outbox`, which is that of the operation, too.
    pub fn tell(self, outbox: &dyn Outbox, outcome: Outcome) {
        match self {
            Teller::Operation(operation) => drop(operation.finish(outcome, None, None)),
            Teller::Call(callback, permit) => outbox.deliver_ended(Ended { callback, outcome, permit }),
        }
    }

    /// The same for a forward, whose error may be that of one side.
    pub fn tell_side(self, outbox: &dyn Outbox, outcome: Outcome, side: Option<Half>) {
        match self {
            Teller::Operation(operation) => drop(operation.finish(outcome, None, side)),
            Teller::Call(callback, permit) => {
                outbox.deliver_finished(Finished { callback, outcome, connection: None, side, permit });
            }
        }
    }
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
    side: Option<Half>,
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
                side: None,
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
        self.finish(Outcome { result, bytes }, None, None);
    }

    /// The same for an operation that makes a connection. True: there is no callback, and the connection waits for its
    /// collector.
    pub fn complete_connection(self: &Arc<Self>, result: Result<Arc<Socket>>) -> bool {
        self.finish(Outcome::without_bytes(&result), result.ok(), None)
    }

    fn finish(
        self: &Arc<Self>,
        outcome: Outcome,
        connection: Option<Arc<Socket>>,
        side: Option<Half>,
    ) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Pending {
            debug_assert!(false, "an operation completes once");
            return false;
        }
        state.outcome = outcome;
        state.connection = connection;
        state.side = side;
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
        let done = Done { outcome: state.outcome, connection: state.connection.take(), side: state.side };
        // Before the callback, because the callback usually begins the next operation.
        let socket = state.permit.as_mut().and_then(Permit::give_back);
        drop(state);
        drop(socket);
        callback.call(done);
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
        self.outbox.is_over();
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

    /// See [`Done::side`]. To be asked when the operation is over.
    pub fn side(&self) -> Option<Half> {
        self.state.lock().side
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
mod tests;
