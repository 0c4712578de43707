#![allow(unsafe_code)] // the C boundary; see `mod.rs`
//! What belongs to the library as a whole: version, texts, the probe. The only functions that work in a forked child.

use super::guard_anywhere;
use super::types::{iouringnet_probe_result, iouringnet_status};
use super::versioned::{Output, characters};
use crate::error::Error;
use crate::probe;
use std::ffi::{c_char, c_void};

/// One number of the package's version, which Cargo gives as text.
const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a number of the version is none"),
    }
}

const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// The version of the library that runs, as IOURINGNET_VERSION is the one compiled against.
///
/// Threads: Any thread, callbacks too; never blocks; works in a forked child.
/// Returns: major << 16 | minor << 8 | patch.
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_version() -> u32 {
    VERSION
}

/// What a status means, in words for people: "the peer ended the stream".
///
/// Branch on the status, not on the text.
///
/// Threads: Any thread, callbacks too; never blocks; works in a forked child.
/// Returns: a constant text, for every number: it is never NULL, never freed and never translated.
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_strerror(status: iouringnet_status) -> *const c_char {
    Error::text(status).as_ptr()
}

/// The name of a status as the source has it: "IOURINGNET_EOF", "ECONNREFUSED".
///
/// Returns: a constant text, under the rules of `iouringnet_strerror`; "UNKNOWN" for numbers that are no
///          status.
/// Since:   0.1
#[unsafe(no_mangle)]
pub extern "C" fn iouringnet_errname(status: iouringnet_status) -> *const c_char {
    Error::name(status).as_ptr()
}

/// Finds out whether a net can be started here, and if not, why and what to do: a sysctl, a seccomp filter, a
/// kernel that is too old, a limit on locked memory, descriptors or threads.
///
/// `result`  prepared with `iouringnet_probe_result_init`; filled in whenever 0 is returned, whatever was
///           found.
///
/// Makes the two rings and the two threads of a net for a moment, and waits for locked memory as net_start does.
///
/// Threads: Any thread, callbacks too; works in a forked child.
/// Returns: 0 once it has looked: what it found is `result->status`. IOURINGNET_INVALID: `result` is NULL or
///          its size wrong.
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

/// Zeroes a struct and stores its size. Meant for the macros above, which pass the size that the program was
/// compiled with.
///
/// `memory`  the struct; NULL does nothing.
/// `size`    its bytes; less than a size_t does nothing.
///
/// Threads: Any thread, callbacks too; never blocks; works in a forked child.
/// Since:   0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iouringnet_struct_init(memory: *mut c_void, size: usize) {
    if memory.is_null() || size < size_of::<usize>() {
        return;
    }
    // SAFETY: the caller promises so many writable bytes.
    unsafe { memory.cast::<u8>().write_bytes(0, size) };
    // SAFETY: as above, and at least a size fits; structs that begin with one are aligned for it.
    unsafe { memory.cast::<usize>().write(size) };
}
