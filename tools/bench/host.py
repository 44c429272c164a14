# SPDX-License-Identifier: GPL-2.0-only
"""What `run` and `profile` do on the host alike: build, make images, start the
VM, collect what it wrote."""

import json
import os
import re
import shutil
import subprocess
import sys

import jobs

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build", "bench")
IMAGES = os.path.join(BUILD, "images")
PAYLOAD = os.path.join(BUILD, "payload")
SERIES = "6.12"
VMDK = ("-o", "subformat=monolithicSparse")
# The RAM disk with all images, as much page cache as copying them needs, the rest.
MEMORY_MIB = 1280 + 11 * jobs.IMAGE_MIB + 2 * jobs.growth_mib() + jobs.BASE_MIB


def die(text):
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(1)


def sh(*words, **more):
    done = subprocess.run(words, cwd=TOP, check=False, **more)
    if done.returncode:
        die(f"{' '.join(words)} failed")
    return done


def output(*words):
    return sh(*words, stdout=subprocess.PIPE, text=True).stdout.strip()


def release():
    """The newest installed kernel of the series, by its numbers."""
    found = [name for name in os.listdir("/lib/modules")
             if name.startswith(SERIES + ".") and name.endswith("-amd64")
             and not re.search("-(cloud|rt)-amd64$", name)]
    if not found:
        die(f"no kernel {SERIES}.* is installed")
    return max(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def commit():
    def git(*words):
        done = subprocess.run(["git", *words], cwd=TOP, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.strip()

    dirty = git("status", "--porcelain", "--untracked-files=no", "--", "kernel", "formats-common")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if dirty else "")


def qemu_version():
    return output("qemu-system-x86_64", "--version").split("\n")[0].split("version ")[1]


def make_payload(kver, vdctl):
    """Copies, so that a build in the middle of a run changes nothing. Returns
    the commit they are of."""
    version = commit()
    sh("tools/install-deps", "build", "kernels", "vm", "bench")
    sh("make", "-s", "modules", f"KVER={kver}")
    if not vdctl:
        sh("make", "-s", "vdctl")
        vdctl = os.path.join(TOP, "build", "vdctl")
    shutil.rmtree(PAYLOAD, ignore_errors=True)
    os.makedirs(PAYLOAD)
    for name in ("vdisk", "vdisk-raw", "vdisk-vmdk", "vdisk-vdi"):
        shutil.copy(os.path.join(TOP, "build", "modules", kver, name + ".ko"), PAYLOAD)
    shutil.copy(vdctl, os.path.join(PAYLOAD, "vdctl"))
    return version


def create_empty(kind, mib, path):
    """As most have them: VMDK by QEMU; VDI by VirtualBox, which begins its data at a MiB (QEMU
    at byte 1024, so that each 4 KiB of the disk lie in two pages of the file)."""
    if kind == "vdi":
        sh(os.path.join(PAYLOAD, "vdctl"), "create", "-q", "--force", "-f", kind, path, f"{mib}M")
    else:
        sh("qemu-img", "create", "-q", "-f", kind, *VMDK, path, f"{mib}M")


def make_allocated(name, mib, kinds, keep_raw):
    """Random bytes, so that every grain of NAME.vmdk is allocated, or every block of
    NAME.vdi; NAME.raw."""
    def path(kind):
        return os.path.join(IMAGES, f"{name}.{kind}")

    def there(kind):
        return os.path.exists(path(kind)) and \
            0 <= (os.path.getsize(path(kind)) >> 20) - mib <= mib // 64 + 2

    if all(there(kind) for kind in kinds):
        return
    with open(path("raw"), "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    for kind in kinds:
        create_empty(kind, mib, path(kind) + ".part")
        sh("qemu-img", "convert", "-n", "-f", "raw", "-O", kind, path("raw"), path(kind) + ".part")
        os.rename(path(kind) + ".part", path(kind))
    if not keep_raw:
        os.remove(path("raw"))


def make_images():
    os.makedirs(IMAGES, exist_ok=True)
    make_allocated("full", jobs.IMAGE_MIB, ("vmdk", "vdi"), keep_raw=True)
    make_allocated("base", jobs.BASE_MIB, ("vmdk",), keep_raw=False)
    for kind, mib in (("vmdk", jobs.EMPTY_MIB), ("vdi", jobs.EMPTY_VDI_MIB)):
        create_empty(kind, mib, os.path.join(IMAGES, "empty." + kind))
    # A delta names its parent as seen from its own directory.
    create = ("qemu-img", "create", "-q", "-f", "vmdk", *VMDK)
    sh(*create, "-F", "vmdk", "-b", "base.vmdk", os.path.join(IMAGES, "delta.vmdk"))
    make_chain(create)


def make_chain(create):
    """A second name for the full image, and deltas, each on the one before."""
    base = os.path.join(IMAGES, jobs.link(0))
    if os.path.exists(base):
        os.remove(base)
    os.link(os.path.join(IMAGES, "full.vmdk"), base)
    for number in range(1, jobs.CHAIN):
        sh(*create, "-F", "vmdk", "-b", jobs.link(number - 1),
           os.path.join(IMAGES, jobs.link(number)))


def boot(name, kver, plan, *options):
    """Run the guest's side; its records, and whether it is content."""
    out = os.path.join(BUILD, name)
    log = os.path.join(out, "bench.jsonl")
    os.makedirs(out, exist_ok=True)
    if os.path.exists(log):
        os.remove(log)
    plan = dict(plan, images=IMAGES, modules=PAYLOAD, vdctl=os.path.join(PAYLOAD, "vdctl"))
    status = subprocess.run(
        [os.path.join(TOP, "tools/testing/vm/run"), "--kernel", kver, "--name", "bench-" + name,
         "--out", out, "--mem", str(MEMORY_MIB), *options, "--",
         os.path.join(HERE, "guest.py"), json.dumps(plan)], cwd=TOP, check=False).returncode
    records = []
    if os.path.exists(log):
        with open(log, encoding="ascii") as file:
            records = [json.loads(line) for line in file]
    return records, status == 0


def choose(text, known, what):
    """A comma list out of @known, in the order of @known."""
    if not text:
        return list(known)
    chosen = text.split(",")
    for name in chosen:
        if name not in known:
            die(f"no such {what}: {name} (there are {', '.join(known)})")
    return [name for name in known if name in chosen]
