//! The header that is checked in is the one that the sources make, and what it says is what the library does.

#![allow(unsafe_code)] // reads the texts that C gets

use iouringnet::ffi;
use std::collections::BTreeMap;
use std::ffi::CStr;

const HEADER: &str = include_str!("../include/iouringnet.h");
const FRESH: &str = include_str!(concat!(env!("OUT_DIR"), "/iouringnet.h"));

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
fn the_header_is_the_one_that_the_sources_make() {
    let different = HEADER.lines().zip(FRESH.lines()).find(|(old, new)| old != new);
    assert_eq!(different, None, "run ci/header.sh --write");
    assert!(HEADER == FRESH, "run ci/header.sh --write");
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

#[test]
fn every_comment_of_a_function_has_the_same_parts_in_the_same_order() {
    let functions = functions();
    assert_eq!(functions.len(), 45);
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
            let is_handle = ["net", "listener", "sink", "stream", "op"]
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
