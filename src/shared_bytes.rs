#![allow(unsafe_code)] // names memory of the program
//! Bytes that several holders share: handles of the program, and the queues of sinks. The last holder ends the memory.
//!
//! Invariant: the memory outlives every [`SharedBytes`] of it, and nobody changes it meanwhile. It ends once. If that runs code
//! of the program, the last holder says where: [`SharedBytes::give_up`].

use crate::error::{Error, Result};
use crate::threads::Uncancelled;
use std::sync::Arc;

/// A holder of some bytes of one memory.
pub struct SharedBytes {
    memory: Arc<Memory>,
    start: *const u8,
    size: usize,
}

// SAFETY: the bytes do not change, and any thread may read them while the memory lives.
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
unsafe impl Sync for SharedBytes {}

enum Memory {
    /// A copy. Its end runs no code of the program.
    Copied(#[allow(dead_code)] Vec<u8>),
    /// Memory of the program.
    Adopted(Adopted),
}

/// Memory of the program. A drop calls the program's destructor.
pub struct Adopted(Option<Destructor>);

/// Frees adopted memory.
pub type Destructor = Box<dyn FnOnce() + Send + Sync>;

impl SharedBytes {
    /// A copy of `data`. ENOMEM: memory lacks room for it.
    pub fn copy(data: &[u8]) -> Result<SharedBytes> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(data.len()).map_err(|_| Error::from_errno(libc::ENOMEM))?;
        bytes.extend_from_slice(data);
        let start = bytes.as_ptr();
        Ok(SharedBytes { memory: Arc::new(Memory::Copied(bytes)), start, size: data.len() })
    }

    /// Memory of the program, which `free` frees.
    ///
    /// # Safety
    /// `size` bytes at `start` are readable and unchanged until `free` runs.
    pub unsafe fn adopt(start: *const u8, size: usize, free: Destructor) -> SharedBytes {
        SharedBytes { memory: Arc::new(Memory::Adopted(Adopted(Some(free)))), start, size }
    }

    /// A further holder of the same bytes.
    pub fn share(&self) -> SharedBytes {
        SharedBytes { memory: Arc::clone(&self.memory), start: self.start, size: self.size }
    }

    /// A holder of `size` of the bytes, from `offset` on. INVALID: they are not within these bytes.
    pub fn slice(&self, offset: usize, size: usize) -> Result<SharedBytes> {
        if offset > self.size || size > self.size - offset {
            return Err(Error::INVALID);
        }
        let start = self.start.wrapping_add(offset);
        Ok(SharedBytes { memory: Arc::clone(&self.memory), start, size })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if self.size == 0 {
            return &[]; // empty memory may be NULL in C
        }
        // SAFETY: readable and unchanged while this lives, as its maker vouches.
        unsafe { std::slice::from_raw_parts(self.start, self.size) }
    }

    /// Gives the bytes up, for a holder that has a lock or is not on a thread that may run code of the program. `Some`: this
    /// was the last holder of adopted memory. The caller drops it elsewhere.
    #[must_use]
    pub fn give_up(self) -> Option<Adopted> {
        match Arc::into_inner(self.memory)? {
            Memory::Copied(_) => None,
            Memory::Adopted(adopted) => Some(adopted),
        }
    }
}

impl Adopted {
    /// Forgets the destructor: the program keeps its memory.
    pub fn disown(mut self) {
        self.0 = None;
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some(free) = self.0.take() {
            let _uncancelled = Uncancelled::begin(); // a send may be what drops it
            free();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static DATA: [u8; 6] = *b"abcdef";

    fn adopted(freed: &Arc<AtomicUsize>) -> SharedBytes {
        let freed = Arc::clone(freed);
        let free = move || {
            freed.fetch_add(1, Ordering::Relaxed);
        };
        // SAFETY: the bytes are static.
        unsafe { SharedBytes::adopt(DATA.as_ptr(), DATA.len(), Box::new(free)) }
    }

    #[test]
    fn slices_keep_the_memory_and_the_last_holder_frees_it() {
        let freed = Arc::new(AtomicUsize::new(0));
        let whole = adopted(&freed);
        let part = whole.slice(1, 4).unwrap().slice(1, 2).unwrap();
        assert_eq!(part.as_slice(), b"cd");
        assert!(whole.slice(6, 0).is_ok_and(|empty| empty.as_slice().is_empty()));
        for (offset, size) in [(7, 0), (0, 7), (6, 1), (1, usize::MAX)] {
            assert_eq!(whole.slice(offset, size).err(), Some(Error::INVALID));
        }
        assert!(whole.give_up().is_none());
        let last = part.give_up();
        assert_eq!(freed.load(Ordering::Relaxed), 0);
        drop(last);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn memory_that_is_disowned_is_not_freed() {
        let freed = Arc::new(AtomicUsize::new(0));
        adopted(&freed).give_up().unwrap().disown();
        assert_eq!(freed.load(Ordering::Relaxed), 0);
        let copy = SharedBytes::copy(b"copied").unwrap();
        assert_eq!(copy.share().as_slice(), b"copied");
        assert!(copy.give_up().is_none());
    }
}
