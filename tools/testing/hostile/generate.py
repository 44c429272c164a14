#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make the hostile images: generate.py DIR [NAME...]

Each case gets a directory DIR/cases/NAME; DIR/outside has files that none of them may reach.
Without names all are made. The same bytes each time; only names that are absolute depend on DIR.
"""
import os
import shutil
import sys

import chains    # noqa: F401: these fill the registry
import hosted    # noqa: F401
import packed    # noqa: F401
import raws    # noqa: F401
import texts    # noqa: F401
import vdi    # noqa: F401
from layouts import flat, text, write
from registry import CASES


def make_outside(directory):
    os.makedirs(directory)
    flat(directory, "secret", {0: (1 << 16, 0x53)}, 1 << 16)
    write(directory, "elsewhere.vmdk", text('RW 128 FLAT "secret" 0', kind="monolithicFlat"))


def main(argv):
    root, names = argv[1], argv[2:] or list(CASES)
    outside = os.path.join(root, "outside")
    if not os.path.isdir(outside):
        make_outside(outside)
    for name in names:
        directory = os.path.join(root, "cases", name)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        CASES[name](directory)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv)
