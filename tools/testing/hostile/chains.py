# SPDX-License-Identifier: GPL-2.0-only
"""Names that lead elsewhere: of extents and of parents; chains without end."""
import os
import socket
import struct

from layouts import DISK, Cowd, Sparse, flat, text, write
from registry import case, simple

KIB64 = 1 << 16
OTHER = 65534    # owner of what is somebody else's


def outside(directory):
    return os.path.realpath(os.path.join(directory, "..", "..", "outside"))


def inside(directory):
    flat(directory, "flat", {0: (KIB64, 0x41)}, KIB64)
    write(directory, "base.vmdk", text('RW 128 FLAT "flat" 0', kind="monolithicFlat"))


def extent(name, value, prepare=None):
    """disk.vmdk has one flat extent called @value, which may hold %s for the outside."""
    def make(directory):
        inside(directory)
        if prepare:
            prepare(directory)
        file = value.replace("%s", outside(directory))
        write(directory, DISK, text(f'RW 128 FLAT "{file}" 0', kind="monolithicFlat"))
    simple(f"extent-{name}", make)


def child(directory, parent, name=DISK, cid="22222222", wants="11111111", sectors=128, more=()):
    """A delta without any grain of its own; @parent None: names nobody."""
    hint = [] if parent is None else [f'parentFileNameHint="{parent}"']
    Sparse(directory, name, sectors=sectors, grain=8, grains={},
           words=text(f'RW {sectors} SPARSE "{name}"', *hint, *more, cid=cid, parent=wants))


def parent(name, value, prepare=None, **more):
    def make(directory):
        inside(directory)
        if prepare:
            prepare(directory)
        child(directory, value.replace("%s", outside(directory)), **more)
    simple(f"parent-{name}", make)


# --- things that a name may lead to ---

def link(target):
    def make(directory):
        os.symlink(target.replace("%s", outside(directory)), os.path.join(directory, "thing"))
    return make


def fifo(directory):
    os.mkfifo(os.path.join(directory, "thing"))


def subdir(directory):
    os.mkdir(os.path.join(directory, "thing"))


def unix_socket(directory):
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(directory)    # a socket's whole name is short
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("thing")
    os.fchdir(here)
    os.close(here)


def node(directory):
    os.mknod(os.path.join(directory, "thing"), 0o20600, os.makedev(1, 5))


def foreign(name):
    def make(directory):
        os.link(os.path.join(directory, name), os.path.join(directory, "thing"))
        os.chown(os.path.join(directory, "thing"), OTHER, OTHER)
    return make


def deep(directory):
    os.makedirs(os.path.join(directory, "a", "b"))
    os.symlink("../..", os.path.join(directory, "a", "b", "up"))


NAMES = [
    ("control", "flat", "base.vmdk", None),
    ("dots-inside", "a/../flat", "a/../base.vmdk", deep),
    ("absolute", "%s/secret", "%s/elsewhere.vmdk", None),
    ("dots", "../../outside/secret", "../../outside/elsewhere.vmdk", None),
    ("dots-behind-directory", "a/../../../outside/secret", "a/../../../outside/elsewhere.vmdk", deep),
    ("link-outside", "thing", "thing", None),
    ("link-inside", "thing", "thing", None),
    ("link-directory", "a/b/up/flat", "a/b/up/base.vmdk", deep),
    ("link-dangling", "thing", "thing", link("nothing")),
    ("link-to-itself", "thing", "thing", link("thing")),
    ("proc-fd", "/proc/self/fd/0", "/proc/self/fd/0", None),
    ("proc-root", "/proc/self/root%s/secret", "/proc/self/root%s/elsewhere.vmdk", None),
    ("fifo", "thing", "thing", fifo),
    ("directory", "thing", "thing", subdir),
    ("socket", "thing", "thing", unix_socket),
    ("device-node", "thing", "thing", node),
    ("foreign", "thing", "thing", None),
    ("missing", "nothing", "nothing", None),
    ("behind-a-file", "flat/flat", "flat/base.vmdk", None),
    ("dot", ".", ".", None),
    ("root", "/", "/", None),
    ("url", "nbd://127.0.0.1:1/x", "nbd://127.0.0.1:1/x", None),
    ("url-file", "file:///etc/passwd", "file:///etc/passwd", None),
    ("fd", "fd:0", "fd:0", None),
    ("long", "n" * 4000, "n" * 4000, None),
    ("deep", "d/" * 1900 + "flat", "d/" * 1900 + "base.vmdk", None),
]
SPECIAL = {
    "link-outside": (link("%s/secret"), link("%s/elsewhere.vmdk")),
    "link-inside": (link("flat"), link("base.vmdk")),
    "foreign": (foreign("flat"), foreign("base.vmdk")),
}


def add_names():
    for name, of_extent, of_parent, prepare in NAMES:
        first, second = SPECIAL.get(name, (prepare, prepare))
        extent(name, of_extent, first)
        parent(name, of_parent, second)


add_names()
parent("json", "json:{'driver':'file','filename':'/etc/passwd'}")
parent("windows", "C:\\vm\\base.vmdk")
parent("windows-elsewhere", "C:\\vm\\other.vmdk")
parent("esx", "/vmfs/volumes/1234/vm/base.vmdk")
parent("device", "/dev/zero")
parent("empty", "")
parent("tab", "base\t.vmdk")
extent("tab", "fl\tat")
parent("outside-and-beside", "../../outside/base.vmdk")


@case("extent-absolute-inside")
def extent_absolute_inside(directory):
    inside(directory)
    write(directory, DISK, text(f'RW 128 FLAT "{os.path.realpath(directory)}/flat" 0'))


