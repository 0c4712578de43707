#![allow(unsafe_code)] // getaddrinfo
//! Names to addresses, off the loops.
//!
//! getaddrinfo blocks and cannot be interrupted, so it runs on up to eight threads of its own, made when all
//! others are busy and gone after a while without work. Nobody waits for them: a thread owns a name and a
//! place for the reply, nothing else. Invariant: an accepted question gets exactly one reply, a refused one
//! none; the pool counts under one lock, which is held neither during a question nor during a reply.

use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::threads;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::LazyLock;
use std::time::Duration;

/// Most threads, and most questions that wait for one.
const THREADS_MAX: usize = 8;
const WAITING_MAX: usize = 1024;
/// How long a thread without work stays.
const LINGER: Duration = Duration::from_secs(2);

/// Called once with the addresses, in the order to try them, on a resolver thread.
pub type Reply = Box<dyn FnOnce(Result<Vec<SocketAddr>>) + Send>;

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(LINGER));

/// Asks for the addresses of `host`. LIMIT if too many questions wait; then, as with any error, the reply
/// never runs.
pub fn resolve(host: String, port: u16, reply: Reply) -> Result<()> {
    POOL.submit(Question { host: c_host(&host)?, port, reply })
}

/// The same on the caller's thread, for as long as it takes.
pub fn resolve_now(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    look_up(&c_host(host)?, port)
}

struct Question {
    host: CString,
    port: u16,
    reply: Reply,
}

struct Pool {
    sender: Sender<Question>,
    receiver: Receiver<Question>,
    counts: Mutex<Counts>,
    linger: Duration,
}

struct Counts {
    threads: usize,
    /// Accepted and not yet answered.
    open: usize,
}

impl Pool {
    fn new(linger: Duration) -> Pool {
        let (sender, receiver) = bounded(WAITING_MAX);
        Pool { sender, receiver, counts: Mutex::new(Counts { threads: 0, open: 0 }), linger }
    }

    /// Sends under the lock, so that no thread can leave between the count and the question.
    fn submit(&'static self, question: Question) -> Result<()> {
        let mut counts = self.counts.lock();
        if counts.open >= counts.threads && counts.threads < THREADS_MAX {
            match self.spawn() {
                Ok(()) => counts.threads += 1,
                Err(error) if counts.threads == 0 => return Err(error),
                Err(_) => {} // the threads there are will come to it
            }
        }
        match self.sender.try_send(question) {
            Ok(()) => counts.open += 1,
            // A disconnected channel cannot be: the pool holds both ends.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(Error::LIMIT),
        }
        Ok(())
    }

    fn spawn(&'static self) -> Result<()> {
        match threads::spawn("iouringnet-name", || self.serve()) {
            Ok(_detached) => Ok(()),
            Err(error) => Err(Error::from_errno(error.raw_os_error().unwrap_or(libc::EAGAIN))),
        }
    }

    fn serve(&self) {
        loop {
            match self.receiver.recv_timeout(self.linger) {
                Ok(question) => {
                    question.answer();
                    self.counts.lock().open -= 1;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let mut counts = self.counts.lock();
                    if self.receiver.is_empty() {
                        counts.threads -= 1;
                        return;
                    }
                }
            }
        }
    }
}

impl Question {
    /// A reply that panics must not take its thread out of the count.
    fn answer(self) {
        let answer = look_up(&self.host, self.port);
        if catch_unwind(AssertUnwindSafe(|| (self.reply)(answer))).is_err() {
            tracing::error!("a reply to a resolved name panicked");
        }
    }
}

fn c_host(host: &str) -> Result<CString> {
    if host.is_empty() {
        return Err(Error::INVALID);
    }
    CString::new(host).map_err(|_| Error::INVALID)
}

/// The list that getaddrinfo made, freed when dropped.
struct Found(*mut libc::addrinfo);

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the head of a list from getaddrinfo, freed only here.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

