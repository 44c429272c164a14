#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What `vdctl create` leaves behind, looked at without any of its code.

    create.py tables empty|used FILE...   sparse extents: header, directories, both copies of tables
    create.py text IMAGE                  the descriptor, also one inside an extent
    create.py key IMAGE KEY               the value of one key of it, without quotes
    create.py stop SIGNAL DIR COMMAND...  signal it once a file of DIR grows; prints how it ended
"""
import os
import signal
import struct
import subprocess
import sys
import time

SECTOR = 512
HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")


class Bad(Exception):
    """What is wrong with a file, as a sentence."""


def need(condition, text):
    if not condition:
        raise Bad(text)


def entries(f, sector, count):
    f.seek(sector * SECTOR)
    data = f.read(count * 4)
    need(len(data) == count * 4, f"table at sector {sector} is cut short")
    return struct.unpack(f"<{count}I", data)


def check_header(f, size):
    (magic, version, flags, capacity, grain, desc, desc_size, gtes, rgd, gd, overhead, unclean,
     newline, compress) = HEADER.unpack(f.read(HEADER.size))
    need(magic == b"KDMV", f"magic {magic}")
    need((version, flags) in ((1, 3), (2, 7)), f"version {version}, flags {flags}")
    need(grain and not grain & (grain - 1), f"grain {grain}")
    need((desc, desc_size) in ((0, 0), (1, 20)), f"descriptor {desc}+{desc_size}")
    need((gtes, unclean, newline, compress) == (512, 0, b"\n \r\n", 0), "fixed fields")
    need(capacity > 0 and overhead % grain == 0, f"capacity {capacity}, overhead {overhead}")
    need(overhead * SECTOR <= size < 1 << 41, f"{size} bytes, overhead {overhead}")
    need(not any(f.read(SECTOR - HEADER.size)), "the pad is not zero")
    return capacity, grain, 1 + desc_size, rgd, gd, overhead


def check_tables(path, empty):
    with open(path, "rb") as f:
        size = os.path.getsize(path)
        capacity, grain, first, rgd, gd, overhead = check_header(f, size)
        nr = -(-capacity // (grain * 512))
        dir_sectors = -(-nr * 4 // SECTOR)
        need(rgd == first, f"rgd at {rgd}, not {first}")
        need(gd == rgd + dir_sectors + 4 * nr, f"gd at {gd}")
        need(overhead - grain < gd + dir_sectors + 4 * nr <= overhead, f"overhead {overhead}")
        for base in (rgd, gd):
            want = tuple(base + dir_sectors + 4 * i for i in range(nr))
            need(entries(f, base, nr) == want, f"directory at {base}")
        tables = [entries(f, base + dir_sectors, 512 * nr) for base in (rgd, gd)]
        need(tables[0] == tables[1], "the two copies of the tables differ")
        used = [e for e in tables[0] if e]
        need(not used or not empty, "a new extent has grains")
        need(not empty or size == overhead * SECTOR, f"{size} bytes, overhead {overhead}")
        need(len(set(used)) == len(used), "a grain is used twice")
        need(all(overhead <= e and e * SECTOR < size for e in used), "a grain is out of place")
        return capacity * SECTOR


def text_of(path):
    with open(path, "rb") as f:
        data = f.read(HEADER.size)
        f.seek(0)
        if data[:4] == b"KDMV":
            desc, length = struct.unpack_from("<QQ", data, 28)
            f.seek(desc * SECTOR)
            data = f.read(length * SECTOR)
        else:
            data = f.read(1 << 20)
    return data.split(b"\0")[0].decode()


def key_of(path, key):
    found = [line.split("=", 1)[1].strip().strip('"') for line in text_of(path).splitlines()
             if line.split("=", 1)[0].strip() == key and "=" in line]
    return "\n".join(found)


def stop(name, directory, command):
    signum = getattr(signal, "SIG" + name)
    before = {e: os.path.getsize(os.path.join(directory, e)) for e in os.listdir(directory)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          preexec_fn=lambda: signal.signal(signum, signal.SIG_DFL)) as child:
        while child.poll() is None:
            new = [e for e in os.listdir(directory) if e not in before]
            try:
                if any(os.path.getsize(os.path.join(directory, e)) for e in new):
                    break
            except FileNotFoundError:
                pass
            time.sleep(0.002)
        child.send_signal(signum)
        ret = child.wait()
    return signal.Signals(-ret).name if ret < 0 else f"exit {ret}"


def main(argv):
    verb, args = argv[1], argv[2:]
    if verb == "tables":
        total = 0
        for path in args[1:]:
            try:
                total += check_tables(path, args[0] == "empty")
            except Bad as bad:
                print(f"{os.path.basename(path)}: {bad}")
                return 1
        print(f"ok {total}")
    elif verb == "text":
        print(text_of(args[0]), end="")
    elif verb == "key":
        print(key_of(args[0], args[1]))
    elif verb == "stop":
        print(stop(args[0], args[1], args[2:]))
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
