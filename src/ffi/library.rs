#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The library as a whole: version, texts, the probe. Only these functions work in a forked child.

use super::types::*;
use super::versioned::{Output, characters};
use super::{guard_anywhere, required, text};
use crate::address;
use crate::engine::EngineKind;
use crate::error::{Error, Result};
use crate::probe;
use std::ffi::{c_char, c_void};

/// One number of the package's version. Cargo has it as text.
const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a number of the version is none"),
    }
}

const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// Returns the version of the library that is running. IOURINGNET_VERSION is the version that the program was
/// compiled with.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns: major << 16 | minor << 8 | patch.
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_version() -> u32 {
    VERSION
}

/// Returns the text of a status, for people: "the peer ended the stream".
///
/// `status`  Any number.
///
/// Branch on the status, never on the text. The text is not translated.
///
/// Owner:   The library. The text is constant, and the caller does not free it.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns: The text, never NULL. A number that is no status has the text "unknown status".
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_strerror(status: iouringnet_status) -> *const c_char {
    Error::text(status).as_ptr()
}

/// Returns the name of a status, as it is in the source: "IOURINGNET_EOF", "ECONNREFUSED".
///
/// `status`  Any number.
///
/// Owner:   The library. The name is constant, and the caller does not free it.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns: The name, never NULL. A number that is no status has the name "UNKNOWN".
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_errname(status: iouringnet_status) -> *const c_char {
    Error::name(status).as_ptr()
}

/// Returns the errno that is nearest to a status, for a program that reports errors by errno.
///
/// `status`  Any number.
///
///   `status`                     the result
///   0                            0
///   -1 to -4095                  `-status`
///   a status of the library      the errno that the header names beside the status, such as ETIMEDOUT
///   any other number             EINVAL
///
/// Several statuses have the same errno. Branch on the status.
///
/// Owner:   Nothing changes its owner.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns: The errno, which is not negative.
/// Since:   0.2
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_errno(status: iouringnet_status) -> i32 {
    Error::nearest(status)
}

/// Finds out whether net_start can start a net with the default config here, and whether the net gets
/// io_uring. If it does not, the result has the cause and the remedy. The cause is a sysctl, a seccomp filter,
/// a kernel that is too old, or a limit on locked memory, descriptors or threads.
///
/// `result`  Prepared with `iouringnet_probe_result_init`. The library fills it in if it returns 0.
///
/// The probe starts two threads and then makes two rings, as net_start does. Nothing of them is left when it
/// returns. If the environment variable IOURINGNET_ENGINE is "epoll", the probe does not try io_uring.
///
/// Owner:   The caller owns `*result`.
/// Threads: Any thread, also inside a callback and in a forked child. Takes about a millisecond. It waits up
///          to 0.5 s for locked memory that other nets of the user hold or have just given back, or 2.5 s if
///          IOURINGNET_ENGINE is "io_uring".
/// Returns:
///   0                         The library has looked. `result->status` is what it has found.
///   IOURINGNET_INVALID        `result` is NULL, or its size is wrong.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_probe(result: *mut iouringnet_probe_result) -> iouringnet_status {
    guard_anywhere(|| {
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let output = unsafe { Output::new(result) }?;
        let probe = probe::probe();
        output.write(&iouringnet_probe_result {
            size: 0,
            status: super::status(probe.status),
            error: probe.error,
            features: probe.features,
            kernel: characters(&probe.kernel),
            text: characters(&probe.text),
            engine: engine_number(probe.engine),
        });
        Ok(())
    })
}

/// Makes an address of a host and a port: "127.0.0.1:7000" or "[::1]:7000". net_dial and net_bind take the
/// address as text.
///
/// `address`  Set to the address on success.
/// `host`     "127.0.0.1", "::1", "[::1]", "fe80::1%eth0" or a name.
/// `port`     0 to 65535.
///
/// An IPv6 address gets brackets unless it has them. The call does not look a name up.
///
/// Owner:   The caller owns `*address` and `host`; the library reads `host` only during the call. On failure
///          `*address` is unchanged.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns:
///   0                         `*address` has the address.
///   IOURINGNET_ADDRESS        `host` is neither an address nor a well-formed name, or `port` is out of its
///                             range.
///   -ENAMETOOLONG             `host` is a name that does not fit into an iouringnet_address.
///   -ENODEV                   There is no interface of the name after "%".
///   IOURINGNET_INVALID        `address` or `host` is NULL.
///   IOURINGNET_PANIC          The library met a fault of its own.
/// Since:   0.2
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_address_make(
    address: *mut iouringnet_address,
    host: *const c_char,
    port: i32,
) -> iouringnet_status {
    guard_anywhere(|| {
        required(address)?;
        // SAFETY: the caller passes NULL or a text that stays as it is during the call.
        let made = address_of(unsafe { text(host) }?, port)?;
        // SAFETY: not NULL, and then the caller promises that it can be written.
        unsafe { address.write(made) };
        Ok(())
    })
}

fn address_of(host: &str, port: i32) -> Result<iouringnet_address> {
    let port = u16::try_from(port).map_err(|_| Error::ADDRESS)?;
    let joined = address::join(host, port)?;
    let text = characters(&joined);
    if joined.len() < text.len() {
        Ok(iouringnet_address { text })
    } else {
        Err(Error::from_errno(libc::ENAMETOOLONG))
    }
}

/// The number of an engine in C. 0: there is none.
pub(super) fn engine_number(engine: Option<EngineKind>) -> u32 {
    match engine {
        None => 0,
        Some(EngineKind::IoUring) => IOURINGNET_ENGINE_IO_URING,
        Some(EngineKind::Epoll) => IOURINGNET_ENGINE_EPOLL,
    }
}

/// Zeroes a struct and stores its size. The iouringnet_..._init macros call it with the size that the
/// program was compiled with.
///
/// `memory`  The struct. NULL: the call does nothing.
/// `size`    Bytes of the struct. If it is less than sizeof(size_t), the call does nothing.
///
/// Owner:   The caller owns the struct.
/// Threads: Any thread, also inside a callback and in a forked child. Never blocks.
/// Returns: Nothing.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_struct_init(memory: *mut c_void, size: usize) {
    if memory.is_null() || size < size_of::<usize>() {
        return;
    }
    // SAFETY: the caller promises `size` writable bytes.
    unsafe { memory.cast::<u8>().write_bytes(0, size) };
    // SAFETY: a size fits into the `size` bytes. A struct that begins with a size is aligned for one.
    unsafe { memory.cast::<usize>().write(size) };
}
