#![allow(unsafe_code)] // values live in cells that the protocol below guards
//! The table behind handles and `user_data`: it gives out tokens instead of addresses.
//!
//! A token names the kind, generation and index of a slot. The table tells a made-up or outdated token from a live one, and
//! does not touch what the token once named. One atomic word per slot decides everything:
//!
//! | kind, generation (the upper 35 bits) | references (the lower 29) | the slot is |
//! |---|---|---|
//! | kind 0 | 0 | free: on the free list, in the hands of `insert`, or retired for good |
//! | a token's upper bits | 1 for the table, 1 for each `Ref` | live |
//! | kind 0 | 1 for each `Ref`, the one that `retire` returned included | retired, its value still in use |
//!
//! Invariant: only a live slot gives out references, so a count of zero stays zero until the next insert into the slot. The
//! thread that took the count to zero owns the slot.
//!
//! If a process has two copies of the library, each has a table. The first generation of a table depends on its address, so a
//! token of one table is outdated in the other.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
#[cfg(not(loom))]
use std::alloc::{Layout, alloc_zeroed};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr;

const INDEX_BITS: u32 = 29;
const KIND_BITS: u32 = 3;
const GENERATION_BITS: u32 = u64::BITS - INDEX_BITS - KIND_BITS;
const _: () = assert!(GENERATION_BITS == u32::BITS);

/// The lower bits hold the index in a token, and the references in a slot's word. The upper bits are the same in both.
const LOWER: u64 = (1 << INDEX_BITS) - 1;
const KIND_SHIFT: u32 = INDEX_BITS + GENERATION_BITS;

/// Chunk `n` holds `CHUNK << n` slots, so the highest bit of an index gives its chunk. A loom model needs few slots.
const CHUNK: u32 = if cfg!(loom) { 1 } else { 64 };
const CHUNKS: usize = if cfg!(loom) { 2 } else { (INDEX_BITS - CHUNK.trailing_zeros()) as usize };
const SLOTS_MAX: u32 = CHUNK * ((1 << CHUNKS) - 1);
const _: () = assert!(SLOTS_MAX as u64 <= LOWER);

/// The name of a slot outside of the table. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// `None` for a number that no table gives out, zero included.
    pub const fn from_bits(bits: u64) -> Option<Token> {
        if bits >> KIND_SHIFT == 0 { None } else { Some(Token(bits)) }
    }

    /// The token as a number, in the form that C and the kernel carry.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The kind that `insert` was given: 1 to 7.
    pub const fn kind(self) -> u8 {
        (self.0 >> KIND_SHIFT) as u8
    }

    const fn index(self) -> u32 {
        (self.0 & LOWER) as u32
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:#018x})", self.0)
    }
}

/// The table. It grows in chunks that stay where they are until the table is dropped. A static table is never dropped.
pub struct Slots<T> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    free: Mutex<Free>,
    slots_max: u32,
    last_generation: u32,
    owns: PhantomData<Slot<T>>,
}

/// What only `insert` and the end of a value need.
struct Free {
    /// Slots below this index exist.
    made: u32,
    /// Slots from this index on were never used. Nobody has touched their memory.
    used: u32,
    /// The free slots below `used`. The list's capacity is `made`, so giving a slot back needs no memory.
    list: Vec<u32>,
}

struct Slot<T> {
    word: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: threads share the value only through references counted in `word`, which needs T: Sync. The thread with the last
// reference drops the value, which needs T: Send.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// A reference to a live or just retired value. The value stays while the reference lives.
pub struct Ref<'a, T> {
    slots: &'a Slots<T>,
    slot: &'a Slot<T>,
    index: u32,
}

impl<T: Send + Sync> Slots<T> {
    /// An empty table.
    #[cfg(not(loom))]
    pub const fn new() -> Slots<T> {
        Slots::with_limits(SLOTS_MAX, u32::MAX)
    }

    /// An empty table.
    #[cfg(loom)]
    pub fn new() -> Slots<T> {
        Slots::with_limits(SLOTS_MAX, u32::MAX)
    }

    /// A table of at most `slots_max` slots, with generations up to `last_generation` for each slot.
    #[cfg(not(loom))]
    const fn with_limits(slots_max: u32, last_generation: u32) -> Slots<T> {
        Slots {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            free: Mutex::new(Free { made: 0, used: 0, list: Vec::new() }),
            slots_max,
            last_generation,
            owns: PhantomData,
        }
    }

    #[cfg(loom)]
    fn with_limits(slots_max: u32, last_generation: u32) -> Slots<T> {
        Slots {
            chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            free: Mutex::new(Free { made: 0, used: 0, list: Vec::new() }),
            slots_max,
            last_generation,
            owns: PhantomData,
        }
    }

