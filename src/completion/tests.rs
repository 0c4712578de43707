//! One result for one operation: what waiters get, and the models of what threads do at the same time.

use super::*;

/// An outbox that runs callbacks where they are delivered.
struct AtOnce;

impl Outbox for AtOnce {
    fn deliver(&self, operation: Arc<Operation>) {
        operation.run_callback();
    }

    fn deliver_finished(&self, finished: Finished) {
        finished.run_callback();
    }

    fn runs_here(&self) -> bool {
        false
    }

    fn is_over(&self) {}
}

#[cfg(not(loom))]
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

#[cfg(loom)]
mod loom_models {
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
            let operation = Operation::new(Arc::new(AtOnce), Some(Once::small(|_| {})));
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
            let callback: Callback = Once::boxed(move |_| {
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
