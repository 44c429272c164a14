/* SPDX-License-Identifier: GPL-2.0-only */
/* FIPS 180-4. */
#ifndef VDT_SHA256_H
#define VDT_SHA256_H

#include "util.h"

#define SHA256_HEX 65

struct sha256 {
	u32 state[8];
	u64 len;
	u8 block[64];
};

void sha256_init(struct sha256 *ctx);
void sha256_update(struct sha256 *ctx, const void *data, size_t len);
void sha256_final(struct sha256 *ctx, char hex[SHA256_HEX]);

/* Of @len bytes from the start of @fd; false on a read error or short file. */
bool sha256_fd(int fd, u64 len, char hex[SHA256_HEX]);
/* Of a whole file. */
bool sha256_file(const char *path, char hex[SHA256_HEX]);

#endif /* VDT_SHA256_H */
