#![allow(unsafe_code)] // a system call
//! A system call without libc's function for it, for the two calls that each message needs.
//!
//! The kernel's own calls use up the processor's memory of return addresses. Therefore each return behind a system call waits,
//! and this one has one return less. Invariant: no thread's errno changes.

/// Makes the system call `number`. Returns its result, or a negated errno.
///
/// # Safety
/// As the call itself asks.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
pub unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result;
    // SAFETY: the caller vouches for what the kernel reads and writes. The kernel keeps all registers but these three.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The same by syscall(2).
///
/// # Safety
/// As the call itself asks.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
#[inline]
pub unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller vouches for it.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if result >= 0 { result as isize } else { -(super::errno() as isize) }
}
