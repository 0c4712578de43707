//! What a loop is told by others, and when it must be woken for it.
//!
//! A mailbox lists those who want the loop's attention, each at most once, so that mail cannot fail and needs no bound of
//! its own; what comes by itself is bounded by its senders. All of it is taken in the order of its posting.
//! Invariant: mail that was posted is either taken before the loop sleeps, or its poster is told to wake the loop.
//! Both rest on one lock around the list and the "asleep" flag; there are no fences to get wrong.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// Something that can stand in a mailbox.
pub trait Listed {
    /// Set while it stands there.
    fn listed(&self) -> &AtomicBool;
}

/// The mail of one loop; `P` is what comes by itself.
pub struct Mailbox<T: ?Sized, P = ()> {
    inner: Mutex<Inner<T, P>>,
}

/// One piece of mail.
pub enum Letter<T: ?Sized, P> {
    /// Somebody who wants the loop's attention.
    Listed(Arc<T>),
    /// Something that comes by itself.
    Plain(P),
}

struct Inner<T: ?Sized, P> {
    list: Vec<Letter<T, P>>,
    asleep: bool,
    nudged: bool,
    closed: bool,
}

impl<T: ?Sized + Listed, P> Mailbox<T, P> {
    /// An empty mailbox of a loop that is awake.
    pub fn new() -> Self {
        Mailbox { inner: Mutex::new(Inner { list: Vec::new(), asleep: false, nudged: false, closed: false }) }
    }

    /// Lists `item`, unless it stands there already. True: the loop is asleep and the caller must wake it.
    #[must_use]
    pub fn post(&self, item: Arc<T>) -> bool {
        // Set already: the loop has not yet cleared it, and will see what was changed before this call. The two
        // read-modify-writes are ordered, and Release here pairs with Acquire in `unlist`.
        if item.listed().swap(true, Ordering::AcqRel) {
            return false;
        }
        self.add(Letter::Listed(item))
    }

    /// Adds something that comes by itself. True: the loop is asleep and the caller must wake it.
    #[must_use]
    pub fn post_plain(&self, plain: P) -> bool {
        self.add(Letter::Plain(plain))
    }

    fn add(&self, letter: Letter<T, P>) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner); // the letter drops after the lock
            return false;
        }
        inner.list.push(letter);
        std::mem::replace(&mut inner.asleep, false)
    }

    /// Nobody takes mail any more: what is there is returned, and what comes later is dropped, so that it does not keep its
    /// senders, and they this mailbox, for ever.
    pub fn close(&self) -> Vec<Letter<T, P>> {
        let mut inner = self.inner.lock();
        inner.closed = true;
        std::mem::take(&mut inner.list)
    }

    /// Wakes without mail: a loop that is about to sleep looks once more. True: it is asleep and the caller must wake
    /// it.
    #[must_use]
    pub fn nudge(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.nudged = true;
        std::mem::replace(&mut inner.asleep, false)
    }

    /// The loop is awake: nobody needs to wake it until it falls asleep again.
    pub fn awake(&self) {
        self.inner.lock().asleep = false;
    }

    /// Moves all mail to `into`, in the order of its posting.
    pub fn take(&self, into: &mut Vec<Letter<T, P>>) {
        let mut inner = self.inner.lock();
        if into.is_empty() {
            std::mem::swap(&mut inner.list, into);
        } else {
            into.append(&mut inner.list);
        }
    }

    /// Whether there is no mail at this moment.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().list.is_empty()
    }

    /// Falls asleep, unless there is mail or a nudge. True: asleep, and the next poster wakes the loop.
    #[must_use]
    pub fn sleep(&self) -> bool {
        let mut inner = self.inner.lock();
        let nudged = std::mem::replace(&mut inner.nudged, false);
        inner.asleep = inner.list.is_empty() && !nudged;
        inner.asleep
    }
}

