/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What explains a difference. A verdict is not a pattern of texts: it looks at the
 * image, and holds only if what it says of the image is so.
 */
#ifndef DIFFER_VERDICT_H
#define DIFFER_VERDICT_H

#include "model.h"

/**
 * struct df_rule - one reader refuses an image, the other opens it
 * @class: DF_WE_REFUSE or DF_QEMU_REFUSES
 * @says: part of the sentence of the one that refuses
 * @holds: is the image like that? @text: the sentence
 * @verdict: and what that means
 */
struct df_rule {
	enum df_class class;
	const char *says;
	bool (*holds)(const struct df_image *img, const char *text);
	const char *verdict;
};

extern const struct df_rule df_our_rules[];
extern const u32 df_nr_our_rules;
extern const struct df_rule df_qemu_rules[];
extern const u32 df_nr_qemu_rules;

/* Indices of verdicts: quirks, our rules, QEMU's rules. */
int df_rule_verdict(const struct df_image *img, enum df_class class, const char *text);

#endif /* DIFFER_VERDICT_H */
