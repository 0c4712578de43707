//! Makes the C header from src/ffi, in the build script, with the feature `header`.
//!
//! The header goes to the file that IOURINGNET_HEADER names: ci/header.sh compares that file with include/iouringnet.h, which is
//! checked in. An ordinary build uses the checked-in header and has no need of cbindgen.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "src/defaults.rs"]
mod defaults;

/// Where the types, constants and functions of C are.
const SOURCES: &[&str] = &[
    "types",
    "config",
    "library",
    "net",
    "metrics",
    "listener",
    "connection",
    "options",
    "descriptor",
    "sink",
    "send",
    "buffer",
    "stream",
    "recv",
    "forward",
    "op",
    "watch",
    "dispatch",
];

/// The functions in the order of the header: a learner reads it from the top. Every exported function is named once.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "The first ten functions",
        &[
            "net_start",
            "net_dial",
            "sink_send",
            "stream_recv",
            "stream_recv_some",
            "sink_close",
            "stream_close",
            "net_stop",
            "iouringnet_strerror",
            "iouringnet_errname",
        ],
    ),
    ("Servers", &["net_bind", "listener_accept", "listener_address", "listener_close"]),
    ("Sending", &["sink_sendv", "sink_post", "sink_postv", "sink_flush", "sink_info"]),
    ("Receiving", &["stream_fill", "stream_peek", "stream_consume"]),
    ("Closing", &["connection_close", "connection_abort"]),
    (
        "Time limits and timers",
        &[
            "sink_set_timeout",
            "stream_set_timeout",
            "connection_set_idle_timeout",
            "stream_set_deadline",
            "net_call",
        ],
    ),
    (
        "Callbacks and ops",
        &[
            "net_dial_async",
            "listener_accept_async",
            "sink_send_async",
            "sink_sendv_async",
            "sink_flush_async",
            "stream_recv_async",
            "stream_recv_some_async",
            "stream_fill_async",
            "net_stop_async",
            "op_wait",
            "op_cancel",
            "op_release",
        ],
    ),
    (
        "Watches",
        &[
            "listener_watch",
            "listener_unwatch",
            "connection_watch",
            "stream_unwatch",
            "stream_pause",
            "stream_resume",
        ],
    ),
    ("A program's own loop", &["net_dispatch", "net_wake", "net_fd"]),
    ("Forwarding", &["stream_forward", "stream_forward_async"]),
    ("Lines", &["stream_fill_until", "stream_fill_until_async"]),
    (
        "Buffers",
        &[
            "iouringnet_buffer_make",
            "iouringnet_buffer_adopt",
            "iouringnet_buffer_slice",
            "iouringnet_buffer_release",
            "sink_post_buffer",
        ],
    ),
    ("Descriptors", &["listener_adopt", "connection_adopt", "sink_fd", "listener_fd"]),
    (
        "Statistics, addresses, versions, and what this system offers",
        &[
            "net_stats",
            "net_metrics",
            "iouringnet_address_make",
            "iouringnet_errno",
            "iouringnet_struct_init",
            "iouringnet_version",
            "iouringnet_probe",
        ],
    ),
];

/// The structs that begin with their size, for each of which there is a macro that prepares one.
const PREPARED: [&str; 8] = [
    "config",
    "dial_options",
    "bind_options",
    "completion",
    "connection_callbacks",
    "sink_info",
    "stats",
    "probe_result",
];

/// The types in the order of the header. Every type is named once.
const TYPES: [&str; 21] = [
    "status",
    "net",
    "listener",
    "sink",
    "stream",
    "op",
    "buffer",
    "address",
    "completion",
    "callback",
    "data_callback",
    "status_callback",
    "connection_callbacks",
    "free_callback",
    "log_callback",
    "config",
    "dial_options",
    "bind_options",
    "sink_info",
    "stats",
    "probe_result",
];

/// The name that a function has beside its short one. Exception: what the rule gives is the name of a type.
const OTHER_TWINS: [(&str, &str); 1] = [("sink_info", "iouringnet_sink_get_info")];

/// Longest line of a declaration.
const WIDTH: usize = 110;

