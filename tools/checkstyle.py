#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The style rules that a line of text can show, over every file of the tree.

Usage: checkstyle.py FILE...; prints FILE:LINE: what, exits 1 if anything.
"""

import os
import re
import sys

COLUMNS = 100

# Put together from halves, so that this file passes its own check.
MARKS = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))

# Text that cannot or need not carry a licence line.
NO_SPDX = {"COPYING", ".gitignore"}
BINARY = (".vmdk", ".img", ".gz", ".xz", ".png", ".bin")

# What shared code may include: its own headers, never its surroundings.
SHARED_INCLUDE = re.compile(r'#include\s+("|<linux/vdisk\.h>)')


def strip_code(line, in_comment):
    """The line without strings and comments, and whether a comment goes on."""
    out = []
    i = 0
    while i < len(line):
        if in_comment:
            end = line.find("*/", i)
            if end < 0:
                return "".join(out), True
            i, in_comment = end + 2, False
        elif line.startswith("/*", i):
            i, in_comment = i + 2, True
        elif line[i] in "\"'":
            quote = line[i]
            i += 1
            while i < len(line) and line[i] != quote:
                i += 2 if line[i] == "\\" else 1
            i += 1
            out.append(quote + quote)
        else:
            out.append(line[i])
            i += 1
    return "".join(out), in_comment


def too_long(line):
    """Columns beyond the limit; a message is never broken, so one may stick out."""
    columns = len(line.expandtabs(8))
    if columns <= COLUMNS or re.search(r'"[^"]{20,}"[\s,);}]*$', line):
        return 0
    return columns


def check_c(path, lines):
    in_comment = False
    shared = path.startswith("formats-common/") and not path.startswith("formats-common/port/")
    for number, line in enumerate(lines, 1):
        code, in_comment = strip_code(line, in_comment)
        if too_long(line):
            yield number, f"{too_long(line)} columns"
        if re.match(r" {8}", line):
            yield number, "indented by spaces"
        if re.search(r" \t", line):
            yield number, "blank before a tab"
        if number > 1 and "//" in code:
            yield number, "// comment"
        if re.search(r"\btypedef\s+(struct|union|enum)\b", code):
            yield number, "typedef of a struct, union or enum"
        if re.search(r"\b(if|for|while|switch)\(", code):
            yield number, "no blank after a keyword"
        if re.search(r"\)\{\s*$", code):
            yield number, "no blank before a brace"
        if "LINUX_VERSION_CODE" in code:
            yield number, "kernel version test: test for a token in the headers instead (Kbuild)"
        if shared and "__KERNEL__" in code:
            yield number, "__KERNEL__ outside formats-common/port"
        include = re.match(r"\s*#include\b.*", line)
        if shared and include and not SHARED_INCLUDE.match(include.group().strip()):
            yield number, "shared code includes its surroundings; that is for formats-common/port"


def check_any(path, lines):
    if os.path.basename(path) not in NO_SPDX:
        if not any("SPDX-License-Identifier:" in line for line in lines[:3]):
            yield 1, "no SPDX-License-Identifier in the first three lines"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if MARKS.search(line):
            yield number, "mark of unfinished work"
    if lines and not lines[-1]:
        yield len(lines), "empty line at the end"


def check(path):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    except UnicodeDecodeError:
        return [(1, "not UTF-8")]
    problems = []
    if text and not text.endswith("\n"):
        problems.append((text.count("\n") + 1, "no newline at the end"))
    if "\r" in text:
        problems.append((1, "carriage return"))
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    problems += check_any(path, lines)
    if path.endswith((".c", ".h")):
        problems += check_c(path, lines)
    return problems


def main():
    failed = False
    for path in sys.argv[1:]:
        if path.endswith(BINARY) or os.path.islink(path) or not os.path.isfile(path):
            continue
        for number, problem in sorted(check(path)):
            print(f"{path}:{number}: {problem}")
            failed = True
    return 1 if failed else 0


sys.exit(main())
