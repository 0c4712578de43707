#![allow(unsafe_code)] // signal masks, CPU sets and scheduling policies
//! What threads need of the system: how the library's are started, and that no call is ended by pthread_cancel.
//!
//! Invariant: a signal that anything but the thread itself brings about is never delivered to a thread of the library's:
//! the host's handlers for those are for the host's threads.

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr;
use std::thread::{Builder, JoinHandle};

/// What threads of C programs usually have, which callbacks may count on; pages are taken as they are used.
const STACK: usize = 8 << 20;

/// Signals that a thread brings on itself, by a fault of its code or a system call that a filter traps. Where they are
/// blocked, the kernel ends the process instead of running the host's handler.
const SYNCHRONOUS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Starts a thread with every signal blocked from its first instruction on, and the synchronous ones open from the start
/// of its body on. pthread_cancel has no effect on the thread.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    without_signals(|| {
        Builder::new().name(name.to_owned()).stack_size(STACK).spawn(|| {
            open_synchronous_signals();
            mem::forget(Uncancelled::begin());
            body();
        })
    })
}

/// Runs `start` with every signal blocked: a new thread has the mask of the thread that makes it.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = no_signals();
    // SAFETY: writes to the one set that it is given, alive for the call.
    unsafe { libc::sigfillset(&raw mut all) };
    let before = change_mask(libc::SIG_SETMASK, &all);
    let started = start();
    change_mask(libc::SIG_SETMASK, &before);
    started
}

/// Whether `count` threads can be had at once: makes so many, which do nothing and end. The errno of the failure otherwise.
///
/// Bare threads of the C library's: those of the standard library need the loader, which a caller may hold.
pub fn try_start(count: usize) -> io::Result<()> {
    extern "C" fn wait(gate: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the gate outlives this thread, which its maker joins. Only a signal ends the wait early.
        while unsafe { libc::sem_wait(gate.cast()) } != 0 {}
        ptr::null_mut()
    }
    // SAFETY: an array of bytes, for which all zeroes is a value.
    let mut gate: libc::sem_t = unsafe { mem::zeroed() };
    // SAFETY: a semaphore of this process, in memory that nobody else uses yet.
    unsafe { libc::sem_init(&raw mut gate, 0, 0) };
    let mut threads = Vec::with_capacity(count);
    let started = (0..count).try_for_each(|_| {
        threads.push(start_bare(wait, (&raw mut gate).cast())?);
        Ok(())
    });
    for _ in &threads {
        // SAFETY: the semaphore is initialised.
        unsafe { libc::sem_post(&raw mut gate) };
    }
    for thread in threads {
        // SAFETY: started above, and joined once.
        unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    }
    // SAFETY: nobody waits any more.
    unsafe { libc::sem_destroy(&raw mut gate) };
    started
}

fn start_bare(
    body: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    argument: *mut libc::c_void,
) -> io::Result<libc::pthread_t> {
    // SAFETY: memory for the call below to fill.
    let mut attributes: libc::pthread_attr_t = unsafe { mem::zeroed() };
    // SAFETY: writes to the one struct that it is given, alive for the call.
    unsafe { libc::pthread_attr_init(&raw mut attributes) };
    // SAFETY: initialised, and no such size is refused.
    unsafe { libc::pthread_attr_setstacksize(&raw mut attributes, STACK) };
    let mut thread: libc::pthread_t = 0 as libc::pthread_t;
    // SAFETY: both structs are alive for the call; the body takes any argument that its caller vouches for.
    let made = || unsafe { libc::pthread_create(&raw mut thread, &raw const attributes, body, argument) };
    let result = without_signals(made);
    // SAFETY: initialised above, and not used again.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    if result == 0 { Ok(thread) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn open_synchronous_signals() {
    let mut open = no_signals();
    for signal in SYNCHRONOUS {
        // SAFETY: changes the one set that it is given, alive for the call.
        unsafe { libc::sigaddset(&raw mut open, signal) };
    }
    change_mask(libc::SIG_UNBLOCK, &open);
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: a plain set of bits, for which all zeroes is a value.
    unsafe { mem::zeroed() }
}

/// Changes the signals that this thread blocks, and returns those that it blocked before.
fn change_mask(how: libc::c_int, signals: &libc::sigset_t) -> libc::sigset_t {
    let mut before = no_signals();
    // SAFETY: reads one set and writes the other, both alive for the call; changes this thread alone.
    unsafe { libc::pthread_sigmask(how, ptr::from_ref(signals), &raw mut before) };
    before
}

unsafe extern "C" {
    // POSIX; the libc crate has it for other systems only.
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

/// PTHREAD_CANCEL_DISABLE.
const CANCEL_DISABLE: libc::c_int = 1;

/// While it lives, pthread_cancel does not end this thread, which would unwind frames of Rust: that aborts the process. A
/// cancel that comes meanwhile takes effect at the thread's next cancellation point after.
pub struct Uncancelled {
    before: libc::c_int,
    _of_this_thread: PhantomData<*const ()>,
}

impl Uncancelled {
    /// From now on.
    pub fn begin() -> Uncancelled {
        let mut before = CANCEL_DISABLE;
        // SAFETY: writes to the one int, a local; changes this thread alone.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut before) };
        Uncancelled { before, _of_this_thread: PhantomData }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut unused = CANCEL_DISABLE;
        // SAFETY: puts back the state that was read above, on the thread that it is of; writes to a local.
        unsafe { pthread_setcancelstate(self.before, &raw mut unused) };
    }
}

/// close(2), by syscall(2): libc's own is a cancellation point, and whoever lets go of a descriptor last may be in a send or
/// a receive, for which cancellation is not turned off.
pub fn close(descriptor: OwnedFd) {
    // SAFETY: the descriptor is owned here, and nobody uses it from now on.
    unsafe { libc::syscall(libc::SYS_close, descriptor.into_raw_fd()) };
}

/// Keeps this thread on one CPU. A CPU beyond the largest set is an error without an errno.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such CPU"));
    }
    // SAFETY: a plain set of bits, for which all zeroes is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the CPU is within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: reads the set, alive for the call; changes this thread alone.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, io::Error::last_os_error())),
    }
}

/// Has this thread, when it is woken, wait for the one that runs on its CPU to sleep or to have had its time, instead of
/// interrupting it (SCHED_BATCH). A policy other than the usual one, which the host has chosen, stays; and where the system
/// refuses, nothing changes.
pub fn interrupt_nobody() {
    // Not by its fields, of which musl has more.
    // SAFETY: plain numbers, for which all zeroes is a value; 0 is the priority that the usual policies have.
    let usual: libc::sched_param = unsafe { mem::zeroed() };
    // By system calls, since musl refuses the library's calls. 0 is the calling thread.
    // SAFETY: reads the thread's policy.
    if unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } == libc::c_long::from(libc::SCHED_OTHER) {
        // SAFETY: reads the parameters, alive for the call; changes this thread alone.
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const usual) };
    }
}
