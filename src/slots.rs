#![allow(unsafe_code)] // values live in cells that the protocol below guards
//! The table behind handles and `user_data`: tokens instead of addresses.
//!
//! A token names kind, generation and index of a slot; a made-up or outdated one is told from a live one
//! without touching what it once named. One atomic word per slot decides everything:
//!
//! | kind, generation (the upper 35 bits) | references (the lower 29) | the slot is |
//! |---|---|---|
//! | kind 0 | 0 | free: on the free list, in the hands of `insert`, or retired for good |
//! | a token's upper bits | 1 for the table, 1 for each `Ref` | live |
//! | kind 0 | 1 for each `Ref`, the one that `retire` returned included | retired, its value still in use |
//!
//! Invariant: references are taken only from a live slot, so a count that has fallen to zero stays there
//! until the slot is inserted into again, and the one that made it fall owns the slot.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr;

const INDEX_BITS: u32 = 29;
const GENERATION_BITS: u32 = 32;
const KIND_BITS: u32 = 3;
const _: () = assert!(INDEX_BITS + GENERATION_BITS + KIND_BITS == u64::BITS);

/// The lower bits of a token are the index, of a slot's word the references; above them the two have the same
/// bits.
const LOWER: u64 = (1 << INDEX_BITS) - 1;
const KIND_SHIFT: u32 = INDEX_BITS + GENERATION_BITS;

/// Chunk `n` holds `CHUNK << n` slots, so that an index tells its chunk by its highest bit. A model needs
/// few.
const CHUNK: u32 = if cfg!(loom) { 1 } else { 64 };
const CHUNKS: usize = if cfg!(loom) { 2 } else { (INDEX_BITS - CHUNK.trailing_zeros()) as usize };
const SLOTS_MAX: u32 = CHUNK * ((1 << CHUNKS) - 1);
const _: () = assert!(SLOTS_MAX as u64 <= LOWER);

/// What names a slot outside of the table. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// `None` for what no table ever gave out, zero included.
    pub const fn from_bits(bits: u64) -> Option<Token> {
        if bits >> KIND_SHIFT == 0 { None } else { Some(Token(bits)) }
    }

    /// The token as a number, as C or the kernel carries it.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The kind that was given to `insert`: 1 to 7.
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

/// The table. It grows in chunks that stay where they are until it is dropped; a static one is never dropped.
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
    /// Those of them that are free; its capacity is `made`, so that giving a slot back needs no memory.
    list: Vec<u32>,
}

struct Slot<T> {
    word: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is shared only through references counted in `word`, which needs T: Sync, and dropped on
// the thread whose reference was the last, which needs T: Send.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// A reference to a live or just retired value, which stays while this lives.
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

    /// A table of at most `slots_max` slots, each good for generations up to `last_generation`.
    #[cfg(not(loom))]
    const fn with_limits(slots_max: u32, last_generation: u32) -> Slots<T> {
        Slots {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            free: Mutex::new(Free { made: 0, list: Vec::new() }),
            slots_max,
            last_generation,
            owns: PhantomData,
        }
    }

    #[cfg(loom)]
    fn with_limits(slots_max: u32, last_generation: u32) -> Slots<T> {
        Slots {
            chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            free: Mutex::new(Free { made: 0, list: Vec::new() }),
            slots_max,
            last_generation,
            owns: PhantomData,
        }
    }

    /// Puts a value into a free slot; its token is live from now on. `None`, and the value dropped, if the
    /// table is full or there is no memory for more slots.
    ///
    /// # Panics
    /// Where `kind` is not 1 to 7.
    pub fn insert(&self, kind: u8, value: T) -> Option<Token> {
        assert!((1..8).contains(&kind), "a kind has three bits and is not zero");
        let index = self.take_free()?;
        let slot = self.slot(index).expect("a slot from the free list exists");
        slot.value.with_mut(|cell| {
            // SAFETY: the slot is free and off the free list, so this thread alone has it; what it held was
            // dropped before it went onto the list, whose lock orders that before this.
            unsafe { (*cell).write(value) };
        });
        let named = slot.word.load(Ordering::Relaxed) | u64::from(kind) << KIND_SHIFT;
        // Release pairs with the Acquire of `get` and `retire`: who finds the slot live finds the value
        // in it.
        slot.word.store(named | 1, Ordering::Release);
        Some(Token(named | u64::from(index)))
    }