/// Writes the header to the file that IOURINGNET_HEADER names.
pub fn make() {
    println!("cargo:rerun-if-env-changed=IOURINGNET_HEADER");
    let root = PathBuf::from(super::variable("CARGO_MANIFEST_DIR"));
    let text = header(&root);
    if let Some(file) = env::var_os("IOURINGNET_HEADER") {
        fs::write(file, text).expect("the file that IOURINGNET_HEADER names can be written");
    }
}

fn header(root: &Path) -> String {
    let mut config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml can be read");
    config.after_includes =
        Some(version() + &errors(&root.join("src/error.rs")) + &constants() + &prefixed_names());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["cbindgen.toml", "header.rs", "Cargo.toml", "src/error.rs", "src/defaults.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in SOURCES {
        let file = format!("src/ffi/{name}.rs");
        println!("cargo:rerun-if-changed={file}");
        builder = builder.with_src(root.join(file));
    }
    let mut text = Vec::new();
    builder.generate().expect("src/ffi is Rust that cbindgen can read").write(&mut text);
    with_defaults(in_order(&String::from_utf8(text).expect("the sources are UTF-8")))
}

/// Puts the defaults in place of their names in braces.
fn with_defaults(mut header: String) -> String {
    for (name, text) in defaults::texts() {
        let place = format!("{{{name}}}");
        assert!(header.contains(&place), "src/ffi does not name the default of {name}");
        header = header.replace(&place, &text);
    }
    header
}

/// The version macros, from Cargo's version.
fn version() -> String {
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| {
        let number = super::variable(&format!("CARGO_PKG_VERSION_{part}"));
        number.parse::<u32>().expect("Cargo's versions are numbers")
    });
    format!(
        "
/* The version that a program is compiled with. iouringnet_version() returns the version that runs. */
#define IOURINGNET_VERSION_MAJOR {major}
#define IOURINGNET_VERSION_MINOR {minor}
#define IOURINGNET_VERSION_PATCH {patch}
#define IOURINGNET_VERSION {:#08x} /* major << 16 | minor << 8 | patch */
",
        major << 16 | minor << 8 | patch
    )
}

/// The statuses, from the one list in error.rs. Its lines read `EOF = -10001, ENODATA, "IOURINGNET_EOF", "text";`.
fn errors(source: &Path) -> String {
    let source = fs::read_to_string(source).expect("src/error.rs can be read");
    let (_, list) = source.split_once("\nerrors! {\n").expect("src/error.rs holds the list of errors");
    let (list, _) = list.split_once("\n}").expect("the list of errors ends");
    let mut text = String::from(
        "\n/* Statuses. Each comment ends with the errno that iouringnet_errno returns for the status. */\n#define IOURINGNET_OK 0\n",
    );
    for line in list.lines() {
        let mut parts = line.trim().trim_end_matches(';').splitn(4, ", ");
        let mut part =
            || parts.next().unwrap_or_else(|| panic!("not an error of the list: {line}")).trim_matches('"');
        let (code, errno, name, meaning) = (part(), part(), part(), part());
        let (_, code) = code.split_once(" = ").unwrap_or_else(|| panic!("no code in {line}"));
        text += &format!("/* {meaning}; {errno} */\n#define {name} ({code})\n");
    }
    text
}

/// What is not a number of Rust's.
fn constants() -> String {
    let mut text = String::from(
        "
/* For `read_buffer` of the config: no read buffer, so every receive goes straight to the caller's memory. */
#define IOURINGNET_UNBUFFERED SIZE_MAX
/* For `size` of stream_forward: everything up to the end of the stream. */
#define IOURINGNET_ALL SIZE_MAX
/* CPU number n, for `send_cpu` and `recv_cpu` of the config. */
#define IOURINGNET_CPU(n) ((int32_t)(n) + 1)

/* Each zeroes a struct and stores its size. Use it first on a struct that begins with `size`. */
",
    );
    for name in PREPARED {
        text += &format!("#define iouringnet_{name}_init(s) iouringnet_struct_init((s), sizeof *(s))\n");
    }
    text
}

