//! Connections that an operation has made and no caller has collected yet.
//!
//! The net owns the list. Dials and listeners complete their operations through it. Invariant: every connection that waits
//! for its collector is listed, so a stop closes it.

use crate::completion::Operation;
use crate::error::Result;
use crate::socket::Socket;
use crate::sync::Mutex;
use std::mem;
use std::sync::{Arc, Weak};

/// The operations that have a connection, or had one.
pub struct Uncollected(Mutex<Vec<Weak<Operation>>>);

impl Uncollected {
    /// An empty list.
    pub fn new() -> Uncollected {
        Uncollected(Mutex::new(Vec::new()))
    }

    /// Completes `op` with a connection or an error. If `op` has no callback, the connection waits for its collector.
    pub fn complete(&self, op: &Arc<Operation>, result: Result<Arc<Socket>>) {
        if !op.complete_connection(result) {
            return;
        }
        let mut list = self.0.lock();
        if list.len() == list.capacity() {
            let waits = |op: &Weak<Operation>| op.upgrade().is_some_and(|op| op.has_connection());
            list.retain(waits);
        }
        list.push(Arc::downgrade(op));
    }

    /// The net has stopped. Closes the connections that still wait.
    pub fn revoke(&self) {
        let list = mem::take(&mut *self.0.lock());
        for op in list.iter().filter_map(Weak::upgrade).filter(|op| op.has_connection()) {
            op.revoke_connection();
        }
    }
}
