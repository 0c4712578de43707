//! What a receive asks for, and when what there is satisfies it.
//!
//! Invariant: a receive that is smaller than the read buffer takes all or nothing from the buffer. If it fails, the next
//! receive finds the bytes that had arrived. A larger receive counts what it took.

use crate::buffer::{Mark, ReadBuffer};
use crate::completion::Outcome;
use crate::engine::Lent;
use crate::error::Error;
use crate::socket::Socket;

/// What a receive asks for.
#[derive(Clone, Copy)]
pub enum Want {
    /// Enough bytes to fill all of the memory.
    Exactly(Lent),
    /// Whatever there is, at least one byte.
    Some(Lent),
    /// So many bytes in the buffer.
    Buffered(usize),
    /// Bytes in the buffer up to and with a mark, at most so many. Its count of bytes is where the mark ends.
    Until(Mark, usize),
}

/// How often a receive may ask the kernel.
#[derive(Clone, Copy)]
pub enum Ask {
    /// Not at all.
    Never,
    /// Once, for at most [`SERVE_MAX`]. A callback must not be long, however fast the peer sends.
    Once,
    /// For so many bytes: those that came before a deadline that has passed. See [`Ask::held_by`].
    Held(usize),
    /// While the socket has bytes.
    Always,
}

impl Ask {
    /// For what `socket` holds now, and for the end behind it. Bytes that come during the receive are too late.
    pub fn held_by(socket: &Socket) -> Ask {
        Ask::Held(socket.unread() + 1) // one more finds the end
    }

    /// How many bytes the next call may bring. 0 means no call.
    pub fn most(self) -> usize {
        match self {
            Ask::Never => 0,
            Ask::Once => SERVE_MAX,
            Ask::Held(left) => left,
            Ask::Always => usize::MAX,
        }
    }

    /// What may follow a call that has brought `count` bytes.
    pub fn after(self, count: usize) -> Ask {
        match self {
            Ask::Never | Ask::Once => Ask::Never,
            Ask::Held(left) => Ask::Held(left - count),
            Ask::Always => Ask::Always,
        }
    }
}

/// How far a receive has come.
pub enum Step {
    /// The receive has ended.
    Done(Outcome),
    /// It needs more than there is.
    Blocked,
}

/// What the owner takes out of the state while it works without the lock.
pub struct Taken {
    /// The buffered bytes.
    pub buffer: ReadBuffer,
    /// The end of the stream, if a receive has met it.
    pub end: Option<Error>,
    /// The last receive found less than it asked for.
    pub drained: bool,
}

/// From this size on, bytes are bulk rather than a message that someone waits for. Bulk is better left to grow: a thread
/// that always comes first receives it in pieces, by more calls.
const BULK: usize = 16 << 10;

/// The most that a loop's thread receives at once. A peer that sends as fast as the loop receives must not hold it.
pub const SERVE_MAX: usize = 1 << 20;

/// The most room that one receive offers, unless the read buffer is larger.
const ROOM_MAX: usize = 1 << 20;

impl Want {
    /// Whether there is nothing to wait for.
    pub fn is_empty(self) -> bool {
        match self {
            Want::Exactly(lent) | Want::Some(lent) => lent.size == 0,
            Want::Buffered(size) => size == 0,
            Want::Until(..) => false,
        }
    }

    /// Whether `got`, or the size of a fill, is bulk.
    pub fn is_bulk(self, got: usize) -> bool {
        match self {
            Want::Exactly(_) | Want::Some(_) => got >= BULK,
            Want::Buffered(size) => size >= BULK,
            Want::Until(..) => false,
        }
    }

    /// The memory that the kernel writes to directly, for a receive at least as large as the read buffer.
    pub fn direct(self, got: usize, capacity: usize) -> Option<Lent> {
        match self {
            Want::Exactly(lent) | Want::Some(lent) if lent.size >= capacity => Some(lent.after(got)),
            _ => None,
        }
    }

