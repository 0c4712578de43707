#![allow(unsafe_code)] // the C library's table of errno names and texts
//! The one list of errors: the code, name and text of each, and the place of errnos among them.
//!
//! Every call that can fail returns [`Error`]. The C boundary passes its code on unchanged. Invariant: a code is negative.
//! From -1 to -4095 it is an errno of the kernel, and below -10000 an error of this list. Zero means success and is never an
//! error.

use std::ffi::CStr;
use std::fmt;
use std::num::NonZeroI32;

/// Why something failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error(NonZeroI32); // not zero: an Option of it, which handles have many of, is no larger

/// The result of a call that can fail.
pub type Result<T = ()> = core::result::Result<T, Error>;

/// A result as C sees it: 0, or the code of its error.
pub fn status(result: Result) -> i32 {
    result.err().map_or(0, Error::code)
}

/// The largest errno that the kernel may return (its MAX_ERRNO).
const MAX_ERRNO: i32 = 4095;

/// Makes constants, nearest errnos, names and texts from one list. Therefore they cannot differ.
macro_rules! errors {
    ($($constant:ident = $code:literal, $errno:ident, $name:literal, $text:literal;)*) => {
        impl Error {
            $(
                #[doc = concat!("`", $name, "`: ", $text, ".")]
                pub const $constant: Error = Error::of($code);
            )*
        }

        /// The errno that is nearest to the status `code`. `None`: it is no status of the list.
        fn nearest_errno(code: i32) -> Option<i32> {
            match code {
                $($code => Some(libc::$errno),)*
                _ => None,
            }
        }

        const ALL: &[(Error, &CStr, &CStr)] = &[$((
            Error::$constant,
            c_str(concat!($name, "\0")),
            c_str(concat!($text, "\0")),
        )),*];
    };
}

errors! {
    EOF = -10001, ENODATA, "IOURINGNET_EOF", "the peer ended the stream";
    TIMEOUT = -10002, ETIMEDOUT, "IOURINGNET_TIMEOUT", "the operation did not finish before its deadline";
    CANCELLED = -10003, ECANCELED, "IOURINGNET_CANCELLED", "the operation was cancelled";
    CLOSED = -10004, ECONNABORTED, "IOURINGNET_CLOSED", "the operation was ended by a close on this side";
    STOPPED = -10005, ESHUTDOWN, "IOURINGNET_STOPPED", "the net has been stopped";
    BAD_HANDLE = -10006, EBADF, "IOURINGNET_BAD_HANDLE", "the handle is closed, of another kind, or was never one";
    INVALID = -10007, EINVAL, "IOURINGNET_INVALID", "an argument is not valid";
    FULL = -10008, EAGAIN, "IOURINGNET_FULL", "the sink has as many unsent bytes as its mark allows; nothing was taken";
    LIMIT = -10009, ENOBUFS, "IOURINGNET_LIMIT", "a bound of the whole net is reached; nothing was taken";
    BUSY = -10010, EBUSY, "IOURINGNET_BUSY", "something that excludes this call is still going on";
    PENDING = -10011, EINPROGRESS, "IOURINGNET_PENDING", "the operation has not finished yet";
    TORN = -10012, EPIPE, "IOURINGNET_TORN", "an earlier send ended when only a part of it was out, so that the sink cannot go on";
    TOO_BIG = -10013, EMSGSIZE, "IOURINGNET_TOO_BIG", "more bytes than a buffer may hold";
    IN_CALLBACK = -10014, EDEADLK, "IOURINGNET_IN_CALLBACK", "a call that may block is not allowed inside a callback";
    NAME = -10015, ENOENT, "IOURINGNET_NAME", "the host name is not known";
    NAME_AGAIN = -10016, EAGAIN, "IOURINGNET_NAME_AGAIN", "the host name could not be looked up at the moment; a later try may succeed";
    FORKED = -10017, EPERM, "IOURINGNET_FORKED", "the library was started before this process was forked and cannot be used in the child";
    UNAVAILABLE = -10018, ENOSYS, "IOURINGNET_UNAVAILABLE", "io_uring is demanded and cannot be used here; the program iouringnet-probe says why";
    PANIC = -10019, ENOTRECOVERABLE, "IOURINGNET_PANIC", "the library met a fault of its own and gave up this call";
    LOCKED_MEMORY = -10020, ENOMEM, "IOURINGNET_LOCKED_MEMORY", "there is too little memory that may be locked (RLIMIT_MEMLOCK); the program iouringnet-probe says more";
    ADDRESS = -10021, EDESTADDRREQ, "IOURINGNET_ADDRESS", "the address is not HOST:PORT";
}

