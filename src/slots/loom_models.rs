//! The table's protocol in every order that loom finds.

use super::*;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;

/// Counts its drops outside of the model. The model reads the count when all threads are done.
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
            // The first slot's first token, guessed before `insert` gave it out.
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
        // The table is full while the reader holds the only slot. No slot ever holds two values.
        let next = slots.insert(1, Value(8, drops.clone()));
        reader.join().unwrap();
        let value = next.map(|next| slots.get(next).unwrap().0);
        assert_eq!(value.unwrap_or(8), 8);
        drop(slots);
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    });
}
