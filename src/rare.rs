//! A value that most connections never need, such as a queue in which nothing ever waits.
//!
//! The halves of a connection keep theirs in it. Invariant: it has memory only after a first change.

use crate::cache_line::{CACHE_LINE, fetch};
use std::ops::{Deref, DerefMut};

/// A value that is made when it first changes.
pub struct Rare<T>(Option<Box<T>>);

/// Something whose unchanged form needs no memory of its own.
pub trait Unchanged: Default + 'static {
    /// What `Default` makes.
    const UNCHANGED: &'static Self;
}

impl<T> Rare<T> {
    /// Begins to fetch the value to the cache, if it has ever changed.
    #[inline]
    pub fn fetch(&self) {
        if let Some(value) = &self.0 {
            let start = (&raw const **value).cast::<u8>();
            (0..size_of::<T>()).step_by(CACHE_LINE).for_each(|offset| fetch(start.wrapping_add(offset)));
        }
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare(None)
    }
}

impl<T> Rare<T> {
    /// The value, if it has memory.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The same, for a change that an unchanged value does not need.
    #[inline]
    pub fn changed(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Unchanged> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::UNCHANGED)
    }
}

impl<T: Unchanged> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Unchanged for Vec<u8> {
        const UNCHANGED: &'static Vec<u8> = &Vec::new();
    }

    #[test]
    fn it_has_memory_after_a_change() {
        let mut rare = Rare::<Vec<u8>>::default();
        assert!(rare.is_empty() && rare.changed().is_none());
        rare.push(7);
        assert!(rare.changed().is_some());
        assert_eq!((rare.as_slice(), size_of_val(&rare)), (&[7][..], size_of::<usize>()));
    }
}
