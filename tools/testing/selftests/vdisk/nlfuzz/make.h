/* SPDX-License-Identifier: GPL-2.0-only */
/* Between message.c, which makes what is right, and spoil.c. */
#ifndef VDT_NLFUZZ_MAKE_H
#define VDT_NLFUZZ_MAKE_H

#include "nlfuzz.h"

/* A new place of @len zero bytes for @attr's value; NULL if there is no room. */
void *msg_room(struct fz_msg *msg, struct fz_attr *attr, u32 len);
/* @data NULL: zeros. NULL if there is no room. */
struct fz_attr *msg_add(struct fz_msg *msg, u16 type, const void *data, u32 len);
/* One more attribute, as it should be. */
void sane_attr(struct fz_msg *msg, struct rng *rng, const struct spec_attr *attr);
u64 sane_enum(struct rng *rng, const struct spec_enum *e);
void put_number(u8 *p, u64 value, unsigned int size);

/* Make one thing of the message wrong. */
void message_spoil(struct fz_msg *msg, struct rng *rng);

#endif /* VDT_NLFUZZ_MAKE_H */