/// Clears the mark of an item that is about to get its mail: from now on it may be listed anew.
pub fn unlist<T: ?Sized + Listed>(item: &T) {
    item.listed().swap(false, Ordering::AcqRel); // pairs with `post`
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::atomic::AtomicU32;
    use crate::sync::{Condvar, Mutex};
    use loom::thread;

    struct Item {
        listed: AtomicBool,
        wanted: AtomicU32,
    }

    impl Listed for Item {
        fn listed(&self) -> &AtomicBool {
            &self.listed
        }
    }

    struct Waker {
        woken: Mutex<bool>,
        changed: Condvar,
    }

    /// Two posters post twice in all; the loop sees both although it may be asleep, and no
    /// mail is lost between "is there mail" and "asleep".
    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let mailbox = Arc::new(Mailbox::<Item>::new());
            let waker = Arc::new(Waker { woken: Mutex::new(false), changed: Condvar::new() });
            let item = Arc::new(Item { listed: AtomicBool::new(false), wanted: AtomicU32::new(0) });
            let posters: Vec<_> = (0..2)
                .map(|_| {
                    let (mailbox, waker, item) =
                        (Arc::clone(&mailbox), Arc::clone(&waker), Arc::clone(&item));
                    thread::spawn(move || {
                        item.wanted.fetch_add(1, Ordering::Relaxed);
                        if mailbox.post(item) {
                            *waker.woken.lock() = true;
                            waker.changed.notify_one();
                        }
                    })
                })
                .collect();
            let mut seen = 0;
            let mut mail = Vec::new();
            while seen < 2 {
                mailbox.awake();
                mailbox.take(&mut mail);
                for letter in mail.drain(..) {
                    let Letter::Listed(item) = letter else { unreachable!("nothing else was posted") };
                    unlist(&*item);
                    // A look and a step of its own: a swap always finds the newest value, whatever `unlist` orders.
                    let wanted = item.wanted.load(Ordering::Relaxed);
                    item.wanted.fetch_sub(wanted, Ordering::Relaxed);
                    seen += wanted;
                }
                if seen < 2 && mailbox.sleep() {
                    let mut woken = waker.woken.lock();
                    while !*woken {
                        woken = waker.changed.wait(woken);
                    }
                    *woken = false;
                }
            }
            posters.into_iter().for_each(|poster| poster.join().unwrap());
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Item(AtomicBool, u32);

    impl Listed for Item {
        fn listed(&self) -> &AtomicBool {
            &self.0
        }
    }

    #[test]
    fn each_is_listed_once_and_in_order() {
        let mailbox = Mailbox::new();
        let item = |n| Arc::new(Item(AtomicBool::new(false), n));
        let (a, b) = (item(1), item(2));
        assert!(!mailbox.post(Arc::clone(&a)), "the loop is awake");
        assert!(!mailbox.post_plain(3));
        assert!(!mailbox.post(Arc::clone(&b)));
        assert!(!mailbox.post(Arc::clone(&a)), "stands there already");
        assert!(!mailbox.sleep(), "there is mail");
        let mut mail = Vec::new();
        mailbox.take(&mut mail);
        let numbers = mail.iter().map(|letter| match letter {
            Letter::Listed(item) => item.1,
            Letter::Plain(number) => *number,
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 3, 2], "in the order of posting");
        assert!(mailbox.sleep());
        unlist(&*a);
        assert!(mailbox.post(a), "asleep: wake it");
        assert!(!mailbox.nudge(), "woken already");
        mailbox.awake();
        mailbox.take(&mut mail);
        assert!(!mailbox.sleep(), "a nudge before the sleep counts");
        assert!(mailbox.sleep());
        assert!(mailbox.post_plain(4));
        assert_eq!(mailbox.close().len(), 1);
        unlist(&*b);
        assert!(!mailbox.post(Arc::clone(&b)), "nobody is there to be woken");
        drop(mail);
        assert_eq!(Arc::strong_count(&b), 1, "or keeps it");
    }
}
