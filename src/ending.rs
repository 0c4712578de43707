//! The end of a watched connection: the one callback that comes after all others.
//!
//! `connection` makes it for the halves that a watch was given, and each half reports its own end. Invariant: the callback
//! runs once, on the receive loop, after every other callback of those halves.

use crate::callback::StatusCallback;
use crate::error::Result;
use crate::event_loop::{EventLoop, Handler, LoopHandle};
use crate::mailbox::Listed;
use crate::socket::Half;
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use std::sync::Arc;

/// The halves that have not ended yet, and the callback for the last of them.
pub struct Ending {
    listed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Gets `Ok` if the kernel took everything that was accepted, and the FIN. Otherwise it gets the cause.
    callback: Option<StatusCallback>,
    open: u8,
    /// It decides `result`: the sending half if it was given, because it knows whether everything went out.
    decides: Half,
    result: Result,
}

impl Ending {
    /// An end that both halves will report, or one of them.
    pub fn new(sends: bool, receives: bool, callback: StatusCallback) -> Arc<Ending> {
        let (open, decides) =
            (u8::from(sends) + u8::from(receives), if sends { Half::Send } else { Half::Recv });
        let state = State { callback: Some(callback), open, decides, result: Ok(()) };
        Arc::new(Ending { listed: AtomicBool::new(false), state: Mutex::new(state) })
    }

    /// `half` has ended, and the callbacks of its operations are in the mail of `recv_loop`.
    pub fn half_over(self: &Arc<Self>, recv_loop: &LoopHandle, half: Half, result: Result) {
        let mut state = self.state.lock();
        if half == state.decides {
            state.result = result;
        }
        state.open -= 1;
        let over = state.open == 0;
        drop(state);
        if over {
            recv_loop.post(Arc::clone(self) as _);
        }
    }
}

impl Listed for Ending {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Handler for Ending {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        let mut state = self.state.lock();
        let (callback, result) = (state.callback.take(), state.result);
        drop(state);
        if let Some(callback) = callback {
            event_loop.count_callback();
            callback.call(result);
        }
    }

    fn fail(self: Arc<Self>) {} // its callback has had its one call
}
