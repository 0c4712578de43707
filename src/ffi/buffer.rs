#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! Buffers: bytes that many sinks send without a copy for each.

use super::arguments::User;
use super::types::*;
use super::{guard, guard_transfer, guard_void, handles, memory, required, slice};
use crate::error::{Error, Result};
use crate::shared_bytes::SharedBytes;
use std::ffi::c_void;

/// Makes a buffer of a copy of some bytes.
///
/// `data`    The bytes. NULL is allowed if `size` is 0.
/// `size`    Number of bytes.
/// `buffer`  Set to the new buffer.
///
/// A buffer belongs to no net. It may be made before the first net_start, and it outlives nets.
///
/// Owner:   The caller owns `data` again when the call returns. The caller releases the buffer with
///          iouringnet_buffer_release. On failure `*buffer` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*buffer` is a new buffer.
///   -ENOMEM                   There is no memory for the copy.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or `buffer` is NULL.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_buffer_make(
    data: *const c_void,
    size: usize,
    buffer: *mut *mut iouringnet_buffer,
) -> iouringnet_status {
    guard(|| {
        memory(data, size)?;
        required(buffer)?;
        // SAFETY: checked above; the caller keeps the bytes as they are until this call returns.
        let bytes = SharedBytes::copy(unsafe { slice(data, size) })?;
        // SAFETY: `buffer` is not NULL, and so the caller promises that it can be written.
        unsafe { publish(bytes, buffer) }
    })
}

/// Makes a buffer of memory that the caller has, without a copy.
///
/// `data`    The bytes. NULL is allowed if `size` is 0.
/// `size`    Number of bytes.
/// `free`    Frees the memory; see iouringnet_free_callback. Memory that needs no end has a function that does
///           nothing. The library calls it exactly once if the call returns 0, and never otherwise.
/// `user`    Passed to `free`. The library never follows it.
/// `buffer`  Set to the new buffer.
///
/// The memory may come from malloc, from mmap, or from anywhere else. A buffer belongs to no net. It may be
/// made before the first net_start, and it outlives nets.
///
/// Owner:   The library owns the memory from a call that returns 0 until `free` begins. Nobody changes it
///          meanwhile. The caller releases the buffer with iouringnet_buffer_release. On failure the caller
///          owns the memory, and `*buffer` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*buffer` is a new buffer.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        `data` is NULL with a size, `size` is above PTRDIFF_MAX, or `free` or `buffer`
///                             is NULL.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_buffer_adopt(
    data: *mut c_void,
    size: usize,
    free: iouringnet_free_callback,
    user: *mut c_void,
    buffer: *mut *mut iouringnet_buffer,
) -> iouringnet_status {
    guard(|| {
        memory(data, size)?;
        required(buffer)?;
        let free = free.ok_or(Error::INVALID)?;
        let (start, user) = (User(data), User(user));
        // SAFETY: the caller promises that any thread may call the function with its pointer, once nobody uses the memory.
        let destructor = Box::new(move || unsafe { free(user.pointer(), start.pointer(), size) });
        // SAFETY: checked above; the caller keeps the bytes as they are until the destructor runs.
        let bytes = unsafe { SharedBytes::adopt(data.cast(), size, destructor) };
        // SAFETY: `buffer` is not NULL, and so the caller promises that it can be written.
        unsafe { publish(bytes, buffer) }
    })
}

/// Makes a buffer of a part of another buffer, without a copy.
///
/// `offset`  Where the part begins, in bytes from the start of `buffer`.
/// `size`    Number of bytes of the part. 0 is allowed.
/// `slice`   Set to the new buffer.
///
/// The slice and `buffer` share the memory. Each may be released first.
///
/// Owner:   The caller releases the slice with iouringnet_buffer_release. On failure `*slice` is unchanged.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*slice` is a new buffer.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        The part is not within `buffer`, or `slice` is NULL.
///   IOURINGNET_BAD_HANDLE     `buffer` is not an unreleased buffer.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_buffer_slice(
    buffer: *mut iouringnet_buffer,
    offset: usize,
    size: usize,
    slice: *mut *mut iouringnet_buffer,
) -> iouringnet_status {
    guard(|| {
        required(slice)?;
        let bytes = handles::share(buffer)?.slice(offset, size)?;
        // SAFETY: `slice` is not NULL, and so the caller promises that it can be written.
        unsafe { publish(bytes, slice) }
    })
}

