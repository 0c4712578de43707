#![allow(unsafe_code)] // signal masks, CPU sets and scheduling policies
//! What threads need of the system: how the library starts its own, and how a call is protected from pthread_cancel.
//!
//! A program may call the library while it holds the loader's lock, for example in the constructor of a library that it
//! loads. Such a call may wait for a thread of the library. Therefore no thread of the library may wait for the loader's
//! lock. The registration of a thread-local's destructor takes that lock, so the library's threads have no thread-local with
//! a destructor. The standard library's threads have some. Therefore the library makes its threads itself, and calls neither
//! `std::thread::current` nor `park` on them.
//!
//! Invariant: a thread of the library receives only the signals that the thread itself causes. The host's handlers for all
//! other signals run on the host's threads.

use crate::sync::{Arc, Mutex};
use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The usual stack of threads in C programs, which callbacks may count on. The kernel provides pages as they are used.
const STACK: usize = 8 << 20;

/// Signals that a thread causes itself, by a fault of its code or a system call that a filter traps. If such a signal is
/// blocked, the kernel ends the process and does not run the host's handler.
const SYNCHRONOUS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// A thread of the library, to be joined. If it is dropped, the thread continues detached.
pub struct Thread(libc::pthread_t);

// SAFETY: the name of a thread. Any thread may join or detach it, and the one owner does one of the two once.
unsafe impl Send for Thread {}

impl Thread {
    /// Waits for the end of the thread.
    pub fn join(self) {
        let thread = ManuallyDrop::new(self);
        // SAFETY: neither joined nor detached before, since both take the owner.
        unsafe { libc::pthread_join(thread.0, ptr::null_mut()) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: neither joined nor detached before, as above.
        unsafe { libc::pthread_detach(self.0) };
    }
}

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread of the library.
pub fn is_own() -> bool {
    OWN.try_with(Cell::get).unwrap_or(false)
}

/// A number for this thread that no other thread has while this one lives. It is found sooner than a value of the thread.
#[inline(always)]
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
pub fn place() -> usize {
    let place;
    // SAFETY: on Linux the register leads to the thread's own block, which begins with its address (the psABI for TLS).
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) place, options(nostack, preserves_flags, readonly));
    }
    place
}

/// A number for this thread that no other thread has while this one lives.
#[inline]
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
pub fn place() -> usize {
    thread_local! {
        static PLACE: Cell<u8> = const { Cell::new(0) };
    }
    PLACE.with(|place| ptr::from_ref(place).addr())
}

/// A number for this thread that no other thread of the process ever has.
pub fn id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static ID: Cell<u64> = const { Cell::new(0) };
    }
    if ID.get() == 0 {
        ID.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    }
    ID.get()
}

/// Calls `end` when this thread ends, but not when the process ends. One function for each process: the first call decides.
///
/// The destructor of a thread-local would also run in exit(3), and takes the loader's lock.
pub fn at_end(end: fn()) -> io::Result<()> {
    static KEY: OnceLock<io::Result<libc::pthread_key_t>> = OnceLock::new();
    static END: OnceLock<fn()> = OnceLock::new();
    extern "C" fn run(_: *mut libc::c_void) {
        if let Some(end) = END.get() {
            let _uncancelled = Uncancelled::begin();
            let _ = catch_unwind(AssertUnwindSafe(end));
        }
    }
    END.get_or_init(|| end);
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: writes to a local. The library is never unloaded, so `run` stays.
        match unsafe { libc::pthread_key_create(&raw mut key, Some(run)) } {
            0 => Ok(key),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    });
    let key = *key.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    // SAFETY: a key that was made and is never deleted. The value is not followed. `run` is called if it is not null.
    match unsafe { libc::pthread_setspecific(key, ptr::dangling::<u8>().cast()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

type Body = Box<dyn FnOnce()>;

/// Starts a thread. Every signal is blocked from its first instruction on, and its body begins by opening the synchronous
/// ones. pthread_cancel has no effect on the thread.
pub fn spawn(name: &'static CStr, body: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let body: Body = Box::new(move || {
        // SAFETY: reads the name, a constant, and changes this thread alone.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
        OWN.set(true);
        open_synchronous_signals();
        mem::forget(Uncancelled::begin());
        body();
    });
    let argument = Box::into_raw(Box::new(body));
    let started = without_signals(|| start(argument));
    if started.is_err() {
        // SAFETY: made above, and no thread has it.
        drop(unsafe { Box::from_raw(argument) });
    }
    started
}

