#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Dead links in *.md and *.rst: relative links, anchors and named files.

Usage: checklinks.py FILE...; run from the top of the tree. A word in code
quotes that begins with a folder of the tree is taken for a file name and must
exist; it may be a pattern.
"""

import glob
import os
import re
import sys

FOLDERS = ("Documentation/", "kernel/", "ctl/", "formats-common/", "include/", "tools/", "udev/",
           "completions/", ".ci/")
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:")


def slug(title):
    title = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower()
    return re.sub(r"[^\w\- ]", "", title).replace(" ", "-")


def without_code(text):
    """Fenced blocks blanked, line numbers kept."""
    return re.sub(r"^```.*?^```", lambda m: "\n" * m.group().count("\n"), text,
                  flags=re.S | re.M)


def anchors(path):
    with open(path, encoding="utf-8") as file:
        text = without_code(file.read())
    return {slug(t) for t in re.findall(r"^#+\s+(.*)$", text, re.M)}


def links(path, text):
    """(offset, target) of everything that should lead somewhere."""
    if path.endswith(".md"):
        for match in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", text):
            yield match.start(), match.group(1)
        for match in re.finditer(r"^\[[^\]]+\]:\s*(\S+)", text, re.M):
            yield match.start(), match.group(1)
        return
    for match in re.finditer(r"`[^`<]*<([^>`]+)>`__?", text):
        yield match.start(), match.group(1)
    for match in re.finditer(r"^\.\. (?:include|literalinclude|figure|image):: *(\S+)", text, re.M):
        yield match.start(), match.group(1)
    for match in re.finditer(r"^\.\. _[^:]+: *(\S+)$", text, re.M):
        yield match.start(), match.group(1)


def named_files(text):
    for match in re.finditer(r"``?([^`\s]+)``?", text):
        word = match.group(1)
        if word.startswith(FOLDERS) and not re.search(r"[<>{}$=]|N\b", word):
            yield match.start(), word


def check(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    prose = without_code(text) if path.endswith(".md") else text
    for offset, target in links(path, prose):
        line = prose.count("\n", 0, offset) + 1
        if EXTERNAL.match(target):
            continue
        name, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(full):
            yield line, f"no such file: {target}"
        elif anchor and full.endswith(".md") and anchor not in anchors(full):
            yield line, f"no such heading: {target}"
    for offset, word in named_files(prose):
        if not glob.glob(word.rstrip(".,;:")):
            yield prose.count("\n", 0, offset) + 1, f"no such file in the tree: {word}"


def main():
    failed = False
    for path in sys.argv[1:]:
        for line, problem in check(path):
            print(f"{path}:{line}: {problem}")
            failed = True
    return 1 if failed else 0


sys.exit(main())
