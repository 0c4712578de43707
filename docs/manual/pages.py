"""The pages of the manual as Markdown: one for each function and type of the header, constants, statuses, the overview."""

import errno
import re

import comment
import examples

INTRO = "libiouringnet (*-liouringnet*)"


class Page:
    def __init__(self, name, section, summary, group=None):
        self.name, self.section, self.summary, self.group = name, section, summary, group
        self.sections = []  # (title, blocks)
        self.aliases = []  # names of macros that lead to this page
        self.own = ()  # names that mean something else here than elsewhere: parameters and fields

    def add(self, title, *blocks):
        blocks = [block for block in blocks if block]
        if blocks:
            self.sections.append((title, blocks))


class Manual:
    """All pages, and what a name in a text leads to."""

    def __init__(self, header, root):
        self.header = header
        self.pages = {}
        self.code = examples.functions(header, root)
        self.statuses = {name for name, (value, _) in header.macros.items()
                         if name == "IOURINGNET_OK" or re.fullmatch(r"\(-1\d{4}\)", value)}
        for entry in header.entries.values():
            self.put(self.entry(entry))
        self.constants()
        self.overview()
        self.names = {name: page for page in self.pages.values() for name in [page.name, *page.aliases]}
        for page in self.pages.values():
            self.see_also(page)

    def put(self, page):
        self.pages[page.name] = page

    def entry(self, entry):
        body, parts = comment.split(entry.lines)
        rows, rest = comment.parameters(body)
        blocks = comment.parse(rest)
        summary = comment.first_sentence(blocks[0][1])[0]
        page = Page(entry.name, 3, summary, entry.group)
        page.own = {*entry.parameters, *(name for name, _, _ in entry.fields)}
        page.kind = entry.kind
        page.add("LIBRARY", ("raw", INTRO))
        page.add("SYNOPSIS", ("code", "#include <iouringnet.h>\n\n" + self.synopsis(entry)))
        page.add("DESCRIPTION", *blocks)
        if entry.name == "iouringnet_status":
            page.add("STATUSES", ("para", "iouringnet_errno returns the errno that stands at the end of a text."), ("defs", [self.status_row(name) for name in self.header.macros if name in self.statuses]))
            page.aliases += sorted(self.statuses)
        page.add("FIELDS", ("fields", [(name, self.field(lines)) for name, _, lines in entry.fields]) if entry.fields else None)
        if entry.kind == "function":
            page.add("PARAMETERS", ("defs", self.parameter_rows(entry, rows)) if entry.parameters else None)
            self.results(page, entry, parts)
        macro = entry.name + "_init"
        if macro in self.header.macros:
            page.aliases.append(macro)
            page.add("MACROS", ("defs", [("`%s(s)`" % macro, "Zeroes the struct at `s` and stores its size. Use it before anything else.")]))
        self.example(page)
        return page

    @staticmethod
    def field(lines):
        return comment.parse(lines)

    def synopsis(self, entry):
        if entry.kind != "struct":
            return wrap(entry.text) + ";"
        return "typedef struct {\n%s} %s;" % ("".join("    %s;\n" % text for _, text, _ in entry.fields), entry.name)

    def parameter_rows(self, entry, rows):
        told = dict(rows)
        found = []
        for name in entry.parameters:
            term = next((term for term in told if "`%s`" % name in term), None)
            if term is None:
                kind = re.search(r"(iouringnet_\w+) \*%s\b" % name, entry.text)
                found.append(("`%s`" % name, "The handle, an %s." % kind[1]))
            elif (term, told[term]) not in found:
                found.append((term, told[term]))
        return found

    def results(self, page, entry, parts):
        titles = {"Completion": "COMPLETION", "Calls": "CALLS"}
        for part, title in [("Returns", "RETURN VALUE"), *titles.items(), ("Owner", "OWNERSHIP"), ("Threads", "THREADS"),
                            ("Since", "SINCE")]:
            lines = parts.get(part)
            if not lines:
                continue
            if part == "Since":
                page.add(title, ("para", "libiouringnet " + lines[0]))
            elif part in ("Returns", *titles) and lines[0].startswith("  "):
                blocks = []
                for name, rows in comment.definitions(lines):
                    if name:
                        blocks.append(("para", "The callback `%s` gets:" % name))
                    blocks.append(("defs", rows))
                page.add(title, *blocks)
            else:
                page.add(title, *comment.parse([line.strip() for line in lines]))

    def status_row(self, name):
        value, lines = self.header.macros[name]
        if name == "IOURINGNET_OK":
            return (name + " (0)", "Success.")
        text, _, error = " ".join(lines).rpartition("; ")
        return ("%s %s" % (name, value), "%s. Errno: %s." % (capital(text), error))

    def constants(self):
        page = Page("iouringnet_constants", 3, "Constants of the header, except the statuses.")
        page.kind = "type"
        page.add("LIBRARY", ("raw", INTRO))
        page.add("SYNOPSIS", ("code", "#include <iouringnet.h>"))
        page.add("DESCRIPTION", ("para", "The header defines these macros. iouringnet_status has the statuses. "
                                         "The macros that prepare a struct stand on the page of the struct."))
        rows, versions = [], []
        for name, (value, lines) in self.header.macros.items():
            if name in self.statuses or name.endswith("_init"):
                continue
            (versions if "_VERSION" in name else rows).append((name, value, " ".join(lines)))
        page.add("CONSTANTS", ("defs", [
            ("IOURINGNET_CPU(n)" if name == "IOURINGNET_CPU" else "%s %s" % (name, value), text) for name, value, text in rows]))
        page.add("VERSION", ("para", versions[0][2]), ("defs", [
            (name, "%s, which is major << 16 | minor << 8 | patch." % value if name == "IOURINGNET_VERSION" else value + ".")
            for name, value, _ in versions]))
        page.aliases += [name for name, _, _ in rows + versions]
        self.put(page)

    def overview(self):
        blocks = comment.parse(self.header.essay)
        summary = re.match(r"iouringnet\.h: (.*)", blocks[0][1])[1]
        page = Page("iouringnet", 7, summary)
        page.kind = "overview"
        page.add("LIBRARY", ("raw", INTRO))
        title, section = None, []
        for block in blocks[1:] + [("head", None)]:
            if block[0] == "head":
                if title and title != "THE COMMENTS OF THE FUNCTIONS":
                    page.add(title, *section)
                title, section = block[1], []
            else:
                section.append(block)
        lists = []
        for group in dict.fromkeys(entry.group for entry in self.header.entries.values() if entry.group):
            members = [p for p in self.pages.values() if p.group == group]
            lists += [("subhead", group), ("defs", [(p.name, p.summary) for p in members])]
        page.add("FUNCTIONS", *lists)
        types = [p for p in self.pages.values() if p.kind in ("struct", "type")]
        page.add("TYPES", ("defs", [(p.name, p.summary) for p in types]))
        page.titles = [title for title, _ in page.sections]
        self.put(page)

    def example(self, page):
        found = self.code.get(page.name)
        if found:
            where, code, users = found
            others = [user for user in users if user != where][:6]
            page.add("EXAMPLE", ("para", "From %s:" % where), ("code", code),
                     ("para", "Used also in %s." % ", ".join(others)) if others else None)

    def see_also(self, page):
        """What the page names, its twin, then the overview."""
        if page.kind == "overview":
            names = ["iouringnet-probe(1)"]
        else:
            text = " ".join(plain(block) for title, blocks in page.sections if title != "EXAMPLE" for block in blocks)
            words = dict.fromkeys(re.findall(r"\w+", text))
            named = [self.names[word].name for word in words if word in self.names and self.names[word].kind != "overview"]
            twins = [page.name + "_async", page.name.removesuffix("_async")]
            users = [entry.name for entry in self.header.entries.values() if entry.name != page.name and page.name in words_of(entry)]
            found = dict.fromkeys([name for name in twins if name in self.pages] + named + users[:12])
            names = sorted("%s(3)" % name for name in found if name not in (page.name, "iouringnet_status", "iouringnet_constants"))
            if page.kind == "function":
                names.append("iouringnet_status(3)")
            names.append("iouringnet(7)")
        page.add("SEE ALSO", ("refs", list(dict.fromkeys(names))))


