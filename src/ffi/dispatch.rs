#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! A program's own loop: the callbacks of a net run on a thread of the program.

use super::types::*;
use super::{guard, guard_blocking, guard_signal, handles, limit, required};
use std::ffi::c_int;

/// Runs the callbacks of a net whose config has `dispatch` = IOURINGNET_BY_CALLER, on this thread.
///
/// `timeout_ms`  How long to wait if there is nothing to do, in milliseconds. 0: do not wait.
///               IOURINGNET_NO_TIMEOUT: wait without a limit.
///
/// The call does what there is to do when it begins, once: it runs each callback that is due, and goes on with
/// what waits. If there is nothing to do, it waits for the first event. A callback that begins an operation gets
/// the completion in a later call.
///
/// Only the thread that has called net_start may call it. On this thread every blocking call on handles of the net
/// returns IOURINGNET_IN_CALLBACK, because it would wait for the thread itself. Exceptions: op_wait with timeout 0,
/// and net_stop outside of callbacks. Blocking calls of other threads work while this thread dispatches.
///
/// If another thread calls net_stop, the next calls carry it out, until one returns IOURINGNET_STOPPED. If this thread
/// ends before the net is stopped, the net ends: its callbacks run on the ending thread, connections are reset, and
/// other threads get IOURINGNET_PANIC. Another thread then calls net_stop, which returns at once and closes the
/// descriptors and the handles of the net.
///
/// Owner:   Nothing changes hands.
/// Threads: The thread that has called net_start for this net, but not inside a callback. Blocks.
/// Returns:
///   0                         There was something to do, and it is done. Or net_wake has been called, or a
///                             signal handler has run on this thread during the wait, or an op without a
///                             callback is done.
///   IOURINGNET_TIMEOUT        The time has passed, and there was nothing to do.
///   IOURINGNET_STOPPED        The net has ended, because another thread called net_stop. The net's handle is
///                             bad from now on, and its descriptor (net_fd) closes.
///   IOURINGNET_INVALID        This thread has not started the net, `dispatch` of its config is not
///                             IOURINGNET_BY_CALLER, or `timeout_ms` is below -1.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a callback of any net.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own. The
///                             call ran the callbacks that were due. Every later call returns the same at once.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_dispatch(net: *mut iouringnet_net, timeout_ms: i64) -> iouringnet_status {
    guard_blocking(|| {
        let timeout = limit(timeout_ms)?;
        handles::share(net)?.dispatch(timeout)
    })
}

/// Wakes up net_dispatch: the present or the next call returns 0.
///
/// It serves to tell the dispatching thread that a variable has changed. To bring work to that thread, use
/// net_call.
///
/// Owner:   Nothing changes hands.
/// Threads: Any thread, also inside a callback and in a signal handler. Never blocks.
/// Returns:
///   0                         The present or the next net_dispatch returns 0.
///   IOURINGNET_INVALID        `dispatch` of the net's config is not IOURINGNET_BY_CALLER.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_wake(net: *mut iouringnet_net) -> iouringnet_status {
    guard_signal(|| handles::with_net(net, |net| net.wake()))
}

/// Gets a descriptor by which another loop learns that net_dispatch has something to do: one over epoll or poll(2), or
/// that of a library such as libuv or GLib.
///
/// `fd`  Set to the descriptor on success.
///
/// The descriptor is readable whenever net_dispatch with timeout 0 has something to do. This includes timers, a
/// stop by another thread and the death of a loop. It stays readable until net_dispatch has done it. Poll it for
/// input (POLLIN, EPOLLIN), level-triggered, and call net_dispatch with timeout 0 when it is readable. Do
/// nothing else with it: never read it and never close it.
///
/// The call itself makes the descriptor readable once.
///
/// Owner:   The library owns the descriptor. It closes it when net_stop returns on the dispatching thread, or when
///          net_dispatch returns IOURINGNET_STOPPED. Until then it is the same one.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*fd` is the descriptor.
///   IOURINGNET_INVALID        `fd` is NULL, or `dispatch` of the net's config is not IOURINGNET_BY_CALLER.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn net_fd(net: *mut iouringnet_net, fd: *mut c_int) -> iouringnet_status {
    guard(|| {
        required(fd)?;
        let descriptor = handles::share(net)?.descriptor()?;
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { fd.write(descriptor) };
        Ok(())
    })
}
