#![allow(unsafe_code)] // uname and getrlimit
//! Why io_uring cannot be used here: a status, and words that name the remedy.
//!
//! The start of a net and the probe ask here. The sizes of rings depend on the limit on locked memory. Invariant: an answer
//! is complete in `TEXT_MAX` bytes. Asking never fails: an answer leaves out what cannot be found out.

use crate::error::Error;
use std::ffi::CStr;
use std::fs;
use std::io;

/// The longest text. It fits the probe's field with its zero byte.
const TEXT_MAX: usize = 255;

/// The status of a start that failed.
pub fn status_of_start(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno @ (libc::EMFILE | libc::ENFILE | libc::EAGAIN)) => Error::from_errno(errno),
        Some(libc::ENOMEM) if locked_memory_limit().is_some() => Error::LOCKED_MEMORY,
        Some(libc::ENOMEM) => Error::from_errno(libc::ENOMEM),
        Some(_) => Error::UNAVAILABLE,
        None => Error::INVALID, // a CPU that is not there
    }
}

/// Cause and remedy of a start that failed with `errno`.
pub fn explain(errno: i32) -> String {
    let text = match errno {
        libc::EPERM | libc::EACCES => refused(errno, sysctl_disabled().as_deref(), seccomp_filtered()),
        libc::ENOSYS => unknown_call(&kernel_release(), seccomp_filtered()),
        libc::ENOMEM => no_memory(soft_limit(libc::RLIMIT_MEMLOCK)),
        libc::EMFILE => no_descriptor(soft_limit(libc::RLIMIT_NOFILE)),
        libc::ENFILE => {
            "the whole system has no file descriptor left (ENFILE): raise sysctl fs.file-max".to_owned()
        }
        libc::EAGAIN => no_thread(soft_limit(libc::RLIMIT_NPROC)),
        libc::EINVAL => invalid(&kernel_release(), seccomp_filtered()),
        other => {
            let text = Error::text(-other).to_string_lossy();
            format!("io_uring cannot be used here: {text} (errno {other})")
        }
    };
    cut(text)
}

/// The running kernel's release, such as `6.18.0`: at most 64 bytes.
pub fn kernel_release() -> String {
    // SAFETY: all zeroes is a value of this struct of byte arrays.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes only to the struct that it gets, which is alive for the call.
    if unsafe { libc::uname(&raw mut names) } != 0 {
        return "unknown".to_owned();
    }
    // SAFETY: the kernel ends every field in zero, and `names` outlives the reference.
    unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy().into_owned()
}

fn refused(errno: i32, disabled: Option<&str>, filtered: bool) -> String {
    let name = Error::name(-errno).to_string_lossy();
    match disabled {
        Some("2") => {
            "io_uring is switched off for every process (sysctl kernel.io_uring_disabled is 2): as root, run \
             sysctl -w kernel.io_uring_disabled=0"
        }
        Some("1") if filtered => {
            "io_uring is kept to privileged processes (sysctl kernel.io_uring_disabled is 1) and a seccomp filter is \
             active: set the sysctl to 0, and allow io_uring_setup, io_uring_enter and io_uring_register in the filter"
        }
        Some("1") => {
            "io_uring is kept to privileged processes (sysctl kernel.io_uring_disabled is 1): set it to 0, or run with \
             the group that sysctl kernel.io_uring_group names"
        }
        _ if filtered => {
            return format!(
                "a seccomp filter refuses io_uring ({name}), as the default profiles of containers do: use a \
                 profile that allows io_uring_setup, io_uring_enter and io_uring_register \
                 (docker: --security-opt seccomp=FILE)"
            );
        }
        _ => {
            return format!(
                "io_uring was refused ({name}) though sysctl and seccomp allow it: look for a security module's \
                 rule (SELinux, AppArmor) against io_uring"
            );
        }
    }
    .to_owned()
}

fn unknown_call(kernel: &str, filtered: bool) -> String {
    if filtered {
        return format!(
            "io_uring is not known here (ENOSYS, kernel {kernel}): the active seccomp filter or a sandbox hides \
             it, or the kernel has no CONFIG_IO_URING; allow it in the filter"
        );
    }
    format!(
        "the kernel ({kernel}) has no io_uring (ENOSYS): it is older than 5.1, built without CONFIG_IO_URING, or a \
         sandbox such as gVisor stands in for it; run on a Linux kernel that has it"
    )
}

fn no_memory(limit: Option<u64>) -> String {
    let Some(bytes) = limit else {
        return "no memory for the rings (ENOMEM), though locked memory is not limited: the system, the process or its \
                cgroup is short of memory"
            .to_owned();
    };
    format!(
        "no memory for the rings (ENOMEM): the limit on locked memory (RLIMIT_MEMLOCK), which all processes of a user \
         share, is {bytes} bytes; raise it with ulimit -l or LimitMEMLOCK=, or start fewer nets"
    )
}

fn no_descriptor(limit: Option<u64>) -> String {
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |count| count.to_string());
    format!(
        "no file descriptor left for the rings (EMFILE): the limit (RLIMIT_NOFILE) is {limit}; raise it with ulimit -n \
         or LimitNOFILE=, or close some"
    )
}

fn no_thread(limit: Option<u64>) -> String {
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |count| count.to_string());
    format!(
        "no thread can be started (EAGAIN): the limit on a user's threads (RLIMIT_NPROC) is {limit}; raise it with ulimit -u \
         or LimitNPROC=, or raise the cgroup's pids.max or TasksMax="
    )
}