def words_of(entry):
    return re.findall(r"\w+", " ".join([entry.text, *(text for _, text, _ in entry.fields)]))


def capital(text):
    """The text with a capital letter first. Exception: names such as io_uring stay as they are."""
    return text if "_" in text.split(" ")[0] else text[0].upper() + text[1:]


def wrap(text):
    """A declaration with a line for each parameter if it is long."""
    text = re.sub(r"\s+", " ", text)
    if len(text) < 69:
        return text
    before, _, after = text.rpartition("(")
    return before + "(\n" + ",\n".join("    " + part.strip() for part in after.split(",")).replace(")", "", 0)


def plain(block):
    """The words of a block."""
    if isinstance(block, str):
        return block
    return " ".join(plain(item) for item in block[1:] if isinstance(item, (str, tuple, list))) if isinstance(
        block, tuple) and block[0] in ("para", "code", "raw", "list", "table", "defs", "fields", "refs") else " ".join(
        plain(item) for item in block if isinstance(item, (str, tuple, list)))


ERRNOS = set(errno.errorcode.values())
TOKEN = re.compile(r"`([^`]+)`|(-?\b[A-Za-z_]\w*)")
MARKED = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~^$\"'@:=&])")


def escape(text):
    return MARKED.sub(r"\\\1", text)


