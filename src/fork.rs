#![allow(unsafe_code)] // the page that a fork wipes
//! Whether this process is a forked copy of the process that started the library.
//!
//! A child has the parent's handles and locks but none of its threads, so every call in a child must fail before it takes a
//! lock. The mark is a byte that the kernel sets to zero in a child (MADV_WIPEONFORK). Invariant: a published page holds a
//! one in the process that armed it, and a zero in every child. The page is never unmapped.

use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, Ordering};

static MARK: Mark = Mark::new();

/// Remembers that the library runs in this process. Every start calls it, and the first call counts.
pub fn arm() {
    MARK.arm(wiped_page);
}

/// Whether the library was started before this process was forked. It takes no lock. False if the library was never started.
pub fn forked() -> bool {
    MARK.forked()
}

struct Mark {
    /// The page's first byte. Null before [`Mark::arm`], and if the system has no such page.
    page: AtomicPtr<AtomicU8>,
    /// The process that armed, used if there is no page. Zero if there is a page. The page is the better mark, because a
    /// child of a child could get the same number again.
    process: AtomicI32,
}

impl Mark {
    const fn new() -> Mark {
        Mark { page: AtomicPtr::new(ptr::null_mut()), process: AtomicI32::new(0) }
    }

    fn arm(&self, make_page: fn() -> Option<*mut AtomicU8>) {
        if !self.page.load(Ordering::Acquire).is_null() || self.process.load(Ordering::Relaxed) != 0 {
            return;
        }
        let Some(page) = make_page() else {
            let _ = self.process.compare_exchange(0, process_id(), Ordering::Relaxed, Ordering::Relaxed);
            return;
        };
        // Release pairs with the Acquire in `forked`: a thread that sees the page sees the one in it.
        if self.page.compare_exchange(ptr::null_mut(), page, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: the page is ours alone, because another thread's page was published in its place.
            unsafe { libc::munmap(page.cast(), page_size()) };
        }
    }

    fn forked(&self) -> bool {
        let page = self.page.load(Ordering::Acquire);
        if page.is_null() {
            let process = self.process.load(Ordering::Relaxed);
            return process != 0 && process != process_id();
        }
        // SAFETY: a published page is mapped, readable and never unmapped. Its first byte is only used as an atomic.
        unsafe { &*page }.load(Ordering::Relaxed) == 0
    }
}

/// A page that begins with a one here and with a zero in every child. `None` before Linux 4.14, or if there is no memory.
fn wiped_page() -> Option<*mut AtomicU8> {
    let size = page_size();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice changes no memory that exists.
    let page =
        unsafe { libc::mmap(ptr::null_mut(), size, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping just made, which no other code knows.
    if unsafe { libc::madvise(page, size, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: the same mapping, which nothing refers to.
        unsafe { libc::munmap(page, size) };
        return None;
    }
    let page = page.cast::<AtomicU8>();
    // SAFETY: mapped, writable, zeroed, and aligned for a byte. An AtomicU8 has no other demands.
    unsafe { &*page }.store(1, Ordering::Relaxed);
    Some(page)
}

/// The size of a page of memory, in bytes.
pub fn page_size() -> usize {
    // SAFETY: asks for a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn process_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `mark.forked()` says in a child, and in the child's child.
    fn in_children(mark: &Mark) -> (bool, bool) {
        let code = in_child(|| i32::from(mark.forked()) | in_child(|| i32::from(mark.forked())) << 1);
        (code & 1 != 0, code & 2 != 0)
    }

    fn in_child(code: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child makes system calls only, takes no lock, allocates nothing, and leaves by _exit.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let code = code();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for our own child. `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status));
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn children_of_an_armed_process_are_told_apart() {
        let mark = Mark::new();
        assert!(!mark.forked());
        assert_eq!(in_children(&mark), (false, false));
        mark.arm(wiped_page);
        mark.arm(wiped_page);
        assert!(!mark.page.load(Ordering::Relaxed).is_null());
        assert!(!mark.forked());
        assert_eq!(in_children(&mark), (true, true));
        assert!(!mark.forked());
    }

    #[test]
    fn without_such_a_page_the_process_number_decides() {
        let mark = Mark::new();
        mark.arm(|| None);
        assert!(mark.page.load(Ordering::Relaxed).is_null());
        assert!(!mark.forked());
        assert_eq!(in_children(&mark), (true, true));
    }

    #[test]
    fn a_child_forked_before_may_arm_for_itself() {
        let mark = Mark::new();
        let code = in_child(|| {
            mark.arm(wiped_page);
            i32::from(mark.forked())
        });
        assert_eq!(code, 0);
    }

    #[test]
    fn many_threads_arm_at_once_and_one_page_stays() {
        let mark = Mark::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    mark.arm(wiped_page);
                    assert!(!mark.forked());
                });
            }
        });
        assert_eq!(in_children(&mark), (true, true));
    }
}