fn look_up(host: &CString, port: u16) -> Result<Vec<SocketAddr>> {
    // SAFETY: numbers and pointers, for which all zeroes is a value: no flags, any family. AI_ADDRCONFIG
    // stays off, as it would hide loopback addresses on a machine without a network.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found = Found(ptr::null_mut());
    // SAFETY: host ends in zero; hints and found.0 outlive the call, which writes found.0 only.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut found.0) };
    if code != 0 {
        return Err(lookup_error(code, Error::last_os()));
    }
    let mut addresses = Vec::new();
    let mut next = found.0.cast_const();
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, alive until `found` is dropped and changed by nobody.
        let entry = unsafe { &*next };
        if let Some(address) = address_of(entry, port)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
        next = entry.ai_next;
    }
    if addresses.is_empty() { Err(Error::NAME) } else { Ok(addresses) }
}

/// `None` for families other than the two of TCP.
fn address_of(entry: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    let size = entry.ai_addrlen as usize;
    match entry.ai_family {
        libc::AF_INET if size >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: by family and length, getaddrinfo put a sockaddr_in there.
            let v4 = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in>()) };
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), port)))
        }
        libc::AF_INET6 if size >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: by family and length, getaddrinfo put a sockaddr_in6 there.
            let v6 = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in6>()) };
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(v6.sin6_addr.s6_addr),
                port,
                0,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