/// The block of macros that stand for the prefixed names. cmake/link.cmake reads from it which function has which.
fn prefixed_names() -> String {
    let mut text = String::from(
        "
/* See NAMES. */
#ifdef IOURINGNET_PREFIXED
",
    );
    for name in SECTIONS.iter().flat_map(|(_, names)| *names).filter(|name| !name.starts_with("iouringnet_"))
    {
        let other = OTHER_TWINS.iter().find(|(short, _)| short == name);
        let twin = other.map_or_else(|| format!("iouringnet_{name}"), |(_, twin)| twin.to_string());
        let is_type = TYPES.iter().any(|name| twin == format!("iouringnet_{name}"));
        assert!(!is_type, "OTHER_TWINS lacks {name}: {twin} is a type");
        text += &format!("#define {name} {twin}\n");
    }
    text + "#endif\n"
}

/// Orders types and functions, puts negative numbers into parentheses and short comments on one line.
fn in_order(header: &str) -> String {
    let (start, rest) =
        header.split_once("#ifdef __cplusplus\nextern").expect("cbindgen opens a block for C++");
    let (guard, functions) =
        rest.split_once("#endif // __cplusplus\n").expect("cbindgen closes the condition");
    let (functions, end) =
        functions.split_once("#ifdef __cplusplus\n").expect("cbindgen ends the block for C++");
    // The blocks of types begin with the first typedef, or rather with the comment before it.
    let typedef = start.find("\ntypedef ").expect("there are types");
    let types = start[..typedef].rfind("\n\n").expect("there are constants before the types");
    let mut text = parenthesised(&start[..types]);
    let mut blocks = blocks_of(&start[types..]);
    for name in TYPES {
        let name = format!("iouringnet_{name}");
        let ends = [format!(" {name};"), format!("(*{name})(")];
        let block = take(&mut blocks, &name, |line| line.ends_with(&ends[0]) || line.contains(&ends[1]));
        text += &format!("\n{}\n", wrapped(block));
    }
    assert!(blocks.is_empty(), "types that TYPES lacks: {blocks:?}");
    text += &format!("\n#ifdef __cplusplus\nextern{guard}#endif\n");
    let mut blocks = blocks_of(functions);
    for (title, names) in SECTIONS {
        text += &format!("\n/* ---- {title} ---- */\n");
        for name in *names {
            let block = take(&mut blocks, name, |line| declares(line, name));
            text += &format!("\n{}\n", wrapped(block));
        }
    }
    assert!(blocks.is_empty(), "functions that SECTIONS lacks: {blocks:?}");
    text += &format!("\n#ifdef __cplusplus\n{end}");
    one_line_comments(&text).replace("  // __cplusplus", "").replace("  /* IOURINGNET_H */", "")
}

fn blocks_of(text: &str) -> Vec<&str> {
    text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).collect()
}

/// Takes the block out that declares `name`, with its comment.
fn take<'a>(blocks: &mut Vec<&'a str>, name: &str, declares: impl Fn(&str) -> bool) -> &'a str {
    let place =
        blocks.iter().position(|block| block.lines().any(|line| !line.starts_with(' ') && declares(line)));
    blocks.remove(place.unwrap_or_else(|| panic!("src/ffi does not declare {name}")))
}

/// Whether `line` declares the function `name`.
fn declares(line: &str, name: &str) -> bool {
    line.split_once(&format!("{name}(")).is_some_and(|(before, _)| before.ends_with([' ', '*']))
}

/// Breaks a long declaration between its parameters.
fn wrapped(block: &str) -> String {
    let (comment, declaration) = block.rsplit_once('\n').expect("a declaration has a comment");
    let mut text = format!("{comment}\n");
    let mut width = 0;
    for (place, part) in declaration.split_inclusive(", ").enumerate() {
        if place > 0 && width + part.trim_end().len() > WIDTH {
            text.truncate(text.trim_end().len());
            text += "\n    ";
            width = 4;
        }
        text += part;
        width += part.len();
    }
    text
}

fn parenthesised(constants: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" -") {
        Some((name, number)) if name.starts_with("#define ") => format!("{name} (-{number})\n"),
        _ => format!("{line}\n"),
    };
    constants.lines().map(line).collect()
}

fn one_line_comments(header: &str) -> String {
    let mut text = String::new();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        text += line;
        if line.ends_with("/**") {
            let first = lines.next().expect("a comment has text");
            match lines.next_if(|next| next.trim() == "*/") {
                Some(_) => text += &format!(" {} */", first.trim().trim_start_matches("* ")),
                None => text += &format!("\n{first}"),
            }
        }
        text.push('\n');
    }
    text
}
