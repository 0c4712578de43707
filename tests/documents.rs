//! What the documents say of the code is so: statuses, promises and their tests, files, names, the smallest program.

use iouringnet::error::Error;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/ARCHITECTURE.md",
    "docs/CONTRACT.md",
    "docs/PERFORMANCE.md",
    "bench/README.md",
    "bench/EXPERIMENTS.md",
    "bench/results/2026-11-26.md",
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn files_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(path(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What stands between single backquotes; blocks of code are left out.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn every_status_stands_in_the_contract() {
    let contract = read("docs/CONTRACT.md");
    let (_, table) = contract.split_once("\n# Statuses\n").expect("the statuses have a chapter");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |code: i32, name: &str, text: &str| format!("| `{name}` | {code} | {text} |");
    let mut expected = vec![row(0, Error::name(0).to_str().unwrap(), Error::text(0).to_str().unwrap())];
    expected.extend(
        Error::all()
            .iter()
            .map(|(error, name, text)| row(error.code(), name.to_str().unwrap(), text.to_str().unwrap())),
    );
    assert_eq!(rows, expected);
}

#[test]
fn fourteen_promises_each_with_a_file_of_tests() {
    let contract = read("docs/CONTRACT.md");
    let (promises, _) = contract.split_once("\n# Rules").expect("the rules follow the promises");
    let titles: Vec<&str> = promises.split("\n## ").skip(1).collect();
    assert_eq!(titles.len(), 14);
    let files = files_in("c-tests");
    for (number, title) in (1..).zip(titles) {
        assert!(title.starts_with(&format!("{number}. ")), "{number}: {}", title.lines().next().unwrap());
        let prefix = format!("promise_{number:02}_");
        assert!(files.iter().any(|file| file.starts_with(&prefix)), "there is no c-tests/{prefix}*.c");
    }
}

#[test]
fn the_list_of_tests_is_what_the_tests_make() {
    let script = Command::new("sh").arg(path("ci/tests-appendix.sh")).status().unwrap();
    assert!(script.success());
    let elsewhere = read("docs/CONTRACT.md").contains("\nTests: ");
    assert!(
        !elsewhere,
        "docs/TESTS.md names the tests, and docs/CONTRACT.md does not: ci/tests-appendix.sh --write"
    );
}

#[test]
fn every_function_and_constant_named_is_in_the_header() {
    let header = read("include/iouringnet.h");
    let known: BTreeSet<&str> = header.split(|c| !is_name(c)).collect();
    for document in DOCUMENTS {
        let text = read(document);
        let constants = text.split(|c| !is_name(c)).filter(|word| word.starts_with("IOURINGNET_"));
        let functions = quoted(&text).into_iter().filter(|word| {
            let prefix = word.split_once('_').map(|(prefix, _)| prefix);
            matches!(prefix, Some("net" | "listener" | "sink" | "stream" | "op" | "iouringnet"))
                && word.chars().all(is_name)
        });
        for word in constants.chain(functions) {
            assert!(known.contains(word), "{document} names {word}, which the header does not have");
        }
    }
}

#[test]
fn every_source_file_has_its_place_in_the_architecture() {
    let architecture = read("docs/ARCHITECTURE.md");
    let (_, table) = architecture.split_once("| level | file | owns |").expect("the files have a table");
    let (table, _) = table.split_once("\n\n").expect("and the table has an end");
    let rows = table.lines().filter_map(|line| line.split('|').nth(2));
    let named: BTreeSet<&str> = rows.flat_map(quoted).map(|name| name.trim_end_matches('/')).collect();
    let files = files_in("src");
    let modules = files.iter().map(|name| name.trim_end_matches(".rs")).filter(|name| *name != "lib");
    assert_eq!(named, modules.collect());
}

#[test]
fn every_link_leads_to_a_file() {
    for document in DOCUMENTS {
        let text = read(document);
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = path(document).parent().unwrap().join(target);
            assert!(file.exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn the_smallest_program_is_the_headers_and_compiles() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```c\n").expect("the program stands in a block of C");
    let (program, _) = rest.split_once("```").expect("the block ends");

    let header = read("include/iouringnet.h");
    let (_, essay) = header.split_once(" * THE SMALLEST PROGRAM\n *\n").expect("the header has it too");
    let lines = essay.lines().map(|line| line.strip_prefix(" *").unwrap_or(line));
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("   "));
    let essay: Vec<&str> = lines.map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    assert_eq!(program.trim_end(), essay.join("\n").trim_end());

    let mut compiler = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"])
        .arg("-I")
        .arg(path("include"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("cc is what Rust links with");
    compiler.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
}
