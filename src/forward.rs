//! Forwarding: what a stream receives goes to a sink, on the receive loop.
//!
//! The stream has a watch, whose callback sends what it is shown and consumes what the kernel took (stream/forward.rs). The
//! sink lets the forward alone send (sink/forward.rs). If the sink is full, the watch pauses until the sink has room.
//!
//! Invariant: the stream loses a byte only when the kernel has taken it from the sink. Therefore a forward may end at any
//! moment, and neither a byte is lost nor a send is torn.

use crate::callback::DataCallback;
use crate::completion::{Begun, Outcome, Target, Tell, Teller};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler, Reaped};
use crate::mailbox::Listed;
use crate::net::Net;
use crate::sink::{Forwarded, Sink};
use crate::socket::{Half, Tried};
use crate::stream::{Seen, Stream};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::Answer;
use std::sync::{Arc, Weak};

/// As a size: everything up to the end of the stream.
pub const ALL: usize = usize::MAX;

/// One forward. Only the receive loop uses the flags, so their order with other memory does not matter.
struct Forward {
    listed: AtomicBool,
    from: Weak<Stream>,
    to: Arc<Sink>,
    /// It has seen that it owns the sink.
    owns: AtomicBool,
    /// The stream is paused until the sink has room.
    held: AtomicBool,
    /// Why the sink's side ends it.
    cut: Mutex<Option<Error>>,
}

/// The state of the watch's callback.
struct Pump {
    forward: Arc<Forward>,
    net: Arc<Net>,
    teller: Option<Teller>,
    size: usize,
    sent: usize,
}

/// Forwards `size` bytes, or [`ALL`], and waits for the end.
pub fn run(from: &Arc<Stream>, to: &Arc<Sink>, size: usize) -> Result<Outcome> {
    match begin(from, to, size, Tell::Wait)? {
        Begun::Finished(outcome) => Ok(outcome),
        Begun::Queued(operation) => Ok(operation.outcome()),
        Begun::Called => unreachable!("a caller that waits has no callback"),
    }
}

/// The same, but `tell` says how the caller learns the end. INVALID: the halves are of two nets. BUSY: another forward, a
/// watch or receives are in the way. If this returns an error, nothing has begun.
pub fn begin(from: &Arc<Stream>, to: &Arc<Sink>, size: usize, tell: Tell<'_>) -> Result<Begun> {
    if !Arc::ptr_eq(from.net(), to.net()) {
        return Err(Error::INVALID);
    }
    let forward = Arc::new(Forward {
        listed: AtomicBool::new(false),
        from: Arc::downgrade(from),
        to: Arc::clone(to),
        owns: AtomicBool::new(false),
        held: AtomicBool::new(false),
        cut: Mutex::new(None),
    });
    let owns = to.begin_forward(Arc::clone(&forward) as _)?;
    to.socket().places.note_several(Half::Send); // the end of the forward is no end of the sink's own
    forward.owns.store(owns, Ordering::Relaxed); // the stream's lock publishes it to the loop
    let begun = from.begin_forward(&forward, tell, size == 0, |teller| {
        let (forward, net) = (Arc::clone(&forward), Arc::clone(to.net()));
        let mut pump = Pump { forward, net, teller: Some(teller), size, sent: 0 };
        DataCallback::boxed(move |result, bytes| match result {
            Ok(()) => pump.pass_on(bytes),
            Err(last) => pump.end(last),
        })
    });
    if matches!(begun, Ok(Begun::Queued(_) | Begun::Called)) {
        to.net().recv_loop.post(forward); // what has happened to the sink meanwhile may have found no forward to end
    } else {
        to.end_forward(|| {});
    }
    begun
}

impl Pump {
    /// Sends what there is. Returns how much the kernel took.
    fn pass_on(&mut self, bytes: &[u8]) -> usize {
        let left = if self.size == ALL { ALL } else { self.size - self.sent };
        let bytes = &bytes[..bytes.len().min(left)];
        if bytes.is_empty() {
            return 0; // it is over, and the last call comes
        }
        let count = self.forward.send(bytes);
        self.sent += count;
        if count == left {
            self.forward.end_from(Error::CANCELLED); // some reason: the last call sees that all is sent
        }
        count
    }

