# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: the jobs, the targets, and the sizes. Shared by the host's
side, the guest's side and the report."""

# Each image, in MiB. The guest holds all of them in memory.
IMAGE_MIB = 128

# name -> (what the report calls it, fio arguments)
JOBS = {
    "rr-4k-qd1": ("4 KiB random read, depth 1", "--rw=randread --bs=4k --iodepth=1"),
    "rr-4k-qd16": ("4 KiB random read, depth 16", "--rw=randread --bs=4k --iodepth=16"),
    "rw-4k-qd1": ("4 KiB random write, depth 1", "--rw=randwrite --bs=4k --iodepth=1"),
    "rw-4k-qd16": ("4 KiB random write, depth 16", "--rw=randwrite --bs=4k --iodepth=16"),
    "sr-128k": ("128 KiB sequential read, depth 4", "--rw=read --bs=128k --iodepth=4"),
    "sw-128k": ("128 KiB sequential write, depth 4", "--rw=write --bs=128k --iodepth=4"),
}

# name -> what the report says about it, in the order of the tables
TARGETS = {
    "null": "`null_blk` without memory: fio, the system calls and the block layer alone",
    "file": "the XFS file itself, `O_DIRECT`",
    "loop": "`losetup --direct-io=on` on such a file",
    "vdisk-raw": "`vdctl attach -f raw`",
    "vdisk-vmdk": "`vdctl attach` of a fully allocated monolithicSparse VMDK, read-only",
    "nbd-raw": "`qemu-nbd --cache=none --aio=io_uring` on a raw file",
    "nbd-vmdk": "the same on the VMDK",
}


def block(job):
    return 128 << 10 if "128k" in job else 4 << 10


def is_write(job):
    return job[1] == "w"


def reads_only(target):
    """Targets that the write jobs leave out."""
    return target == "vdisk-vmdk"


def applicable(job, target):
    return not (is_write(job) and reads_only(target))
