#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Each row of expected.tsv against vdctl and against the library: judge.py DIR VDCTL OPEN [CASE...]

Prints a line a row, for run. DIR is generate.py's; OPEN is the program made of open.c.
"""
import json
import os
import re
import subprocess
import sys
import threading

import expect

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 30    # seconds until something counts as hanging
TEXT_LIMIT = 4 * 4096 + 1000    # names are shown in full, each at most four times

# What a program opens for itself. Names are those of the open files, so that a link or a name in
# /proc does not hide one.
SYSTEM = re.compile(r"/etc/ld\.so\.cache|(/usr)?/lib(32|64)?/.*\.so[.0-9]*|/usr/lib/locale/.*"
                    r"|/dev/null|/proc(/\d+)?(/\w+)?|/sys/fs/selinux|/usr/share/zoneinfo/.*"
                    r"|/etc/localtime")
OPENED = re.compile(r"(open|openat|openat2|creat)\(.*= \d+<(.*)>$")


class Wrong(Exception):
    """Why a row is not as expected."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


class Host:
    def __init__(self, root, vdctl, opener):
        self.root = os.path.realpath(root)
        self.vdctl = vdctl
        self.opener = opener

    def trace(self):
        return os.path.join(self.root, f"trace.{threading.get_ident()}")

    def run(self, command, traced=None, **more):
        """Of vdctl; @traced: the row whose directory it must not leave."""
        command = [self.vdctl, *command]
        if traced:
            command = ["strace", "-f", "-y", "-qq", "-s", "4096", "-o", self.trace(), "-e",
                       "trace=open,openat,openat2,creat,connect,execve", *command]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=LIMIT, check=False, **more)
        except subprocess.TimeoutExpired as e:
            raise Wrong(f"no end after {LIMIT} s: {command}") from e
        if traced:
            self.check_trace(traced)
        need(done.returncode >= 0, f"died of signal {-done.returncode}: {command}")
        return done.returncode, done.stdout, done.stderr.decode(errors="backslashreplace")

    def check_trace(self, row):
        home = os.path.join(self.root, "cases", row.case)
        seen = 0
        with open(self.trace(), encoding="utf-8", errors="backslashreplace") as f:
            lines = f.read().splitlines()
        for line in lines:
            need(" connect(" not in line, f"connects: {line}")
            found = OPENED.search(line)
            if not found:
                continue
            path = found.group(2)
            seen += 1
            inside = path == home or path.startswith(home + "/")
            # Where snapshots are looked for; what it holds are directories.
            above = expect.writes(row) and path == os.path.dirname(home) and "O_DIRECTORY" in line
            need(inside or above or SYSTEM.fullmatch(path), f"opens {path}: {line}")
        need(seen, "the trace shows nothing")

    # --- one row ---

    def options(self, row):
        return expect.options(self.root, row)

    def verbs(self, row):
        """What opens an image the same way. The first is traced, the second answers in JSON."""
        image = expect.image(self.root, row)
        more = self.options(row)
        if expect.checks(row):
            return [["check", image], ["check", "-J", image]]
        if expect.writes(row):
            attach = ["attach", "--dry-run", "--rw", *more]
            return [[*attach, image], [*attach, "-J", image]]
        verbs = [["map", *more, "--length", "1M", image],
                 ["attach", "--dry-run", "-J", "-r", *more, image]]
        if row.verdict == "refuse" and expect.ANSWERS[row.answer][2] is None:
            verbs += [["info", "--chain", *more, image], ["cat", *more, image]]
        return verbs

    def sentence(self, row, text, lines=1):
        errors = [line for line in text.splitlines() if line.startswith("vdctl: ")]
        need(len(errors) <= lines, f"{len(errors)} sentences: {text}")
        need(len(text) <= TEXT_LIMIT, f"{len(text)} bytes of text")
        need(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), f"control characters: {text!r}")
        need(os.path.join(self.root, "cases", row.case) in text, f"names no file: {text}")
        # Which file, where a descriptor says of what the disk is made.
        if row.how.startswith("split") and row.answer in ("EUCLEAN", "EOPNOTSUPP"):
            need(os.path.join(row.case, "disk.vmdk") in text, f"does not name the extent: {text}")
        need(re.search(row.sentence, text.replace("\n", " ; ")), f"says: {text}")

    def refuse(self, row):
        word, code, _ = expect.ANSWERS[row.answer]
        if expect.checks(row):
            code = 1    # as qemu-img: the check was not done
        for i, verb in enumerate(self.verbs(row)):
            got, out, err = self.run(verb, row if i == 0 else None)
            need(got == code, f"{verb[0]} exits {got}, not {code}: {err}")
            need(not out, f"{verb[0]} is refused, but writes to stdout")
            if i == 1:
                found = json.loads(err.splitlines()[-1])["error"]["code"]
                need(found == word, f"JSON says {found}")
            else:
                self.sentence(row, err, 2)

    def open(self, row):
        disk = expect.Disk(row.disk, os.path.join(self.root, "cases", row.case))
        for i, verb in enumerate(self.verbs(row)[:2]):
            code, out, err = self.run(verb, row if i == 0 else None)
            if verb[0] == "map" and disk.fails():
                continue
            need(code == 0, f"{verb[0]} exits {code}: {err}")
            if row.sentence != "-" and not disk.fails() and i == 0:
                self.sentence(row, err, 4)
        if expect.writes(row):
            need(json.loads(out)["writable"], f"not writable: {out}")
            return
        image = expect.image(self.root, row)
        code, out, err = self.run(["info", *self.options(row), image])
        need(not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", out), f"info: control characters: {out}")
        code, out, err = self.run(["info", "-J", *self.options(row), image])
        need(code == 0, f"info exits {code}: {err}")
        size = json.loads(out)["virtual-size"]
        need(size == disk.size, f"{size} bytes, not {disk.size}")
        self.read(row, disk, image)

    def read(self, row, disk, image):
        said = []

        def cat(pos, length):
            code, out, err = self.run(["-q", "cat", *self.options(row), "--offset", str(pos),
                                       "--length", str(length), image])
            if not code:
                return out
            said.append(err)
            return next((n for n, a in expect.ANSWERS.items() if a[1] == code), str(code))

        bad = disk.compare(cat) or disk.compare_failing(cat, row.answer)
        need(not bad, f"{bad} {said}")
        for text in said:
            self.sentence(row, text)
            need("at byte" in text, f"does not say where: {text}")

    def check(self, row):
        code, out, err = self.run(["check", expect.image(self.root, row)], row)
        need(str(code) == row.answer, f"exits {code}, not {row.answer}: {out} {err}")
        text = out.decode() + err
        need(row.sentence == "-" or re.search(row.sentence, text.replace("\n", " ; ")),
             f"says: {text}")

    def opened(self, row):
        """The same by the library alone: the errno itself, memory and operations."""
        refused = row.verdict == "refuse"
        if expect.writes(row) or row.verdict == "check" or \
                (refused and expect.ANSWERS[row.answer][2] is None):
            return
        done = subprocess.run([self.opener, *self.options(row), expect.image(self.root, row)],
                              capture_output=True, timeout=LIMIT, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        need(done.returncode == 0, f"open: exits {done.returncode}: {text}")
        want = expect.ANSWERS[row.answer][2] if refused else 0
        found = re.search(r"^open (\d+) ?(.*)", text, re.M)
        need(found, f"open: {text}")
        need(int(found.group(1)) == want, f"open: errno {found.group(1)}, not {want}: {text}")
        if refused:
            need(len(found.group(2)) < 256, f"open: {len(found.group(2))} bytes of text")

    def judge(self, row):
        """What is wrong, or None."""
        try:
            {"refuse": self.refuse, "open": self.open, "check": self.check}[row.verdict](row)
            self.opened(row)
        except (Wrong, ValueError, KeyError, subprocess.TimeoutExpired) as e:
            return str(e) or repr(e)
        return None


def control(host, row):
    """An open outside that is allowed must be seen in the trace."""
    outside = os.path.join(host.root, "outside")
    image = expect.image(host.root, row)
    try:
        host.run(["map", "--allow-outside", outside, image], row)
    except Wrong as e:
        return str(e).startswith(f"opens {outside}")
    return False


def name_of(row):
    said = {"refuse": f"refused, {row.answer}", "check": f"check says {row.answer}"}
    text = said.get(row.verdict, f"reads fail where they must, {row.answer}" if "!" in row.disk
                    else "works")
    return f"{row.case}, {row.how}: {text}"


def main(argv):
    host = Host(*argv[1:4])
    rows = expect.load(os.path.join(HERE, "expected.tsv"))
    good = control(host, next(r for r in rows if r.case == "extent-absolute"))
    print("ok" if good else "not_ok", "the trace shows what is opened outside", sep="\t")
    expect.judge_all([r for r in rows if len(argv) == 4 or r.case in argv[4:]], host.judge, name_of)


if __name__ == "__main__":
    main(sys.argv)
