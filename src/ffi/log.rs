#![allow(unsafe_code)] // calls a function of C
//! Passes the lines of the core's log to the log callback of a config.
//!
//! `config.rs` makes one for each net, and the core's threads call it. Invariant: nothing here fails or keeps state.
//! Therefore logging never changes what the library does.

use super::arguments::User;
use super::types::{IOURINGNET_LOG_TRACE, IOURINGNET_LOG_WARN, iouringnet_log_callback};
use crate::error::{Error, Result};
use crate::logging::Log;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Function = unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char);

/// The log of the core. `None` if there is no callback.
pub(super) fn log(
    callback: iouringnet_log_callback,
    user: *mut c_void,
    level: u32,
) -> Result<Option<Arc<dyn Log>>> {
    let most = match level {
        0 => IOURINGNET_LOG_WARN,
        1..=IOURINGNET_LOG_TRACE => level,
        _ => return Err(Error::INVALID),
    };
    Ok(callback.map(|function| Arc::new(ToC { function, user: User(user), most: most as i32 }) as _))
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// How many threads are inside a log callback. A thread that is has counted itself before.
static RUNNING_ANYWHERE: AtomicUsize = AtomicUsize::new(0);

/// Whether this thread is inside a log callback. The core may hold a handle's lock there. Therefore the library refuses
/// every call.
#[inline]
pub(super) fn is_running() -> bool {
    RUNNING_ANYWHERE.load(Ordering::Relaxed) > 0 && is_running_here()
}

#[inline(never)] // else the compiler finds the thread's value, which takes a call, before it knows that it is needed
fn is_running_here() -> bool {
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

struct ToC {
    function: Function,
    user: User,
    most: i32,
}

impl Log for ToC {
    fn most(&self) -> i32 {
        self.most
    }

    fn line(&self, level: i32, text: &CStr) {
        RUNNING_ANYWHERE.fetch_add(1, Ordering::Relaxed);
        RUNNING.set(true);
        // SAFETY: the caller of net_start passed a function that any thread may call with its pointer until net_stop.
        unsafe { (self.function)(self.user.pointer(), level, text.as_ptr()) };
        RUNNING.set(false);
        RUNNING_ANYWHERE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    type Lines = Mutex<Vec<(i32, String)>>;

    unsafe extern "C" fn collect(user: *mut c_void, level: i32, text: *const c_char) {
        assert!(is_running());
        // SAFETY: the test passes its own list, which outlives the log.
        let list = unsafe { &*user.cast::<Lines>() };
        // SAFETY: the text ends in a zero byte.
        let text = unsafe { CStr::from_ptr(text) };
        list.lock().unwrap().push((level, text.to_str().unwrap().to_owned()));
    }

    #[test]
    fn lines_are_handed_to_the_callback() {
        let list = Lines::default();
        let user = std::ptr::from_ref(&list).cast_mut().cast();
        let log = log(Some(collect), user, 0).unwrap().unwrap();
        assert_eq!(log.most(), 2);
        log.line(1, c"no descriptors left");
        assert!(!is_running());
        assert_eq!(*list.lock().unwrap(), [(1, "no descriptors left".to_owned())]);
    }

    #[test]
    fn no_callback_logs_nothing_and_unknown_levels_are_refused() {
        assert!(log(None, std::ptr::null_mut(), 0).unwrap().is_none());
        assert_eq!(log(Some(collect), std::ptr::null_mut(), 6).err(), Some(Error::INVALID));
    }
}
