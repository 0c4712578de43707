//! One dial: its addresses race within one deadline.
//!
//! The caller's thread tries the first address at once, if it is numeric or in the hosts file. Over the loopback device
//! that usually ends the dial. Otherwise the receive loop waits for the socket's answer. The receive loop tries the other
//! addresses of a name, one in each turn, and the first one that connects wins.
//!
//! Invariant: the operation completes once. A dial that was not over at once leaves the net after that, when all its
//! requests have come back.

mod attempt;
mod race;

pub use self::attempt::How;

use self::attempt::Answer;
use self::race::{Race, Step};
use crate::address::Parsed;
use crate::completion::{Finished, Operation, Outcome, Target, Tell};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped};
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
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// One connection in the making.
pub struct Dial {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    how: How,
    /// What was dialled, if the log wants lines about connections.
    target: Option<String>,
    deadline: Option<Instant>,
    state: Mutex<State>,
}

struct State {
    /// `None` once it has completed.
    operation: Option<Arc<Operation>>,
    race: Race,
    cause: Option<Error>,
    timer: Timer,
    left_net: bool,
}

/// How far a dial is when its start returns.
pub enum Started {
    /// Over. A waiting caller gets the connection here. Otherwise the end is reported already.
    Over(Option<Arc<Socket>>),
    /// Its operation reports the end.
    UnderWay(Arc<Operation>),
}

impl Dial {
    /// Begins a dial. It reports the end as `tell` says.
    pub fn start(net: &Arc<Net>, target: Parsed, how: How, tell: Tell<'_>) -> Result<Started> {
        let permit = net.permit()?;
        let deadline = how.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut race = Race::new();
        let to_log = net.config.logs_details().then(|| target.to_string());
        let name = Dial::fill(&mut race, target, &how);
        if net.config.first_try {
            if let Step::End(result) = race.try_next(&how) {
                return Dial::over_at_once(net, permit, tell, result);
            }
        }
        let op = net.operation_for(tell);
        let operation = Some(Arc::clone(&op));
        let state = State { operation, race, cause: None, timer: Timer::default(), left_net: false };
        let dial = Arc::new(Dial {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            how,
            target: to_log,
            deadline,
            state: Mutex::new(state),
        });
        let itself: Weak<Dial> = Arc::downgrade(&dial);
        op.accept(permit, itself); // before the loop can complete it
        net.members.join([Arc::clone(&dial) as _])?;
        if let Some((host, port)) = name {
            let asker: Weak<Dial> = Arc::downgrade(&dial);
            if let Err(error) = resolver::resolve(&host, port, asker) {
                let mut state = dial.state.lock();
                if state.operation.take().is_none() {
                    return Ok(Started::UnderWay(op)); // a stop has ended the dial meanwhile
                }
                dial.leave(state); // the dial is refused, and leaves nothing behind
                return Err(error);
            }
        }
        net.recv_loop.post(dial);
        Ok(Started::UnderWay(op))
    }

    /// Gives the race the addresses that are known without a question. Returns the name that has to be looked up.
    fn fill(race: &mut Race, target: Parsed, how: &How) -> Option<(String, u16)> {
        let addresses = match target {
            Parsed::Numeric(address) => vec![address],
            Parsed::Name { host, port } => match hosts::find(&host, port) {
                Some(addresses) => addresses,
                None => return Some((host, port)),
            },
        };
        race.set(addresses, how);
        None
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
                let finished = Finished { callback, outcome, connection: result.ok(), side: None, permit };
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
    fn end(&self, state: &State, now: Instant) -> Option<Error> {
        if state.operation.as_ref().is_none_or(|operation| operation.is_cancelled()) {
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
        if state.left_net {
            return;
        }
        if let Some(error) = self.end(&state, event_loop.settled()) {
            state.race.give_up(event_loop);
            if state.race.is_over() {
                self.finish(state, event_loop, Err(error));
            } // else an answer may still be a connection, which came in time
            return;
        }
        match state.race.step(&self.how, event_loop.settled()) {
            Step::End(result) => return self.finish(state, event_loop, result),
            Step::Next => Arc::clone(self).post_to_loop(),
            Step::MakeRoom(error) => self.make_room(error),
            Step::Wait => {}
        }
        state.race.await_answers(self, event_loop);
        let next = state.race.due_at();
        let when =
            self.deadline.map_or(next, |deadline| Some(next.map_or(deadline, |next| next.min(deadline))));
        if let Some(when) = when {
            event_loop.arm(&mut state.timer, when, || Arc::clone(self) as _);
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

    /// Completes the operation, once. Leaves the net if no request is in flight.
    fn finish(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        event_loop: &mut EventLoop,
        result: Result<Arc<Socket>>,
    ) {
        event_loop.disarm(&mut state.timer);
        state.race.give_up(event_loop);
        let operation = state.operation.take();
        drop(state);
        if let Some(operation) = operation {
            if let Err(error) = result {
                tracing::debug!(address = self.target, %error, "a dial has failed");
            }
            self.net.uncollected.complete(&operation, result);
        }
        let state = self.state.lock();
        if state.race.is_over() {
            self.leave(state);
        }
    }

    fn leave(&self, mut state: MutexGuard<'_, State>) {
        state.left_net = true;
        drop(state);
        self.net.members.leave(self);
    }
}

impl Asker for Dial {
    fn answered(self: Arc<Self>, answer: Result<Vec<SocketAddr>>) {
        let mut state = self.state.lock();
        match answer {
            Ok(addresses) => state.race.set(addresses, &self.how),
            Err(error) => state.race.set_failed(error),
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

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, request: Request, reaped: Reaped) {
        let mut state = self.state.lock();
        let Some(attempt) = state.race.take(&request) else {
            return;
        };
        let answer = match reaped.answer() {
            sys::Answer::Done(_) if state.operation.is_some() => attempt.answer(),
            // The loop has cancelled the request, or the loop dies, which ends the dial.
            sys::Answer::Done(_) | sys::Answer::WouldBlock | sys::Answer::Again => {
                Answer::Failed(Error::TIMEOUT)
            }
            sys::Answer::Failed(error) => attempt.failed(error),
        };
        if let Step::End(Ok(socket)) = state.race.follow(attempt, answer) {
            return self.finish(state, event_loop, Ok(socket));
        }
        drop(state);
        self.drive(event_loop); // it checks whether the dial ends, and tries the next address
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
        self.state.lock().cause.get_or_insert(cause); // the first cause stays
        self.post_to_loop();
    }
}
