//! The switch between real synchronisation and loom's model of it.
//!
//! Every module whose protocol loom checks takes its locks and atomics from here. One API in both modes:
//! `lock()` returns a guard and nothing else, `Condvar` takes the guard by reference. Invariant: with the
//! same source, `--cfg loom` explores exactly the operations that the real build performs. Constructors are
//! `const` outside of loom only.

// Not loom's, which cannot hold a `dyn Trait`: counting references is not what the models check.
pub use std::sync::Arc;

#[cfg(loom)]
pub use self::modelled::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub use crate::futex::{Condvar, Mutex, MutexGuard};

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
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    /// loom's lock without its `Result`: a poisoned one means that the model has failed already.
    #[derive(Debug)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    /// The right to what a [`Mutex`] guards. Empty only inside `Condvar::wait`.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        /// A free lock around `value`.
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect("a lock of a failed model")))
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Mutex<T> {
            Mutex::new(T::default())
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect("full outside of wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("full outside of wait")
        }
    }

    /// loom's condition. Time does not pass in a model, so a timed wait waits.
    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        /// A condition that nobody waits for yet.
        pub fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        /// Unlocks, sleeps until notified, locks again.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("full outside of wait");
            guard.0 = Some(self.0.wait(held).expect("a lock of a failed model"));
        }

        /// Waits without a limit; never times out.
        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) -> bool {
            self.wait(guard);
            false
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
