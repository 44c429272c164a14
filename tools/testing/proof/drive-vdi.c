// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space alone asks of a VDI: the layout of a file, the state of an extent, its
 * check and repair. ASK: which, one of the functions below. With ANY_HEADER it begins
 * with any header of which read_header() has shown that there are no others.
 */
#include "any.h"
#include "vdisk/caps.h"
#include "vdisk/check.h"
#include "../../../formats-common/vdi/vdi-user.h"

/* What is sure of each header that was read without an error. */
#define BLOCK_MAX	(1U << 28)
#define EXTRA_MAX	(1U << 31)
#define MAP_MAX		U32_MAX
#define DATA_MAX	(420 + 4ULL * U32_MAX)

#ifdef ANY_HEADER
int vdi_header_read(struct vd_file *file, struct vdi_header *out, struct vd_error *err)
{
	if (maybe())
		return vd_fail(err, any_errno(), "any");
	Frama_C_make_unknown((char *)out, sizeof(*out));
	out->type = any_of(VDI_TYPE_DYNAMIC, VDI_TYPE_DIFF);
	out->size = VD_SECTOR *
		    Frama_C_unsigned_long_long_interval(1, VD_CAP_DISK_BYTES / VD_SECTOR);
	out->map_pos = 4 * Frama_C_unsigned_long_long_interval(0, MAP_MAX / 4);
	out->data_pos = Frama_C_unsigned_long_long_interval(0, DATA_MAX);
	out->block = VD_SECTOR * any_of(1, BLOCK_MAX / VD_SECTOR);
	out->block_shift = any_of(0, 63);
	out->extra = any_of(0, EXTRA_MAX);
	return 0;
}
#endif

static void read_header(struct vd_file *file)
{
	struct vd_error err = { 0 };
	struct vdi_header h;

	if (vdi_header_read(file, &h, &err))
		return;
	/*@ assert VDI_TYPE_DYNAMIC <= h.type <= VDI_TYPE_DIFF; */
	/*@ assert h.size % VD_SECTOR == 0 && 0 < h.size <= VD_CAP_DISK_BYTES; */
	/*@ assert h.map_pos % 4 == 0 && h.map_pos <= MAP_MAX; */
	/*@ assert h.data_pos <= DATA_MAX; */
	/*@ assert h.block % VD_SECTOR == 0 && VD_SECTOR <= h.block <= BLOCK_MAX; */
	/*@ assert h.block_shift <= 63; */
	/*@ assert h.extra <= EXTRA_MAX; */
}

static void lay_out(struct vd_file *file)
{
	struct vd_error err = { 0 };
	struct vd_layout *l;
	int ret;

	read_header(file);
	ret = vdi_user.layout(file, &l, &err);
	Frama_C_show_each_answer(ret);
	if (!ret)
		vd_free(l);
}

static int hole(void *ctx, u32 slot, u32 n)
{
	return maybe() ? any_errno() : 0;
}

static bool go_on(void *ctx, u64 done, u64 total)
{
	return maybe();
}

static void look(struct vd_file *file)
{
	struct vd_extent_state state;
	struct vd_error err = { 0 };

	Frama_C_show_each_answer(vdi_user.extent(file, any_u32(), &state, &err));
}

/* As writing begins, with holes that are told. */
static void scan(struct vd_file *file)
{
	struct vd_error err = { 0 };
	struct vdi_header h;
	struct vdi_scan s = { .file = file, .header = &h, .go_on = go_on, .hole = hole };

	if (vdi_header_read(file, &h, &err))
		return;
	if (!vdi_scan(&s))
		Frama_C_show_each_answer(vdi_scan_verdict(&s, &err));
}

static void told(void *ctx, enum vd_finding kind, const char *text)
{
	/*@ assert kind <= VD_FINDING_CORRUPT; */
}

static void changed(void *ctx, enum vd_change how, u64 pos, u64 len)
{
}

static int save(void *ctx, struct vd_file *file, u64 pos, u64 len, struct vd_error *err)
{
	return maybe() ? any_errno() : 0;
}

static void check(struct vd_file *file)
{
	struct vd_check c = { .flags = any_u32(), .report = told, .progress = go_on,
			      .changed = changed, .save = maybe() ? save : NULL };
	struct vd_error err = { 0 };

	Frama_C_make_unknown((char *)c.random, sizeof(c.random));
	Frama_C_show_each_answer(vdi_user.check(file, any_u32(), any_u64(), &c, &err));
}

static int flush(struct vd_file *file)
{
	return maybe() ? any_errno() : 0;
}

int main(void)
{
	const struct vd_file_ops ops = { .flush = maybe() ? flush : NULL };
	struct vd_file file = { .ops = &ops, .writable = maybe(), .fixed = maybe() };

#ifdef FILE_SIZE
	file.size = FILE_SIZE;
#else
	file.size = Frama_C_unsigned_long_long_interval(0, VD_CAP_FILE_BYTES);
#endif
	/* Where copies that a repair has made are counted. */
	/*@ widen_hints global:"all", 127, 128; */
	ASK(&file);
	return 0;
}
