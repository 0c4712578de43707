#![allow(unsafe_code)] // getaddrinfo
//! Resolves names to addresses, on threads of its own.
//!
//! getaddrinfo blocks and cannot be interrupted, so each lookup has a thread. After a lookup the thread takes the next one
//! that waits. It ends if none waits.
//!
//! The number of threads is bounded, and so is their number for one name: a name that hangs leaves threads for others. No
//! caller waits for a thread. A thread owns a name and a weak reference to its asker.
//!
//! Invariant: an accepted question gets exactly one answer, and a refused one none. Exception: if the asker is gone first,
//! there is no answer. While a question waits that may begin, every thread is busy, or the system has refused a new thread.

use crate::error::{Error, Result};
use crate::hosts;
use crate::sync::Mutex;
use crate::sys::to_error;
use crate::threads;
use std::collections::VecDeque;
use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, LazyLock, Weak};

/// The bounds for threads, for threads that look up one name, and for questions that wait.
const THREADS_MAX: usize = 64;
const OF_ONE_NAME_MAX: usize = 8;
const WAITING_MAX: usize = 1024;

/// The asker for the addresses of a name. If it is gone before the lookup begins, its question is dropped and takes no
/// place.
pub trait Asker: Send + Sync {
    /// Receives the addresses, in the order to try them. Called once, on a resolver thread.
    fn answered(self: Arc<Self>, answer: Result<Vec<SocketAddr>>);
}

static RESOLVER: LazyLock<Resolver> = LazyLock::new(Resolver::new);

/// Asks for the addresses of `host`. LIMIT: too many questions wait. After an error there is no answer.
pub fn resolve(host: &str, port: u16, asker: Weak<dyn Asker>) -> Result<()> {
    RESOLVER.submit(Question { host: c_host(host)?, port, asker })
}

/// Resolves `host` on the caller's thread, however long it takes. The hosts file comes first.
pub fn resolve_now(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    hosts::find(host, port).map_or_else(|| look_up(&c_host(host)?, port), Ok)
}

#[derive(Clone)]
struct Question {
    host: CString,
    port: u16,
    asker: Weak<dyn Asker>,
}

struct Resolver {
    /// Not held during a lookup or an answer.
    lookups: Mutex<Lookups>,
}

#[derive(Default)]
struct Lookups {
    /// The name that each thread looks up now.
    running: Vec<CString>,
    waiting: VecDeque<Question>,
}

impl Resolver {
    fn new() -> Resolver {
        Resolver { lookups: Mutex::new(Lookups::default()) }
    }

    fn submit(&'static self, question: Question) -> Result<()> {
        let mut lookups = self.lookups.lock();
        let may_begin = lookups.has_thread_for(&question.host);
        lookups.waiting.push_back(question);
        let begun = if may_begin { self.begin_next(&mut lookups) } else { Ok(()) };
        if begun.is_err() && lookups.running.is_empty() {
            lookups.waiting.pop_back();
            return begun; // else a running thread takes the question later
        }
        lookups.keep_bound()
    }

    /// Starts a thread for the first question that may begin.
    fn begin_next(&'static self, lookups: &mut Lookups) -> Result<()> {
        let Some(question) = lookups.take_next() else {
            return Ok(());
        };
        let first = question.clone();
        match threads::spawn(c"iouringnet-name", move || self.serve(first)) {
            Ok(_detached) => {
                lookups.running.push(question.host);
                Ok(())
            }
            Err(error) => {
                lookups.waiting.push_front(question);
                Err(to_error(error))
            }
        }
    }

    /// The body of a resolver thread.
    fn serve(&self, first: Question) {
        let mut next = Some(first);
        while let Some(question) = next {
            question.answer();
            let mut lookups = self.lookups.lock();
            lookups.ended(&question.host);
            next = lookups.take_next();
            lookups.running.extend(next.as_ref().map(|question| question.host.clone()));
        }
    }
}

impl Lookups {
    fn has_thread_for(&self, host: &CString) -> bool {
        self.running.len() < THREADS_MAX
            && self.running.iter().filter(|running| *running == host).count() < OF_ONE_NAME_MAX
    }

    /// Takes the first question that may begin and whose asker still exists.
    fn take_next(&mut self) -> Option<Question> {
        self.forget_abandoned();
        let at = self.waiting.iter().position(|question| self.has_thread_for(&question.host))?;
        self.waiting.remove(at)
    }

    fn forget_abandoned(&mut self) {
        self.waiting.retain(|question| question.asker.strong_count() > 0);
    }