const fn c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a text of the list holds a zero byte"),
    }
}

impl Error {
    /// The error for a positive errno. EPIPE becomes ECONNRESET: both mean that the peer is gone, and timing decides which
    /// of them a send gets. A number that is no errno becomes EIO.
    pub const fn from_errno(errno: i32) -> Error {
        match errno {
            libc::EPIPE => Error::of(-libc::ECONNRESET),
            1..=MAX_ERRNO => Error::of(-errno),
            _ => Error::of(-libc::EIO),
        }
    }

    const fn of(code: i32) -> Error {
        match NonZeroI32::new(code) {
            Some(code) => Error(code),
            None => panic!("zero is no error"),
        }
    }

    /// The error that the last system call of this thread left in errno.
    pub fn last_os() -> Error {
        Error::from_errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// The number for C. It is negative.
    pub const fn code(self) -> i32 {
        self.0.get()
    }

    /// The same as an error of the system. A status of the library has no errno, and becomes EINVAL.
    pub fn to_io(self) -> std::io::Error {
        std::io::Error::from_raw_os_error(self.errno().unwrap_or(libc::EINVAL))
    }

    /// The positive errno, if the error is one.
    pub const fn errno(self) -> Option<i32> {
        if self.code() >= -MAX_ERRNO { Some(-self.code()) } else { None }
    }

    /// The positive errno that is nearest to a code. 0: success. EINVAL: the code is no status.
    pub fn nearest(code: i32) -> i32 {
        match code {
            0 => 0,
            _ => nearest_errno(code).or(errno_of(code)).unwrap_or(libc::EINVAL),
        }
    }

    /// The name of a code: of the constant or of the errno. An unknown code has a fixed name.
    pub fn name(code: i32) -> &'static CStr {
        match listed(code) {
            Some((_, name, _)) => name,
            None if code == 0 => c"IOURINGNET_OK",
            None => errno_name(code).unwrap_or(c"UNKNOWN"),
        }
    }

    /// What a code means, in words. The text is never translated, and the call never fails.
    pub fn text(code: i32) -> &'static CStr {
        match listed(code) {
            Some((_, _, text)) => text,
            None if code == 0 => c"success",
            None => errno_text(code).unwrap_or(c"unknown status"),
        }
    }

    /// All errors of this library with name and text, without the errnos.
    pub fn all() -> &'static [(Error, &'static CStr, &'static CStr)] {
        ALL
    }
}

fn listed(code: i32) -> Option<&'static (Error, &'static CStr, &'static CStr)> {
    ALL.iter().find(|(error, _, _)| error.code() == code)
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Error::name(self.code()).to_str() {
            Ok("UNKNOWN") | Err(_) => write!(f, "UNKNOWN({})", self.code()),
            Ok(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Error::text(self.code()).to_string_lossy())
    }
}

impl std::error::Error for Error {}

/// The positive errno in `code`. `None` for a code that cannot be one, `i32::MIN` included.
fn errno_of(code: i32) -> Option<i32> {
    (-MAX_ERRNO..0).contains(&code).then(|| -code)
}

#[cfg(target_env = "gnu")]
fn errno_name(code: i32) -> Option<&'static CStr> {
    unsafe extern "C" {
        fn strerrorname_np(errno: libc::c_int) -> *const libc::c_char;
    }
    // SAFETY: takes any number and touches nothing but its own constant table.
    let name = unsafe { strerrorname_np(errno_of(code)?) };
    // SAFETY: glibc returns NULL or one of its constant strings, which end in zero and live as long as the
    // process.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}

