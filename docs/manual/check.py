#!/usr/bin/env python3
"""Checks what docs/manual/build.py has made: pages for everything in the header, no warning, no text lost, no dead link.

usage: docs/manual/check.py DIRECTORY    which has man/ and html/

It finds the functions and types in the header by itself, without clang.
"""

import concurrent.futures
import html.parser
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OF_FUNCTIONS = ("NAME", "LIBRARY", "SYNOPSIS", "DESCRIPTION", "RETURN VALUE", "OWNERSHIP", "THREADS", "SINCE", "SEE ALSO")
ELSEWHERE = {"epoll_wait(2)", "poll(2)"}  # pages of the system that ours name
faults = []


def fault(text):
    faults.append(text)


def declared():
    """{name: its comment} of the functions, and the names of the types and macros."""
    header = (ROOT / "include/iouringnet.h").read_text()
    before, after = header.split('extern "C" {', 1)
    functions = {}
    for comment, declaration in re.findall(r"(?ms)^/\*\*\n(.*?) \*/\n(.*?);", after):
        functions[re.search(r"(\w+)\(", declaration)[1]] = (comment, declaration)
    types = re.findall(r"(?m)^} (\w+);|^typedef .*?\(\*(\w+)\)|^typedef [^(\n]*\b(\w+);", before)
    names = re.sub(r"(?ms)^#ifdef IOURINGNET_PREFIXED$.*?^#endif$", "", before)  # second names of the functions
    macros = re.findall(r"(?m)^#define (\w+)[ (].*[^ ]$", names)
    return functions, {name for names in types for name in names if name}, set(macros)


class Rendered:
    """One page as man(1) shows it."""

    def __init__(self, path):
        self.path = path
        self.faults = []
        self.source = path.read_text()
        self.alias = re.match(r"\.so (\S+)\n$", self.source)
        if self.alias:
            return
        environment = dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="")
        man = subprocess.run(["man", "--warnings=w", "-l", str(path)], capture_output=True, text=True, env=environment)
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(path)], capture_output=True, text=True)
        name = subprocess.run(["lexgrog", str(path)], capture_output=True, text=True)
        self.faults += [line for line in (man.stderr + lint.stdout + lint.stderr).splitlines()]
        if name.returncode != 0 or "%s - " % path.stem not in name.stdout:
            self.faults.append("whatis(1) does not find its name: " + name.stdout + name.stderr)
        self.text = re.sub(r".\x08", "", man.stdout)
        parts = re.split(r"(?m)^([A-Z][A-Z ',]*)$", self.text)
        self.sections = dict(zip(parts[1::2], parts[2::2]))


def words(text):
    return set(re.findall(r"\w+", text))


def check_man(directory):
    functions, types, macros = declared()
    files = {path.name: path for path in sorted(directory.glob("man*/*"))}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        pages = dict(zip(files, pool.map(Rendered, files.values())))
    for name in sorted({*functions, *types, *macros}):
        if name + ".3" not in pages:
            fault("there is no page of " + name)
    for name in ("iouringnet.7", *(path.name[:-3] for path in (ROOT / "docs/manual").glob("*.[1-8].md"))):
        if name not in pages:
            fault("there is no page " + name)
    for file, page in pages.items():
        for text in page.faults:
            fault("%s: %s" % (file, text))
        if page.alias:
            if not (directory / page.alias[1]).exists():
                fault("%s leads to %s, which does not exist" % (file, page.alias[1]))
            continue
        for title, text in page.sections.items():
            if not text.strip():
                fault("%s: %s is empty" % (file, title))
        body = "".join(text for title, text in page.sections.items() if title != "EXAMPLE").rstrip().rpartition("\n")[0]  # without the line at the foot
        for name, section in re.findall(r"([\w-]+)\((\d)\)", body):
            if "%s.%s" % (name, section) not in pages and "%s(%s)" % (name, section) not in ELSEWHERE:
                fault("%s names %s(%s), which does not exist" % (file, name, section))
        name = file.rsplit(".", 1)[0]
        if name in functions:
            check_function(file, page, *functions[name])
    print("%d pages, of %d functions, %d types and %d macros" % (len(pages), len(functions), len(types), len(macros)))


def check_probe(directory):
    """The page of the program has every option, status and member that the program knows."""
    page = directory / "man1/iouringnet-probe.1"
    code = "".join((ROOT / "tools" / name).read_text() for name in ("probe.c", "json.c"))
    usage = re.search(r"usage\[\] =(.*?);\n", code, re.S)
    wanted = set(re.findall(r"--?[\w-]+|[A-Z]+_[A-Z_]+", usage[1]))
    wanted |= set(re.findall(r'json_(?:field|member|limit)\("(\w+)"', code)) | set(re.findall(r'"  (\d)  ', usage[1]))
    shown = Rendered(page).text
    for word in sorted(wanted):
        if word not in shown:
            fault("%s lacks %s of tools/" % (page.name, word))


def check_function(file, page, comment, declaration):
    for title in OF_FUNCTIONS + (() if "(void)" in declaration else ("PARAMETERS",)):
        if title not in page.sections:
            fault("%s has no %s" % (file, title))
    comment = re.sub(r"(?m)^ \* (Owner|Threads|Completion|Calls|Returns|Since):", "", comment)
    lost = words(comment) | words(declaration)
    lost -= words(page.text)
    if lost:
        fault("%s lacks words of the header: %s" % (file, " ".join(sorted(lost))))


class Links(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.title = [], set(), False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("href", "src"):
                self.links.append((tag, value))
            elif key == "id":
                if value in self.ids:
                    self.links.append(("id", value))
                self.ids.add(value)


def check_html(directory):
    pages = {path: Links(path) for path in sorted(directory.rglob("*.html"))}
    reached, count = {directory / "index.html"}, 0
    for path, page in pages.items():
        where = path.relative_to(directory)
        for tag, link in page.links:
            count += 1
            address = urllib.parse.urlsplit(link)
            if tag == "id":
                fault("%s has the id %s twice" % (where, link))
            elif address.scheme or address.netloc:
                if tag != "a":
                    fault("%s loads %s from elsewhere" % (where, link))
            else:
                target = pathlib.Path(os.path.normpath(path.parent / urllib.parse.unquote(address.path))) if address.path else path
                if target != path:
                    reached.add(target)
                if not target.is_file():
                    fault("%s leads to %s, which does not exist" % (where, link))
                elif address.fragment and urllib.parse.unquote(address.fragment) not in pages[target].ids:
                    fault("%s leads to %s, where there is no such place" % (where, link))
    for path in set(pages) - reached:
        fault("nothing leads to %s" % path.relative_to(directory))
    functions, types, macros = declared()
    for name in sorted({*functions, *types}):
        if directory / "reference" / (name + ".html") not in pages:
            fault("there is no page of %s in the reference" % name)
    print("%d pages of the site, %d links" % (len(pages), count))


def main():
    out = pathlib.Path(sys.argv[1])
    check_man(out / "man")
    check_probe(out / "man")
    check_html(out / "html")
    for text in faults:
        print("FAULT: " + text, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
