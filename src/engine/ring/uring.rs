#![allow(unsafe_code)] // pushing entries, entering the kernel, registering memory
//! A thin owner of one io_uring. It makes the ring with the best flags that the kernel takes, then pushes, enters and reaps.
//!
//! Only the thread that made it uses it. Invariant: pushed entries reach the kernel in their order, however many there are.
//! A backlog holds the entries for which the submission queue has no room.

use super::size::{COMPLETIONS, RingSize};
use crate::engine::pool::{BufferPool, POOL_GROUP};
use crate::engine::{Completion, Features, Wait};
use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{Builder, IoUring, opcode, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Sends a completion to the ring behind `fd`, which wakes up the thread that waits there. Any thread may call it.
pub fn send_completion(fd: RawFd, user_data: u64) -> io::Result<()> {
    const REGISTER_SEND_MSG_RING: u32 = 31;
    const NO_RING: RawFd = -1;
    let entry = opcode::MsgRingData::new(types::Fd(fd), 0, user_data, None).build();
    // SAFETY: the kernel reads one entry during the call, and the entry points to nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_register, NO_RING, REGISTER_SEND_MSG_RING, &raw const entry, 1u32)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One io_uring.
pub struct Uring {
    uring: IoUring,
    backlog: VecDeque<Entry>,
    features: Features,
    wanted: Features,
    enters: u64,
    entries: u64,
}

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

impl Uring {
    /// Makes a ring with those of the `wanted` features that the kernel has. Fails with the errno of the last try.
    pub fn new(size: RingSize, wanted: Features) -> io::Result<Uring> {
        size.make(|entries| Uring::with_best_flags(entries, wanted))
    }

    fn with_best_flags(entries: u32, wanted: Features) -> io::Result<Uring> {
        let mut ladder: Vec<(Builder, Features)> = Vec::new();
        if wanted.has(Features::DEFER_TASKRUN) {
            let mut newest = Uring::builder(entries);
            newest.setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            let without_array = newest.clone().setup_no_sqarray().clone(); // 6.6
            ladder.push((without_array, Features::DEFER_TASKRUN));
            ladder.push((newest, Features::DEFER_TASKRUN));
        }
        if wanted.has(Features::COOP_TASKRUN) {
            let mut coop = Uring::builder(entries);
            coop.setup_submit_all().setup_coop_taskrun().setup_taskrun_flag();
            ladder.push((coop, Features::COOP_TASKRUN));
        }
        ladder.push((Uring::builder(entries), Features(0)));
        let mut last = io::Error::from_raw_os_error(libc::EINVAL);
        for (builder, flags) in ladder {
            match builder.build(entries) {
                Ok(uring) => return Uring::finish(uring, flags, wanted),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn builder(entries: u32) -> Builder {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_clamp().setup_cqsize(entries * COMPLETIONS);
        builder
    }

    fn finish(uring: IoUring, flags: Features, wanted: Features) -> io::Result<Uring> {
        let params = uring.params();
        // Without these (before 5.11) waits have no time limit, entries must outlive their submission, and completions can
        // be lost.
        if !(params.is_feature_ext_arg() && params.is_feature_nodrop() && params.is_feature_submit_stable()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut found = flags.0;
        if params.is_feature_no_iowait() {
            found |= Features::NO_IOWAIT.0;
        }
        Ok(Uring {
            uring,
            backlog: VecDeque::new(),
            features: Features(found & wanted.0),
            wanted,
            enters: 0,
            entries: 0,
        })
    }

    /// Enters the kernel as a loop does, to submit and to wait, because a filter may allow the set-up and refuse either. The
    /// caller calls it before it pushes anything.
    pub fn try_out(&mut self) -> io::Result<()> {
        self.ask(opcode::Nop::new().build(), Features(0)).map(drop)
    }

    /// Lends `pool` to the kernel. Fails if the kernel has no buffer rings (before 5.19), or memory is short.
    ///
    /// # Safety
    /// The pool outlives this ring.
    pub unsafe fn register_pool(&mut self, pool: &BufferPool) -> io::Result<()> {
        let (address, count) = pool.ring();
        let submitter = self.uring.submitter();
        // SAFETY: the address is a page-aligned mapping of that many entries, and the caller keeps it alive.
        unsafe { submitter.register_buf_ring_with_flags(address, count, POOL_GROUP, 0)? };
        pool.fill();
        self.features.0 |= Features::BUFFER_RING.0;
        Ok(())
    }

    /// Asks the kernel whether it knows a feature. The caller calls it before it pushes anything.
    ///
    /// `entry` asks for the feature with a descriptor that no file has. A kernel that does not know the feature says so. A
    /// kernel that knows it finds no such file. Before 5.18 all kernels looked for the file first.
    pub fn probe(&mut self, feature: Features, entry: Entry) {
        if !self.wants(feature) || !self.uring.params().is_feature_linked_file() {
            return;
        }
        if matches!(self.ask(entry, feature), Ok(Some(answer)) if answer == -libc::EBADF) {
            self.features.0 |= feature.0;
        }
    }

    /// What the kernel answers to `entry`, which writes nothing. `None` in the rare case of no answer in time. Nothing else
    /// is in flight.
    fn ask(&mut self, entry: Entry, about: Features) -> io::Result<Option<i32>> {
        let user_data = u64::from(about.0);
        // SAFETY: the entry receives and accepts nothing, so the kernel writes nothing anywhere.
        unsafe { self.push(entry.user_data(user_data)) };
        self.enter(Wait::For(Duration::from_secs(1)))?;
        // `last` takes all completions, whichever is the answer.
        Ok(self.reap().filter(|answer| answer.number == user_data).last().map(|answer| answer.result))
    }

    /// Where [`send_completion`] may send to, until this ring is dropped. It asks the kernel with a completion that says
    /// `user_data`.
    pub fn probe_send_msg_ring(&mut self, user_data: u64) -> Option<RawFd> {
        let fd = self.uring.as_raw_fd();
        let known = self.wants(Features::SEND_MSG_RING) && send_completion(fd, user_data).is_ok();
        known.then(|| {
            self.features.0 |= Features::SEND_MSG_RING.0;
            fd
        })
    }

    /// Whether an entry can ask for no completion (5.17).
    pub fn knows_skip(&self) -> bool {
        self.uring.params().is_feature_skip_cqe_on_success()
    }

    /// Notes a feature that the ring has shown.
    pub fn found(&mut self, feature: Features) {
        self.features.0 |= feature.0;
    }

    /// What this ring can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether the library may use a feature that is still to be set up.
    pub fn wants(&self, feature: Features) -> bool {
        self.wanted.has(feature)
    }

    /// Calls of io_uring_enter so far, and entries pushed so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.enters, self.entries)
    }

    /// Queues an entry. It reaches the kernel with the next [`Uring::enter`] or a later one.
    ///
    /// # Safety
    /// What the entry points to stays valid until its last completion is reaped.
    pub unsafe fn push(&mut self, entry: Entry) {
        self.entries += 1;
        if self.backlog.is_empty() {
            // SAFETY: the caller vouches for the entry's memory.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    fn refill(&mut self) {
        let mut queue = self.uring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the caller of `push` vouched for the entry's memory.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Whether an enter has something to do without waiting: entries to submit, work put off, or an overflow.
    pub fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow() || !self.backlog.is_empty()
    }

    /// Submits the pushed entries, which do not wait, and does nothing else if the kernel decides all of them. True: it has,
    /// and [`Uring::reap`] finds every completion.
    pub fn decide(&mut self) -> io::Result<bool> {
        self.submit()?;
        if !self.has_decided() {
            self.enter(Wait::No)?; // completions that found no place come back in such an enter alone
        }
        Ok(self.has_decided())
    }

    /// Whether the kernel has taken every entry, and every completion so far is where [`Uring::reap`] finds it.
    pub fn has_decided(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.is_empty() && !queue.cq_overflow() && self.backlog.is_empty()
    }

    /// Whether there is something to reap.
    pub fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Whether the kernel has put work off. It works off some 20 sockets in one enter, and other sockets still wait.
    pub fn is_crowded(&mut self) -> bool {
        self.uring.submission().taskrun()
    }

    /// Submits the pushed entries, and does nothing else: work that was put off is still put off.
    fn submit(&mut self) -> io::Result<()> {
        self.refill();
        let to_submit = self.uring.submission().len() as u32;
        self.enters += 1;
        // SAFETY: without flags there is no argument. The callers of `push` vouched for the entries' memory.
        let result = unsafe { self.uring.submitter().enter::<libc::sigset_t>(to_submit, 0, 0, None) };
        done_or_busy(result)
    }

    /// Submits the pushed entries, and waits as `wait` says. It returns without an error if a signal interrupted it or the
    /// kernel was busy. Then the caller reaps and calls it again.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.refill();
        // It does not wait if entries are left over. The kernel does not wait if there are completions to reap.
        let wait = if self.backlog.is_empty() { wait } else { Wait::No };
        let to_submit = self.uring.submission().len() as u32;
        let iowait = if self.features.has(Features::NO_IOWAIT) { ENTER_NO_IOWAIT } else { 0 };
        let flags = ENTER_GETEVENTS | iowait;
        let submitter = self.uring.submitter();
        self.enters += 1;
        // SAFETY: the flags ask for no memory beyond the argument, which lives on this stack. The callers of `push` vouched
        // for the entries' memory.
        let result = unsafe {
            match wait {
                Wait::No => submitter.enter::<libc::sigset_t>(to_submit, 0, flags, None),
                Wait::Forever => submitter.enter::<libc::sigset_t>(to_submit, 1, flags, None),
                Wait::For(time) => {
                    let time = Timespec::from(time.min(Duration::from_secs(3600)));
                    let arguments = SubmitArgs::new().timespec(&time);
                    submitter.enter(to_submit, 1, flags | ENTER_EXT_ARG, Some(&arguments))
                }
            }
        };
        done_or_busy(result)
    }

    /// Takes the completions.
    #[inline]
    pub fn reap(&mut self) -> impl Iterator<Item = Completion> {
        self.uring.completion().map(|entry| Completion {
            number: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        })
    }

    /// Asks the kernel to end everything in flight, and waits for it up to `time`: the last resort of a dying loop. Kernels
    /// before 6.0 do not know this call. It does not ask kernels before 5.18, because 5.15 waits for everything in flight
    /// before it looks at the question.
    pub fn cancel_all(&mut self, time: Duration) {
        if !self.uring.params().is_feature_linked_file() {
            return;
        }
        let time = Timespec::from(time);
        let _ =
            self.uring.submitter().register_sync_cancel(Some(time), io_uring::types::CancelBuilder::any());
    }
}

/// An enter that a signal interrupted, or that met a busy kernel, is no failure: the caller calls it again.
fn done_or_busy(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => Ok(()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_what_the_kernel_knows_from_what_it_does_not() {
        let Ok(mut ring) = Uring::new(RingSize::new(8), Features(!0)) else {
            eprintln!("skipped: no io_uring here");
            return;
        };
        let (known, unknown) = (Features(1 << 30), Features(1 << 31));
        let receive = || opcode::Recv::new(types::Fd(-1), std::ptr::null_mut(), 0);
        ring.probe(known, receive().build());
        ring.probe(unknown, receive().ioprio(1 << 15).build());
        assert_eq!(ring.features().has(known), ring.uring.params().is_feature_linked_file());
        assert!(!ring.features().has(unknown));
    }

    #[test]
    fn more_entries_than_places_all_complete() {
        let Ok(mut ring) = Uring::new(RingSize::new(8), Features(!0)) else {
            eprintln!("skipped: no io_uring here");
            return;
        };
        for id in 0..1000 {
            let entry = io_uring::opcode::Nop::new().build().user_data(id);
            // SAFETY: a no-op points to nothing.
            unsafe { ring.push(entry) };
        }
        let mut found = Vec::new();
        for _ in 0..10_000 {
            ring.enter(Wait::For(Duration::from_millis(100))).unwrap();
            found.extend(ring.reap().map(|completion| completion.number));
            if found.len() == 1000 {
                break;
            }
        }
        assert_eq!(found, (0..1000).collect::<Vec<_>>());
    }
}
