"""What clang and the preprocessor say of include/iouringnet.h: its declarations, macros and comments."""

import json
import re
import subprocess

import comment


class Entry:
    """One declaration that gets a page: a function, or a type with its fields."""

    def __init__(self, kind, name, text, lines, group):
        self.kind, self.name, self.text, self.lines, self.group = kind, name, text, lines, group
        self.parameters = []  # names
        self.fields = []  # (name, declaration, lines of its comment)
        self.macros = []  # names of macros that have their text on this page


class Header:
    def __init__(self, path, clang="clang"):
        self.path = path
        self.source = path.read_bytes()
        self.text = self.source.decode()
        self.groups = [
            (match.start(), match[1]) for match in re.finditer(r"(?m)^/\* ---- (.*?) ---- \*/$", self.text)
        ]
        self.essay = comment.strip(self.text[: self.text.index("*/") + 2])
        run = lambda *options: subprocess.run(
            [clang, "-std=c11", "-x", "c", *options, str(path)], check=True, capture_output=True
        ).stdout
        self.entries = {}
        records = {}
        for node in json.loads(run("-fsyntax-only", "-Xclang", "-ast-dump=json"))["inner"]:
            if "includedFrom" in node.get("loc", {}).get("spellingLoc", node.get("loc", {})) or "offset" not in node["loc"]:
                continue
            if node["kind"] == "RecordDecl" and node.get("completeDefinition"):
                records[node["range"]["begin"]["offset"]] = node
            elif node["kind"] in ("FunctionDecl", "TypedefDecl"):
                self.add(node, records)
        before = set(self.defines(subprocess.run(
            [clang, "-std=c11", "-x", "c", "-dM", "-E", "-include", "stddef.h", "-include", "stdint.h",
             "-include", "sys/uio.h", "/dev/null"], check=True, capture_output=True).stdout))
        here = set(self.defines(run("-dM", "-E"))) - before - {"IOURINGNET_H"}
        self.macros = {name: self.macro(name) for name in self.defines(self.source) if name in here}

    @staticmethod
    def defines(output):
        return [match[1].decode() for match in re.finditer(rb"(?m)^#define (\w+)", output)]

    def add(self, node, records):
        begin, end = (node["range"][side]["offset"] for side in ("begin", "end"))
        end += node["range"]["end"]["tokLen"]
        text = self.source[begin:end].decode()
        record = records.get(begin + len("typedef "))
        lines = self.comment_before(begin)
        if lines is None:
            raise ValueError(node["name"] + " has no comment")
        kind = "function" if node["kind"] == "FunctionDecl" else "struct" if record else "type"
        entry = Entry(kind, node["name"], text, lines, self.group_at(begin))
        if kind == "function":
            entry.parameters = [inner["name"] for inner in node.get("inner", []) if inner["kind"] == "ParmVarDecl"]
        if record:
            for inner in record["inner"]:
                if inner["kind"] == "FieldDecl":
                    at = inner["range"]["begin"]["offset"]
                    to = inner["range"]["end"]["offset"] + inner["range"]["end"]["tokLen"]
                    entry.fields.append((inner["name"], self.source[at:to].decode(), self.comment_before(at)))
        self.entries[entry.name] = entry

    def comment_before(self, offset):
        before = self.source[:offset].decode()
        if not before.rstrip().endswith("*/"):
            return None
        return comment.strip(before[before.rindex("/*") :].rstrip())

    def group_at(self, offset):
        offset = len(self.source[:offset].decode())
        names = [name for at, name in self.groups if at < offset]
        return names[-1] if names else None

    def macro(self, name):
        """(value, lines of the comment before, or of the comment before the first of a row of macros)"""
        match = re.search(r"(?m)^#define %s(\([^)]*\))?(?: (.*))?$" % name, self.text)
        value = re.sub(r" /\*.*", "", match[2] or "")
        before = self.text[: match.start()].split("\n")[:-1]
        while before and before[-1].startswith("#define"):
            before.pop()
        text = "\n".join(before)
        lines = comment.strip(text[text.rindex("/*") :]) if text.endswith("*/") else []
        return value, lines