    /// The last call: the watch has ended with `last`.
    fn end(&mut self, last: Error) -> usize {
        let cut = *self.forward.cut.lock();
        let (result, side) = match last {
            _ if self.sent == self.size => (Ok(()), None),
            Error::EOF if self.size == ALL => (Ok(()), None),
            // These end both sides, and which one meets them first says nothing.
            Error::CANCELLED | Error::STOPPED | Error::PANIC => (Err(last), None),
            last if cut == Some(last) => (Err(last), Some(Half::Send)),
            last => (Err(last), Some(Half::Recv)),
        };
        let outcome = Outcome { result, bytes: self.sent };
        let teller = self.teller.take();
        self.forward.to.end_forward(|| {
            if let Some(teller) = teller {
                teller.tell_side(&*self.net.recv_loop, outcome, side);
            }
        });
        0
    }
}

impl Forward {
    /// One send. If the kernel does not take all, the stream is held until there is room.
    fn send(self: &Arc<Self>, bytes: &[u8]) -> usize {
        let tried =
            if self.owns.load(Ordering::Relaxed) { self.to.try_forward(bytes) } else { Tried::WouldBlock };
        match tried {
            Tried::Bytes(count) if count == bytes.len() => return count,
            Tried::Failed(error) => {
                self.to.break_forwarded(error);
                self.cut(error);
                return 0;
            }
            _ => {}
        }
        self.held.store(true, Ordering::Relaxed);
        if let Some(from) = self.from.upgrade() {
            from.hold_forward(self);
        }
        if let Tried::Bytes(count) = tried { count } else { 0 }
    }

    /// The sink's side ends it.
    fn cut(self: &Arc<Self>, error: Error) {
        self.cut.lock().get_or_insert(error);
        self.end_from(error);
    }

    fn end_from(self: &Arc<Self>, reason: Error) {
        if let Some(from) = self.from.upgrade() {
            from.end_forward(self, reason);
        }
    }

    fn look_at_stream(self: &Arc<Self>, seen: Seen) {
        if let Some(from) = self.from.upgrade() {
            from.look_for_forward(self, seen);
        }
    }
}

impl Listed for Forward {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Target for Forward {
    fn cancel_requested(self: Arc<Self>) {
        self.end_from(Error::CANCELLED);
    }
}

impl Handler for Forward {
    /// The sink has changed: there may be room, or an end.
    fn on_mail(self: Arc<Self>, _: &mut EventLoop) {
        match self.to.look_for_forward() {
            Forwarded::Waits => {}
            Forwarded::Ended(error) => self.cut(error),
            Forwarded::Owned => {
                self.owns.store(true, Ordering::Relaxed);
                if self.held.swap(false, Ordering::Relaxed) {
                    if let Some(from) = self.from.upgrade() {
                        from.resume_forward(&self); // if the sink is broken, the next send meets the error
                    }
                } else if let Some(error) = self.to.look_for_break() {
                    self.to.break_forwarded(error);
                    self.cut(error);
                }
            }
        }
    }

    fn on_ready(self: Arc<Self>, _: &mut EventLoop) {
        self.look_at_stream(Seen::Something);
    }

    fn on_complete(self: Arc<Self>, _: &mut EventLoop, _: Request, reaped: Reaped) {
        match reaped.answer() {
            Answer::Done(events) if events & libc::POLLHUP as usize == 0 => self.look_at_stream(Seen::Last),
            Answer::Done(_) | Answer::Failed(_) => self.look_at_stream(Seen::HangUp),
            Answer::WouldBlock | Answer::Again => {} // the forward is over, and has cancelled it
        }
    }

    fn fail(self: Arc<Self>) {
        self.end_from(Error::PANIC);
    }
}
