#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! The library as a whole: version, texts, the probe. Only these functions work in a forked child.

use super::guard_anywhere;
use super::types::{iouringnet_probe_result, iouringnet_status};
use super::versioned::{Output, characters};
use crate::error::Error;
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

/// Finds out whether net_start can start a net with the default config here. If it cannot, the result has the
/// cause and the remedy. The cause is a sysctl, a seccomp filter, a kernel that is too old, or a limit on
/// locked memory, descriptors or threads.
///
/// `result`  Prepared with `iouringnet_probe_result_init`. The library fills it in if it returns 0.
///
/// The probe starts two threads and then makes two rings, as net_start does. Nothing of them is left when it
/// returns.
///
/// Owner:   The caller owns `*result`.
/// Threads: Any thread, also inside a callback and in a forked child. Takes about a millisecond. It waits up
///          to 2.5 s for locked memory that other nets of the user hold or have just given back.
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
        });
        Ok(())
    })
}

/// Zeroes a struct and stores its size. The iouringnet_..._init macros above call it with the size that the
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
