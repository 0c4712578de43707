#![allow(unsafe_code)] // calls functions of C
//! The callbacks of a watch. Those of C take two words, and no memory of their own.
//!
//! The boundary makes them, and each half of a watched connection keeps its own. Invariant: the maker of a C callback has
//! promised that its function may be called with its pointer on the callback thread.

use crate::cache_line::fetch;
use crate::error::{self, Result};
use std::ffi::c_void;

/// The pointer that a C program wants its callbacks to get.
#[derive(Clone, Copy)]
pub struct User(pub *mut c_void);

// SAFETY: the library never follows the pointer. The caller owns its target, and the header says that callbacks run on a
// thread of the net.
unsafe impl Send for User {}
// SAFETY: the library never follows the pointer, and a shared `User` only returns it.
unsafe impl Sync for User {}

impl User {
    /// A method, so that a closure captures the whole `User` and not only its pointer.
    pub fn pointer(self) -> *mut c_void {
        self.0
    }
}

/// A function of C that gets a status.
type StatusFunction = unsafe extern "C" fn(user: *mut c_void, status: i32);

/// A function of C that gets bytes, and returns how many it is done with.
type DataFunction =
    unsafe extern "C" fn(user: *mut c_void, status: i32, data: *const c_void, size: usize) -> usize;

/// Gets a result: that there is room again, or how something ended.
#[derive(Clone, Copy)]
pub struct StatusCallback {
    function: StatusFunction,
    user: User,
}

impl StatusCallback {
    /// A callback of C.
    ///
    /// # Safety
    /// `function` may be called with `user` on the callback thread.
    pub unsafe fn of_c(function: StatusFunction, user: User) -> StatusCallback {
        StatusCallback { function, user }
    }

    /// Calls it.
    pub fn call(&self, result: Result) {
        // SAFETY: the maker of the callback vouches for it.
        unsafe { (self.function)(self.user.pointer(), error::status(result)) }
    }
}

/// Gets received bytes, and returns how many it is done with. Its last call, once, brings an error and no bytes.
pub struct DataCallback(Form);

/// A place for a [`DataCallback`], and no larger.
#[derive(Default)]
pub struct DataPlace(Form);

type Closure = Box<dyn FnMut(Result, &[u8]) -> usize + Send>;

enum Form {
    C(DataFunction, User),
    /// A closure of the library, in two boxes: no `Form` is larger than one of C. `None`: an empty place.
    Own(Option<Box<Closure>>),
}

const _: () = assert!(size_of::<DataPlace>() == 16, "each watched connection has two");

impl Default for Form {
    fn default() -> Form {
        Form::Own(None)
    }
}

impl DataCallback {
    /// A callback of C.
    ///
    /// # Safety
    /// `function` may be called with `user` on the callback thread.
    pub unsafe fn of_c(function: DataFunction, user: User) -> DataCallback {
        DataCallback(Form::C(function, user))
    }

    /// A closure of the library.
    pub fn boxed(closure: impl FnMut(Result, &[u8]) -> usize + Send + 'static) -> DataCallback {
        DataCallback(Form::Own(Some(Box::new(Box::new(closure)))))
    }

    /// Shows it bytes, or the error.
    #[inline]
    pub fn call(&mut self, result: Result, bytes: &[u8]) -> usize {
        match &mut self.0 {
            Form::C(function, user) => {
                let (data, size) =
                    if result.is_ok() { (bytes.as_ptr().cast(), bytes.len()) } else { (std::ptr::null(), 0) };
                // SAFETY: the maker of the callback vouches for it. The bytes outlive the call.
                unsafe { function(user.pointer(), error::status(result), data, size) }
            }
            Form::Own(Some(closure)) => closure(result, bytes),
            Form::Own(None) => unreachable!("only a place is empty"),
        }
    }
}

impl DataPlace {
    /// Empties the place.
    #[inline]
    pub fn take(&mut self) -> Option<DataCallback> {
        match std::mem::take(&mut self.0) {
            Form::Own(None) => None,
            form => Some(DataCallback(form)),
        }
    }

    /// Whether there is a callback.
    pub fn is_taken(&self) -> bool {
        !matches!(self.0, Form::Own(None))
    }

    /// A call comes soon: fetches to the cache what it needs.
    #[inline]
    pub fn warm_up(&self) {
        match &self.0 {
            Form::C(_, user) => fetch(user.pointer().cast_const()),
            Form::Own(closure) => fetch(closure.as_deref().map_or(std::ptr::null(), std::ptr::from_ref)),
        }
    }
}

impl From<DataCallback> for DataPlace {
    #[inline]
    fn from(callback: DataCallback) -> DataPlace {
        DataPlace(callback.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    unsafe extern "C" fn count(user: *mut c_void, status: i32, data: *const c_void, size: usize) -> usize {
        let calls = user.cast::<Vec<(i32, bool, usize)>>();
        // SAFETY: the test passes its own vector.
        unsafe { (*calls).push((status, data.is_null(), size)) };
        size
    }

    #[test]
    fn a_place_holds_a_callback_of_either_form() {
        let mut calls: Vec<(i32, bool, usize)> = Vec::new();
        let user = User((&raw mut calls).cast());
        // SAFETY: the vector outlives the calls.
        let mut place = DataPlace::from(unsafe { DataCallback::of_c(count, user) });
        assert!(place.is_taken());
        let mut callback = place.take().unwrap();
        assert!(!place.is_taken() && place.take().is_none());
        assert_eq!(callback.call(Ok(()), b"abc"), 3);
        assert_eq!(callback.call(Err(Error::EOF), b""), 0);
        assert_eq!(calls, [(0, false, 3), (Error::EOF.code(), true, 0)]);

        let mut sum = 0;
        let closure = DataCallback::boxed(move |_, bytes| {
            sum += bytes.len();
            sum
        });
        let mut place = DataPlace::from(closure);
        place.warm_up();
        let mut closure = place.take().unwrap();
        assert_eq!([closure.call(Ok(()), b"abc"), closure.call(Ok(()), b"de")], [3, 5]);
    }
}
