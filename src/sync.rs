//! The switch between real synchronisation and loom's model of it.
//!
//! Every module whose protocol loom checks takes its locks and atomics from here. Both modes have one API: `lock()` returns
//! just a guard. Invariant: with the same source, `--cfg loom` explores exactly the operations that the real build performs.
//! Constructors are `const` outside of loom only.
//!
//! The real locks are plain futexes. A thread that waits for a lock of parking_lot registers a destructor, which threads.rs
//! forbids. The standard library's locks record whether a panic has left them, and each message would pay for that.

// Not loom's Arc, which cannot hold a `dyn Trait`. The models do not check reference counts.
pub use std::sync::Arc;

#[cfg(loom)]
pub use self::modelled::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub use rustix_futex_sync::{Condvar, Mutex, MutexGuard};

/// Atomic integers, loom's or the standard library's.
pub mod atomic {
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    #[cfg(not(loom))]
    pub use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
}

/// Memory that a protocol guards itself. loom checks who reads and writes the memory, and when.
pub mod cell {
    #[cfg(loom)]
    pub use loom::cell::UnsafeCell;

    /// The standard library's cell with loom's two accessors.
    #[cfg(not(loom))]
    #[derive(Debug)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// Passes a pointer for reading to `f`.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Passes a pointer for writing to `f`.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Duration;

    pub use loom::sync::MutexGuard;

    /// loom's lock without its `Result`. A poisoned lock means that the model has failed already.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A free lock around `value`.
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a lock of a failed model")
        }
    }

    /// loom's condition variable. Time does not pass in a model, so a timed wait has no limit.
    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        /// A condition variable without waiters.
        pub fn new() -> Condvar {
            Condvar::default()
        }

        /// Unlocks, sleeps until notified, and locks again.
        pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("a lock of a failed model")
        }

        /// Waits without a limit, and never times out.
        pub fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> (MutexGuard<'a, T>, bool) {
            (self.wait(guard), false)
        }

        /// Wakes one waiter.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Wakes every waiter.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
