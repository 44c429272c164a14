// SPDX-License-Identifier: GPL-2.0-only
/*
 * Table entries of an extent under check. First all entries on which the
 * copies agree take their grains; then the others get what is left:
 *
 *	0, 1 or a grain beside 0 or 1	what a crash leaves between the two
 *					writes: 1 wins, then the grain, if it is
 *					nobody else's
 *	two different grains		the first table's, if it is free
 *	anything beside nonsense	the other
 *
 * A grain whose place is another's gets a copy of what is there, in a place of
 * its own (check-copies.c): nobody knows whose it was, and each part of the disk
 * goes on reading what it read.
 *
 * Data is durable before a writer enters its place in either table, so a grain
 * that one table knows is as good as one that both know.
 */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check.h"

enum entry { ENTRY_ABSENT, ENTRY_ZERO, ENTRY_GRAIN, ENTRY_BAD };

/* Answers of claim(), beside a negative errno. */
enum claim { CLAIM_TAKEN, CLAIM_OK, CLAIM_REPORTED };

/**
 * struct spot - an entry under judgement
 * @grain: its number in the extent
 * @value: in each copy
 */
struct spot {
	u64 grain;
	u32 index;
	u32 value[VMDK_COPIES];
};

static enum entry entry_kind(const struct vmdk_check *c, u32 value)
{
	u64 pos = (u64)value << VD_SECTOR_SHIFT;

	if (value == VMDK_GTE_ABSENT)
		return ENTRY_ABSENT;
	if (value == VMDK_GTE_ZERO && c->zeroed)
		return ENTRY_ZERO;
	if (pos < c->data_pos || pos >= c->file->size ||
	    !vmdk_meta_clear(c, pos, c->packed ? VD_SECTOR : c->grain))
		return ENTRY_BAD;
	return ENTRY_GRAIN;
}

/* For sentences: the guest bytes of a grain, relative to the extent. */
static u64 first_byte(const struct vmdk_check *c, u64 grain)
{
	return grain << c->grain_shift;
}

static u64 last_byte(const struct vmdk_check *c, u64 grain)
{
	return min(c->capacity, (grain + 1) << c->grain_shift) - 1;
}

/* --- compressed grains --- */

/* Bytes that the grain and what stands before it take; 0 after a report. */
static u64 packed_len(struct vmdk_check *c, u64 grain, u64 pos, const u8 *raw)
{
	u64 lba = first_byte(c, grain) >> VD_SECTOR_SHIFT;
	u32 skip = c->marked ? VMDK_GRAIN_MARKER_BYTES : VMDK_GRAIN_SIZE_BYTES;
	u32 size = get_unaligned_le32(c->marked ? raw + 8 : raw);

	if (c->marked && get_unaligned_le64(raw) != lba) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "compressed grain %llu at byte %llu says that it is sector %llu, not %llu",
			   grain, pos, get_unaligned_le64(raw), lba);
		return 0;
	}
	if (!size || size > c->max_packed - skip) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "compressed grain %llu at byte %llu has %u bytes, legal is 1 to %u",
			   grain, pos, size, c->max_packed - skip);
		return 0;
	}
	if (!vd_inside(pos, skip + size, c->file->size)) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, false,
			   "compressed grain %llu of %u bytes at byte %llu ends past the file's %llu bytes",
			   grain, size, pos, c->file->size);
		return 0;
	}
	return skip + size;
}

static int claim_packed(struct vmdk_check *c, u64 grain, u32 sector)
{
	u64 pos = (u64)sector << VD_SECTOR_SHIFT;
	u8 raw[VMDK_GRAIN_MARKER_BYTES];
	u64 i, len;
	int ret;

	ret = vd_file_read_tail(c->file, pos, raw, sizeof(raw));
	if (ret)
		return vd_fail(c->err, ret, "compressed grain at byte %llu cannot be read", pos);
	len = packed_len(c, grain, pos, raw);
	if (!len)
		return CLAIM_REPORTED;
	if (!vmdk_meta_clear(c, pos, len))
		return CLAIM_TAKEN;
	for (i = 0; i < vd_ceil_shift(len, VD_SECTOR_SHIFT); i++) {
		ret = vmdk_space_claim(&c->space, sector + i);
		if (ret <= 0)
			return ret;
	}
	vmdk_check_end(c->out, pos + len);
	return CLAIM_OK;
}

