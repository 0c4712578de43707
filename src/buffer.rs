#![allow(unsafe_code)] // buffers that the kernel fills before they count as initialised
//! A stream's private buffer: what it has received and its owner has not taken yet.
//!
//! Owned by the stream, used by whoever owns the stream. Invariant: a buffer has memory only while it holds bytes, so an idle
//! connection costs none.

use crate::threads;
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// The bytes that a stream has received and its owner has not taken yet.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
}

thread_local! {
    // One emptied buffer a thread: a receive through the buffer needs up to 256 KiB for a moment, and the hot one is best.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    // That of a thread of the library's: without a destructor, for the reason in threads.rs.
    static OWN_SPARE: ManuallyDrop<RefCell<Vec<u8>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

/// `None` on a thread that is ending: it has no spare any more.
fn with_spare<R>(use_it: impl FnOnce(&RefCell<Vec<u8>>) -> R) -> Option<R> {
    if threads::is_own() {
        OWN_SPARE.try_with(|spare| use_it(spare)).ok()
    } else {
        SPARE.try_with(use_it).ok()
    }
}

/// At the end of a thread of the library's.
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

    /// Drops the first `count` waiting bytes; the memory goes with the last of them.
    pub fn consume(&mut self, count: usize) {
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

    /// Moves up to `size` waiting bytes to `into`; returns how many.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable and not part of this buffer.
    pub unsafe fn take(&mut self, into: *mut u8, size: usize) -> usize {
        let count = size.min(self.len());
        if count == 0 {
            return 0;
        }
        // SAFETY: `count` bytes wait here; the caller vouches for the other side.
        unsafe { self.as_slice().as_ptr().copy_to_nonoverlapping(into, count) };
        self.consume(count);
        count
    }

    /// Room for `size` more bytes behind the waiting ones, to be filled and then told by [`Self::filled`].
    pub fn room(&mut self, size: usize) -> (*mut u8, usize) {
        self.reserve(size);
        // No more than was asked for, whatever the memory has: this bounds what one receive can bring.
        (self.bytes.spare_capacity_mut().as_mut_ptr().cast(), size)
    }

    /// The first `count` bytes of the room have been written.
    ///
    /// # Safety
    /// They have, since the last call of [`Self::room`], and there was that much.
    pub unsafe fn filled(&mut self, count: usize) {
        // SAFETY: the caller wrote them.
        unsafe { self.bytes.set_len(self.bytes.len() + count) };
    }

    /// Gives memory back that holds no bytes.
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
        bytes.reserve(needed.max(2 * waiting)); // twice, so that many small pieces are not copied for each of them
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

/// So few bytes have memory of their own size; the spare is for more.
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
        // SAFETY: there is room for one byte, and it is told once.
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
        // SAFETY: there is room for one byte, and it is told once.
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
            LATE.with_borrow_mut(|late| late.0 = Some(sender)); // first, and so the last to end
            SPARE.with_borrow_mut(|spare| spare.reserve(FEW));
        });
        thread.join().unwrap();
        assert_eq!(receiver.recv(), Ok(10_000));
    }
}
