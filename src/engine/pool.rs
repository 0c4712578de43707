#![allow(unsafe_code)] // memory that the kernel fills
//! The pool of buffers that a loop lends to the kernel, for receives that wait.
//!
//! The receive loop owns the pool, and only its thread uses it. Invariant: each buffer belongs to the kernel, or to one
//! [`PoolBuffer`] that gives it back when it drops. No [`PoolBuffer`] outlives the round that reaped it.

use io_uring::types::BufRingEntry;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Buffers that the kernel picks from when data arrives. The pool lives on its loop's thread.
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

/// A pool buffer holds a large send whole.
pub const POOL_BUFFER_SIZE: usize = 64 << 10;

// Buffers that begin a power of two apart would share few cache sets. One more cache line spreads them.
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

    /// Hands every buffer to the kernel. The caller calls it once, after it has registered the ring.
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
        // SAFETY: the index is within the ring, and the mapping is page aligned. The kernel reads entries only below the
        // tail that it was shown, and this entry is at the tail.
        unsafe {
            let entry = &mut *entries.add(usize::from(tail & (self.count - 1)));
            entry.set_addr(address);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies in the first entry of the ring, aligned for u16. Release pairs with the kernel's acquire:
        // the kernel sees the entry before the tail.
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
        // SAFETY: the kernel has written `len` bytes there, and mapped memory is initialised in any case. The kernel leaves
        // the buffer alone until `drop` gives it back.
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
        let pool = BufferPool::new(8, 4096).unwrap();
        pool.fill();
        let starts: Vec<_> = (0..8).map(|id| pool.buffer(id).as_ptr() as usize).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 4096));
        let before = pool.tail.get();
        drop(PoolBuffer::new(&pool, 3, 10));
        assert_eq!(pool.tail.get(), before + 1);
    }
}
