//! Which engine a net gets, and what a start over it needs.
//!
//! The start of a net and the probe ask here. Invariant: both engines of a net are of one kind. If epoll was demanded, the
//! library makes no call of io_uring.

use super::availability::{explain, status_of_start};
use super::{Features, ring::RingSize};
use crate::error::Error;
use std::io;

/// What an engine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// io_uring.
    IoUring,
    /// epoll, and a system call for each send and receive.
    Epoll,
}

impl EngineKind {
    /// The name, for people and for the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::IoUring => "io_uring",
            EngineKind::Epoll => "epoll",
        }
    }
}

/// How to make both engines of a net.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub(super) kind: EngineKind,
    pub(super) size: RingSize,
    pub(super) features: Features,
    /// An engine over epoll may have a ring for the sends of callbacks.
    pub(super) has_send_ring: bool,
    refusal: Option<i32>,
}

impl Plan {
    /// So many entries, or as many as the limit on locked memory can hold, and every feature that the kernel has.
    pub fn new(kind: EngineKind, entries: u32) -> Plan {
        Plan {
            kind,
            size: RingSize::new(entries),
            features: Features::wanted(),
            has_send_ring: false,
            refusal: None,
        }
    }

    /// What its engines are made of.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// The errno with which io_uring was refused. `None`: these engines are what was asked for first.
    pub fn refusal(&self) -> Option<i32> {
        self.refusal
    }

    /// The same plan with these features alone.
    #[cfg(all(test, not(loom)))]
    pub fn with(self, features: Features) -> Plan {
        Plan { features, ..self }
    }
}

/// A start that failed.
pub struct Failure {
    kind: EngineKind,
    error: io::Error,
}

impl Failure {
    /// The status for the caller of the start.
    pub fn status(&self) -> Error {
        match (self.kind, self.error.raw_os_error()) {
            (EngineKind::Epoll, Some(errno)) => Error::from_errno(errno),
            _ => status_of_start(&self.error),
        }
    }

    /// The errno of the system's refusal.
    pub fn errno(&self) -> i32 {
        self.error.raw_os_error().unwrap_or(libc::EINVAL)
    }

    /// Cause and remedy.
    pub fn explain(&self) -> String {
        explain(self.errno())
    }
}

/// Calls `start` with the plan that the caller asks for. If neither the caller nor the environment asks for a kind, it tries
/// io_uring first, and then epoll.
pub fn start_over<T>(
    asked: Option<EngineKind>,
    entries: u32,
    mut start: impl FnMut(Plan) -> io::Result<T>,
) -> Result<T, Failure> {
    let asked = asked.or_else(named_by_environment);
    let mut plan = Plan::new(asked.unwrap_or(EngineKind::IoUring), entries);
    if asked.is_none() {
        plan.size = plan.size.with_fallback();
    }
    match start(plan) {
        Err(error) if asked.is_none() && refuses_io_uring(&error) => {
            plan = Plan { kind: EngineKind::Epoll, refusal: error.raw_os_error(), ..plan };
            start(plan)
        }
        result => result,
    }
    .map_err(|error| Failure { kind: plan.kind, error })
}

/// The same for a net whose receive loop runs on a thread of the program. Such a loop waits by epoll, because an io_uring belongs
/// to its thread and its descriptor does not wake up a program that polls it. Unless epoll is demanded, the sends of callbacks may
/// leave by a ring.
pub fn start_for_caller<T>(
    asked: Option<EngineKind>,
    entries: u32,
    start: impl FnOnce(Plan) -> io::Result<T>,
) -> Result<T, Failure> {
    let kind = EngineKind::Epoll;
    let has_send_ring = asked.or_else(named_by_environment) != Some(kind);
    start(Plan { has_send_ring, ..Plan::new(kind, entries) }).map_err(|error| Failure { kind, error })
}

/// Whether the system refuses io_uring alone. What else a net needs may be short as well, and epoll needs it too.
fn refuses_io_uring(error: &io::Error) -> bool {
    matches!(status_of_start(error), Error::UNAVAILABLE | Error::LOCKED_MEMORY)
}

fn named_by_environment() -> Option<EngineKind> {
    named(&std::env::var("IOURINGNET_ENGINE").unwrap_or_default())
}

/// The kind of that name. `None` for any other text, such as "auto".
fn named(name: &str) -> Option<EngineKind> {
    [EngineKind::IoUring, EngineKind::Epoll].into_iter().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds that were tried, and what came of it, if the first try fails with `errno`.
    fn tries(asked: Option<EngineKind>, errno: i32) -> (Vec<EngineKind>, Result<Option<i32>, Error>) {
        let mut kinds = Vec::new();
        let result = start_over(asked, 64, |plan| {
            kinds.push(plan.kind());
            if kinds.len() == 1 { Err(io::Error::from_raw_os_error(errno)) } else { Ok(plan.refusal()) }
        });
        (kinds, result.map_err(|failure| failure.status()))
    }

    #[test]
    fn what_was_demanded_is_tried_alone() {
        use EngineKind::{Epoll, IoUring};
        assert_eq!(tries(Some(IoUring), libc::EPERM), (vec![IoUring], Err(Error::UNAVAILABLE)));
        assert_eq!(tries(Some(Epoll), libc::EPERM), (vec![Epoll], Err(Error::from_errno(libc::EPERM))));
        assert_eq!(tries(Some(Epoll), libc::ENOMEM), (vec![Epoll], Err(Error::from_errno(libc::ENOMEM))));
    }

    #[test]
    fn epoll_takes_the_place_of_an_io_uring_that_is_refused() {
        use EngineKind::{Epoll, IoUring};
        if std::env::var_os("IOURINGNET_ENGINE").is_some() {
            return; // the environment decides
        }
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EINVAL] {
            assert_eq!(tries(None, errno), (vec![IoUring, Epoll], Ok(Some(errno))));
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::EAGAIN] {
            assert_eq!(
                tries(None, errno),
                (vec![IoUring], Err(Error::from_errno(errno))),
                "epoll needs it too"
            );
        }
    }

    #[test]
    fn a_kind_is_known_by_its_name() {
        assert_eq!(named("io_uring"), Some(EngineKind::IoUring));
        assert_eq!(named("epoll"), Some(EngineKind::Epoll));
        assert_eq!((named("auto"), named("")), (None, None));
    }
}
