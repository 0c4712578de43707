"""The pages of the site: the manual, the guide, the documents and the examples, in one frame with one navigation."""

import html
import os
import pathlib
import posixpath
import re
import shutil
import string

import comment
import pages

DOCUMENTS = [  # file, title in the navigation
    ("README.md", "Readme"),
    ("docs/CONTRACT.md", "Promises and statuses"),
    ("docs/PERFORMANCE.md", "Performance"),
    ("SECURITY.md", "Security"),
    ("SUPPORT.md", "Support"),
    ("docs/ARCHITECTURE.md", "Architecture"),
    ("CONTRIBUTING.md", "Contributing"),
    ("docs/RELEASING.md", "Releasing"),
    ("CHANGELOG.md", "Changelog"),
    ("docs/TESTS.md", "Tests"),
    ("bench/README.md", "Benchmarks"),
]
CODE = re.compile(r"<code>([A-Za-z_][\w-]*)(\(\))?</code>")
SHORT = re.compile(r"<code>([^<\s]{1,30})</code>")  # it stays on one line
PROGRAM = re.compile(r"\b(?:examples-c|docs/guide/programs)/\w+\.[ch]\b")
NAME = re.compile(r"\b[A-Za-z_]\w*\b")


class Site:
    def __init__(self, manual, out, root, many, pandoc, version):
        self.manual, self.out, self.root, self.many, self.pandoc, self.version = manual, out, root, many, pandoc, version
        here = root / "docs/manual"
        self.frame = string.Template((here / "frame.html").read_text())
        chapters = sorted((root / "docs/guide").glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
        self.guide = [(path, self.title(path)) for path in chapters]
        self.documents = [(root / name, title) for name, title in DOCUMENTS if (root / name).exists()]
        self.programs = sorted((root / "docs/guide/programs").glob("*.[ch]*"))
        self.examples = sorted((root / "examples-c").glob("*.[ch]"))
        self.places = {root / "examples-c": "examples/index.html", root / "docs/guide/programs": "examples/index.html"}
        self.places.update({path: "guide/%s.html" % path.stem.replace("README", "index") for path, _ in self.guide})
        self.places.update({path: "documents/%s.html" % str(path.relative_to(root))[:-3].removeprefix("docs/").replace("/", "-").lower() for path, _ in self.documents})
        self.places.update({path: "examples/%s.html" % path.name for path in self.programs + self.examples})
        self.targets = {}
        for page in manual.pages.values():
            at = "reference/%s.html" % page.name
            self.targets[page.name] = at
            self.targets.update({alias: at + ("" if alias.endswith("_init") else "#" + alias) for alias in page.aliases})
        for source in here.glob("*.[1-8].md"):
            self.targets[source.name.split(".")[0]] = "reference/%s.html" % source.name.split(".")[0]

    @staticmethod
    def title(path):
        match = re.search(r"(?m)^# (.*)$", path.read_text())
        return re.sub(r"[`*]", "", match[1]) if match else path.stem

    # ---- what stands around a page

    def navigation(self, at):
        def entry(place, title, code=False):
            here = ' aria-current="page"' if place == at else ""
            text = html.escape(title)
            text = "<code>%s</code>" % text if code else text
            return '<li><a href="%s"%s>%s</a></li>' % (self.relative(at, place), here, text)

        def group(title, entries, opened):
            inside = opened or any('aria-current' in one for one in entries)
            return "<details%s><summary>%s</summary><ul>%s</ul></details>" % (
                " open" if inside else "", html.escape(title), "".join(entries))

        parts = ["<ul>%s</ul>" % entry("index.html", "Start")]
        if self.guide:
            parts.append(group("Guide", [entry(self.places[path], title) for path, title in self.guide], not at.startswith("reference/")))
        reference = [entry("reference/iouringnet.html", "Overview"), entry("reference/index.html", "All functions and types")]
        reference += [entry(self.targets[name], name, True) for name in sorted(self.targets) if "probe" in name and "-" in name]
        parts.append(group("Reference", reference, True))
        kinds = {}
        for page in self.manual.pages.values():
            if page.kind != "overview":
                kinds.setdefault(page.group or "Types and constants", []).append(page.name)
        types = kinds.pop("Types and constants", [])
        for title, names in [*kinds.items(), ("Types and constants", types)]:
            parts.append(group(title, [entry(self.targets[name], name, True) for name in names], False))
        parts.append(group("Documents", [entry(self.places[path], title) for path, title in self.documents], at.startswith("documents/")))
        parts.append(group("Programs", [entry("examples/index.html", "All programs")] +
                           [entry(self.places[path], path.name, True) for path in self.programs + self.examples], False))
        return "\n".join(parts)

    @staticmethod
    def relative(at, to):
        path, mark, fragment = to.partition("#")
        return posixpath.relpath(path, posixpath.dirname(at) or ".") + mark + fragment

    def put(self, at, title, body, follow="", broad=False):
        body = self.tables(SHORT.sub(r'<code class="together">\1</code>', self.link(body, at)))
        heading = title + " — libiouringnet" if at != "index.html" else "libiouringnet"
        text = self.frame.substitute(title=html.escape(heading), root=self.relative(at, "index.html")[: -len("index.html")],
                                     navigation=self.navigation(at), body=body, follow=follow, kind=' class="broad"' if broad else "", version=self.version)
        path = self.out / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # ---- what becomes a link

    def link(self, body, at):
        """Names of functions and types lead to their pages: those in <code>, and those in blocks of code."""
        own = at.removeprefix("reference/").removesuffix(".html")

        def quoted(match):
            target = self.targets.get(match[1])
            if not target or match[1] == own:
                return match[0]
            return '<a href="%s">%s</a>' % (self.relative(at, target), match[0])

        def named(match):
            target = self.targets.get(match[0])
            if not target or match[0] == own:
                return match[0]
            return '<a href="%s">%s</a>' % (self.relative(at, target), match[0])

        def program(match):
            place = self.places.get(self.root / match[0])
            return '<a href="%s">%s</a>' % (self.relative(at, place), match[0]) if place else match[0]

        out = []
        for index, part in enumerate(re.split(r"(<pre.*?</pre>|<a .*?</a>|<h1.*?</h1>)", body, flags=re.S)):
            if index % 2 == 0:
                part = PROGRAM.sub(program, CODE.sub(quoted, part))
            elif part.startswith("<pre"):
                pieces = re.split(r"(<[^>]*>)", part)
                for i, piece in enumerate(pieces):
                    if not piece.startswith("<"):
                        pieces[i] = NAME.sub(named, piece)
                part = "".join(pieces)
            out.append(part)
        return "".join(out)

    @staticmethod
    def tables(body):
        return body.replace("<table", '<div class="wide"><table').replace("</table>", "</table></div>")

    def rewrite(self, body, source, at):
        """Links of a document lead to pages of the site. A link to any other file of the sources becomes plain text."""
        def target(match):
            whole, href, text = match[0], match[1], match[2]
            if re.match(r"[a-z]+:|#", href) or href.endswith(".html"):
                return whole
            path, mark, fragment = href.partition("#")
            file = pathlib.Path(os.path.normpath(source.parent / path))
            place = self.places.get(file)
            if file == self.root / "include/iouringnet.h":
                place, fragment, mark = "reference/iouringnet.html", "", ""
            if place is None:
                return text
            return whole.replace('"%s"' % match[1], '"%s"' % (self.relative(at, place) + mark + fragment), 1)

        def picture(match):
            file = pathlib.Path(os.path.normpath(source.parent / match[1]))
            to = self.out / "pictures" / file.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to)
            return 'src="%s"' % self.relative(at, "pictures/" + file.name)

        body = re.sub(r'<a href="([^"]*)"[^>]*>(.*?)</a>', target, body, flags=re.S)
        return re.sub(r'src="(?!data:|[a-z]+:)([^"]*)"', picture, body)

    # ---- the pages

    def reference(self):
        writer = pages.Writer(self.manual, man=False)
        every = list(self.manual.pages.values())
        bodies = self.many([writer.page(page) for page in every], "html", "html5")
        for page, body in zip(every, bodies):
            body = self.anchors(body)
            head = "<h1><code>%s</code></h1>\n<p class=\"summary\">%s</p>\n" % (page.name, self.marked(page.summary))
            self.put("reference/%s.html" % page.name, page.name, head + body)

    @staticmethod
    def anchors(body):
        """Sections and rows of terms get ids."""
        used = set()

        def heading(match):
            name = re.sub(r"[^a-z0-9]+", "-", html.unescape(re.sub("<.*?>", "", match[1])).lower()).strip("-")
            return '<h2 id="%s">%s</h2>' % (name, match[1])

        def term(match):
            name = match[1]
            if name in used:
                return match[0]
            used.add(name)
            return match[0].replace("<dt>", '<dt id="%s">' % name, 1)

        body = re.sub(r"<h1[^>]*>(.*?)</h1>", heading, body, flags=re.S)
        return re.sub(r"<dt><code>(\w+)\b[^<]*</code>", term, body)

    @staticmethod
    def marked(text):
        """A sentence of a comment as HTML."""
        return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text, quote=False))

    def index_of_reference(self):
        out = ["<h1>Functions and types</h1>"]
        groups = {}
        for page in self.manual.pages.values():
            if page.kind != "overview":
                groups.setdefault(page.group or "Types and constants", []).append(page)
        types = groups.pop("Types and constants", [])
        for title, members in [*groups.items(), ("Types and constants", types)]:
            rows = "".join("<dt><code>%s</code></dt><dd>%s</dd>" % (page.name, self.marked(page.summary)) for page in members)
            out.append("<h2>%s</h2>\n<dl>%s</dl>" % (html.escape(title), rows))
        self.put("reference/index.html", "Functions and types", "\n".join(out))

    def document(self, path, title, follow=""):
        at = self.places[path]
        body = self.pandoc(path.read_text(), "-f", "gfm", "-t", "html5", "--wrap=none")
        self.put(at, title, self.rewrite(body, path, at), follow)

    def guides(self):
        for index, (path, title) in enumerate(self.guide):
            links = []
            for other, word, css in ((index - 1, "Before: ", "before"), (index + 1, "Next: ", "next")):
                if 0 <= other < len(self.guide):
                    links.append('<a class="%s" href="%s">%s%s</a>' % (
                        css, self.relative(self.places[path], self.places[self.guide[other][0]]), word, html.escape(self.guide[other][1])))
            self.document(path, title, "<nav class=\"follow\" aria-label=\"Chapters\">%s</nav>" % "".join(links))

    def sources(self):
        every = self.programs + self.examples
        texts = ["```%s\n%s\n```" % ("cpp" if path.suffix == ".cpp" else "c", path.read_text()) for path in every]
        rows = {}
        for path, body in zip(every, self.many(texts, "html", "html5")):
            kind = "The guide's programs" if path in self.programs else "Examples" if path.suffix == ".c" else "What they share"
            opening = re.match(r"(?:/\*|//) (?:\w+: )?(.*?)(?:\n \*\n|\*/|\n\n)", path.read_text(), re.S)
            told = self.marked(pages.capital(re.sub(r"\s*\n (?:\*|//) ?", " ", opening[1]).strip())) if opening else ""
            rows.setdefault(kind, []).append(
                '<dt><a href="%s.html"><code>%s</code></a></dt><dd>%s</dd>' % (path.name, path.name, told))
            self.put(self.places[path], path.name, "<h1><code>%s</code></h1>\n%s" % (path.name, body), broad=True)
        lists = ["<h2>%s</h2>\n<dl>%s</dl>" % (kind, "".join(found)) for kind, found in rows.items()]
        self.put("examples/index.html", "Programs", "<h1>Programs</h1>\n<p>The tests run them.</p>\n" + "\n".join(lists))

    def others(self):
        here = self.root / "docs/manual"
        for source in sorted(here.glob("*.[1-8].md")):
            name = source.name.split(".")[0]
            body = self.pandoc(source.read_text(), "-f", "commonmark+definition_lists+pipe_tables", "-t", "html5", "--wrap=none")
            body = re.sub(r"<h1>([A-Z][A-Z ]+)</h1>", lambda m: "<h1>%s</h1>" % pages.sentence_case(m[1]), body)
            self.put("reference/%s.html" % name, name, "<h1><code>%s</code></h1>\n%s" % (name, self.anchors(body)))
        source = here / "index.md"
        self.places[source] = "index.html"
        program = next(block[1] for block in comment.parse(self.manual.header.essay) if block[0] == "code")
        text = source.read_text().replace("$program", "```c\n%s\n```" % program).replace("$guide", "\n".join("- [%s](../guide/%s)" % (title, path.name) for path, title in self.guide if path.name != "README.md"))
        if not self.guide:
            text = text.replace("## The guide\n", "")
        body = self.pandoc(text, "-f", "gfm", "-t", "html5", "--wrap=none")
        self.put("index.html", "libiouringnet", self.rewrite(body, source, "index.html"))
        for name in ("style.css", "site.js"):
            shutil.copyfile(here / name, self.out / name)


def write(manual, out, root, many, pandoc, version):
    out.mkdir(parents=True)
    site = Site(manual, out, root, many, pandoc, version)
    site.reference()
    site.index_of_reference()
    for path, title in site.documents:
        site.document(path, title)
    site.guides()
    site.sources()
    site.others()