    /// How much room to offer behind `kept` buffered bytes.
    pub fn room(self, kept: usize, capacity: usize) -> usize {
        let whole = match self {
            Want::Buffered(size) => size.max(capacity),
            // A read buffer more at a time: the mark may be anywhere.
            Want::Until(_, max) => max.min(kept + capacity).max(capacity),
            Want::Exactly(_) | Want::Some(_) => capacity,
        };
        // In steps: the memory for a large fill grows as its bytes arrive.
        whole.saturating_sub(kept).clamp(1, capacity.max(ROOM_MAX))
    }

    /// Whether so many bytes end the receive, and none of them is left.
    pub fn is_ended_by(self, got: usize, size: usize) -> bool {
        match self {
            Want::Some(lent) => size <= lent.size - got,
            Want::Exactly(lent) => size == lent.size - got,
            Want::Buffered(_) | Want::Until(..) => false,
        }
    }

    /// Ends the receive with `bytes`, if they are enough. Returns how many it took. Nothing is buffered before them.
    #[allow(unsafe_code)]
    pub fn end_with(self, got: &mut usize, bytes: &[u8]) -> Option<usize> {
        let rest = match self {
            Want::Some(lent) => lent.after(*got),
            Want::Exactly(lent) if bytes.len() >= lent.size - *got => lent.after(*got),
            Want::Exactly(_) | Want::Buffered(_) | Want::Until(..) => return None,
        };
        let count = bytes.len().min(rest.size);
        // SAFETY: the memory is lent until the receive ends, and the bytes are the library's own.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(rest.start, count) };
        *got += count;
        Some(count)
    }

    /// Takes what the receive may take. Returns its outcome if it has enough, or if the stream has ended.
    #[allow(unsafe_code)]
    pub fn satisfy(self, got: &mut usize, taken: &mut Taken, capacity: usize) -> Option<Outcome> {
        let kept = taken.buffer.len();
        let enough = match self {
            Want::Until(mark, max) => return Want::satisfy_until(&mark, max, taken),
            Want::Buffered(size) => kept >= size,
            Want::Exactly(lent) if lent.size < capacity => kept >= lent.size,
            Want::Exactly(lent) => kept > 0 || *got == lent.size,
            Want::Some(_) => kept > 0 || *got > 0,
        };
        match self {
            Want::Exactly(lent) | Want::Some(lent) if enough => {
                let rest = lent.after(*got);
                // SAFETY: the memory is lent until the receive ends, and the buffer is the library's own.
                *got += unsafe { taken.buffer.take(rest.start, rest.size) };
            }
            _ => {}
        }
        let done = match self {
            Want::Exactly(lent) => *got == lent.size,
            Want::Buffered(_) | Want::Until(..) | Want::Some(_) => enough,
        };
        match (done, taken.end) {
            (true, _) => Some(Outcome { result: Ok(()), bytes: *got }),
            (false, Some(end)) => Some(Outcome { result: Err(end), bytes: *got }),
            (false, None) => None,
        }
    }

