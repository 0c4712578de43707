//! One dial: a name's addresses, tried one after the other within one deadline.
//!
//! A numeric address is tried at once on the caller's thread; over the loopback device that is usually all. Otherwise the
//! receive loop's ring tells when a socket has its answer, and there the addresses of a name are tried too. Each of them
//! has an equal share of the time that is left, so that one that swallows packets does not cost the others their turn.
//! Invariant: the operation completes once, and a dial that was not over at once leaves the net with it.

use crate::address::Parsed;
use crate::completion::{Finished, Operation, Outcome, Permit, Target, Tell};
use crate::deadlines;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Reaped, RequestId, Service};
use crate::mailbox::Listed;
use crate::net::{Member, Net, Place, Stop};
use crate::request::Request;
use crate::resolver;
use crate::socket::Socket;
use crate::sync::atomic::AtomicBool;
use crate::sync::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// One connection in the making.
pub struct Dial {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    deadline: Option<Instant>,
    state: Mutex<State>,
}

struct State {
    /// Gone once it has completed.
    operation: Option<Arc<Operation>>,
    /// `None` while the name is looked up.
    addresses: Option<VecDeque<SocketAddr>>,
    cause: Option<Error>,
    last_error: Error,
    attempt: Option<Attempt>,
    timer: deadlines::Timer,
}

/// An address that has been asked and has not answered yet.
struct Attempt {
    socket: Arc<Socket>,
    address: SocketAddr,
    until: Option<Instant>,
    /// Waits in the ring for the answer; `None` until the loop has seen the attempt.
    request: Option<RequestId>,
    interrupting: bool,
}

/// How far a dial is when its start returns.
pub enum Started {
    /// Over; the connection is for the one who waits, and everybody else has been told.
    Over(Option<Arc<Socket>>),
    /// Its operation tells.
    UnderWay(Arc<Operation>),
}

/// What came of asking an address.
enum Begun {
    Over(Result<Arc<Socket>>),
    UnderWay(Attempt),
}

impl Attempt {
    fn begin(net: &Net, address: SocketAddr) -> Begun {
        let connect = || {
            let socket = Arc::new(Socket::to_connect(&address, &net.socket_options())?);
            let connected = socket.connect(&address);
            log(&socket, &connected);
            Ok((socket, connected?))
        };
        match connect() {
            Ok((socket, true)) => Begun::Over(Ok(socket)),
            Ok((socket, false)) => {
                let (until, request, interrupting) = (None, None, false);
                Begun::UnderWay(Attempt { socket, address, until, request, interrupting })
            }
            Err(error) => Begun::Over(Err(error)),
        }
    }

    /// Has the loop tell the dial when there is an answer.
    fn await_answer(&mut self, dial: &Arc<Dial>, event_loop: &mut EventLoop) {
        let request = Request::Writable { socket: Arc::clone(&self.socket) };
        self.request = Some(event_loop.submit(Arc::clone(dial) as _, request));
    }
}

fn log(socket: &Socket, connected: &Result<bool>) {
    let fd = socket.fd();
    match connected {
        Ok(true) => tracing::debug!(fd, "dialled a connection"),
        Ok(false) => {} // more will be known
        Err(error) => tracing::debug!(fd, %error, "an address could not be dialled"),
    }
}

