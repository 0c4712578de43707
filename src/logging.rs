#![allow(unsafe_code)] // a thread's log, by its address
//! The log that a thread writes to. A loop's thread writes to the log of its net, and every other thread to none.
//!
//! One subscriber serves the process and asks the thread for its log. tracing's own way, a subscriber for each thread, keeps
//! a thread-local with a destructor, which threads.rs forbids. If a Rust program has a subscriber of its own, that
//! subscriber gets the events. Invariant: a thread's log lives as long as its [`Writing`].

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The receiver of log lines.
pub trait Log: Send + Sync {
    /// The highest level that the log wants: 1 for errors, up to 5 for everything.
    fn most(&self) -> i32;
    /// Receives one line.
    fn line(&self, level: i32, text: &CStr);
}

thread_local! {
    static CURRENT: Cell<Option<*const dyn Log>> = const { Cell::new(None) };
}

/// The highest level that a log has ever wanted.
static MOST: AtomicI32 = AtomicI32::new(0);

/// While it lives, this thread's events go to a log.
pub struct Writing {
    _log: Arc<dyn Log>,
    _of_this_thread: PhantomData<*const ()>,
}

impl Writing {
    /// Sends this thread's events to `log` from now on.
    pub fn to(log: &Arc<dyn Log>) -> Writing {
        static INSTALLED: Once = Once::new();
        let higher = MOST.fetch_max(log.most(), Ordering::SeqCst) < log.most();
        INSTALLED.call_once(|| drop(tracing::dispatcher::set_global_default(Dispatch::new(OfThread))));
        if higher {
            tracing::callsite::rebuild_interest_cache();
        }
        CURRENT.set(Some(Arc::as_ptr(log)));
        Writing { _log: Arc::clone(log), _of_this_thread: PhantomData }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Passes each event to the log of the thread that it comes from.
struct OfThread;

impl OfThread {
    fn with_log(level: &Level, then: impl FnOnce(&dyn Log, i32)) {
        let level = number(level);
        if let Some(log) = CURRENT.try_with(Cell::get).ok().flatten() {
            // SAFETY: this thread's `Writing` has set the pointer and holds the log. It clears the pointer before it drops
            // the log.
            let log = unsafe { &*log };
            if level <= log.most() {
                then(log, level);
            }
        }
    }
}

/// The number of [`Level::DEBUG`] in C.
pub const DEBUG: i32 = 4;

/// The number of a level in C.
fn number(level: &Level) -> i32 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => DEBUG,
        Level::TRACE => 5,
    }
}

impl Subscriber for OfThread {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let mut enabled = false;
        OfThread::with_log(metadata.level(), |_, _| enabled = true);
        enabled && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match MOST.load(Ordering::SeqCst) {
            ..=0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        OfThread::with_log(event.metadata().level(), |log, level| {
            let mut line = Line(String::new());
            event.record(&mut line);
            // A zero byte would end the line for C.
            let text = CString::new(line.0.replace('\0', " ")).unwrap_or_default();
            log.line(level, &text);
        });
    }

    // The core logs events only. Spans are not enabled.
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
        // Writing to a string cannot fail. A Debug that fails leaves its line short.
        let _ = match field.name() {
            "message" => write!(self.0, "{between}{value:?}"),
            name => write!(self.0, "{between}{name}={value:?}"),
        };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Lines(i32, Mutex<Vec<(i32, String)>>);

    impl Lines {
        fn new(most: i32) -> Arc<Lines> {
            Arc::new(Lines(most, Mutex::default()))
        }
    }

    impl Log for Lines {
        fn most(&self) -> i32 {
            self.0
        }

        fn line(&self, level: i32, text: &CStr) {
            self.1.lock().unwrap().push((level, text.to_str().unwrap().to_owned()));
        }
    }

    #[test]
    fn events_become_lines_of_the_threads_log_and_lower_levels_are_left_out() {
        let log = Lines::new(2);
        let writing = Writing::to(&(Arc::clone(&log) as _));
        tracing::error!(errno = 24, "no descriptors\0left");
        tracing::warn!("a warning");
        tracing::info!("too much detail");
        std::thread::spawn(|| tracing::error!("of another thread")).join().unwrap();
        let other = Lines::new(3);
        std::thread::spawn({
            let other = Arc::clone(&other);
            move || {
                let _writing = Writing::to(&(other as _));
                tracing::info!("a detail");
            }
        })
        .join()
        .unwrap();
        drop(writing);
        tracing::error!("nobody writes this down");
        let expected = [(1, "no descriptors left errno=24".to_owned()), (2, "a warning".to_owned())];
        assert_eq!(*log.1.lock().unwrap(), expected);
        assert_eq!(*other.1.lock().unwrap(), [(3, "a detail".to_owned())]);
    }
}
