//! One dial: a name's addresses, tried one after the other on the receive loop's ring, within one deadline.
//!
//! Each address has an equal share of the time that is left, so that one that swallows packets does not cost the
//! others their turn. Invariant: the operation completes once, and the dial leaves the net with it.

use crate::address::Parsed;
use crate::completion::{Operation, Target};
use crate::deadlines;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Reaped, RequestId, Service};
use crate::mailbox::Listed;
use crate::net::{Member, Net, Place, Stop};
use crate::request::Request;
use crate::resolver;
use crate::socket::Socket;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use socket2::SockAddr;
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

struct Attempt {
    request: RequestId,
    socket: Arc<Socket>,
    until: Option<Instant>,
    interrupting: bool,
}

impl Dial {
    /// Begins; `op` gets the connection.
    pub fn start(net: &Arc<Net>, target: Parsed, timeout: Option<Duration>, op: &Arc<Operation>) -> Result {
        let (addresses, name) = match target {
            Parsed::Numeric(address) => (Some(VecDeque::from([address])), None),
            Parsed::Name { host, port } => (None, Some((host, port))),
        };
        let dial = Arc::new(Dial {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            state: Mutex::new(State {
                operation: Some(Arc::clone(op)),
                addresses,
                cause: None,
                last_error: Error::NAME,
                attempt: None,
                timer: deadlines::Timer::default(),
            }),
        });
        let permit = net.permit()?;
        let target: Weak<Dial> = Arc::downgrade(&dial);
        op.accept(permit, target); // before anybody can complete it
        net.join(&[Arc::clone(&dial) as _])?;
        if let Some((host, port)) = name {
            let asker = Arc::downgrade(&dial);
            let reply = move |answer| {
                if let Some(dial) = asker.upgrade() {
                    dial.resolved(answer);
                }
            };
            if let Err(error) = resolver::resolve(host, port, Box::new(reply)) {
                dial.state.lock().operation = None; // refused: nothing was started
                net.leave(&*dial);
                return Err(error);
            }
        }
        net.recv_loop.post(dial);
        Ok(())
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
            let late = attempt.until.is_some_and(|until| until <= now);
            if (late || end.is_some()) && !attempt.interrupting {
                attempt.interrupting = true;
                event_loop.cancel(attempt.request);
            }
        } else if let Some(error) = end {
            return self.finish(state.take_end(event_loop), Err(error));
        } else if state.addresses.is_some() {
            self.try_next(&mut state, event_loop, now);
            if state.attempt.is_none() {
                let error = state.last_error;
                return self.finish(state.take_end(event_loop), Err(error));
            }
        }
        let share =
            state.attempt.as_ref().and_then(|attempt| attempt.until.filter(|_| !attempt.interrupting));
        let deadline = self.deadline.filter(|_| state.attempt.is_none());
        if let Some(when) = share.or(deadline) {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
        }
    }

    /// Begins with the next address that a socket can be made for.
    fn try_next(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop, now: Instant) {
        let Some(addresses) = &mut state.addresses else {
            return;
        };
        while let Some(address) = addresses.pop_front() {
            let left = addresses.len() as u32 + 1;
            match Socket::new(&address, &self.net.socket_options()) {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    let request = Request::Connect {
                        socket: Arc::clone(&socket),
                        address: Box::new(SockAddr::from(address)),
                    };
                    state.attempt = Some(Attempt {
                        request: event_loop.submit(Arc::clone(self) as _, request),
                        socket,
                        until: self
                            .deadline
                            .map(|deadline| now + deadline.saturating_duration_since(now) / left),
                        interrupting: false,
                    });
                    return;
                }
                Err(error) => state.last_error = error,
            }
        }
    }

    fn finish(self: &Arc<Self>, operation: Option<Arc<Operation>>, result: Result<Arc<Socket>>) {
        if let Some(operation) = operation {
            match result {
                Ok(socket) => {
                    if operation.complete_connected(socket) {
                        self.net.note_uncollected(&operation);
                    }
                }
                Err(error) => operation.complete(Err(error), 0),
            }
        }
        self.net.leave(&**self);
    }
}

impl State {
    /// What is to be completed; nothing is left to do afterwards.
    fn take_end(&mut self, event_loop: &mut EventLoop) -> Option<Arc<Operation>> {
        event_loop.disarm(&mut self.timer);
        self.operation.take()
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
        let Some(attempt) = state.attempt.take() else {
            return;
        };
        let fd = attempt.socket.fd();
        match -reaped.result {
            ..=0 => {
                tracing::debug!(fd, "dialled a connection");
                let operation = state.take_end(event_loop);
                drop(state);
                return self.finish(operation, Ok(attempt.socket));
            }
            libc::ECANCELED | libc::EINTR if attempt.interrupting => state.last_error = Error::TIMEOUT,
            errno => {
                state.last_error = Error::from_errno(errno);
                tracing::debug!(fd, error = %state.last_error, "an address could not be dialled");
            }
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
