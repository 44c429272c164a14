# SPDX-License-Identifier: GPL-2.0-only
"""Compressed streams, COWD and SESparse."""
import struct
import zlib

from layouts import AT_END, DISK, SECTOR, Cowd, Sesparse, Stream, outer
from registry import case, simple

BIG = 1 << 63


# --- streamOptimized ---

def stream(name, poke=None, **fields):
    def make(directory):
        disk = Stream(directory, **fields)
        outer(directory, f'RDONLY 1024 SPARSE "{DISK}"', kind="streamOptimized")
        if poke:
            poke(disk)
    simple(f"stream-{name}", make)


def bomb():
    """1 GiB of zeros in about 1 MiB; the first 60 KiB of it are a stream that does not end."""
    engine = zlib.compressobj(9)
    data = b"".join(engine.compress(bytes(1 << 20)) for _ in range(64))
    return data[:60000]


def level0(data):
    return zlib.compress(data, 0)


stream("control")
stream("control-front", front=True)
stream("control-no-markers", front=True, markers=False)
stream("footer-magic", lambda d: d.put(d.footer, b"kdmv"))
stream("footer-marker-type", lambda d: d.le32(d.footer - SECTOR + 12, 1))
stream("footer-marker-value", lambda d: d.le64(d.footer - SECTOR, BIG))
stream("footer-marker-size", lambda d: d.le32(d.footer - SECTOR + 8, 1))
stream("footer-no-directory", footer=dict(gd=AT_END))
stream("footer-gd-2e55", footer=dict(gd=1 << 55))
stream("footer-gd-past-end", footer=dict(gd=1 << 20))
stream("footer-capacity-0", footer=dict(capacity=0))
stream("footer-capacity-2e63", footer=dict(capacity=BIG))
stream("footer-capacity-less", footer=dict(capacity=512))
stream("header-capacity-0", capacity=0)
stream("footer-grain", footer=dict(grain=64))
stream("footer-flags", footer=dict(flags=0x10001))
stream("footer-version", footer=dict(version=1))
stream("no-end", lambda d: d.size(d.length() - SECTOR))
stream("end-is-no-end", lambda d: d.le32(d.length() - SECTOR + 8, 7))
stream("sector-behind", lambda d: d.size(d.length() + SECTOR))
stream("bytes-behind", lambda d: d.size(d.length() + 100))
stream("cut-to-1536", lambda d: d.size(3 * SECTOR))
stream("cut-in-data", lambda d: d.size(22 * SECTOR), front=True)
stream("bomb", packed={0: bomb()})
stream("bomb-small", packed={0: zlib.compress(bytes(65537))})
stream("bomb-for-all", lambda d: d.le32(d.gt, *[d.at[0]] * 8), packed={0: bomb()})
stream("alias", lambda d: d.le32(d.gt + 4 * 3, d.at[0]))
stream("deflate-cut", packed={0: zlib.compress(b"A" * 65536)[:-20]})
stream("deflate-checksum", packed={0: zlib.compress(b"A" * 65536)[:-4] + b"\0\0\0\0"})
stream("deflate-raw", packed={0: zlib.compress(b"A" * 65536)[2:-4]})
stream("deflate-method", packed={0: b"\x79" + zlib.compress(b"A" * 65536)[1:]})
stream("deflate-dictionary", packed={0: b"\x78\xbb\0\0\0\0" + zlib.compress(b"A" * 65536)[2:]})
stream("deflate-noise", packed={0: bytes((i * i * 37 + 11) & 255 for i in range(500))})
stream("deflate-far-back", packed={0: b"\x78\x9c" + b"\x4b\xfc\xcf\xff" + b"\xff" * 60})
stream("deflate-empty", packed={0: zlib.compress(b"")})
stream("deflate-short", packed={0: zlib.compress(b"A" * 512)})
stream("deflate-stored", packed={0: level0(b"A" * 65536)})
stream("size-0", marks={0: (0, 0)})
stream("size-max", marks={0: (0, 0xffffffff)})
stream("size-past-bound", marks={0: (0, 65536 + 8192 + 1024)})
stream("size-past-end", marks={2: (256, 70000)})
stream("size-short", marks={0: (0, 20)})
stream("marker-other-grain", marks={0: (128, 82)})
stream("marker-max", marks={0: ((1 << 64) - 1, 82)})
stream("grain-in-last-sector", lambda d: d.le32(d.gt, d.length() // SECTOR - 1))
stream("grain-past-end", lambda d: d.le32(d.gt, d.length() // SECTOR))
stream("grain-on-footer", lambda d: d.le32(d.gt, d.footer // SECTOR))
stream("grain-on-table", lambda d: d.le32(d.gt, d.gt // SECTOR))
stream("gde-past-end", lambda d: d.le32(d.gd, 1 << 20))
stream("directory-on-footer", lambda d: d.le64(d.footer + 56, d.footer // SECTOR))


@case("stream-grain-2048")
def grain_2048(directory):
    Stream(directory, sectors=8192, grain=2048, grains={1: b"A"})


# --- COWD ---

def cowd(name, poke=None, **fields):
    def make(directory):
        disk = Cowd(directory)
        disk.change(**fields)
        if poke:
            poke(disk)
    simple(f"cowd-{name}", make)


cowd("control")
cowd("version-2", version=2)
cowd("flags-4", flags=4)
cowd("sectors-0", sectors=0)
cowd("sectors-max", sectors=0xffffffff)
cowd("sectors-short", sectors=2047)
for value in (0, 3, 4096, 1 << 31):
    cowd(f"grain-{value}", grain=value)
cowd("gd-in-header", gd=3)
cowd("gd-past-end", gd=0xffffffff)
cowd("entries-0", entries=0)
cowd("entries-past-cap", entries=(1 << 20) + 1)
cowd("entries-max", entries=0xffffffff)
cowd("entries-past-end", entries=1 << 20)
cowd("cut-in-header", lambda d: d.size(2047))
cowd("gde-past-end", lambda d: d.le32(4 * SECTOR, 1 << 20))
cowd("gde-in-header", lambda d: d.le32(4 * SECTOR, 1))
cowd("gde-is-directory", lambda d: d.le32(4 * SECTOR, 4))
cowd("gde-cut-by-end", lambda d: d.le32(4 * SECTOR, 40))
cowd("gte-past-end", lambda d: d.le32(d.gt + 8, 53))
cowd("gte-in-header", lambda d: d.le32(d.gt + 8, 1))
cowd("gte-in-directory", lambda d: d.le32(d.gt + 8, 4))
cowd("gte-in-table", lambda d: d.le32(d.gt + 8, 30))
cowd("gte-twice", lambda d: d.le32(d.gt + 12, 37))
cowd("free-lies", free=4)
cowd("unclean", lambda d: d.le32(1648, 1))


@case("cowd-called-sparse")
def cowd_called_sparse(directory):
    Cowd(directory, words='RW 2048 SPARSE "delta.vmdk"')


@case("cowd-is-hosted")
def cowd_is_hosted(directory):
    Cowd(directory).put(0, b"KDMV")


# --- SESparse ---

def sesparse(name, poke=None, **fields):
    def make(directory):
        disk = Sesparse(directory, **fields)
        if poke:
            poke(disk)
    simple(f"sesparse-{name}", make)


def words(*values):
    return struct.pack(f"<{len(values)}Q", *values)


sesparse("control")
sesparse("version", b8=0x200000002)
sesparse("grain-size", b24=16)
sesparse("table-size", b32=128)
sesparse("flags", b40=1)
sesparse("reserved", b72=1)
sesparse("capacity-0", b16=0)
sesparse("capacity-2e63", b16=BIG)
sesparse("capacity-short", b16=65535)
sesparse("area-offset-0", areas=dict(gts=(0, 128)))
sesparse("area-past-end", areas=dict(gts=(1 << 20, 128)))
sesparse("area-2e55", areas=dict(gd=(1 << 55, 8)))
sesparse("area-size-2e55", areas=dict(gts=(40, 1 << 55)))
sesparse("area-all-ones", areas=dict(backmap=((1 << 64) - 1, 1)))
sesparse("areas-overlap", areas=dict(gts=(32, 128)))
sesparse("grains-over-header", areas=dict(grains=(0, 64)))
sesparse("grains-2e62", areas=dict(grains=(184, 1 << 62)))
sesparse("grains-unaligned", areas=dict(grains=(185, 64)))
sesparse("directory-small", areas=dict(gd=(32, 0)))
sesparse("volatile-magic", lambda d: d.le64(d.byte("volatile"), 0xcafebabe))
sesparse("journal", lambda d: d.le64(d.byte("volatile") + 24, 1))
sesparse("cut-in-header", lambda d: d.size(511))
sesparse("cut-in-tables", lambda d: d.size(d.byte("gts") + 512))
sesparse("gde-tag", lambda d: d.le64(d.byte("gd") + 8, 1))
sesparse("gde-past-tables", lambda d: d.le64(d.byte("gd") + 8, 0x10000000 << 32 | 2))
sesparse("gde-all-ones", lambda d: d.le64(d.byte("gd") + 8, (1 << 64) - 1))
sesparse("gte-kind-4", lambda d: d.le64(d.byte("gts"), 4 << 60))
sesparse("gte-kind-0", lambda d: d.le64(d.byte("gts"), 1))
sesparse("gte-past-area", lambda d: d.le64(d.byte("gts"), d.entry(8)))
sesparse("gte-all-ones", lambda d: d.le64(d.byte("gts"), (1 << 64) - 1))
sesparse("gte-past-end", lambda d: d.le64(d.byte("gts"), d.entry(2)))


@case("sesparse-huge-62t")
def huge_62t(directory):
    """Its directory of 31 MiB is a hole."""
    disk = Sesparse(directory, sectors=62 << 31, gd=63488)
    disk.put(disk.byte("gd"), words(0, 0))
