# SPDX-License-Identifier: GPL-2.0-only
# vdisk: modules, vdctl, tests. `make help` lists the targets.

BUILD   := build
comma   := ,
KVER    ?= $(shell uname -r)
PREFIX  ?= /usr
DESTDIR ?=

CC      ?= gcc
CFLAGS  ?= -O2 -g
PKGS    := libnl-3.0 libnl-genl-3.0 smartcols json-c uuid blkid mount zlib
VDINC   := -Iinclude/uapi -Iformats-common/include -Iformats-common/port
WARN    := -std=gnu11 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	   -Wno-unused-parameter -Wformat=2
STRICT  := -Wconversion -Wno-sign-conversion -Wframe-larger-than=1024
UCFLAGS := $(CFLAGS) $(WARN) -D_GNU_SOURCE -DVD_USER -D_FILE_OFFSET_BITS=64 -pthread -MMD -MP

# Folders of backends.
FORMATS := raw vmdk vdi
LIBSRC  := $(wildcard formats-common/core/*.c $(FORMATS:%=formats-common/%/*.c)) \
	   $(filter-out %/port-kernel.c,$(wildcard formats-common/port/*.c))
CTLSRC  := $(wildcard ctl/*.c)

LIBOBJ  := $(LIBSRC:%.c=$(BUILD)/user/%.o)
ASANOBJ := $(LIBSRC:%.c=$(BUILD)/asan/%.o)
TSANOBJ := $(LIBSRC:%.c=$(BUILD)/tsan/%.o)
LIB32OBJ := $(LIBSRC:%.c=$(BUILD)/m32/%.o)
CTLOBJ  := $(CTLSRC:%.c=$(BUILD)/user/%.o)

.PHONY: all modules vdctl lib m32 demo shell check check-full bench lint install clean help deps
all: modules vdctl

help:
	@sed -n 's/^## //p' Makefile

## make                builds the modules for the running kernel (KVER=...) and vdctl
## make demo           makes a VMDK, boots a VM, attaches and mounts it (IMAGE=..., RW=1)
## make shell          a root shell in that VM (IMAGE=...)
## make check          every suite; ends with "N passed, N failed, N skipped"
## make check-full     every test of them; the last time in 64 minutes
## make check-debug    the kernel selftests on two debug kernels, built first: an hour or more
## make crash          states that a power cut leaves, judged (STATES=1e6)
## make mutants        each check of a backend removed: does a test fail?
## make fuzz           runs each fuzzer for a minute (SECONDS=3600), sums up all such runs
## make differ         mutated images against qemu-img, each difference explained (IMAGES=2000)
## make prove          proofs of open, map and arithmetic; the model of write ordering
## make evidence       all of the above at length, hours: Documentation/evidence.md
## make bench          instructions per I/O and ratios against loop and qemu-nbd
## make lint           sparse, W=1, cppcheck, shellcheck, clang-format, symbol gate
## make install        modules, vdctl, udev rules, man page, completions (as root)

# --- modules: one copy of the sources a kernel, so that trees do not mix ---
# KDIR: headers that are not the installed kernel's.
modules: $(BUILD)/modules/$(KVER)/vdisk.ko

KSRC := Kbuild $(wildcard include/uapi/linux/*.h formats-common/include/vdisk/*.h \
	formats-common/port/*.[ch] formats-common/core/*.[ch] $(FORMATS:%=formats-common/%/*.[ch]) \
	kernel/*.[ch])

.PRECIOUS: $(BUILD)/modules/%/vdisk.ko
$(BUILD)/modules/%/vdisk.ko: $(KSRC)
	@test -d $(or $(KDIR),/lib/modules/$*/build) || { echo "no headers for kernel $*: sudo apt-get install linux-headers-$*"; exit 1; }
	@mkdir -p $(@D)/src
	@cp -u --parents $(KSRC) $(@D)/src
	$(MAKE) -s -C $(or $(KDIR),/lib/modules/$*/build) M=$(abspath $(@D))/src W=1 KCFLAGS=-Werror modules
	@cp $(@D)/src/*.ko $(@D)/

# --- user space ---
vdctl: $(BUILD)/vdctl
lib: $(BUILD)/libvdisk.a

$(BUILD)/libvdisk.a: $(LIBOBJ)
	@rm -f $@; $(AR) rcs $@ $^

$(BUILD)/libvdisk-asan.a: $(ASANOBJ)
	@rm -f $@; $(AR) rcs $@ $^

$(BUILD)/libvdisk-tsan.a: $(TSANOBJ)
	@rm -f $@; $(AR) rcs $@ $^

$(BUILD)/vdctl: $(CTLOBJ) $(BUILD)/libvdisk.a
	$(CC) $(CFLAGS) -pthread -o $@ $(CTLOBJ) $(BUILD)/libvdisk.a $(shell pkg-config --libs $(PKGS)) -lz

$(BUILD)/user/formats-common/%.o: formats-common/%.c
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) $(STRICT) $(VDINC) -c -o $@ $<

$(BUILD)/asan/formats-common/%.o: formats-common/%.c
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all $(VDINC) -c -o $@ $<

# It does not model fences: nothing but atomic variables may depend on one.
TSAN := -fsanitize=thread -Wno-tsan
$(BUILD)/tsan/formats-common/%.o: formats-common/%.c
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) $(TSAN) $(VDINC) -c -o $@ $<

$(BUILD)/m32/formats-common/%.o: formats-common/%.c
	@mkdir -p $(@D)
	$(CC) -m32 $(UCFLAGS) $(STRICT) $(VDINC) -c -o $@ $<

$(BUILD)/user/ctl/%.o: ctl/%.c
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) $(VDINC) -Ictl $(shell pkg-config --cflags $(PKGS)) -c -o $@ $<

m32: $(LIB32OBJ)

# --- tests, demonstration, benchmark ---
demo:
	@tools/demo/run demo $(IMAGE)

shell:
	@tools/demo/run shell $(IMAGE)

check:
	@tools/install-deps build kernels vm test lint fuzz proof
	@tools/testing/check

check-full:
	@tools/install-deps build kernels vm test lint fuzz proof
	@tools/testing/check --full

bench:
	@tools/install-deps build kernels vm bench
	@tools/bench/run

lint:
	@tools/install-deps build kernels lint
	@tools/lint

deps:
	@tools/install-deps build

include tools/testing/tests.mk
-include tools/install.mk Documentation/docs.mk

clean:
	rm -rf $(BUILD)

-include $(LIBOBJ:.o=.d) $(ASANOBJ:.o=.d) $(TSANOBJ:.o=.d) $(LIB32OBJ:.o=.d) $(CTLOBJ:.o=.d)