    /// Checks the bound after a new question. LIMIT: one too many waits, and the new question is removed.
    fn keep_bound(&mut self) -> Result<()> {
        if self.waiting.len() > WAITING_MAX {
            self.forget_abandoned();
        }
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_back();
            return Err(Error::LIMIT);
        }
        Ok(())
    }

    fn ended(&mut self, host: &CString) {
        let at = self.running.iter().position(|running| running == host);
        debug_assert!(at.is_some(), "each thread's name is listed");
        if let Some(at) = at {
            self.running.swap_remove(at);
        }
    }
}

impl Question {
    /// Catches a panic: the thread must stay in the count.
    fn answer(&self) {
        let answer = || {
            let addresses = look_up(&self.host, self.port);
            if let Some(asker) = self.asker.upgrade() {
                asker.answered(addresses);
            }
        };
        if catch_unwind(AssertUnwindSafe(answer)).is_err() {
            tracing::error!("the answer to a name panicked");
        }
    }
}

fn c_host(host: &str) -> Result<CString> {
    if host.is_empty() {
        return Err(Error::INVALID);
    }
    CString::new(host).map_err(|_| Error::INVALID)
}

/// The list that getaddrinfo made. It is freed when dropped.
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
    // SAFETY: numbers and pointers, for which all zeroes is a value: no flags, any family.
    // AI_ADDRCONFIG stays off, because it would hide loopback addresses on a machine without a network.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found = Found(ptr::null_mut());
    // SAFETY: host ends in zero. hints and found.0 outlive the call, which writes found.0 only.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut found.0) };
    if code != 0 {
        return Err(lookup_error(code, Error::last_os()));
    }
    let mut addresses = Vec::new();
    let mut next = found.0.cast_const();
    while !next.is_null() {
        // SAFETY: `next` is an element of the list. The list lives until `found` is dropped, and no code changes it.
        let entry = unsafe { &*next };
        if let Some(address) = address_of(entry, port) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        next = entry.ai_next;
    }
    if addresses.is_empty() { Err(Error::NAME) } else { Ok(addresses) }
}

