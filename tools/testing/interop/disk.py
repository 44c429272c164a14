#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Disks with known content, VMDK files written by the format's sheet, and comparisons.

    disk.py sha                       SHA-256 of stdin
    disk.py make FILE SIZE SEED       raw disk: random data, zeros and holes
    disk.py sparse FILE SEED POS...   a hole of POS[0] bytes with 64 KiB of data at each other POS
    disk.py compare VDCTL IMAGE RAW [ARG...]   every byte of the disk against RAW
    disk.py map VDCTL IMAGE RAW [ARG...]       vdctl map -J against RAW
    disk.py extent FILE SECTORS GRAIN RAW START SEED   sparse extent: random grains of RAW
    disk.py chain DIR DEPTH           a chain of tiny deltas, each with one sector of its own
    disk.py sparse-flags FILE         flags word of a hosted sparse header
    disk.py entry FILE COPY GRAIN [VALUE]   table entry of a hosted sparse extent: print or set;
                                      COPY is 0, 1 (the redundant one) or both
    disk.py cowd FILE SECTORS         COWD extent without any grain
    disk.py put FILE POS HEX          overwrite bytes
    disk.py at FILE POS LENGTH        print bytes that are text
    disk.py hold COMMAND [ARG...]     run it until it is stuck in its first line of output, say
                                      so, and let it go on at the end of stdin
