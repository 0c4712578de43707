//! A line that holds one item at most times.
//!
//! The queue of receives is one. Invariant: nothing stands behind a first place that is empty.

use std::collections::VecDeque;

/// The first item, which needs no memory of its own, and those behind it.
pub struct Line<T> {
    first: Option<T>,
    behind: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line::new()
    }
}

impl<T> Line<T> {
    pub const fn new() -> Line<T> {
        Line { first: None, behind: VecDeque::new() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    #[inline]
    pub fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    #[inline]
    pub fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.behind.push_back(item);
        }
    }

    pub fn push_front(&mut self, item: T) {
        if let Some(second) = self.first.replace(item) {
            self.behind.push_front(second);
        }
    }

    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.first.take();
        if !self.behind.is_empty() {
            self.first = self.behind.pop_front();
        }
        item
    }

    /// All but the first.
    pub fn behind(&mut self) -> &mut VecDeque<T> {
        &mut self.behind
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_their_order() {
        let mut line = Line::new();
        [2, 3, 4].into_iter().for_each(|item| line.push_back(item));
        line.push_front(1);
        assert_eq!(line.behind().remove(1), Some(3));
        assert_eq!(line.front(), Some(&1));
        assert_eq!(line.iter().copied().collect::<Vec<_>>(), [1, 2, 4]);
        let left: Vec<_> = std::iter::from_fn(|| line.pop_front()).collect();
        assert_eq!((left, line.is_empty()), (vec![1, 2, 4], true));
    }
}
