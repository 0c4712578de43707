//! What a net would find here, before there is one.
//!
//! Invariant: nothing of the try is left when it returns, and it answers wherever a start would fail.

use crate::config::Config;
use crate::engine::{Engine, Features, Plan, Waker, explain, kernel_release, status_of_start};
use crate::error::Result;
use crate::threads;
use std::io;

/// What io_uring is like here.
pub struct Probe {
    /// What a start would say.
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

/// Tries what a start of a net with the default config does.
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

/// The steps of a start, so that it fails where a start would. Both threads are there at once, and have ended before the
/// engines are made.
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