    /// The same for [`Want::Until`], which leaves everything in the buffer.
    #[inline(never)] // keeps the way of a receive short
    fn satisfy_until(mark: &Mark, max: usize, taken: &mut Taken) -> Option<Outcome> {
        if let Some(bytes) = taken.buffer.find(mark, max) {
            return Some(Outcome { result: Ok(()), bytes });
        }
        let end = if taken.buffer.len() >= max { Some(Error::TOO_BIG) } else { taken.end };
        end.map(|end| Outcome { result: Err(end), bytes: 0 })
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    const CAPACITY: usize = 64;

    fn taken(bytes: &[u8], end: Option<Error>) -> Taken {
        let mut buffer = ReadBuffer::default();
        buffer.append(bytes);
        Taken { buffer, end, drained: false }
    }

    fn lent(memory: &mut [u8]) -> Lent {
        Lent { start: memory.as_mut_ptr(), size: memory.len() }
    }

    #[test]
    fn a_small_receive_takes_all_or_nothing() {
        let mut memory = [0; 8];
        let (want, mut got) = (Want::Exactly(lent(&mut memory)), 0);
        let mut short = taken(b"hello", Some(Error::EOF));
        let outcome = want.satisfy(&mut got, &mut short, CAPACITY).unwrap();
        assert_eq!((outcome.result, outcome.bytes), (Err(Error::EOF), 0));
        assert_eq!(short.buffer.as_slice(), b"hello");
        let mut enough = taken(b"hello world", None);
        let outcome = want.satisfy(&mut got, &mut enough, CAPACITY).unwrap();
        assert_eq!((outcome.result, outcome.bytes), (Ok(()), 8));
        assert_eq!((&memory, enough.buffer.as_slice()), (b"hello wo", &b"rld"[..]));
    }

    #[test]
    fn a_large_receive_counts_what_it_took() {
        let mut memory = [0; CAPACITY + 1];
        let (want, mut got) = (Want::Exactly(lent(&mut memory)), 0);
        let mut some = taken(b"hello", None);
        assert!(want.satisfy(&mut got, &mut some, CAPACITY).is_none());
        assert_eq!((got, some.buffer.len()), (5, 0));
        assert_eq!(want.direct(got, CAPACITY).map(|rest| rest.size), Some(CAPACITY - 4));
        some.end = Some(Error::TIMEOUT);
        let outcome = want.satisfy(&mut got, &mut some, CAPACITY).unwrap();
        assert_eq!((outcome.result, outcome.bytes), (Err(Error::TIMEOUT), 5));
    }

    #[test]
    fn some_takes_what_there_is() {
        let mut memory = [0; 8];
        let (want, mut got) = (Want::Some(lent(&mut memory)), 0);
        let mut nothing = taken(b"", None);
        assert!(want.satisfy(&mut got, &mut nothing, CAPACITY).is_none());
        let outcome = want.satisfy(&mut got, &mut taken(b"abc", Some(Error::EOF)), CAPACITY).unwrap();
        assert_eq!((outcome.result, outcome.bytes), (Ok(()), 3), "bytes come before the end");
    }

    #[test]
    fn a_fill_takes_nothing_and_offers_room_for_all_of_it() {
        let (want, mut got) = (Want::Buffered(100), 0);
        assert_eq!(want.room(30, CAPACITY), 70);
        let mut short = taken(&[1; 99], None);
        assert!(want.satisfy(&mut got, &mut short, CAPACITY).is_none());
        short.buffer.append(&[2]);
        assert!(want.satisfy(&mut got, &mut short, CAPACITY).is_some());
        assert_eq!(short.buffer.len(), 100);
    }

    #[test]
    fn a_line_may_end_with_the_last_byte_that_is_allowed() {
        let until = |max, bytes: &[u8], end| {
            let want = Want::Until(Mark::new(b"\r\n").unwrap(), max);
            let mut taken = taken(bytes, end);
            let outcome = want.satisfy(&mut 0, &mut taken, CAPACITY);
            assert_eq!(taken.buffer.as_slice(), bytes, "all stays buffered");
            outcome.map(|outcome| outcome.result.map(|()| outcome.bytes))
        };
        let line = b"hello\r\nmore";
        assert_eq!(until(7, line, None), Some(Ok(7)));
        assert_eq!(until(7, &line[..7], Some(Error::EOF)), Some(Ok(7)), "bytes come before the end");
        assert_eq!(until(6, line, None), Some(Err(Error::TOO_BIG)));
        assert_eq!(until(7, &line[..6], None), None);
        assert_eq!(until(7, &line[..6], Some(Error::EOF)), Some(Err(Error::EOF)));
        assert_eq!(until(6, &line[..6], Some(Error::EOF)), Some(Err(Error::TOO_BIG)));
    }

    #[test]
    fn a_long_line_gets_a_read_buffer_more_at_a_time() {
        let want = Want::Until(Mark::new(b"\n").unwrap(), 200);
        assert_eq!([0, 60, 100, 150, 199].map(|kept| want.room(kept, CAPACITY)), [64, 64, 64, 50, 1]);
    }
}
