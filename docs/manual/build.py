#!/usr/bin/env python3
"""Makes the manual of include/iouringnet.h: pages for man(1), and a site of static HTML with the guide and the documents.

usage: docs/manual/build.py --out DIRECTORY    writes DIRECTORY/man and DIRECTORY/html

clang reads the header, pandoc writes both forms. header.py, comment.py and pages.py make Markdown in between; site_pages.py
makes pages of the site. The texts come from the header. Exception: iouringnet-probe.1.md and index.md are written by hand.
"""

import argparse
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "docs/manual"
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import header  # noqa: E402
import pages  # noqa: E402
import site_pages  # noqa: E402

MARKDOWN = "commonmark+attributes+pipe_tables+definition_lists+raw_attribute"
MARK = "pageboundary"


def pandoc(text, *options):
    run = subprocess.run(["pandoc", *options], input=text, capture_output=True, text=True)
    if run.returncode != 0 or run.stderr:
        sys.exit("pandoc %s: %s" % (" ".join(options), run.stderr))
    return run.stdout


def many(texts, form, to, *options):
    """One run of pandoc for many texts, because each start of it takes long."""
    mark = "\n\n```{=%s}\n%s\n```\n\n" % (form, MARK)
    out = pandoc(mark.join(texts), "-f", MARKDOWN, "-t", to, "--wrap=none", *options)
    return out.split(MARK + "\n")


def date():
    """The day of the manual: that of SOURCE_DATE_EPOCH, else of the header's last commit, else of the header's file."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds and shutil.which("git"):
        git = subprocess.run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct", "--", "include/iouringnet.h"],
                             capture_output=True, text=True)
        seconds = git.stdout.strip()
    seconds = seconds or (ROOT / "include/iouringnet.h").stat().st_mtime
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).date().isoformat()


def version():
    return re.search(r'(?m)^version = "(.*)"$', (ROOT / "Cargo.toml").read_text())[1]


def roff(name, section, body):
    """What pandoc writes, with .EX of man(7) instead of a font that terminals do not have, and with minus signs that a reader
    can copy."""
    body = re.sub(r"(?m)^\.(?:IP|PP)\n(?:\.nf\n\\f\[(?:C|CR|V)\]|\.EX)\n(.*?)(?:\\f\[R?\]\n\.fi|\.EE)$", code, body, flags=re.S)
    body = re.sub(r"(?m)^(\.S[HS] .*)\n\.PP$", r"\1", body)
    body = re.sub(r"(?m)(^|[ (\[\"=\t]|\\f\[[A-Z]*\])-(?=[\w-])", r"\1\\-", body)
    body = body.replace("%s - " % name.replace("-", "\\-"), "%s \\- " % name, 1).replace("%s - " % name, "%s \\- " % name, 1)
    body = body.replace("examples-c/", "examples\\-c/")
    head = '.TH "%s" "%d" "%s" "libiouringnet %s" "%s"\n.nh\n.nr HY 0\n.ad l\n' % (
        name, section, date(), version(), "" if len(name) > 26 else "libiouringnet")
    table = "'\\\" t\n" if "\n.TS" in body else ""
    return table + '.\\" Made by docs/manual/build.py from include/iouringnet.h.\n' + head + body.strip("\n") + "\n"


def code(match):
    return ".PP\n.RS 4\n.EX\n%s.EE\n.RE" % re.sub(r"(?<!\\)-", r"\\-", match[1])


def write_man(manual, out):
    writer = pages.Writer(manual, man=True)
    every = list(manual.pages.values())
    texts = ["# NAME\n\n%s - %s\n\n%s" % (pages.escape(page.name), pages.escape(pages.name_line(page)), writer.page(page))
             for page in every]
    for page, body in zip(every, many(texts, "man", "man", "--columns=1000")):
        directory = out / ("man%d" % page.section)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ("%s.%d" % (page.name, page.section))).write_text(roff(page.name, page.section, body))
        for alias in page.aliases:
            (directory / ("%s.%d" % (alias, page.section))).write_text(".so man%d/%s.%d\n" % (page.section, page.name, page.section))
    for source in sorted(HERE.glob("*.[1-8].md")):
        name, section = source.name[:-3].rsplit(".", 1)
        directory = out / ("man" + section)
        directory.mkdir(parents=True, exist_ok=True)
        body = pandoc(source.read_text(), "-f", MARKDOWN, "-t", "man", "--wrap=none")
        (directory / ("%s.%s" % (name, section))).write_text(roff(name, int(section), body))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--out", type=pathlib.Path, required=True)
    out = options.parse_args().out
    for tool in ("clang", "pandoc"):
        if not shutil.which(tool):
            sys.exit("the manual needs %s: sh ci/need.sh clang pandoc" % tool)
    manual = pages.Manual(header.Header(ROOT / "include/iouringnet.h"), ROOT)
    for part in ("man", "html"):
        shutil.rmtree(out / part, ignore_errors=True)
    write_man(manual, out / "man")
    site_pages.write(manual, out / "html", ROOT, many, pandoc, version())
    print("man pages: %s/man, start page: %s/html/index.html" % (out, out))


if __name__ == "__main__":
    main()
