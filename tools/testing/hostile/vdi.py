# SPDX-License-Identifier: GPL-2.0-only
"""VDI: headers, maps and parents that lie. Places and sizes are bytes, map entries count slots."""
import os
import struct

from layouts import File, Sparse, ceil, flat
from registry import case, simple

VDI = "disk.vdi"
PARENT = "parent.vdi"
MIB = 1 << 20
FREE, ZERO = 0xffffffff, 0xfffffffe
DYNAMIC, FIXED, UNDO, DIFF = 1, 2, 3, 4
SIGNATURE = 0xbeda107f
BANNER = b"<<< Oracle VM VirtualBox Disk Image >>>\n"
OWN, OTHER, THIRD = bytes(range(0x10, 0x20)), bytes(range(0x40, 0x50)), bytes(range(0x70, 0x80))
NONE = bytes(16)

# Of the disk that most cases start from: 4 blocks of 1 MiB, of each the first 4 KiB.
ENTRIES = (1, FREE, 0, 2)
SLOTS = {0: 0x42, 1: 0x41, 2: 0x43}
FILL = 4096

# What stands where in the header: position, format. 1.x; of 0.2 what it has.
FIELDS = {
    "signature": (64, "I"), "version": (68, "I"), "header": (72, "I"), "type": (76, "I"),
    "flags": (80, "I"), "comment": (84, "256s"), "map": (340, "I"), "data": (344, "I"),
    "legacy": (348, "12s"), "old_sector": (360, "I"), "dummy": (364, "I"), "disk": (368, "Q"),
    "block": (376, "I"), "extra": (380, "I"), "blocks": (384, "I"), "allocated": (388, "I"),
    "uuid": (392, "16s"), "mod": (408, "16s"), "parent": (424, "16s"), "parent_mod": (440, "16s"),
    "lchs": (456, "12s"), "lchs_sector": (468, "I"),
}
FIELDS_0 = {
    "signature": (64, "I"), "version": (68, "I"), "type": (72, "I"), "flags": (76, "I"),
    "comment": (80, "256s"), "legacy": (336, "12s"), "old_sector": (348, "I"), "disk": (352, "Q"),
    "block": (360, "I"), "blocks": (364, "I"), "allocated": (368, "I"), "uuid": (372, "16s"),
    "mod": (388, "16s"), "parent": (404, "16s"),
}


class Vdi(File):
    """Header, map, slots. Each field of the header can be replaced; the rest stays as it was."""

    def __init__(self, directory, name=VDI, entries=ENTRIES, slots=None, map_at=512, data_at=None,
                 block=MIB, extra=0, old=False, size=None, **fields):
        super().__init__(directory, name)
        slots = SLOTS if slots is None else slots
        self.map = 420 if old else map_at
        end = self.map + 4 * len(entries)
        self.data = end if old else data_at or ceil(end, 512) * 512
        self.slot = block + extra
        self.extra = extra
        self.put(0, BANNER)
        self.fields = FIELDS_0 if old else FIELDS
        first = {"signature": SIGNATURE, "version": 2 if old else 0x10001, "header": 400,
                 "type": DYNAMIC, "map": self.map, "data": self.data, "old_sector": 512,
                 "disk": len(entries) * block, "block": block, "extra": extra,
                 "blocks": len(entries), "allocated": len(slots), "uuid": OWN, "mod": OTHER,
                 "lchs_sector": 512}
        self.change(**{**{k: v for k, v in first.items() if k in self.fields}, **fields})
        self.put(self.map, struct.pack(f"<{len(entries)}I", *entries))
        for slot, byte in slots.items():
            self.put(self.place(slot), bytes([byte]) * min(FILL, block))
        self.size(self.data + self.slot * (max(slots, default=-1) + 1) if size is None else size)

    def place(self, slot):
        return self.data + self.slot * slot + self.extra

    def change(self, **fields):
        for name, value in fields.items():
            pos, how = self.fields[name]
            self.put(pos, struct.pack("<" + how, value))


def image(name, change=None, **more):
    """A case with one image; @change: fields that the rest does not know of."""
    simple(name, lambda directory: Vdi(directory, **more).change(**change or {}))


def header(name, **change):
    image(f"vdi-{name}", change)


# --- the header ---

