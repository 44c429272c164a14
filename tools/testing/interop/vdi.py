#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""VDI images by the format's sheet, and a reader of them that shares no code with what is
tested.

    vdi.py make FILE NAME=VALUE...   a new image; names of FIELDS, and besides
                                     map=E,E,...  entries: slot numbers, f (free), z (zero)
                                     data=SEED    slots hold random bytes
                                     size is that of the disk, in bytes
    vdi.py field FILE NAME [VALUE]   a field of the header: print or set
    vdi.py entry FILE BLOCK [VALUE]  an entry of the map
    vdi.py map FILE                  all entries
    vdi.py read FILE... OUT          the disk as raw; FILE from the top down
    vdi.py uuid FILE NAME            a UUID as text
"""
import os
import random
import struct
import sys
import uuid

FREE, ZERO = 0xffffffff, 0xfffffffe
SIGNATURE = 0xbeda107f

# name: (offset, format)
FIELDS = {
    "signature": (64, "I"), "version": (68, "I"), "header": (72, "I"), "type": (76, "I"),
    "flags": (80, "I"), "mappos": (340, "I"), "datapos": (344, "I"), "sector": (360, "I"),
    "dummy": (364, "I"), "size": (368, "Q"), "block": (376, "I"), "extra": (380, "I"),
    "blocks": (384, "I"), "allocated": (388, "I"),
}
UUIDS = {"uuid": 392, "mod": 408, "parent": 424, "parentmod": 440}


def fill_header(head, values):
    for name, value in values.items():
        if name in UUIDS:
            head[UUIDS[name]:UUIDS[name] + 16] = uuid.UUID(value).bytes_le
        else:
            pos, kind = FIELDS[name]
            struct.pack_into("<" + kind, head, pos, value)


def parse_map(text):
    return [{"f": FREE, "z": ZERO}[e] if e in "fz" else int(e) for e in text.split(",")]


def make(path, args):
    given = dict(a.split("=", 1) for a in args)
    entries = parse_map(given.pop("map"))
    seed = int(given.pop("data", 0))
    values = {k: v if k in UUIDS else int(v, 0) for k, v in given.items()}
    block = values.setdefault("block", 1 << 20)
    used = [e for e in entries if e < ZERO]
    high = max(used) + 1 if used else 0
    defaults = {
        "signature": SIGNATURE, "version": 0x10001, "header": 400, "type": 1, "mappos": 512,
        "sector": 512, "size": len(entries) * block, "blocks": len(entries),
        "allocated": high, "uuid": str(uuid.UUID(int=random.getrandbits(128))),
        "mod": str(uuid.UUID(int=random.getrandbits(128))),
    }
    values = {**defaults, **values}
    values.setdefault("datapos", (values["mappos"] + 4 * len(entries) + 511) & ~511)
    head = bytearray(512)
    head[:40] = b"<<< Oracle VM VirtualBox Disk Image >>>\n"
    fill_header(head, values)
    rng = random.Random(seed)
    with open(path, "wb") as file:
        file.write(head[:max(472, min(512, values["mappos"]))])
        file.seek(values["mappos"])
        file.write(b"".join(struct.pack("<I", e) for e in entries))
        slot = block + values.get("extra", 0)
        file.truncate(values["datapos"] + high * slot)
        for e in range(high):
            file.seek(values["datapos"] + e * slot)
            file.write(rng.randbytes(slot))


def get(path, name):
    pos, kind = FIELDS[name]
    with open(path, "rb") as file:
        file.seek(pos)
        return struct.unpack("<" + kind, file.read(struct.calcsize(kind)))[0]


def field(path, name, value=None):
    if value is None:
        print(get(path, name))
        return
    pos, kind = FIELDS[name]
    with open(path, "r+b") as file:
        file.seek(pos)
        file.write(struct.pack("<" + kind, int(value, 0)))


def entries_of(path):
    with open(path, "rb") as file:
        file.seek(get(path, "mappos"))
        n = get(path, "blocks")
        return struct.unpack(f"<{n}I", file.read(4 * n))


def entry(path, index, value=None):
    if value is None:
        print(entries_of(path)[int(index)])
        return
    with open(path, "r+b") as file:
        file.seek(get(path, "mappos") + 4 * int(index))
        file.write(struct.pack("<I", parse_map(value)[0]))


def show_map(path):
    print(",".join({FREE: "f", ZERO: "z"}.get(e, str(e)) for e in entries_of(path)))


class Image:
    """One image: bytes at a place, or None where the parent is asked."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = get(path, "size") & ~511
        self.block = get(path, "block")
        self.extra = get(path, "extra")
        self.data = get(path, "datapos")
        self.map = entries_of(path)

    def sector(self, pos):
        entry_ = self.map[pos // self.block]
        if entry_ == FREE:
            return None
        if entry_ == ZERO:
            return bytes(512)
        slot = self.block + self.extra
        self.file.seek(self.data + entry_ * slot + self.extra + pos % self.block)
        return self.file.read(512).ljust(512, b"\0")


def read(paths, out):
    chain = [Image(p) for p in paths]
    with open(out, "wb") as file:
        for pos in range(0, chain[0].size, 512):
            found = None
            for image in chain:
                if pos >= image.size:
                    break
                found = image.sector(pos)
                if found is not None:
                    break
            file.write(found if found is not None else bytes(512))


def show_uuid(path, name):
    with open(path, "rb") as file:
        file.seek(UUIDS[name])
        print(uuid.UUID(bytes_le=file.read(16)))


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "read":
        read(args[:-1], args[-1])
    else:
        {"make": lambda: make(args[0], args[1:]), "field": lambda: field(*args),
         "entry": lambda: entry(*args), "map": lambda: show_map(*args),
         "uuid": lambda: show_uuid(*args)}[verb]()


if __name__ == "__main__":
    main()
