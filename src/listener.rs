//! A listening socket. The receive loop accepts one connection at a time, for the queued accepts or for a watch.
//!
//! Invariant: every connection that was taken from the kernel is delivered. Exception: if the listener closes, and neither
//! an accept nor a watch waits, the connection closes. A request is in flight only while an accept or a watch waits.

use crate::address;
use crate::completion::{Operation, Target, Tell};
use crate::connection::{self, Connection};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped, RequestId};
use crate::freed::when_descriptor_closes;
use crate::mailbox::Listed;
use crate::members::{Member, Place, Stop};
use crate::net::Net;
use crate::shed;
use crate::socket::{Options, Socket};
use crate::stand_in::StandIn;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::Answer;
use crate::timers::Timer;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Gets each new connection. The last call, and only that, brings an error.
pub type AcceptCallback = Box<dyn FnMut(Result<Arc<Socket>>) + Send>;

/// How long to wait after an error of accept that would come again at once, such as a shortage of descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// A listening socket.
pub struct Listener {
    listed: AtomicBool,
    place: Place,
    net: Arc<Net>,
    socket: Socket,
    stand_in: Arc<StandIn>,
    address: String,
    /// A hook waits until a descriptor is free.
    starved: AtomicBool,
    /// A descriptor is free: the loop retries at once. The hook sets this without the lock, because a socket may close while
    /// its thread holds any lock.
    retry_now: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cause: Option<Error>,
    closed: bool,
    queue: VecDeque<Arc<Operation>>,
    watch: Option<Watch>,
    /// Taken from the kernel and not delivered yet.
    ready: VecDeque<Arc<Socket>>,
    request: Option<RequestId>,
    interrupting: bool,
    /// After an error, the loop accepts again at this moment.
    retry: Option<Instant>,
    timer: Timer,
}

struct Watch {
    /// `None` while it runs.
    callback: Option<AcceptCallback>,
    ending: Option<Error>,
}

impl Listener {
    /// Makes a listener of a listening socket and its stand-in.
    pub fn open(net: &Arc<Net>, socket: Socket, stand_in: StandIn) -> Result<Arc<Listener>> {
        let local = socket.local().ok_or(Error::INVALID)?;
        let listener = Arc::new(Listener {
            listed: AtomicBool::new(false),
            place: Place::none(),
            net: Arc::clone(net),
            stand_in: Arc::new(stand_in),
            socket,
            address: address::format(&local),
            starved: AtomicBool::new(false),
            retry_now: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        });
        net.members.join_counted([Arc::clone(&listener) as _], &net.listeners)?;
        Ok(listener)
    }

    /// The listener's net.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// The listener's address, with the port that the system has chosen.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sets what the library needs on an adopted socket, and `options`.
    pub fn take_over(&self, options: &Options) -> Result {
        self.socket.take_over(options)
    }

    /// The listening descriptor, for options.
    pub fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    /// Waits for the next connection and takes it.
    pub fn accept(self: &Arc<Self>) -> Result<Connection> {
        let op = self.begin_accept(Tell::Wait)?;
        connection::collect(&self.net, &op)
    }

    /// The same without waiting. It reports the connection as `tell` says.
    pub fn accept_async(self: &Arc<Self>, tell: Tell<'_>) -> Result {
        self.begin_accept(tell).map(drop)
    }

    fn begin_accept(self: &Arc<Self>, tell: Tell<'_>) -> Result<Arc<Operation>> {
        let op = self.net.operation_for(tell);
        let mut state = self.state.lock();
        state.check_open(&self.net)?;
        if state.watch.is_some() {
            return Err(Error::BUSY);
        }
        let target: Weak<Listener> = Arc::downgrade(self);
        op.accept(self.net.permit()?, target);
        state.queue.push_back(Arc::clone(&op));
        drop(state);
        self.post_to_loop();
        Ok(op)
    }

    /// Delivers every connection to `callback` from now on. After the watch, the listener can accept or begin another watch.
    pub fn watch(self: &Arc<Self>, callback: AcceptCallback) -> Result {
        let mut state = self.state.lock();
        state.check_open(&self.net)?;
        if state.watch.is_some() || !state.queue.is_empty() {
            return Err(Error::BUSY);
        }
        state.watch = Some(Watch { callback: Some(callback), ending: None });
        drop(state);
        self.post_to_loop();
        Ok(())
    }

