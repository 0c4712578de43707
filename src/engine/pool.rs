#![allow(unsafe_code)] // memory that the kernel fills
//! The pool of buffers for receives that wait.
//!
//! The receive loop owns the pool, and only its thread uses it. The kernel picks a buffer when data arrives, or an engine
//! takes one. Invariant: each buffer is free, or belongs to one completion or one [`PoolBuffer`] that gives it back when it
//! drops. None stays away for longer than the round that reaped it,
//! and the sends of this round.

use io_uring::types::BufRingEntry;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Buffers of one loop. The pool lives on the loop's thread.
pub struct BufferPool {
    memory: Mapping,
    count: u16,
    size: usize,
    free: Free,
}

/// The buffers that are free.
enum Free {
    /// The kernel takes them from a ring in its own form. The tail is where the next one goes.
    Ring(Mapping, Cell<u16>),
    /// An engine takes the first one, because its memory is in the cache. Each bit is a buffer.
    Bits(Cell<u32>),
}

/// One filled pool buffer, given back when it drops.
pub struct PoolBuffer<'a> {
    pool: &'a BufferPool,
    id: u16,
    len: usize,
}

/// The group under which a loop registers its one pool.
pub const POOL_GROUP: u16 = 0;

/// A pool buffer holds a large send whole.
pub const POOL_BUFFER_SIZE: usize = 64 << 10;

// Buffers that begin a power of two apart would share few cache sets. One more cache line spreads them.
const SPREAD: usize = 64;

impl BufferPool {
    /// A pool for the kernel: `count` (a power of two) buffers of `size` bytes, not yet registered.
    pub fn for_kernel(count: u16, size: usize) -> std::io::Result<BufferPool> {
        assert!(count.is_power_of_two(), "the kernel wants a power of two");
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        BufferPool::new(count, size, Free::Ring(ring, Cell::new(0)))
    }

    /// A pool for an engine that receives by calls: 32 buffers of `size` bytes, all free.
    pub fn for_calls(size: usize) -> std::io::Result<BufferPool> {
        BufferPool::new(u32::BITS as u16, size, Free::Bits(Cell::new(u32::MAX)))
    }

    fn new(count: u16, size: usize, free: Free) -> std::io::Result<BufferPool> {
        let memory = Mapping::new(usize::from(count) * (size + SPREAD))?;
        Ok(BufferPool { memory, count, size, free })
    }

    /// Whether the kernel fills the buffers by itself.
    pub fn is_for_kernel(&self) -> bool {
        matches!(self.free, Free::Ring(..))
    }

    /// Where the kernel finds the ring of buffers, and how many entries it has. 0 entries: the pool is not for the kernel.
    pub fn ring(&self) -> (u64, u16) {
        match &self.free {
            Free::Ring(ring, _) => (ring.start.as_ptr() as u64, self.count),
            Free::Bits(_) => (0, 0),
        }
    }

    /// Hands every buffer to the kernel. The caller calls it once, after it has registered the ring.
    pub fn fill(&self) {
        (0..self.count).for_each(|id| self.give(id));
    }

    /// Takes a free buffer. `None`: all are in use, or the kernel has them.
    #[inline]
    pub fn take(&self) -> Option<u16> {
        match &self.free {
            Free::Bits(free) if free.get() != 0 => {
                let bits = free.get();
                free.set(bits & (bits - 1));
                Some(bits.trailing_zeros() as u16)
            }
            _ => None,
        }
    }

    /// The first byte of a buffer.
    #[inline]
    pub fn room(&self, id: u16) -> *mut u8 {
        self.buffer(id).as_ptr()
    }

    fn buffer(&self, id: u16) -> NonNull<u8> {
        assert!(id < self.count, "only buffers of the pool have names");
        // SAFETY: the mapping holds `count` strides.
        unsafe { self.memory.start.add(usize::from(id) * (self.size + SPREAD)) }
    }

    /// Gives a buffer back.
    #[inline]
    pub fn give(&self, id: u16) {
        match &self.free {
            Free::Ring(ring, tail) => self.give_to_kernel(id, ring, tail),
            Free::Bits(free) => free.set(free.get() | 1 << id),
        }
    }

    #[inline]
    fn give_to_kernel(&self, id: u16, ring: &Mapping, next: &Cell<u16>) {
        let entries = ring.start.as_ptr().cast::<BufRingEntry>();
        let tail = next.get();
        let address = self.buffer(id).as_ptr() as u64;
        // SAFETY: the index is within the ring, and the mapping is page aligned. The kernel reads entries only below the
        // tail that it was shown, and this entry is at the tail.
        unsafe {
            let entry = &mut *entries.add(usize::from(tail & (self.count - 1)));
            entry.set_addr(address);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
        }
        next.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry of the ring, aligned for u16. Release pairs with the kernel's acquire:
        // the kernel sees the entry before the tail.
        unsafe {
            let shared = BufRingEntry::tail(entries).cast::<AtomicU16>();
            (*shared).store(next.get(), Ordering::Release);
        }
    }
}

impl PoolBuffer<'_> {
    /// Takes the buffer that a completion names, with `len` bytes in it.
    pub fn new(pool: &BufferPool, id: u16, len: usize) -> PoolBuffer<'_> {
        assert!(len <= pool.size, "the kernel writes no more than it was given");
        PoolBuffer { pool, id, len }
    }

    /// Keeps the buffer from the kernel. [`PoolBuffer::new`] with the number returned takes it up again.
    pub fn keep(self) -> u16 {
        ManuallyDrop::new(self).id
    }

    /// The bytes received.
    pub fn as_slice(&self) -> &[u8] {
        let start = self.pool.buffer(self.id).as_ptr();
        // SAFETY: the kernel has written `len` bytes there, and mapped memory is initialised in any case. Nobody else uses
        // the buffer until `drop` gives it back.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl Drop for PoolBuffer<'_> {
    #[inline]
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
        // Best effort: a forking host then does not copy pages that the kernel writes to.
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(start, size, libc::MADV_DONTFORK) };
        let start = NonNull::new(start.cast()).expect("mmap does not return NULL");
        Ok(Mapping { start, size })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` made the mapping with this size, and its owner no longer uses it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_each_buffer_its_own_memory() {
        let pool = BufferPool::for_kernel(8, 4096).unwrap();
        pool.fill();
        let starts: Vec<_> = (0..8).map(|id| pool.buffer(id).as_ptr() as usize).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 4096));
        let tail = || if let Free::Ring(_, tail) = &pool.free { tail.get() } else { 0 };
        let before = tail();
        drop(PoolBuffer::new(&pool, 3, 10));
        assert_eq!(tail(), before + 1);
        assert_eq!(pool.take(), None, "the kernel has it");
    }

    #[test]
    fn an_engine_takes_the_first_buffer_that_is_free() {
        let pool = BufferPool::for_calls(4096).unwrap();
        assert!((0..32).all(|id| pool.take() == Some(id)));
        assert_eq!(pool.take(), None, "all are in use");
        drop(PoolBuffer::new(&pool, 7, 10));
        pool.give(4);
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(4), Some(7), None]);
    }
}