"""
import fcntl
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import time

SECTOR = 512
MIB = 1 << 20


def data_ranges(path):
    """Parts of a file that are not holes."""
    size = os.path.getsize(path)
    fd = os.open(path, os.O_RDONLY)
    pos = 0
    try:
        while pos < size:
            try:
                start = os.lseek(fd, pos, os.SEEK_DATA)
            except OSError:
                return
            pos = os.lseek(fd, start, os.SEEK_HOLE)
            yield start, pos
    finally:
        os.close(fd)


def vdctl_map(vdctl, image, args):
    out = subprocess.run([vdctl, "map", "-J", *args, image], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def check_map(vdctl, image, raw, args):
    """The map covers the disk once, in order, and promises zeros only where zeros are."""
    size = os.path.getsize(raw)
    pos = data = 0
    with open(raw, "rb") as f:
        for ext in vdctl_map(vdctl, image, args):
            start, length = ext["start"], ext["length"]
            if start != pos or length <= 0 or length % SECTOR:
                return f"extent {start}+{length} does not follow byte {pos}"
            if ext["zero"] and ext["data"]:
                return f"extent {start}+{length} is data and zeros at once"
            if ext["zero"]:
                f.seek(start)
                left = length
                while left:
                    buf = f.read(min(left, MIB))
                    if buf.count(0) != len(buf):
                        return f"zeros promised at {start}+{length}, data found"
                    left -= len(buf)
            else:
                data += length
            pos += length
    if pos != size:
        return f"the map ends at {pos}, the disk at {size}"
    return f"ok {data}"


def union(ranges, gap):
    """Sorted, merged where less than @gap apart."""
    out = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1] + gap:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def compare(vdctl, image, raw, args):
    """
    Read whatever either side calls data through `vdctl cat`; elsewhere both
    say zeros, and some of it is read all the same.
    """
    size = os.path.getsize(raw)
    rng = random.Random(size)
    extents = vdctl_map(vdctl, image, args)
    if sum(e["length"] for e in extents) != size:
        return "size differs: %d and %d" % (sum(e["length"] for e in extents), size)
    ranges = [(e["start"], e["start"] + e["length"]) for e in extents if not e["zero"]]
    ranges += list(data_ranges(raw))
    ranges += [(p, min(p + 65536, size)) for p in
               (rng.randrange(0, size, SECTOR) for _ in range(10))]
    ranges += [(max(size - 4096, 0), size)]
    with open(raw, "rb") as f:
        for start, end in union(ranges, 64 * MIB):
            f.seek(start)
            cat = subprocess.Popen([vdctl, "cat", "--offset", str(start), "--length",
                                    str(end - start), *args, image], stdout=subprocess.PIPE)
            pos = start
            while pos < end:
                want = f.read(min(MIB, end - pos))
                got = cat.stdout.read(len(want))
                if want != got:
                    cat.kill()
                    cat.wait()
                    return f"content differs in the MiB at {pos}"
                pos += len(want)
            rest = cat.stdout.read(1)
            if cat.wait() or rest:
                return f"vdctl cat {start}+{end - start} exits {cat.returncode}"
    return "ok"


def make(path, size, seed):
    """Runs of random data, written zeros and holes, of 512 bytes to 512 KiB."""
    rng = random.Random(seed)
    with open(path, "wb") as f:
        f.truncate(size)
        pos = 0
        while pos < size:
            run = min(SECTOR * rng.choice([1, 3, 8, 127, 128, 129, 300, 1024]), size - pos)
            kind = rng.randrange(4)
            f.seek(pos)
            if kind < 2:
                f.write(rng.randbytes(run))
            elif kind == 2:
                f.write(bytes(run))
            pos += run
        f.truncate(size)


def sparse(path, seed, size, *places):
    rng = random.Random(seed)
    with open(path, "r+b" if os.path.exists(path) else "wb") as f:
        f.truncate(size)
        for pos in places:
            f.seek(pos)
            f.write(rng.randbytes(min(65536, size - pos)))


def extent(path, sectors, grain, raw, start, seed):
    """
    Hosted sparse extent of @sectors whose grains come from @raw at byte @start:
    a third of them, in shuffled order. Prints the grains that it holds.
    """
    rng = random.Random(seed)
    nr = -(-sectors // grain)
    nr_gt = -(-nr // 512)
    gd_sectors = -(-nr_gt * 4 // SECTOR)
    rgd = 1
    gd = rgd + gd_sectors + 4 * nr_gt
    overhead = -(-(gd + gd_sectors + 4 * nr_gt) // grain) * grain
    candidates = sorted({(b - start) // (grain * SECTOR) for a, e in data_ranges(raw)
                         for b in range(a - a % (grain * SECTOR), e, grain * SECTOR)
                         if start <= b < start + sectors * SECTOR})
    chosen = [g for g in candidates if rng.random() < 0.34] or candidates[:1]
    order = chosen[:]
    rng.shuffle(order)
    place = {g: overhead + i * grain for i, g in enumerate(order)}
    header = struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", 1, 3, sectors, grain, 0, 0, 512, rgd, gd,
                         overhead, 0, b"\n \r\n", 0)
    with open(path, "wb") as f, open(raw, "rb") as src:
        f.write(header)
        for base in (rgd, gd):
            f.seek(base * SECTOR)
            f.write(struct.pack(f"<{nr_gt}I", *(base + gd_sectors + 4 * t
                                                for t in range(nr_gt))))
            for t in sorted({g // 512 for g in chosen}):
                entries = [place.get(t * 512 + i, 0) for i in range(512)]
                f.seek((base + gd_sectors + 4 * t) * SECTOR)
                f.write(struct.pack("<512I", *entries))
        f.truncate((overhead + len(order) * grain) * SECTOR)
        for g in order:
            src.seek(start + g * grain * SECTOR)
            f.seek(place[g] * SECTOR)
            f.write(src.read(min(grain, sectors - g * grain) * SECTOR))
    for g in chosen:
        print(g)


def chain(directory, depth):
    """level0.vmdk is the base; level N has sector N of 'N' characters. Shell: sha of the top."""
    disk = bytearray(depth * SECTOR)
    for level in range(depth):
        content = (b"%07d\n" % level) * 64
        disk[level * SECTOR:(level + 1) * SECTOR] = content
        name = f"level{level}"
        text = "# Disk DescriptorFile\nversion=1\nCID=%08x\n" % (level + 1)
        if level:
            text += "parentCID=%08x\nparentFileNameHint=\"level%d.vmdk\"\n" % (level, level - 1)
        else:
            text += "parentCID=ffffffff\n"
        text += "createType=\"twoGbMaxExtentSparse\"\nRW %d SPARSE \"%s-s001.vmdk\"\n" % (
            depth, name)
        with open(f"{directory}/{name}.vmdk", "w", encoding="ascii") as f:
            f.write(text)
        entries = [0] * 512
        entries[level] = 16
        with open(f"{directory}/{name}-s001.vmdk", "wb") as f:
            f.write(struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", 1, 1, depth, 1, 0, 0, 512, 0, 1, 6,
                                0, b"\n \r\n", 0))
            f.seek(SECTOR)
            f.write(struct.pack("<I", 2))
            f.seek(2 * SECTOR)
            f.write(struct.pack("<512I", *entries))
            f.seek(16 * SECTOR)
            f.write(content)
    print(hashlib.sha256(disk).hexdigest())


def cowd(path, sectors):
    entries = -(-sectors // 4096)
    with open(path, "wb") as f:
        f.write(struct.pack("<4s7I", b"COWD", 1, 3, sectors, 1, 4, entries,
                            4 + -(-entries * 4 // SECTOR)))
        f.truncate((4 + -(-entries * 4 // SECTOR)) * SECTOR)


def put(path, pos, data):
    with open(path, "r+b") as f:
        f.seek(pos)
        f.write(bytes.fromhex(data))


def at(path, pos, length):
    with open(path, "rb") as f:
        f.seek(pos)
        sys.stdout.buffer.write(f.read(length))


def is_writing(pid):
    """Inside a system call on descriptor 1."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
        words = f.read().split()
    return len(words) > 2 and words[1] == "0x1"


