#![allow(unsafe_code)] // calls a function of C
//! Hands the core's tracing events to the log callback of a config, one line each.
//!
//! `net.rs` makes one per net; the core's threads call it. Invariant: nothing here can fail or keep state, so that logging
//! never changes what the library does.

use super::User;
use super::types::{IOURINGNET_LOG_TRACE, IOURINGNET_LOG_WARN, iouringnet_log_callback};
use crate::error::{Error, Result};
use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

type Function = unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char);

/// What the core shall log to: nothing without a callback.
pub(super) fn dispatch(
    callback: iouringnet_log_callback,
    user: *mut c_void,
    level: u32,
) -> Result<Option<Dispatch>> {
    let most = match level {
        0 => IOURINGNET_LOG_WARN,
        1..=IOURINGNET_LOG_TRACE => level,
        _ => return Err(Error::INVALID),
    };
    Ok(callback.map(|function| Dispatch::new(Log { function, user: User(user), most: most as i32 })))
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a log callback. The core may hold a handle's lock there, so that every call of the
/// library has to be refused.
pub(super) fn is_running() -> bool {
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

struct Log {
    function: Function,
    user: User,
    most: i32,
}

/// The number that C knows a level by.
fn number(level: &Level) -> i32 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(metadata.level()) <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.most {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        // A zero byte would end the line for C.
        let text = CString::new(line.0.replace('\0', " ")).unwrap_or_default();
        RUNNING.set(true);
        // SAFETY: the caller of net_start passed a function that any thread may call with its pointer until net_stop.
        unsafe { (self.function)(self.user.pointer(), number(event.metadata().level()), text.as_ptr()) };
        RUNNING.set(false);
    }

    // The core logs events only; spans are not enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// "the message field=value field=value"
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let between = if self.0.is_empty() { "" } else { " " };
        // Writing to a string cannot fail; a Debug that fails leaves its line short.
        let _ = match field.name() {
            "message" => write!(self.0, "{between}{value:?}"),
            name => write!(self.0, "{between}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::sync::Mutex;

    type Lines = Mutex<Vec<(i32, String)>>;

    unsafe extern "C" fn collect(user: *mut c_void, level: i32, text: *const c_char) {
        // SAFETY: the test passes its own list, which outlives the dispatch.
        let list = unsafe { &*user.cast::<Lines>() };
        // SAFETY: the text ends in a zero byte.
        let text = unsafe { CStr::from_ptr(text) };
        list.lock().unwrap().push((level, text.to_str().unwrap().to_owned()));
    }

    #[test]
    fn events_become_lines_and_lower_levels_are_left_out() {
        let list = Lines::default();
        let user = std::ptr::from_ref(&list).cast_mut().cast();
        let dispatch = dispatch(Some(collect), user, 0).unwrap().unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::error!(errno = 24, "no descriptors\0left");
            tracing::warn!("a warning");
            tracing::info!("too much detail");
        });
        let expected = [(1, "no descriptors left errno=24".to_owned()), (2, "a warning".to_owned())];
        assert_eq!(*list.lock().unwrap(), expected);
    }

    #[test]
    fn no_callback_logs_nothing_and_unknown_levels_are_refused() {
        assert!(dispatch(None, std::ptr::null_mut(), 0).unwrap().is_none());
        assert_eq!(dispatch(Some(collect), std::ptr::null_mut(), 6).err(), Some(Error::INVALID));
    }
}
