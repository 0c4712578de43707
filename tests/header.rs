//! What the header says is what the library does. That the sources make this header is checked by ci/header.sh.

#![allow(unsafe_code)] // reads the texts that C gets

use iouringnet::config::Config;
use iouringnet::defaults;
use iouringnet::ffi;
use iouringnet::net::metrics;
use iouringnet::open::BACKLOG;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::Duration;

const HEADER: &str = include_str!("../include/iouringnet.h");

/// The macros of the header that stand for a number.
fn numbers() -> BTreeMap<&'static str, i64> {
    let defines = HEADER.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    defines.filter_map(|(name, value)| Some((name, number(value)?))).collect()
}

fn number(value: &str) -> Option<i64> {
    let value = value.split(" /*").next()?.trim_start_matches('(').trim_end_matches(')');
    match value.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    }
}

fn errname(status: i64) -> &'static str {
    let name = ffi::iouringnet_errname(status.try_into().expect("a status has 32 bits"));
    // SAFETY: the library's names are constant texts that end in a zero byte.
    unsafe { CStr::from_ptr(name) }.to_str().expect("names are ASCII")
}

#[test]
fn the_version_is_cargos_and_the_running_librarys() {
    let numbers = numbers();
    let part = |name: &str| numbers[format!("IOURINGNET_VERSION_{name}").as_str()];
    let version = format!("{}.{}.{}", part("MAJOR"), part("MINOR"), part("PATCH"));
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let packed = part("MAJOR") << 16 | part("MINOR") << 8 | part("PATCH");
    assert_eq!(numbers["IOURINGNET_VERSION"], packed);
    assert_eq!(i64::from(ffi::iouringnet_version()), packed);
}

#[test]
fn statuses_have_the_names_and_numbers_of_the_library() {
    let statuses: BTreeMap<i64, &str> = numbers()
        .into_iter()
        .filter(|&(_, value)| value < -10_000)
        .map(|(name, value)| (value, name))
        .collect();
    assert!(statuses.len() >= 19, "{statuses:?}");
    // Both ways: what the header has the library knows, and what the library knows the header has.
    for code in -10_100..=-10_001 {
        assert_eq!(errname(code), *statuses.get(&code).unwrap_or(&"UNKNOWN"), "{code}");
    }
    assert_eq!(numbers()["IOURINGNET_OK"], 0);
    assert_eq!(errname(0), "IOURINGNET_OK");
}

#[test]
fn statuses_have_the_errnos_that_their_comments_name() {
    let errnos: BTreeMap<&str, i32> = BTreeMap::from([
        ("EAGAIN", libc::EAGAIN),
        ("EBADF", libc::EBADF),
        ("EBUSY", libc::EBUSY),
        ("ECANCELED", libc::ECANCELED),
        ("ECONNABORTED", libc::ECONNABORTED),
        ("EDEADLK", libc::EDEADLK),
        ("EDESTADDRREQ", libc::EDESTADDRREQ),
        ("EINPROGRESS", libc::EINPROGRESS),
        ("EINVAL", libc::EINVAL),
        ("EMSGSIZE", libc::EMSGSIZE),
        ("ENOBUFS", libc::ENOBUFS),
        ("ENODATA", libc::ENODATA),
        ("ENOENT", libc::ENOENT),
        ("ENOMEM", libc::ENOMEM),
        ("ENOSYS", libc::ENOSYS),
        ("ENOTRECOVERABLE", libc::ENOTRECOVERABLE),
        ("EPERM", libc::EPERM),
        ("EPIPE", libc::EPIPE),
        ("ESHUTDOWN", libc::ESHUTDOWN),
        ("ETIMEDOUT", libc::ETIMEDOUT),
    ]);
    let mut compared = 0;
    let lines: Vec<&str> = HEADER.lines().collect();
    for pair in lines.windows(2) {
        let Some(status) = pair[1].strip_prefix("#define ").and_then(|line| number(line.split_once(' ')?.1))
        else {
            continue;
        };
        if status < -10_000 {
            let comment = pair[0].trim_end_matches(" */");
            let (_, errno) = comment.rsplit_once("; ").expect("the comment ends with an errno");
            assert_eq!(ffi::iouringnet_errno(status as i32), errnos[errno], "{status}");
            compared += 1;
        }
    }
    assert!(compared >= 21, "{compared}");
}

