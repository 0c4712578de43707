//! What the documents say of the code is so: statuses, promises and their tests, files, names, the smallest program.

use iouringnet::error::Error;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DOCUMENTS: [&str; 12] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "SUPPORT.md",
    "docs/ARCHITECTURE.md",
    "docs/CONTRACT.md",
    "docs/PERFORMANCE.md",
    "docs/RELEASING.md",
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

/// The documents above, and the chapters of the guide.
fn documents() -> Vec<String> {
    let guide = files_in("docs/guide").into_iter().filter(|file| file.ends_with(".md"));
    let guide = guide.map(|file| format!("docs/guide/{file}"));
    DOCUMENTS.iter().map(|name| (*name).to_owned()).chain(guide).collect()
}

/// The text without its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2)
}

/// What stands between single backquotes; blocks of code are left out.
fn quoted(text: &str) -> Vec<&str> {
    prose(text).flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The anchors of a document's headings, as the usual renderers make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = titles.map(|title| title.replace(|c: char| !(c.is_alphanumeric() || " -_".contains(c)), ""));
    kept.map(|title| title.replace(' ', "-")).collect()
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
    for document in &documents() {
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
fn every_link_leads_to_a_file_and_its_heading() {
    for document in &documents() {
        let text = read(document);
        let links = prose(&text).flat_map(|part| part.split("](").skip(1));
        let targets = links.map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = path(document).parent().unwrap().join(file);
            let to = if file.is_empty() { path(document) } else { to };
            assert!(to.exists(), "{document} links to {target}");
            if !anchor.is_empty() {
                let found = anchors(&fs::read_to_string(&to).unwrap()).contains(anchor);
                assert!(found, "{document} links to {target}, and there is no such heading");
            }
        }
    }
}

#[test]
fn every_test_named_is_there() {
    let mut tests = BTreeSet::new();
    for file in files_in("c-tests").into_iter().filter(|file| file.ends_with(".c")) {
        let text = read(&format!("c-tests/{file}"));
        let stem = file.trim_end_matches(".c");
        let prefix =
            stem.strip_prefix("promise_").map_or(stem.to_owned(), |rest| format!("promise{}", &rest[..2]));
        let named = text.lines().filter_map(|line| line.split_once("TEST(")?.1.split_once(')'));
        tests.extend(named.map(|(name, _)| format!("{prefix}.{name}")));
    }
    for document in &documents() {
        for word in quoted(&read(document)) {
            let Some((prefix, name)) = word.split_once('.') else { continue };
            let is_group = ["promise", "fault_", "transfer"].iter().any(|start| prefix.starts_with(start));
            if is_group && name.chars().all(is_name) && name.len() > 3 {
                assert!(
                    tests.contains(word),
                    "{document} names the test {word}, which c-tests/ does not have"
                );
            }
        }
    }
}

#[test]
fn every_program_of_the_guide_is_built() {
    let cmake = read("docs/guide/programs/CMakeLists.txt");
    let words: BTreeSet<&str> = cmake.split(|c| !is_name(c)).collect();
    for file in files_in("docs/guide/programs") {
        if let Some(name) = file.strip_suffix(".c").or(file.strip_suffix(".cpp")) {
            let peer = name.strip_prefix("echo_").unwrap_or(name);
            assert!(words.contains(name) || words.contains(peer), "CMakeLists.txt does not build {file}");
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
