//! Keeps the architecture's one rule true: a file in src/ imports only files of levels before its own, and within its
//! level only files named before it. The table is docs/ARCHITECTURE.md's; a new file has to find its place here first.
//! The files of the load generator in bench/ are a stack by the same rule. Their table opens bench/load.c.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LEVELS: &[&[&str]] = &[
    &[
        "sync",
        "error",
        "cache_line",
        "slots",
        "callback_thread",
        "defaults",
        "deadlines",
        "timers",
        "fork",
        "threads",
        "logging",
        "spin",
        "call_cost",
        "freed",
        "callback",
        "once",
        "rare",
    ],
    &[
        "parts",
        "sys",
        "socket",
        "shed",
        "epoll",
        "stand_in",
        "address",
        "hosts",
        "resolver",
        "eventfd",
        "timer_fd",
        "socket_waiter",
        "buffer",
        "shared_bytes",
        "permits",
        "completion",
    ],
    &["engine", "mailbox", "ownership", "members", "uncollected", "config"],
    &["event_loop"],
    &[
        "net",
        "probe",
        "linger",
        "ending",
        "idle",
        "stream",
        "sink",
        "forward",
        "connection",
        "listener",
        "dial",
        "delayed_call",
        "open",
    ],
    &["ffi"],
];

/// A module's level, and its place in it.
fn place_of(module: &str) -> Option<(usize, usize)> {
    LEVELS.iter().enumerate().find_map(|(number, level)| {
        level.iter().position(|name| *name == module).map(|place| (number, place))
    })
}

/// Each Rust file below src/ but lib.rs, with the module of the crate's root that it is part of.
fn sources() -> Vec<(String, PathBuf)> {
    fn walk(directory: &Path, module: Option<&str>, found: &mut Vec<(String, PathBuf)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let module = module.unwrap_or(&stem);
            if path.is_dir() {
                walk(&path, Some(module), found);
            } else if path.extension().is_some_and(|e| e == "rs") && module != "lib" {
                found.push((module.to_owned(), path.clone()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut found);
    found
}

/// The root modules that `text` names after `crate::`, also within braces, and after `super::` where that means the root.
fn imports(text: &str, super_is_root: bool) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap()).flat_map(|line| [line, " "]).collect();
    let mut found = BTreeSet::new();
    let roots = if super_is_root { &["crate::", "super::"][..] } else { &["crate::"][..] };
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let path = code[at + root.len()..].trim_start();
            match path.strip_prefix('{') {
                Some(list) => found.extend(first_names(list)),
                None => found.extend(first_name(path)),
            }
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Of `a::{b, c}, d}` the names `a` and `d`: what begins an item of the list itself.
fn first_names(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut start = 0;
    let mut names = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.extend(first_name(&list[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

#[test]
fn a_file_imports_only_files_of_levels_before_its_own() {
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        let Some(own) = place_of(&module) else { continue };
        let at_root = path.parent().unwrap().ends_with("src");
        for import in imports(&fs::read_to_string(&path).unwrap(), at_root) {
            // Other names are the file's own (`super::` within its tests) or macros, which the root holds for all.
            let Some(other) = place_of(&import) else { continue };
            if other >= own && import != module {
                let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
                wrong.push(format!("{file} (level {}) imports {import} (level {})", own.0, other.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_has_its_level_and_every_name_its_file() {
    let files: BTreeSet<String> = sources().into_iter().map(|(module, _)| module).collect();
    let table: BTreeSet<String> =
        LEVELS.iter().flat_map(|level| level.iter().map(|m| m.to_string())).collect();
    assert_eq!(files, table);
}

#[test]
fn imports_are_found_in_every_form() {
    let cases: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("use crate::error::Error;", &["error"][..]),
        ("use crate::{error::{Error, Result}, ring::Ring, net};", &["error", "net", "ring"][..]),
        ("use crate::{\n    sync, // a word\n    slots::Slots,\n};", &["slots", "sync"][..]),
        ("fn f() -> crate::net::Net { crate::sink::new() }", &["net", "sink"][..]),
        ("pub(crate) use super::mailbox::Mailbox;", &["mailbox"][..]),
        ("/// See [`crate::net`].\n// crate::net", &[][..]),
    ]);
    for (code, expected) in cases {
        assert_eq!(imports(code, true), expected.iter().map(|m| m.to_string()).collect(), "{code}");
    }
    assert_eq!(imports("use super::net;", false), BTreeSet::new());
}

/// The files of the load generator without their endings, from the top of the stack to its bottom.
fn load_stack() -> Vec<String> {
    let text = fs::read_to_string(bench().join("load.c")).unwrap();
    let opening = text.split("*/").next().unwrap();
    let rows = opening.lines().filter_map(|line| line.strip_prefix(" *   "));
    rows.map(|row| stem_of(row.split_whitespace().next().unwrap())).collect()
}

fn bench() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

fn stem_of(file: &str) -> String {
    file.split('.').next().unwrap().to_owned()
}

/// Each C file and header of the load generator.
fn load_files() -> Vec<String> {
    let names = fs::read_dir(bench()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("load.") || name.starts_with("load_"))
        .filter(|name| name.ends_with(".c") || name.ends_with(".h"))
        .collect()
}

/// What `text` includes by a name in quotes, without the endings.
fn includes(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("#include \"")?.split('"').next());
    names.map(stem_of).collect()
}

#[test]
fn a_file_of_the_load_generator_includes_only_files_below_it() {
    let stack = load_stack();
    let place = |stem: &str| stack.iter().position(|name| name == stem);
    let mut seen = 0;
    let mut wrong = Vec::new();
    for file in load_files() {
        let stem = stem_of(&file);
        let own = place(&stem).unwrap_or_else(|| panic!("bench/load.c does not list {file}"));
        for include in includes(&fs::read_to_string(bench().join(&file)).unwrap()) {
            let Some(other) = place(&include) else { continue };
            seen += 1;
            if other <= own && include != stem {
                wrong.push(format!("bench/{file} includes {include}.h, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > stack.len(), "only {seen} includes were found");
}

#[test]
fn the_stack_of_the_load_generator_names_each_of_its_files_once() {
    let files: BTreeSet<String> = load_files().iter().map(|file| stem_of(file)).collect();
    let mut stack = load_stack();
    stack.sort();
    assert_eq!(stack, files.into_iter().collect::<Vec<_>>());
}