header("control")
image("vdi-vbox-layout", map_at=MIB, data_at=2 * MIB)
image("vdi-empty-file", size=0)
image("vdi-cut-in-signature", size=66)
image("vdi-cut-after-version", size=72)
image("vdi-cut-in-header", size=455)
image("vdi-cut-in-map", size=527)
image("vdi-no-slots", entries=(FREE,) * 4, slots={}, size=528)
for word, number in (("0-0", 0), ("0-1", 1), ("0-3", 3), ("2-0", 0x20000), ("max", 0xffffffff)):
    header(f"version-{word}", version=number)
header("version-1-3", version=0x10003)
for number in (0, 383, 384, 385, 441, 0x7fffffff, 0xffffffff):
    header(f"header-{number}", header=number)
image("vdi-header-1024", {"header": 1024}, map_at=2048)
for number in (0, 5, 0xffffffff):
    header(f"type-{number}", type=number)
image("vdi-fixed", {"type": FIXED}, entries=(0, 1, 2))
image("vdi-fixed-sparse", {"type": FIXED}, entries=(0, FREE, 2, ZERO))
header("undo", type=UNDO)
header("flags-unknown", flags=0x400)
header("flags-max", flags=0xffffffff)
header("flags-diff", flags=0x200)
header("flags-zero-expand", flags=1)
header("comment-endless", comment=b"x" * 256)
header("comment-control", comment=b"\x1b[2J\rone\x07two\x9b\xff\xfe\n")
image("vdi-map-odd", map_at=513)
image("vdi-map-516", map_at=516)
image("vdi-map-beside-header", map_at=480, data_at=512)
header("map-in-header", map=468)
header("map-0", map=0)
header("map-max", map=0xfffffffc)
header("data-0", data=0)
header("data-in-map", data=524)
image("vdi-data-max", {"data": 0xffffffff}, entries=(FREE,) * 4, slots={})
header("data-max-used", data=0xffffffff)
image("vdi-data-odd", data_at=1027)
image("vdi-data-shares-sector", data_at=528)
header("disk-0", disk=0)
header("disk-511", disk=511)
header("disk-odd", disk=4 * MIB - 100)
header("disk-2e63", disk=1 << 63)
header("disk-all-ones", disk=(1 << 64) - 1)
header("disk-one-more", disk=4 * MIB + 1)
image("vdi-disk-64t", {"disk": 1 << 46, "block": 1 << 28}, entries=(FREE,) * (1 << 18), slots={})
image("vdi-disk-64t-past", {"disk": (1 << 46) + 512, "block": 1 << 28},
      entries=(FREE,) * ((1 << 18) + 1), slots={})
for number in (0, 1, 3, 256, 0x180000, 1 << 29, 1 << 31, 0xffffffff):
    header(f"block-{number}", block=number)
image("vdi-block-512", block=512)
image("vdi-block-256m", block=1 << 28, entries=(FREE, 0), slots={0: 0x41})
header("extra-3", extra=3)
image("vdi-extra-512", extra=512)
image("vdi-extra-1", extra=1)
header("extra-2e31", extra=1 << 31)
header("extra-max", extra=0xffffffff)
header("blocks-0", blocks=0)
header("blocks-short", blocks=3)
for number in ((1 << 30) - 1, 1 << 30, (1 << 30) + 4, 0xffffffff):
    header(f"blocks-{number}", blocks=number)
image("vdi-blocks-more", {"disk": 3 * MIB}, entries=(1, FREE, 0, 2))
for number in (0, 1, 400, 0xffffffff):
    header(f"allocated-{number}", allocated=number)
header("uuid-none", uuid=NONE)
header("uuid-no-modification", mod=NONE)
header("lchs-sector-0", lchs_sector=0, lchs=b"\xff" * 12)
header("old-geometry", legacy=b"\xff" * 12, old_sector=0xffffffff, dummy=0xffffffff)

# --- version 0.2 ---

image("vdi-old", old=True)
image("vdi-old-uneven", old=True, entries=(1, FREE, 0, 2, FREE, FREE, FREE))
image("vdi-old-cut-in-header", old=True, size=419)
image("vdi-old-cut-in-map", old=True, size=435)
for number in (3, 1 << 30, (1 << 30) + 4, 0xffffffff):
    image(f"vdi-old-blocks-{number}", {"blocks": number}, old=True)
image("vdi-old-many-blocks", {"disk": 1 << 26}, old=True, block=512,
      entries=(1, FREE, 0) + (2,) * ((1 << 17) - 3))

# --- the map ---