def hold(command):
    """Its output is a pipe that is full: what it has opened and locked, it keeps."""
    end, out = os.pipe()
    fcntl.fcntl(out, 1031, 4096)    # F_SETPIPE_SZ
    os.set_blocking(out, False)
    try:
        while True:
            os.write(out, b" " * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(out, True)
    with subprocess.Popen(command, stdout=out) as child:
        os.close(out)
        limit = time.monotonic() + 30
        stuck = 0
        while stuck < 3 and child.poll() is None and time.monotonic() < limit:
            stuck = stuck + 1 if is_writing(child.pid) else 0
            time.sleep(0.01)
        if stuck == 3:
            print("held", flush=True)
            sys.stdin.read()
        with os.fdopen(end, "rb") as pipe:
            pipe.read()
    return child.returncode


def sha():
    digest = hashlib.sha256()
    buf = bytearray(MIB)
    while True:
        n = sys.stdin.buffer.readinto(buf)
        if not n:
            break
        digest.update(memoryview(buf)[:n])
    print(digest.hexdigest())


def entry(path, which, grain, value):
    """An entry of a grain table, in one copy or in both."""
    with open(path, "r+b" if value is not None else "rb") as f:
        dirs = struct.unpack_from("<QQ", f.read(SECTOR), 48)[::-1]
        for copy in (0, 1) if which == "both" else (int(which),):
            f.seek(dirs[copy] * SECTOR + grain // 512 * 4)
            table = struct.unpack("<I", f.read(4))[0] * SECTOR
            f.seek(table + grain % 512 * 4)
            if value is None:
                print(struct.unpack("<I", f.read(4))[0])
            else:
                f.write(struct.pack("<I", value))


def main(argv):
    verb, args = argv[1], argv[2:]
    if verb == "sha":
        sha()
    elif verb == "make":
        make(args[0], int(args[1]), args[2])
    elif verb == "sparse":
        sparse(args[0], args[1], *(int(a) for a in args[2:]))
    elif verb in ("compare", "map"):
        fn = compare if verb == "compare" else check_map
        result = fn(args[0], args[1], args[2], args[3:])
        print(result)
        return not result.startswith("ok")
    elif verb == "extent":
        extent(args[0], int(args[1]), int(args[2]), args[3], int(args[4]), args[5])
    elif verb == "chain":
        chain(args[0], int(args[1]))
    elif verb == "cowd":
        cowd(args[0], int(args[1]))
    elif verb == "put":
        put(args[0], int(args[1]), args[2])
    elif verb == "at":
        at(args[0], int(args[1]), int(args[2]))
    elif verb == "hold":
        return hold(args)
    elif verb == "sparse-flags":
        with open(args[0], "rb") as f:
            print(struct.unpack_from("<I", f.read(512), 8)[0])
    elif verb == "entry":
        entry(args[0], args[1], int(args[2]), int(args[3], 0) if len(args) > 3 else None)
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
