#![allow(unsafe_code)] // keeps a small closure in two words
//! A closure that runs once, on whichever thread has it by then.
//!
//! `completion` keeps callbacks in it. A callback of C is a function and a pointer, and needs no memory of its own.
//! Invariant: a small closure is a value without a destructor, so a copy of its bytes is the closure.

use std::mem::MaybeUninit;

/// A closure that runs once, with an `A`.
pub struct Once<A>(Form<A>);

enum Form<A> {
    /// The closure's bytes, and what reads and runs it.
    Small(unsafe fn(Words, A), Words),
    Boxed(Box<dyn FnOnce(A) + Send>),
}

type Words = MaybeUninit<[usize; 2]>;

impl<A> Once<A> {
    /// A closure of any size.
    pub fn boxed(closure: impl FnOnce(A) + Send + 'static) -> Once<A> {
        Once(Form::Boxed(Box::new(closure)))
    }

    /// A closure that captures at most two words, without a box.
    pub fn small<F: FnOnce(A) + Copy + Send + 'static>(closure: F) -> Once<A> {
        const { assert!(size_of::<F>() <= size_of::<Words>() && align_of::<F>() <= align_of::<Words>()) };
        let mut words = Words::uninit();
        // SAFETY: the words are as large as the closure and aligned for it, as asserted above.
        unsafe { words.as_mut_ptr().cast::<F>().write(closure) };
        Once(Form::Small(run::<A, F>, words))
    }

    /// Runs the closure.
    pub fn call(self, argument: A) {
        match self.0 {
            // SAFETY: `small` has put the closure that `run` reads into the words.
            Form::Small(run, words) => unsafe { run(words, argument) },
            Form::Boxed(closure) => closure(argument),
        }
    }
}

/// # Safety
/// The words hold an `F`.
unsafe fn run<A, F: FnOnce(A) + Copy>(words: Words, argument: A) {
    // SAFETY: the caller vouches for the `F`, and a copy of it may run.
    let closure = unsafe { words.as_ptr().cast::<F>().read() };
    closure(argument);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn closures_run_with_what_they_captured() {
        fn add(to: &'static std::sync::atomic::AtomicUsize, count: usize) {
            to.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        }
        static SUM: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let sum = &SUM;
        let small = Once::small(move |count| add(sum, count));
        assert_eq!(size_of_val(&small), 3 * size_of::<usize>());
        small.call(3);
        let (sender, receiver) = channel();
        let text = String::from("of any size");
        Once::boxed(move |count| sender.send((text, count)).unwrap()).call(4);
        assert_eq!(
            (SUM.load(std::sync::atomic::Ordering::Relaxed), receiver.recv()),
            (3, Ok((String::from("of any size"), 4)))
        );
    }
}
