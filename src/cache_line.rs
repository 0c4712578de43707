#![allow(unsafe_code)] // an instruction
//! Memory that will be needed soon comes to the cache while the processor does something else.
//!
//! The receive loop calls it for events that wait. Invariant: a fetch reads nothing, so any address will do.

/// The bytes of a line on most processors.
pub const CACHE_LINE: usize = 64;

/// Begins to fetch the cache line at an address, and does not wait for it.
#[inline(always)]
pub fn fetch<T: ?Sized>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address.cast::<u8>(), options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        fetch(&raw const *"text");
        fetch(std::ptr::null::<u8>());
        fetch(std::ptr::without_provenance::<u8>(usize::MAX));
    }
}
