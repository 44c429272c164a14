# SPDX-License-Identifier: GPL-2.0-only
"""Inside the VM: what an fsync of the device becomes. The device's own counter
tells how many flushes it was sent, XFS's tracepoint how often its file was."""

import os

import targets

TRACING = "/sys/kernel/tracing"
EVENT = f"{TRACING}/events/xfs/xfs_file_fsync"
# Of /sys/block/*/stat.
FLUSHES_DONE = 15


def put(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Counter:
    """Counts from its making until found() is called."""

    def __init__(self, node, path):
        if not os.path.exists(f"{TRACING}/trace"):
            targets.command("mount", "-t", "tracefs", "tracefs", TRACING)
        self.stat = f"/sys/block/{os.path.basename(node)}/stat"
        put(f"{EVENT}/filter", f"ino == {os.stat(path).st_ino}")
        put(f"{TRACING}/trace", "")
        put(f"{EVENT}/enable", "1")
        self.before = self.sent()

    def sent(self):
        return int(targets.read(self.stat).split()[FLUSHES_DONE])

    def found(self):
        """Flushes of the device, flushes of its file."""
        put(f"{EVENT}/enable", "0")
        with open(f"{TRACING}/trace", encoding="ascii") as file:
            of_file = sum("xfs_file_fsync" in line for line in file)
        return self.sent() - self.before, of_file