    /// Ends the watch with CANCELLED, if there is one.
    pub fn unwatch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if let Some(watch) = &mut state.watch {
            watch.ending.get_or_insert(Error::CANCELLED);
            drop(state);
            self.post_to_loop();
        }
    }

    /// Stops listening. Connections already taken from the kernel are delivered. Then waiting accepts and a watch end with
    /// CLOSED. The kernel resets the backlog. A second close does nothing.
    pub fn close(self: &Arc<Self>) {
        self.end(Error::CLOSED);
    }

    fn end(self: &Arc<Self>, cause: Error) {
        let first = {
            let mut state = self.state.lock();
            let first = state.cause.is_none();
            state.cause.get_or_insert(cause);
            first
        };
        if first {
            // On this thread instead of the loop's: as soon as this returns, the address can be bound again.
            self.socket.shutdown_listener();
            self.post_to_loop();
        }
    }

    fn post_to_loop(self: &Arc<Self>) {
        self.net.recv_loop.post(Arc::clone(self) as _);
    }

    fn drive<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, event_loop: &mut EventLoop) {
        if state.closed {
            return;
        }
        state.drop_cancelled();
        loop {
            let ending = state.cause.or_else(|| state.watch.as_ref()?.ending);
            let watched = state.watch.is_some();
            let wanted = (watched && ending.is_none()) || !state.queue.is_empty();
            if let Some(request) = state.request {
                // No accept or watch wants the connection any more, so the request must not bring one.
                if (state.cause.is_some() || !wanted) && !state.interrupting {
                    state.interrupting = true;
                    event_loop.cancel(request);
                }
                return;
            }
            if watched || !state.queue.is_empty() {
                if let Some(socket) = state.ready.pop_front() {
                    state = self.deliver(state, event_loop, socket);
                    continue;
                }
            }
            if watched {
                if let Some(ending) = ending {
                    state = self.end_watch(state, event_loop, ending);
                    continue;
                }
            }
            if let Some(cause) = state.cause {
                return self.finish(state, event_loop, cause);
            }
            if wanted {
                self.accept_next(&mut state, event_loop);
            }
            return;
        }
    }

    /// Submits a request that waits for the next connection. After an error, arms the timer for the retry.
    fn accept_next(self: &Arc<Self>, state: &mut State, event_loop: &mut EventLoop) {
        if self.retry_now.swap(false, Ordering::AcqRel) {
            state.retry = None;
        }
        if let Some(retry) = state.retry {
            if Instant::now() < retry {
                return event_loop.arm(&mut state.timer, retry, || Arc::clone(self) as _);
            }
            state.retry = None;
        }
        let request = Request::Incoming { stand_in: Arc::clone(&self.stand_in) };
        state.request = Some(event_loop.submit(Arc::clone(self) as _, request));
    }

    fn deliver<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        socket: Arc<Socket>,
    ) -> MutexGuard<'a, State> {
        if let Some(operation) = state.queue.pop_front() {
            self.net.uncollected.complete(&operation, Ok(socket));
            return state;
        }
        let Some(mut callback) = state.watch.as_mut().and_then(|watch| watch.callback.take()) else {
            state.ready.push_back(socket);
            return state;
        };
        drop(state);
        event_loop.count_callback();
        callback(Ok(socket));
        let mut state = self.state.lock();
        if let Some(watch) = &mut state.watch {
            watch.callback = Some(callback);
        }
        state
    }

    fn end_watch<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        event_loop: &mut EventLoop,
        last: Error,
    ) -> MutexGuard<'a, State> {
        let watch = state.watch.take();
        drop(state);
        // The state has nothing of the watch left, so its last call may begin another watch.
        if let Some(mut callback) = watch.and_then(|watch| watch.callback) {
            event_loop.count_callback();
            callback(Err(last));
        }
        self.state.lock()
    }

    fn finish(self: &Arc<Self>, mut state: MutexGuard<'_, State>, event_loop: &mut EventLoop, cause: Error) {
        for operation in state.queue.drain(..) {
            operation.complete(Err(cause), 0);
        }
        state.closed = true;
        let ready = std::mem::take(&mut state.ready);
        event_loop.disarm(&mut state.timer);
        drop(state);
        drop(ready); // without the lock: a closing socket may run this listener's hook for a free descriptor
        self.net.listeners.fetch_sub(1, Ordering::Relaxed);
        self.net.members.leave(&**self);
    }

    /// Takes one connection from the kernel, one in each turn of the loop. Returns an error only if it would come again at
    /// once.
    fn take(&self, state: &mut State) -> Result {
        match self.socket.accept() {
            Answer::Done(socket) => {
                tracing::debug!(
                    peer = socket.peer_to_log(), // asked for only if the log wants the line
                    listener = self.address,
                    "accepted a connection"
                );
                state.ready.push_back(Arc::new(socket));
            }
            Answer::WouldBlock | Answer::Again => {} // another process has taken it, or the next request brings it
            // This connection was gone before it was taken. The next one may be fine.
            Answer::Failed(error) if error == Error::from_errno(libc::ECONNABORTED) => {
                tracing::debug!(listener = self.address, "a connection was gone before it was accepted");
                self.net.accept_errors.fetch_add(1, Ordering::Relaxed);
            }
            Answer::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn failed(self: &Arc<Self>, state: &mut State, error: Error) {
        if state.cause.is_none() {
            tracing::warn!(listener = self.address, %error, "cannot accept");
            self.net.accept_errors.fetch_add(1, Ordering::Relaxed);
            self.back_off(state, error);
        } // else the end of the listener caused the error
    }

    /// The error would come again at once. Therefore the loop retries later, or when a descriptor is free.
    fn back_off(self: &Arc<Self>, state: &mut State, error: Error) {
        state.retry = Some(Instant::now() + RETRY);
        if shed::is_shortage(error) && !self.starved.swap(true, Ordering::AcqRel) {
            let listener = Arc::downgrade(self);
            when_descriptor_closes(Box::new(move || {
                if let Some(listener) = listener.upgrade() {
                    listener.starved.store(false, Ordering::Release);
                    listener.retry_now.store(true, Ordering::Release); // pairs with `accept_next`
                    listener.post_to_loop();
                }
            }));
        }
        shed::oldest(error); // after the hook is set, which must not miss this descriptor
    }
}

impl State {
    fn check_open(&self, net: &Net) -> Result {
        net.refusal().or(self.cause).map_or(Ok(()), Err)
    }

    /// Whether an accept or a watch wants a connection, and the listener is open.
    fn wants(&self) -> bool {
        let watched = self.watch.as_ref().is_some_and(|watch| watch.ending.is_none());
        self.cause.is_none() && (watched || !self.queue.is_empty())
    }

    fn drop_cancelled(&mut self) {
        self.queue.retain(|operation| {
            let cancelled = operation.is_cancelled();
            if cancelled {
                operation.complete(Err(Error::CANCELLED), 0);
            }
            !cancelled
        });
    }
}

impl Listed for Listener {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for Listener {
    fn cancel_requested(self: Arc<Self>) {
        self.post_to_loop();
    }
}

impl Handler for Listener {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.drive(self.state.lock(), event_loop);
    }

    fn on_complete(self: Arc<Self>, event_loop: &mut EventLoop, _request: Request, reaped: Reaped) {
        let mut state = self.state.lock();
        state.request = None;
        state.interrupting = false;
        state.drop_cancelled();
        let taken = match reaped.answer() {
            Answer::Done(_) if state.wants() => self.take(&mut state),
            Answer::Done(_) | Answer::WouldBlock | Answer::Again => Ok(()),
            Answer::Failed(error) => Err(error),
        };
        if let Err(error) = taken {
            self.failed(&mut state, error);
        }
        self.drive(state, event_loop);
    }

    fn on_timeout(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        state.timer.fired();
        self.drive(state, event_loop);
    }

    fn fail(self: Arc<Self>) {
        self.end(Error::PANIC);
    }
}

impl Member for Listener {
    fn place(&self) -> &Place {
        &self.place
    }

    fn stop(self: Arc<Self>, how: Stop) {
        if let Some(cause) = how.ends_work() {
            self.end(cause);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::fixture;
    use crate::socket::Listening;

    #[test]
    fn a_connection_that_another_process_has_taken_is_no_error() {
        let Some(net) = fixture::started(Config::default()) else { return };
        let socket = Socket::listen(
            &"127.0.0.1:0".parse().unwrap(),
            &Listening { backlog: 1, reuse_port: false, ipv6_only: None },
            &net.socket_options(),
        )
        .unwrap();
        let stand_in = StandIn::of(&socket).unwrap();
        let listener = Listener::open(&net, socket, stand_in).unwrap();
        let mut state = listener.state.lock();
        assert_eq!(listener.take(&mut state), Ok(()));
        assert!(state.ready.is_empty() && state.retry.is_none());
        drop(state);
        assert_eq!(net.stats().accept_errors, 0);
        net.stop().unwrap();
    }
}
