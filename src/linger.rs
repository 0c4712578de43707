//! What is left of a connection after both halves have closed in order.
//!
//! close(2) with unread input resets the connection, and a reset destroys what the peer has not read yet. Therefore the
//! receive loop receives and discards input from the second close on, while the sink may still drain. Otherwise a peer that
//! sends before it reads would wait for the library while the library waits for the peer.
//!
//! After the library's FIN, the discard goes on until the peer's FIN, or until the peer has had everything for the
//! configured time. If the close timeout passes without progress, the library resets the connection.
//!
//! The receive loop owns the linger. Invariant: the descriptor stays open exactly as long as the linger needs it.

use crate::config::Config;
use crate::engine::Request;
use crate::error::Error;
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::mailbox::Listed;
use crate::members::{Member, Place, Stop};
use crate::net::Net;
use crate::shed::{self, Age, Shed};
use crate::socket::{Quiet, Socket};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::Answer;
use crate::timers::Timer;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long the peer may take to answer the library's FIN, or [`ANSWER_ROUND_TRIPS`] if that is longer. This time applies
/// to a peer that has had everything else for the whole linger time already.
const ANSWER: Duration = Duration::from_millis(50);
const ANSWER_ROUND_TRIPS: u32 = 3;
/// The time between two questions to the kernel for what is unacknowledged, since the kernel has no event for that.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(200);

/// One closed connection that still drains.
pub struct Linger {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    age: Age,
    /// Why the linger must give up its descriptor, if it must.
    shed: OnceLock<Error>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the linger is over.
    socket: Option<Arc<Socket>>,
    request: Option<RequestId>,
    /// The peer has ended its stream, or the connection is broken.
    input_ended: bool,
    /// The linger began while the sink drained. One time limit covers both.
    beside_drain: bool,
    /// When the peer must have acknowledged everything. `None`: no limit.
    until: Option<Instant>,
    /// The loop has seen that the library's FIN is out. The time for the rest counts.
    counting: bool,
    over: bool,
    reset: bool,
    /// [`Stop::Now`] has begun: the linger must end now.
    hurry: bool,
    unacknowledged: usize,
    progress: Instant,
    /// When the peer has had everything for long enough. `None`: not known yet.
    ends: Option<Instant>,
    poll: Duration,
    next_poll: Instant,
    timer: Timer,
}

impl Linger {
    /// One half of `socket`'s connection was closed. After the second half the connection lingers. Exception: it is over at
    /// once if it was reset, or if both directions have ended.
    pub fn half_closed(net: &Arc<Net>, socket: &Arc<Socket>) {
        if !socket.half_closed() {
            return;
        }
        if let Some(idle) = socket.idle() {
            Arc::clone(idle).end();
        }
        // The usual end needs no linger: the library's FIN is out, and the peer's FIN has come after the discarded input.
        // No more input can come that close(2) would answer with a reset. The kernel delivers what the peer still lacks.
        let is_over = socket.is_reset() || socket.error().is_some();
        let input_ended = !is_over && socket.discard_input();
        if is_over || (input_ended && socket.has_sent_fin()) {
            log_end(socket);
            net.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let linger = Arc::new(Linger {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            age: shed::next_age(),
            shed: OnceLock::new(),
            state: Mutex::new(State::new(socket, input_ended)),
        });
        let Some(past_orderly) = net.members.join_closing(Arc::clone(&linger) as _, || !socket.is_reset())
        else {
            net.connections.fetch_sub(1, Ordering::Relaxed); // a stop has reset it meanwhile, and may be over already
            return;
        };
        linger.state.lock().hurry |= past_orderly;
        let this = Arc::downgrade(&linger);
        shed::enlist(linger.age, Weak::clone(&this) as _);
        socket.when_ended(Box::new(move || {
            if let Some(linger) = this.upgrade() {
                let net = Arc::clone(&linger.net);
                net.recv_loop.post(linger);
            }
        }));
        net.recv_loop.post(linger);
    }

    fn drive(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        let Some(socket) = state.socket.clone() else {
            return;
        };
        if socket.is_reset() {
            state.over = true;
        } else if let Some(&cause) = self.shed.get() {
            self.give_up(&mut state, &socket, cause);
        } else if socket.has_sent_fin() {
            state.look(&socket, &self.net.config);
            if state.reset {
                tracing::warn!(
                    local = socket.local_to_log(),
                    peer = socket.peer_to_log(),
                    "a closed connection takes too long and is reset"
                );
                if !state.hurry {
                    self.net.drains_timed_out.fetch_add(1, Ordering::Relaxed);
                }
                self.cut(&socket);
            }
        }
        if state.over || state.reset {
            if let Some(request) = state.request {
                event_loop.cancel(request);
                return;
            }
            log_end(&socket);
            state.socket = None;
            shed::strike(self.age);
            event_loop.disarm(&mut state.timer);
            drop(state);
            drop(socket);
            self.net.connections.fetch_sub(1, Ordering::Relaxed);
            self.net.members.leave(&*self);
            return;
        }
        if state.request.is_none() && !state.input_ended {
            let scratch = event_loop.scratch();
            let request = Request::Discard { socket, scratch };
            state.request = Some(event_loop.submit(Arc::clone(&self) as _, request));
        }
        if state.counting {
            let when = state.next_poll;
            event_loop.arm(&mut state.timer, when, || Arc::clone(&self) as _);
        }
    }

    /// Ends the linger because descriptors or memory are short.
    fn give_up(&self, state: &mut State, socket: &Socket, cause: Error) {
        if state.over {
            return; // it waits for its request
        }
        tracing::warn!(
            local = socket.local_to_log(),
            peer = socket.peer_to_log(),
            error = %cause,
            "a closed connection is given up"
        );
        self.net.drains_shed.fetch_add(1, Ordering::Relaxed);
        state.over = true;
        if !socket.has_sent_fin() || cuts(socket.unacknowledged()) {
            socket.fail_with(cause); // the error for sends that are still queued
            self.cut(socket);
        }
    }

    fn cut(&self, socket: &Socket) {
        if self.net.members.is_stopping() {
            self.net.sends_were_cut();
        }
        socket.reset();
    }
}

fn log_end(socket: &Socket) {
    tracing::debug!(
        local = socket.local_to_log(), // asked for only if the log wants the line
        peer = socket.peer_to_log(),
        "a connection is over"
    );
}

/// Whether an end now would cut bytes. Such an end must be a reset, because a truncated stream must not look complete. The
/// kernel counts a FIN as one byte. If only the FIN is unacknowledged, no data is cut.
fn cuts(unacknowledged: usize) -> bool {
    unacknowledged > 1
}

impl State {
    fn new(socket: &Arc<Socket>, input_ended: bool) -> State {
        let now = Instant::now();
        State {
            socket: Some(Arc::clone(socket)),
            request: None,
            input_ended,
            beside_drain: !socket.has_sent_fin(),
            until: None,
            counting: false,
            over: false,
            reset: false,
            hurry: false,
            unacknowledged: usize::MAX,
            progress: now,
            ends: None,
            poll: POLL_MIN,
            next_poll: now,
            timer: Timer::default(),
        }
    }

