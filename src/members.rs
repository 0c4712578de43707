//! The members of a net: whatever is open on it.
//!
//! Owned by the net. Sinks, streams, listeners, dials, delayed calls and connections that linger join and leave. Invariant:
//! whatever can still have a completion to deliver or memory in the kernel is a member. A net without members can therefore
//! end its loops. Nothing but a connection that lingers joins once the net refuses work.

use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a net ends its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything but sinks ends with STOPPED.
    Work,
    /// Sinks close in order; after all work has ended, so that no receive mistakes a FIN of this net for its end.
    Connections,
    /// Everything ends now with this error, connections by a reset.
    Now(Error),
}

impl Stop {
    /// Why everything but a sink ends in this step; `None`: not in this one.
    pub fn ends_work(self) -> Option<Error> {
        match self {
            Stop::Work => Some(Error::STOPPED),
            Stop::Connections => None,
            Stop::Now(cause) => Some(cause),
        }
    }
}

/// Something that a net must end before its loops can.
pub trait Member: Send + Sync {
    /// Its place in the net's list.
    fn place(&self) -> &Place;
    /// Begins to end; the member leaves the net when it has.
    fn stop(self: Arc<Self>, how: Stop);
    /// The net is about to refuse work. For a member that does not ask the net each time before it accepts some; called with
    /// the list locked.
    fn ask_net(&self) {}
}

/// A member's place in its net, given once.
pub struct Place(AtomicUsize);

impl Place {
    const NONE: usize = usize::MAX;

    /// Of one that has not joined yet.
    pub fn none() -> Place {
        Place(AtomicUsize::new(Place::NONE))
    }

    /// Whether it has joined; a handler may have mail before, from one whose `*op` another thread has seen already.
    pub fn is_given(&self) -> bool {
        self.get().is_some()
    }

    fn get(&self) -> Option<usize> {
        let index = self.0.load(Ordering::Acquire); // pairs with `give`
        (index != Place::NONE).then_some(index)
    }

    /// Under the lock of the list.
    fn give(&self, index: usize) {
        debug_assert!(self.get().is_none(), "a member joins once");
        self.0.store(index, Ordering::Release);
    }
}

/// What is open on a net, and whether more may join.
pub struct Members {
    list: Mutex<List>,
    changed: Condvar,
    stopping: AtomicBool,
    dead: AtomicBool,
}

#[derive(Default)]
struct List {
    places: Vec<Option<Arc<dyn Member>>>,
    free: Vec<usize>,
    stopping: bool,
    /// [`Stop::Now`] was told.
    cut: bool,
    stopped: Option<Result>,
}

impl Members {
    /// None yet.
    pub fn new() -> Members {
        Members {
            list: Mutex::new(List::default()),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        }
    }

    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) // pairs with `refuse_work`
    }

    /// Why the net takes no more work, if so: it stops, or a loop of it died.
    pub fn refusal(&self) -> Option<Error> {
        if self.dead.load(Ordering::Acquire) {
            Some(Error::PANIC)
        } else {
            self.is_stopping().then_some(Error::STOPPED)
        }
    }

    /// Lists new members, all or none; refused once the net stops.
    pub fn join<const COUNT: usize>(&self, new: [Arc<dyn Member>; COUNT]) -> Result {
        let mut list = self.list_of_running()?;
        new.into_iter().for_each(|member| list.add(member));
        Ok(())
    }

    /// The same for members that are one of what `count` counts. A stop may end them, and count them out, as soon as they
    /// are listed: they are counted before.
    pub fn join_counted<const COUNT: usize>(
        &self,
        new: [Arc<dyn Member>; COUNT],
        count: &AtomicUsize,
    ) -> Result {
        let mut list = self.list_of_running()?;
        count.fetch_add(1, Ordering::Relaxed);
        new.into_iter().for_each(|member| list.add(member));
        Ok(())
    }

    /// Completes, by `end`, what was over before it became a member: the loops are there to run its callback, as no stop
    /// begins meanwhile. Refused once the net stops.
    pub fn unless_stopping(&self, end: impl FnOnce()) -> Result {
        let _list = self.list_of_running()?;
        end();
        Ok(())
    }

    fn list_of_running(&self) -> Result<MutexGuard<'_, List>> {
        let list = self.list.lock();
        // By the lock: a loop that dies marks the net, and then ends those that are listed.
        if self.dead.load(Ordering::Acquire) {
            return Err(Error::PANIC);
        }
        if list.stopping { Err(Error::STOPPED) } else { Ok(list) }
    }

    /// Lists a connection that lingers after its halves have closed; also while the net stops. True: the net is past
    /// orderly ends already. `None`, with nothing listed: by the lock there is no `need` any more.
    pub fn join_closing(&self, member: Arc<dyn Member>, need: impl FnOnce() -> bool) -> Option<bool> {
        let mut list = self.list.lock();
        need().then(|| list.add(member))?;
        Some(list.cut)
    }

    /// Takes a member from the list; each leaves once. The list's reference drops outside of the lock.
    pub fn leave(&self, member: &dyn Member) {
        let Some(index) = member.place().get() else {
            return;
        };
        let mut list = self.list.lock();
        let listed = list.places[index].take();
        debug_assert!(listed.is_some(), "a member leaves once");
        if listed.is_some() {
            list.free.push(index);
        }
        let awaited = list.stopping && list.is_empty();
        drop(list);
        if awaited {
            self.changed.notify_all();
        }
        drop(listed);
    }

    /// A loop has died: the net takes no more work, and everything ends now with PANIC.
    pub fn die(&self) {
        self.refuse_work(&self.list.lock(), &self.dead);
        self.stop(Stop::Now(Error::PANIC));
    }

    /// Begins the one stop of the net: it takes no more work. A caller that is not the first gets the first one's result,
    /// when that has come.
    pub fn begin_stop(&self) -> Option<Result> {
        let mut list = self.list.lock();
        if list.stopping {
            loop {
                if let Some(result) = list.stopped {
                    return Some(result);
                }
                list = self.changed.wait(list);
            }
        }
        list.stopping = true;
        self.refuse_work(&list, &self.stopping);
        None
    }

    /// The stop is over; its other callers get the result.
    pub fn end_stop(&self, result: Result) {
        self.list.lock().stopped = Some(result);
        self.changed.notify_all();
    }

    /// From now on the net takes no more work, as `mark` says. A thread that has learnt so must not see a sink accept a send
    /// afterwards: each sink asks the net first, from before the mark on. By the lock no sink joins in between.
    fn refuse_work(&self, list: &List, mark: &AtomicBool) {
        list.members().for_each(|member| member.ask_net());
        mark.store(true, Ordering::Release);
    }

    /// Has every member begin to end.
    pub fn stop(&self, how: Stop) {
        let mut list = self.list.lock();
        list.cut |= matches!(how, Stop::Now(_)); // by the lock: whoever joins from now on learns it
        let members: Vec<_> = list.members().cloned().collect();
        drop(list);
        for member in members {
            member.stop(how);
        }
    }

    /// True once no members are left, false when `timeout` has passed first.
    pub fn wait_until_empty(&self, timeout: Duration) -> bool {
        let end = Instant::now().checked_add(timeout);
        let mut list = self.list.lock();
        while !list.is_empty() {
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    list = self.changed.wait_timeout(list, left).0;
                }
                None => list = self.changed.wait(list),
            }
        }
        true
    }
}

