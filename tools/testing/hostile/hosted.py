# SPDX-License-Identifier: GPL-2.0-only
"""Hosted sparse extents: headers that lie, tables that lead astray.

Each header stands in a disk of its own, whose descriptor is inside, and in one that a separate
descriptor makes of the same file: the first is parsed in user space, the second is for whoever
opens extents.
"""
from layouts import DISK, SECTOR, SECTORS, Sparse, outer, text, write
from registry import case, simple

BIG = 1 << 63
T62 = 62 << 31    # sectors of 62 TiB
T64 = 64 << 31
GRAIN_MAX = 2048


def both(directory, sectors=SECTORS, says=None, **fields):
    """disk.vmdk, and split.vmdk over it with @says sectors."""
    disk = Sparse(directory, sectors=sectors, **fields)
    outer(directory, f'RW {says or sectors} SPARSE "{DISK}"')
    return disk


def header(name, layout=None, **fields):
    """@layout is for both(); @fields stand in the header, whatever is true."""
    simple(f"hosted-{name}", lambda directory: both(directory, **(layout or {})).change(**fields))


header("control")
header("version-0", version=0)
header("version-4", version=4)
header("version-max", version=0xffffffff)
header("version-3", version=3)
header("magic-unfinished", magic=b"kdmv")
header("flags-high", flags=3 | 1 << 31)
header("flags-low", flags=3 | 1 << 3)
header("flags-markers-alone", flags=3 | 1 << 17)
header("flags-packed-alone", flags=3 | 1 << 16)
header("compress-alone", compress=1)
header("compress-2", compress=2)
header("compress-2-flagged", compress=2, flags=3 | 1 << 16)
header("newline-broken", newline=b"\n \n\n")
header("newline-unflagged", newline=b"\n \n\n", flags=2)
header("unclean", unclean=1)
header("capacity-0", capacity=0)
header("capacity-2e63", capacity=BIG)
header("capacity-all-ones", capacity=(1 << 64) - 1)
header("capacity-2e55", capacity=1 << 55)
header("capacity-short", capacity=SECTORS - 1)
header("capacity-long", capacity=SECTORS + 8)
header("line-longer", dict(says=SECTORS + 1, words=text(f'RW {SECTORS + 1} SPARSE "{DISK}"')))
header("line-shorter", dict(says=4096, words=text(f'RW 4096 SPARSE "{DISK}"')))
for value in (0, 3, 129, 4096, BIG):
    simple(f"hosted-grain-size-{'2e63' if value == BIG else value}",
           lambda directory, v=value: both(directory).change(grain=v))
for value in (0, 511, 513, 1024, 0xffffffff):
    header(f"gtes-{'max' if value == 0xffffffff else value}", gtes=value)
header("grain-size-1", dict(sectors=1024, grain=1, grains={0: 0x41, 1023: 0x42}))
header("grain-size-2048", dict(sectors=4096, grain=2048, grains={1: 0x41}))
header("desc-size-past-cap", desc_size=20481)
header("desc-size-all-ones", desc_size=(1 << 64) - 1)
header("desc-past-end", desc_size=20480)
header("desc-2e55", desc=(1 << 55) + 1)
header("desc-2e63", desc=BIG)
header("desc-none", desc_size=0)
header("desc-at-0", desc=0)
header("desc-over-directory", desc=10)
header("gd-0", gd=0)
header("gd-2e55", gd=1 << 55)
header("gd-2e63", gd=BIG)
header("gd-past-end", gd=1 << 20)
header("gd-in-descriptor", gd=2)
header("gd-is-rgd", gd=21)
header("gd-at-end-without-footer", gd=(1 << 64) - 1)
header("rgd-0", rgd=0)
header("rgd-past-end", rgd=1 << 20)
header("rgd-all-ones", rgd=(1 << 64) - 1)
header("overhead-past-end", overhead=1 << 20)
header("overhead-2e63", overhead=BIG)
header("overhead-0", overhead=0)


@case("hosted-tiny-62t")
def tiny_62t(directory):
    disk = both(directory, sectors=SECTORS, says=T62,
                words=text(f'RW {T62} SPARSE "{DISK}"'))
    disk.change(capacity=T62)
    disk.size(4096)


@case("hosted-tiny-62t-large-grains")
def tiny_62t_large(directory):
    disk = both(directory, sectors=SECTORS, says=T62, desc=4,
                words=text(f'RW {T62} SPARSE "{DISK}"'))
    disk.change(capacity=T62, grain=GRAIN_MAX)
    disk.size(4096)


