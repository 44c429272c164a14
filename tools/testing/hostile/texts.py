# SPDX-License-Identifier: GPL-2.0-only
"""Text descriptors: too long, too many, contradicting, unknown, malformed."""
from layouts import DISK, SECTOR, Sparse, flat, text, write
from registry import case, simple

KIB64 = 1 << 16
LINE = 'RW 128 FLAT "flat" 0'
HEAD = ["# Disk DescriptorFile", "version=1", "CID=11111111", "parentCID=ffffffff",
        'createType="monolithicFlat"']


def words(name, *lines, head=None, make=None):
    """disk.vmdk with these lines; beside it "flat", 64 KiB of 'A'."""
    def write_all(directory):
        flat(directory, "flat", {0: (KIB64, 0x41)}, KIB64)
        write(directory, DISK, make() if make else text(*lines, head=HEAD if head is None else head))
    simple(f"text-{name}", write_all)


def head(name, *lines):
    """The header's lines are replaced or, where none has that key, added to."""
    keys = {line.split("=")[0] for line in lines}
    words(name, LINE, head=[line for line in HEAD if line.split("=")[0] not in keys] + list(lines))


words("control", LINE)
words("control-odd", make=lambda: b"\xef\xbb\xbf\r\n \t# disk descriptorFILE \r\nVERSION = 1 \t\r\n"
      b"cid=1\r\nPARENTcid = FFFFFFFF\r\n\r\nrw  128\tflat \"flat\"\t0\r\n"
      b"createtype = monolithicflat\r\n")

# --- how much ---