/* Take the place at @sector for @grain: enum claim or -errno. */
static int claim(struct vmdk_check *c, u64 grain, u32 sector)
{
	int ret;

	if (c->packed)
		ret = claim_packed(c, grain, sector);
	else
		ret = vmdk_space_claim(&c->space, sector);
	if (ret < 0)
		return vd_fail(c->err, ret, "the check needs more than %u MiB of memory",
			       VMDK_CAP_CHECK_BYTES >> 20);
	if (ret == CLAIM_OK) {
		c->out->used_units++;
		if (!c->packed)
			vmdk_check_end(c->out, ((u64)sector << VD_SECTOR_SHIFT) + c->grain);
	}
	return ret;
}

/* --- one entry --- */

/* Remember what the entry is to be; store() writes the sectors that differ. */
static void put_entry(struct vmdk_check *c, const struct spot *s, u32 value)
{
	u32 d;

	for (d = 0; d < c->nr_dirs; d++) {
		if (s->value[d] == value)
			continue;
		put_unaligned_le32(value, c->table[d] + s->index * 4);
		c->changed[d] |= 1U << (s->index * 4 / VD_SECTOR);
	}
}

/* The same for damage; what readers see of it is what the first copy says. */
static void fix_entry(struct vmdk_check *c, const struct spot *s, u32 value)
{
	if (!vmdk_may_fix(c))
		return;
	put_entry(c, s, value);
	if (s->value[0] != value)
		vmdk_changed(c, VD_CHANGE_ALTERED, s->grain, 1);
}

/* Both copies say the same, or there is only one. */
static int judge_agreed(struct vmdk_check *c, const struct spot *s)
{
	u32 value = s->value[0];
	int ret = CLAIM_TAKEN;
	enum entry kind;

	kind = entry_kind(c, value);
	if (kind == ENTRY_ABSENT || kind == ENTRY_ZERO)
		return 0;
	if (kind == ENTRY_GRAIN)
		ret = claim(c, s->grain, value);
	if (ret != CLAIM_TAKEN)
		return min(ret, 0);
	if (kind == ENTRY_GRAIN) {
		vd_check_found(c->out, VD_FINDING_CORRUPT, !c->packed,
			   "%sgrain %llu (bytes %llu to %llu of the extent) is at sector %u, where another grain is",
			   c->what, s->grain, first_byte(c, s->grain), last_byte(c, s->grain),
			   value);
		return vmdk_add_double(c, s->grain, value);
	}
	vd_check_found(c->out, VD_FINDING_CORRUPT, !c->packed,
		   "%sgrain %llu (bytes %llu to %llu of the extent) is at sector %u, where no grain can be (first is %llu, file ends at byte %llu)",
		   c->what, s->grain, first_byte(c, s->grain), last_byte(c, s->grain),
		   value, c->data_pos >> VD_SECTOR_SHIFT, c->file->size);
	fix_entry(c, s, VMDK_GTE_ABSENT);
	return 0;
}

/* No copy names a place that is free: one of those that are another's is copied. */
static int fix_without_place(struct vmdk_check *c, const struct spot *s, const enum entry *kind)
{
	u32 d = kind[0] == ENTRY_GRAIN ? 0 : 1;

	if (kind[0] == ENTRY_ZERO || kind[1] == ENTRY_ZERO) {
		fix_entry(c, s, VMDK_GTE_ZERO);
		return 0;
	}
	if (kind[d] != ENTRY_GRAIN) {
		fix_entry(c, s, VMDK_GTE_ABSENT);
		return 0;
	}
	if (d && vmdk_may_fix(c))
		vmdk_changed(c, VD_CHANGE_ALTERED, s->grain, 1);
	return vmdk_add_double(c, s->grain, s->value[d]);
}