@case("extent-hard-link")
def extent_hard_link(directory):
    """Two names of one file are one file."""
    Sparse(directory, "one.vmdk", desc=0)
    os.link(os.path.join(directory, "one.vmdk"), os.path.join(directory, "two.vmdk"))
    write(directory, DISK, text('RW 8192 SPARSE "one.vmdk"', 'RW 8192 SPARSE "two.vmdk"',
                                kind="twoGbMaxExtentSparse"))


@case("extent-descriptor-of-other")
def descriptor_of_other(directory):
    """Somebody else's descriptor must not show root's files."""
    inside(directory)
    write(directory, DISK, text('RW 128 FLAT "flat" 0'))
    os.chown(os.path.join(directory, DISK), OTHER, OTHER)


@case("extent-second-outside")
def second_outside(directory):
    inside(directory)
    write(directory, DISK, text('RW 128 FLAT "flat" 0', 'RW 128 FLAT "../../outside/secret" 0'))


# --- which parent, and how many ---

parent("cid-wrong", "base.vmdk", wants="99999999")
parent("cid-none", "base.vmdk", wants="ffffffff")
parent("larger", "base.vmdk", sectors=64)
parent("smaller", "base.vmdk", sectors=256)
parent("itself", DISK, wants="22222222")


@case("parent-unnamed")
def unnamed(directory):
    child(directory, None)


@case("parent-loop-of-two")
def loop_of_two(directory):
    child(directory, "other.vmdk", wants="22222222")
    child(directory, DISK, "other.vmdk", wants="22222222")


@case("parent-hard-link")
def hard_link(directory):
    child(directory, "other.vmdk", wants="22222222")
    os.link(os.path.join(directory, DISK), os.path.join(directory, "other.vmdk"))


@case("parent-shares-extent")
def shares_extent(directory):
    """The child's extent is its parent's."""
    inside(directory)
    write(directory, DISK, text('RW 128 FLAT "flat" 0', 'parentFileNameHint="base.vmdk"',
                                cid="22222222", parent="11111111", kind="custom"))


@case("parent-damaged")
def damaged(directory):
    Sparse(directory, "base.vmdk", sectors=128).change(version=4)
    child(directory, "base.vmdk")


@case("parent-extent-outside")
def parents_extent_outside(directory):
    write(directory, "base.vmdk", text('RW 128 FLAT "../../outside/secret" 0'))
    child(directory, "base.vmdk")


@case("parent-is-raw")
def is_raw(directory):
    """What a guest may have written: never probed further than the magic of a VMDK."""
    f = flat(directory, "base.raw", {0: (KIB64, 0)}, KIB64)
    f.put(0, b"QFI\xfb" + struct.pack(">IQI", 2, 0x100, 11))
    f.put(0x100, b"/etc/passwd")
    child(directory, "base.raw")


@case("parent-is-guest-written")
def guest_written(directory):
    """A flat disk whose guest wrote a descriptor into it, with the right CID."""
    data = text('RW 128 FLAT "../../outside/secret" 0')
    write(directory, "base.raw", data.ljust(KIB64, b"\0"))
    child(directory, "base.raw")


@case("parent-by-uuid")
def by_uuid(directory):
    """Beside it are things to stumble over."""
    fifo(directory)
    os.rename(os.path.join(directory, "thing"), os.path.join(directory, "a.vmdk"))
    os.symlink("a.vmdk", os.path.join(directory, "b.vmdk"))
    os.mkdir(os.path.join(directory, "c.vmdk"))
    os.symlink(os.path.join(outside(directory), "elsewhere.vmdk"), os.path.join(directory, "d.vmdk"))
    uuid = "11111111-2222-3333-4444-555555555555"
    flat(directory, "flat", {0: (KIB64, 0x41)}, KIB64)
    write(directory, "e.vmdk", text('RW 128 FLAT "flat" 0', f'ddb.uuid.image="{uuid}"'))
    child(directory, None, wants="ffffffff", more=[f'ddb.uuid.parent="{uuid}"'])


def chain(name, depth):
    @case(f"parent-chain-{name}")
    def make(directory):
        inside(directory)
        below = "base.vmdk"
        for level in range(2, depth + 1):
            this = DISK if level == depth else f"level{level}.vmdk"
            child(directory, below, this, cid=f"{level:08x}",
                  wants="11111111" if level == 2 else f"{level - 1:08x}")
            below = this


chain("17", 17)
chain("64", 64)
chain("65", 65)
chain("300", 300)


@case("parent-of-cowd-in-header")
def cowd_header(directory):
    """COWD has a parent's name of its own: the descriptor's counts."""
    Cowd(directory).put(32, b"../../outside/secret")


@case("beside-fifo")
def beside_fifo(directory):
    """What is looked through for snapshots before writing."""
    inside(directory)
    write(directory, DISK, text('RW 128 FLAT "flat" 0', kind="monolithicFlat"))
    os.remove(os.path.join(directory, "base.vmdk"))
    os.mkfifo(os.path.join(directory, "pipe.vmdk"))
    os.symlink(os.path.join(outside(directory), "elsewhere.vmdk"), os.path.join(directory, "l.vmdk"))
    os.mkdir(os.path.join(directory, "Snapshots"))
    os.mkfifo(os.path.join(directory, "Snapshots", "pipe.vmdk"))


@case("beside-snapshots-link")
def beside_snapshots_link(directory):
    inside(directory)
    os.remove(os.path.join(directory, "base.vmdk"))
    write(directory, DISK, text('RW 128 FLAT "flat" 0', kind="monolithicFlat"))
    os.symlink(outside(directory), os.path.join(directory, "Snapshots"))


@case("beside-child")
def beside_child(directory):
    inside(directory)
    os.rename(os.path.join(directory, "base.vmdk"), os.path.join(directory, DISK))
    child(directory, DISK, "child.vmdk")
