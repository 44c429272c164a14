# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: the jobs, the targets, and the sizes. Shared by the host's
side, the guest's side and the report."""

from typing import NamedTuple

# The images that the long-lived devices stand on, in MiB. The guest holds all
# of them in memory.
IMAGE_MIB = 128
# The disk that allocating writes go to: with many more grains of 64 KiB than a
# job has writes, so that nearly each write finds one that is not allocated. A VDI has
# blocks of 1 MiB, the only ones that QEMU knows, and is filled by fewer writes.
EMPTY_MIB = 2048
EMPTY_VDI_MIB = 512
# The disk of the base image, all of it allocated, that the delta stands on.
BASE_MIB = 512
GRAIN = 64 << 10
# So many images has the chain: the base, all of it allocated, and empty deltas.
CHAIN = 16


class Job(NamedTuple):
    """What the report calls it; fio's --rw, KiB and depth; what the device stands
    on: "full" is there all the time, of the others each run gets a new one; @ios:
    so many and then a last fsync, or (0) for a time; @fsync: one after so many."""
    title: str
    rw: str
    kib: int
    depth: int
    image: str = "full"
    ios: int = 0
    fsync: int = 0

    @property
    def block(self):
        return self.kib << 10

    @property
    def is_write(self):
        return "write" in self.rw

    def disk_mib(self, target):
        empty = EMPTY_VDI_MIB if image_format(target) == "vdi" else EMPTY_MIB
        return {"full": IMAGE_MIB, "empty": empty, "delta": BASE_MIB}[self.image]


JOBS = {
    "rr-4k-qd1": Job("4 KiB random read, depth 1", "randread", 4, 1),
    "rr-4k-qd16": Job("4 KiB random read, depth 16", "randread", 4, 16),
    "rw-4k-qd1": Job("4 KiB random write, depth 1", "randwrite", 4, 1),
    "rw-4k-qd16": Job("4 KiB random write, depth 16", "randwrite", 4, 16),
    "rw-4k-sync": Job("4 KiB random write, depth 16, fsync every 32", "randwrite", 4, 16,
                      ios=8192, fsync=32),
    "sr-128k": Job("128 KiB sequential read, depth 4", "read", 128, 4),
    "sw-128k": Job("128 KiB sequential write, depth 4", "write", 128, 4),
    "aw-4k-sync": Job("4 KiB random write to an empty image, depth 16, fsync every 32",
                      "randwrite", 4, 16, "empty", 4096, 32),
    "aw-4k": Job("4 KiB random write to an empty image, depth 16", "randwrite", 4, 16,
                 "empty", 4096),
    "fill-128k": Job("128 KiB sequential write to an empty image, depth 4", "write", 128, 4,
                     "empty", 2048),
    "cow-4k": Job("4 KiB random write to an empty delta, depth 16", "randwrite", 4, 16,
                  "delta", 2048),
}

# The flushes of an image's file are counted in these. The last has one fsync at
# its end: what else it flushes is what growing the file and the first write cost.
FLUSHES = ("rw-4k-sync", "aw-4k-sync", "aw-4k")

# name -> what the report says about it, in the order of the tables
TARGETS = {
    "null": "`null_blk` without memory: fio, the system calls and the block layer alone",
    "file": "the XFS file itself, `O_DIRECT`",
    "loop": "`losetup --direct-io=on` on such a file",
    "vdisk-raw": "`vdctl attach -f raw`",
    "vdisk-vmdk": "`vdctl attach` of a monolithicSparse VMDK",
    "vdisk-vdi": "`vdctl attach` of a dynamic VDI as VirtualBox lays it out",
    "vdisk-chain": f"the same under {CHAIN - 1} empty deltas; it is only read",
    "nbd-raw": "`qemu-nbd --cache=none --aio=io_uring` on a raw file",
    "nbd-vmdk": "the same on the VMDK",
    "nbd-vdi": "the same on the VDI",
}

# Those that jobs with a fixed number of writes leave out: they say nothing new.
TIMED_ONLY = ("null", "nbd-raw")


def image_format(target):
    if target == "vdisk-chain":
        return "vmdk"
    kind = target.rsplit("-", maxsplit=1)[-1]
    return kind if kind in ("vmdk", "vdi") else "raw"


def link(number):
    """The file of an image of the chain, the base first."""
    return f"link{number:02}.vmdk"


def applicable(job, target):
    spec = JOBS[job]
    if target == "vdisk-chain":
        return spec.image == "full" and not spec.is_write
    # QEMU knows no deltas of VDI.
    if spec.image == "delta" and image_format(target) != "vmdk":
        return False
    return not (spec.ios and target in TIMED_ONLY)


def growth_mib():
    """At most so much does a file grow in one run."""
    fresh = [job for job in JOBS.values() if job.image != "full"]
    vmdk = max(job.ios * max(GRAIN, job.block) for job in fresh) >> 20
    return max(vmdk, EMPTY_VDI_MIB)
