// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor's text, through the parser that vdctl runs in its confined child, and
 * with other properties put into it. The input is the text, nothing else.
 */
#include <stdlib.h>

#include "fz-layout.h"
#include "fz-edit.h"
#include "fz-mutator.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct fz_control honest = { .nr_files = 1 };
	static u8 wire[FZ_TEXT_MAX + 64];
	struct fz_wire_file file = { .size = size, .nr_runs = 1 };
	struct fz_wire_run run = { .len = (u32)size };
	struct fz_once *once;
	u8 *to = wire;

	if (size > FZ_TEXT_MAX)
		return -1;
	memcpy(to, &honest, sizeof(honest));
	to += sizeof(honest);
	memcpy(to, &file, sizeof(file));
	to += sizeof(file);
	memcpy(to, &run, sizeof(run));
	to += sizeof(run);
	if (size)
		memcpy(to, data, size);
	once = fz_begin(wire, (size_t)(to - wire) + size);
	if (!once)
		return -1;
	fz_layouts(once, 0);
	fz_end(once);
	fz_edit(data, size);
	return 0;
}

bool fz_input_is_text(void)
{
	return true;
}
