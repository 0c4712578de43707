//! TCP networking for C and C++ over two io_uring event loops, one for sends, one for receives.
//!
//! The product is the C library: `include/iouringnet.h` and `libiouringnet.so`. This crate is its core, with a safe
//! Rust interface of its own; docs/ARCHITECTURE.md shows how the parts fit.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod address;
pub mod availability;
mod buffer;
pub mod completion;
mod deadlines;
mod delayed_call;
mod dial;
pub mod error;
mod event_loop;
mod eventfd;
#[cfg(not(loom))]
pub mod ffi;
pub mod fork;
mod hosts;
mod linger;
pub mod listener;
pub mod logging;
mod mailbox;
pub mod net;
mod ownership;
pub mod parts;
pub mod probe;
mod request;
mod resolver;
mod ring;
mod ring_size;
mod shed;
pub mod sink;
pub mod slots;
pub mod socket;
mod socket_waiter;
pub mod spin;
mod stand_in;
pub mod stream;
mod sync;
mod threads;
