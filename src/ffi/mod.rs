#![allow(rustdoc::broken_intra_doc_links)] // "[::1]:7000" is an address
#![allow(clippy::missing_safety_doc)] // the comments are the C documentation, which says what every caller owes
//! The C boundary: the names that C sees.
//!
//! Only C programs call it, from any thread. Every function makes four moves: check the arguments, share the handle, call
//! the core, map the result. Invariant: only a status leaves an exported function. No panic leaves it, no reference to
//! memory of the library, and no lock.
//!
//! The comments of exported items are the text of `include/iouringnet.h`, which C programmers read.

mod arguments;
mod buffer;
mod config;
mod connection;
mod descriptor;
mod dispatch;
mod forward;
mod guard;
mod handles;
mod library;
mod listener;
mod log;
mod metrics;
mod net;
mod notify;
mod op;
mod options;
mod recv;
mod send;
mod sink;
mod stream;
mod types;
mod versioned;
mod watch;

pub use buffer::*;
pub use config::iouringnet_config;
pub use connection::*;
pub use descriptor::*;
pub use dispatch::*;
pub use forward::*;
pub use library::*;
pub use listener::*;
pub use metrics::*;
pub use net::*;
pub use op::*;
pub use options::{iouringnet_bind_options, iouringnet_dial_options};
pub use recv::*;
pub use send::*;
pub use sink::*;
pub use stream::*;
pub use types::*;
pub use watch::*;

// What the files share.
use self::arguments::{User, limit, memory, required, searched_for, slice, span, text};
use self::guard::{
    guard, guard_anywhere, guard_blocking, guard_blocking_transfer, guard_counted, guard_signal,
    guard_transfer, guard_void, status,
};
use self::notify::{Notify, attach, completion, side, submit, submit_connection};
