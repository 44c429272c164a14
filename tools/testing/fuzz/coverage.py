#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What llvm-cov counted of the library, region by region.

    coverage.py EXPORT.json UNCOVERED.txt MINIMUM

Prints a table and TAP. Each region that was not reached must be listed with a
reason; the list names a function and the source text, so that it does not rot.
"""

import json
import os
import re
import sys

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
# What reads images or changes them; create.c writes new ones and reads nothing.
SCOPE = re.compile(r"formats-common/(core|raw|vmdk|vdi|include/vdisk)/(?!create\.c)[^/]*$")
TEXT = 60
CODE = 0	# kind of region


def regions_of(export):
    """{file: {(l1, c1, l2, c2): [count, function]}}"""
    files = {}
    for function in export["data"][0]["functions"]:
        name = function["name"].split(":")[-1]
        for l1, c1, l2, c2, count, file_id, _, kind in function["regions"]:
            path = os.path.relpath(os.path.join(TOP, function["filenames"][file_id]), TOP)
            if kind != CODE or not SCOPE.match(path):
                continue
            region = files.setdefault(path, {}).setdefault((l1, c1, l2, c2), [0, name])
            region[0] += count
    return files


def text_of(lines, region):
    l1, c1, l2, c2 = region
    if l1 == l2:
        text = lines[l1 - 1].expandtabs(1)[c1 - 1:c2 - 1]
    else:
        text = " ".join([lines[l1 - 1][c1 - 1:]] + lines[l1:l2 - 1] + [lines[l2 - 1][:c2 - 1]])
    return " ".join(text.split())[:TEXT].strip()


def inside(a, b):
    return a != b and b[:2] <= a[:2] and a[2:] <= b[2:]


def missed_of(path, regions):
    """[(function, text)] of the outermost regions that were not reached."""
    missed = [r for r, (count, _) in regions.items() if not count]
    with open(os.path.join(TOP, path), encoding="utf-8") as source:
        lines = source.read().split("\n")
    outer = [r for r in missed if not any(inside(r, other) for other in missed)]
    return [(regions[r][1], text_of(lines, r)) for r in sorted(outer)]


def read_reasons(path):
    reasons = {}
    with open(path, encoding="utf-8") as source:
        for line in source:
            if line.strip() and not line.startswith("#"):
                name, function, text, reason = line.rstrip("\n").split("\t")
                reasons[name, function, text] = reason
    return reasons


def main():
    export, list_path, minimum = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with open(export, encoding="utf-8") as source:
        files = regions_of(json.load(source))
    reasons = read_reasons(list_path)
    all_regions = all_missed = 0
    unexplained, used = [], set()
    for path in sorted(files):
        regions = files[path]
        missed = sum(1 for count, _ in regions.values() if not count)
        all_regions += len(regions)
        all_missed += missed
        print("# %-42s %5d regions %4d missed %7.2f %%" % (
            path, len(regions), missed, 100 - 100 * missed / len(regions)))
        for function, text in missed_of(path, regions):
            key = (path.removeprefix("formats-common/"), function, text)
            used.add(key)
            if key not in reasons:
                unexplained.append("\t".join(key))
    share = 100 - 100 * all_missed / all_regions
    print("# %-42s %5d regions %4d missed %7.2f %%" % ("all", all_regions, all_missed, share))
    for key in reasons.keys() - used:
        print("# reached by now: " + "\t".join(key))
    print("%sok 1 - %.2f %% of the regions are reached, not less than %g" % (
        "" if share >= minimum else "not ", share, minimum))
    for line in unexplained:
        print("# " + line)
    print("%sok 2 - every other one is in uncovered.txt with a reason" % (
        "not " if unexplained else ""))
    print("1..2")
    return 0 if share >= minimum and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