impl List {
    fn members(&self) -> impl Iterator<Item = &Arc<dyn Member>> {
        self.places.iter().flatten()
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    fn add(&mut self, member: Arc<dyn Member>) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        member.place().give(index);
        self.places[index] = Some(member);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Leaves as soon as it is told to end at once.
    struct Guest {
        place: Place,
        told: Mutex<Vec<Stop>>,
        members: Arc<Members>,
    }

    impl Guest {
        fn new(members: &Arc<Members>) -> Arc<Guest> {
            let told = Mutex::new(Vec::new());
            Arc::new(Guest { place: Place::none(), told, members: Arc::clone(members) })
        }
    }

    impl Member for Guest {
        fn place(&self) -> &Place {
            &self.place
        }

        fn stop(self: Arc<Self>, how: Stop) {
            self.told.lock().push(how);
            if matches!(how, Stop::Now(_)) {
                self.members.leave(&*self);
            }
        }
    }

    #[test]
    fn a_stop_refuses_newcomers_and_ends_when_the_last_has_left() {
        let members = Arc::new(Members::new());
        let count = AtomicUsize::new(0);
        let (first, second) = (Guest::new(&members), Guest::new(&members));
        members.join_counted([Arc::clone(&first) as _, Arc::clone(&second) as _], &count).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        members.leave(&*first);
        assert_eq!(members.begin_stop(), None);
        assert_eq!((members.is_stopping(), members.refusal()), (true, Some(Error::STOPPED)));
        assert_eq!(members.join([Guest::new(&members) as _]), Err(Error::STOPPED));
        assert_eq!(members.unless_stopping(|| unreachable!("it stops")), Err(Error::STOPPED));
        let lingers = Guest::new(&members);
        assert_eq!(members.join_closing(Arc::clone(&lingers) as _, || false), None);
        assert_eq!(members.join_closing(Arc::clone(&lingers) as _, || true), Some(false));
        members.stop(Stop::Work);
        assert!(!members.wait_until_empty(Duration::ZERO));
        members.stop(Stop::Now(Error::STOPPED));
        assert!(members.wait_until_empty(Duration::ZERO));
        assert_eq!(*second.told.lock(), [Stop::Work, Stop::Now(Error::STOPPED)]);
        assert_eq!(*lingers.told.lock(), *second.told.lock());
        assert!(first.told.lock().is_empty());
        assert_eq!(members.join_closing(Guest::new(&members) as _, || true), Some(true));
        members.end_stop(Err(Error::TIMEOUT));
        assert_eq!(members.begin_stop(), Some(Err(Error::TIMEOUT)));
    }

    #[test]
    fn a_death_ends_everything_with_panic() {
        let members = Arc::new(Members::new());
        let guest = Guest::new(&members);
        members.join([Arc::clone(&guest) as _]).unwrap();
        members.die();
        assert_eq!(*guest.told.lock(), [Stop::Now(Error::PANIC)]);
        assert_eq!(members.refusal(), Some(Error::PANIC));
        assert_eq!(members.join([Guest::new(&members) as _]), Err(Error::PANIC));
        assert!(members.wait_until_empty(Duration::ZERO));
    }
}
