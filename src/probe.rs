//! What the start of a net would find on this system.
//!
//! Invariant: the probe frees all that it made before it returns, and it fails in every case in which a start would fail.

use crate::config::Config;
use crate::engine::{Engine, EngineKind, Features, Plan, Waker, explain, kernel_release, start_over};
use crate::error::{Error, Result};
use crate::threads;
use std::io;

/// What a net finds on this system.
pub struct Probe {
    /// What a start would return.
    pub status: Result,
    /// The errno of the refusal: of the start, or of io_uring, for which epoll stands in. 0: nothing was refused.
    pub error: i32,
    /// The features found, as bits of [`Features`].
    pub features: u32,
    /// What a net would wait by. `None`: no net can start.
    pub engine: Option<EngineKind>,
    /// The kernel's release.
    pub kernel: String,
    /// Cause and remedy of a refusal, or what was found.
    pub text: String,
}

/// What a start has found.
struct Found {
    engine: EngineKind,
    features: Features,
    refusal: Option<i32>,
}

/// Tries the steps of a net's start with the default config.
pub fn probe() -> Probe {
    let kernel = kernel_release();
    let config = Config::default();
    match start_over(config.engine, config.ring_entries, try_start) {
        Ok(found) => Probe {
            status: Ok(()),
            error: found.refusal.unwrap_or(0),
            features: found.features.0,
            engine: Some(found.engine),
            text: found.text(),
            kernel,
        },
        Err(failure) => Probe {
            status: Err(failure.status()),
            error: failure.errno(),
            features: 0,
            engine: None,
            text: failure.explain(),
            kernel,
        },
    }
}

/// Does the steps of a start. Both threads run at once, and end before the engines are made.
fn try_start(plan: Plan) -> io::Result<Found> {
    let send_waker = Waker::new().map_err(Error::to_io)?;
    let recv_waker = Waker::new().map_err(Error::to_io)?;
    threads::try_start(2)?;
    let _send_engine = Engine::new(plan, false, &send_waker)?;
    let features = Engine::new(plan, true, &recv_waker)?.features();
    Ok(Found { engine: plan.kind(), features, refusal: plan.refusal() })
}

impl Found {
    fn text(&self) -> String {
        match (self.refusal, self.engine, self.features) {
            (Some(errno), ..) => explain(errno),
            (None, EngineKind::Epoll, _) => "epoll works here, as it was asked for".to_owned(),
            (None, EngineKind::IoUring, Features(0)) => {
                "io_uring works here, without the features of newer kernels".to_owned()
            }
            (None, EngineKind::IoUring, features) => {
                format!("io_uring works here, with {}", features.names())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_whole_sentence() {
        let text = |engine, features| Found { engine, features, refusal: None }.text();
        let of_ring = |features| text(EngineKind::IoUring, features);
        assert_eq!(of_ring(Features(0)), "io_uring works here, without the features of newer kernels");
        assert_eq!(of_ring(Features::NO_IOWAIT), "io_uring works here, with no_iowait");
        assert_eq!(text(EngineKind::Epoll, Features(0)), "epoll works here, as it was asked for");
        let refused = Found { engine: EngineKind::Epoll, features: Features(0), refusal: Some(libc::EPERM) };
        assert_eq!(refused.text(), explain(libc::EPERM));
    }
}
