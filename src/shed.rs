//! Which connections go first when descriptors or memory run short.
//!
//! The list has the closed connections that still drain or linger, in the order of the closes. A caller that meets a
//! shortage ends the oldest one, which frees its descriptor and its memory a moment later. The process has one list, because
//! descriptors belong to the process.
//!
//! Invariant: the list keeps nothing alive, and its lock is free while a connection is shed.

use crate::error::Error;
use crate::freed::when_descriptor_closes;
use crate::sync::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Something that can end to relieve a shortage.
pub trait Shed: Send + Sync {
    /// Ends soon, because of the shortage that `cause` names. Takes no lock of a handle, because the caller may hold one.
    fn shed(self: Arc<Self>, cause: Error);
}

type List = BTreeMap<u64, Weak<dyn Shed>>;

/// The place of a listed connection.
#[derive(Clone, Copy)]
pub struct Age(u64);

// No loom model covers these. Therefore they do not come from `sync`.
static LIST: rustix_futex_sync::Mutex<List> = rustix_futex_sync::Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// How long a descriptor may take to close: each of the two loops has to release the connection.
const WAIT: Duration = Duration::from_millis(100);

/// An age for a connection that is about to be listed.
pub fn next_age() -> Age {
    Age(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lists a closed connection.
pub fn enlist(age: Age, connection: Weak<dyn Shed>) {
    LIST.lock().insert(age.0, connection);
}

/// Removes a connection that has ended from the list, if it is still there.
pub fn strike(age: Age) {
    LIST.lock().remove(&age.0);
}

/// Whether `error` says that descriptors or memory are short.
pub fn is_shortage(error: Error) -> bool {
    [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS]
        .iter()
        .any(|errno| error == Error::from_errno(*errno))
}

/// Whether `error` is a shortage and the list has a connection to shed.
pub fn helps(error: Error) -> bool {
    is_shortage(error) && !LIST.lock().is_empty()
}

/// If `error` is a shortage, ends the oldest closed connection. False: it is no shortage, or there was no connection.
pub fn oldest(error: Error) -> bool {
    if !is_shortage(error) {
        return false;
    }
    loop {
        let Some((_, oldest)) = LIST.lock().pop_first() else {
            return false;
        };
        if let Some(connection) = oldest.upgrade() {
            connection.shed(error);
            return true;
        }
    }
}

/// The same, and calls `freed` once when a descriptor has closed. After false, `freed` may still be called, needlessly.
pub fn oldest_then(error: Error, freed: impl FnOnce() + Send + 'static) -> bool {
    if !helps(error) {
        return false;
    }
    when_descriptor_closes(Box::new(freed)); // first, because it must not miss the descriptor of the oldest
    oldest(error)
}

/// The same, and waits until a descriptor has closed. Only for threads that no connection needs in order to end.
pub fn oldest_and_wait(error: Error) -> bool {
    let freed = Arc::new((Mutex::new(false), Condvar::new()));
    let told = Arc::clone(&freed);
    let tell = move || {
        *told.0.lock() = true;
        told.1.notify_all();
    };
    oldest_then(error, tell) && is_set_within(&freed.0, &freed.1, WAIT)
}

fn is_set_within(flag: &Mutex<bool>, changed: &Condvar, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut set = flag.lock();
    while !*set {
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return false,
            left => set = changed.wait_timeout(set, left).0,
        }
    }
    true
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    struct Probe(Mutex<Vec<Error>>);

    impl Shed for Probe {
        fn shed(self: Arc<Self>, cause: Error) {
            self.0.lock().push(cause);
        }
    }

    /// One test, because the process has one list.
    #[test]
    fn the_oldest_that_lives_goes_first_and_for_a_shortage_alone() {
        let short = Error::from_errno(libc::EMFILE);
        let new = |_| Arc::new(Probe(Mutex::new(Vec::new())));
        let mut probes: Vec<Arc<Probe>> = (0..4).map(new).collect();
        let ages: Vec<Age> = probes.iter().map(|_| next_age()).collect();
        for at in [2, 0, 3, 1] {
            let weak: Weak<Probe> = Arc::downgrade(&probes[at]);
            enlist(ages[at], weak);
        }
        probes.remove(0); // gone, but still listed
        strike(ages[1]);
        strike(ages[1]);
        for other in [Error::TIMEOUT, Error::from_errno(libc::ECONNRESET)] {
            assert!(!helps(other) && !oldest(other));
        }
        assert!(helps(short) && oldest(short));
        let told: Vec<usize> = probes.iter().map(|probe| probe.0.lock().len()).collect();
        assert_eq!(told, [0, 1, 0]);
        assert!(oldest(Error::from_errno(libc::ENOMEM)));
        assert_eq!(*probes[2].0.lock(), [Error::from_errno(libc::ENOMEM)]);
        assert!(!helps(short) && !oldest(short) && !oldest_and_wait(short));
    }
}