    /// The library's FIN is out. Asks the kernel what the peer has acknowledged, and decides whether to end.
    fn look(&mut self, socket: &Socket, config: &Config) {
        let now = Instant::now();
        if !self.counting {
            self.counting = true;
            self.progress = now;
            self.next_poll = now;
            self.until = match socket.drain_until() {
                Some(until) if self.beside_drain => until,
                _ => config.drain_timeout.deadline(now, socket.unacknowledged()),
            };
            self.ends = socket.quiet().and_then(|quiet| end_of_quiet(quiet, config.linger, now));
        }
        self.over |= self.input_ended;
        if self.over || (now < self.next_poll && !self.hurry) {
            return;
        }
        let unacknowledged = socket.unacknowledged();
        if unacknowledged != self.unacknowledged {
            self.unacknowledged = unacknowledged;
            self.progress = now;
        }
        if self.hurry {
            self.reset = cuts(unacknowledged);
            self.over = !self.reset;
            return;
        }
        self.next_poll = now + self.poll;
        self.poll = (self.poll * 2).min(POLL_MAX);
        if unacknowledged == 0 {
            // The time counts from the acknowledgement. If it counted from the FIN, a slow reader would lose data.
            let ends = *self.ends.get_or_insert(now + config.linger);
            self.over |= ends <= now;
            self.next_poll = self.next_poll.min(ends);
        } else {
            self.reset |= now.saturating_duration_since(self.progress) >= config.close_timeout;
            self.reset |= self.until.is_some_and(|until| until <= now);
        }
    }
}

/// When the linger is over, if the peer has had everything for the whole `linger` time already. Otherwise `None`.
fn end_of_quiet(quiet: Quiet, linger: Duration, now: Instant) -> Option<Instant> {
    let answer = ANSWER.max(quiet.round_trip * ANSWER_ROUND_TRIPS);
    (quiet.time >= linger).then(|| now + answer.min(linger))
}

impl Listed for Linger {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Shed for Linger {
    fn shed(self: Arc<Self>, cause: Error) {
        let _ = self.shed.set(cause); // the first cause stays
        let net = Arc::clone(&self.net);
        net.recv_loop.post(self);
    }
}

impl Handler for Linger {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(event_loop);
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, request: Request, reaped: Reaped) {
        drop(request);
        let mut state = self.state.lock();
        state.request = None;
        match reaped.answer() {
            // This is not progress: a peer that sends now and then and never reads must not hold the connection.
            Answer::Done(1..) => {}
            Answer::Done(0) => state.input_ended = true,
            Answer::WouldBlock | Answer::Again => {}
            // The socket keeps the error for a sink that still drains.
            Answer::Failed(error) => {
                if let Some(socket) = &state.socket {
                    socket.fail(error);
                    state.input_ended = true;
                }
            }
        }
        drop(state);
        self.drive(event_loop);
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.state.lock().timer.fired();
        self.drive(event_loop);
    }

    fn fail(self: Arc<Self>) {
        self.stop(Stop::Now(Error::PANIC));
    }
}

impl Member for Linger {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        if let Stop::Now(_) = how {
            self.state.lock().hurry = true;
            let net = Arc::clone(&self.net);
            net.recv_loop.post(self);
        }
    }
}