#[test]
fn constants_have_the_numbers_of_the_library() {
    let expected = [
        ("IOURINGNET_NO_TIMEOUT", ffi::IOURINGNET_NO_TIMEOUT),
        ("IOURINGNET_NO_SPIN", ffi::IOURINGNET_NO_SPIN),
        ("IOURINGNET_ON", ffi::IOURINGNET_ON.into()),
        ("IOURINGNET_OFF", ffi::IOURINGNET_OFF.into()),
        ("IOURINGNET_SYSTEM", ffi::IOURINGNET_SYSTEM.into()),
    ];
    for (name, value) in expected {
        assert_eq!(numbers()[name], value, "{name}");
    }
    assert!(HEADER.contains("#define IOURINGNET_UNBUFFERED SIZE_MAX\n"));
    assert_eq!(ffi::IOURINGNET_UNBUFFERED, usize::MAX);
}

/// The comment and the declaration of each function.
fn functions() -> Vec<(&'static str, &'static str)> {
    let (_, functions) = HEADER.split_once("extern \"C\" {").expect("the header has a block for C++");
    let blocks = functions.split("\n\n").filter(|block| block.starts_with("/**"));
    blocks.map(|block| block.split_once("\n */\n").expect("a declaration follows its comment")).collect()
}

/// How many functions src/ffi exports.
fn exported() -> usize {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ffi")).unwrap();
    let sources = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    sources.map(|source| source.matches("#[unsafe(no_mangle)]").count()).sum()
}

#[test]
fn every_comment_of_a_function_has_the_same_parts_in_the_same_order() {
    let functions = functions();
    assert_eq!(functions.len(), exported());
    for (comment, declaration) in functions {
        let labels: Vec<&str> = comment
            .lines()
            .filter_map(|line| line.strip_prefix(" * ")?.split_once(':'))
            .map(|(label, _)| label)
            .filter(|label| {
                matches!(*label, "Owner" | "Threads" | "Completion" | "Calls" | "Returns" | "Since")
            })
            .collect();
        let tells = if declaration.contains("_watch(") {
            Some("Calls")
        } else if declaration.contains("**op)") {
            Some("Completion")
        } else {
            None
        };
        let expected: Vec<&str> =
            ["Owner", "Threads"].into_iter().chain(tells).chain(["Returns", "Since"]).collect();
        assert_eq!(labels, expected, "{declaration}");
    }
}

#[test]
fn every_function_tells_its_parameters_and_statuses() {
    for (comment, declaration) in functions() {
        let (_, parameters) = declaration.split_once('(').expect("a function has parameters");
        let (parameters, _) = parameters.rsplit_once(')').expect("the parameters end");
        for parameter in parameters.split(',').filter(|parameter| *parameter != "void") {
            let name = parameter.rsplit([' ', '*']).next().expect("a parameter has a name");
            let is_handle = ["net", "listener", "sink", "stream", "op", "buffer"]
                .iter()
                .any(|handle| parameter.trim() == format!("iouringnet_{handle} *{handle}"));
            assert!(is_handle || comment.contains(&format!(" * `{name}`  ")), "{name} of {declaration}");
        }
        if declaration.starts_with("iouringnet_status ") {
            let (_, statuses) = comment.split_once("\n * Returns:\n").expect("a table of statuses");
            assert!(statuses.starts_with(" *   0   "), "{declaration}");
            assert!(statuses.contains("\n *   IOURINGNET_PANIC   "), "{declaration}");
        }
    }
}

/// The fields of the struct `name`, each with its comment in one line.
fn fields(name: &str) -> BTreeMap<&'static str, String> {
    let (before, _) = HEADER.split_once(&format!("\n}} {name};")).expect("the header has the struct");
    let (_, body) = before.rsplit_once("\ntypedef struct {\n").expect("and its begin");
    let mut comment = String::new();
    let mut fields = BTreeMap::new();
    for line in body.lines().map(str::trim) {
        if let Some(field) = line.strip_suffix(';') {
            let name = field.rsplit([' ', '*']).next().expect("a field has a name");
            fields.insert(name, std::mem::take(&mut comment));
        } else {
            comment += line.trim_matches(['/', '*', ' ']);
            comment.push(' ');
        }
    }
    fields
}

/// A number of bytes as the header writes it.
fn bytes(size: usize) -> String {
    if size % (1 << 20) == 0 { format!("{} MiB", size >> 20) } else { format!("{} KiB", size >> 10) }
}

