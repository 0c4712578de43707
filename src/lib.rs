//! TCP networking for C and C++ over two io_uring event loops: one for sends, one for receives.
//!
//! The product is the C library: `include/iouringnet.h` and `libiouringnet.so`. This crate is its core, with a safe Rust
//! interface for its own tests. docs/ARCHITECTURE.md shows how the parts fit.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod address;
mod buffer;
mod cache_line;
mod call_cost;
mod callback;
mod callback_thread;
mod completion;
pub mod config;
#[cfg_attr(loom, allow(dead_code))] // ffi alone uses some of it
mod connection;
mod deadlines;
pub mod defaults;
mod delayed_call;
mod dial;
mod ending;
mod engine;
mod epoll;
pub mod error;
mod event_loop;
mod eventfd;
#[cfg(not(loom))]
pub mod ffi;
#[cfg_attr(loom, allow(dead_code))] // ffi alone uses some of it
mod fork;
#[cfg_attr(loom, allow(dead_code))] // ffi alone uses it
mod forward;
mod freed;
mod hosts;
mod idle;
mod linger;
mod listener;
mod logging;
mod mailbox;
mod members;
pub mod net;
mod once;
pub mod open;
mod ownership;
mod parts;
mod permits;
pub mod probe;
mod rare;
mod resolver;
mod shared_bytes;
mod shed;
mod sink;
#[cfg_attr(loom, allow(dead_code))] // ffi alone uses it
mod slots;
mod socket;
mod socket_waiter;
mod spin;
mod stand_in;
mod stream;
mod sync;
mod sys;
mod threads;
mod timer_fd;
mod timers;
mod uncollected;
