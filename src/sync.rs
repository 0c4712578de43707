//! The switch between real synchronisation and loom's model of it.
//!
//! Every module whose protocol loom checks takes its locks and atomics from here. One API in both modes:
//! `lock()` returns a guard and nothing else. Invariant: with the same source, `--cfg loom` explores exactly the
//! operations that the real build performs. Constructors are `const` outside of loom only.
//!
//! The real locks are futexes and nothing else. A thread that waits for a lock of parking_lot registers a destructor, which
//! threads.rs forbids, and the standard library's locks note whether a panic has left them, which each message would pay.

// Not loom's, which cannot hold a `dyn Trait`: counting references is not what the models check.
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

/// Memory that a protocol guards by itself, so that loom can check who reads and who writes when.
pub mod cell {
    #[cfg(loom)]
    pub use loom::cell::UnsafeCell;

    /// The standard library's cell with loom's two ways in.
    #[cfg(not(loom))]
    #[derive(Debug)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// A cell around `value`.
        pub const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the pointer to read through.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Hands out the pointer to write through.
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

    /// loom's lock without its `Result`: a poisoned one means that the model has failed already.
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

    /// loom's condition. Time does not pass in a model, so a timed wait waits.
    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        /// A condition that nobody waits for yet.
        pub fn new() -> Condvar {
            Condvar::default()
        }

        /// Unlocks, sleeps until notified, locks again.
        pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("a lock of a failed model")
        }

        /// Waits without a limit; never times out.
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
