#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""clang-format as a checker, limited to what it cannot get wrong.

Where to break a line, and columns lined up by hand in tables, are the
author's. What is left is compared: on a line that has the same words in the
source and in clang-format's output, the indentation by tabs and the spaces
between the words must be the same, too.
"""

import difflib
import re
import subprocess
import sys


def indent(line):
    return line[:len(line) - len(line.lstrip())]


def body(line):
    """Words with single blanks; strings and what follows a comment are left out.

    Blanks beside a star are not compared (clang-format takes some declarations
    for products), nor those before the brace of a compound literal.
    """
    text = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    text = re.sub(r"\s*(/\*.*|//.*)$", "", text)
    text = re.sub(r"\s*\*\s*", "*", text)
    text = re.sub(r"\)\s*\{", "){", text)
    return re.sub(r"\s+", " ", text.strip())


def squeeze(line):
    return re.sub(r"\s+", "", line)


def begins_statement(before):
    """Does a statement begin after these lines? If not, a line continues one."""
    for line in reversed(before):
        text = re.sub(r"\s*(/\*.*\*/|//.*)\s*$", "", line).strip()
        if text:
            return (text.endswith((";", "{", "}", ":", "*/", "else", "do")) or
                    text.startswith(("#", "if (", "for (", "while (", "} else if (")))
    return True


def differs(ours, theirs, before):
    if squeeze(ours) != squeeze(theirs):
        return False
    # A define may line up its value, a comment may stand anywhere.
    if ours.lstrip().startswith(("#", "*", "/*")):
        return False
    if body(ours) != body(theirs):
        return True
    mine, wanted = indent(ours), indent(theirs)
    if " " in mine or " " in wanted or mine == wanted:
        return False
    return begins_statement(before)


def check(path, clang_format):
    with open(path, encoding="utf-8") as file:
        ours = file.read().splitlines()
    done = subprocess.run([clang_format, path], capture_output=True, text=True, check=True)
    theirs = done.stdout.splitlines()
    found = 0
    matcher = difflib.SequenceMatcher(None, [squeeze(l) for l in ours],
                                      [squeeze(l) for l in theirs], autojunk=False)
    for tag, i1, i2, j1, _ in matcher.get_opcodes():
        if tag != "equal":
            continue
        for i in range(i1, i2):
            wanted = theirs[j1 + i - i1]
            macro = ours[i].endswith("\\") or (i and ours[i - 1].endswith("\\"))
            if ours[i] != wanted and not macro and differs(ours[i], wanted, ours[:i]):
                print(f"{path}:{i + 1}: {ours[i]!r}\n    clang-format: {wanted!r}")
                found += 1
    return found


def main():
    clang_format, *paths = sys.argv[1:]
    return 1 if sum(check(path, clang_format) for path in paths) else 0


sys.exit(main())
