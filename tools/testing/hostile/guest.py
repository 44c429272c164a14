#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the VM: each row of expected.tsv through /dev/vdiskN: guest.py DIR VDCTL

Prints lines like judge.py's. What is written is what stands there already, so that one case's
rows do not disturb each other.
"""
import errno
import json
import mmap
import os
import re
import subprocess
import sys
import time

import expect

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 60    # seconds; the machine is emulated
MIB = 1 << 20
BRIEF = bool(os.environ.get("VDISK_BRIEF"))
MARKS = 48    # bytes of the first write: content ids, the mark of use
# What may be missing at the end: after one run, and after two, it was 2.7 MiB of pages and 1.1
# of slabs.
PAGES = 10 * MIB
SLABS = 4 * MIB


class Wrong(Exception):
    """Why a row is not as expected."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


def run(*command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as e:
        raise Wrong(f"no end after {LIMIT} s: {command}") from e
    return done.returncode, done.stdout.decode().strip(), \
        done.stderr.decode(errors="backslashreplace")


class Node:
    """/dev/vdiskN, past the page cache."""

    def __init__(self, path, writable):
        self.fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_DIRECT)
        self.buffer = mmap.mmap(-1, MIB)

    def size(self):
        return os.lseek(self.fd, 0, os.SEEK_END)

    def read(self, pos, length):
        """Bytes, or the name of an errno."""
        data = b""
        while len(data) < length:
            part = min(MIB, length - len(data))
            try:
                got = os.preadv(self.fd, [memoryview(self.buffer)[:part]], pos + len(data))
            except OSError as e:
                return errno.errorcode[e.errno]
            need(got > 0, f"the disk ends at {pos + len(data)}")
            data += self.buffer[:got]
        return data

    def write(self, pos, data):
        """None, or the name of an errno."""
        self.buffer[:len(data)] = data
        try:
            os.pwritev(self.fd, [memoryview(self.buffer)[:len(data)]], pos)
            os.fsync(self.fd)
        except OSError as e:
            return errno.errorcode[e.errno]
        return None

    def close(self):
        os.close(self.fd)


class Guest:
    def __init__(self, root, vdctl):
        self.root = os.path.realpath(root)
        self.vdctl = vdctl

    def attach(self, row):
        mode = "--rw" if expect.writes(row) else "-r"
        return run(self.vdctl, "attach", mode, *expect.options(self.root, row),
                   expect.image(self.root, row))

    def refuse(self, row):
        _, code, _ = expect.ANSWERS[row.answer]
        got, out, err = self.attach(row)
        if got == 0:
            run(self.vdctl, "detach", out)
        need(got == code and not out, f"attach exits {got}, not {code}: {out} {err}")
        need(re.search(row.sentence, err.replace("\n", " ; ")), f"says: {err}")

    def open(self, row):
        code, path, err = self.attach(row)
        need(code == 0, f"attach exits {code}: {err}")
        try:
            self.look(row, path)
        finally:
            code, _, err = run(self.vdctl, "detach", path)
        need(code == 0, f"detach exits {code}: {err}")

    def judge(self, row):
        """What is wrong, or None."""
        try:
            {"refuse": self.refuse, "open": self.open}[row.verdict](row)
        except (Wrong, OSError, ValueError) as e:
            return str(e) or repr(e)
        return None

    def look(self, row, path):
        disk = expect.Disk(row.disk, os.path.join(self.root, "cases", row.case))
        node = Node(path, expect.writes(row))
        try:
            need(node.size() == disk.size, f"{node.size()} bytes, not {disk.size}")
            bad = disk.compare(node.read) or disk.compare_failing(node.read, "EIO")
            need(not bad, bad)
            if expect.writes(row):
                self.write(row, node, disk)
        finally:
            node.close()

    def write(self, row, node, disk):
        """Where reading fails, nothing may be written; elsewhere it works."""
        before = self.files(row)
        for p in disk.fails():
            got = node.write(p.pos, b"w" * 512)
            need(got == "EIO", f"writing at {p.pos}: {got}, not EIO")
        for name, old in before.items():
            new = self.files(row)[name]
            changed = sum(a != b for a, b in zip(old, new))
            need(len(old) == len(new) and changed <= MARKS, f"{name}: {changed} bytes are changed")
        good = next(iter(disk.good_parts(0, disk.size)), None)
        if not good:
            return
        got = node.write(good[0], disk.bytes(good[0], good[0] + 512))
        need(not got, f"writing: {got}")
        bad = disk.compare(node.read)
        need(not bad, f"after a write: {bad}")

    def files(self, row):
        directory = os.path.join(self.root, "cases", row.case)
        found = {}
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and os.path.getsize(path) < MIB:
                with open(path, "rb") as f:
                    found[name] = f.read()
        return found


def memory():
    """
    Bytes that can be had, and bytes in slabs that are not caches. Pages that processors keep
    for their next use, many MiB, belong to nobody and are in no sum of the kernel's.
    """
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")
    with open("/proc/meminfo", encoding="ascii") as f:
        text = f.read()
    with open("/proc/zoneinfo", encoding="ascii") as f:
        spare = sum(int(n) for n in re.findall(r"^ +count: +(\d+)$", f.read(), re.MULTILINE))
    pages, slabs = (int(re.search(rf"{name}: *(\d+)", text).group(1)) << 10
                    for name in ("MemAvailable", "SUnreclaim"))
    return pages + spare * mmap.PAGESIZE, slabs


def kept(before):
    """What does not come back: the kernel frees some of it later (RCU, work queues)."""
    end = time.monotonic() + LIMIT
    while True:
        pages, slabs = memory()
        lost = before[0] - pages, slabs - before[1]
        if lost[0] <= PAGES and lost[1] <= SLABS or time.monotonic() > end:
            return lost
        time.sleep(0.2)


def report(good, name, text):
    print("ok" if good else "not_ok", name, text, sep="\t")


def in_a_child(function):
    """What an interpreter has grown by is no concern of the test."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function()
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    need(os.waitpid(pid, 0)[1] == 0, "the rows were not all judged")


def rows():
    """
    What the kernel has part in. A header in two disks goes the way on which the kernel reads it
    first; of several ways to be refused before the kernel is asked, one will do. In a brief run,
    one case in three.
    """
    table = [r for r in expect.load(os.path.join(HERE, "expected.tsv")) if not expect.checks(r)]
    if BRIEF:
        cases = set(list(dict.fromkeys(r.case for r in table))[::3])
        table = [r for r in table if r.case in cases]
    split = {r.case for r in table if r.how == "split"}
    seen = set()
    for row in table:
        key = row.case, row.verdict, expect.HOWS[row.how][1:]
        if row.how == "ro" and row.case in split or row.verdict == "refuse" and key in seen:
            continue
        seen.add(key)
        yield row


def main(argv):
    guest = Guest(argv[1], argv[2])
    before = memory()
    in_a_child(lambda: expect.judge_all(rows(), guest.judge,
                                        lambda row: f"{row.case}, {row.how}: {row.verdict}"))
    code, out, err = run(guest.vdctl, "list", "-J")
    empty = code == 0 and not json.loads(out)["vdisks"]
    report(empty, "no device is left", "" if empty else repr(out + err)[1:-1])
    pages, slabs = kept(before)
    report(pages <= PAGES, f"pages are given back, but {PAGES} bytes", f"{pages} are missing")
    report(slabs <= SLABS, f"objects are given back, but {SLABS} bytes", f"{slabs} are in use")


if __name__ == "__main__":
    main(sys.argv)
