//! What the start of a net would find on this system.
//!
//! Invariant: the probe frees all that it made before it returns, and it fails in every case in which a start would fail.

use crate::config::Config;
use crate::engine::{Engine, Features, Plan, Waker, explain, kernel_release, status_of_start};
use crate::error::Result;
use crate::threads;
use std::io;

/// What io_uring offers on this system.
pub struct Probe {
    /// What a start would return.
    pub status: Result,
    /// The errno of the failure, or 0.
    pub error: i32,
    /// The features found, as bits of [`Features`].
    pub features: u32,
    /// The kernel's release.
    pub kernel: String,
    /// Cause and remedy of a failure, or the features found.
    pub text: String,
}

/// Tries the steps of a net's start with the default config.
pub fn probe() -> Probe {
    let kernel = kernel_release();
    match try_start() {
        Ok(features) => {
            Probe { status: Ok(()), error: 0, features: features.0, text: found(features), kernel }
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            Probe {
                status: Err(status_of_start(&error)),
                error: errno,
                features: 0,
                text: explain(errno),
                kernel,
            }
        }
    }
}

/// Does the steps of a start. Both threads run at once, and end before the engines are made.
fn try_start() -> io::Result<Features> {
    let plan = Plan::new(Config::default().ring_entries);
    let errno =
        |error: crate::error::Error| io::Error::from_raw_os_error(error.errno().unwrap_or(libc::EINVAL));
    let (send_waker, recv_waker) = (Waker::new().map_err(errno)?, Waker::new().map_err(errno)?);
    threads::try_start(2)?;
    let _send_engine = Engine::new(plan, false, &send_waker)?;
    Engine::new(plan, true, &recv_waker).map(|recv_engine| recv_engine.features())
}

fn found(features: Features) -> String {
    match features {
        Features(0) => "io_uring works here, without the features of newer kernels".to_owned(),
        features => format!("io_uring works here, with {}", features.names()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_whole_sentence() {
        assert_eq!(found(Features(0)), "io_uring works here, without the features of newer kernels");
        assert_eq!(found(Features::NO_IOWAIT), "io_uring works here, with no_iowait");
    }
}
