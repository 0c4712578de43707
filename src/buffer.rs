#![allow(unsafe_code)] // buffers that the kernel fills before they count as initialised
//! A stream's private buffer: the bytes that the stream has received and its owner has not taken yet.
//!
//! A stream owns its buffer, and the owner of the stream uses it. Invariant: a buffer has memory only while it holds bytes,
//! so an idle connection's buffer needs none.

use crate::rare::{Rare, Unchanged};
use crate::threads;
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// The bytes that a stream has received and its owner has not taken yet.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    search: Rare<Search>,
}

/// The end of a line, or another mark to look for. Its size is 1 to [`Mark::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: [u8; Mark::MAX],
    size: u8,
}

/// How far the waiting bytes have been searched in vain, and for what.
#[derive(Default)]
struct Search {
    mark: Option<Mark>,
    searched: usize,
}

impl Unchanged for Search {
    const UNCHANGED: &'static Search = &Search { mark: None, searched: 0 };
}

impl Mark {
    /// The most bytes of a mark.
    pub const MAX: usize = 16;

    /// A copy of `bytes`. `None`: there are too many or none.
    pub fn new(bytes: &[u8]) -> Option<Mark> {
        let mut mark = Mark { bytes: [0; Mark::MAX], size: u8::try_from(bytes.len()).ok()? };
        mark.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(mark)
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// Where it begins in `bytes`.
    fn place_in(&self, bytes: &[u8]) -> Option<usize> {
        let (start, mark) = (bytes.as_ptr(), self.bytes.as_ptr());
        // SAFETY: both name as many bytes as they have.
        let found = unsafe { libc::memmem(start.cast(), bytes.len(), mark.cast(), self.size()) };
        (!found.is_null()).then(|| found.addr() - start.addr())
    }
}

thread_local! {
    // One emptied buffer for each thread. A receive through the buffer needs up to 256 KiB for a moment, and a buffer in the
    // cache is the fastest.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    // The spare of the library's own threads. It has no destructor, for the reason in threads.rs.
    static OWN_SPARE: ManuallyDrop<RefCell<Vec<u8>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

/// `None` on a thread that is ending, whose spare is gone.
fn with_spare<R>(use_it: impl FnOnce(&RefCell<Vec<u8>>) -> R) -> Option<R> {
    if threads::is_own() {
        OWN_SPARE.try_with(|spare| use_it(spare)).ok()
    } else {
        SPARE.try_with(use_it).ok()
    }
}

/// Frees the spare. A thread of the library calls this at its end.
pub fn free_spare() {
    drop(with_spare(RefCell::take));
}

impl ReadBuffer {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The waiting bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Where the first `mark` among the first `most` waiting bytes ends. It looks at no byte twice, until a consume or another
    /// mark.
    pub fn find(&mut self, mark: &Mark, most: usize) -> Option<usize> {
        let waiting = &self.bytes[self.start..];
        let bytes = &waiting[..most.min(waiting.len())];
        let known = self.search.mark == Some(*mark);
        let searched = if known { self.search.searched } else { 0 };
        let from = searched.saturating_sub(mark.size() - 1); // a mark may have begun before
        let found = mark.place_in(bytes.get(from..)?);
        if found.is_none() && bytes.len() > searched {
            *self.search = Search { mark: Some(*mark), searched: bytes.len() };
        }
        found.map(|place| from + place + mark.size())
    }

    /// Puts a copy in the place of this buffer, and returns the buffer itself. What a search has found out stays with the copy.
    pub fn replace_by_copy(&mut self) -> ReadBuffer {
        let mut copy = ReadBuffer::default();
        copy.append(self.as_slice());
        copy.search = std::mem::take(&mut self.search);
        std::mem::replace(self, copy)
    }

    /// Drops the first `count` waiting bytes. After the last byte the buffer gives its memory back.
    pub fn consume(&mut self, count: usize) {
        if count > 0 {
            self.search = Rare::default();
        }
        self.start += count.min(self.len());
        if self.is_empty() {
            self.free();
        }
    }

    /// Adds `more` behind the waiting bytes.
    pub fn append(&mut self, more: &[u8]) {
        if !more.is_empty() {
            self.reserve(more.len());
            self.bytes.extend_from_slice(more);
        }
    }

    /// Moves up to `size` waiting bytes to `into`, and returns their number.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable and not part of this buffer.
    pub unsafe fn take(&mut self, into: *mut u8, size: usize) -> usize {
        let count = size.min(self.len());
        if count == 0 {
            return 0;
        }
        // SAFETY: `count` bytes wait here. The caller vouches for `into`.
        unsafe { self.as_slice().as_ptr().copy_to_nonoverlapping(into, count) };
        self.consume(count);
        count
    }

    /// Room for `size` more bytes behind the waiting ones. The caller fills it and then calls [`Self::filled`].
    pub fn room(&mut self, size: usize) -> (*mut u8, usize) {
        self.reserve(size);
        // Exactly the size that the caller asked for, even if the memory has more. The size bounds what one receive can
        // bring.
        (self.bytes.spare_capacity_mut().as_mut_ptr().cast(), size)
    }

    /// Counts the first `count` bytes of the room as waiting bytes.
    ///
    /// # Safety
    /// The caller has written these bytes since the last call of [`Self::room`], and the room was that large.
    pub unsafe fn filled(&mut self, count: usize) {
        // SAFETY: the caller wrote them.
        unsafe { self.bytes.set_len(self.bytes.len() + count) };
    }

    /// Gives back memory that holds no bytes.
    pub fn trim(&mut self) {
        if self.is_empty() {
            self.free();
        }
    }

    /// Keeps the waiting bytes in no more than eight times the memory that they need.
    pub fn shrink(&mut self) {
        if self.bytes.capacity() > (8 * self.len()).max(FEW) {
            let kept = self.as_slice().to_vec();
            self.free();
            self.bytes = kept;
        }
    }

    fn reserve(&mut self, size: usize) {
        if self.bytes.capacity() - self.bytes.len() >= size {
            return;
        }
        let waiting = self.len();
        if self.start >= waiting && self.bytes.capacity() - waiting >= size {
            self.bytes.drain(..self.start);
            self.start = 0;
            return;
        }
        let needed = waiting + size;
        let spare = || with_spare(RefCell::take).unwrap_or_default();
        let mut bytes = if needed > FEW { spare() } else { Vec::new() };
        bytes.reserve(needed.max(2 * waiting)); // doubled: else each small piece would copy all before it
        bytes.extend_from_slice(self.as_slice());
        self.free();
        self.bytes = bytes;
    }

    fn free(&mut self) {
        const SPARE_MAX: usize = 256 << 10;
        let mut bytes = std::mem::take(&mut self.bytes);
        self.start = 0;
        if (FEW..=SPARE_MAX).contains(&bytes.capacity()) {
            bytes.clear();
            let _ = with_spare(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.capacity() < bytes.capacity() {
                    *spare = bytes;
                }
            });
        }
    }
}

/// Up to this many bytes get memory of their own size. The spare is for more.
const FEW: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = ReadBuffer::default();
        buffer.append(b"hello ");
        buffer.append(b"world");
        let mut five = [0; 5];
        // SAFETY: a local of five bytes.
        assert_eq!(unsafe { buffer.take(five.as_mut_ptr(), 5) }, 5);
        assert_eq!(&five, b"hello");
        assert_eq!(buffer.as_slice(), b" world");
        let (room, size) = buffer.room(100_000);
        assert_eq!(size, 100_000);
        // SAFETY: there is room for one byte, and `filled` counts it once.
        unsafe {
            room.write(b'!');
            buffer.filled(1);
        }
        assert_eq!(buffer.as_slice(), b" world!");
        buffer.consume(7);
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.capacity(), 0, "an empty buffer keeps no memory");
    }

    #[test]
    fn a_few_bytes_keep_no_large_memory() {
        let mut buffer = ReadBuffer::default();
        buffer.room(256 << 10);
        buffer.trim(); // the spare is large now
        buffer.append(b"a");
        assert!(buffer.bytes.capacity() <= FEW, "{}", buffer.bytes.capacity());
        let (room, _) = buffer.room((256 << 10) - 1);
        // SAFETY: there is room for one byte, and `filled` counts it once.
        unsafe {
            room.write(b'b');
            buffer.filled(1);
        }
        assert!(buffer.bytes.capacity() >= 256 << 10);
        buffer.shrink();
        assert!(buffer.bytes.capacity() <= FEW, "{}", buffer.bytes.capacity());
        assert_eq!(buffer.as_slice(), b"ab");
        buffer.append(&[0; 10_000]);
        assert!(SPARE.with_borrow(|spare| spare.capacity() == 0), "many bytes have the spare");
        buffer.consume(2 + 9_990);
        buffer.shrink();
        assert_eq!(buffer.as_slice(), [0; 10]);
        assert!(buffer.bytes.capacity() <= FEW);
    }

    #[test]
    fn a_search_looks_at_no_byte_twice() {
        let mut buffer = ReadBuffer::default();
        let end = Mark::new(b"\r\n").unwrap();
        buffer.append(&[b'x'; 5000]);
        buffer.append(b"\r");
        assert_eq!((buffer.find(&end, 9000), buffer.search.searched), (None, 5001));
        buffer.append(b"\nnext\r\n");
        assert_eq!(buffer.find(&end, 5001), None, "the mark ends later");
        assert_eq!(buffer.find(&end, 5002), Some(5002), "it began before the last search ended");
        buffer.bytes[7..9].copy_from_slice(b"\r\n"); // nobody looks there again
        drop(buffer.replace_by_copy());
        assert_eq!(buffer.find(&end, 9000), Some(5002));
        assert_eq!(buffer.find(&Mark::new(b"\n").unwrap(), 9000), Some(9), "another mark begins anew");
        buffer.consume(9);
        assert_eq!(buffer.search.searched, 0);
        assert_eq!(buffer.find(&end, 9000), Some(5002 - 9));
        assert_eq!((Mark::new(b""), Mark::new(&[7; 17])), (None, None));
        assert_eq!(Mark::new(&[7; 16]).map(|mark| mark.size()), Some(16));
    }

    #[test]
    fn many_small_pieces_are_not_copied_for_each_of_them() {
        let mut buffer = ReadBuffer::default();
        let mut moves = 0;
        for piece in 0..10_000u32 {
            let before = buffer.bytes.as_ptr();
            buffer.append(&piece.to_le_bytes());
            moves += u32::from(before != buffer.bytes.as_ptr());
            if piece % 2 == 1 {
                buffer.consume(4);
            }
        }
        assert_eq!(buffer.len(), 20_000);
        assert_eq!(buffer.as_slice()[..4], 5_000u32.to_le_bytes());
        assert!(moves < 40, "{moves}");
    }

    #[test]
    fn a_thread_that_is_ending_buffers_without_a_spare() {
        struct Late(Option<std::sync::mpsc::Sender<usize>>);
        impl Drop for Late {
            fn drop(&mut self) {
                let mut buffer = ReadBuffer::default();
                buffer.append(&[7; 10_000]);
                let gone = SPARE.try_with(|_| ()).is_err();
                let kept = if gone { buffer.len() } else { 0 };
                self.0.take().unwrap().send(kept).unwrap();
            }
        }
        thread_local! {
            static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            LATE.with_borrow_mut(|late| late.0 = Some(sender)); // set up first, and therefore destroyed last
            SPARE.with_borrow_mut(|spare| spare.reserve(FEW));
        });
        thread.join().unwrap();
        assert_eq!(receiver.recv(), Ok(10_000));
    }
}
