//! The one list of defaults: the value of each, and its text in the header.
//!
//! `config` and `open` take the values. header.rs, which makes the C header, takes the texts: it puts them in place of names
//! in braces, such as `{ring_entries}`, in the comments of `ffi`. Invariant: a text is made from its value. This file uses no
//! other of the crate, because the build script compiles it too.

/// Makes values and texts from one list. Therefore they cannot differ.
macro_rules! defaults {
    ($($field:ident: $type:ty = $value:expr, $form:ident;)*) => {
        /// The defaults, by the names of C's fields.
        #[allow(missing_docs)] // the header describes each field
        pub struct Defaults {
            $(pub $field: $type,)*
        }

        /// The value of each default.
        pub const DEFAULTS: Defaults = Defaults { $($field: $value,)* };

        /// The name and the text of each default.
        pub fn texts() -> Vec<(&'static str, String)> {
            vec![$((stringify!($field), $form(DEFAULTS.$field)),)*]
        }
    };
}

defaults! {
    ring_entries: u32 = 256, count;
    max_operations: u32 = 65_536, count;
    nodelay: bool = true, switch;
    first_try: bool = true, switch;
    read_buffer: usize = 64 << 10, size;
    buffer_max: usize = 1 << 20, size;
    post_mark: usize = 1 << 20, size;
    dial_timeout_ms: u32 = 10_000, seconds;
    close_timeout_ms: u32 = 30_000, seconds;
    shutdown_timeout_ms: u32 = 5_000, seconds;
    linger_ms: u32 = 2_000, seconds;
    spin_us: u32 = 50, count;
    backlog: u32 = 4096, count;
    reuse_port: bool = false, switch;
}

fn count(number: u32) -> String {
    number.to_string()
}

fn switch(on: bool) -> String {
    if on { "IOURINGNET_ON" } else { "IOURINGNET_OFF" }.to_owned()
}

fn size(bytes: usize) -> String {
    assert!(bytes % 1024 == 0, "the header writes whole KiB");
    if bytes % (1 << 20) == 0 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

fn seconds(ms: u32) -> String {
    assert!(ms % 1000 == 0, "the header writes whole seconds");
    format!("{} s", ms / 1000)
}
