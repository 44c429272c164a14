# SPDX-License-Identifier: GPL-2.0-only
"""Small disks of every kind, sound unless told otherwise, and where their parts lie.

Written from the formats' own descriptions; nothing of the program under test is used. Every
number of a header can be replaced by a keyword, every byte afterwards with File.put().
"""
import os
import struct
import zlib

SECTOR = 512
DISK = "disk.vmdk"
OUTER = "split.vmdk"
NO_CID = "ffffffff"
AT_END = (1 << 64) - 1

# Of the disk that most cases start from: 4 MiB in two grain tables.
SECTORS = 8192
GRAIN = 8
GRAINS = {0: 0x41, 2: 0x42, 512: 0x43}


class File:
    """One file in the making: a sparse image of bytes."""

    def __init__(self, directory, name):
        self.path = os.path.join(directory, name)
        with open(self.path, "wb"):
            pass

    def put(self, pos, data):
        with open(self.path, "r+b") as f:
            f.seek(pos)
            f.write(data)

    def le32(self, pos, *values):
        self.put(pos, struct.pack(f"<{len(values)}I", *values))

    def le64(self, pos, *values):
        self.put(pos, struct.pack(f"<{len(values)}Q", *values))

    def size(self, size):
        with open(self.path, "r+b") as f:
            f.truncate(size)

    def length(self):
        return os.path.getsize(self.path)