fn invalid(kernel: &str, filtered: bool) -> String {
    if is_old(kernel) {
        return format!(
            "the kernel ({kernel}) refuses the rings that this library asks for (EINVAL): it is too old; run on Linux \
             5.15 or later"
        );
    }
    let who = if filtered { "the active seccomp filter" } else { "a sandbox" };
    format!(
        "io_uring was refused (EINVAL) though the kernel ({kernel}) is recent enough: {who} may answer in its place; allow \
         io_uring_setup, io_uring_enter and io_uring_register there"
    )
}

/// Whether a release such as `5.10.0` is before 5.15. False if the text is no release.
fn is_old(kernel: &str) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 15),
        _ => false,
    }
}

/// `kernel.io_uring_disabled`; missing before Linux 6.6.
fn sysctl_disabled() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(text.trim().to_owned())
}

fn seccomp_filtered() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| says_filtered(&status))
}

/// Mode 2 is a filter. Mode 1 is the strict mode, which allows nothing that the library does.
fn says_filtered(status: &str) -> bool {
    status.lines().filter_map(|line| line.strip_prefix("Seccomp:")).any(|mode| mode.trim() == "2")
}

/// The bytes that one user may lock; `None` for no limit.
pub fn locked_memory_limit() -> Option<u64> {
    soft_limit(libc::RLIMIT_MEMLOCK)
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// `None` if there is no limit, or it cannot be read. It does not read /proc, which needs a descriptor.
fn soft_limit(resource: Resource) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call writes only to the struct that it gets, which is alive for the call.
    let _ = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Cuts at [`TEXT_MAX`], never inside a character. Only a strange kernel release makes a text so long.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
        assert!(text.len() <= TEXT_MAX, "{} bytes: {text:?}", text.len());
    }

    #[test]
    fn a_refusal_names_who_refuses_and_the_way_out() {
        check(
            &refused(libc::EPERM, Some("2"), true),
            &["kernel.io_uring_disabled is 2", "io_uring_disabled=0"],
        );
        check(
            &refused(libc::EPERM, Some("1"), false),
            &["kernel.io_uring_disabled is 1", "kernel.io_uring_group"],
        );
        check(&refused(libc::EPERM, Some("1"), true), &["kernel.io_uring_disabled is 1", "seccomp"]);
        check(
            &refused(libc::EPERM, Some("0"), true),
            &["seccomp filter", "(EPERM)", "io_uring_register", "docker"],
        );
        check(&refused(libc::EACCES, None, true), &["seccomp filter", "(EACCES)"]);
        check(&refused(libc::EPERM, None, false), &["security module", "SELinux"]);
    }

    #[test]
    fn a_shortage_names_the_limit_and_its_value() {
        check(&no_memory(Some(65536)), &["RLIMIT_MEMLOCK", "65536 bytes", "ulimit -l"]);
        check(&no_memory(Some(u64::MAX - 1)), &["18446744073709551614"]);
        check(&no_memory(None), &["not limited", "cgroup"]);
        check(&no_thread(Some(100)), &["RLIMIT_NPROC", "100", "ulimit -u"]);
        check(&no_descriptor(Some(1024)), &["RLIMIT_NOFILE", "1024", "ulimit -n"]);
        let bytes = soft_limit(libc::RLIMIT_NOFILE).expect("Linux always limits descriptors");
        check(&explain(libc::EMFILE), &[&bytes.to_string()]);
        if let Some(threads) = soft_limit(libc::RLIMIT_NPROC) {
            check(&explain(libc::EAGAIN), &[&threads.to_string()]);
        }
    }

    #[test]
    fn a_missing_io_uring_names_the_kernel() {
        let longest = "9".repeat(64);
        check(&unknown_call(&longest, false), &["5.1", "CONFIG_IO_URING", "gVisor"]);
        check(&unknown_call("6.1.0", true), &["6.1.0", "seccomp"]);
        check(&invalid("5.10.0-34-amd64", true), &["5.10.0-34-amd64", "too old", "5.15"]);
        check(&invalid("6.18.0", true), &["6.18.0", "seccomp", "recent enough"]);
        check(&invalid("6.18.0", false), &["sandbox"]);
        check(&invalid(&longest, true), &["EINVAL"]);
        assert!(is_old("4.19.0") && is_old("5.14.21-x") && is_old("5.1"));
        assert!(
            !is_old("5.15.0") && !is_old("6.1.0") && !is_old("10.0") && !is_old("strange") && !is_old("")
        );
        check(&explain(libc::ENOSYS), &[&kernel_release()]);
        check(&explain(libc::EINVAL), &[&kernel_release()]);
    }

    #[test]
    fn every_errno_is_explained_in_the_space_there_is() {
        for errno in 1..200 {
            check(&explain(errno), &[]);
            assert!(explain(errno).len() > 30);
        }
        check(&explain(libc::EIO), &["errno 5"]);
        check(&explain(libc::ENFILE), &["fs.file-max"]);
    }

    #[test]
    fn the_kernels_release_begins_with_its_number() {
        assert!(kernel_release().starts_with(|first: char| first.is_ascii_digit()));
        assert!(kernel_release().len() <= 64);
    }

    #[test]
    fn only_mode_two_is_a_filter() {
        assert!(says_filtered("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!says_filtered("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t2\n"));
        assert!(!says_filtered(""));
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        let text = cut("\u{fc}".repeat(200));
        assert_eq!(text.len(), 254);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