image("slots-zero", entries=(1, ZERO, 0, ZERO, FREE))
image("slots-past-end", entries=(1, FREE, 0, 1000))
image("slots-at-end", entries=(1, FREE, 0, 3))
image("slots-max", entries=(1, FREE, 0, 0xfffffffd))
image("slots-wrap", entries=(1, FREE, 0, 4096))
image("slots-foreign-order", {"type": FIXED}, entries=(0, 1 << 24, 2 << 24))
image("slots-twice", entries=(1, FREE, 0, 1))
image("slots-all-one", entries=(0,) * 64, slots={0: 0x41})
image("slots-unused-past-end", {"disk": 3 * MIB}, entries=(1, FREE, 0, 1000))
image("slots-unused-twice", {"disk": 3 * MIB}, entries=(1, FREE, 0, 0))
image("slots-holes", {"allocated": 6}, entries=(5, FREE, 3, 2), slots={5: 0x41, 3: 0x42, 2: 0x43})
image("slots-last-cut", size=1024 + 2 * MIB + 4096)
image("slots-last-cut-odd", size=1024 + 2 * MIB + 1000)
image("slots-no-slot-whole", size=1024 + 5)
image("slots-tail", size=1024 + 4 * MIB + 777)
image("slots-far", entries=(1, FREE, 0, (1 << 21) - 2), size=(1 << 41) - 512)
image("slots-none-but-header", entries=(FREE, ZERO), slots={})


# --- parents that a user names ---

def child(directory, name=VDI, **change):
    """One block of its own and one of zeros."""
    fields = {"type": DIFF, "parent": OTHER, "parent_mod": THIRD, **change}
    return Vdi(directory, name, entries=(FREE, FREE, ZERO, 0), slots={0: 0x44}).change(**fields)


def base(directory, **change):
    Vdi(directory, PARENT, **{k: change.pop(k) for k in ("entries",) if k in change}).change(
        **{"uuid": OTHER, "mod": THIRD, **change})


def over(name, below=base, **change):
    def make(directory):
        child(directory, **change)
        below(directory)
    simple(f"over-{name}", make)


def changed(**change):
    return lambda directory: base(directory, **change)


def linked(directory):
    os.link(os.path.join(directory, VDI), os.path.join(directory, PARENT))


over("control")
over("uuid-wrong", changed(uuid=THIRD))
over("modification-wrong", changed(mod=OWN))
over("uuid-none", changed(uuid=NONE))
over("undo", type=UNDO)
over("type-of-a-base", type=DYNAMIC)
over("type-of-a-fixed", type=FIXED)
over("flags-fixed", flags=0x300)
over("names-nobody", parent=NONE, parent_mod=NONE)
over("itself", linked, parent=OWN)
over("copy-of-itself", lambda directory: child(directory, PARENT, parent=OWN), parent=OWN,
     parent_mod=OTHER)
over("damaged", changed(type=5))
over("map-past-end", changed(entries=(77, FREE, 0, 2)))
over("smaller", changed(disk=MIB + 512))
over("larger", changed(entries=(1, FREE, 0, 2, 2, 2)), disk=3 * MIB + 512)
over("vmdk", lambda directory: Sparse(directory, PARENT), parent=NONE, parent_mod=NONE)
over("vmdk-without-uuid", lambda directory: Sparse(directory, PARENT))
over("raw", lambda directory: flat(directory, PARENT, {0: (FILL, 0x45)}, MIB), parent=NONE,
     parent_mod=NONE)

# --- parents that UUIDs name ---

simple("diff-alone", child)
simple("diff-names-nobody", lambda directory: child(directory, parent=NONE))
header("base-with-parent", parent=OTHER)
header("undo-with-parent", type=UNDO, parent=OTHER)
simple("diff-own-uuid", lambda directory: child(directory, parent=OWN))


@case("diff-beside")
def beside(directory):
    """Among things to stumble over."""
    child(directory)
    base(directory)
    os.mkfifo(os.path.join(directory, "a.vdi"))
    os.mkdir(os.path.join(directory, "b.vdi"))
    os.symlink("nothing", os.path.join(directory, "c.vdi"))
    Vdi(directory, "d.vdi").change(type=5, uuid=OTHER)


@case("diff-loop-of-two")
def loop_of_two(directory):
    child(directory)
    child(directory, "other.vdi", uuid=OTHER, mod=THIRD, parent=OWN, parent_mod=OTHER)


@case("diff-chain-65")
def chain_65(directory):
    """Each one the next one's parent, and one more than there may be."""
    for level in range(65):
        this, below = bytes([1, level]) * 8, bytes([1, level + 1]) * 8
        child(directory, f"level{level}.vdi" if level else VDI, uuid=this, mod=this, parent=below,
              parent_mod=below)