/// Starts a thread that runs the body and frees it. After an error the caller still owns the body.
fn start(body: *mut Body) -> io::Result<Thread> {
    // SAFETY: plain memory for the next call to fill.
    let mut attributes: libc::pthread_attr_t = unsafe { mem::zeroed() };
    // SAFETY: writes to the attributes, alive for the call.
    unsafe { libc::pthread_attr_init(&raw mut attributes) };
    // SAFETY: initialised above. The size is a whole number of pages above the least, so it is not refused.
    unsafe { libc::pthread_attr_setstacksize(&raw mut attributes, STACK) };
    // SAFETY: a number or a pointer, for which all zeroes is a value. The next call writes it.
    let mut thread: libc::pthread_t = unsafe { mem::zeroed() };
    // SAFETY: thread and attributes are alive for the call. `run` takes ownership of the body.
    let errno = unsafe { libc::pthread_create(&raw mut thread, &raw const attributes, run, body.cast()) };
    // SAFETY: initialised above, and not used again.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    if errno == 0 { Ok(Thread(thread)) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// The start of a thread.
extern "C" fn run(body: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `spawn` made it for this thread alone.
    let body = unsafe { Box::from_raw(body.cast::<Body>()) };
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        tracing::error!("a thread of the library's panicked");
    }
    ptr::null_mut()
}

/// Runs `start` with every signal blocked: a new thread inherits the mask of its creator.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = no_signals();
    // SAFETY: writes to the one set that it is given, alive for the call.
    unsafe { libc::sigfillset(&raw mut all) };
    let before = change_mask(libc::SIG_SETMASK, &all);
    let result = start();
    change_mask(libc::SIG_SETMASK, &before);
    result
}

/// Tries whether `count` threads can run at once: starts that many, which do nothing and end. Returns the error of a
/// failure.
pub fn try_start(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let shut = gate.lock();
    let mut threads = Vec::with_capacity(count);
    let started = (0..count).try_for_each(|_| {
        let gate = Arc::clone(&gate);
        threads.push(spawn(c"iouringnet-try", move || drop(gate.lock()))?);
        Ok(())
    });
    drop(shut);
    threads.into_iter().for_each(Thread::join);
    started
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
    // SAFETY: reads one set and writes the other, both alive for the call. Changes this thread alone.
    unsafe { libc::pthread_sigmask(how, ptr::from_ref(signals), &raw mut before) };
    before
}

unsafe extern "C" {
    // POSIX. The libc crate has it for other systems only.
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

/// PTHREAD_CANCEL_DISABLE.
const CANCEL_DISABLE: libc::c_int = 1;

/// While it lives, pthread_cancel does not end this thread. A cancel would unwind Rust frames, which aborts the process. A
/// cancel that comes meanwhile takes effect later, at the thread's next cancellation point.
pub struct Uncancelled {
    before: libc::c_int,
    _of_this_thread: PhantomData<*const ()>,
}

impl Uncancelled {
    /// Protects this thread from now on.
    pub fn begin() -> Uncancelled {
        let mut before = CANCEL_DISABLE;
        // SAFETY: writes to the one int, a local, and changes this thread alone.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut before) };
        Uncancelled { before, _of_this_thread: PhantomData }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut unused = CANCEL_DISABLE;
        // SAFETY: restores the state that was read above, on the same thread, and writes to a local.
        unsafe { pthread_setcancelstate(self.before, &raw mut unused) };
    }
}

/// close(2), by syscall(2): libc's own close is a cancellation point. The last owner may drop a descriptor in a send or a
/// receive, where cancellation is enabled.
pub fn close(descriptor: OwnedFd) {
    // SAFETY: the descriptor is owned here, and no code uses it from now on.
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
    // SAFETY: reads the set, alive for the call, and changes this thread alone.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, io::Error::last_os_error())),
    }
}

/// Sets SCHED_BATCH. After a wake-up this thread waits until the running thread of its CPU sleeps or has used its time, and
/// does not preempt it. The call changes nothing if the host has chosen another policy or the system refuses.
pub fn sched_batch() {
    // Zeroed as a whole, because musl's struct has more fields.
    // SAFETY: plain numbers, for which all zeroes is a value. 0 is the priority of the usual policies.
    let usual: libc::sched_param = unsafe { mem::zeroed() };
    // By system calls, since musl refuses the library's calls. 0 is the calling thread.
    // SAFETY: reads the thread's policy.
    if unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } == libc::c_long::from(libc::SCHED_OTHER) {
        // SAFETY: reads the parameters, alive for the call, and changes this thread alone.
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const usual) };
    }
}