/* One copy is nonsense, or both name a grain. */
static int judge_conflict(struct vmdk_check *c, const struct spot *s, const enum entry *kind)
{
	u32 d, want = VMDK_GTE_ABSENT;
	int ret = CLAIM_TAKEN;

	for (d = 0; d < VMDK_COPIES && ret != CLAIM_OK; d++) {
		if (kind[d] == ENTRY_GRAIN) {
			ret = claim(c, s->grain, s->value[d]);
			if (ret < 0)
				return ret;
			if (ret == CLAIM_OK)
				want = s->value[d];
		}
	}
	vd_check_found(c->out, VD_FINDING_CORRUPT, !c->packed,
		   "grain %llu (bytes %llu to %llu of the extent) is at sector %u in the first table and at %u in the second: %s",
		   s->grain, first_byte(c, s->grain), last_byte(c, s->grain), s->value[0],
		   s->value[1], ret != CLAIM_OK ? "no usable place" : want == s->value[0] ?
		   "the first is usable" : "only the second is usable");
	if (ret != CLAIM_OK)
		return fix_without_place(c, s, kind);
	fix_entry(c, s, want);
	return 0;
}

/*
 * Between 0, 1 and a grain: what a writer leaves that died between two writes,
 * unless the grain is another's.
 */
static int judge_unfinished(struct vmdk_check *c, const struct spot *s, const enum entry *kind)
{
	bool zero = kind[0] == ENTRY_ZERO || kind[1] == ENTRY_ZERO;
	u32 want = zero ? VMDK_GTE_ZERO : VMDK_GTE_ABSENT;
	enum vd_finding found = VD_FINDING_UNCLEAN;
	u32 sector = 0;
	int ret = CLAIM_OK;

	if (kind[0] == ENTRY_GRAIN)
		sector = s->value[0];
	if (kind[1] == ENTRY_GRAIN)
		sector = s->value[1];
	if (sector && zero)
		ret = vmdk_space_taken(&c->space, sector) ? CLAIM_TAKEN : CLAIM_OK;
	else if (sector)
		ret = claim(c, s->grain, sector);
	if (ret < 0)
		return ret;
	if (ret != CLAIM_OK)
		found = VD_FINDING_CORRUPT;
	else if (!zero)
		want = sector;
	vd_check_found(c->out, found, !c->packed,
		   "grain %llu (bytes %llu to %llu of the extent) is %u in the first table and %u in the second%s",
		   s->grain, first_byte(c, s->grain), last_byte(c, s->grain), s->value[0],
		   s->value[1], ret == CLAIM_OK ? "" : ", which is another grain's place");
	if (found == VD_FINDING_UNCLEAN && !c->packed)
		put_entry(c, s, want);
	else if (!zero && kind[0] == ENTRY_GRAIN)
		return vmdk_add_double(c, s->grain, sector);
	else
		fix_entry(c, s, want);
	return 0;
}

static int judge_differing(struct vmdk_check *c, const struct spot *s)
{
	enum entry kind[VMDK_COPIES];
	u32 d;

	for (d = 0; d < VMDK_COPIES; d++)
		kind[d] = entry_kind(c, s->value[d]);
	if (kind[0] == ENTRY_BAD || kind[1] == ENTRY_BAD ||
	    (kind[0] == ENTRY_GRAIN && kind[1] == ENTRY_GRAIN))
		return judge_conflict(c, s, kind);
	return judge_unfinished(c, s, kind);
}

/* --- one table --- */

/* Reads what copies there are; a missing one is stood in for by the other. */
static int load(struct vmdk_check *c, u64 t, u32 *nr)
{
	u32 d;
	int ret;

	*nr = 0;
	for (d = 0; d < c->nr_dirs; d++) {
		c->changed[d] = 0;
		if (!vmdk_has_table(c, d, t))
			continue;
		ret = vd_file_read(c->file, (u64)c->dir[d][t] << VD_SECTOR_SHIFT, c->table[d],
				   c->gt_bytes);
		if (ret)
			return vd_fail(c->err, ret, "grain table at sector %u cannot be read",
				       c->dir[d][t]);
		++*nr;
	}
	if (*nr == 1 && c->nr_dirs == 2) {
		d = vmdk_has_table(c, 0, t) ? 0 : 1;
		memcpy(c->table[!d], c->table[d], c->gt_bytes);
	}
	return 0;
}

