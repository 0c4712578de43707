#!/usr/bin/env bash
# Compares the listings of docs/guide with the programs that they quote; --write copies them anew.
# usage: ci/listings.sh [--write]
#
# A line `<!-- listing FILE NAME... -->` stands before each block of C or C++. FILE is a program that ctest builds and runs. A
# NAME is a function or a struct of the file, with the comment above it, or what stands between `/* [NAME] */` and
# `/* [end] */`. Without a NAME it is the whole file, but for its opening comment.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - "$@" <<'PYTHON'
import pathlib
import re
import sys
import textwrap

FILES = re.compile(r"(examples-c|c-tests|docs/guide/programs)/[a-z0-9_]+\.(c|h|cpp)")
MARK = re.compile(r" *(?:/\*|//) \[([a-z_]+)\](?: \*/)?")
quoted = set()


def is_mark(line):
    return MARK.fullmatch(line)


def marked(lines, name):
    begin = next((i for i, line in enumerate(lines) if is_mark(line) and is_mark(line)[1] == name), None)
    if begin is None:
        return None
    end = next(i for i in range(begin, len(lines)) if is_mark(lines[i]) and is_mark(lines[i])[1] == "end")
    return [line for line in lines[begin:end] if not is_mark(line)]


def defined(lines, name):
    """A definition begins and ends in the first column; .clang-format sees to that."""
    head = re.compile(rf"(?:[a-z].*[ *])?{name}\(.*[^;]|(?:static )?(?:struct|class|enum) {name}\b.* \{{")
    begin = next((i for i, line in enumerate(lines) if head.fullmatch(line)), None)
    if begin is None:
        return None
    end = next(i for i in range(begin, len(lines)) if lines[i] in ("}", "};"))
    while lines[begin - 1].startswith(("/*", " *", "//")) and not is_mark(lines[begin - 1]):
        begin -= 1
    return lines[begin : end + 1]


def whole(lines):
    """All but the opening comment."""
    if lines[0].startswith("//"):
        begin = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    else:
        begin = next(i for i, line in enumerate(lines) if line.endswith("*/")) + 1
    return [line for line in lines[begin:] if not is_mark(line)]


def listing(file, names):
    if not FILES.fullmatch(file):
        raise LookupError(f"{file} is not a program that ctest runs")
    lines = pathlib.Path(file).read_text().splitlines()
    quoted.add(file)
    parts = []
    for name in names:
        part = marked(lines, name) or defined(lines, name)
        if part is None:
            raise LookupError(f"{file} has no {name}")
        quoted.add((file, name))
        parts.append("\n".join(part).strip("\n"))
    text = "\n\n".join(parts) if names else "\n".join(whole(lines))
    return textwrap.dedent(text).strip("\n")


def filled(text):
    """The document with its listings as they should be."""
    lines, out, i = text.splitlines(), [], 0
    while i < len(lines):
        out.append(lines[i])
        found = re.fullmatch(r"<!-- listing (\S+)((?: \S+)*) -->", lines[i])
        i += 1
        if found:
            language = "cpp" if found[1].endswith(".cpp") else "c"
            out += [f"```{language}", listing(found[1], found[2].split()), "```"]
            if i < len(lines) and lines[i].startswith("```"):
                i = lines.index("```", i + 1) + 1
        elif re.fullmatch(r"```(c|cpp|c\+\+)", out[-1]):
            raise LookupError("a block of C has no line `<!-- listing ... -->` before it")
    return "\n".join(out) + "\n"


def main():
    result = 0
    for path in sorted(pathlib.Path("docs/guide").glob("*.md")):
        text = path.read_text()
        try:
            fresh = filled(text)
        except LookupError as error:
            print(f"{path}: {error}", file=sys.stderr)
            result = 1
            continue
        if fresh != text and sys.argv[1:] == ["--write"]:
            path.write_text(fresh)
        elif fresh != text:
            print(f"{path} does not quote its programs as they are: run ci/listings.sh --write", file=sys.stderr)
            result = 1
    for path in sorted(pathlib.Path("docs/guide/programs").glob("*.c*")):
        names = [is_mark(line)[1] for line in path.read_text().splitlines() if is_mark(line)]
        for name in names:
            if result == 0 and name != "end" and (str(path), name) not in quoted:
                print(f"{path}: nobody quotes [{name}]", file=sys.stderr)
                result = 1
    return result


sys.exit(main())
PYTHON