    /// Puts a value into a free slot. Its token is live from now on. `None`: the table is full or there is no memory for
    /// more slots. The value is then dropped.
    ///
    /// # Panics
    /// If `kind` is not 1 to 7.
    pub fn insert(&self, kind: u8, value: T) -> Option<Token> {
        assert!((1..8).contains(&kind), "a kind has three bits and is not zero");
        let index = self.take_free()?;
        let slot = self.slot(index).expect("a slot from the free list exists");
        slot.value.with_mut(|cell| {
            // SAFETY: the slot is free and off the free list, so this thread alone has it. Its former value was dropped
            // before the slot went onto the list, and the list's lock orders that drop before this write.
            unsafe { (*cell).write(value) };
        });
        let named = slot.word.load(Ordering::Relaxed) | u64::from(kind) << KIND_SHIFT;
        // Release pairs with the Acquire of `get` and `retire`: a thread that finds the slot live finds the value in it.
        slot.word.store(named | 1, Ordering::Release);
        Some(Token(named | u64::from(index)))
    }

    /// The value, if the token is live.
    pub fn get(&self, token: Token) -> Option<Ref<'_, T>> {
        let slot = self.slot(token.index())?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            // The count reaches LOWER only if callers forget references. One more reference would overflow into the
            // generation.
            if word & !LOWER != token.0 & !LOWER || word & LOWER == LOWER {
                return None;
            }
            // Acquire pairs with the Release of `insert`.
            match slot.word.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Ref { slots: self, slot, index: token.index() }),
                Err(now) => word = now,
            }
        }
    }

    /// Where the token's slot is. It stays there until the table is dropped.
    pub fn address(&self, token: Token) -> *const () {
        self.slot(token.index()).map_or(ptr::null(), |slot| ptr::from_ref(slot).cast())
    }

    /// Ends the token: no `get` that begins after this finds the value. Exactly one caller gets `Some`. The last reference,
    /// which may be the returned one, drops the value.
    pub fn retire(&self, token: Token) -> Option<Ref<'_, T>> {
        let slot = self.slot(token.index())?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            if word & !LOWER != token.0 & !LOWER {
                return None;
            }
            // The table's reference becomes the caller's. Acquire pairs with the Release of `insert`.
            let retired = word & !(7 << KIND_SHIFT);
            match slot.word.compare_exchange_weak(word, retired, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Ref { slots: self, slot, index: token.index() }),
                Err(now) => word = now,
            }
        }
    }

    /// Calls `f` with every live value of the kinds that `wanted` names, and holds no lock. It may or may not see what is
    /// inserted or retired meanwhile. It takes no reference to a value of another kind.
    pub fn for_each(&self, wanted: impl Fn(u8) -> bool, mut f: impl FnMut(Token, &T)) {
        let used = self.free.lock().used;
        for index in 0..used {
            let slot = self.slot(index).expect("slots below `used` exist");
            let word = slot.word.load(Ordering::Relaxed);
            let token = Token::from_bits(word & !LOWER | u64::from(index));
            let token = token.filter(|token| wanted(token.kind()));
            if let Some((token, value)) = token.and_then(|token| Some((token, self.get(token)?))) {
                f(token, &value);
            }
        }
    }

    /// Takes a free slot's index off the list. If the list is empty, it takes the next slot that was never used, from the
    /// next chunk if need be.
    fn take_free(&self) -> Option<u32> {
        let mut free = self.free.lock();
        if let Some(index) = free.list.pop() {
            return Some(index);
        }
        if free.used == free.made {
            self.grow(&mut free)?;
        }
        let index = free.used;
        free.used += 1;
        let slot = self.slot(index).expect("slots below `made` exist");
        // Relaxed: the `insert` that asked for the slot reads the word on this thread. Kind 0 matches no token.
        slot.word.store(u64::from(self.first_generation()) << INDEX_BITS, Ordering::Relaxed);
        Some(index)
    }

    /// The generation of a slot's first value, in the lower half of all. A table with few generations begins with 0.
    fn first_generation(&self) -> u32 {
        if self.last_generation < u32::MAX {
            return 0;
        }
        // Addresses that differ in any bits differ in the upper bits of the product (Fibonacci hashing).
        let product = (ptr::from_ref(self).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (product >> 33) as u32
    }

    fn grow(&self, free: &mut Free) -> Option<()> {
        let (chunk, _) = place(free.made);
        let count = chunk_size(chunk).min(self.slots_max - free.made);
        if count == 0 {
            return None;
        }
        let made = free.made + count;
        free.list.try_reserve_exact(made as usize).ok()?;
        let first = Slot::chunk(count as usize)?;
        // Release pairs with the Acquire of `slot`: a thread that finds the chunk finds its slots made. Only the last chunk
        // may be shorter than its full size, and `slot` knows where it ends.
        self.chunks[chunk].store(first, Ordering::Release);
        free.made = made;
        Some(())
    }

    /// The slot of an index. `None` for a made-up index.
    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        if index >= self.slots_max {
            return None;
        }
        let (chunk, offset) = place(index);
        // Acquire pairs with the Release of `grow`.
        let first = self.chunks[chunk].load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        // SAFETY: an index below `slots_max` lies within its chunk, because `grow` made the chunk whole or up to
        // `slots_max`.
        let slot = unsafe { first.add(offset) };
        // SAFETY: `grow` made the slot before it published the chunk. Only `drop` frees the slot, and `drop` has the table
        // for itself.
        Some(unsafe { &*slot })
    }
}