def padded(size):
    """A descriptor of exactly @size bytes, of which most are long comments."""
    data = text(LINE, head=HEAD)
    rest = size - len(data)
    return data + (b"#" * 999 + b"\n") * (rest // 1000) + b"#" * (rest % 1000)


def many_lines(count):
    data = text(LINE, head=HEAD)
    return data + b"#\n" * (count - data.count(b"\n"))


words("cap-bytes", make=lambda: padded(1 << 20))
words("cap-bytes-past", make=lambda: padded((1 << 20) + 1))
words("cap-lines", make=lambda: many_lines(4096))
words("cap-lines-past", make=lambda: many_lines(4097))
words("cap-line", LINE, "# " + "x" * 4094)
words("cap-line-past", LINE, "# " + "x" * 4095)
words("cap-extents", *["RW 1 ZERO"] * 4091)
words("a-megabyte-in-a-line", make=lambda: text(LINE, head=HEAD) + b"x" * 1000000)
words("a-million-of-newlines", make=lambda: text(LINE, head=HEAD) + b"\n" * 1000000)

# --- numbers and words of the header ---

head("version-0", "version=0")
head("version-4", "version=4")
head("version-negative", "version=-1")
head("version-huge", "version=99999999999999999999")
head("version-none", "version=")
head("cid-long", "CID=123456789")
head("cid-no-hex", "CID=zzzzzzzz")
head("cid-negative", "CID=-1")
head("cid-twice", "CID=11111111", "CID=22222222")
head("cid-twice-same", "CID=11111111", "CID=11111111")
head("type-twice", 'createType="monolithicFlat"', 'createType="custom"')
head("version-twice", "version=1", "version=3")
head("type-unknown", 'createType="quantumFoam"')
head("type-long", f'createType="{"x" * 4000}"')
head("type-device", 'createType="fullDevice"')
head("type-rdm", 'createType="vmfsRDM"')
head("native-snapshot", 'isNativeSnapshot="yes"')
head("native-snapshot-odd", 'isNativeSnapshot="perhaps"')
head("sectors-8192", 'ddb.logicalSectorSize="8192"')
head("sectors-4096", 'ddb.logicalSectorSize="4096"')
head("encrypted-keys", 'encryptionKeys="vmware:key/list/(pair/(null))"')
head("encrypted-filter", 'ddb.iofilters="vmwarevmcrypt"')
head("encrypted-key-id", 'keyID="1"')
head("filter", 'ddb.iofilters="vmwarelwd"')
head("sidecar", 'ddb.sidecars="disk.vmfd"')
head("change-track", 'changeTrackPath="disk-ctk.vmdk"')
head("change-track-outside", 'changeTrackPath="../../outside/secret"')
head("geometry-huge", 'ddb.geometry.cylinders="99999999999999999999"')
head("comment-escapes", 'ddb.comment="\\\\"')
head("quote-open", 'createType="monolithicFlat')
head("quote-inside", 'createType="mono"lithicFlat"')
head("key-empty", "=1")
head("key-with-blank", "my key=1")
head("line-of-noise", "hello world")
head("line-without-value", "CIDISMISSING")
head("control-character", "x=\x1b[2J")
head("bytes-high", "x=\xff\xfe")
words("no-extents", head=HEAD)
words("only-version", head=["version=1"])
words("nul-first", make=lambda: b"# Disk DescriptorFile\n\0" + text(LINE, head=HEAD))
words("nul-hides-extent", make=lambda: text(LINE, head=HEAD) + b"\0" + f"{LINE}\n".encode())
words("nul-in-line", make=lambda: text('RW 128 FLAT "fl\0at" 0', head=HEAD))
words("carriage-returns", make=lambda: text(LINE, head=HEAD).replace(b"\n", b"\r"))
words("utf-16", make=lambda: b"\xff\xfe" + text(LINE, head=HEAD).decode().encode("utf-16-le"))

# --- extent lines ---

words("size-0", 'RW 0 FLAT "flat" 0')
words("size-negative", 'RW -128 FLAT "flat" 0')
words("size-hex", 'RW 0x80 FLAT "flat" 0')
words("size-unit", 'RW 64K FLAT "flat" 0')
words("size-2e63", f'RW {1 << 63} FLAT "flat" 0')
words("size-2e64", f'RW {(1 << 64) + 128} FLAT "flat" 0')
words("size-cap", f"RW {64 << 31} ZERO")
words("size-cap-past", f"RW {(64 << 31) + 1} ZERO")
words("sum-past-cap", *[f"RW {17 << 31} ZERO"] * 4)
words("sum-past-cap-by-one", f"RW {64 << 31} ZERO", "RW 1 ZERO")
words("size-none", "RW")
words("access-unknown", LINE, 'RWX 128 FLAT "flat" 0')
words("access-lower", 'rw 128 flat "flat" 0')
words("type-of-extent-unknown", LINE, 'RW 128 FLOTT "flat" 0')
words("name-open", 'RW 128 FLAT "flat 0')
words("name-bare", "RW 128 FLAT flat 0")
words("name-empty", 'RW 128 FLAT "" 0')
words("name-none", "RW 128 FLAT")
words("offset-negative", 'RW 128 FLAT "flat" -1')
words("offset-2e63", f'RW 128 FLAT "flat" {1 << 63}')
words("offset-2e55", f'RW 128 FLAT "flat" {1 << 55}')
words("offset-past-end", 'RW 128 FLAT "flat" 1')
words("offset-of-sparse", 'RW 128 SPARSE "flat" 0')
words("flat-short", 'RW 129 FLAT "flat" 0')
words("zero-with-file", 'RW 128 ZERO "flat"')
words("zero", LINE, "RW 128 ZERO", LINE)
words("read-only", 'RDONLY 128 FLAT "flat" 0')
words("no-access", LINE, 'NOACCESS 128 FLAT "flat" 0')
words("no-access-nameless", LINE, "NOACCESS 128 FLAT")
words("vmfs", 'RW 128 VMFS "flat"')
words("windows-path", 'RW 128 FLAT "C:\\vm\\flat" 0')
words("device-windows", 'RW 128 FLAT "\\\\.\\PhysicalDrive0" 0')
words("device-linux", 'RW 128 FLAT "/dev/zero" 0')
words("device-mapping", 'RW 128 VMFSRDM "flat"')
words("device-raw", 'RW 128 VMFSRAW "flat"')
words("partition", 'RW 128 FLAT "flat" 0 "11111111-2222" "id"')
words("sparse-is-flat", 'RW 128 SPARSE "flat"')


@case("text-flat-short-by-bytes")
def flat_short_by_bytes(directory):
    flat(directory, "flat", {0: (KIB64 - 100, 0x41)}, KIB64 - 100)
    write(directory, DISK, text(LINE, head=HEAD))


@case("text-flat-twice")
def flat_twice(directory):
    flat(directory, "flat", {0: (KIB64, 0x41), KIB64: (KIB64, 0x42)}, 2 * KIB64)
    write(directory, DISK, text('RW 128 FLAT "flat" 128', LINE, head=HEAD))


@case("text-flat-overlaps")
def flat_overlaps(directory):
    flat(directory, "flat", {0: (KIB64, 0x41), KIB64: (KIB64, 0x42)}, 2 * KIB64)
    write(directory, DISK, text('RW 128 FLAT "flat" 64', LINE, head=HEAD))


@case("text-extent-is-descriptor")
def extent_is_descriptor(directory):
    write(directory, DISK, text(f'RW 1 FLAT "{DISK}" 0', head=HEAD))


@case("text-extent-is-other-descriptor")
def other_descriptor(directory):
    """A flat file is bytes, whatever they look like."""
    data = text('RW 128 FLAT "../../outside/secret" 0', head=HEAD)
    write(directory, "flat", data + b"#" * (SECTOR - len(data)))
    write(directory, DISK, text('RW 1 FLAT "flat" 0', head=HEAD))


@case("text-sparse-twice")
def sparse_twice(directory):
    Sparse(directory, "one.vmdk", desc=0)
    write(directory, DISK, text('RW 8192 SPARSE "one.vmdk"', 'RW 8192 SPARSE "one.vmdk"',
                                kind="twoGbMaxExtentSparse"))


@case("text-second-extent-damaged")
def second_damaged(directory):
    """The sentence must say which file it is."""
    Sparse(directory, "one.vmdk", desc=0)
    Sparse(directory, "two.vmdk", desc=0).change(version=9)
    write(directory, DISK, text('RW 8192 SPARSE "one.vmdk"', 'RW 8192 SPARSE "two.vmdk"',
                                kind="twoGbMaxExtentSparse"))


@case("text-inside-says-flat")
def inside_says_flat(directory):
    flat(directory, "flat", {0: (KIB64, 0x41)}, KIB64)
    Sparse(directory, words=text(LINE, kind="monolithicSparse"))


@case("text-inside-is-noise")
def inside_is_noise(directory):
    Sparse(directory, words=bytes((i * 89 + 7) & 255 for i in range(2000)))


@case("text-inside-is-noise-version-2")
def inside_is_encrypted(directory):
    Sparse(directory, words=bytes((i * i * 89 + 7) & 255 for i in range(2000))).change(version=2)


@case("text-inside-is-empty")
def inside_is_empty(directory):
    Sparse(directory, words=b"\0")


@case("text-inside-names-other")
def inside_names_other(directory):
    """A renamed file: the name is not followed."""
    Sparse(directory, words=text('RW 8192 SPARSE "../../outside/secret"'))
