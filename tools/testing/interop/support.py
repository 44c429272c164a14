#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The tables of what works, in README.md and Documentation/formats.rst, beside what the
backends declare, and that beside what happens.

    support.py tables VDCTL           both tables, as the backends would have them
    support.py check VDCTL            TAP lines "ok|not ok NAME": are they so?
    support.py declared VDCTL FORMAT SUBFORMAT   what is declared for it, as words
"""
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.realpath(__file__)) + "/../../.."
USES = ("read", "write", "create", "check", "repair")
README_USES = ("read", "write", "create")


def declared(vdctl):
    out = subprocess.run([vdctl, "formats", "-J"], check=True, stdout=subprocess.PIPE)
    return [(f["name"], i) for f in json.loads(out.stdout)["formats"] for i in f["images"]]


def yes(image, use):
    return "yes" if image[use] else "no"


def readme_rows(images):
    return [[i["image"], *(yes(i, u) for u in README_USES)] for _, i in images]


def rst_rows(images):
    return [[i["image"], *(yes(i, u) for u in USES), i["note"] or ""] for _, i in images]


def readme_table(rows):
    lines = ["| image | " + " | ".join(README_USES) + " |", "|---" * (1 + len(README_USES)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def rst_table(rows):
    head = ["Image", *USES, "note"]
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    bar = "  ".join("=" * w for w in widths)

    def line(cells):
        return "  ".join(c.ljust(w) for c, w in zip(cells, widths)).rstrip()

    return "\n".join([bar, line(head), bar, *(line(r) for r in rows), bar])


def section(path, head, stop):
    """Lines of a document between two of its lines."""
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        lines = file.read().split("\n")
    start = lines.index(head) + 1
    return lines[start:lines.index(stop, start)]


def table_of(lines, is_row):
    rows = [n for n, l in enumerate(lines) if is_row(l)]
    return "\n".join(lines[rows[0]:rows[-1] + 1]) if rows else ""


def check(vdctl):
    images = declared(vdctl)
    names = [i["image"] for _, i in images]
    docs = (
        ("README.md", readme_table(readme_rows(images)),
         table_of(section("README.md", "## What works", "## Documents"),
                  lambda l: l.startswith("|"))),
        ("formats.rst", rst_table(rst_rows(images)),
         table_of(section("Documentation/formats.rst", "At a glance", "Raw"),
                  lambda l: l.startswith("===  ") or l.startswith("====") and "  " in l or
                  l.startswith("Image ") or "  yes  " in l or "  no  " in l)),
    )
    for name, want, found in docs:
        good = found == want
        print(f"{'ok' if good else 'not ok'} support: {name} says what the backends declare")
        if not good:
            for w in want.split("\n"):
                if w not in found:
                    print(f"# lacks: {w}")
            for f in found.split("\n"):
                if f not in want:
                    print(f"# has: {f}")
    good = len(set(names)) == len(names)
    print(f"{'ok' if good else 'not ok'} support: no kind of image is declared twice")


def show_declared(vdctl, fmt, subformat):
    for name, image in declared(vdctl):
        if name == fmt and subformat in (image["subformats"] or "").split():
            print(" ".join(u for u in USES if image[u]))
            return
    print("nothing")


def main():
    verb, vdctl = sys.argv[1:3]
    if verb == "tables":
        images = declared(vdctl)
        print(readme_table(readme_rows(images)))
        print()
        print(rst_table(rst_rows(images)))
    elif verb == "check":
        check(vdctl)
    else:
        show_declared(vdctl, *sys.argv[3:])


if __name__ == "__main__":
    main()