class Writer:
    """Writes the Markdown of a page, for man(1) or for a browser."""

    def __init__(self, manual, man):
        self.manual, self.man = manual, man

    def inline(self, text, page):
        for title in [] if self.man else getattr(page, "titles", []):
            before, found, after = text.partition("see " + title)
            if found:
                link = "see [%s](#%s)" % (sentence_case(title), re.sub(r"[^a-z]+", "-", title.lower()))
                return self.inline(before, page) + link + self.inline(after, page)
        out, at = [], 0
        for match in TOKEN.finditer(text):
            out.append(escape(text[at : match.start()]))
            out.append(self.token(match, page))
            at = match.end()
        return "".join(out) + escape(text[at:])

    def token(self, match, page):
        quoted, word = match[1], match[2]
        name = quoted or word
        known = self.manual.names.get(name)
        if known:
            if not self.man:
                return "`%s`" % name
            macro = name != known.name
            return "**%s**" % escape(name) + ("" if macro or known is page else "(%d)" % known.section)
        if quoted:
            return "*%s*" % escape(name) if self.man else "`%s`" % name
        if name.lstrip("-") in ERRNOS:
            return "**%s**" % escape(name) if self.man else "`%s`" % name
        return escape(name)

    def term(self, text, page):
        """The left side of a row: code, unless it is words."""
        if text.startswith("`") or re.search(r"[a-z] [a-z]", text):
            return self.inline(text, page)
        parts = text.split(", ")
        return ", ".join("**%s**" % escape(part) if self.man else "`%s`" % part for part in parts)

    def block(self, block, page):
        kind = block[0]
        if kind == "raw":
            return block[1]
        if kind == "para":
            return self.inline(block[1], page)
        if kind == "code":
            return "```%s\n%s\n```" % ("" if self.man else "c", block[1])
        if kind == "list":
            marks = ("%d. " % at if block[1] else "- " for at in range(1, 100))
            return "\n".join(mark + self.inline(item, page) for mark, item in zip(marks, block[2]))
        if kind == "subhead":
            return "## " + escape(block[1])
        if kind == "table" and self.man and width(block) > 70:
            return self.block(self.narrow(block), page)
        if kind == "table":
            rows = [block[1], ["---"] * len(block[1])] + block[2]
            lines = [[self.inline(cell, page) if cell != "---" else cell for cell in row] for row in rows]
            return "\n".join("| " + " | ".join(row) + " |" for row in lines)
        if kind == "defs":
            return "\n\n".join("%s\n: %s" % (self.term(term, page), self.inline(text, page)) for term, text in block[1])
        if kind == "fields":
            return "\n\n".join(self.definition(self.term("`%s`" % name, page), blocks, page) for name, blocks in block[1])
        if kind == "refs":
            if self.man:
                return ", ".join(re.sub(r"(.*)(\(\d\))", lambda m: "**%s**%s" % (escape(m[1]), m[2]), ref) for ref in block[1])
            return ", ".join("`%s`" % ref[: ref.index("(")] for ref in block[1])
        raise ValueError(kind)

    @staticmethod
    def narrow(table):
        """A table that is too wide for a terminal, as a list."""
        _, head, rows = table
        if len(head) == 2:
            return ("defs", [(words(head[0]), words(head[1]))] + [tuple(row) for row in rows])
        return ("defs", [("%s %s" % (words(head[0]), row[0]), "; ".join(
            "%s: %s" % pair for pair in zip(head[1:], row[1:])) + ".") for row in rows])

    def definition(self, term, blocks, page):
        text = "\n\n".join(self.block(block, page) for block in blocks)
        return term + "\n\n: " + text.replace("\n", "\n  ")

    def page(self, page):
        out = []
        for title, blocks in page.sections:
            if not self.man and title == "LIBRARY":
                continue
            if not self.man and blocks[0] == ("para", page.summary):  # the summary stands under the title there
                blocks = blocks[1:]
            if not blocks:
                continue
            out.append("# " + escape(title if self.man else sentence_case(title)))
            out += [self.block(block, page) for block in blocks]
        return "\n\n".join(out)


def width(table):
    """How many columns of a terminal a table takes."""
    rows = [table[1], *table[2]]
    return sum(max(len(row[at]) for row in rows) + 3 for at in range(len(table[1])))


def words(text):
    return text.strip("`")


def sentence_case(title):
    return title[0] + title[1:].lower()


def name_line(page):
    """What stands after the name in NAME: begins with a small letter, has no full stop at its end."""
    text = re.sub(r': ".*', "", page.summary.rstrip(".")).replace("`", "")
    if len(text) > 1 and text[1].islower():
        text = text[0].lower() + text[1:]
    return text
