#![allow(unsafe_code)] // futex(2), and a lock that vouches for its exclusion
//! A lock and a condition on futex(2); `sync` hands them out.
//!
//! Not of another library: those that are as fast keep a thread-local with a destructor, which threads.rs forbids.
//! Invariant: whoever sleeps for a lock has marked it as awaited, and whoever unlocks an awaited lock wakes a sleeper.

use lock_api::{GuardNoSend, RawMutex};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A lock; `lock()` gives the guard.
pub type Mutex<T> = lock_api::Mutex<RawLock, T>;
/// The right to what a [`Mutex`] guards.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawLock, T>;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep for it.
const AWAITED: u32 = 2;

/// So often a lock is looked at before sleeping for it: what is done under locks is short.
const LOOKS: u32 = 100;

/// The state of a lock.
pub struct RawLock(AtomicU32);

// SAFETY: `lock` returns after it has changed the state from FREE, which one thread at a time can do, and only `unlock`
// changes it back.
unsafe impl RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawLock = RawLock(AtomicU32::new(FREE));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_slowly();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire pairs with the Release in `unlock`.
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            self.wake_next();
        }
    }
}

impl RawLock {
    #[cold]
    fn wake_next(&self) {
        wake(&self.0, 1);
    }

    #[cold]
    fn lock_slowly(&self) {
        let mut state = self.look();
        if state == FREE && self.try_lock() {
            return;
        }
        loop {
            // A lock that is taken here stays marked: others may sleep still. Acquire pairs with the Release in `unlock`.
            if state != AWAITED && self.0.swap(AWAITED, Ordering::Acquire) == FREE {
                return;
            }
            sleep(&self.0, AWAITED, None);
            state = self.look();
        }
    }

    /// Waits a little for the lock while nobody sleeps for it; the state it has then.
    fn look(&self) -> u32 {
        for _ in 0..LOOKS {
            let state = self.0.load(Ordering::Relaxed);
            if state != HELD {
                return state;
            }
            std::hint::spin_loop();
        }
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits for a change of what a [`Mutex`] guards. To notify is a system call, whether or not somebody waits.
#[derive(Debug, Default)]
pub struct Condvar(AtomicU32);

impl Condvar {
    /// A condition that nobody waits for yet.
    pub const fn new() -> Condvar {
        Condvar(AtomicU32::new(0))
    }

    /// Unlocks, sleeps until notified, locks again. May wake without a reason.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.sleep(guard, None);
    }

    /// The same for at most `timeout`.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) {
        self.sleep(guard, Some(timeout));
    }

    /// Wakes every waiter.
    pub fn notify_all(&self) {
        // What was changed before is seen by its waiter through the lock, which orders this number too.
        self.0.fetch_add(1, Ordering::Relaxed);
        wake(&self.0, i32::MAX);
    }

    fn sleep<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Option<Duration>) {
        // Read under the lock: a notification from now on changes it, and the kernel then refuses to sleep.
        let seen = self.0.load(Ordering::Relaxed);
        MutexGuard::unlocked(guard, || sleep(&self.0, seen, timeout));
    }
}

// By syscall(2), which is no cancellation point.

/// Sleeps while `word` is `seen`, until woken, for at most `timeout`; may wake earlier.
fn sleep(word: &AtomicU32, seen: u32, timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(1 << 30) as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let limit = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let how = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel reads the word and the limit, if any; both are alive for the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), how, seen, limit) };
}

/// Wakes at most `most` of those who sleep for `word`.
fn wake(word: &AtomicU32, most: i32) {
    let how = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel takes the word's address as a name; it reads and writes no memory.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), how, most) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn a_lock_lets_one_in_at_a_time() {
        let count = Arc::new(Mutex::new(0u64));
        let add = |count: Arc<Mutex<u64>>| {
            move || {
                for _ in 0..50_000 {
                    let mut count = count.lock();
                    let before = *count;
                    std::hint::spin_loop();
                    *count = before + 1;
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(add(Arc::clone(&count)))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*count.lock(), 200_000);
    }

    #[test]
    fn a_sleeper_gets_the_lock_when_it_is_free() {
        let shared = Arc::new(Mutex::new(0));
        let guard = shared.lock();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || *shared.lock() += 1)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20)); // long enough for them to sleep, or this shows less
        drop(guard);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*shared.lock(), 3);
    }

    #[test]
    fn waiters_wake_by_a_notification_or_by_the_time() {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut done = shared.0.lock();
                    while !*done {
                        shared.1.wait(&mut done);
                    }
                })
            })
            .collect();
        *shared.0.lock() = true;
        shared.1.notify_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        let (began, soon) = (Instant::now(), Duration::from_millis(20));
        let mut guard = shared.0.lock();
        while began.elapsed() < soon {
            shared.1.wait_for(&mut guard, soon);
        }
    }
}
