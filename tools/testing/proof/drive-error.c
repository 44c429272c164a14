// SPDX-License-Identifier: GPL-2.0-only
/* Sentences about what went wrong: any text, as long as it likes to be. */
#include "any.h"
#include "vdisk/error.h"
#include "vdisk/format.h"

const struct vd_format vd_format_raw;
const struct vd_format vd_format_vmdk;
const struct vd_format vd_format_vdi;

size_t each_length(const char *s)
{
	size_t n = (strlen)(s);

	/*@ split n; */
	return n;
}

int main(void)
{
	struct vd_error err = { .code = maybe() ? any_errno() : 0 };
	struct vd_segment seg = { .image = any_u32(), .start = any_u64() };
	int ret;

	ret = vd_fail(maybe() ? &err : NULL, any_errno(), "%llu", any_u64());
	if (maybe())
		ret = vd_corrupt(&seg, "%llu", any_u64());
	return ret;
}
