// SPDX-License-Identifier: GPL-2.0-only
/* The windows of check-space.h. */
#include "vdisk/caps.h"
#include "vdisk/checked.h"
#include "check-space.h"

#define CHUNK_BYTES_SHIFT 16

int vmdk_space_init(struct vmdk_space *s, u64 sectors, u32 unit_shift)
{
	memset(s, 0, sizeof(*s));
	s->unit_shift = unit_shift;
	s->width_shift = !unit_shift ? 0 : unit_shift <= 7 ? 3 : 4;
	s->chunk_shift = CHUNK_BYTES_SHIFT + 3 - s->width_shift;
	s->chunk_bytes = 1U << CHUNK_BYTES_SHIFT;
	s->budget = VMDK_CAP_CHECK_BYTES;
	s->slots = vd_ceil_shift(sectors, unit_shift);
	s->nr_chunks = vd_ceil_shift(s->slots, s->chunk_shift);
	if (s->nr_chunks <= 1) {
		s->chunk_bytes = (u32)((s->slots << s->width_shift) / 8 + 1);
		s->chunks = &s->only;
		return 0;
	}
	if (s->nr_chunks * sizeof(*s->chunks) > s->budget)
		return -ENOMEM;
	s->budget -= s->nr_chunks * sizeof(*s->chunks);
	s->chunks = vd_zalloc((size_t)s->nr_chunks * sizeof(*s->chunks));
	return s->chunks ? 0 : -ENOMEM;
}

void vmdk_space_release(struct vmdk_space *s)
{
	u64 i;

	if (!s->chunks)
		return;
	for (i = 0; i < s->nr_chunks; i++)
		vd_free(s->chunks[i]);
	if (s->chunks != &s->only)
		vd_free(s->chunks);
	s->chunks = NULL;
}

/* 0: no unit begins in this window; else 1 + the sector of the window where one does. */
static u32 get(const struct vmdk_space *s, u64 slot)
{
	u64 in = slot & ((1ULL << s->chunk_shift) - 1);
	const u8 *chunk;

	if (slot >= s->slots)
		return 0;
	chunk = s->chunks[slot >> s->chunk_shift];
	if (!chunk)
		return 0;
	switch (s->width_shift) {
	case 0:
		return chunk[in / 8] >> (in % 8) & 1;
	case 3:
		return chunk[in];
	}
	return chunk[in * 2] | (u32)chunk[in * 2 + 1] << 8;
}

static int set(struct vmdk_space *s, u64 slot, u32 value)
{
	u64 in = slot & ((1ULL << s->chunk_shift) - 1);
	u8 **chunk = &s->chunks[slot >> s->chunk_shift];

	if (!*chunk) {
		if (s->budget < s->chunk_bytes)
			return -ENOMEM;
		*chunk = vd_zalloc(s->chunk_bytes);
		if (!*chunk)
			return -ENOMEM;
		s->budget -= s->chunk_bytes;
	}
	switch (s->width_shift) {
	case 0:
		(*chunk)[in / 8] |= (u8)(1U << (in % 8));
		return 0;
	case 3:
		(*chunk)[in] = (u8)value;
		return 0;
	}
	(*chunk)[in * 2] = (u8)value;
	(*chunk)[in * 2 + 1] = (u8)(value >> 8);
	return 0;
}

static u32 begin_of(const struct vmdk_space *s, u64 sector)
{
	return 1 + (u32)(sector & ((1ULL << s->unit_shift) - 1));
}

/* Only the neighbours on both sides can reach into a unit, and only from its far side. */
bool vmdk_space_taken(const struct vmdk_space *s, u64 sector)
{
	u64 slot = sector >> s->unit_shift;
	u32 begin = begin_of(s, sector), next;

	if (get(s, slot))
		return true;
	if (slot && get(s, slot - 1) > begin)
		return true;
	next = get(s, slot + 1);
	return next && next < begin;
}

int vmdk_space_claim(struct vmdk_space *s, u64 sector)
{
	u64 slot = sector >> s->unit_shift;
	int ret;

	if (slot >= s->slots || vmdk_space_taken(s, sector))
		return 0;
	ret = set(s, slot, begin_of(s, sector));
	return ret ? ret : 1;
}

bool vmdk_space_next(const struct vmdk_space *s, u64 *slot, u64 *sector)
{
	u64 chunk = 1ULL << s->chunk_shift;
	u64 at = *slot;
	u32 begin;

	while (at < s->slots) {
		if (!s->chunks[at >> s->chunk_shift]) {
			at = (at & ~(chunk - 1)) + chunk;
			continue;
		}
		begin = get(s, at);
		if (begin) {
			*sector = (at << s->unit_shift) + begin - 1;
			*slot = at + 1;
			return true;
		}
		at++;
	}
	*slot = s->slots;
	return false;
}
