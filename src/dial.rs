//! One dial: it tries a name's addresses one after the other within one deadline.
//!
//! The caller's thread tries the first address at once, if it is numeric or in the hosts file. Over the loopback device
//! that usually ends the dial. Otherwise the receive loop's ring waits for the socket's answer. The receive loop tries the
//! other addresses of a name, one in each turn. Each address has an equal share of the time that is left. Therefore an
//! address that swallows packets leaves time for the others.
//!
//! Invariant: the operation completes once. A dial that was not over at once then leaves the net.

use crate::address::Parsed;
use crate::completion::{Finished, Operation, Outcome, Target, Tell};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::hosts;
use crate::mailbox::Listed;
use crate::members::{Member, Place, Stop};
use crate::net::Net;
use crate::permits::Permit;
use crate::resolver::{self, Asker};
use crate::shed;
use crate::socket::Socket;
use crate::sync::atomic::AtomicBool;
use crate::sync::{Mutex, MutexGuard};
use crate::sys;
use crate::timers::Timer;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How many times a dial tries an address again because a socket has connected to itself.
const ANEW_MAX: u32 = 2;

/// One connection in the making.
pub struct Dial {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    deadline: Option<Instant>,
    state: Mutex<State>,
}

struct State {
    /// `None` once it has completed.
    operation: Option<Arc<Operation>>,
    /// The addresses that the dial has not tried yet. `None` while the name is looked up.
    addresses: Option<VecDeque<SocketAddr>>,
    cause: Option<Error>,
    last_error: Error,
    attempt: Option<Attempt>,
    anew_left: u32,
    timer: Timer,
}

/// An address that the dial has tried and that has not answered yet.
struct Attempt {
    socket: Arc<Socket>,
    address: SocketAddr,
    until: Option<Instant>,
    /// The request that waits for the answer. `None` until the loop has seen the attempt.
    request: Option<RequestId>,
    interrupting: bool,
}

/// How far a dial is when its start returns.
pub enum Started {
    /// Over. A waiting caller gets the connection here. Otherwise the end is reported already.
    Over(Option<Arc<Socket>>),
    /// Its operation reports the end.
    UnderWay(Arc<Operation>),
}

/// What an address answers.
enum Answer {
    Connected,
    NotYet,
    /// No socket listens there, and the dial's socket has connected to itself.
    Itself,
    Failed(Error),
}

/// What a dial does next.
enum Step {
    /// Ends with this result.
    End(Result<Arc<Socket>>),
    /// Waits for the name's addresses or an address's answer.
    Wait,
    /// Tries the next address in the next turn of the loop.
    Next,
    /// Tries the same address again when a closed connection has given up its descriptor.
    MakeRoom(Error),
}

impl Attempt {
    /// Makes a socket and begins to connect it to `address`.
    fn begin(net: &Net, address: SocketAddr) -> Result<(Attempt, Answer)> {
        let socket = Arc::new(Socket::to_connect(&address, &net.socket_options())?);
        let attempt = Attempt { socket, address, until: None, request: None, interrupting: false };
        let answer = attempt.answer();
        Ok((attempt, answer))
    }

    /// Begins to connect, or looks whether the address has answered.
    fn answer(&self) -> Answer {
        let fd = self.socket.fd();
        match self.socket.connect(&self.address) {
            Ok(false) => Answer::NotYet,
            Ok(true) if self.socket.is_connected_to_itself(&self.address) => {
                tracing::debug!(fd, "a socket has connected to itself");
                self.socket.reset(); // frees the port at once; an orderly close would hold it for a minute
                Answer::Itself
            }
            Ok(true) => {
                tracing::debug!(fd, "dialled a connection");
                Answer::Connected
            }
            Err(error) => Attempt::failed(fd, error),
        }
    }

    fn failed(fd: i32, error: Error) -> Answer {
        tracing::debug!(fd, %error, "an address could not be dialled");
        Answer::Failed(error)
    }

    /// Submits the request that completes when there is an answer.
    fn await_answer(&mut self, dial: &Arc<Dial>, event_loop: &mut EventLoop) {
        let request = Request::Writable { socket: Arc::clone(&self.socket) };
        self.request = Some(event_loop.submit(Arc::clone(dial) as _, request));
    }
}

impl State {
    fn new(addresses: Option<VecDeque<SocketAddr>>) -> State {
        State {
            operation: None,
            addresses,
            cause: None,
            last_error: Error::NAME,
            attempt: None,
            anew_left: ANEW_MAX,
            timer: Timer::default(),
        }
    }

