//! What is next for a watch; a watch whose messages come one by one without the lock, and what interrupts them.

use super::*;
use crate::config::Config;
use crate::net::Net;
use crate::stream::fixture::open;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

/// A watched stream whose messages come one by one. Nothing else has happened to the stream.
struct Steady {
    net: Arc<Net>,
    stream: Arc<Stream>,
    peer: TcpStream,
    calls: Receiver<(Result, Vec<u8>)>,
}

impl Steady {
    /// The first byte of a message says what the callback does.
    fn new() -> Option<Steady> {
        let (net, stream, peer) = open(Config::default())?;
        peer.set_nodelay(true).unwrap();
        let (report, calls) = unbounded();
        let watched = Arc::clone(&stream);
        let callback = move |result: Result, bytes: &[u8]| {
            report.send((result, bytes.to_vec())).unwrap();
            match bytes.first() {
                Some(b'h') => return bytes.len() / 2,
                Some(b'm') => return bytes.len() + 1,
                Some(b'p') => watched.pause().unwrap(),
                Some(b'c') => watched.close(),
                Some(b'!') => panic!("as it was told"),
                _ => {}
            }
            bytes.len()
        };
        stream.watch(Some(DataCallback::boxed(callback)), None).unwrap();
        let steady = Steady { net, stream, peer, calls };
        steady.goes_on();
        Some(steady)
    }

    fn send(&self, message: &str) {
        (&self.peer).write_all(message.as_bytes()).unwrap();
    }

    fn shows(&self, bytes: &str) {
        assert_eq!(self.calls.recv_timeout(LONG), Ok((Ok(()), bytes.as_bytes().to_vec())));
    }

    fn shows_nothing(&self) {
        assert_eq!(self.calls.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
    }

    fn goes_on(&self) {
        for message in ["one", "two", "three", "four"] {
            self.send(message);
            self.shows(message);
        }
    }

    fn ends(self, last: Error) {
        assert_eq!(self.calls.recv_timeout(LONG), Ok((Err(last), Vec::new())));
        self.over();
    }

    fn over(self) {
        self.stream.close();
        drop(self.peer); // or the connection lingers
        assert_eq!(self.net.stop(), Ok(()));
        assert_eq!(self.calls.try_recv().ok(), None);
    }
}

#[test]
fn what_a_call_leaves_is_shown_with_the_next_bytes() {
    let Some(steady) = Steady::new() else { return };
    steady.send("half");
    steady.shows("half");
    steady.send(" a message");
    steady.shows("lf a message");
    steady.goes_on();
    steady.send("more");
    steady.shows("more");
    steady.ends(Error::INVALID);
}

#[test]
fn a_pause_stops_the_calls_wherever_it_comes_from() {
    let Some(steady) = Steady::new() else { return };
    steady.stream.pause().unwrap();
    steady.send("kept");
    steady.shows_nothing();
    steady.stream.resume().unwrap();
    steady.shows("kept");
    steady.goes_on();
    steady.send("pause");
    steady.shows("pause");
    steady.send("kept");
    steady.shows_nothing();
    steady.stream.resume().unwrap();
    steady.shows("kept");
    steady.goes_on();
    steady.stream.unwatch();
    steady.ends(Error::CANCELLED);
}

#[test]
fn a_time_limit_counts_from_when_it_is_set() {
    let Some(steady) = Steady::new() else { return };
    steady.stream.set_idle_timeout(Some(SHORT)).unwrap();
    steady.ends(Error::TIMEOUT);
}

#[test]
fn a_close_ends_the_watch_from_inside_and_outside() {
    let Some(steady) = Steady::new() else { return };
    steady.stream.close();
    steady.ends(Error::CLOSED);
    let Some(steady) = Steady::new() else { return };
    steady.send("close");
    steady.shows("close");
    steady.ends(Error::CLOSED);
    let Some(steady) = Steady::new() else { return };
    steady.peer.shutdown(std::net::Shutdown::Write).unwrap();
    steady.ends(Error::EOF);
}

#[test]
fn a_callback_that_panics_is_not_called_again() {
    let Some(steady) = Steady::new() else { return };
    steady.send("!");
    steady.shows("!");
    assert_eq!(steady.calls.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    steady.over();
}

/// What is next for the watch of `state`, in a turn in which nothing has been done.
fn next(state: &mut State) -> Work {
    state.watch_work(Instant::now(), &mut Turn::default())
}

#[test]
fn the_state_of_a_watch_says_what_is_next() {
    let mut state = State::new();
    assert_eq!(next(&mut state), Work::Nothing, "no watch");
    state.watch = Some(Watch::new(DataCallback::boxed(|_, bytes| bytes.len())));
    assert_eq!(next(&mut state), Work::Receive, "nothing is kept");
    state.buffer.append(b"kept");
    assert_eq!(next(&mut state), Work::Show, "the first call is owed");
    assert_eq!(next(&mut state), Work::Receive, "it has been made");

    let watch = |state: &mut State, change: fn(&mut Watch)| change(state.watch.as_mut().unwrap());
    watch(&mut state, |watch| watch.bulk = true);
    let mut turn = Turn::default();
    assert_eq!(state.watch_work(Instant::now(), &mut turn), Work::ReceiveBulk);
    assert_eq!(state.watch_work(Instant::now(), &mut turn), Work::Receive, "once in a turn");

    state.end = Some(Error::EOF);
    watch(&mut state, |watch| watch.paused = true);
    assert_eq!(next(&mut state), Work::Rest, "the end waits for a resume");
    watch(&mut state, |watch| (watch.paused, watch.owed) = (false, true));
    let mut turn = Turn::default();
    assert_eq!(state.watch_work(Instant::now(), &mut turn), Work::Show, "kept bytes come before the end");
    watch(&mut state, |watch| watch.owed = true);
    assert_eq!(state.watch_work(Instant::now(), &mut turn), Work::Nothing, "resumed in the call");
    watch(&mut state, |watch| watch.owed = false);
    assert_eq!(next(&mut state), Work::End(Error::EOF));
}

#[test]
fn the_first_reason_ends_a_watch_and_a_cause_comes_before_it() {
    let mut state = State::new();
    state.watch = Some(Watch::new(DataCallback::boxed(|_, bytes| bytes.len())));
    assert!(state.end_idle(Instant::now()));
    assert_eq!(next(&mut state), Work::End(Error::TIMEOUT));
    state.watch.as_mut().unwrap().end(Error::CANCELLED);
    assert_eq!(next(&mut state), Work::End(Error::TIMEOUT));
    state.cause = Some(Error::CLOSED);
    assert_eq!(next(&mut state), Work::End(Error::CLOSED));
}

/// A loop that is late has not come to what the kernel had before the deadline.
#[test]
fn a_deadline_counts_once_all_from_before_it_is_handled() {
    let Some((net, stream, peer)) = open(Config::default()) else { return };
    stream.set_deadline(Some(Duration::from_nanos(1))).unwrap();
    let mut state = stream.state.lock();
    state.watch = Some(Watch::new(DataCallback::boxed(|_, bytes| bytes.len())));
    state.begin_deadline();
    let ends = state.watch_ends().unwrap();
    let before = ends - Duration::from_nanos(1);
    assert_eq!(state.watch_work(before, &mut Turn::default()), Work::Receive);
    assert_eq!(state.watch_work(ends, &mut Turn::default()), Work::End(Error::TIMEOUT));
    state.watch = None;
    drop(state);
    stream.close();
    drop(peer);
    net.stop().unwrap();
}
