/* SPDX-License-Identifier: GPL-2.0-only */
/* What libFuzzer asks of a mutator, and what it offers to one. */
#ifndef FZ_MUTATOR_H
#define FZ_MUTATOR_H

#include <stddef.h>
#include "vd_port.h"

/* libFuzzer's own: changes bytes. */
size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t max_size);

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2, size_t size2,
				 u8 *out, size_t max_size, unsigned int seed);

/* Inputs that are one text; weak, so that a target can say it is such a one. */
bool fz_input_is_text(void);

#endif /* FZ_MUTATOR_H */