def ceil(a, b):
    return -(-a // b)


def text(*lines, cid="11111111", parent=NO_CID, kind="monolithicSparse", head=None):
    """A descriptor with these lines for extents and more."""
    if head is None:
        head = ["# Disk DescriptorFile", "version=1", f"CID={cid}", f"parentCID={parent}",
                f'createType="{kind}"']
    return "\n".join([*head, *lines, ""]).encode()


def write(directory, name, data):
    File(directory, name).put(0, data if isinstance(data, bytes) else data.encode())


def outer(directory, *lines, name=OUTER, **more):
    more.setdefault("kind", "custom")
    write(directory, name, text(*lines, **more))


class Sparse(File):
    """Hosted sparse extent: header, descriptor, both directories with tables, grains.

    grains: number of a grain to the byte that fills it. @desc: sectors of the descriptor's
    area, 0 for none. @tables: how many tables there is room for, default all. change() replaces
    fields of the header, and nothing else.
    """
    FIELDS = "magic version flags capacity grain desc desc_size gtes rgd gd overhead unclean " \
             "newline compress"
    HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")

    def __init__(self, directory, name=DISK, sectors=SECTORS, grain=GRAIN, grains=None,
                 words=None, desc=20, redundant=True, tables=None):
        super().__init__(directory, name)
        grains = GRAINS if grains is None else grains
        self.nr = ceil(sectors, grain * 512)
        self.dir_sectors = ceil(self.nr * 4, SECTOR)
        # Sectors that tables are given to; a huge disk has none.
        self.tables = self.nr if tables is None else tables
        at = 1 + desc
        self.dirs = []
        for _ in range(2 if redundant else 1):
            self.dirs.append(at)
            at += self.dir_sectors + 4 * self.tables
        self.overhead = ceil(at, grain) * grain
        self.place = {g: self.overhead + i * grain for i, g in enumerate(sorted(grains))}
        self.grain_bytes = grain * SECTOR
        self.header(magic=b"KDMV", version=1, flags=3 if redundant else 1, capacity=sectors,
                    grain=grain, desc=1 if desc else 0, desc_size=desc, gtes=512,
                    rgd=self.dirs[0] if redundant else 0, gd=self.dirs[-1],
                    overhead=self.overhead, unclean=0, newline=b"\n \r\n", compress=0)
        if desc:
            words = text(f'RW {sectors} SPARSE "{name}"') if words is None else words
            self.put(SECTOR, words)
        self.size((self.overhead + len(grains) * grain) * SECTOR)
        self.fill(grains)

    def header(self, **fields):
        self.fields = fields
        self.put(0, self.HEADER.pack(*(fields[f] for f in self.FIELDS.split())))

    def change(self, **fields):
        self.header(**{**self.fields, **fields})

    def fill(self, grains):
        for base in range(len(self.dirs)):
            for i in range(self.tables):
                self.gde(i, self.table(i, base) // SECTOR, base)
        for g, byte in grains.items():
            self.gte(g, self.place[g])
            self.put(self.place[g] * SECTOR, bytes([byte]) * self.grain_bytes)

    def directory(self, which=-1):
        """Byte of a directory; 0 is the redundant one, -1 the first that is asked."""
        return self.dirs[which] * SECTOR

    def table(self, index, which=-1):
        return self.directory(which) + (self.dir_sectors + 4 * index) * SECTOR

    def gde(self, index, sector, *which):
        for base in which or range(len(self.dirs)):
            self.le32(self.directory(base) + 4 * index, sector)

    def gte(self, grain, sector, *which):
        for base in which or range(len(self.dirs)):
            self.le32(self.table(grain // 512, base) + 4 * (grain % 512), sector)


class Stream(File):
    """streamOptimized: grains behind markers, then tables, directory, footer, end.

    grains: number to content. @front: the header knows the directory, there is no footer.
    packed: number to the bytes that stand for deflated content; marks: number to (lba, size).
    """

    def __init__(self, directory, name=DISK, sectors=1024, grain=128, grains=None, packed=None,
                 marks=None, front=False, markers=True, footer=None, **fields):
        super().__init__(directory, name)
        grains = {0: b"A", 2: b"B"} if grains is None else grains
        self.grain = grain
        self.at = {}
        self.put(SECTOR, text(f'RDONLY {sectors} SPARSE "{name}"', kind="streamOptimized"))
        pos = 21
        for g in sorted(grains):
            data = zlib.compress(grains[g] * (grain * SECTOR))
            pos = self.unit(pos, g, (packed or {}).get(g, data), (marks or {}).get(g), markers)
        pos = self.marker(pos, 4, 1)
        self.gt = pos * SECTOR
        self.le32(self.gt, *(self.at.get(g, 0) for g in range(512)))
        pos = self.marker(pos + 4, 1, 2)
        self.gd = pos * SECTOR
        self.le32(self.gd, self.gt // SECTOR)
        pos += 1
        self.fields = dict(magic=b"KDMV", version=3, flags=0x30001 if markers else 0x10001,
                           capacity=sectors, grain=grain, desc=1, desc_size=20, gtes=512, rgd=0,
                           gd=self.gd // SECTOR, overhead=21, unclean=0, newline=b"\n \r\n",
                           compress=1)
        self.footer = 0
        if not front:
            pos = self.marker(pos, 1, 3)
            self.footer = pos * SECTOR
            self.header(self.footer, **{"desc": 0, "desc_size": 0, **(footer or {})})
            pos = self.marker(pos + 1, 0, 0)
            fields.setdefault("gd", AT_END)
        self.size(pos * SECTOR)
        self.header(0, **fields)

    def header(self, pos, **fields):
        fields = {**self.fields, **fields}
        self.put(pos, Sparse.HEADER.pack(*(fields[f] for f in Sparse.FIELDS.split())))

    def unit(self, pos, grain, data, mark, markers):
        lba, size = mark or (grain * self.grain, len(data))
        self.at[grain] = pos
        head = struct.pack("<QI", lba, size) if markers else struct.pack("<I", size)
        self.put(pos * SECTOR, head + data)
        return pos + ceil(len(head) + len(data), SECTOR)

    def marker(self, pos, value, kind):
        self.put(pos * SECTOR, struct.pack("<QII", value, 0, kind))
        return pos + 1


class Cowd(File):
    """COWD delta of 1 MiB, grains of 4 KiB, one table, with a descriptor beside it."""
    FIELDS = "magic version flags sectors grain gd entries free"

    def __init__(self, directory, name="delta.vmdk", sectors=2048, grain=8, grains=None,
                 words=None, **fields):
        super().__init__(directory, name)
        grains = {0: 0x41, 2: 0x42} if grains is None else grains
        self.gt = 5 * SECTOR
        self.data = 5 + 32
        self.fields = dict(magic=b"COWD", version=1, flags=3, sectors=sectors, grain=grain, gd=4,
                           entries=1, free=self.data + len(grains) * grain)
        self.change(**fields)
        self.le32(4 * SECTOR, 5)
        for i, g in enumerate(sorted(grains)):
            self.le32(self.gt + 4 * g, self.data + i * grain)
            self.put((self.data + i * grain) * SECTOR, bytes([grains[g]]) * (grain * SECTOR))
        self.size((self.data + len(grains) * grain) * SECTOR)
        outer(directory, words or f'RW 2048 VMFSSPARSE "{name}"', name=DISK, kind="vmfsSparse")

    def change(self, **fields):
        self.fields.update(fields)
        self.put(0, struct.pack("<4s7I", *(self.fields[f] for f in self.FIELDS.split())))


class Sesparse(File):
    """SESparse delta of 32 MiB: two tables, grains 0 and 4096, 1 zero, 2 unmapped."""
    AREAS = "volatile journal_header journal gd gts bitmap backmap grains"

    def __init__(self, directory, name="delta.vmdk", sectors=65536, line=None, areas=None, gd=8,
                 **fields):
        super().__init__(directory, name)
        sizes = dict(volatile=8, journal_header=8, journal=8, gd=gd, gts=128, bitmap=8, backmap=8,
                     grains=64)
        self.at = {}
        pos = 8
        for area in self.AREAS.split():
            self.at[area] = pos
            pos += sizes[area]
        self.words = {0: 0xcafebabe, 8: 0x200000001, 16: sectors, 24: 8, 32: 64, 40: 0}
        for i, area in enumerate(self.AREAS.split()):
            self.words[80 + 16 * i] = self.at[area]
            self.words[88 + 16 * i] = sizes[area]
        for area, (offset, size) in (areas or {}).items():
            i = self.AREAS.split().index(area)
            self.words[80 + 16 * i] = offset
            self.words[88 + 16 * i] = size
        self.words.update({int(k[1:]): v for k, v in fields.items()})
        for byte, value in self.words.items():
            self.le64(byte, value)
        self.le64(self.byte("volatile"), 0xcafecafe, 0, 0, 0)
        self.le64(self.byte("gd"), 0x10000000 << 32, 0x10000000 << 32 | 1)
        self.le64(self.byte("gts"), self.entry(0), 2 << 60, 1 << 60)
        self.le64(self.byte("gts") + 64 * SECTOR, self.entry(1))
        self.put(self.byte("grains"), b"A" * 4096 + b"B" * 4096)
        self.size(self.byte("grains") + 8192)
        outer(directory, line or f'RW {sectors} SESPARSE "{name}"', name=DISK, kind="seSparse")

    def byte(self, area):
        return self.at[area] * SECTOR

    @staticmethod
    def entry(index):
        """Index of a grain, as a table says it: 12 low bits on top, the rest below."""
        return 3 << 60 | (index & 0xfff) << 48 | index >> 12


def flat(directory, name, pieces, size):
    """A file of @size bytes; pieces: position to (length, byte)."""
    f = File(directory, name)
    f.size(size)
    for pos, (length, byte) in pieces.items():
        f.put(pos, bytes([byte]) * length)
    return f
