/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the recorder (record.c, preloaded into another program) writes to the file
 * that VD_RECORD names: records in the order in which things happened, each
 * followed by @len bytes if it is a write.
 */
#ifndef CRASH_RECORD_H
#define CRASH_RECORD_H

#include <stdint.h>

enum crash_record_what {
	CRASH_REC_WRITE,
	CRASH_REC_ZERO,		/* punched or zeroed; nothing grows */
	CRASH_REC_GROW,		/* fallocate(): at least @pos + @len bytes */
	CRASH_REC_SIZE,		/* ftruncate() to @len */
	CRASH_REC_FLUSH,
};

/* @dev, @ino: which file */
struct crash_record {
	uint64_t what;
	uint64_t dev;
	uint64_t ino;
	uint64_t pos;
	uint64_t len;
};

#endif /* CRASH_RECORD_H */
