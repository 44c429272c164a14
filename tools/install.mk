# SPDX-License-Identifier: GPL-2.0-only
# make install, make uninstall. Included by the top Makefile.
#
# With DESTDIR nothing outside it changes: no depmod, no udev reload.

VERSION      ?= $(shell sed -n 's/^\#define VDCTL_VERSION[[:space:]]*"\(.*\)"/\1/p' ctl/vdctl.h)
SBINDIR      ?= $(PREFIX)/sbin
MANDIR       ?= $(PREFIX)/share/man
MODDIR       ?= /lib/modules/$(KVER)/extra
UDEVRULESDIR ?= /usr/lib/udev/rules.d
BASHDIR      ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR       ?= $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
FISHDIR      ?= $(PREFIX)/share/fish/vendor_completions.d
DKMSDIR      ?= /usr/src/vdisk-$(VERSION)

MODNAMES  := vdisk $(FORMATS:%=vdisk-%)
UDEVRULES := udev/59-vdisk.rules

.PHONY: install install-modules install-user uninstall install-dkms
install: install-modules install-user

install-modules: modules
	install -d $(DESTDIR)$(MODDIR)
	install -m 644 $(MODNAMES:%=$(BUILD)/modules/$(KVER)/%.ko) $(DESTDIR)$(MODDIR)
ifeq ($(DESTDIR),)
	depmod $(KVER)
endif

install-user: vdctl man
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UDEVRULESDIR)
	install -m 755 $(BUILD)/vdctl $(DESTDIR)$(SBINDIR)/vdctl
	install -m 644 $(UDEVRULES) $(DESTDIR)$(UDEVRULESDIR)
	@for page in $(MANPAGES); do \
		dir=$(DESTDIR)$(MANDIR)/man$${page##*.}; \
		install -d $$dir && install -m 644 $$page $$dir || exit 1; \
	done
	install -d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	install -m 644 completions/vdctl.bash $(DESTDIR)$(BASHDIR)/vdctl
	install -m 644 completions/_vdctl $(DESTDIR)$(ZSHDIR)/_vdctl
	install -m 644 completions/vdctl.fish $(DESTDIR)$(FISHDIR)/vdctl.fish
ifeq ($(DESTDIR),)
	-@udevadm control --reload 2>/dev/null || true
endif

# The sources where DKMS looks for them: dkms add vdisk/VERSION comes next.
install-dkms:
	install -d $(DESTDIR)$(DKMSDIR)
	cp --parents $(KSRC) $(DESTDIR)$(DKMSDIR)
	sed 's/@VERSION@/$(VERSION)/' dkms.conf >$(DESTDIR)$(DKMSDIR)/dkms.conf

uninstall:
	rm -f $(MODNAMES:%=$(DESTDIR)$(MODDIR)/%.ko) $(DESTDIR)$(SBINDIR)/vdctl
	rm -f $(DESTDIR)$(UDEVRULESDIR)/$(notdir $(UDEVRULES))
	rm -f $(DESTDIR)$(MANDIR)/man8/vdctl.8 $(DESTDIR)$(MANDIR)/man4/vdisk.4
	rm -f $(DESTDIR)$(BASHDIR)/vdctl $(DESTDIR)$(ZSHDIR)/_vdctl $(DESTDIR)$(FISHDIR)/vdctl.fish
ifeq ($(DESTDIR),)
	-depmod $(KVER)
	-@udevadm control --reload 2>/dev/null || true
endif
