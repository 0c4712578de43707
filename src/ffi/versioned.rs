#![allow(unsafe_code)] // copies structs from and to memory of the caller
//! Structs of C that may grow: how they are read and written.
//!
//! Every file that takes or fills in a struct uses it. Invariant: a struct that begins with its size grows only at its end.
//! Therefore a program and a library of different versions agree on the part that both know.

use crate::error::{Error, Result};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// A struct of C that begins with its size.
///
/// # Safety
/// - The type is `repr(C)`, its first field is a `usize`, and every pattern of bytes is a value of it.
pub(super) unsafe trait Versioned: Copy {
    /// Its size in version 0.1. A later version may be larger, never smaller.
    const FIRST: usize;
}

/// Declares the sizes of structs in version 0.1, and checks them.
macro_rules! versioned {
    ($($name:ident: $first:literal),* $(,)?) => { $(
        // SAFETY: repr(C) with `size` in front; numbers, raw pointers and optional functions take every pattern.
        unsafe impl $crate::ffi::versioned::Versioned for $name {
            const FIRST: usize = $first;
        }
        const _: () = assert!(size_of::<$name>() == $first, "the layout that C programs were compiled with has changed");
    )* };
}

pub(super) use versioned;

/// No struct is ever larger. Therefore a size that was never set does not lead far outside of the struct.
const LARGEST: usize = 4096;

/// The size that the caller wrote into `*memory`. INVALID if no version has that size.
///
/// # Safety
/// - `memory` is NULL or begins with a readable size.
unsafe fn caller_size<T: Versioned>(memory: *const T) -> Result<usize> {
    if memory.is_null() {
        return Err(Error::INVALID);
    }
    // SAFETY: not NULL, and the caller promises a readable size in front.
    let size = unsafe { memory.cast::<usize>().read() };
    if (T::FIRST..=LARGEST).contains(&size) { Ok(size) } else { Err(Error::INVALID) }
}

/// Reads a struct of the caller, of an older or a newer version. Fields that an older version lacks are zero. Fields that
/// only a newer version has must be zero: otherwise the caller asks for something that this version does not know.
///
/// # Safety
/// - `memory` is NULL or points to as many readable bytes as its size says.
pub(super) unsafe fn read_struct<T: Versioned>(memory: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    let size = unsafe { caller_size(memory) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` is at most `size`, and so many bytes are readable.
    let tail = unsafe { std::slice::from_raw_parts(memory.cast::<u8>().add(known), size - known) };
    if tail.iter().any(|&byte| byte != 0) {
        return Err(Error::INVALID);
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable there and writable here, and a local does not overlap with memory of the caller's.
    unsafe { value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(memory.cast(), known) };
    // SAFETY: every pattern of bytes is a value, zeros included.
    Ok(unsafe { value.assume_init() })
}

/// A struct of the caller, to be written. Its size is checked before the call does anything.
pub(super) struct Output<T> {
    memory: *mut T,
    size: usize,
}

impl<T: Versioned> Output<T> {
    /// # Safety
    /// - `memory` is NULL or points to as many writable bytes as its size says, for as long as this value is used.
    pub unsafe fn new(memory: *mut T) -> Result<Self> {
        // SAFETY: the caller's promise.
        let size = unsafe { caller_size(memory) }?;
        Ok(Output { memory, size })
    }

    /// Writes the fields that both versions know, and leaves the caller's size.
    pub fn write(self, value: &T) {
        let skip = size_of::<usize>();
        let count = self.size.min(size_of::<T>()) - skip;
        // SAFETY: `skip` is within both; see `FIRST`.
        let (from, to) =
            unsafe { (std::ptr::from_ref(value).cast::<u8>().add(skip), self.memory.cast::<u8>().add(skip)) };
        // SAFETY: `skip` and `count` together are at most both sizes. `new` was promised that the memory is writable; it
        // is not `value`, which is ours.
        unsafe { to.copy_from_nonoverlapping(from, count) };
    }
}

/// `text` as an array of C with a zero byte at its end. A text that is too long is cut.
pub(super) fn characters<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    for (to, &from) in array[..N - 1].iter_mut().zip(text.as_bytes()) {
        *to = from as c_char;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct of this version.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Known {
        size: usize,
        backlog: u32,
        reuse_port: u32,
    }

    versioned! { Known: 16 }

    /// A struct of a version that has more fields.
    #[repr(C)]
    struct Later {
        known: Known,
        field: u64,
    }

    fn later(size: usize, field: u64) -> Later {
        Later { known: Known { size, backlog: 7, reuse_port: 1 }, field }
    }

    fn read(options: &Later) -> Result<Known> {
        // SAFETY: as many bytes as the sizes of these tests say are there, or the size is refused before they are read.
        unsafe { read_struct(std::ptr::from_ref(options).cast()) }
    }

    #[test]
    fn a_struct_of_this_version_or_a_later_one_is_read() {
        for options in [later(16, 99), later(24, 0)] {
            let read = read(&options).unwrap();
            assert_eq!((read.backlog, read.reuse_port), (7, 1));
        }
    }

    #[test]
    fn wrong_sizes_and_unknown_fields_are_refused() {
        for options in [later(0, 0), later(15, 0), later(24, 1), later(LARGEST + 1, 0), later(usize::MAX, 0)]
        {
            assert_eq!(read(&options).err(), Some(Error::INVALID), "size {}", options.known.size);
        }
        // SAFETY: NULL is refused.
        let null = unsafe { read_struct::<Known>(std::ptr::null()) };
        assert_eq!(null.err(), Some(Error::INVALID));
    }

    #[test]
    fn output_keeps_the_callers_size_and_what_it_does_not_know() {
        let mut options = later(24, 99);
        // SAFETY: 24 writable bytes are there.
        let output = unsafe { Output::new(std::ptr::from_mut(&mut options).cast()) }.unwrap();
        output.write(&Known { size: 0, backlog: 1, reuse_port: 2 });
        let known = options.known;
        assert_eq!((known.size, known.backlog, known.reuse_port, options.field), (24, 1, 2, 99));
    }

    #[test]
    fn text_is_cut_to_fit_and_ends_in_a_zero_byte() {
        let bytes = |array: [c_char; 4]| array.map(|byte| byte as u8);
        assert_eq!(bytes(characters("ab")), *b"ab\0\0");
        assert_eq!(bytes(characters("abcdef")), *b"abc\0");
    }
}
