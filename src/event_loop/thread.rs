//! A loop on a thread of its own.
//!
//! Invariant: the thread makes its loop, runs it to the end, and drops it. No other thread touches it.

use super::{EventLoop, LoopHandle, Setup};
use crate::threads::{self, Thread};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

impl EventLoop {
    /// Starts the loop's thread. Returns once its engine exists, or with the errno of the failure.
    pub fn start(handle: &Arc<LoopHandle>, setup: Setup) -> io::Result<Thread> {
        let (report, started) = sync_channel(1);
        let handle = Arc::clone(handle);
        let thread = threads::spawn(setup.name, move || match EventLoop::for_thread(handle, &setup) {
            Ok(mut event_loop) => event_loop.as_current(|this| {
                let _ = report.send(Ok(()));
                this.log_start(&setup);
                this.died = Some(setup.died);
                this.run_to_the_end();
                tracing::info!(name = ?setup.name, "a loop has ended");
            }),
            Err(error) => {
                let _ = report.send(Err(error));
            }
        })?;
        match started.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(error)) => {
                thread.join();
                Err(error)
            }
            Err(_) => {
                thread.join();
                Err(io::Error::other("the loop's thread panicked at its start"))
            }
        }
    }

    fn for_thread(handle: Arc<LoopHandle>, setup: &Setup) -> io::Result<EventLoop> {
        if let Some(cpu) = setup.cpu {
            threads::pin(cpu)?;
        }
        if setup.sched_batch {
            threads::sched_batch();
        }
        EventLoop::new(handle, setup)
    }
}