#[test]
fn the_config_has_the_defaults_that_its_comments_name() {
    let core = Config::default();
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let named = |text: String| format!("Default: {text}");
    let on = |on: bool| named(if on { "IOURINGNET_ON." } else { "IOURINGNET_OFF." }.to_owned());
    let expected = [
        ("ring_entries", named(format!("{}.", core.ring_entries))),
        ("max_operations", named(format!("{}.", core.max_operations))),
        ("nodelay", on(core.nodelay.expect("nodelay has a default of the library"))),
        ("first_try", on(core.first_try)),
        ("read_buffer", named(bytes(core.read_buffer))),
        ("buffer_max", named(bytes(core.buffer_max))),
        ("post_mark", named(bytes(core.post_mark))),
        ("dial_timeout_ms", named(seconds(core.dial_timeout.expect("a dial has a limit")))),
        ("close_timeout_ms", named(seconds(core.close_timeout))),
        ("shutdown_timeout_ms", named(seconds(core.shutdown_timeout))),
        ("linger_ms", named(seconds(core.linger))),
        ("spin_us", named(format!("{}.", core.spin.as_micros()))),
    ];
    let fields = fields("iouringnet_config");
    for (field, text) in expected {
        let comment = &fields[field];
        assert!(comment.contains(&text), "{field}: {text:?} is not in {comment:?}");
    }
    assert_eq!((core.send_buffer, core.recv_buffer), (0, 0));
    assert_eq!((core.keepalive, core.send_cpu, core.recv_cpu), (None, None, None));
}

/// A default that is a number or a switch comes from the list. Exceptions: two are the names of other constants.
#[test]
fn every_default_with_a_value_is_in_the_list() {
    let listed: BTreeMap<&str, String> = defaults::texts().into_iter().collect();
    let mut found = 0;
    for name in ["iouringnet_config", "iouringnet_bind_options"] {
        for (field, comment) in fields(name).into_iter().filter(|(field, _)| *field != "size") {
            let (_, default) = comment.split_once("Default: ").expect("each field names its default");
            if let Some(text) = listed.get(field).filter(|_| !default.starts_with("the config's")) {
                assert!(default.starts_with(&format!("{text}.")), "{name}.{field}: {default}");
                found += 1;
            } else {
                let has_value = default.starts_with(|c: char| c.is_ascii_digit() || c == 'I');
                let elsewhere = matches!(field, "drain_timeout_ms" | "log_level");
                assert_eq!(has_value, elsewhere, "{name}.{field}: {default}");
            }
        }
    }
    assert_eq!(found, listed.len());
}

#[test]
fn the_options_have_the_defaults_that_their_comments_name() {
    let bind = fields("iouringnet_bind_options");
    assert!(bind["backlog"].contains(&format!("Default: {BACKLOG}.")), "{}", bind["backlog"]);
    assert!(bind["reuse_port"].contains("Default: IOURINGNET_OFF."), "{}", bind["reuse_port"]);
    let dial = fields("iouringnet_dial_options");
    assert!(dial["timeout_ms"].contains("Default: the config's `dial_timeout_ms`."));
    for options in [bind, dial] {
        for field in ["nodelay", "keepalive_ms", "send_buffer", "recv_buffer"] {
            let text = format!("Default: the config's `{field}`.");
            assert!(options[field].contains(&text), "{text:?} is not in {:?}", options[field]);
        }
    }
}

#[test]
fn every_field_that_may_be_0_names_its_default_once_and_in_one_form() {
    for name in ["iouringnet_config", "iouringnet_dial_options", "iouringnet_bind_options"] {
        for (field, comment) in fields(name).into_iter().filter(|(field, _)| *field != "size") {
            assert_eq!(comment.matches("Default: ").count(), 1, "{name}.{field}: {comment}");
            assert!(!comment.contains("(default)"), "{name}.{field}: {comment}");
        }
    }
}

#[test]
fn each_field_of_the_statistics_is_a_metric() {
    let samples = metrics::FAMILIES.iter().flat_map(|family| family.samples);
    let mut shown: Vec<&str> = samples.map(|sample| sample.field).collect();
    shown.sort_unstable();
    let stats = fields("iouringnet_stats");
    let numbers: Vec<&str> = stats.into_keys().filter(|field| !matches!(*field, "size" | "engine")).collect();
    assert_eq!(shown, numbers);
}

#[test]
fn no_line_is_longer_than_120_characters() {
    let long: Vec<&str> = HEADER.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_struct_with_a_size_has_its_macro() {
    for block in HEADER.split("\ntypedef struct {").skip(1) {
        let (body, rest) = block.split_once("\n} ").expect("a struct ends");
        let name = rest.split(';').next().expect("and has a name");
        assert_eq!(
            body.contains("\n    size_t size;\n"),
            HEADER.contains(&format!("#define {name}_init(s) iouringnet_struct_init((s), sizeof *(s))\n")),
            "{name}"
        );
    }
}
