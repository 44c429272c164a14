# SPDX-License-Identifier: GPL-2.0-only
# The programs that tests are made of, and targets to run one suite. Included by the
# top Makefile.

UNITSRC := $(wildcard tools/testing/unit/test-*.c)
GUESTSRC := $(wildcard tools/testing/selftests/vdisk/test-*.c)
GUESTLIB := $(filter-out $(GUESTSRC),$(wildcard tools/testing/selftests/vdisk/*.c))

.PHONY: unit unit-plain unit-tsan guest-tests suites-bin crash crash-bin evidence prove mutants mutants-bin fuzz differ differ-bin

# --- unit tests ---
# Each opens its images through again/, which can open them once more with faults.
UNITBIN := $(UNITSRC:tools/testing/unit/%.c=$(BUILD)/unit/%)
UNITHDR := $(wildcard tools/testing/unit/*.h tools/testing/unit/again/*.h)
AGAIN   := $(patsubst tools/testing/unit/again/%.c,%.o,$(wildcard tools/testing/unit/again/*.c))
UTFLAGS := $(UCFLAGS) $(VDINC) -Itools/testing/unit
UTWRAP  := $(addprefix -Wl$(comma)--wrap=,vd_chain_open pread64 pwrite64 fdatasync ftruncate64 fallocate64)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
unit: $(UNITBIN)
$(BUILD)/unit/again/%.o: tools/testing/unit/again/%.c $(UNITHDR)
	@mkdir -p $(@D)
	$(CC) $(UTFLAGS) $(SANITIZE) -c -o $@ $<
$(BUILD)/unit/%: tools/testing/unit/%.c $(UNITHDR) $(AGAIN:%=$(BUILD)/unit/again/%) $(BUILD)/libvdisk-asan.a
	@mkdir -p $(@D)
	$(CC) $(UTFLAGS) $(SANITIZE) $(UTWRAP) -o $@ $< $(filter %.o,$^) $(BUILD)/libvdisk-asan.a -lcmocka -lz

# Without a sanitizer, for valgrind.
# It does not see that a length cannot be negative.
PLAIN   := -O1 -Wno-stringop-overflow -Wno-array-bounds
unit-plain: $(UNITBIN:$(BUILD)/unit/%=$(BUILD)/unit-plain/%)
$(BUILD)/unit-plain/again/%.o: tools/testing/unit/again/%.c $(UNITHDR)
	@mkdir -p $(@D)
	$(CC) $(UTFLAGS) $(PLAIN) -c -o $@ $<
$(BUILD)/unit-plain/%: tools/testing/unit/%.c $(UNITHDR) $(AGAIN:%=$(BUILD)/unit-plain/again/%) $(BUILD)/libvdisk.a
	@mkdir -p $(@D)
	$(CC) $(UTFLAGS) $(PLAIN) $(UTWRAP) -o $@ $< $(filter %.o,$^) $(BUILD)/libvdisk.a -lcmocka -lz

# Those that have threads, again.
TSANBIN := $(addprefix $(BUILD)/unit-tsan/test-,meta threads resolve)
unit-tsan: $(TSANBIN)
$(BUILD)/unit-tsan/%: tools/testing/unit/%.c $(wildcard tools/testing/unit/*.h) $(BUILD)/libvdisk-tsan.a
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) $(TSAN) $(VDINC) -Itools/testing/unit -o $@ $< $(BUILD)/libvdisk-tsan.a -lcmocka -lz

# --- what a power cut leaves ---
CRASHSRC := $(wildcard tools/testing/crash/*.c)
CRASHDEP := $(CRASHSRC) $(wildcard tools/testing/crash/*.h tools/testing/crash/record/*.h tools/testing/unit/*.h)
CRASHINC := $(VDINC) -Itools/testing/unit -Itools/testing/crash
crash-bin: $(BUILD)/crash $(BUILD)/crash-asan $(BUILD)/crash-record.so
$(BUILD)/crash-record.so: $(wildcard tools/testing/crash/record/*)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -D_GNU_SOURCE -fPIC -shared -o $@ $(filter %.c,$^) -ldl
$(BUILD)/crash: $(CRASHDEP) $(BUILD)/libvdisk.a
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) $(CRASHINC) -o $@ $(CRASHSRC) $(BUILD)/libvdisk.a -lcmocka -lz
$(BUILD)/crash-asan: $(CRASHDEP) $(BUILD)/libvdisk-asan.a
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) -fsanitize=address,undefined -fno-sanitize-recover=all \
		$(CRASHINC) -o $@ $(CRASHSRC) $(BUILD)/libvdisk-asan.a -lcmocka -lz

# --- what depth costs ---
.PHONY: depth-bin
depth-bin: $(BUILD)/depth
$(BUILD)/depth: tools/testing/depth/depth.c $(wildcard tools/testing/unit/*.h) $(BUILD)/libvdisk.a
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) $(VDINC) -Itools/testing/unit -o $@ $< $(BUILD)/libvdisk.a -lcmocka -lz

# --- mutants ---
# The backends with removable checks, and what is run without each of them.
MUTDIR  := $(BUILD)/mutants
MUTSRC  := $(wildcard $(FORMATS:%=formats-common/%/*.c))
MUTOBJ  := $(MUTSRC:%.c=$(MUTDIR)/obj/%.o) $(MUTDIR)/obj/keep.o
MUTREST := $(filter-out $(MUTSRC:%.c=$(BUILD)/user/%.o),$(LIBOBJ))
MUTBIN  := $(UNITSRC:tools/testing/unit/%.c=$(MUTDIR)/%)
mutants-bin: $(MUTBIN) $(MUTDIR)/crash
$(MUTDIR)/list: tools/testing/mutants/mutate.py $(MUTSRC)
	@mkdir -p $(@D)
	python3 tools/testing/mutants/mutate.py $(MUTDIR)/src $@ $(MUTSRC)
$(MUTDIR)/obj/formats-common/%.o: $(MUTDIR)/list
	@mkdir -p $(@D)
	$(CC) $(filter-out $(WARN) -MMD -MP,$(UCFLAGS)) -std=gnu11 -w -O1 $(VDINC) \
		-I$(dir formats-common/$*) -c -o $@ $(MUTDIR)/src/formats-common/$*.c
$(MUTDIR)/obj/keep.o: tools/testing/mutants/keep.c
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) -c -o $@ $<
$(MUTDIR)/%: tools/testing/unit/%.c $(UNITHDR) $(AGAIN:%=$(BUILD)/unit-plain/again/%) $(MUTOBJ) $(MUTREST)
	$(CC) $(UTFLAGS) $(PLAIN) $(UTWRAP) -o $@ $< $(filter %.o,$^) -lcmocka -lz
$(MUTDIR)/crash: $(CRASHDEP) $(MUTOBJ) $(MUTREST)
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) $(CRASHINC) -o $@ $(CRASHSRC) $(MUTOBJ) $(MUTREST) -lcmocka -lz

# --- fuzzers ---
# Clang's libFuzzer, and the same programs with coverage of the library.
FUZZCC  ?= clang-14
FUZZDIR := tools/testing/fuzz
FUZZTARGETS := $(patsubst $(FUZZDIR)/target-%.c,%,$(wildcard $(FUZZDIR)/target-*.c))
FUZZSRC := $(filter-out $(FUZZDIR)/target-%.c $(FUZZDIR)/tool-%.c,$(wildcard $(FUZZDIR)/*.c))
FUZZSAN := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZCOV := -O1 -fsanitize=fuzzer-no-link,address -fprofile-instr-generate -fcoverage-mapping
FUZZFLAGS := -g -gdwarf-4 $(WARN) -Wno-missing-field-initializers -Wno-format-nonliteral -D_GNU_SOURCE -DVD_USER \
	   -D_FILE_OFFSET_BITS=64 -pthread -MMD -MP $(VDINC) -Itools/testing/unit -I$(FUZZDIR)

.PHONY: fuzz-bin fuzz-cov
fuzz-bin: $(FUZZTARGETS:%=$(BUILD)/fuzz/fuzz-%) $(BUILD)/fuzz/seeds
fuzz-cov: $(FUZZTARGETS:%=$(BUILD)/fuzz-cov/fuzz-%)

# What is tested is what guides: the fuzzers themselves are not instrumented for that.
define fuzz_rules
$(1)/obj/formats-common/%.o: formats-common/%.c
	@mkdir -p $$(@D)
	$$(FUZZCC) $$(FUZZFLAGS) $(2) -c -o $$@ $$<

$(1)/obj/$(FUZZDIR)/%.o: $(FUZZDIR)/%.c
	@mkdir -p $$(@D)
	$$(FUZZCC) $$(FUZZFLAGS) $(filter -O%,$(2)) -fsanitize=address,undefined \
		-fno-sanitize-recover=all -c -o $$@ $$<

$(1)/fuzz-%: $(1)/obj/$(FUZZDIR)/target-%.o $(FUZZSRC:%.c=$(1)/obj/%.o) $(LIBSRC:%.c=$(1)/obj/%.o)
	$$(FUZZCC) $(subst -no-link,,$(2)) -fsanitize=undefined -pthread -o $$@ $$^ -lz
endef
$(eval $(call fuzz_rules,$(BUILD)/fuzz,$(FUZZSAN)))
$(BUILD)/fuzz/seeds: $(wildcard $(FUZZDIR)/tool-seeds*.[ch]) $(FUZZDIR)/fz-input.c \
		$(wildcard tools/testing/unit/*.h) $(FUZZDIR)/fz-input.h $(BUILD)/libvdisk.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) $(VDINC) -Itools/testing/unit -I$(FUZZDIR) -o $@ \
		$(filter %.c,$^) $(BUILD)/libvdisk.a -lcmocka -lz
$(eval $(call fuzz_rules,$(BUILD)/fuzz-cov,$(FUZZCOV)))
.SECONDARY:

# OUT: the fuzzer of TARGET with NEW instead of FILE.
.PHONY: fuzz-mutant
fuzz-mutant: $(BUILD)/fuzz/fuzz-$(TARGET)
	$(FUZZCC) $(filter-out -MMD -MP,$(FUZZFLAGS)) -w $(FUZZSAN) -I$(dir $(FILE)) -c -o $(OUT).o $(NEW)
	$(FUZZCC) $(subst -no-link,,$(FUZZSAN)) -pthread -o $(OUT) $(OUT).o $(filter-out %/$(FILE:.c=.o), \
		$(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(FUZZDIR)/target-$(TARGET).c $(FUZZSRC) $(LIBSRC))) -lz

# --- mutated images, and qemu-img ---
# Reads mutated images as vdctl does, and compares with qemu-img.
DIFFERSRC := $(wildcard tools/testing/differ/*.c tools/testing/fuzz/fields.c \
	tools/testing/fuzz/vmdk.c tools/testing/fuzz/vdi.c tools/testing/fuzz/mutate.c \
	tools/testing/fuzz/text.c tools/testing/fuzz/packed.c)
DIFFEROBJ := $(DIFFERSRC:%.c=$(BUILD)/user/%.o)
differ-bin: $(BUILD)/differ $(BUILD)/differ-asan
$(BUILD)/user/tools/testing/%.o: tools/testing/%.c
	@mkdir -p $(@D)
	$(CC) $(UCFLAGS) $(VDINC) -Ictl -Itools/testing/unit -Itools/testing/fuzz -c -o $@ $<
# vdctl without its main program, and without the cage of its parser.
$(BUILD)/libctl.a: $(filter-out %/vdctl.o %/parse-child.o,$(CTLOBJ))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/differ: $(DIFFEROBJ) $(BUILD)/libctl.a $(BUILD)/libvdisk.a
	$(CC) $(CFLAGS) -pthread -o $@ $^ $(shell pkg-config --libs $(PKGS)) -lcmocka -lz
$(BUILD)/differ-asan: $(DIFFEROBJ) $(BUILD)/libctl.a $(BUILD)/libvdisk-asan.a
	$(CC) $(CFLAGS) -pthread -fsanitize=address,undefined -o $@ $^ \
		$(shell pkg-config --libs $(PKGS)) -lcmocka -lz

# --- hostile images ---
.PHONY: hostile-open
hostile-open: $(BUILD)/hostile-open
$(BUILD)/hostile-open: tools/testing/hostile/open.c tools/testing/unit/ut-probe.h $(BUILD)/libvdisk-asan.a
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) -fsanitize=address,undefined -fno-sanitize-recover=all \
		$(VDINC) -Itools/testing/unit -o $@ $< $(BUILD)/libvdisk-asan.a -lz

# --- kernel selftests ---
# What all of them share is compiled once.
GUESTHDR   := $(wildcard tools/testing/selftests/vdisk/*.h)
GUESTFLAGS := $(CFLAGS) $(WARN) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -pthread -Iinclude/uapi \
		-Itools/testing/selftests/vdisk
GUESTAR    := $(BUILD)/selftests/lib/libguest.a
GUESTBIN   := $(GUESTSRC:tools/testing/selftests/vdisk/%.c=$(BUILD)/selftests/%)
guest-tests: $(GUESTBIN)
$(BUILD)/selftests/lib/%.o: tools/testing/selftests/vdisk/%.c $(GUESTHDR)
	@mkdir -p $(@D)
	$(CC) $(GUESTFLAGS) -c -o $@ $<
$(GUESTAR): $(GUESTLIB:tools/testing/selftests/vdisk/%.c=$(BUILD)/selftests/lib/%.o)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/selftests/%: tools/testing/selftests/vdisk/%.c $(GUESTAR) $(GUESTHDR)
	@mkdir -p $(@D)
	$(CC) $(GUESTFLAGS) $(GUESTINC) -o $@ $< $(GUESTMORE) $(GUESTAR)
# This one also has what the netlink specification says, as tables.
NLFUZZSRC := $(wildcard tools/testing/selftests/vdisk/nlfuzz/*.c)
$(BUILD)/selftests/test-nlfuzz: GUESTINC := -I$(BUILD)
$(BUILD)/selftests/test-nlfuzz: GUESTMORE := $(NLFUZZSRC)
$(BUILD)/selftests/test-nlfuzz: $(NLFUZZSRC) $(wildcard tools/testing/selftests/vdisk/nlfuzz/*.h) $(BUILD)/nlfuzz-spec.h
$(BUILD)/nlfuzz-spec.h: tools/testing/selftests/vdisk/nlfuzz/spec.py Documentation/netlink/specs/vdisk.yaml
	@mkdir -p $(@D)
	python3 $^ $@

# --- little memory ---
.PHONY: memory-bin
memory-bin: $(BUILD)/memory/watch $(BUILD)/memory/pages
$(BUILD)/memory/%: tools/testing/memory/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -pthread -static -o $@ $<

# --- what the public suites ask, by our own programs ---
SUITESRC := $(wildcard tools/testing/suites/blk-*.c tools/testing/suites/fs-*.c)
SUITELIB := $(filter-out $(SUITESRC),$(wildcard tools/testing/suites/*.c))
SUITEOBJ := $(SUITELIB:tools/testing/suites/%.c=$(BUILD)/suites/lib/%.o)
SUITEHDR := $(wildcard tools/testing/suites/*.h) $(GUESTHDR)
suites-bin: $(SUITESRC:tools/testing/suites/%.c=$(BUILD)/suites/%)
$(BUILD)/suites/lib/%.o: tools/testing/suites/%.c $(SUITEHDR)
	@mkdir -p $(@D)
	$(CC) $(GUESTFLAGS) -c -o $@ $<
$(BUILD)/suites/%: tools/testing/suites/%.c $(SUITEOBJ) $(GUESTAR) $(SUITEHDR)
	@mkdir -p $(@D)
	$(CC) $(GUESTFLAGS) -o $@ $< $(SUITEOBJ) $(GUESTAR)

# --- power cuts of a whole machine ---
.PHONY: powercut-bin
powercut-bin: $(BUILD)/powercut $(addprefix $(BUILD)/powercut-,storm files recover)
PCGUEST := tools/testing/powercut/guest
$(BUILD)/powercut-%: $(PCGUEST)/%.c $(PCGUEST)/model.c $(PCGUEST)/model.h \
		tools/testing/powercut/oracle.h $(GUESTAR) $(GUESTHDR)
	@mkdir -p $(@D)
	$(CC) $(GUESTFLAGS) -o $@ $< $(PCGUEST)/model.c $(GUESTAR)
$(BUILD)/powercut: $(wildcard tools/testing/powercut/*.[ch]) $(BUILD)/libvdisk.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(UCFLAGS)) $(VDINC) -Itools/testing/unit -o $@ $(filter %.c,$^) \
		$(BUILD)/libvdisk.a -lz

# --- the same on kernels that look for mistakes ---
.PHONY: check-debug
check-debug:
	@tools/install-deps build kernels vm test debug-kernel
	@tools/testing/vm/debug-kernel kasan lockdep
	@tools/testing/check --full --table tools/testing/debug.tsv

# --- one suite, with more than make check asks ---
evidence:
	@tools/install-deps build kernels vm test fuzz proof
	@tools/evidence

crash:
	@tools/testing/crash/run $(STATES)

prove:
	@tools/install-deps proof
	@tools/testing/proof/run
	@tools/testing/proof/model

mutants:
	@tools/testing/mutants/run

fuzz:
	@tools/install-deps build fuzz
	@tools/testing/fuzz/run --seconds $(or $(SECONDS),60)

differ:
	@tools/testing/differ/run $(IMAGES)

-include $(UNITBIN:=.d) $(TSANBIN:=.d) $(DIFFEROBJ:.o=.d) \
	$(wildcard $(BUILD)/fuzz*/obj/formats-common/*/*.d $(BUILD)/fuzz*/obj/$(FUZZDIR)/*.d)
