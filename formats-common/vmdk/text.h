/* SPDX-License-Identifier: GPL-2.0-only */
/* Pieces of a descriptor's text. User space only. */
#ifndef VMDK_TEXT_H
#define VMDK_TEXT_H

#include "vd_port.h"

/* Bytes inside a buffer that someone else owns; not terminated. */
struct vmdk_text {
	const char *s;
	u32 len;
};

#define VMDK_SHOW 48

bool vmdk_text_is(struct vmdk_text t, const char *word);	/* ignores case */
bool vmdk_text_begins(struct vmdk_text t, const char *word);	/* ignores case */
bool vmdk_text_has(struct vmdk_text t, const char *word);	/* ignores case */
bool vmdk_text_same(struct vmdk_text a, struct vmdk_text b);
/* The text of a file: without its byte order mark. */
struct vmdk_text vmdk_text_begin(const char *text, size_t len);
/* Cut off the first line, without its LF, up to a NUL: some writers pad files with them. */
struct vmdk_text vmdk_text_line(struct vmdk_text *rest);
struct vmdk_text vmdk_text_trim(struct vmdk_text t);
/* Cut off what stands before the next blank, and the blanks around it. */
struct vmdk_text vmdk_text_word(struct vmdk_text *rest);
/* Cut off "..." at the begin of *@rest; false if there is none. */
bool vmdk_text_quoted(struct vmdk_text *rest, struct vmdk_text *out);

/* The whole text must be the number. */
bool vmdk_text_decimal(struct vmdk_text t, u64 *out);
bool vmdk_text_hex32(struct vmdk_text t, u32 *out);
/* 16 bytes in hex; blanks, dashes and braces may stand anywhere. */
bool vmdk_text_uuid(struct vmdk_text t, u8 *out);

/* Can a descriptor that says it is in @encoding hold @s as it is? It says nothing: UTF-8. */
bool vmdk_text_fits(struct vmdk_text encoding, struct vmdk_text s);

/* For messages: printable ASCII, cut to fit. Returns @buf. */
const char *vmdk_text_show(struct vmdk_text t, char buf[VMDK_SHOW]);

#endif /* VMDK_TEXT_H */
