#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Is what expected.tsv says of a VDI's content what its file holds? vdi_reader.py DIR [CASE...]

Reads by the format's description, without the program under test: a table of what should be read
cannot be copied from what is read. Prints a line a row that opens, as judge.py does.
"""
import os
import struct
import sys

import expect

HERE = os.path.dirname(os.path.abspath(__file__))
SIGNATURE, FREE, ZERO = 0xbeda107f, 0xffffffff, 0xfffffffe


class Image:
    """One file, and its parent if there is one."""

    def __init__(self, path, parent=None):
        self.file = open(path, "rb")
        self.length = os.path.getsize(path)
        self.parent = parent
        head = self.at(0, 512).ljust(512, b"\0")
        version, = struct.unpack_from("<I", head, 68)
        if version == 2:
            disk, self.block, self.blocks = struct.unpack_from("<QII", head, 352)
            self.map, self.extra = 420, 0
            self.data = self.map + 4 * self.blocks
        else:
            self.map, self.data = struct.unpack_from("<II", head, 340)
            disk, self.block, self.extra, self.blocks = struct.unpack_from("<QIII", head, 368)
        self.size = disk // 512 * 512

    def at(self, pos, length):
        self.file.seek(pos)
        return self.file.read(length)

    def sector(self, pos):
        """512 bytes, or the word for a failure."""
        if pos >= self.size:
            return bytes(512)
        number, inside = divmod(pos, self.block)
        entry, = struct.unpack("<I", self.at(self.map + 4 * number, 4))
        if entry == FREE:
            return self.parent.sector(pos) if self.parent else bytes(512)
        if entry == ZERO:
            return bytes(512)
        begin = self.data + entry * (self.block + self.extra) + self.extra
        if begin >= self.length:
            return "EUCLEAN"
        return self.at(begin + inside, 512).ljust(512, b"\0")

    def read(self, pos, length):
        parts = [self.sector(at) for at in range(pos, pos + length, 512)]
        words = [part for part in parts if isinstance(part, str)]
        return words[0] if words else b"".join(parts)


def is_vdi(path):
    with open(path, "rb") as f:
        return f.read(68)[64:] == struct.pack("<I", SIGNATURE)


def open_row(root, row):
    """None: something else is part of it."""
    image = expect.image(root, row)
    below = os.path.join(os.path.dirname(image), "parent.vdi")
    paths = [image] + ([below] if os.path.exists(below) else [])
    if not image.endswith(".vdi") or not all(is_vdi(path) for path in paths):
        return None
    return Image(image, Image(below) if len(paths) > 1 else None)


def judge(root, row):
    image = open_row(root, row)
    disk = expect.Disk(row.disk, os.path.dirname(expect.image(root, row)))
    if disk.size != image.size:
        return f"{image.size} bytes, not {disk.size}"
    return disk.compare(image.read) or disk.compare_failing(image.read, row.answer)


def main(argv):
    rows = [row for row in expect.load(os.path.join(HERE, "expected.tsv"))
            if row.verdict == "open" and not expect.writes(row) and
            (len(argv) == 2 or row.case in argv[2:])]
    expect.judge_all([row for row in rows if open_row(argv[1], row)],
                     lambda row: judge(argv[1], row),
                     lambda row: f"{row.case}, {row.how}: by the format's description, too")


if __name__ == "__main__":
    main(sys.argv)
