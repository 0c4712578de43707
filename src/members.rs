//! The members of a net: everything that is open on it.
//!
//! The net owns the list. Sinks, streams, listeners, dials, delayed calls and connections that linger join and leave.
//! Invariant: everything that can still deliver a completion, or has memory in the kernel, is a member. Therefore a net
//! without members can end its loops. Once the net refuses work, only a connection that lingers can join.

use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How a net ends its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All work ends with STOPPED. Sinks go on.
    Work,
    /// Sinks close in order. This step follows [`Stop::Work`], because a receive of this net must not see the FIN of such a
    /// sink as the end of its stream.
    Connections,
    /// Everything ends now with this error. Connections are reset.
    Now(Error),
}

impl Stop {
    /// The error with which all members except sinks end in this step. `None`: they go on.
    pub fn ends_work(self) -> Option<Error> {
        match self {
            Stop::Work => Some(Error::STOPPED),
            Stop::Connections => None,
            Stop::Now(cause) => Some(cause),
        }
    }
}

/// Something that a net must end before its loops can end.
pub trait Member: Send + Sync {
    /// Its place in the net's list.
    fn place(&self) -> &Place;
    /// Begins to end the member. The member leaves the net when it has ended.
    fn stop(self: Arc<Self>, how: Stop);
    /// The net is about to refuse work. From now on the member asks the net before it accepts work. A member that always
    /// asks needs no such method. The caller holds the list's lock.
    fn ask_net(&self) {}
}

/// A member's place in its net. The list gives it once.
pub struct Place(AtomicU32);

impl Place {
    const NONE: u32 = u32::MAX;

    /// The place of a member that has not joined yet.
    pub fn none() -> Place {
        Place(AtomicU32::new(Place::NONE))
    }

    /// Whether the member has joined. Its handler may get mail earlier, when another thread sees `*op` first and cancels.
    pub fn is_given(&self) -> bool {
        self.get().is_some()
    }

    fn get(&self) -> Option<usize> {
        let index = self.0.load(Ordering::Acquire); // pairs with `give`
        (index != Place::NONE).then_some(index as usize)
    }

    /// The caller holds the list's lock.
    fn give(&self, index: usize) {
        debug_assert!(self.get().is_none(), "a member joins once");
        let index = u32::try_from(index).expect("a process has fewer descriptors");
        self.0.store(index, Ordering::Release);
    }
}

/// What is open on a net, and whether more may join.
pub struct Members {
    list: Mutex<List>,
    changed: Condvar,
    /// Wakes up a thread that waits in another way than by `changed`.
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    stopping: AtomicBool,
    dead: AtomicBool,
}

#[derive(Default)]
struct List {
    places: Vec<Option<Arc<dyn Member>>>,
    free: Vec<usize>,
    stopping: bool,
    /// [`Stop::Now`] has begun.
    cut: bool,
    stopped: Option<Result>,
}

impl Members {
    /// An empty list.
    pub fn new() -> Members {
        Members {
            list: Mutex::new(List::default()),
            changed: Condvar::new(),
            waker: OnceLock::new(),
            stopping: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        }
    }

