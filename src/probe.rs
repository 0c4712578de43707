//! What a net would find here, before there is one.
//!
//! Invariant: nothing of the try is left when it returns, and it answers wherever a start would fail.

use crate::availability::{explain, kernel_release};
use crate::error::Result;
use crate::event_loop::EventLoop;
use crate::net::{Config, start_error};
use crate::ring::{Features, Ring};

/// What io_uring is like here.
pub struct Probe {
    /// UNAVAILABLE where nets cannot start.
    pub status: Result,
    /// The errno of the failure, or 0.
    pub error: i32,
    /// The features found, as bits of [`Features`].
    pub features: u32,
    /// The kernel's release.
    pub kernel: String,
    /// Cause and remedy of a failure, or what was found.
    pub text: String,
}

/// Tries to make a ring as a net would.
pub fn probe() -> Probe {
    let kernel = kernel_release();
    let ring = Ring::new(Config::default().ring_entries, Features::wanted());
    match ring.and_then(EventLoop::probe_features) {
        Ok(features) => Probe {
            status: Ok(()),
            error: 0,
            features: features.0,
            text: format!("io_uring works here, with {}", features.names()),
            kernel,
        },
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            Probe { status: Err(start_error(error)), error: errno, features: 0, text: explain(errno), kernel }
        }
    }
}
