#![allow(unsafe_code)] // memory that a caller lends across threads
//! The memory that one send covers, in one piece or several, and how pieces are gathered into one message.
//!
//! Invariant: a [`Parts`] only names memory, and [`Parts::append_to`] alone reads that memory. A caller that makes one for an operation
//! vouches that the memory stays readable and unchanged until the operation completes.

use std::mem;

/// The most bytes for one system call or one ring entry. The kernel cuts at 2 GiB - 4 KiB.
pub const ENTRY_MAX: usize = 1 << 30;
/// The most parts gathered into one message. The kernel's limit, UIO_MAXIOV, is 1,024.
pub const PARTS_MAX: usize = 64;

/// Memory that is to be sent. The caller lends it until the send completes.
pub enum Parts {
    /// One piece: its start, and its size in bytes.
    One(*const u8, usize),
    /// Several pieces, one after the other.
    Many(Many),
}

/// Several pieces. A binary search finds the piece that holds a given byte.
pub struct Many {
    parts: Box<[libc::iovec]>,
    /// Where each piece ends, in bytes from the start of the first.
    ends: Box<[usize]>,
}

// SAFETY: the pointers are only names here. The lender of the memory vouches (Sink::send_parts_async's contract) that any
// thread may read it until the operation completes.
unsafe impl Send for Parts {}
// SAFETY: as above, and a shared reference changes nothing.
unsafe impl Sync for Parts {}

impl Parts {
    /// Names `data` as one piece. The result does not borrow `data`.
    pub fn of(data: &[u8]) -> Parts {
        Parts::One(data.as_ptr(), data.len())
    }

    /// The sum of all bytes. `None`: more than memory can hold.
    pub fn size(&self) -> Option<usize> {
        let size = match self {
            Parts::One(_, size) => *size,
            Parts::Many(many) => many.ends.last().copied().unwrap_or(0),
        };
        isize::try_from(size).is_ok().then_some(size)
    }

    /// Copies the bytes from `skip` on to the end of `into`.
    ///
    /// # Safety
    /// The memory that this names is readable during the call, and `skip` is within it.
    pub unsafe fn append_to(&self, into: &mut Vec<u8>, skip: usize) {
        let (rest, mut skip) = match self {
            Parts::One(data, size) => {
                // SAFETY: the caller vouches for the memory.
                let piece = unsafe { bytes(data.wrapping_add(skip), size - skip) };
                return into.extend_from_slice(piece);
            }
            Parts::Many(many) => many.from(skip),
        };
        for part in rest {
            let skip = mem::take(&mut skip);
            let start = part.iov_base.cast_const().cast::<u8>().wrapping_add(skip);
            // SAFETY: as above.
            into.extend_from_slice(unsafe { bytes(start, part.iov_len - skip) });
        }
    }
}

/// # Safety
/// `size` bytes at `start` are readable and unchanged for `'a`. `start` may be NULL if `size` is 0.
unsafe fn bytes<'a>(start: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: not NULL, because so many bytes are readable there, as the caller vouches.
    unsafe { std::slice::from_raw_parts(start, size) }
}

impl Many {
    /// `None`: the sum of all bytes overflows.
    pub fn new(parts: Box<[libc::iovec]>) -> Option<Many> {
        let mut end = 0usize;
        let ends = parts.iter().map(|part| {
            end = end.checked_add(part.iov_len)?;
            Some(end)
        });
        let ends = ends.collect::<Option<Box<[usize]>>>()?;
        Some(Many { parts, ends })
    }

    /// The pieces from byte `skip` on, and how much of the first piece to skip.
    fn from(&self, skip: usize) -> (&[libc::iovec], usize) {
        let first = self.ends.partition_point(|end| *end <= skip);
        let before = first.checked_sub(1).map_or(0, |last| self.ends[last]);
        (&self.parts[first..], skip - before)
    }
}

