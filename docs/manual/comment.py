"""Reads a comment of the header: paragraphs, lists, tables, code, and the parts that end each comment of a function.

tests/header.rs checks the fixed form of these comments. A block is a tuple, whose first item is its kind:

  ("para", text)
  ("list", ordered, [text of each item])
  ("table", [cell of the head], [[cell] for each row])
  ("defs", [(term, text)])        a table without a head
  ("code", text)
  ("head", text)                  a title in capitals, in the essay alone
"""

import re

PARTS = ("Owner", "Threads", "Completion", "Calls", "Returns", "Since")
PART = re.compile(r"(%s):(?: +(.*))?$" % "|".join(PARTS))
PARAMETER = re.compile(r"((?:`[^`]+`)(?:, `[^`]+`)*) {2,}(.*)$")
ITEM = re.compile(r"(-|\d+\.) +(.*)$")


def strip(comment):
    """The lines of a comment, without its stars."""
    text = re.sub(r"^\s*/\*+|\*+/\s*$", "", comment)
    lines = [re.sub(r"^\s*\*(?: |$)", "", line).rstrip() for line in text.split("\n")]
    if lines:
        lines[0] = lines[0].strip()
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def indent(line):
    return len(line) - len(line.lstrip(" "))


def dedent(lines):
    least = min(indent(line) for line in lines if line)
    return [line[least:] for line in lines]


def groups(lines):
    """The runs of lines between empty lines. Empty lines inside code belong to the code."""
    group = []
    for at, line in enumerate(lines):
        if line:
            group.append(line)
            continue
        following = next((later for later in lines[at:] if later), "")
        if group and is_code(group) and indent(following) >= 2:
            group.append(line)
        elif group:
            yield group
            group = []
    if group:
        yield group


def is_code(lines):
    return indent(lines[0]) >= 2 and any(
        line.endswith((";", "{", "}")) or line.lstrip().startswith("#include") for line in lines
    )


def parse(lines):
    """The blocks of a text."""
    blocks = []
    for group in groups(lines):
        if is_code(group):
            blocks.append(("code", "\n".join(dedent(group))))
        elif indent(group[0]) >= 2:
            blocks.append(table(dedent(group)))
        elif len(group) == 1 and re.fullmatch(r"[A-Z][A-Z', ]{4,}", group[0]):
            blocks.append(("head", group[0]))
        elif ITEM.match(group[0]):
            blocks.append(items(group))
        else:
            blocks.append(("para", " ".join(group)))
    return blocks


def items(lines):
    found = []
    for line in lines:
        match = ITEM.match(line)
        if match:
            found.append(match[2])
        else:
            found[-1] += " " + line.strip()
    return ("list", lines[0][0] != "-", found)


def columns(line):
    """Where the columns of a table begin."""
    return [0] + [match.end() for match in re.finditer(r"(?<=\S) {2,}(?=\S)", line)]


def table(lines):
    """A table with a head, or else terms and their texts. A line without a last cell continues the cell above."""
    starts = columns(lines[0])
    rows = []
    for line in lines:
        ends = starts[1:] + [None]
        cells = [line[start:end].strip() for start, end in zip(starts, ends)]
        if rows and (not cells[0] or not any(cells[1:])):
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells)]
        else:
            rows.append(cells)
    if len(starts) > 2 or is_head(rows[0]):
        return ("table", rows[0], rows[1:])
    return ("defs", [(row[0], row[-1]) for row in rows])


def is_head(row):
    """A head has words of lower case alone, without a sentence."""
    return bool(re.fullmatch(r"[a-z' ]+|`\w+`", row[0])) and bool(re.fullmatch(r"[a-z' ]+", row[-1]))


def definitions(lines):
    """Rows of a term and its text; a term alone with a colon begins a new list. Returns [(title or None, rows)]."""
    found = [(None, [])]
    for line in dedent(lines):
        cells = re.split(r" {2,}", line, maxsplit=1)
        if re.fullmatch(r"\w+:", line):
            found.append((line[:-1], []))
        elif line.startswith(" "):
            term, text = found[-1][1][-1]
            found[-1][1][-1] = (term, text + " " + line.strip())
        elif len(cells) == 2:
            found[-1][1].append((cells[0], cells[1]))
        else:
            raise ValueError("no column in this line of a table: " + line)
    return [(title, rows) for title, rows in found if rows]


def split(lines):
    """(what comes before the parts, {part: its lines})"""
    body, parts, current = [], {}, None
    for line in lines:
        match = PART.match(line)
        if match:
            current = parts.setdefault(match[1], [])
            if match[2]:
                current.append(match[2])
        elif current is None:
            body.append(line)
        else:
            current.append(line)
    return body, parts


def parameters(lines):
    """(the rows of the parameters, the other lines)"""
    rows, rest = [], []
    for group in groups(lines):
        if PARAMETER.match(group[0]):
            for line in group:
                match = PARAMETER.match(line)
                if match:
                    rows.append((match[1], match[2]))
                else:
                    rows[-1] = (rows[-1][0], rows[-1][1] + " " + line.strip())
        else:
            rest += group + [""]
    return rows, rest


def first_sentence(text):
    """The first sentence, and what follows it."""
    match = re.match(r"(.*?[^.]\.)(?: (?=[A-Z`\"])|$)(.*)", text)
    return (match[1], match[2]) if match else (text, "")
