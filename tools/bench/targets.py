# SPDX-License-Identifier: GPL-2.0-only
"""The block devices under test, set up inside the VM."""

import contextlib
import glob
import os
import shutil
import subprocess
import time

import jobs

MOUNT = "/mnt/bench"
MIB = 1 << 20
NBD_DEVICES = 4


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


def wait_for(what, true):
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within a minute")
        time.sleep(0.02)


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
        self.images = images
        self.modules = modules
        self.vdctl = vdctl

    def prepare(self, names, with_base):
        files = sum(name != "null" for name in names)
        # A format may let its file grow well ahead. XFS refuses less than 300 MiB.
        space = files * (jobs.IMAGE_MIB + 16) + 2 * jobs.growth_mib() + 256
        space += with_base * (jobs.BASE_MIB + 16)
        command("modprobe", "brd", "rd_nr=1", f"rd_size={space * 1024}")
        # Or who comes first would pay for getting the memory.
        command("dd", "if=/dev/zero", "of=/dev/ram0", "bs=1M", f"count={space}", "oflag=direct")
        command("mkfs.xfs", "-q", "-f", "/dev/ram0")
        command("modprobe", "xfs")
        os.makedirs(MOUNT, exist_ok=True)
        command("mount", "-t", "xfs", "/dev/ram0", MOUNT)
        if with_base:
            copy(f"{self.images}/base.vmdk", f"{MOUNT}/base.vmdk")

    def new_chain(self):
        """A delta names its parent as seen from its own directory."""
        for number in range(jobs.CHAIN):
            copy(f"{self.images}/{jobs.link(number)}", f"{MOUNT}/{jobs.link(number)}")
        command("sync", "-f", MOUNT)
        return f"{MOUNT}/{jobs.link(jobs.CHAIN - 1)}"

    def new_file(self, name, image):
        if name == "vdisk-chain":
            return self.new_chain()
        kind = jobs.image_format(name)
        path = f"{MOUNT}/{name}-{image}.{kind}"
        if image == "empty" and kind == "raw":
            with open(path, "wb") as file:
                file.truncate(jobs.EMPTY_MIB * MIB)
        else:
            copy(f"{self.images}/{image}.{kind}", path)
        command("sync", "-f", path)
        return path

    def attach(self, name, image="full"):
        """The device's node and the file that it stands on; for "file" they are
        the same."""
        if name == "null":
            command("modprobe", "null_blk", "nr_devices=1", "memory_backed=0", "gb=1")
            return "/dev/nullb0", None
        path = self.new_file(name, image)
        if name == "file":
            return path, path
        node = getattr(self, "attach_" + name.split("-", maxsplit=1)[0])(path)
        plain_queue(node)
        return node, path

    @contextlib.contextmanager
    def fresh(self, name, image):
        """A device for one run, on a new image: its node and its file."""
        node, path = self.attach(name, image)
        try:
            yield node, path
        finally:
            if node != path:
                getattr(self, "detach_" + name.split("-", maxsplit=1)[0])(node)
            os.unlink(path)
        command("sync", "-f", MOUNT)

    def attach_loop(self, path):
        command("modprobe", "loop", "max_loop=2")
        node = command("losetup", "--find", "--show", "--direct-io=on", path)
        if read(f"/sys/block/{os.path.basename(node)}/loop/dio") != "1":
            raise RuntimeError("loop does not use direct I/O")
        return node

    def detach_loop(self, node):
        command("losetup", "--detach", node)

    def attach_vdisk(self, path):
        if not os.path.exists("/sys/module/vdisk"):
            for name in ("vdisk", "vdisk-raw", "vdisk-vmdk", "vdisk-vdi"):
                command("insmod", f"{self.modules}/{name}.ko")
        raw = ("-f", "raw") if path.endswith(".raw") else ()
        node = command(self.vdctl, "attach", *raw, path)
        state = f"/sys/block/{os.path.basename(node)}"
        if read(f"{state}/vdisk/dio") != "1":
            raise RuntimeError(f"{node} does not use direct I/O")
        if read(f"{state}/ro") != "0":
            raise RuntimeError(f"{node} is read-only")
        return node

    def detach_vdisk(self, node):
        command(self.vdctl, "detach", node)

    def attach_nbd(self, path):
        command("modprobe", "nbd", f"nbds_max={NBD_DEVICES}", "max_part=0")
        number = next(n for n in range(NBD_DEVICES) if not os.path.exists(f"/sys/block/nbd{n}/pid"))
        node = f"/dev/nbd{number}"
        command("qemu-nbd", "--fork", f"--connect={node}", f"--pid-file=/run/nbd{number}.pid",
                f"--format={path.rsplit('.', maxsplit=1)[1]}", "--cache=none", "--aio=io_uring",
                path)
        wait_for(f"size of {node}", lambda: read(f"/sys/block/nbd{number}/size") != "0")
        return node

    def detach_nbd(self, node):
        number = node.removeprefix("/dev/nbd")
        server = read(f"/run/nbd{number}.pid")
        command("qemu-nbd", "--disconnect", node)
        wait_for(f"end of {node}'s server", lambda: not os.path.exists(f"/proc/{server}"))
        wait_for(f"end of {node}", lambda: not os.path.exists(f"/sys/block/nbd{number}/pid"))


def versions():
    """What the report names: taken where it runs."""
    fio = command("fio", "--version")
    qemu_nbd = command("qemu-nbd", "--version").split("\n", maxsplit=1)[0]
    return {"kernel": os.uname().release, "fio": fio, "qemu-nbd": qemu_nbd.split()[1],
            "cpus": len(glob.glob("/sys/devices/system/cpu/cpu[0-9]*"))}