/// A part of no bytes, to fill arrays with.
pub const EMPTY_PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Names `bytes` as a part. The result does not borrow them.
pub fn part_of(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Collects parts for one message. The caller's array and [`ENTRY_MAX`] bound it.
pub struct Gather<'a> {
    vectors: &'a mut [libc::iovec],
    count: usize,
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// An empty gather that fills `vectors`.
    pub fn new(vectors: &'a mut [libc::iovec]) -> Self {
        Gather { vectors, count: 0, bytes: 0 }
    }

    /// Adds `parts` from byte `skip` on. False: not all of them found room.
    pub fn add(&mut self, parts: &Parts, skip: usize) -> bool {
        match parts {
            Parts::One(data, size) => self.add_one(data.wrapping_add(skip), size - skip),
            Parts::Many(many) => self.add_many(many, skip),
        }
    }

    #[inline(never)] // keeps the way of one piece short
    fn add_many(&mut self, many: &Many, skip: usize) -> bool {
        let (rest, mut skip) = many.from(skip);
        rest.iter().all(|part| {
            let skip = mem::take(&mut skip);
            self.add_one(part.iov_base.cast_const().cast::<u8>().wrapping_add(skip), part.iov_len - skip)
        })
    }

    #[inline]
    fn add_one(&mut self, data: *const u8, size: usize) -> bool {
        if size == 0 {
            return true;
        }
        let take = size.min(ENTRY_MAX - self.bytes);
        if self.count == self.vectors.len() || take == 0 {
            return false;
        }
        self.vectors[self.count] = libc::iovec { iov_base: data.cast_mut().cast(), iov_len: take };
        self.count += 1;
        self.bytes += take;
        take == size
    }

    /// What was gathered.
    pub fn parts(&self) -> &[libc::iovec] {
        &self.vectors[..self.count]
    }

    /// How many bytes were gathered.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The header of a message of `parts`. The parts must outlive the header.
pub fn message_of(parts: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: msghdr is plain numbers and pointers, for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len() as _;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: usize, size: usize) -> libc::iovec {
        libc::iovec { iov_base: std::ptr::without_provenance_mut(start), iov_len: size }
    }

    fn many<const COUNT: usize>(parts: [libc::iovec; COUNT]) -> Parts {
        Parts::Many(Many::new(Box::new(parts)).unwrap())
    }

    #[test]
    fn gathers_from_a_position_on_and_stops_when_full() {
        let parts = many([part(100, 10), part(200, 0), part(300, 20), part(400, 0)]);
        assert_eq!(parts.size(), Some(30));
        for (skip, first) in [(0, (100, 10)), (9, (109, 1)), (10, (300, 20)), (29, (319, 1))] {
            let mut vectors = [EMPTY_PART; 2];
            let mut gather = Gather::new(&mut vectors);
            assert!(gather.add(&parts, skip));
            let found = gather.parts()[0];
            assert_eq!((found.iov_base as usize, found.iov_len), first);
            assert_eq!(gather.bytes(), 30 - skip);
        }
        let mut vectors = [EMPTY_PART; 2];
        let mut gather = Gather::new(&mut vectors);
        assert!(gather.add(&parts, 4));
        assert_eq!(gather.bytes(), 26);
        let found: Vec<_> = gather.parts().iter().map(|p| (p.iov_base as usize, p.iov_len)).collect();
        assert_eq!(found, [(104, 6), (300, 20)]);
        assert!(!gather.add(&Parts::One(std::ptr::without_provenance(7), 1), 0), "no entry left");
    }

    #[test]
    fn clamps_to_what_one_entry_takes() {
        let mut vectors = [EMPTY_PART; 4];
        let mut gather = Gather::new(&mut vectors);
        assert!(!gather.add(&Parts::One(std::ptr::without_provenance(4096), 5 << 30), 0));
        assert_eq!(gather.bytes(), ENTRY_MAX);
        assert!(Many::new(Box::new([part(1, usize::MAX), part(1, 2)])).is_none(), "an overflow is no size");
        let sum = many([part(1, isize::MAX as usize), part(1, 2)]);
        assert_eq!(sum.size(), None, "nor is more than memory holds");
        assert_eq!(many([]).size(), Some(0));
    }
}
