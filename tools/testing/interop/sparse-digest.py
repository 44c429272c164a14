#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A digest of a disk that costs what its data costs, not its size.

SHA-256 over (index, content) of each 64 KiB block that is not all zeros, then
the size. The same for a sparse file and for a block device that holds the same
bytes; holes of a file are skipped by SEEK_DATA, a device is read whole, past
the page cache.
"""
import hashlib
import mmap
import os
import stat
import sys

BLOCK = 65536
CHUNK = 16 * BLOCK
ZEROS = bytes(CHUNK)


def data_ranges(fd, size):
    """Ranges that may hold data, aligned to CHUNK, in order, none twice."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        yield 0, size
        return
    pos = 0
    while pos < size:
        try:
            start = os.lseek(fd, pos, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        start = max(pos, start // CHUNK * CHUNK)
        end = min(size, -(-end // CHUNK) * CHUNK)
        yield start, end
        pos = end


def chunks(fd, size, buf):
    for start, end in data_ranges(fd, size):
        for pos in range(start, end, CHUNK):
            want = min(CHUNK, end - pos)
            got = os.preadv(fd, [memoryview(buf)[:want]], pos)
            if got != want:
                sys.exit(f"{pos}: {got} of {want} bytes")
            yield pos, buf[:want]


def digest(path):
    flags = os.O_RDONLY
    if stat.S_ISBLK(os.stat(path).st_mode):
        flags |= os.O_DIRECT
    fd = os.open(path, flags)
    size = os.lseek(fd, 0, os.SEEK_END)
    total = hashlib.sha256()
    buf = mmap.mmap(-1, CHUNK)
    for pos, data in chunks(fd, size, buf):
        if data == ZEROS[:len(data)]:
            continue
        for off in range(0, len(data), BLOCK):
            block = data[off:off + BLOCK]
            if block != ZEROS[:len(block)]:
                total.update(((pos + off) // BLOCK).to_bytes(8, "little"))
                total.update(block)
    total.update(size.to_bytes(8, "little"))
    return total.hexdigest()


if __name__ == "__main__":
    print(digest(sys.argv[1]))