impl<T> Slots<T> {
    /// Drops a value whose last reference is gone, and gives its slot back under the next generation. After the last
    /// generation the slot stays out of use.
    fn end(&self, slot: &Slot<T>, index: u32) {
        slot.value.with_mut(|cell| {
            // SAFETY: the caller took the references to zero, so no thread has a reference or can get one. The value was
            // written when the slot became live, and is dropped once for each such time, here.
            unsafe { (*cell).assume_init_drop() };
        });
        let generation = slot.word.load(Ordering::Relaxed) >> INDEX_BITS;
        if generation == u64::from(self.last_generation) {
            return; // a further generation could make an old token live again
        }
        // Relaxed: the lock carries the word to the `insert` that takes the slot next. Until then kind 0 matches no token.
        slot.word.store((generation + 1) << INDEX_BITS, Ordering::Relaxed);
        self.free.lock().list.push(index);
    }
}

impl<T> Slot<T> {
    /// Free slots, as a boxed slice that the caller takes back. A large chunk's memory counts once it is used.
    #[cfg(not(loom))]
    fn chunk(count: usize) -> Option<*mut Slot<T>> {
        let layout = Layout::array::<Slot<T>>(count).ok()?;
        // SAFETY: neither a slot nor `count` has the size 0.
        let first = unsafe { alloc_zeroed(layout) };
        // Zeros are a free slot: a word of 0, and a value that is not there.
        (!first.is_null()).then_some(first.cast())
    }

    #[cfg(loom)]
    fn chunk(count: usize) -> Option<*mut Slot<T>> {
        let free = || Slot { word: AtomicU64::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) };
        let slots: Box<[Slot<T>]> = std::iter::repeat_with(free).take(count).collect();
        Some(Box::into_raw(slots).cast())
    }
}

/// The chunk of an index below `SLOTS_MAX`, and the place in the chunk.
const fn place(index: u32) -> (usize, usize) {
    let shifted = index + CHUNK;
    let chunk = shifted.ilog2() - CHUNK.ilog2();
    (chunk as usize, (shifted - (CHUNK << chunk)) as usize)
}

const fn chunk_size(chunk: usize) -> u32 {
    CHUNK << chunk
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.slot.value.with(|cell| {
            // SAFETY: while a reference is counted, the value is neither written nor dropped. The Acquire that counted the
            // reference made the write by `insert` visible.
            unsafe { (*cell).assume_init_ref() }
        })
    }
}

impl<T> Ref<'_, T> {
    #[cold] // once in a handle's life
    fn end(&self) {
        self.slots.end(self.slot, self.index);
    }
}

impl<T> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        // Release hands this thread's use of the value to the thread that drops it. Acquire takes the other threads' use,
        // for the thread that drops the value.
        let before = self.slot.word.fetch_sub(1, Ordering::AcqRel);
        if before & LOWER == 1 {
            self.end();
        }
    }
}

impl<T> Drop for Slots<T> {
    /// Drops the values that are left. No `Ref` exists, because a `Ref` borrows the table.
    fn drop(&mut self) {
        let made = self.free.lock().made;
        for (number, chunk) in self.chunks.iter().enumerate() {
            let first = chunk.load(Ordering::Relaxed);
            if first.is_null() {
                return;
            }
            let begin = CHUNK * ((1 << number) - 1);
            let count = chunk_size(number).min(made - begin) as usize;
            // SAFETY: pointer and length are those of the boxed slice that `grow` gave away. They are taken back once.
            let slots = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, count)) };
            for slot in &slots {
                if slot.word.load(Ordering::Relaxed) & LOWER != 0 {
                    slot.value.with_mut(|cell| {
                        // SAFETY: references of the table or of a forgotten `Ref` are left, so the value is there.
                        unsafe { (*cell).assume_init_drop() };
                    });
                }
            }
        }
    }
}

impl<T: Send + Sync> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, not(loom)))]
mod tests;