fn lookup_error(code: i32, system: Error) -> Error {
    match code {
        libc::EAI_AGAIN => Error::NAME_AGAIN,
        libc::EAI_SYSTEM => system,
        libc::EAI_MEMORY => Error::from_errno(libc::ENOMEM),
        _ => Error::NAME, // EAI_NONAME, EAI_NODATA, and failures that no retry mends
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    fn pool(linger: Duration) -> &'static Pool {
        Box::leak(Box::new(Pool::new(linger)))
    }

    fn ask(
        pool: &'static Pool,
        host: &str,
        reply: impl FnOnce(Result<Vec<SocketAddr>>) + Send + 'static,
    ) -> Result<()> {
        pool.submit(Question { host: c_host(host)?, port: 7000, reply: Box::new(reply) })
    }

    /// Keeps a thread busy until the returned sender is dropped.
    fn block(pool: &'static Pool, started: &Sender<()>) -> Sender<()> {
        let (release, held) = channel::<()>();
        let started = started.clone();
        ask(pool, "127.0.0.1", move |_| {
            started.send(()).unwrap();
            held.recv().unwrap_err();
        })
        .unwrap();
        release
    }

    #[test]
    fn a_number_and_a_name_are_resolved() {
        assert_eq!(resolve_now("127.0.0.1", 7), Ok(vec!["127.0.0.1:7".parse().unwrap()]));
        assert_eq!(resolve_now("::1", 7), Ok(vec!["[::1]:7".parse().unwrap()]));
        let addresses = resolve_now("localhost", 7000).unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7000));
        let mut once = addresses.clone();
        once.dedup();
        assert_eq!(addresses, once);
    }

    #[test]
    fn the_answer_arrives_on_another_thread() {
        let (sender, receiver) = channel();
        let reply = move |answer| sender.send((answer, thread::current().id())).unwrap();
        resolve("localhost".to_owned(), 7000, Box::new(reply)).unwrap();
        let (answer, thread) = receiver.recv().unwrap();
        assert_eq!(answer, resolve_now("localhost", 7000));
        assert_ne!(thread, thread::current().id());
    }

    #[test]
    fn an_unknown_name_says_so() {
        let error = resolve_now("no-such-host.invalid", 7000).unwrap_err();
        assert!(error == Error::NAME || error == Error::NAME_AGAIN, "{error:?}");
        for junk in ["", "a\0b"] {
            assert_eq!(resolve_now(junk, 1), Err(Error::INVALID));
            assert_eq!(resolve(junk.to_owned(), 1, Box::new(|_| panic!("refused"))), Err(Error::INVALID));
        }
    }

    #[test]
    fn the_c_librarys_codes_are_told_apart() {
        let system = Error::from_errno(libc::EMFILE);
        assert_eq!(lookup_error(libc::EAI_NONAME, system), Error::NAME);
        assert_eq!(lookup_error(libc::EAI_NODATA, system), Error::NAME);
        assert_eq!(lookup_error(libc::EAI_FAIL, system), Error::NAME);
        assert_eq!(lookup_error(libc::EAI_AGAIN, system), Error::NAME_AGAIN);
        assert_eq!(lookup_error(libc::EAI_SYSTEM, system), system);
        assert_eq!(lookup_error(libc::EAI_MEMORY, system), Error::from_errno(libc::ENOMEM));
    }

    #[test]
    fn beyond_the_bounds_a_question_is_refused_and_nothing_is_lost() {
        let pool = pool(Duration::from_secs(60));
        let (started, starts) = channel();
        let held: Vec<_> = (0..THREADS_MAX).map(|_| block(pool, &started)).collect();
        for _ in 0..THREADS_MAX {
            starts.recv().unwrap();
        }
        let (replied, replies) = channel();
        for _ in 0..WAITING_MAX {
            let replied = replied.clone();
            ask(pool, "127.0.0.1", move |_| replied.send(()).unwrap()).unwrap();
        }
        let refused = replied.clone();
        assert_eq!(ask(pool, "127.0.0.1", move |_| refused.send(()).unwrap()), Err(Error::LIMIT));
        assert_eq!(pool.counts.lock().threads, THREADS_MAX);
        drop((replied, held));
        assert_eq!(replies.iter().count(), WAITING_MAX);
    }

    #[test]
    fn a_thread_that_is_free_is_used_again_and_leaves_in_the_end() {
        let pool = pool(Duration::from_millis(50));
        let (replied, replies) = channel();
        let wait_for = |reached: fn(&Counts) -> bool| {
            while !reached(&pool.counts.lock()) {
                thread::yield_now();
            }
        };
        for _ in 0..2 {
            let replied = replied.clone();
            ask(pool, "127.0.0.1", move |_| replied.send(()).unwrap()).unwrap();
            replies.recv().unwrap();
            wait_for(|counts| counts.open == 0);
            assert!(pool.counts.lock().threads <= 1);
        }
        wait_for(|counts| counts.threads == 0);
        ask(pool, "127.0.0.1", move |_| replied.send(()).unwrap()).unwrap();
        replies.recv().unwrap();
    }

    #[test]
    fn a_reply_that_panics_costs_no_thread() {
        let pool = pool(Duration::from_secs(60));
        let (replied, replies) = channel();
        for _ in 0..THREADS_MAX + 1 {
            ask(pool, "127.0.0.1", |_| panic!("meant by the test")).unwrap();
        }
        ask(pool, "127.0.0.1", move |_| replied.send(()).unwrap()).unwrap();
        replies.recv().unwrap();
        while pool.counts.lock().open != 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn signals_are_blocked_in_the_threads_and_nowhere_else() {
        fn blocked(signal: i32) -> bool {
            // SAFETY: a plain set of bits, for which all zeroes is a value.
            let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: only reads the mask of this thread into the set.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut mask) };
            // SAFETY: the set was filled above.
            unsafe { libc::sigismember(&raw const mask, signal) == 1 }
        }
        let (sender, receiver) = channel();
        let signals = [libc::SIGTERM, libc::SIGPROF, libc::SIGSEGV];
        let reply = move |_| sender.send(signals.map(blocked)).unwrap();
        ask(pool(Duration::ZERO), "127.0.0.1", reply).unwrap();
        assert_eq!(receiver.recv().unwrap(), [true, true, false]);
        assert!(!blocked(libc::SIGTERM));
    }
}