    /// The value, if the token is live.
    pub fn get(&self, token: Token) -> Option<Ref<'_, T>> {
        let slot = self.slot(token.index())?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            // So many references are those of callers that forget them; one more would run into the
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

    /// Ends the token: no `get` that begins after this finds it. `Some` for exactly one caller; the value is
    /// dropped with its last reference, which may be the returned one.
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

    /// Calls `f` with every live value, with no lock held. What is inserted or retired meanwhile may be seen
    /// or not.
    pub fn for_each(&self, mut f: impl FnMut(Token, &T)) {
        let made = self.free.lock().made;
        for index in 0..made {
            let slot = self.slot(index).expect("slots below `made` exist");
            let word = slot.word.load(Ordering::Relaxed);
            let token = Token::from_bits(word & !LOWER | u64::from(index));
            if let Some((token, value)) = token.and_then(|token| Some((token, self.get(token)?))) {
                f(token, &value);
            }
        }
    }

    /// A free slot's index, off the list. Makes the next chunk if there is none.
    fn take_free(&self) -> Option<u32> {
        let mut free = self.free.lock();
        if free.list.is_empty() {
            self.grow(&mut free)?;
        }
        free.list.pop()
    }

    fn grow(&self, free: &mut Free) -> Option<()> {
        let (chunk, _) = place(free.made);
        let count = chunk_size(chunk).min(self.slots_max - free.made);
        if count == 0 {
            return None;
        }
        let made = free.made + count;
        free.list.try_reserve_exact(made as usize).ok()?;
        let mut slots: Vec<Slot<T>> = Vec::new();
        slots.try_reserve_exact(count as usize).ok()?;
        slots.extend((0..count).map(|_| Slot::free()));
        let first = Box::into_raw(slots.into_boxed_slice()).cast::<Slot<T>>();
        // Release pairs with the Acquire of `slot`: who finds the chunk finds its slots made. The last chunk
        // alone may be shorter than its place, and `slot` knows where it ends.
        self.chunks[chunk].store(first, Ordering::Release);
        // The lowest index last, to be popped first.
        free.list.extend((free.made..made).rev());
        free.made = made;
        Some(())
    }

    /// The slot of an index, made-up ones included.
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
        // SAFETY: an index below `slots_max` lies within its chunk: `grow` made the chunk whole or up to
        // `slots_max`.
        let slot = unsafe { first.add(offset) };
        // SAFETY: made before the chunk was published, freed only by `drop`, which has the table for itself.
        Some(unsafe { &*slot })
    }
}

impl<T> Slots<T> {
    /// Ends a value whose last reference is gone, and gives its slot back, under the next generation if there
    /// is one.
    fn end(&self, slot: &Slot<T>, index: u32) {
        slot.value.with_mut(|cell| {
            // SAFETY: the caller took the references to zero, so that nobody has one or can get one; the
            // value was written when the slot became live and is dropped once for each such time, here.
            unsafe { (*cell).assume_init_drop() };
        });
        let generation = slot.word.load(Ordering::Relaxed) >> INDEX_BITS;
        if generation == u64::from(self.last_generation) {
            return; // a token of it could come back to life: the slot stays out of use
        }
        // Relaxed: the lock carries it to the `insert` that takes the slot next; until then kind 0 fits no
        // token.
        slot.word.store((generation + 1) << INDEX_BITS, Ordering::Relaxed);
        self.free.lock().list.push(index);
    }
}

