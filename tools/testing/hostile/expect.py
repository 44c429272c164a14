# SPDX-License-Identifier: GPL-2.0-only
"""expected.tsv, and what is on a disk by it.

    case how verdict answer disk sentence rule

verdict refuse: opening fails with @answer and @sentence. open: it works, the disk is as @disk says,
and where that has a "!" a read fails with @answer and @sentence; else @sentence, unless "-", is a
warning. check: `vdctl check` exits with @answer and says @sentence.

disk: size, then for each part that is not zeros POS+LEN=BYTE, POS+LEN@FILE (of the case's directory,
or @FILE:POS there) or POS+LEN! where reads fail; numbers like 4K or 1M-512.
"""
import errno
import os
import random
import re
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

MIB = 1 << 20
UNITS = {"s": 512, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# The word that vdctl says for it in JSON, its exit code, and the errno behind both.
ANSWERS = {
    "EUCLEAN": ("image_damaged", 5, errno.EUCLEAN),
    "EOPNOTSUPP": ("unsupported", 5, errno.EOPNOTSUPP),
    "EACCES": ("no_access", 1, errno.EACCES),
    "invalid": ("failed", 1, errno.EINVAL),
    "reference_refused": ("reference_refused", 6, None),
    "chain_loops": ("chain_loops", 5, None),
    "parent_changed": ("parent_changed", 5, None),
    "parent_missing": ("parent_missing", 3, None),
    "extent_missing": ("extent_missing", 3, None),
    "used_twice": ("used_twice", 5, None),
    "too_deep": ("unsupported", 5, None),
    "has_children": ("has_children", 5, None),
    "not_an_image": ("not_an_image", 1, None),
    "loop": ("failed", 1, None),
    "not_found": ("not_found", 3, None),
    "read_only": ("read_only", 5, None),
    "format_not_said": ("format_not_said", 2, None),
}

# How a row is opened: the image, and what vdctl is told besides ({} is the case's directory).
# Those that end in "rw" are for writing, those that end in "check" are checked.
HOWS = {
    "ro": ("disk.vmdk",), "rw": ("disk.vmdk",), "check": ("disk.vmdk",),
    "split": ("split.vmdk",), "split-rw": ("split.vmdk",),
    "raw": ("disk.raw", "-f", "raw"), "raw-rw": ("disk.raw", "-f", "raw"),
    "auto": ("disk.raw",), "auto-rw": ("disk.raw",),
    "vdi": ("disk.vdi",), "vdi-rw": ("disk.vdi",), "vdi-check": ("disk.vdi",),
    "over": ("disk.vdi", "--parent", "{}/parent.vdi"),
    "over-rw": ("disk.vdi", "--parent", "{}/parent.vdi"),
}

Row = namedtuple("Row", "case how verdict answer disk sentence rule")
Piece = namedtuple("Piece", "pos end byte")    # byte: a number, a file's name, None: reads fail


def load(path):
    rows = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.startswith("#") or not line.strip():
                continue
            words = line.rstrip("\n").split("\t")
            if len(words) != 7 or words[2] not in ("refuse", "open", "check"):
                raise ValueError(f"{path}:{number}: {len(words)} columns, {words[2:3]}")
            rows += [Row(words[0], how, *words[2:]) for how in words[1].split(",")]
    return rows


def judge_all(rows, judge, name_of):
    """
    Prints "ok|not_ok TAB name TAB details" a row, as judge(row) gives a text or None, in the
    table's order. Cases run side by side; rows of one case do not.
    """
    cases = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for results in pool.map(lambda of_case: [(row, judge(row)) for row in of_case],
                                cases.values()):
            for row, bad in results:
                print("not_ok" if bad else "ok", name_of(row), *([repr(bad)[1:-1]] if bad else []),
                      sep="\t", flush=True)


def writes(row):
    return row.how.endswith("rw")


def checks(row):
    return row.how.endswith("check")


def options(root, row):
    directory = os.path.join(root, "cases", row.case)
    return [word.format(directory) for word in HOWS[row.how][1:]]


def number(text):
    total = 0
    for sign, digits, unit in re.findall(r"([+-]?)(\d+)([sKMGT]?)", text):
        value = int(digits) * UNITS.get(unit, 1)
        total += -value if sign == "-" else value
    return total


class Disk:
    """What should be read."""

    def __init__(self, text, directory="."):
        self.directory = directory
        size, *parts = text.split()
        self.size = number(size)
        self.pieces = []
        for part in parts:
            pos, length, how = re.fullmatch(r"([-\w]+)\+([-\w]+)(!|=\w\w|@.+)", part).groups()
            pos = number(pos)
            byte = {"!": None, "@": how[1:]}.get(how[0], how[1:])
            byte = int(byte, 16) if how[0] == "=" else byte
            self.pieces.append(Piece(pos, pos + number(length), byte))

    def fails(self):
        return [p for p in self.pieces if p.byte is None]

    def bytes(self, pos, end):
        data = bytearray(end - pos)
        for p in self.pieces:
            start, stop = max(p.pos, pos), min(p.end, end)
            if start < stop and p.byte is not None:
                data[start - pos:stop - pos] = self.piece(p, start, stop)
        return bytes(data)

    def piece(self, p, start, stop):
        if isinstance(p.byte, int):
            return bytes([p.byte]) * (stop - start)
        name, _, at = p.byte.partition(":")
        with open(os.path.join(self.directory, name), "rb") as f:
            f.seek(start - p.pos + number(at))
            return f.read(stop - start).ljust(stop - start, b"\0")

    def looks(self):
        """Ranges to read: both ends, around each piece, ten anywhere; cut where reads fail."""
        rng = random.Random(self.size)
        spots = [(0, MIB), (self.size - MIB, self.size)]
        for p in self.pieces:
            spots += [(p.pos - 4096, min(p.pos + MIB, p.end)),
                      (max(p.end - MIB, p.pos), p.end + 4096)]
        spots += [(pos * 512, pos * 512 + 4096)
                  for pos in (rng.randrange(max(self.size // 512, 1)) for _ in range(10))]
        spots = sorted((max(a & ~511, 0), min(b + 511 & ~511, self.size)) for a, b in spots)
        merged = []
        for a, b in spots:
            if merged and a <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], b)
            elif a < b:
                merged.append([a, b])
        return [part for a, b in merged for part in self.good_parts(a, b)]

    def good_parts(self, a, b):
        for p in sorted(self.fails()):
            if p.pos < b and a < p.end:
                if a < p.pos:
                    yield a, p.pos
                a = p.end
        if a < b:
            yield a, b

    def compare(self, read):
        """read(pos, length) gives bytes or an errno's name. What is wrong, or None."""
        for a, b in self.looks():
            got = read(a, b - a)
            if got != self.bytes(a, b):
                return f"[{a}, {b}): {describe(got, self.bytes(a, b), a)}"
        return None

    def compare_failing(self, read, want):
        for p in self.fails():
            for pos in {p.pos, p.end - 512}:
                got = read(pos, 512)
                if got != want:
                    return f"at {pos}: {got if isinstance(got, str) else 'data'}, not {want}"
        return None


def describe(got, want, at):
    if isinstance(got, str):
        return f"{got}, not data"
    if len(got) != len(want):
        return f"{len(got)} bytes"
    first = next(i for i in range(len(got)) if got[i] != want[i])
    return f"byte {at + first} is {got[first]:02x}, not {want[first]:02x}"


def image(root, row):
    return os.path.join(root, "cases", row.case, HOWS[row.how][0])