    /// `wake` wakes up a thread that looks again and again whether the net has members, and whether the stop is over.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(wake));
    }

    fn notify(&self) {
        self.changed.notify_all();
        if let Some(wake) = self.waker.get() {
            wake();
        }
    }

    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) // pairs with `refuse_work`
    }

    /// Why the net refuses work: it stops, or one of its loops died. `None`: it accepts work.
    pub fn refusal(&self) -> Option<Error> {
        if self.dead.load(Ordering::Acquire) {
            Some(Error::PANIC)
        } else {
            self.is_stopping().then_some(Error::STOPPED)
        }
    }

    /// Lists all of the new members. Once the net refuses work, it returns an error and lists none.
    pub fn join<const COUNT: usize>(&self, new: [Arc<dyn Member>; COUNT]) -> Result {
        let mut list = self.list_of_running()?;
        new.into_iter().for_each(|member| list.add(member));
        Ok(())
    }

    /// The same, and adds one to `count` for all of them together. It counts before it lists, because a stop may end listed
    /// members, which then subtract from `count`.
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

    /// Calls `end`, which completes an operation that was over before it became a member. No stop begins meanwhile, so the
    /// loops are there to run its callback. Once the net refuses work, it returns an error.
    pub fn unless_stopping(&self, end: impl FnOnce()) -> Result {
        let _list = self.list_of_running()?;
        end();
        Ok(())
    }

    fn list_of_running(&self) -> Result<MutexGuard<'_, List>> {
        let list = self.list.lock();
        // The lock orders this check: a loop that dies marks the net under it, and then ends the listed members.
        if self.dead.load(Ordering::Acquire) {
            return Err(Error::PANIC);
        }
        if list.stopping { Err(Error::STOPPED) } else { Ok(list) }
    }

    /// Lists a connection that lingers after its halves have closed, also while the net stops. True: [`Stop::Now`] has
    /// begun. `None`: `need`, called under the lock, is false, and nothing is listed.
    pub fn join_closing(&self, member: Arc<dyn Member>, need: impl FnOnce() -> bool) -> Option<bool> {
        let mut list = self.list.lock();
        need().then(|| list.add(member))?;
        Some(list.cut)
    }

    /// Takes a member from the list. Each member leaves once. The list's reference drops without the lock.
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
            self.notify();
        }
        drop(listed);
    }

    /// A loop has died. The net refuses work, and everything ends now with PANIC.
    pub fn die(&self) {
        self.refuse_work(&self.list.lock(), &self.dead);
        self.stop(Stop::Now(Error::PANIC));
    }

    /// Begins the one stop of the net, which then refuses work. True: the caller is the first, and does the stop. A later
    /// caller waits for the first caller's result.
    pub fn begin_stop(&self) -> bool {
        let mut list = self.list.lock();
        let is_first = !list.stopping;
        if is_first {
            list.stopping = true;
            self.refuse_work(&list, &self.stopping);
        }
        is_first
    }

    /// The result of the stop, if it is over.
    pub fn stopped(&self) -> Option<Result> {
        self.list.lock().stopped
    }

    /// Waits until the stop is over, and returns its result.
    pub fn wait_until_stopped(&self) -> Result {
        let mut list = self.list.lock();
        loop {
            if let Some(result) = list.stopped {
                return result;
            }
            list = self.changed.wait(list);
        }
    }

    /// The stop is over. The later callers get the result.
    pub fn end_stop(&self, result: Result) {
        self.list.lock().stopped = Some(result);
        self.notify();
    }

    /// Sets `mark`: from now on the net refuses work. A thread that has seen a refusal must not see a sink accept a send
    /// afterwards. Therefore each sink begins to ask the net before the mark is set. The lock keeps new sinks out meanwhile.
    fn refuse_work(&self, list: &List, mark: &AtomicBool) {
        list.members().for_each(|member| member.ask_net());
        mark.store(true, Ordering::Release);
    }

    /// Makes every member begin to end.
    pub fn stop(&self, how: Stop) {
        let mut list = self.list.lock();
        list.cut |= matches!(how, Stop::Now(_)); // under the lock: a member that joins from now on learns it
        let members: Vec<_> = list.members().cloned().collect();
        drop(list);
        for member in members {
            member.stop(how);
        }
    }

    /// Whether no members are left.
    pub fn are_gone(&self) -> bool {
        self.list.lock().is_empty()
    }

    /// Waits until no members are left. False: `timeout` passed first.
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

    /// A member that leaves at [`Stop::Now`].
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
        assert!(members.begin_stop());
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
        assert!(!members.begin_stop());
        assert_eq!(members.stopped(), Some(Err(Error::TIMEOUT)));
        assert_eq!(members.wait_until_stopped(), Err(Error::TIMEOUT));
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
