#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Chains that mix formats, written without vdctl's code, and what they must read as.

    chain.py fill IMAGE RAW SEED      random units of a VMDK or VDI, and the same bytes of RAW
    chain.py uuid IMAGE FIELD HEX     set a UUID of a VDI: image modification link parent
    chain.py text FILE UUID PARENT [LINE...]   a VMDK descriptor of 64 KiB of zeros; - for no UUID
    chain.py copies DIR NUMBER        so many of them, all with one UUID, each the child of it
    chain.py random VDCTL DIR SEED    a chain of 2 to 8 images of random formats and sizes; prints
                                      its top, and what it reads as is in DIR/expected
"""
import json
import os
import random
import struct
import subprocess
import sys

SECTOR = 512
KIB64 = 65536
MIB = 1 << 20
FIELDS = {"image": 0x188, "modification": 0x198, "link": 0x1A8, "parent": 0x1B8}
FREE = 0xFFFFFFFF


def word(f, pos):
    f.seek(pos)
    return struct.unpack("<I", f.read(4))[0]


def put_word(f, pos, value):
    f.seek(pos)
    f.write(struct.pack("<I", value))


def shadow(raw, pos, data):
    """Neither image nor shadow goes on beyond the end of the disk."""
    data = data[:max(0, os.path.getsize(raw) - pos)]
    with open(raw, "r+b") as f:
        f.seek(pos)
        f.write(data)


def fill_vdi(image, raw, rng):
    with open(image, "r+b") as f:
        table, data, block = word(f, 0x154), word(f, 0x158), word(f, 0x178)
        blocks = word(f, 0x180)
        for index in rng.sample(range(blocks), max(1, blocks // 3)):
            slot = word(f, table + 4 * index)
            content = rng.randbytes(block)
            if slot == FREE:
                slot = word(f, 0x184)
                put_word(f, 0x184, slot + 1)
                put_word(f, table + 4 * index, slot)
            f.seek(data + slot * block)
            f.write(content)
            shadow(raw, index * block, content)


def fill_vmdk(image, raw, rng):
    """Whole grains, through QEMU, which sees no parent: so it has nothing to fill up."""
    spec = json.dumps({"driver": "vmdk", "file": {"driver": "file", "filename": image},
                       "backing": None})
    grains = os.path.getsize(raw) // KIB64
    commands = []
    for index in rng.sample(range(grains), grains // 3) if grains else []:
        pattern = rng.randrange(1, 256)
        commands += ["-c", f"write -q -P {pattern} {index * KIB64} {KIB64}"]
        shadow(raw, index * KIB64, bytes([pattern]) * KIB64)
    if commands:
        subprocess.run(["qemu-io", *commands, "json:" + spec], check=True)


def fill(image, raw, seed):
    rng = random.Random(seed)
    with open(image, "rb") as f:
        f.seek(64)
        vdi = f.read(4) == b"\x7f\x10\xda\xbe"
    (fill_vdi if vdi else fill_vmdk)(image, raw, rng)


def set_uuid(image, field, value):
    """Stored as Windows stores them: the first three parts little-endian."""
    u = bytes.fromhex(value.replace("-", ""))
    with open(image, "r+b") as f:
        f.seek(FIELDS[field])
        f.write(u[3::-1] + u[5:3:-1] + u[7:5:-1] + u[8:])


def text(path, uuid, parent, *lines):
    with open(path, "w", encoding="utf-8") as f:
        f.write("# Disk DescriptorFile\nversion=1\nCID=11111111\nparentCID=ffffffff\n"
                "createType=\"custom\"\nRW 128 ZERO\n")
        if uuid != "-":
            f.write(f"ddb.uuid.image=\"{uuid}\"\n")
        if parent != "-":
            f.write(f"ddb.uuid.parent=\"{parent}\"\n")
        for line in lines:
            f.write(line + "\n")


def copies(directory, number):
    uuid = "77777777-7777-4777-8777-777777777777"
    for i in range(int(number)):
        text(os.path.join(directory, f"copy{i}.vmdk"), uuid, uuid)


def raw_size(path, size):
    """The disk as it is seen through a child of another size."""
    os.truncate(path, min(size, os.path.getsize(path)))
    os.truncate(path, size)


def make_base(vdctl, directory, rng, size):
    kind = rng.choice(["raw", "vmdk", "vdi"])
    path = os.path.join(directory, f"0.{kind}")
    expected = os.path.join(directory, "expected")
    subprocess.run([vdctl, "create", "-q", path, str(size)], check=True)
    with open(expected, "wb") as f:
        f.truncate(size)
    if kind == "raw":
        for i in range(size // KIB64):
            if rng.randrange(2):
                data = rng.randbytes(KIB64)
                shadow(path, i * KIB64, data)
                shadow(expected, i * KIB64, data)
    else:
        fill(path, expected, rng.random())
    return path


def random_chain(vdctl, directory, seed):
    rng = random.Random(seed)
    path = make_base(vdctl, directory, rng, rng.randrange(1, 9 * MIB // SECTOR) * SECTOR)
    expected = os.path.join(directory, "expected")
    for level in range(1, rng.randrange(2, 9)):
        # A VDI names its parent by UUID only, and raw has none.
        kind = "vmdk" if path.endswith(".raw") else rng.choice(["vmdk", "vdi"])
        child = os.path.join(directory, f"{level}.{kind}")
        size = rng.randrange(1, 9 * MIB // SECTOR) * SECTOR
        if rng.randrange(2):
            size = os.path.getsize(expected)
        subprocess.run([vdctl, "create", "-q", "-b", path, child, str(size)], check=True)
        raw_size(expected, size)
        fill(child, expected, rng.random())
        path = child
    print(path)


def main(argv):
    verbs = {"fill": fill, "uuid": set_uuid, "text": text, "copies": copies,
             "random": random_chain}
    if not argv or argv[0] not in verbs:
        sys.exit(__doc__)
    verbs[argv[0]](*argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
