#![allow(unsafe_code)] // pushing entries
//! Whether sends that complete silently can be trusted here.
//!
//! Kernels know the flag since 5.17, but before 6.1 a send of which a part went could say EAGAIN. Its rest would then go out
//! twice. Therefore the ring tries both on sockets of its own.

use super::entry::silent_send;
use super::uring::Uring;
use crate::engine::{Features, Wait};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// More than a socket holds: the system's default for a Unix socket is 212,992 bytes.
const TOO_MUCH: usize = 8 << 20;
/// Whole sends. None of them may complete.
const WHOLE: usize = 2;

/// Notes [`Features::SILENT_SENDS`] if the kernel does what it should. The caller calls it before it pushes anything.
pub fn probe(uring: &mut Uring) {
    if uring.wants(Features::SILENT_SENDS) && uring.knows_skip() && does_it(uring).unwrap_or(false) {
        uring.found(Features::SILENT_SENDS);
    }
}

/// Two whole sends, one of which a part goes, and one for which no room is left.
fn does_it(uring: &mut Uring) -> io::Result<bool> {
    let (from, _to) = UnixStream::pair()?;
    let mut zeroes = vec![0u8; TOO_MUCH]; // untouched memory: no page of it is made
    for (place, size) in [1, 1, TOO_MUCH, TOO_MUCH].into_iter().enumerate() {
        let part = libc::iovec { iov_base: zeroes.as_mut_ptr().cast(), iov_len: size };
        // SAFETY: an entry never stays in flight. Memory and socket stay until the kernel has decided every entry.
        unsafe { uring.push(silent_send(from.as_raw_fd(), part).user_data(place as u64)) };
    }
    if uring.enter(Wait::No).is_err() || !uring.has_decided() {
        mem::forget((zeroes, from)); // the entries name both, and a later enter may submit them
        return Ok(false);
    }
    let answers: Vec<_> = uring.reap().map(|answer| (answer.number as usize, answer.result)).collect();
    Ok(matches!(answers[..], [(WHOLE, part), (_, nothing)]
        if part > 0 && (part as usize) < TOO_MUCH && nothing == -libc::EAGAIN))
}
