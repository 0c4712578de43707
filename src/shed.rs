//! Which connections go first when descriptors or memory run short.
//!
//! A closed connection that still drains or lingers is listed here, in the order of the closes. Whoever meets a shortage
//! has the oldest one end, which gives its descriptor and its memory back a moment later. The list is the process's, as
//! descriptors are. Invariant: the list keeps nothing alive, and no lock is held while a connection is told.

use crate::error::Error;
use crate::freed::when_descriptor_closes;
use crate::sync::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Something that can be given up.
pub trait Shed: Send + Sync {
    /// Ends soon, for want of what `cause` names. Takes no lock of a handle: the caller may hold one.
    fn shed(self: Arc<Self>, cause: Error);
}

type List = BTreeMap<u64, Weak<dyn Shed>>;

/// The place of a listed connection.
#[derive(Clone, Copy)]
pub struct Age(u64);

// Outside of every loom model, so not from `sync`.
static LIST: rustix_futex_sync::Mutex<List> = rustix_futex_sync::Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// How long a descriptor may take to come back: each of the two loops has to let go of the connection.
const WAIT: Duration = Duration::from_millis(100);

/// An age for one that is about to be listed.
pub fn next_age() -> Age {
    Age(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lists a closed connection.
pub fn enlist(age: Age, connection: Weak<dyn Shed>) {
    LIST.lock().insert(age.0, connection);
}

/// Takes one that is over from the list, if it is still there.
pub fn strike(age: Age) {
    LIST.lock().remove(&age.0);
}

/// Whether `error` says that descriptors or memory are short.
pub fn is_shortage(error: Error) -> bool {
    [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS]
        .iter()
        .any(|errno| error == Error::from_errno(*errno))
}

/// Whether there is a connection to give up for what `error` says is short.
pub fn helps(error: Error) -> bool {
    is_shortage(error) && !LIST.lock().is_empty()
}

/// If `error` is a shortage, has the oldest closed connection end. False: there was none.
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

/// The same, with `freed` called once when a descriptor has closed. False: `freed` may still be called, without need.
pub fn oldest_then(error: Error, freed: impl FnOnce() + Send + 'static) -> bool {
    if !helps(error) {
        return false;
    }
    when_descriptor_closes(Box::new(freed)); // before: it must not miss the one that is given up
    oldest(error)
}

/// The same, and waits for the descriptor. For threads that no connection needs to end.
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

    /// One test, since the list is the process's.
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
        probes.remove(0); // gone without a word
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
