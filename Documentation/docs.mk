# SPDX-License-Identifier: GPL-2.0-only
# Manual pages, made from reStructuredText. Included by the top Makefile.
#
# Without rst2man (package python3-docutils) there are no manual pages to
# build or install; everything else goes on.

RST2MAN  ?= $(firstword $(shell command -v rst2man rst2man.py 2>/dev/null))
MANSRC   := $(wildcard Documentation/man/*.rst)
MANPAGES := $(if $(RST2MAN),$(MANSRC:Documentation/man/%.rst=$(BUILD)/man/%))

.PHONY: man
man: $(MANPAGES)
ifeq ($(RST2MAN),)
	@echo "no manual pages: rst2man not found (apt-get install python3-docutils)" >&2
endif

$(BUILD)/man/%: Documentation/man/%.rst
	@mkdir -p $(@D)
	$(RST2MAN) --halt=2 $< $@.tmp
	@mv $@.tmp $@
