# SPDX-License-Identifier: GPL-2.0-only
"""The block devices under test, set up inside the VM."""

import glob
import os
import shutil
import subprocess
import time

MOUNT = "/mnt/bench"
MIB = 1 << 20


def command(*words):
    """The command's output; a failure raises with what it said."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def copy(source, target):
    """Every block is written, so that none is a hole or unwritten."""
    with open(source, "rb") as src, open(target, "wb") as dst:
        os.posix_fallocate(dst.fileno(), 0, os.fstat(src.fileno()).st_size)
        shutil.copyfileobj(src, dst, 4 * MIB)


def plain_queue(node):
    """No I/O scheduler: loop and vdisk have none by default, others may."""
    path = f"/sys/block/{os.path.basename(node)}/queue/scheduler"
    with open(path, "w", encoding="ascii") as file:
        file.write("none")


class Rig:
    """An XFS on a RAM disk, and what stands on its files."""

    def __init__(self, images, modules, vdctl):
        self.raw = os.path.join(images, "disk.raw")
        self.vmdk = os.path.join(images, "disk.vmdk")
        self.modules = modules
        self.vdctl = vdctl

    def prepare(self, names):
        files = sum(name not in ("null",) for name in names)
        size = os.path.getsize(self.raw)
        # XFS refuses less than 300 MiB.
        space = max(files * (size + 16 * MIB) + 128 * MIB, 400 * MIB)
        command("modprobe", "brd", "rd_nr=1", f"rd_size={space // 1024}")
        command("mkfs.xfs", "-q", "-f", "/dev/ram0")
        command("modprobe", "xfs")
        os.makedirs(MOUNT, exist_ok=True)
        command("mount", "-t", "xfs", "/dev/ram0", MOUNT)

    def file(self, name, source):
        path = f"{MOUNT}/{name}"
        copy(source, path)
        command("sync", "-f", path)
        return path

    def attach(self, name):
        """The device's node; for "file", the file."""
        node = getattr(self, "attach_" + name.replace("-", "_"))()
        if name != "file":
            plain_queue(node)
        return node

    def attach_null(self):
        command("modprobe", "null_blk", "nr_devices=1", "memory_backed=0", "gb=1")
        return "/dev/nullb0"

    def attach_file(self):
        return self.file("file.img", self.raw)

    def attach_loop(self):
        path = self.file("loop.img", self.raw)
        command("modprobe", "loop", "max_loop=1")
        command("losetup", "--direct-io=on", "/dev/loop0", path)
        if read("/sys/block/loop0/loop/dio") != "1":
            raise RuntimeError("loop does not use direct I/O")
        return "/dev/loop0"

    def load_vdisk(self):
        if os.path.exists("/sys/module/vdisk"):
            return
        for name in ("vdisk", "vdisk-raw", "vdisk-vmdk"):
            command("insmod", f"{self.modules}/{name}.ko")

    def check_direct(self, node):
        if read(f"/sys/block/{os.path.basename(node)}/vdisk/dio") != "1":
            raise RuntimeError(f"{node} does not use direct I/O")
        return node

    def attach_vdisk_raw(self):
        self.load_vdisk()
        path = self.file("vdisk.img", self.raw)
        return self.check_direct(command(self.vdctl, "attach", "-f", "raw", path))

    def attach_vdisk_vmdk(self):
        self.load_vdisk()
        path = self.file("vdisk.vmdk", self.vmdk)
        return self.check_direct(command(self.vdctl, "attach", path))

    def attach_nbd(self, number, image_format, path):
        node = f"/dev/nbd{number}"
        command("modprobe", "nbd", "nbds_max=2", "max_part=0")
        command("qemu-nbd", "--fork", f"--connect={node}", f"--format={image_format}",
                "--cache=none", "--aio=io_uring", path)
        size = f"/sys/block/nbd{number}/size"
        deadline = time.monotonic() + 60
        while read(size) == "0":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{node} does not become ready")
            time.sleep(0.02)
        return node

    def attach_nbd_raw(self):
        return self.attach_nbd(0, "raw", self.file("nbd.img", self.raw))

    def attach_nbd_vmdk(self):
        return self.attach_nbd(1, "vmdk", self.file("nbd.vmdk", self.vmdk))


def versions():
    """What the report names: taken where it runs."""
    fio = command("fio", "--version")
    qemu_nbd = command("qemu-nbd", "--version").split("\n", maxsplit=1)[0]
    return {"kernel": os.uname().release, "fio": fio, "qemu-nbd": qemu_nbd.split()[1],
            "cpus": len(glob.glob("/sys/devices/system/cpu/cpu[0-9]*"))}