impl<T> Slot<T> {
    fn free() -> Slot<T> {
        Slot { word: AtomicU64::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

/// Chunk and place in it of an index below `SLOTS_MAX`.
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
            // SAFETY: while a reference is counted, the value is neither written nor dropped; the Acquire
            // that counted it made the write by `insert` visible.
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
        // Release hands this thread's use of the value to whoever ends it; Acquire takes the others' for the
        // one who does.
        let before = self.slot.word.fetch_sub(1, Ordering::AcqRel);
        if before & LOWER == 1 {
            self.end();
        }
    }
}

impl<T> Drop for Slots<T> {
    /// The values left go with the table: nobody has a `Ref`, as it borrows the table.
    fn drop(&mut self) {
        let made = self.free.lock().made;
        for (number, chunk) in self.chunks.iter().enumerate() {
            let first = chunk.load(Ordering::Relaxed);
            if first.is_null() {
                return;
            }
            let begin = CHUNK * ((1 << number) - 1);
            let count = chunk_size(number).min(made - begin) as usize;
            // SAFETY: pointer and length are those of the boxed slice that `grow` gave away, taken back once.
            let slots = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, count)) };
            for slot in &slots {
                if slot.word.load(Ordering::Relaxed) & LOWER != 0 {
                    slot.value.with_mut(|cell| {
                        // SAFETY: references are left, of the table or of a forgotten `Ref`, so the value is
                        // there.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// Counts its drops.
    struct Value<'a>(u32, &'a AtomicUsize);

    impl Drop for Value<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(slots: &Slots<u32>, token: Token) -> Option<u32> {
        slots.get(token).map(|value| *value)
    }

    #[test]
    fn a_value_is_found_until_it_is_retired() {
        static TABLE: Slots<u32> = Slots::new();
        let one = TABLE.insert(1, 11).unwrap();
        let two = TABLE.insert(7, 22).unwrap();
        assert_eq!((one.kind(), two.kind()), (1, 7));
        assert_eq!((read(&TABLE, one), read(&TABLE, two)), (Some(11), Some(22)));
        assert_eq!(*TABLE.retire(one).unwrap(), 11);
        assert_eq!((read(&TABLE, one), read(&TABLE, two)), (None, Some(22)));
        assert!(TABLE.retire(one).is_none());
        assert_eq!(Token::from_bits(two.bits()), Some(two));
    }

    #[test]
    fn an_old_token_stays_dead_through_100_000_reuses() {
        let slots = Slots::new();
        let old = slots.insert(3, 0).unwrap();
        drop(slots.retire(old));
        for round in 1..=100_000 {
            let token = slots.insert(3, round).unwrap();
            assert_eq!(token.index(), old.index(), "the slot is used again");
            assert_ne!(token, old);
            assert_eq!((read(&slots, old), read(&slots, token)), (None, Some(round)));
            assert!(slots.retire(old).is_none());
            assert_eq!(slots.retire(token).map(|value| *value), Some(round));
        }
    }

    #[test]
    fn made_up_tokens_name_nothing() {
        let slots = Slots::new();
        let live = slots.insert(2, 5).unwrap();
        for bits in [0, 1, 4096, LOWER, u64::MAX >> KIND_BITS] {
            assert_eq!(Token::from_bits(bits), None);
        }
        let bit_flips = (0..64).map(|bit| live.bits() ^ 1 << bit);
        let kinds = (1..8)
            .filter(|kind| *kind != 2)
            .map(|kind| live.bits() & !(7 << KIND_SHIFT) | kind << KIND_SHIFT);
        let indexes = [63, 64, 65, 1000, SLOTS_MAX - 1, SLOTS_MAX, LOWER as u32];
        let far = indexes.iter().map(|index| live.bits() & !LOWER | u64::from(*index));
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let noise = (0..100_000).map(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        });
        for token in
            bit_flips.chain(kinds).chain(far).chain([u64::MAX]).chain(noise).filter_map(Token::from_bits)
        {
            assert!(slots.get(token).is_none(), "{token:?}");
            assert!(slots.retire(token).is_none(), "{token:?}");
        }
        assert_eq!(read(&slots, live), Some(5));
    }

    #[test]
    #[should_panic(expected = "three bits")]
    fn a_kind_that_does_not_fit_is_a_mistake() {
        Slots::new().insert(8, ());
    }

    #[test]
    fn one_of_eight_threads_retires() {
        let drops = AtomicUsize::new(0);
        let slots = Slots::new();
        for round in 0..500 {
            let token = slots.insert(1, Value(round, &drops)).unwrap();
            let retired = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let value = slots.get(token);
                        assert!(value.is_none_or(|value| value.0 == round));
                        if slots.retire(token).is_some_and(|value| value.0 == round) {
                            retired.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(retired.load(Ordering::Relaxed), 1);
            assert_eq!(drops.load(Ordering::Relaxed), round as usize + 1);
        }
    }

    #[test]
    fn a_value_drops_once_with_its_last_reference() {
        let drops = AtomicUsize::new(0);
        let slots = Slots::new();
        let token = slots.insert(1, Value(7, &drops)).unwrap();
        let first = slots.get(token).unwrap();
        let second = slots.get(token).unwrap();
        let retired = slots.retire(token).unwrap();
        let other = slots.insert(1, Value(8, &drops)).unwrap();
        assert_ne!(other.index(), token.index(), "a slot in use is not given out");
        drop(retired);
        drop(first);
        assert_eq!((drops.load(Ordering::Relaxed), second.0), (0, 7));
        drop(second);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slots);
        assert_eq!(drops.load(Ordering::Relaxed), 2, "what is live goes with the table");
    }

    #[test]
    fn a_value_may_use_the_table_while_it_is_dropped() {
        static TABLE: Slots<Nested> = Slots::new();
        struct Nested(Option<Token>);
        impl Drop for Nested {
            fn drop(&mut self) {
                if let Some(token) = self.0 {
                    assert!(TABLE.insert(2, Nested(None)).is_some());
                    assert!(TABLE.retire(token).is_some());
                }
            }
        }
        let inner = TABLE.insert(1, Nested(None)).unwrap();
        let outer = TABLE.insert(1, Nested(Some(inner))).unwrap();
        drop(TABLE.retire(outer));
        assert!(TABLE.get(inner).is_none());
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_out_of_use() {
        let slots = Slots::with_limits(2, 3);
        let mut seen = HashSet::new();
        for round in 0..8 {
            let token = slots.insert(1, round).unwrap();
            assert!(seen.insert(token), "no token comes twice");
            drop(slots.retire(token));
        }
        assert_eq!(slots.insert(1, 9), None);
        assert!(seen.iter().all(|token| slots.get(*token).is_none() && slots.retire(*token).is_none()));
    }

    #[test]
    fn the_last_generation_of_all_is_a_generation_like_the_others() {
        let slots = Slots::with_limits(1, u32::MAX);
        drop(slots.retire(slots.insert(7, 1).unwrap()));
        slots.slot(0).unwrap().word.store(u64::from(u32::MAX) << INDEX_BITS, Ordering::Relaxed);
        let last = slots.insert(7, 2).unwrap();
        assert_eq!((last.kind(), read(&slots, last)), (7, Some(2)));
        assert_eq!(*slots.retire(last).unwrap(), 2);
        assert_eq!((read(&slots, last), slots.insert(7, 3)), (None, None));
    }

    #[test]
    fn a_full_table_takes_nothing_until_a_slot_is_free() {
        let drops = AtomicUsize::new(0);
        let slots = Slots::with_limits(100, u32::MAX);
        let tokens: Vec<_> = (0..100).map(|at| slots.insert(1, Value(at, &drops)).unwrap()).collect();
        assert_eq!(slots.insert(1, Value(100, &drops)), None);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slots.retire(tokens[50]));
        assert!(slots.insert(1, Value(101, &drops)).is_some());
        assert_eq!(slots.insert(1, Value(102, &drops)), None);
        drop(slots);
        assert_eq!(drops.load(Ordering::Relaxed), 103);
    }

    #[test]
    fn each_live_value_is_visited_once() {
        let slots = Slots::new();
        let tokens: Vec<_> = (0..1000).map(|at| slots.insert((at % 7) as u8 + 1, at).unwrap()).collect();
        for token in tokens.iter().step_by(3) {
            drop(slots.retire(*token));
        }
        let mut seen = HashSet::new();
        slots.for_each(|token, value| {
            assert_eq!(tokens[*value as usize], token);
            assert!(seen.insert(token));
            drop(slots.retire(token));
        });
        assert_eq!(seen.len(), 666);
        slots.for_each(|token, _| panic!("{token:?} is retired"));
    }

    #[test]
    fn indexes_and_places_agree_over_all_chunks() {
        let mut begin = 0;
        for chunk in 0..CHUNKS {
            assert_eq!(place(begin), (chunk, 0));
            assert_eq!(place(begin + chunk_size(chunk) - 1), (chunk, chunk_size(chunk) as usize - 1));
            begin += chunk_size(chunk);
        }
        assert_eq!(begin, SLOTS_MAX);
    }

    #[test]
    fn references_that_are_forgotten_end_in_none_and_not_in_another_generation() {
        let slots = Slots::new();
        let token = slots.insert(1, 5).unwrap();
        let slot = slots.slot(token.index()).unwrap();
        slot.word.fetch_or(LOWER, Ordering::Relaxed);
        assert!(slots.get(token).is_none());
        assert_eq!(slot.word.load(Ordering::Relaxed) >> INDEX_BITS, token.bits() >> INDEX_BITS);
    }

    #[test]
    fn threads_that_insert_get_and_retire_at_once_never_meet_anothers_value() {
        let drops = AtomicUsize::new(0);
        let slots = Slots::with_limits(16, u32::MAX);
        let shared: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let inserted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for mine in 0..4_u32 {
                let (slots, shared, drops, inserted) = (&slots, &shared, &drops, &inserted);
                scope.spawn(move || {
                    for round in 0..20_000_u32 {
                        let place = &shared[((round * 7 + mine) % 8) as usize];
                        let kind = (round % 7) as u8 + 1;
                        if round % 2 == 0 {
                            // The value is the kind, so that a reader can tell whose it met.
                            let Some(token) = slots.insert(kind, Value(kind.into(), drops)) else { continue };
                            inserted.fetch_add(1, Ordering::Relaxed);
                            let old = place.swap(token.bits(), Ordering::Relaxed);
                            if let Some(old) = Token::from_bits(old) {
                                assert_eq!(slots.retire(old).unwrap().0, u32::from(old.kind()));
                            }
                        } else if let Some(token) = Token::from_bits(place.load(Ordering::Relaxed))
                            && let Some(value) = slots.get(token)
                        {
                            assert_eq!(value.0, u32::from(token.kind()));
                        }
                    }
                });
            }
        });
        let mut live = 0;
        slots.for_each(|_, _| live += 1);
        let inserted = inserted.load(Ordering::Relaxed);
        assert_eq!(drops.load(Ordering::Relaxed) - (4 * 10_000 - inserted), inserted - live);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::thread;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize as Count;

    /// Counts its drops outside of the model, which reads the count when all threads are done.
    struct Value(u32, Arc<Count>);

    impl Drop for Value {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn table() -> (Arc<Slots<Value>>, Arc<Count>) {
        (Arc::new(Slots::new()), Arc::new(Count::new(0)))
    }

    #[test]
    fn a_get_meets_the_value_or_nothing_while_it_is_retired() {
        loom::model(|| {
            let (slots, drops) = table();
            let token = slots.insert(1, Value(7, drops.clone())).unwrap();
            let getter = {
                let slots = slots.clone();
                thread::spawn(move || slots.get(token).is_none_or(|value| value.0 == 7))
            };
            assert_eq!(slots.retire(token).unwrap().0, 7);
            assert!(slots.get(token).is_none());
            assert!(getter.join().unwrap());
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn a_get_never_meets_the_next_value_of_its_slot() {
        loom::model(|| {
            let (slots, drops) = table();
            let old = slots.insert(1, Value(7, drops.clone())).unwrap();
            let getter = {
                let slots = slots.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        assert!(slots.get(old).is_none_or(|value| value.0 == 7));
                    }
                })
            };
            drop(slots.retire(old));
            let new = slots.insert(1, Value(8, drops.clone())).unwrap();
            assert_eq!(slots.get(new).unwrap().0, 8);
            getter.join().unwrap();
            assert!(slots.get(old).is_none());
            drop(slots);
            assert_eq!(drops.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn one_of_two_retires_wins() {
        loom::model(|| {
            let (slots, drops) = table();
            let token = slots.insert(1, Value(7, drops.clone())).unwrap();
            let other = {
                let slots = slots.clone();
                thread::spawn(move || slots.retire(token).is_some_and(|value| value.0 == 7))
            };
            let here = slots.retire(token).is_some_and(|value| value.0 == 7);
            assert!(here != other.join().unwrap());
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn two_inserts_get_two_slots_and_a_guess_meets_a_whole_value() {
        loom::model(|| {
            let (slots, drops) = table();
            let inserter = {
                let (slots, drops) = (slots.clone(), drops.clone());
                thread::spawn(move || slots.insert(1, Value(7, drops)).unwrap())
            };
            let guesser = {
                let slots = slots.clone();
                // The first slot's first token, made up before anybody gave it out.
                let guess = Token::from_bits(1 << KIND_SHIFT).unwrap();
                thread::spawn(move || slots.get(guess).is_none_or(|value| value.0 == 7 || value.0 == 8))
            };
            let here = slots.insert(1, Value(8, drops.clone())).unwrap();
            let there = inserter.join().unwrap();
            assert!(guesser.join().unwrap());
            assert_ne!(here.index(), there.index());
            assert_eq!((slots.get(here).unwrap().0, slots.get(there).unwrap().0), (8, 7));
            drop(slots);
            assert_eq!(drops.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn a_guess_that_retires_meets_a_whole_value() {
        loom::model(|| {
            let (slots, drops) = table();
            let guesser = {
                let slots = slots.clone();
                let guess = Token::from_bits(1 << KIND_SHIFT).unwrap();
                thread::spawn(move || slots.retire(guess).is_none_or(|value| value.0 == 7))
            };
            slots.insert(1, Value(7, drops.clone())).unwrap();
            assert!(guesser.join().unwrap());
            drop(slots);
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn a_slot_goes_from_the_last_reader_to_the_next_insert() {
        loom::model(|| {
            let drops = Arc::new(Count::new(0));
            let slots = Arc::new(Slots::with_limits(1, u32::MAX));
            let token = slots.insert(1, Value(7, drops.clone())).unwrap();
            let reader = {
                let slots = slots.clone();
                let value = slots.get(token).map(|value| value.0);
                assert_eq!(value, Some(7));
                thread::spawn(move || {
                    if let Some(value) = slots.get(token) {
                        assert_eq!(value.0, 7);
                    }
                })
            };
            drop(slots.retire(token));
            // Full while the reader holds the only slot, and never twice in one slot.
            let next = slots.insert(1, Value(8, drops.clone()));
            reader.join().unwrap();
            let value = next.map(|next| slots.get(next).unwrap().0);
            assert_eq!(value.unwrap_or(8), 8);
            drop(slots);
            assert_eq!(drops.load(Ordering::Relaxed), 2);
        });
    }
}