impl Dial {
    /// Begins; the end is told as `tell` says.
    pub fn start(
        net: &Arc<Net>,
        target: Parsed,
        timeout: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Started> {
        let permit = net.permit()?;
        let (mut addresses, mut name, mut attempt) = (None, None, None);
        match target {
            Parsed::Numeric(address) if net.config.first_try => match Attempt::begin(net, address) {
                Begun::Over(result) => return Dial::over_at_once(net, permit, tell, result),
                Begun::UnderWay(begun) => (addresses, attempt) = (Some(VecDeque::new()), Some(begun)),
            },
            Parsed::Numeric(address) => addresses = Some(VecDeque::from([address])),
            Parsed::Name { host, port } => name = Some((host, port)),
        }
        let op = net.operation_for(tell);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(attempt) = &mut attempt {
            attempt.until = deadline;
        }
        let dial = Arc::new(Dial {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            deadline,
            state: Mutex::new(State {
                operation: Some(Arc::clone(&op)),
                addresses,
                cause: None,
                last_error: Error::NAME,
                attempt,
                timer: deadlines::Timer::default(),
            }),
        });
        let target: Weak<Dial> = Arc::downgrade(&dial);
        op.accept(permit, target); // before anybody can complete it
        net.join([Arc::clone(&dial) as _])?;
        if let Some((host, port)) = name {
            let asker = Arc::downgrade(&dial);
            let reply = move |answer| {
                if let Some(dial) = asker.upgrade() {
                    dial.resolved(answer);
                }
            };
            if let Err(error) = resolver::resolve(host, port, Box::new(reply)) {
                if dial.state.lock().operation.take().is_none() {
                    return Ok(Started::UnderWay(op)); // a stop has ended it meanwhile
                }
                net.leave(&*dial); // refused: nothing was started
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
                op.accept(permit, Weak::<Dial>::new()); // nothing is left to be cancelled
                net.unless_stopping(|| net.complete_connection(op, result))?;
            }
            Tell::Call(callback) => {
                let outcome = Outcome::without_bytes(&result);
                let finished = Finished { callback, outcome, connection: result.ok(), permit };
                net.unless_stopping(|| net.recv_loop.post_finished(finished))?;
            }
        }
        Ok(Started::Over(None))
    }

    fn resolved(self: Arc<Self>, answer: Result<Vec<SocketAddr>>) {
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

    fn post_to_loop(self: Arc<Self>) {
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }

    fn drive(self: &Arc<Self>, event_loop: &mut EventLoop) {
        if !self.place.is_given() {
            return; // what follows its joining has mail of its own
        }
        let mut state = self.state.lock();
        let Some(operation) = &state.operation else {
            return;
        };
        let now = Instant::now();
        let end = if operation.is_cancelled() {
            Some(Error::CANCELLED)
        } else if state.cause.is_some() {
            state.cause
        } else {
            self.deadline.filter(|deadline| *deadline <= now).map(|_| Error::TIMEOUT)
        };
        if let Some(attempt) = &mut state.attempt {
            let ends = end.is_some() || attempt.until.is_some_and(|until| until <= now);
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
        if state.attempt.is_none() {
            let result = match end {
                Some(error) => Some(Err(error)),
                None => self.try_next(&mut state, event_loop, now),
            };
            if let Some(result) = result {
                return self.finish(state, event_loop, result);
            }
        }
        let share =
            state.attempt.as_ref().and_then(|attempt| attempt.until.filter(|_| !attempt.interrupting));
        let deadline = self.deadline.filter(|_| state.attempt.is_none());
        if let Some(when) = share.or(deadline) {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
        }
    }

    /// Asks the addresses that are left until one connects or keeps us waiting; the end of the dial, if there is one.
    fn try_next(
        self: &Arc<Self>,
        state: &mut State,
        event_loop: &mut EventLoop,
        now: Instant,
    ) -> Option<Result<Arc<Socket>>> {
        let addresses = state.addresses.as_mut()?;
        while let Some(address) = addresses.pop_front() {
            let left = addresses.len() as u32 + 1;
            match Attempt::begin(&self.net, address) {
                Begun::Over(Ok(socket)) => return Some(Ok(socket)),
                Begun::Over(Err(error)) => state.last_error = error,
                Begun::UnderWay(mut attempt) => {
                    attempt.until =
                        self.deadline.map(|deadline| now + deadline.saturating_duration_since(now) / left);
                    attempt.await_answer(self, event_loop);
                    state.attempt = Some(attempt);
                    return None;
                }
            }
        }
        Some(Err(state.last_error))
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
            self.net.complete_connection(&operation, result);
        }
        self.net.leave(&**self);
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

impl Service for Dial {
    fn serve(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(event_loop);
    }

    fn finished(self: Arc<Self>, event_loop: &mut EventLoop, _request: Request, reaped: Reaped) {
        let mut state = self.state.lock();
        let Some(mut attempt) = state.attempt.take() else {
            return;
        };
        let connected = match -reaped.result {
            ..=0 => attempt.socket.connect(&attempt.address),
            libc::ECANCELED | libc::EINTR if attempt.interrupting => Err(Error::TIMEOUT),
            errno => Err(Error::from_errno(errno)),
        };
        log(&attempt.socket, &connected);
        match connected {
            Ok(true) => return self.finish(state, event_loop, Ok(attempt.socket)),
            Ok(false) => {
                attempt.request = None;
                state.attempt = Some(attempt);
            }
            Err(error) => state.last_error = error,
        }
        drop(state);
        self.drive(event_loop);
    }

    fn expire(self: Arc<Self>, event_loop: &mut EventLoop) {
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
