/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mutator that knows where the fields of an image are: it breaks one thing at
 * a time and leaves the rest believable.
 */
#ifndef FZ_MUTATE_H
#define FZ_MUTATE_H

#include "fields.h"
#include "ut-rng.h"

#define FZ_SAID	160	/* bytes of a sentence about what was done */

/* One change, chosen by @rng alone. The files may become shorter or longer, up to their room. */
void fz_mutate(struct fz_view *v, struct ut_rng *rng);

/* What the last fz_mutate() of this thread did. */
const char *fz_said(void);

/* mutate.c for text.c, packed.c */
void __printf(1, 2) fz_say(const char *fmt, ...);
/* A number near a limit of caps.h, a power of two, an end of a file ... */
u64 fz_odd_number(const struct fz_view *v, struct ut_rng *rng);

/* text.c, packed.c: one change of such a field. */
void fz_mutate_text(struct fz_view *v, const struct fz_field *f, struct ut_rng *rng);
void fz_mutate_packed(struct fz_view *v, const struct fz_field *f, struct ut_rng *rng);

#endif /* FZ_MUTATE_H */
