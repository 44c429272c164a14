#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random writes, zeroes and discards of a disk, beside a shadow of it in memory.

    device-write.py NODE SEED OPERATIONS SHADOW-FILE

Exit status 1, and a sentence, if the disk does not hold what it should. What it
holds in the end goes to SHADOW-FILE.
"""
import fcntl
import os
import random
import struct
import sys

SECTOR = 512
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F
LARGEST = 256 << 10


class Disk:
    """A block device and its shadow; sectors that were discarded are old or zeros."""

    def __init__(self, node):
        self.fd = os.open(node, os.O_RDWR | os.O_EXCL)
        self.size = os.lseek(self.fd, 0, os.SEEK_END)
        self.shadow = bytearray(os.pread(self.fd, self.size, 0))
        self.maybe = set()

    def write(self, pos, data):
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += os.pwrite(self.fd, view[done:], pos + done)
        self._now(pos, data)

    def zero(self, pos, length):
        os.fsync(self.fd)
        fcntl.ioctl(self.fd, BLKZEROOUT, struct.pack("QQ", pos, length))
        self._now(pos, bytes(length))

    def discard(self, pos, length):
        os.fsync(self.fd)
        fcntl.ioctl(self.fd, BLKDISCARD, struct.pack("QQ", pos, length))
        self.maybe.update(range(pos // SECTOR, (pos + length) // SECTOR))

    def check(self, pos, length):
        """The first sector that is wrong, or None."""
        got = os.pread(self.fd, length, pos)
        if got == self.shadow[pos:pos + length]:
            return None
        for at in range(0, length, SECTOR):
            sector = got[at:at + SECTOR]
            if sector == self.shadow[pos + at:pos + at + SECTOR]:
                continue
            if (pos + at) // SECTOR not in self.maybe or any(sector):
                return (pos + at) // SECTOR
        return None

    def settle(self):
        """From here on it holds what it reads now."""
        self.shadow[:] = os.pread(self.fd, self.size, 0)
        self.maybe.clear()

    def _now(self, pos, data):
        self.shadow[pos:pos + len(data)] = data
        self.maybe.difference_update(range(pos // SECTOR, (pos + len(data)) // SECTOR))


def pick_range(rng, disk):
    """Small and large; now and then whole MiB, which may be units."""
    if rng.random() < 0.2:
        length = min((1 + rng.randrange(2)) << 20, disk.size)
        return rng.randrange((disk.size - length >> 20) + 1) << 20, length
    length = (1 + rng.randrange(LARGEST // SECTOR if rng.random() < 0.3 else 16)) * SECTOR
    length = min(length, disk.size)
    return rng.randrange((disk.size - length) // SECTOR + 1) * SECTOR, length


def step(rng, disk):
    pos, length = pick_range(rng, disk)
    dice = rng.random()
    if dice < 0.55:
        disk.write(pos, rng.randbytes(length))
    elif dice < 0.65:
        disk.write(pos, bytes(length))
    elif dice < 0.75:
        disk.zero(pos, length)
    elif dice < 0.85:
        disk.discard(pos, length)
    elif dice < 0.9:
        os.fsync(disk.fd)
    return disk.check(pos, length)


def main():
    node, seed, operations, shadow_file = sys.argv[1:]
    rng = random.Random(int(seed))
    disk = Disk(node)
    for i in range(int(operations)):
        bad = step(rng, disk)
        if bad is not None:
            sys.exit(f"operation {i}: sector {bad} is wrong")
    os.fsync(disk.fd)
    # What is in the page cache says nothing.
    os.posix_fadvise(disk.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    bad = disk.check(0, disk.size)
    if bad is not None:
        sys.exit(f"at the end: sector {bad} is wrong")
    disk.settle()
    os.close(disk.fd)
    with open(shadow_file, "wb") as out:
        out.write(disk.shadow)


main()