#[cfg(target_env = "gnu")]
fn errno_text(code: i32) -> Option<&'static CStr> {
    unsafe extern "C" {
        fn strerrordesc_np(errno: libc::c_int) -> *const libc::c_char;
    }
    // SAFETY: takes any number and touches nothing but its own constant table.
    let text = unsafe { strerrordesc_np(errno_of(code)?) };
    // SAFETY: glibc returns NULL or one of its constant strings, which end in zero and live as long as the
    // process.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// Other C libraries have no call that returns names or constant texts. Their users have the number.
#[cfg(not(target_env = "gnu"))]
fn errno_name(code: i32) -> Option<&'static CStr> {
    errno_of(code).map(|_| c"ERRNO")
}

#[cfg(not(target_env = "gnu"))]
fn errno_text(code: i32) -> Option<&'static CStr> {
    errno_of(code).map(|_| c"the system call failed with this negative errno")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, name: &str, text: &str) {
        assert_eq!(Error::name(code).to_str().unwrap(), name);
        assert_eq!(Error::text(code).to_str().unwrap(), text);
    }

    #[test]
    fn names_and_texts_of_every_range() {
        check(0, "IOURINGNET_OK", "success");
        check(-10002, "IOURINGNET_TIMEOUT", "the operation did not finish before its deadline");
        check(-10019, "IOURINGNET_PANIC", "the library met a fault of its own and gave up this call");
        for unknown in [1, i32::MAX, i32::MIN, -4095, -4096, -10000, -10022] {
            check(unknown, "UNKNOWN", "unknown status");
        }
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn errnos_have_the_systems_names_and_texts() {
        check(-libc::ECONNREFUSED, "ECONNREFUSED", "Connection refused");
        check(-libc::EMFILE, "EMFILE", "Too many open files");
    }

    #[test]
    fn the_list_is_in_order_without_gaps_and_consistent() {
        for (at, (error, name, text)) in Error::all().iter().enumerate() {
            assert_eq!(error.code(), -10001 - at as i32);
            assert_eq!(Error::name(error.code()), *name);
            assert_eq!(Error::text(error.code()), *text);
            assert_eq!(error.errno(), None);
            assert!(name.to_str().unwrap().starts_with("IOURINGNET_"));
            assert!(text.to_bytes().len() > 10);
        }
        assert_eq!(Error::all().len(), 21);
    }

    #[test]
    fn every_code_has_a_nearest_errno() {
        assert_eq!(Error::nearest(0), 0);
        assert_eq!(Error::nearest(-libc::ECONNREFUSED), libc::ECONNREFUSED);
        assert_eq!(Error::nearest(Error::TIMEOUT.code()), libc::ETIMEDOUT);
        for (error, _, _) in Error::all() {
            assert!((1..MAX_ERRNO).contains(&Error::nearest(error.code())));
        }
        for unknown in [1, i32::MAX, i32::MIN, -4096, -10000, -10100] {
            assert_eq!(Error::nearest(unknown), libc::EINVAL);
        }
    }

    #[test]
    fn errnos_go_through_unchanged_but_for_epipe() {
        for errno in 1..=MAX_ERRNO {
            let expected = if errno == libc::EPIPE { libc::ECONNRESET } else { errno };
            assert_eq!(Error::from_errno(errno).errno(), Some(expected));
            assert_eq!(Error::from_errno(errno).code(), -expected);
        }
        for junk in [0, -1, MAX_ERRNO + 1, i32::MIN, i32::MAX] {
            assert_eq!(Error::from_errno(junk).code(), -libc::EIO);
        }
    }

    #[test]
    fn an_error_prints_its_name_for_programmers_and_its_text_for_people() {
        assert_eq!(format!("{:?}", Error::EOF), "IOURINGNET_EOF");
        assert_eq!(Error::EOF.to_string(), "the peer ended the stream");
        assert_eq!(format!("{:?}", Error::from_errno(4000)), "UNKNOWN(-4000)");
    }

    #[test]
    fn the_last_system_calls_errno_is_picked_up() {
        // SAFETY: -1 is never an open descriptor, so the call closes nothing.
        let result = unsafe { libc::close(-1) };
        assert_eq!((result, Error::last_os()), (-1, Error::from_errno(libc::EBADF)));
    }
}
