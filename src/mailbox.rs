//! The mail that other threads post to a loop, and when a poster must wake up the loop.
//!
//! A mailbox lists the items that want the loop's attention, each at most once. Therefore their mail cannot fail, and needs
//! no bound of its own. The senders of plain mail bound it. The loop takes all mail in the order of its posting.
//!
//! Invariant: the loop takes posted mail before it sleeps, or the poster learns that it must wake up the loop. The loop falls
//! asleep under the lock of the list, and only if the list is empty. No fence is needed.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// Something that can stand in a mailbox.
pub trait Listed {
    /// Set while the item is listed.
    fn listed(&self) -> &AtomicBool;
}

/// The mail of one loop. `P` is plain mail, which needs no item.
pub struct Mailbox<T: ?Sized, P = ()> {
    inner: Mutex<Inner<T, P>>,
    /// The list is not empty. It changes under the lock, and a look without the lock may be late.
    has_mail: AtomicBool,
    /// Set under the lock, where posters read it.
    asleep: AtomicBool,
}

/// One piece of mail.
pub enum Letter<T: ?Sized, P> {
    /// An item that wants the loop's attention.
    Listed(Arc<T>),
    /// Plain mail.
    Plain(P),
}

struct Inner<T: ?Sized, P> {
    list: Vec<Letter<T, P>>,
    nudged: bool,
    closed: bool,
}

impl<T: ?Sized + Listed, P> Mailbox<T, P> {
    /// An empty mailbox of a loop that is awake.
    pub fn new() -> Self {
        Mailbox {
            inner: Mutex::new(Inner { list: Vec::new(), nudged: false, closed: false }),
            has_mail: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
        }
    }

    /// Lists `item`, unless it is listed already. True: the loop is asleep, and the caller must wake it up.
    #[must_use]
    pub fn post(&self, item: Arc<T>) -> bool {
        // If the mark is set already, the loop has not yet cleared it, and will see what the caller changed before this
        // call. The two read-modify-writes are ordered, and Release here pairs with Acquire in `unlist`.
        if item.listed().swap(true, Ordering::AcqRel) {
            return false;
        }
        self.add(Letter::Listed(item))
    }

    /// Adds plain mail. True: the loop is asleep, and the caller must wake it up.
    #[must_use]
    pub fn post_plain(&self, plain: P) -> bool {
        self.add(Letter::Plain(plain))
    }

    fn add(&self, letter: Letter<T, P>) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner); // the letter is dropped after the lock
            return false;
        }
        inner.list.push(letter);
        self.has_mail.store(true, Ordering::Relaxed);
        self.ends_sleep()
    }

    /// Under the lock. True: the loop is asleep, and the caller must wake it up.
    fn ends_sleep(&self) -> bool {
        let asleep = self.asleep.load(Ordering::Relaxed);
        self.asleep.store(false, Ordering::Relaxed);
        asleep
    }

    /// Closes the mailbox and returns its mail. Later mail is dropped, because it would keep its senders alive for ever, and
    /// they this mailbox.
    pub fn close(&self) -> Vec<Letter<T, P>> {
        let mut inner = self.inner.lock();
        inner.closed = true;
        std::mem::take(&mut inner.list)
    }

    /// Wakes up the loop without mail: a loop that is about to sleep looks once more. True: the loop is asleep, and the
    /// caller must wake it up.
    #[must_use]
    pub fn nudge(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.nudged = true;
        self.ends_sleep()
    }

    /// The loop is awake. Posters need not wake it up until it falls asleep again. One that posts at this moment may do so.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether there is mail. It may miss mail that another thread has just posted. Then [`Mailbox::sleep`] finds it.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// Moves all mail to `into`, in the order of its posting.
    pub fn take(&self, into: &mut Vec<Letter<T, P>>) {
        let mut inner = self.inner.lock();
        self.has_mail.store(false, Ordering::Relaxed);
        if into.is_empty() {
            std::mem::swap(&mut inner.list, into);
        } else {
            into.append(&mut inner.list);
        }
    }

    /// Whether there is no mail now.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().list.is_empty()
    }

    /// Falls asleep, unless there is mail or a nudge. True: the loop is asleep, and the next poster wakes it up.
    #[must_use]
    pub fn sleep(&self) -> bool {
        let mut inner = self.inner.lock();
        let nudged = std::mem::replace(&mut inner.nudged, false);
        let asleep = inner.list.is_empty() && !nudged;
        self.asleep.store(asleep, Ordering::Relaxed);
        asleep
    }
}

/// Clears the mark of an item that is about to get its mail. From now on the item may be listed again.
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

    /// Each of two posters posts once. The loop sees both although it may be asleep, and loses no mail between "is there
    /// mail" and "asleep".
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
                if mailbox.has_mail() {
                    mailbox.take(&mut mail);
                }
                for letter in mail.drain(..) {
                    let Letter::Listed(item) = letter else { unreachable!("nothing else was posted") };
                    unlist(&*item);
                    // A load and a separate subtraction: a swap always finds the newest value, whatever `unlist` orders.
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