/// `None` for families other than IPv4 and IPv6.
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
        _ => Error::NAME, // EAI_NONAME, EAI_NODATA, and failures that a retry cannot fix
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, unbounded};
    use std::thread;

    type Answer = Result<Vec<SocketAddr>>;

    /// Passes each answer to a function.
    struct Probe<F>(F);

    impl<F: Fn(Answer) + Send + Sync> Asker for Probe<F> {
        fn answered(self: Arc<Self>, answer: Answer) {
            (self.0)(answer);
        }
    }

    fn asker(answered: impl Fn(Answer) + Send + Sync + 'static) -> Arc<dyn Asker> {
        Arc::new(Probe(answered))
    }

    fn resolver() -> &'static Resolver {
        Box::leak(Box::new(Resolver::new()))
    }

    /// Numbers stand in for names: the C library resolves them at once.
    fn ask(resolver: &'static Resolver, host: &str, asker: &Arc<dyn Asker>) -> Result<()> {
        resolver.submit(Question { host: c_host(host)?, port: 7000, asker: Arc::downgrade(asker) })
    }

    /// Makes threads busy before it returns, and keeps them busy until the sender is dropped.
    fn block(resolver: &'static Resolver, hosts: &[String]) -> (Arc<dyn Asker>, Sender<()>) {
        let (release, held) = unbounded::<()>();
        let (started, starts) = unbounded();
        let held = Mutex::new(held);
        let busy = asker(move |_| {
            started.send(()).unwrap();
            held.lock().recv().unwrap_err();
        });
        for host in hosts {
            ask(resolver, host, &busy).unwrap();
        }
        hosts.iter().for_each(|_| starts.recv().unwrap());
        (busy, release)
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("127.0.1.{number}")).collect()
    }

    fn counting() -> (Arc<dyn Asker>, Receiver<()>) {
        let (answered, answers) = unbounded();
        (asker(move |_| answered.send(()).unwrap()), answers)
    }

    fn wait_until_idle(resolver: &Resolver) {
        while !resolver.lookups.lock().running.is_empty() {
            thread::yield_now();
        }
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
        let (sender, receiver) = unbounded();
        let asker = asker(move |answer| sender.send((answer, thread::current().id())).unwrap());
        resolve("127.0.0.1", 7000, Arc::downgrade(&asker)).unwrap();
        let (answer, thread) = receiver.recv().unwrap();
        assert_eq!(answer, Ok(vec!["127.0.0.1:7000".parse().unwrap()]));
        assert_ne!(thread, thread::current().id());
    }

    #[test]
    fn an_unknown_name_says_so() {
        let error = resolve_now("no-such-host.invalid", 7000).unwrap_err();
        assert!(error == Error::NAME || error == Error::NAME_AGAIN, "{error:?}");
        let refused = asker(|_| panic!("refused"));
        for junk in ["", "a\0b"] {
            assert_eq!(resolve_now(junk, 1), Err(Error::INVALID));
            assert_eq!(resolve(junk, 1, Arc::downgrade(&refused)), Err(Error::INVALID));
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
        let resolver = resolver();
        let held = block(resolver, &names(THREADS_MAX));
        let (asker, answers) = counting();
        for _ in 0..WAITING_MAX {
            ask(resolver, "127.0.0.1", &asker).unwrap();
        }
        assert_eq!(ask(resolver, "127.0.0.1", &asker), Err(Error::LIMIT));
        assert_eq!(resolver.lookups.lock().running.len(), THREADS_MAX);
        drop(held);
        for _ in 0..WAITING_MAX {
            answers.recv().unwrap();
        }
        wait_until_idle(resolver);
        assert!(answers.try_recv().is_err(), "one answer for each question");
    }

    #[test]
    fn one_name_has_some_of_the_threads() {
        let resolver = resolver();
        let held = block(resolver, &vec!["127.0.0.2".to_owned(); OF_ONE_NAME_MAX]);
        let (same, same_answers) = counting();
        let (other, other_answers) = counting();
        for _ in 0..WAITING_MAX {
            ask(resolver, "127.0.0.2", &same).unwrap();
        }
        ask(resolver, "127.0.0.1", &other).unwrap();
        other_answers.recv().unwrap();
        assert!(same_answers.try_recv().is_err());
        assert_eq!(ask(resolver, "127.0.0.2", &same), Err(Error::LIMIT));
        drop(held);
        same_answers.recv().unwrap();
        wait_until_idle(resolver);
    }

    #[test]
    fn questions_begin_in_their_order_and_the_last_one_is_refused() {
        let asker = asker(|_| panic!("nobody is asked"));
        let question =
            |host: &str| Question { host: c_host(host).unwrap(), port: 1, asker: Arc::downgrade(&asker) };
        let mut lookups = Lookups::default();
        for host in ["a", "b", "c"] {
            lookups.waiting.push_back(question(host));
            assert_eq!(lookups.keep_bound(), Ok(()));
        }
        lookups.running = vec![c_host("b").unwrap(); OF_ONE_NAME_MAX];
        for host in ["a", "c"] {
            assert_eq!(lookups.take_next().unwrap().host, c_host(host).unwrap());
        }
        assert!(lookups.take_next().is_none(), "b has its share of the threads");
        while lookups.waiting.len() < WAITING_MAX {
            lookups.waiting.push_back(question("b"));
        }
        lookups.waiting.push_back(question("late"));
        assert_eq!(lookups.keep_bound(), Err(Error::LIMIT));
        assert!(lookups.waiting.iter().all(|waits| waits.host == c_host("b").unwrap()));
        assert_eq!(lookups.waiting.len(), WAITING_MAX);
    }

    #[test]
    fn questions_whose_asker_is_gone_take_no_place() {
        let resolver = resolver();
        let held = block(resolver, &names(THREADS_MAX));
        for _ in 0..3 {
            let gone = asker(|_| panic!("nobody asks any more"));
            for _ in 0..WAITING_MAX {
                ask(resolver, "127.0.0.1", &gone).unwrap();
            }
        }
        let (asker, answers) = counting();
        ask(resolver, "127.0.0.1", &asker).unwrap();
        drop(held);
        answers.recv().unwrap();
        wait_until_idle(resolver);
        assert!(resolver.lookups.lock().waiting.is_empty());
    }

    #[test]
    fn an_answer_that_panics_costs_no_thread() {
        let resolver = resolver();
        let panics = asker(|_| panic!("meant by the test"));
        let (asker, answers) = counting();
        for _ in 0..OF_ONE_NAME_MAX + 1 {
            ask(resolver, "127.0.0.1", &panics).unwrap();
        }
        ask(resolver, "127.0.0.1", &asker).unwrap();
        answers.recv().unwrap();
        wait_until_idle(resolver);
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
        let (sender, receiver) = unbounded();
        let signals = [libc::SIGTERM, libc::SIGPROF, libc::SIGSEGV];
        let asker = asker(move |_| sender.send(signals.map(blocked)).unwrap());
        ask(resolver(), "127.0.0.1", &asker).unwrap();
        assert_eq!(receiver.recv().unwrap(), [true, true, false]);
        assert!(!blocked(libc::SIGTERM));
    }
}
