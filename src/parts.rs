#![allow(unsafe_code)] // memory that a caller lends across threads
//! The memory that one send covers: a piece or several, and how pieces are gathered into one message.
//!
//! Invariant: a [`Parts`] only names memory. Who makes one for an operation vouches that the memory stays readable and
//! unchanged until the operation completes; nothing here reads it.

use std::mem;

/// The most bytes that one system call or one ring entry is given; the kernel cuts at 2 GiB - 4 KiB.
pub const ENTRY_MAX: usize = 1 << 30;
/// The most parts gathered into one message; UIO_MAXIOV would be 1,024.
pub const PARTS_MAX: usize = 64;

/// Memory that is to be sent, lent by the caller until the send completes.
pub enum Parts {
    /// One piece: start and bytes.
    One(*const u8, usize),
    /// Several, one after the other.
    Many(Box<[libc::iovec]>),
}

// SAFETY: the pointers are only names here. Those who lend the memory vouch (Sink::send_parts_async's contract) that any
// thread may read it until the operation completes.
unsafe impl Send for Parts {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Parts {}

impl Parts {
    /// The pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = (*const u8, usize)> + '_ {
        let (one, many) = match self {
            Parts::One(data, size) => (Some((*data, *size)), &[][..]),
            Parts::Many(parts) => (None, &parts[..]),
        };
        let many = many.iter().map(|part| (part.iov_base.cast_const().cast(), part.iov_len));
        one.into_iter().chain(many)
    }

    /// All bytes together; `None` where the sum is beyond what memory can hold.
    pub fn size(&self) -> Option<usize> {
        let add = |sum: usize, (_, size)| sum.checked_add(size);
        self.iter().try_fold(0, add).filter(|sum| isize::try_from(*sum).is_ok())
    }
}

/// A part of no bytes, to fill arrays with.
pub const EMPTY_PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Collects parts for one message, bounded by the array it is given and by [`ENTRY_MAX`].
pub struct Gather<'a> {
    vectors: &'a mut [libc::iovec],
    count: usize,
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// Nothing gathered yet.
    pub fn new(vectors: &'a mut [libc::iovec]) -> Self {
        Gather { vectors, count: 0, bytes: 0 }
    }

    /// Adds `parts` from byte `skip` on; false when not all of them found room.
    pub fn add(&mut self, parts: &Parts, mut skip: usize) -> bool {
        for (data, size) in parts.iter() {
            if skip >= size {
                skip -= size;
                continue;
            }
            let room = ENTRY_MAX - self.bytes;
            if self.count == self.vectors.len() || room == 0 {
                return false;
            }
            let take = (size - skip).min(room);
            self.vectors[self.count] =
                libc::iovec { iov_base: data.wrapping_add(skip).cast_mut().cast(), iov_len: take };
            self.count += 1;
            self.bytes += take;
            if take < size - skip {
                return false;
            }
            skip = 0;
        }
        true
    }

    /// What was gathered.
    pub fn parts(&self) -> &[libc::iovec] {
        &self.vectors[..self.count]
    }

    /// How many bytes that is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The header of a message of `parts`, which must outlive it.
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

    #[test]
    fn gathers_from_a_position_on_and_stops_when_full() {
        let parts = Parts::Many(Box::new([part(100, 10), part(200, 0), part(300, 20)]));
        assert_eq!(parts.size(), Some(30));
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
        let sum = Parts::Many(Box::new([part(1, usize::MAX), part(1, 2)]));
        assert_eq!(sum.size(), None, "an overflow is no size");
    }
}
