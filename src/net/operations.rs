//! The operations of a net: how the net accepts them, and how it reports their ends.
//!
//! Every handle of the net calls this file. Invariant: an operation that was accepted with a callback or an op has a permit
//! until its end is reported.

use super::Net;
use crate::completion::{Accepted, Begun, Callback, Ended, Operation, Outcome, Target, Tell, Teller};
use crate::error::Result;
use crate::permits::{HalfSocket, Permit};
use std::sync::{Arc, Weak};

impl Net {
    /// A new operation of this net.
    pub fn operation(self: &Arc<Self>, callback: Option<Callback>) -> Arc<Operation> {
        Operation::new(Arc::clone(&self.recv_loop) as _, callback)
    }

    /// The operation for work that does not end at once.
    pub fn operation_for(self: &Arc<Self>, tell: Tell<'_>) -> Arc<Operation> {
        match tell {
            Tell::Wait => self.operation(None),
            Tell::By(op) => Arc::clone(op),
            Tell::Call(callback) => self.operation(Some(callback)),
        }
    }

    /// A place among the operations in flight. LIMIT: no place is free.
    pub fn permit(&self) -> Result<Permit> {
        Permit::counted(&self.operations, self.config.max_operations as usize)
    }

    /// The same for one direction of a connection. Each direction has one place of its own, which is used first.
    #[inline]
    pub fn permit_for<const HALF: usize>(&self, socket: &HalfSocket<HALF>) -> Result<Permit> {
        Permit::embedded(socket).map_or_else(|| self.permit(), Ok)
    }

    /// Accepts a send or a receive. The caller passes the result to [`Net::over_at_once`] or [`Net::queued`]. LIMIT: no
    /// place is free.
    #[inline]
    pub fn accept_work<'a, const HALF: usize>(
        &self,
        tell: Tell<'a>,
        socket: &HalfSocket<HALF>,
        target: impl FnOnce() -> Weak<dyn Target>,
    ) -> Result<Accepted<'a>> {
        Ok(match tell {
            Tell::Wait => Accepted::Wait,
            Tell::By(op) => {
                op.accept(self.permit_for(socket)?, target());
                Accepted::By(op)
            }
            Tell::Call(callback) => Accepted::Call(callback, self.permit_for(socket)?),
        })
    }

    /// Reports the end of a send or receive that needs no queue.
    #[inline]
    pub fn over_at_once(&self, accepted: Accepted<'_>, result: Result, bytes: usize) -> Begun {
        let outcome = Outcome { result, bytes };
        match accepted {
            Accepted::Wait => {}
            Accepted::By(op) => op.complete(result, bytes),
            Accepted::Call(callback, permit) => {
                self.recv_loop.ended(Ended { callback, outcome, permit });
            }
        }
        Begun::Finished(outcome)
    }

    /// Who learns the end of a send or receive that the handle queues. LIMIT: its caller waits, and no place is free.
    /// Exception: if it has `begun`, by moving bytes or by waiting, it goes on and exceeds the bound by one.
    pub fn teller<const HALF: usize>(
        self: &Arc<Self>,
        accepted: Accepted<'_>,
        socket: &HalfSocket<HALF>,
        target: impl FnOnce() -> Weak<dyn Target>,
        begun: bool,
    ) -> Result<Teller> {
        match accepted {
            Accepted::Call(callback, permit) => return Ok(Teller::Call(callback, permit)),
            Accepted::By(op) => return Ok(Teller::Operation(Arc::clone(op))),
            Accepted::Wait => {}
        }
        let op = self.operation(None);
        match self.permit_for(socket) {
            Ok(permit) => op.accept(permit, target()),
            Err(error) if !begun => return Err(error),
            Err(_) => {}
        }
        Ok(Teller::Operation(op))
    }
}
