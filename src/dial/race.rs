//! The race of a dial's addresses: Happy Eyeballs, RFC 8305.
//!
//! A dial asks it what to do next. Invariant: the dial tries each address once, one after the other, the families in turn.
//! The next address is due if one has failed, or [`ATTEMPT_DELAY`] after the one before it. Exception: an address whose
//! socket has connected to itself is tried again, [`ANEW_MAX`] times in all.

use super::attempt::{Answer, Attempt, How};
use crate::engine::Request;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Handler};
use crate::shed;
use crate::socket::Socket;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an address has before the next one is tried beside it. RFC 8305 recommends this value.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many times a dial tries an address again because a socket has connected to itself.
const ANEW_MAX: u32 = 2;

/// What a dial does next.
pub enum Step {
    /// Ends with this result.
    End(Result<Arc<Socket>>),
    /// Waits for the name's addresses, for answers, or until the next address is due.
    Wait,
    /// Tries the next address in the next turn of the loop.
    Next,
    /// Tries the same address again when a closed connection has given up its descriptor.
    MakeRoom(Error),
}

/// When the next address is due.
enum Due {
    Now,
    At(Instant),
}

/// The addresses of a dial.
pub struct Race {
    /// Those that the dial has not tried yet. `None` while the name is looked up.
    left: Option<VecDeque<SocketAddr>>,
    /// Those that have not answered yet.
    attempts: Vec<Attempt>,
    due: Due,
    last_error: Error,
    anew_left: u32,
}

impl Race {
    /// A race whose addresses are not known yet.
    pub fn new() -> Race {
        Race { left: None, attempts: Vec::new(), due: Due::Now, last_error: Error::NAME, anew_left: ANEW_MAX }
    }

    /// The one address, or those of a name in the order of the resolver.
    pub fn set(&mut self, mut addresses: Vec<SocketAddr>, how: &How) {
        if let Some(from) = how.from {
            addresses.retain(|address| address.is_ipv4() == from.is_ipv4());
            self.last_error = Error::from_errno(libc::EADDRNOTAVAIL);
        }
        self.left = Some(in_turn(addresses));
    }

    /// There are no addresses, because the lookup has failed.
    pub fn set_failed(&mut self, error: Error) {
        self.last_error = error;
        self.left = Some(VecDeque::new());
    }

    /// Whether no attempt is left.
    pub fn is_over(&self) -> bool {
        self.attempts.is_empty()
    }

    /// When the next address is due although none has failed.
    pub fn due_at(&self) -> Option<Instant> {
        match self.due {
            Due::At(when) if self.has_more() => Some(when),
            _ => None,
        }
    }

    fn has_more(&self) -> bool {
        self.left.as_ref().is_some_and(|left| !left.is_empty())
    }

    /// What the dial does at `now`: it tries the next address if that one is due.
    pub fn step(&mut self, how: &How, now: Instant) -> Step {
        let due = match self.due {
            Due::Now => true,
            Due::At(when) => when <= now,
        };
        let wanted = self.attempts.is_empty() || (due && self.has_more());
        if wanted { self.try_next(how) } else { Step::Wait }
    }

    /// Tries the next address, if the addresses are known.
    pub fn try_next(&mut self, how: &How) -> Step {
        let Some(left) = &mut self.left else {
            return Step::Wait;
        };
        let Some(address) = left.pop_front() else {
            return Step::End(Err(self.last_error));
        };
        match Attempt::begin(how, address) {
            Ok((attempt, answer)) => {
                if matches!(answer, Answer::NotYet) && self.has_more() {
                    self.due = Due::At(Instant::now() + ATTEMPT_DELAY);
                }
                self.follow(attempt, answer)
            }
            Err(error) if shed::helps(error) => {
                left.push_front(address);
                Step::MakeRoom(error)
            }
            Err(error) => self.failed(error),
        }
    }

    /// What the dial does after an attempt's answer.
    pub fn follow(&mut self, attempt: Attempt, answer: Answer) -> Step {
        match answer {
            Answer::Connected => Step::End(Ok(attempt.socket)),
            Answer::NotYet => {
                self.attempts.push(attempt);
                Step::Wait
            }
            Answer::Itself => {
                if self.anew_left > 0 {
                    self.anew_left -= 1;
                    self.left.get_or_insert_default().push_front(attempt.address);
                }
                self.failed(Error::from_errno(libc::ECONNREFUSED))
            }
            Answer::Failed(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) -> Step {
        self.last_error = error;
        self.due = Due::Now;
        if self.has_more() {
            Step::Next
        } else if self.attempts.is_empty() {
            Step::End(Err(error))
        } else {
            Step::Wait
        }
    }

    /// Submits the requests that complete when the attempts have their answers.
    pub fn await_answers<H: Handler + 'static>(&mut self, dial: &Arc<H>, event_loop: &mut EventLoop) {
        for attempt in &mut self.attempts {
            attempt.await_answer(dial, event_loop);
        }
    }

    /// Takes the attempt whose request has come back.
    pub fn take(&mut self, request: &Request) -> Option<Attempt> {
        let Request::Writable { socket } = request else {
            return None;
        };
        let place = self.attempts.iter().position(|attempt| Arc::ptr_eq(&attempt.socket, socket))?;
        let mut attempt = self.attempts.swap_remove(place);
        attempt.came_back();
        Some(attempt)
    }

    /// The dial ends. Attempts whose requests are in flight stay until these come back.
    pub fn give_up(&mut self, event_loop: &mut EventLoop) {
        self.attempts.retain_mut(|attempt| attempt.interrupt(event_loop));
    }
}

/// The addresses with their families in turn. The first family and the order within a family stay.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return VecDeque::new();
    };
    if addresses.iter().all(|address| address.is_ipv6() == first) {
        return addresses.into();
    }
    let (of_first, of_second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut merged = VecDeque::new();
    let mut seconds = of_second.into_iter();
    for address in of_first {
        merged.push_back(address);
        merged.extend(seconds.next());
    }
    merged.extend(seconds);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_the_first_stays_first() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let cases: [(&[&str], &[&str]); 5] = [
            (&[], &[]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (&["[::1]:1", "[::2]:1"], &["[::1]:1", "[::2]:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"],
            ),
            (
                &["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
                &["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(in_turn(texts(given)), texts(expected));
        }
    }
}
