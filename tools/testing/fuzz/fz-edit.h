/* SPDX-License-Identifier: GPL-2.0-only */
/* Setting properties of what a fuzzer made. */
#ifndef FZ_EDIT_H
#define FZ_EDIT_H

#include "fz.h"

/*
 * If @data is the text of a descriptor: with other properties, which ones the text
 * itself decides, it is one again, says those, and of all else what it said before.
 */
void fz_edit(const u8 *data, size_t size);

#endif /* FZ_EDIT_H */