static int store(struct vmdk_check *c, u64 t)
{
	u32 d, i, at;
	int ret;

	for (d = 0; d < c->nr_dirs; d++) {
		if (!c->changed[d] || !vmdk_has_table(c, d, t))
			continue;
		for (i = 0; i < c->gt_bytes / VD_SECTOR; i++) {
			if (!(c->changed[d] >> i & 1))
				continue;
			at = i * VD_SECTOR;
			ret = vmdk_check_write(c, ((u64)c->dir[d][t] << VD_SECTOR_SHIFT) + at,
					       c->table[d] + at, VD_SECTOR);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static void spot_at(const struct vmdk_check *c, u64 t, u32 index, struct spot *s)
{
	s->index = index;
	s->grain = (t << c->gt_shift) + index;
	s->value[0] = get_unaligned_le32(c->table[0] + index * 4);
	s->value[1] = c->nr_dirs < 2 ? s->value[0] :
		      get_unaligned_le32(c->table[1] + index * 4);
}

/* Entries behind the extent's end: nobody follows them. */
static void note_surplus(struct vmdk_check *c, u64 t, u32 from)
{
	struct spot s;
	u32 i;

	for (i = from; i < 1U << c->gt_shift; i++) {
		spot_at(c, t, i, &s);
		if (s.value[0] || s.value[1]) {
			vd_check_found(c->out, VD_FINDING_NOTE, false,
				   "the last grain table has entries behind the end of the extent");
			return;
		}
	}
}

/* @agreed: the entries that the copies agree on, else the others. */
static int check_table(struct vmdk_check *c, u64 t, bool agreed)
{
	u64 left = c->out->units - (t << c->gt_shift);
	u32 i, nr, n = (u32)min_t(u64, 1U << c->gt_shift, left);
	struct spot s;
	int ret;

	ret = load(c, t, &nr);
	if (ret || !nr)
		return ret;
	for (i = 0; !ret && i < n; i++) {
		spot_at(c, t, i, &s);
		if (s.value[0] != s.value[1]) {
			c->state[t] |= VMDK_DIR_DIFFER;
			if (!agreed)
				ret = judge_differing(c, &s);
		} else if (agreed && s.value[0]) {
			ret = judge_agreed(c, &s);
		}
	}
	if (!ret && agreed)
		note_surplus(c, t, n);
	return ret ? ret : store(c, t);
}

int vmdk_check_grains(struct vmdk_check *c)
{
	u64 t, differ = 0;
	int ret = 0;

	for (t = 0; !ret && t < c->nr_gts; t++) {
		ret = check_table(c, t, true);
		differ += c->state[t] & VMDK_DIR_DIFFER;
		if (!ret && !(t % 64))
			ret = vd_check_progress(c->out, c->err, t, c->nr_gts);
	}
	for (t = 0; !ret && differ && t < c->nr_gts; t++) {
		if (c->state[t] & VMDK_DIR_DIFFER)
			ret = check_table(c, t, false);
		if (!ret && !(t % 64))
			ret = vd_check_progress(c->out, c->err, t, c->nr_gts);
	}
	return ret;
}

/* --- space that nothing refers to --- */

static void count_leak(struct vmdk_check *c, u64 from, u64 to)
{
	u64 n = to > from ? (to - from) >> c->grain_shift : 0;

	if (!n)
		return;
	c->out->leaked += n << c->grain_shift;
	vd_check_found(c->out, VD_FINDING_LEAK, false,
		   "place of %llu grain%s at byte %llu that no table entry refers to", n,
		   n == 1 ? "" : "s", from);
}

/* Between two grains: tables may lie there too. */
static void check_gap(struct vmdk_check *c, u64 from, u64 to)
{
	struct vmdk_range r;
	u64 i;

	if (from >= to)
		return;
	for (i = vmdk_meta_after(c, from); i < c->nr_meta; i++) {
		vmdk_meta_range(c, i, &r);
		if (r.pos >= to)
			break;
		count_leak(c, from, r.pos);
		from = r.pos + r.len;
	}
	count_leak(c, from, to);
}

/*
 * Writers of streams leave markers between grains, and nobody will ever use a
 * gap there, so only plain extents are looked at.
 */
int vmdk_check_leaks(struct vmdk_check *c)
{
	u64 slot = 0, sector, pos = c->data_pos;

	if (!c->packed) {
		while (vmdk_space_next(&c->space, &slot, &sector)) {
			check_gap(c, pos, sector << VD_SECTOR_SHIFT);
			pos = (sector << VD_SECTOR_SHIFT) + c->grain;
		}
		check_gap(c, pos, c->meta_end);
		if (c->file->size > c->out->end)
			vd_check_found(c->out, VD_FINDING_NOTE, false,
				   "%llu bytes of the file follow the last place in use",
				   c->file->size - c->out->end);
	}
	return 0;
}
