// SPDX-License-Identifier: GPL-2.0-only
/* The tables that spec.py wrote, and looking things up in them. */
#include <string.h>

#include "../tap.h"
#include "nlfuzz.h"
#include "nlfuzz-spec.h"

const struct spec spec = {
	.enums = spec_enums, .nr_enums = ARRAY_SIZE(spec_enums),
	.consts = spec_consts, .nr_consts = ARRAY_SIZE(spec_consts),
	.sets = spec_sets, .nr_sets = ARRAY_SIZE(spec_sets),
	.cmds = spec_cmds, .nr_cmds = ARRAY_SIZE(spec_cmds),
};

const struct spec_cmd *spec_cmd(u8 number)
{
	unsigned int i;

	for (i = 0; i < spec.nr_cmds; i++)
		if (spec.cmds[i].number == number)
			return &spec.cmds[i];
	return NULL;
}

const struct spec_attr *spec_attr(const struct spec_set *set, u16 number)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (set->attrs[i].number == number)
			return &set->attrs[i];
	return NULL;
}

u16 spec_number(const char *name)
{
	unsigned int i;

	for (i = 0; i < spec.sets[0].nr; i++)
		if (!strcmp(spec.sets[0].attrs[i].name, name))
			return spec.sets[0].attrs[i].number;
	bail("the specification has no attribute %s", name);
}

unsigned int spec_width(enum spec_type type)
{
	static const u8 widths[] = {
		[SPEC_U8] = 1, [SPEC_U16] = 2, [SPEC_U32] = 4, [SPEC_U64] = 8, [SPEC_S32] = 4,
		[SPEC_S64] = 8, [SPEC_NEST] = 0,
	};

	return widths[type];
}
