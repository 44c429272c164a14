# SPDX-License-Identifier: GPL-2.0-only
"""Raw images: content that claims to be more, odd sizes, things that are no files."""
import os
import socket

from layouts import Sparse, flat, text, write
from registry import case

RAW = "disk.raw"
MIB = 1 << 20


@case("raw-control")
def control(directory):
    flat(directory, RAW, {0: (4096, 0x41), MIB - 512: (512, 0x42)}, MIB)


@case("raw-is-vmdk")
def is_vmdk(directory):
    Sparse(directory, RAW)


@case("raw-is-descriptor")
def is_descriptor(directory):
    data = text('RW 128 FLAT "../../outside/secret" 0', kind="monolithicFlat")
    write(directory, RAW, data.ljust(4096, b"\0"))


@case("raw-is-qcow2")
def is_qcow2(directory):
    flat(directory, RAW, {}, MIB).put(0, b"QFI\xfb\0\0\0\3")


@case("raw-size-odd")
def size_odd(directory):
    flat(directory, RAW, {0: (1000, 0x41)}, 1000)


@case("raw-size-1")
def size_1(directory):
    flat(directory, RAW, {0: (1, 0x41)}, 1)


@case("raw-empty")
def empty(directory):
    write(directory, RAW, b"")


@case("raw-huge")
def huge(directory):
    """As large as a file may be on the small file system that the VM has it on."""
    flat(directory, RAW, {}, 2 << 40)


@case("raw-directory")
def a_directory(directory):
    os.mkdir(os.path.join(directory, RAW))


@case("raw-fifo")
def fifo(directory):
    os.mkfifo(os.path.join(directory, RAW))


@case("raw-device-node")
def node(directory):
    os.mknod(os.path.join(directory, RAW), 0o20600, os.makedev(1, 5))


@case("raw-socket")
def unix_socket(directory):
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(RAW)
    os.fchdir(here)
    os.close(here)


@case("raw-link-dangling")
def dangling(directory):
    os.symlink("nothing", os.path.join(directory, RAW))


@case("raw-link-to-itself")
def link_to_itself(directory):
    os.symlink(RAW, os.path.join(directory, RAW))


@case("raw-link")
def a_link(directory):
    """What the user names may be a link."""
    flat(directory, "file", {0: (4096, 0x41)}, MIB)
    os.symlink("file", os.path.join(directory, RAW))
