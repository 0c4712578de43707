"""Finds a short piece of a tested program for each function of the library."""

import re
import textwrap

import comment

LINES, WIDTH = 30, 69  # WIDTH: what a terminal of 80 columns shows of code in a page
MARK = r"[ ]*/\* \[[a-z_]+\] \*/\n"  # before and after what the guide quotes


def pieces(code):
    """The functions of a C file in the layout of .clang-format, each with the comment above it; what the guide quotes of a
    function."""
    for match in re.finditer(r"(?ms)^[ ]+/\* \[(?!end)[a-z_]+\] \*/\n(.*?)^[ ]+/\* \[end\] \*/$", code):
        yield textwrap.dedent(match[1]).rstrip("\n")
    for match in re.finditer(r"(?ms)^((?:/\*(?:(?!\*/).)*\*/\n)?)^([a-z][^\n;]*\([^;{}]*\) \{\n.*?^\}$)", code):
        yield re.sub(MARK, "", match[1] + match[2])


def calls(code):
    return set(re.findall(r"\b([a-z]\w*)\(", code))


def functions(header, root):
    """{function: (where, code, [examples that use it])}. The essay of the header comes first, then the shortest piece of an
    example or of a program of the guide."""
    names = {entry.name for entry in header.entries.values() if entry.kind == "function"}
    essay = [block[1] for block in comment.parse(header.essay) if block[0] == "code"]
    sources = [(0, "iouringnet", code) for code in essay]
    for pattern in ("examples-c/*.c", "docs/guide/programs/*.c"):
        sources += [(1, str(path.relative_to(root)), path.read_text()) for path in sorted(root.glob(pattern))]
    found, users = {}, {}
    for rank, where, code in sources:
        if rank:
            for name in names & calls(code):
                users.setdefault(name, []).append(where)
        for piece in pieces(code):
            lines = piece.split("\n")
            wide = max(map(len, lines)) > WIDTH
            for name in names & calls(piece) if len(lines) <= LINES else ():
                candidate = (rank, wide, len(lines) < 4, len(lines), piece, where)
                found[name] = min(found.get(name, candidate), candidate)
    return {name: (one[-1], one[-2], users.get(name, [])) for name, one in found.items()}