/// Releases a buffer. The handle is invalid at once.
///
/// What was posted of the buffer still goes out: sinks hold the memory by themselves. The memory of
/// iouringnet_buffer_adopt is freed when the buffer, its slices and all sinks have given it up, possibly in this
/// call. NULL and released handles do nothing.
///
/// Owner:   The caller releases each buffer that it has received once, also after net_stop.
/// Threads: Any thread, also inside a callback. Never blocks, unless `free` of iouringnet_buffer_adopt does. In
///          a forked child and inside a log callback it does nothing.
/// Returns: Nothing.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_buffer_release(buffer: *mut iouringnet_buffer) {
    guard_void(|| drop(handles::retire(buffer)));
}

/// Sends a head and the bytes of a buffer as one, without waiting. The library does not copy the buffer.
///
/// `head`       Bytes that go before the buffer, such as the header of a message. The library copies those that
///              the kernel does not take at once. NULL is allowed if `head_size` is 0.
/// `head_size`  Number of bytes of `head`. 0: no head.
/// `buffer`     The bytes that follow.
///
/// One buffer may be posted to any number of sinks, of any nets, and all of them share its one memory. If the
/// kernel does not take all bytes at once, the sink holds the memory until the kernel has the last of them.
/// Exception: the library copies a buffer of at most 1 KiB.
///
/// The sink accepts head and buffer as a whole or not at all. Posts and sends of one sink share one order: the
/// order of the calls. Each sink counts unsent bytes of the buffer against its `post_mark`, and a post that waits
/// counts at least 256 bytes. If a post fails after the call, the connection's watch and every later call that sends
/// get the error. A post on a broken sink gets the first cause. The idle limit of the connection bounds posts; see
/// connection_set_idle_timeout.
///
/// Owner:   The caller owns `head` again when the call returns, and still releases `buffer`, possibly at once.
///          On failure the sink does not hold the buffer. net_stop returns after all sinks of its net have given
///          their buffers up.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The library has accepted the bytes. They go out even if the sink is closed
///                             next.
///   IOURINGNET_FULL           The posts of the sink have reached `post_mark`. Nothing was taken. The sink's
///                             watch reports when there is room.
///   -ENOMEM                   There is no memory to copy a head of more than 16 KiB. Nothing was taken.
///                             Exception: if part of the post had gone out, the sink is broken by this error.
///   IOURINGNET_TORN           An earlier send was cut after part of it went out.
///   IOURINGNET_TIMEOUT        Earlier posts were unsent when the idle limit passed, which broke the
///                             sink.
///   -ECONNRESET               The peer has reset the connection.
///   another errno             The kernel refused this or an earlier send, which broke the sink.
///   IOURINGNET_CLOSED         Another thread has just closed or aborted the sink.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_INVALID        `head` is NULL with a size, `head_size` is above PTRDIFF_MAX, or the sum of both
///                             sizes is.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, its net has stopped, or `buffer` is not an unreleased
///                             buffer.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_post_buffer(
    sink: *mut iouringnet_sink,
    head: *const c_void,
    head_size: usize,
    buffer: *mut iouringnet_buffer,
) -> iouringnet_status {
    guard_transfer(|| {
        memory(head, head_size)?;
        let sink = handles::share(sink)?;
        let bytes = handles::share(buffer)?;
        // SAFETY: checked above; the caller keeps the head as it is until this call returns.
        sink.post_shared(unsafe { slice(head, head_size) }, &bytes)
    })
}

/// # Safety
/// `buffer` can be written.
unsafe fn publish(bytes: SharedBytes, buffer: *mut *mut iouringnet_buffer) -> Result {
    let handle = handles::publish_buffer(bytes)?;
    // SAFETY: as the caller promises.
    unsafe { buffer.write(handle) };
    Ok(())
}
