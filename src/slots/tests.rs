//! What the table promises, on one thread and on several. Invariant: a value drops once, whatever happens to its token.

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
    let kinds =
        (1..8).filter(|kind| *kind != 2).map(|kind| live.bits() & !(7 << KIND_SHIFT) | kind << KIND_SHIFT);
    let indexes = [63, 64, 65, 1000, SLOTS_MAX - 1, SLOTS_MAX, LOWER as u32];
    let far = indexes.iter().map(|index| live.bits() & !LOWER | u64::from(*index));
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let noise = (0..100_000).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    for token in bit_flips.chain(kinds).chain(far).chain([u64::MAX]).chain(noise).filter_map(Token::from_bits)
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
fn a_token_of_another_table_is_not_found() {
    static ONE: Slots<u32> = Slots::new();
    static OTHER: Slots<u32> = Slots::new();
    for value in 0..100 {
        let token = ONE.insert(1, value).unwrap();
        assert_eq!(read(&OTHER, token), None);
        let theirs = OTHER.insert(1, value).unwrap();
        assert_eq!((read(&OTHER, token), read(&ONE, theirs)), (None, None));
        assert!(OTHER.retire(token).is_none());
    }
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
    slots.for_each(
        |_| true,
        |token, value| {
            assert_eq!(tokens[*value as usize], token);
            assert!(seen.insert(token));
            drop(slots.retire(token));
        },
    );
    assert_eq!(seen.len(), 666);
    slots.for_each(|_| true, |token, _| panic!("{token:?} is retired"));
}

#[test]
fn a_table_without_a_free_slot_is_walked_to_its_end() {
    let slots = Slots::new();
    for value in 0..CHUNK {
        slots.insert(1, value).unwrap();
    }
    let mut seen = HashSet::new();
    slots.for_each(|_| true, |_, value| assert!(seen.insert(*value)));
    assert_eq!(seen.len(), CHUNK as usize);
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
                        // The value is the kind: a reader can tell which value it met.
                        let Some(token) = slots.insert(kind, Value(kind.into(), drops)) else { continue };
                        inserted.fetch_add(1, Ordering::Relaxed);
                        let old = place.swap(token.bits(), Ordering::Relaxed);
                        if let Some(old) = Token::from_bits(old) {
                            assert_eq!(slots.retire(old).unwrap().0, u32::from(old.kind()));
                        }
                    } else if let Some(token) = Token::from_bits(place.load(Ordering::Relaxed)) {
                        let kind = slots.get(token).map(|value| value.0);
                        assert!(kind.is_none_or(|kind| kind == u32::from(token.kind())));
                    }
                }
            });
        }
    });
    let mut live = 0;
    slots.for_each(|_| true, |_, _| live += 1);
    let inserted = inserted.load(Ordering::Relaxed);
    assert_eq!(drops.load(Ordering::Relaxed) - (4 * 10_000 - inserted), inserted - live);
}
