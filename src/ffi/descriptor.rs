#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! Descriptors: sockets that the program has already, and the descriptors behind handles.

use super::options::{adopt_options, iouringnet_bind_options};
use super::types::*;
use super::{guard, handles, required};
use crate::error::Result;
use crate::open;
use crate::threads;
use std::ffi::c_int;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;

/// Makes a listener of a socket that already listens. The socket comes from socket activation, from another
/// process or from the program itself.
///
/// `fd`        A TCP socket that listens, over IPv4 or IPv6.
/// `options`   Prepared with `iouringnet_bind_options_init`. NULL: all defaults. `backlog`, `reuse_port` and
///             `ipv6_only` must be 0.
/// `listener`  Set to the new listener on success.
///
/// Other processes may hold the socket and accept from it too. Therefore listener_close and net_stop close
/// the library's descriptor and do not shut the socket down: connections that wait in the kernel stay there
/// for the others. If nobody else holds the socket, the kernel resets them.
///
/// The library sets O_NONBLOCK, SO_OOBINLINE, `nodelay`, `keepalive_ms` and both buffers on the socket. All
/// processes that hold the socket share these settings.
///
/// Owner:   On success the descriptor is the library's, which may give it another number and closes it at an
///          exec. On failure it is still the caller's, and the socket is unchanged. The caller owns `*options`,
///          and closes the listener.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The listener is open.
///   -EBADF, -ENOTSOCK         `fd` is not a descriptor, or not a socket.
///   -EMFILE, -ENFILE          There are too few descriptors.
///   another errno             The kernel refused a socket option. Other options may be set already.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        `fd` is not a TCP socket, or it does not listen. Or `listener` is NULL, an
///                             option is out of its range, or the options have a wrong size or a non-zero
///                             field that this version does not know.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_adopt(
    net: *mut iouringnet_net,
    fd: c_int,
    options: *const iouringnet_bind_options,
    listener: *mut *mut iouringnet_listener,
) -> iouringnet_status {
    guard(|| {
        required(listener)?;
        // SAFETY: the caller passes NULL or options that stay as they are during the call.
        let own = unsafe { adopt_options(options) }?;
        let net = handles::share(net)?;
        let adopted = open::adopt_listener(&net, fd)?;
        let handle = handles::publish(Arc::clone(&adopted), &net).inspect_err(|_| adopted.close())?;
        open::take_over_listener(&adopted, &own).inspect_err(|_| {
            drop(handles::retire(handle));
            adopted.close();
        })?;
        close(fd);
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { listener.write(handle) };
        Ok(())
    })
}

/// Makes the two halves of a connection of a socket that is already connected. The socket comes from another
/// process, for instance inetd, or from the program itself.
///
/// `fd`      A connected TCP socket, over IPv4 or IPv6.
/// `sink`    Set to the half that sends, on success.
/// `stream`  Set to the half that receives, on success.
///
/// The library sets O_NONBLOCK and SO_OOBINLINE, and leaves all other options as they are. The connection
/// ends as any other, also for other processes that hold the socket.
///
/// Owner:   On success the descriptor is the library's, which may give it another number and closes it at an
///          exec. The caller closes both halves. On failure the descriptor is still the caller's, and the
///          socket, `*sink` and `*stream` are unchanged. Exception: if net_stop overtakes the call, the socket
///          may not block any more, and the connection may have ended.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         The connection is open.
///   -EBADF, -ENOTSOCK         `fd` is not a descriptor, or not a socket.
///   -ENOTCONN                 The socket is not connected, or a reset has ended its connection.
///   -EMFILE, -ENFILE          There are too few descriptors.
///   another errno             The kernel refused a socket option. Other options may be set already.
///   IOURINGNET_STOPPED        net_stop has begun.
///   IOURINGNET_LIMIT          The process has too many handles.
///   IOURINGNET_INVALID        `fd` is not a TCP socket, or it listens. Or `sink` or `stream` is NULL.
///   IOURINGNET_BAD_HANDLE     `net` is not a net that was started, or it has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connection_adopt(
    net: *mut iouringnet_net,
    fd: c_int,
    sink: *mut *mut iouringnet_sink,
    stream: *mut *mut iouringnet_stream,
) -> iouringnet_status {
    guard(|| {
        required(sink)?;
        required(stream)?;
        let net = handles::share(net)?;
        let adopted = open::adopt_connection(&net, fd)?;
        let pair = handles::publish_halves(&adopted, &net)?;
        open::take_over_connection(&net, &adopted).inspect_err(|_| handles::retire_halves(pair))?;
        close(fd);
        // SAFETY: neither is NULL, and then the caller promises that they can be written.
        unsafe { (*sink, *stream) = pair };
        Ok(())
    })
}

/// Gets the descriptor of a connection, for getsockopt and setsockopt alone.
///
/// `fd`  Set to the descriptor on success.
///
/// The program must not close the descriptor, send, receive, or wait for it. O_NONBLOCK and SO_OOBINLINE stay
/// as they are.
///
/// Owner:   The library. The descriptor is valid until sink_close or net_stop.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*fd` is the descriptor.
///   IOURINGNET_INVALID        `fd` is NULL.
///   IOURINGNET_BAD_HANDLE     `sink` is not an open sink, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sink_fd(sink: *mut iouringnet_sink, fd: *mut c_int) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller promises that `fd` can be written, unless it is NULL.
        unsafe { tell(fd, || Ok(handles::share(sink)?.fd())) }
    })
}

/// Gets the descriptor of a listener, for getsockopt and setsockopt alone.
///
/// `fd`  Set to the descriptor on success.
///
/// The program must not close the descriptor, accept, or wait for it. O_NONBLOCK stays as it is. Connections
/// inherit options of their listener.
///
/// Owner:   The library. The descriptor is valid until listener_close or net_stop.
/// Threads: Any thread, also inside a callback. Never blocks.
/// Returns:
///   0                         `*fd` is the descriptor.
///   IOURINGNET_INVALID        `fd` is NULL.
///   IOURINGNET_BAD_HANDLE     `listener` is not an open listener, or its net has stopped.
///   IOURINGNET_IN_CALLBACK    Inside a log callback.
///   IOURINGNET_FORKED         In a child that was forked after the first net_start.
///   IOURINGNET_PANIC          A loop of the net has died, or the library met another fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listener_fd(
    listener: *mut iouringnet_listener,
    fd: *mut c_int,
) -> iouringnet_status {
    guard(|| {
        // SAFETY: the caller promises that `fd` can be written, unless it is NULL.
        unsafe { tell(fd, || Ok(handles::share(listener)?.fd())) }
    })
}

/// # Safety
/// - `fd` is NULL or can be written.
unsafe fn tell(fd: *mut c_int, find: impl FnOnce() -> Result<c_int>) -> Result {
    required(fd)?;
    let found = find()?;
    // SAFETY: not NULL, and then the caller promises that it can be written.
    unsafe { fd.write(found) };
    Ok(())
}

/// Closes the descriptor of an adopted socket. The library holds the socket by another one.
fn close(fd: c_int) {
    // SAFETY: the caller has given the descriptor up, and it is open: its socket was asked for options.
    threads::close(unsafe { OwnedFd::from_raw_fd(fd) });
}