def huge(name, sectors, grain, spare=0):
    """A sound, empty disk whose directories are holes of the file."""
    def make(directory):
        both(directory, sectors=sectors, grain=grain, grains={}, tables=0).change(
            capacity=sectors + spare)
    simple(name, make)


huge("hosted-huge-62t", T62, GRAIN_MAX)
huge("hosted-cap-64t", T64, GRAIN_MAX)
huge("hosted-cap-64t-past", T64, GRAIN_MAX, spare=1)
huge("hosted-cap-tables", 1 << 36, 128)
huge("hosted-cap-tables-past", 1 << 36, 128, spare=1)


@case("hosted-desc-size-cap")
def desc_size_cap(directory):
    both(directory, desc=20480)


@case("hosted-desc-size-cap-no-nul")
def desc_size_no_nul(directory):
    disk = both(directory, desc=20480)
    words = text(f'RW {SECTORS} SPARSE "{DISK}"')
    disk.put(SECTOR, words + b"#\n" * ((20480 * SECTOR - len(words)) // 2))


def cut(name, size):
    simple(f"hosted-cut-{name}", lambda directory: both(directory).size(size))


cut("in-magic", 3)
cut("in-header", 511)
cut("after-header", 512)
cut("in-directory", 30 * SECTOR + 4)
cut("in-table", 36 * SECTOR)
cut("in-grain", 57 * SECTOR - 212)


@case("hosted-cut-in-table-no-copy")
def cut_no_copy(directory):
    disk = both(directory, redundant=False, grains={})
    disk.change(overhead=0)
    disk.size(28 * SECTOR)


@case("hosted-empty-file")
def empty_extent(directory):
    write(directory, "empty", b"")
    outer(directory, 'RW 8 SPARSE "empty"', name=DISK)


# --- tables ---

def tables(name, poke, **fields):
    def make(directory):
        disk = both(directory)
        disk.change(**fields)
        poke(disk)
    simple(f"tables-{name}", make)


tables("gde-past-end", lambda d: d.gde(1, 1 << 20))
tables("gde-max", lambda d: d.gde(1, 0xffffffff))
tables("gde-in-descriptor", lambda d: d.gde(1, 1))
tables("gde-in-directory", lambda d: d.gde(1, 30))
tables("gde-before-directory", lambda d: d.gde(1, 27))
tables("gde-cut-by-end", lambda d: d.gde(1, 62))
tables("gde-one-copy-bad", lambda d: d.gde(1, 1 << 20, 1))
tables("gde-one-copy-zero", lambda d: d.gde(1, 0, 1))
tables("gde-twice", lambda d: d.gde(1, 31, 1) or d.gde(1, 22, 0))
tables("gde-half-over", lambda d: d.gde(1, 33, 1) or d.gde(1, 24, 0))
tables("gte-past-end", lambda d: d.gte(2, 64))
tables("gte-max", lambda d: d.gte(2, 0xffffffff))
tables("gte-in-directory", lambda d: d.gte(2, 30))
tables("gte-before-data", lambda d: d.gte(2, 39))
tables("gte-zero-unflagged", lambda d: d.gte(2, 1))
tables("gte-zero-flagged", lambda d: d.gte(2, 1), version=2, flags=7)
tables("gte-twice", lambda d: d.gte(3, 40))
tables("gte-half-over", lambda d: d.gte(3, 44))
tables("gte-in-table", lambda d: d.gte(2, 35), overhead=0)
tables("gte-in-descriptor-overhead-0", lambda d: d.gte(2, 2), overhead=0)
tables("gte-over-directory-overhead-0", lambda d: d.gte(2, 29), overhead=0)
tables("gte-copies-differ", lambda d: d.gte(2, 40, 0))
tables("gte-last-sector", lambda d: d.gte(2, 63))


@case("tables-all-one-grain")
def all_one_grain(directory):
    disk = both(directory)
    for base in (0, 1):
        disk.le32(disk.table(0, base), *[40] * 1024)


@case("tables-a-million-one-table")
def million_tables(directory):
    disk = both(directory, sectors=1 << 36, grain=128, grains={}, tables=0)
    table = disk.length() // SECTOR
    disk.put(table * SECTOR, b"\0" * 2048)
    for base in (0, 1):
        disk.le32(disk.directory(base), *[table] * (1 << 20))