    /// Tries the next address, if the addresses are known.
    fn ask_next(&mut self, net: &Net, deadline: Option<Instant>) -> Step {
        let Some(addresses) = &mut self.addresses else {
            return Step::Wait;
        };
        let Some(address) = addresses.pop_front() else {
            return Step::End(Err(self.last_error));
        };
        let left = addresses.len() as u32 + 1;
        match Attempt::begin(net, address) {
            Ok((mut attempt, answer)) => {
                if let (Answer::NotYet, Some(deadline)) = (&answer, deadline) {
                    let now = Instant::now();
                    attempt.until = Some(now + deadline.saturating_duration_since(now) / left);
                }
                self.follow(attempt, answer)
            }
            Err(error) if shed::helps(error) => {
                addresses.push_front(address);
                Step::MakeRoom(error)
            }
            Err(error) => self.failed(error),
        }
    }

    /// What the dial does after an attempt's answer.
    fn follow(&mut self, attempt: Attempt, answer: Answer) -> Step {
        match answer {
            Answer::Connected => Step::End(Ok(attempt.socket)),
            Answer::NotYet => {
                self.attempt = Some(attempt);
                Step::Wait
            }
            Answer::Itself => {
                if self.anew_left > 0 {
                    self.anew_left -= 1;
                    self.addresses.get_or_insert_default().push_front(attempt.address);
                }
                self.failed(Error::from_errno(libc::ECONNREFUSED))
            }
            Answer::Failed(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) -> Step {
        self.last_error = error;
        match &self.addresses {
            Some(addresses) if !addresses.is_empty() => Step::Next,
            _ => Step::End(Err(error)),
        }
    }
}

impl Dial {
    /// Begins a dial. It reports the end as `tell` says.
    pub fn start(
        net: &Arc<Net>,
        target: Parsed,
        timeout: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Started> {
        let permit = net.permit()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (known, name) = match target {
            Parsed::Numeric(address) => (Some(VecDeque::from([address])), None),
            Parsed::Name { host, port } => match hosts::find(&host, port) {
                Some(addresses) => (Some(addresses.into()), None),
                None => (None, Some((host, port))),
            },
        };
        let mut state = State::new(known);
        if net.config.first_try
            && let Step::End(result) = state.ask_next(net, deadline)
        {
            return Dial::over_at_once(net, permit, tell, result);
        }
        let op = net.operation_for(tell);
        state.operation = Some(Arc::clone(&op));
        let dial = Arc::new(Dial {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            deadline,
            state: Mutex::new(state),
        });
        let target: Weak<Dial> = Arc::downgrade(&dial);
        op.accept(permit, target); // before the loop can complete it
        net.members.join([Arc::clone(&dial) as _])?;
        if let Some((host, port)) = name {
            let asker: Weak<Dial> = Arc::downgrade(&dial);
            if let Err(error) = resolver::resolve(&host, port, asker) {
                if dial.state.lock().operation.take().is_none() {
                    return Ok(Started::UnderWay(op)); // a stop has ended the dial meanwhile
                }
                net.members.leave(&*dial); // the dial is refused, and leaves nothing behind
                return Err(error);
            }
        }
        net.recv_loop.post(dial);
        Ok(Started::UnderWay(op))
    }

    fn over_at_once(
        net: &Arc<Net>,
        permit: Permit,
        tell: Tell<'_>,
        result: Result<Arc<Socket>>,
    ) -> Result<Started> {
        match tell {
            Tell::Wait => return result.map(|socket| Started::Over(Some(socket))),
            Tell::By(op) => {
                op.accept(permit, Weak::<Dial>::new()); // nothing is left to cancel
                net.members.unless_stopping(|| net.uncollected.complete(op, result))?;
            }
            Tell::Call(callback) => {
                let outcome = Outcome::without_bytes(&result);
                let finished = Finished { callback, outcome, connection: result.ok(), permit };
                net.members.unless_stopping(|| net.recv_loop.post_finished(finished))?;
            }
        }
        Ok(Started::Over(None))
    }

    fn post_to_loop(self: Arc<Self>) {
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }

    /// Why the dial ends. `None`: it goes on. The loop has handled all that the kernel had at `now`.
    fn end(&self, state: &State, operation: &Operation, now: Instant) -> Option<Error> {
        if operation.is_cancelled() {
            return Some(Error::CANCELLED);
        }
        let late = self.deadline.is_some_and(|deadline| deadline <= now);
        state.cause.or(late.then_some(Error::TIMEOUT))
    }

    fn drive(self: &Arc<Self>, event_loop: &mut EventLoop) {
        if !self.place.is_given() {
            return; // the thread that makes it join posts it afterwards
        }
        let mut state = self.state.lock();
        let Some(operation) = &state.operation else {
            return;
        };
        let end = self.end(&state, operation, event_loop.settled());
        self.drive_attempt(&mut state, event_loop, end.is_some());
        if state.attempt.is_none() {
            let step = match end {
                Some(error) => Step::End(Err(error)),
                None => state.ask_next(&self.net, self.deadline),
            };
            match step {
                Step::End(result) => return self.finish(state, event_loop, result),
                Step::Next => Arc::clone(self).post_to_loop(),
                Step::MakeRoom(error) => self.make_room(error),
                Step::Wait => {
                    if let Some(attempt) = &mut state.attempt {
                        attempt.await_answer(self, event_loop);
                    }
                }
            }
        }
        let share =
            state.attempt.as_ref().and_then(|attempt| attempt.until.filter(|_| !attempt.interrupting));
        let deadline = self.deadline.filter(|_| state.attempt.is_none());
        if let Some(when) = share.or(deadline) {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
        }
    }

    /// Submits a request for an attempt's answer. Gives the attempt up if the dial `ends`, or if the attempt's share of the
    /// time is over.
    fn drive_attempt(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop, ends: bool) {
        let Some(attempt) = &mut state.attempt else {
            return;
        };
        let ends = ends || attempt.until.is_some_and(|until| until <= event_loop.settled());
        match attempt.request {
            None if ends => {
                state.attempt = None;
                state.last_error = Error::TIMEOUT;
            }
            None => attempt.await_answer(self, event_loop),
            Some(request) if ends && !attempt.interrupting => {
                attempt.interrupting = true;
                event_loop.cancel(request);
            }
            Some(_) => {}
        }
    }

    /// Makes a closed connection end. The dial tries again after that. If other threads have taken the last such connection,
    /// it tries again at once, to learn what is short.
    fn make_room(self: &Arc<Self>, error: Error) {
        let dial = Arc::downgrade(self);
        let ask_again = move || {
            if let Some(dial) = dial.upgrade() {
                dial.post_to_loop();
            }
        };
        if !shed::oldest_then(error, ask_again) {
            Arc::clone(self).post_to_loop();
        }
    }

    fn finish(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        event_loop: &mut EventLoop,
        result: Result<Arc<Socket>>,
    ) {
        event_loop.disarm(&mut state.timer);
        let operation = state.operation.take();
        drop(state);
        if let Some(operation) = operation {
            self.net.uncollected.complete(&operation, result);
        }
        self.net.members.leave(&**self);
    }
}

impl Asker for Dial {
    fn answered(self: Arc<Self>, answer: Result<Vec<SocketAddr>>) {
        let mut state = self.state.lock();
        match answer {
            Ok(addresses) => state.addresses = Some(addresses.into()),
            Err(error) => {
                state.last_error = error;
                state.addresses = Some(VecDeque::new());
            }
        }
        drop(state);
        self.post_to_loop();
    }
}

impl Listed for Dial {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for Dial {
    fn cancel_requested(self: Arc<Self>) {
        self.post_to_loop();
    }
}

impl Handler for Dial {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(event_loop);
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, _request: Request, reaped: Reaped) {
        let mut state = self.state.lock();
        let Some(mut attempt) = state.attempt.take() else {
            return;
        };
        attempt.request = None;
        let answer = match reaped.answer() {
            sys::Answer::Done(_) => attempt.answer(),
            // The loop has cancelled the request, or the loop dies, which ends the dial.
            sys::Answer::WouldBlock | sys::Answer::Again => Answer::Failed(Error::TIMEOUT),
            sys::Answer::Failed(error) => Attempt::failed(attempt.socket.fd(), error),
        };
        if let Step::End(Ok(socket)) = state.follow(attempt, answer) {
            return self.finish(state, event_loop, Ok(socket));
        }
        drop(state);
        self.drive(event_loop); // it checks whether the dial ends
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.state.lock().timer.fired();
        self.drive(event_loop);
    }

    fn fail(self: Arc<Self>) {
        self.stop(Stop::Now(Error::PANIC));
    }
}

impl Member for Dial {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        let Some(cause) = how.ends_work() else {
            return;
        };
        self.state.lock().cause = Some(cause);
        self.post_to_loop();
    }
}
