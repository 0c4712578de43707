//! A net whose callbacks run on the thread that started it, while this thread dispatches.
//!
//! The thread keeps the receive loops of its nets in a list of its own. Invariant: only the thread that started such a net
//! gets at its receive loop.

use super::Net;
use crate::error::{Error, Result};
use crate::event_loop::{Dispatched, EventLoop, Setup};
use crate::fork;
use crate::threads;
use std::cell::RefCell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

struct Kept {
    net: Arc<Net>,
    /// `None` during a turn.
    event_loop: Option<Box<EventLoop>>,
}

thread_local! {
    // It has no destructor: `thread_ends` ends what is left.
    static KEPT: ManuallyDrop<RefCell<Vec<Kept>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

impl Net {
    /// Makes the receive loop, which this thread runs from now on.
    pub(super) fn start_here(self: &Arc<Self>, setup: Setup) -> io::Result<()> {
        threads::at_end(thread_ends)?;
        let event_loop = Box::new(EventLoop::for_caller(&self.recv_loop, setup)?);
        let recv_loop = Arc::clone(&self.recv_loop);
        self.members.wake_by(move || recv_loop.wake_dispatch());
        let kept = Kept { net: Arc::clone(self), event_loop: Some(event_loop) };
        KEPT.with(|list| list.borrow_mut().push(kept));
        Ok(())
    }

    /// Whether this thread runs the callbacks of this net. A call that waits for the net would wait for itself.
    #[inline]
    pub fn is_dispatched_here(&self) -> bool {
        self.config.by_caller && self.recv_loop.is_dispatched_here()
    }

    /// Runs one turn; see the header's `net_dispatch`. The caller is not inside a callback.
    pub fn dispatch(&self, time: Option<Duration>) -> Result {
        let mut event_loop = self.take_loop().ok_or(Error::INVALID)?;
        let done = event_loop.dispatch(time);
        if done == Dispatched::Finished {
            drop(event_loop);
            drop(self.forget());
            return Err(Error::STOPPED);
        }
        self.put_back(event_loop);
        match done {
            Dispatched::Dead => Err(Error::PANIC),
            _ if self.refusal() == Some(Error::PANIC) => Err(Error::PANIC),
            Dispatched::Nothing => Err(Error::TIMEOUT),
            Dispatched::Turn | Dispatched::Finished => Ok(()),
        }
    }

    /// Ends the wait of the present or the next dispatch. A signal handler may call it. INVALID: the net has its own thread.
    pub fn wake(&self) -> Result {
        if !self.config.by_caller {
            return Err(Error::INVALID);
        }
        self.recv_loop.wake_dispatch();
        Ok(())
    }

    /// The descriptor to poll. INVALID: the net has its own thread.
    pub fn descriptor(&self) -> Result<RawFd> {
        self.recv_loop.descriptor().ok_or(Error::INVALID)
    }

    /// On the dispatching thread: runs turns until `is_over`. False: `timeout` passed first, or another thread's stop has ended
    /// the loop.
    pub(super) fn dispatch_until(&self, is_over: impl Fn() -> bool, timeout: Duration) -> bool {
        let end = Instant::now().checked_add(timeout);
        loop {
            if is_over() {
                return true;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            match self.dispatch(left) {
                Err(Error::STOPPED | Error::INVALID) => return is_over(),
                Err(Error::PANIC) => thread::sleep(Duration::from_millis(1)), // such a turn does not wait
                _ => {}
            }
        }
    }

    fn with_kept<T>(&self, call: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        KEPT.with(|list| list.borrow_mut().iter_mut().find(|kept| std::ptr::eq(&*kept.net, self)).map(call))
    }

    fn take_loop(&self) -> Option<Box<EventLoop>> {
        self.with_kept(|kept| kept.event_loop.take())?
    }

    fn put_back(&self, event_loop: Box<EventLoop>) {
        self.with_kept(|kept| kept.event_loop = Some(event_loop));
    }

    /// The caller drops what it gets when the list is no longer borrowed.
    fn forget(&self) -> Option<Kept> {
        KEPT.with(|list| {
            let mut list = list.borrow_mut();
            let place = list.iter().position(|kept| std::ptr::eq(&*kept.net, self))?;
            let kept = list.swap_remove(place);
            if list.is_empty() {
                *list = Vec::new(); // the thread may end with this net as its last
            }
            Some(kept)
        })
    }
}

/// The thread ends. Its nets cannot go on, and other threads may wait for them: each net ends with PANIC.
fn thread_ends() {
    if fork::forked() {
        return;
    }
    let nets: Vec<_> = KEPT.with(|list| list.borrow().iter().map(|kept| Arc::clone(&kept.net)).collect());
    for net in nets {
        net.with_kept(|kept| kept.event_loop.as_mut().map(|event_loop| event_loop.log_abandoned()));
        net.members.die();
        let _ = net.stop(); // a later caller gets the result
        drop(net.forget()); // if the stop has not
    }
}
