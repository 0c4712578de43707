#![allow(unsafe_code)] // buffers that the kernel fills before they count as initialised
//! Memory for received bytes: a stream's private buffer, and the pool that a loop lends to the kernel.
//!
//! A private buffer exists only while it holds bytes, so that an idle connection costs none. A pool buffer belongs to
//! the kernel, or to one [`PoolBuffer`] that gives it back when it drops: it never outlives the round that reaped it.

use crate::threads;
use io_uring::types::BufRingEntry;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

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

/// Buffers that the kernel picks from when data arrives. Lives on its loop's thread.
pub struct BufferPool {
    ring: Mapping,
    memory: Mapping,
    count: u16,
    size: usize,
    tail: Cell<u16>,
}

/// One filled pool buffer, given back to the kernel when it drops.
pub struct PoolBuffer<'a> {
    pool: &'a BufferPool,
    id: u16,
    len: usize,
}

/// The group under which a loop registers its one pool.
pub const POOL_GROUP: u16 = 0;

/// A pool buffer takes a large send whole.
pub const POOL_BUFFER_SIZE: usize = 64 << 10;

// Heads of buffers that are a power of two apart would share few cache sets; a line more spreads them.
const SPREAD: usize = 64;

impl BufferPool {
    /// Memory for `count` (a power of two) buffers of `size` bytes, not yet registered.
    pub fn new(count: u16, size: usize) -> std::io::Result<BufferPool> {
        assert!(count.is_power_of_two(), "the kernel wants a power of two");
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * (size + SPREAD))?;
        Ok(BufferPool { ring, memory, count, size, tail: Cell::new(0) })
    }

    /// Where the kernel finds the ring of buffers, and how many entries it has.
    pub fn ring(&self) -> (u64, u16) {
        (self.ring.start.as_ptr() as u64, self.count)
    }

    /// Hands every buffer to the kernel; once, after the ring has been registered.
    pub fn fill(&self) {
        (0..self.count).for_each(|id| self.give(id));
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        assert!(id < self.count, "the kernel names only buffers that it was given");
        // SAFETY: the mapping holds `count` strides.
        unsafe { self.memory.start.add(usize::from(id) * (self.size + SPREAD)) }
    }

    fn give(&self, id: u16) {
        let entries = self.ring.start.as_ptr().cast::<BufRingEntry>();
        let tail = self.tail.get();
        let address = self.buffer(id).as_ptr() as u64;
        // SAFETY: the index is within the ring; the kernel reads entries only below the tail it was shown, and this
        // one is at the tail. The mapping is page aligned.
        unsafe {
            let entry = &mut *entries.add(usize::from(tail & (self.count - 1)));
            entry.set_addr(address);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry of the ring, aligned for u16. Release pairs with the kernel's
        // acquire, so that it sees the entry before the tail.
        unsafe {
            let shared = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*shared).store(self.tail.get(), Ordering::Release);
        }
    }
}

impl PoolBuffer<'_> {
    /// Takes the buffer that a completion names, with `len` bytes in it.
    pub fn new(pool: &BufferPool, id: u16, len: usize) -> PoolBuffer<'_> {
        assert!(len <= pool.size, "the kernel writes no more than it was given");
        PoolBuffer { pool, id, len }
    }

    /// The bytes received.
    pub fn as_slice(&self) -> &[u8] {
        let start = self.pool.buffer(self.id).as_ptr();
        // SAFETY: the kernel has written `len` bytes there (mapped memory is initialised in any case), and leaves the
        // buffer alone until `drop` gives it back.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl Drop for PoolBuffer<'_> {
    fn drop(&mut self) {
        self.pool.give(self.id);
    }
}

/// Page-aligned zeroed memory that a forked child does not share.
struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

impl Mapping {
    fn new(size: usize) -> std::io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        // Best effort: it spares a forking host from copying pages that the kernel writes to.
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(start, size, libc::MADV_DONTFORK) };
        let start = NonNull::new(start.cast()).expect("mmap does not return NULL");
        Ok(Mapping { start, size })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `new` with this size, and nobody uses it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

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
    fn a_pool_gives_each_buffer_its_own_memory() {
        let pool = BufferPool::new(8, 4096).unwrap();
        pool.fill();
        let starts: Vec<_> = (0..8).map(|id| pool.buffer(id).as_ptr() as usize).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 4096));
        let before = pool.tail.get();
        drop(PoolBuffer::new(&pool, 3, 10));
        assert_eq!(pool.tail.get(), before + 1);
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
