//! Makes the C header from src/ffi, and tells the linker what the shared object is to be.
//!
//! The header goes to OUT_DIR, where tests/header.rs compares it with include/iouringnet.h. It goes to the file that
//! IOURINGNET_HEADER names too, which is how ci/header.sh makes it anew; otherwise nothing outside of OUT_DIR is touched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the types, constants and functions of C are.
const SOURCES: [&str; 11] =
    ["types", "config", "library", "net", "listener", "sink", "send", "stream", "recv", "op", "watch"];

/// The functions in the order of the header, simple before advanced. Every exported function is named once.
const SECTIONS: [(&str, &[&str]); 8] = [
    (
        "The library: version, texts, and what this system offers",
        &[
            "iouringnet_version",
            "iouringnet_strerror",
            "iouringnet_errname",
            "iouringnet_probe",
            "iouringnet_struct_init",
        ],
    ),
    ("Starting and stopping", &["net_start", "net_stop"]),
    ("Connecting", &["net_dial", "net_bind", "listener_accept", "listener_address", "listener_close"]),
    (
        "Sending",
        &["sink_send", "sink_sendv", "sink_post", "sink_flush", "sink_info", "sink_close", "sink_abort"],
    ),
    (
        "Receiving",
        &["stream_recv", "stream_recv_some", "stream_fill", "stream_peek", "stream_consume", "stream_close"],
    ),
    ("Time limits, timers, statistics", &["sink_set_timeout", "stream_set_timeout", "net_call", "net_stats"]),
    (
        "Without waiting: a callback, an op, or both",
        &[
            "net_dial_async",
            "listener_accept_async",
            "sink_send_async",
            "sink_sendv_async",
            "sink_flush_async",
            "stream_recv_async",
            "stream_recv_some_async",
            "stream_fill_async",
            "op_wait",
            "op_cancel",
            "op_release",
        ],
    ),
    (
        "Watches: armed once, called for every event, and once more for the end",
        &["listener_watch", "sink_watch", "stream_watch", "stream_pause", "stream_resume"],
    ),
];

/// The structs that begin with their size, for each of which there is a macro that prepares one.
const PREPARED: [&str; 7] =
    ["config", "dial_options", "bind_options", "completion", "sink_info", "stats", "probe_result"];

/// The types in the order of the header. Every type is named once.
const TYPES: [&str; 17] = [
    "status",
    "net",
    "listener",
    "sink",
    "stream",
    "op",
    "address",
    "completion",
    "callback",
    "data_callback",
    "log_callback",
    "config",
    "dial_options",
    "bind_options",
    "sink_info",
    "stats",
    "probe_result",
];

/// Longest line of a declaration.
const WIDTH: usize = 110;

fn main() {
    link_arguments();
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let header = header(&root);
    fs::write(Path::new(&variable("OUT_DIR")).join("iouringnet.h"), &header).expect("OUT_DIR can be written");
    println!("cargo:rerun-if-env-changed=IOURINGNET_HEADER");
    if let Some(copy) = env::var_os("IOURINGNET_HEADER") {
        fs::write(copy, &header).expect("the file that IOURINGNET_HEADER names can be written");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"))
}

/// A soname, so that programs ask for this series of versions (cmake/cargo.cmake makes the file of that name); the library's
/// own calls bound to itself, whatever names the program has; never unmapped, because the resolver's threads may outlive a
/// dlclose.
fn link_arguments() {
    let (major, minor) = (variable("CARGO_PKG_VERSION_MAJOR"), variable("CARGO_PKG_VERSION_MINOR"));
    // Before 1.0 a new minor version may change the interface.
    let series = if major == "0" { format!("0.{minor}") } else { major };
    let soname = format!("-soname,libiouringnet.so.{series}");
    for argument in [soname.as_str(), "-Bsymbolic-functions", "-z,nodelete"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
}

fn header(root: &Path) -> String {
    let mut config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml can be read");
    config.after_includes = Some(version() + &errors(&root.join("src/error.rs")) + &constants());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["cbindgen.toml", "build.rs", "Cargo.toml", "src/error.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in SOURCES {
        let file = format!("src/ffi/{name}.rs");
        println!("cargo:rerun-if-changed={file}");
        builder = builder.with_src(root.join(file));
    }
    let mut text = Vec::new();
    builder.generate().expect("src/ffi is Rust that cbindgen can read").write(&mut text);
    in_order(&String::from_utf8(text).expect("the sources are UTF-8"))
}

/// The version macros, from Cargo's version.
fn version() -> String {
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| {
        let number = variable(&format!("CARGO_PKG_VERSION_{part}"));
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

/// The statuses, from the one list in error.rs. Its lines read `EOF = -10001, "IOURINGNET_EOF", "text";`.
fn errors(source: &Path) -> String {
    let source = fs::read_to_string(source).expect("src/error.rs can be read");
    let (_, list) = source.split_once("\nerrors! {\n").expect("src/error.rs holds the list of errors");
    let (list, _) = list.split_once("\n}").expect("the list of errors ends");
    let mut text = String::from("\n/* Statuses. */\n#define IOURINGNET_OK 0\n");
    for line in list.lines() {
        let mut parts = line.trim().trim_end_matches(';').splitn(3, ", ");
        let mut part =
            || parts.next().unwrap_or_else(|| panic!("not an error of the list: {line}")).trim_matches('"');
        let (code, name, meaning) = (part(), part(), part());
        let (_, code) = code.split_once(" = ").unwrap_or_else(|| panic!("no code in {line}"));
        text += &format!("/* {meaning} */\n#define {name} ({code})\n");
    }
    text
}

/// What is not a number of Rust's.
fn constants() -> String {
    let mut text = String::from(
        "
/* For `read_buffer` of the config: no read buffer, so every receive goes straight to the caller's memory. */
#define IOURINGNET_UNBUFFERED SIZE_MAX
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
        for name in names {
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
