/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of writing to VDI share: one image, its shadow, and a record of its file. */
#ifndef UT_VDI_H
#define UT_VDI_H

#include "img-vdi.h"
#include "vdisk/alloc.h"

#define VS_GRAIN	4096U
#define VS_BLOCKS	80U

static char vs_said[VD_ERROR_TEXT];

static inline void vs_listen(const char *text)
{
	snprintf(vs_said, sizeof(vs_said), "%s", text);
}

static inline void vs_heard(const char *text)
{
	if (!strstr(vs_said, text))
		fail_msg("said \"%s\", not \"%s\"", vs_said, text);
	vs_said[0] = '\0';
}

/**
 * struct vs - an image under writing
 * @v: its file's bytes while it is made; @d: its disk
 * @parent: below it, full of data; NULL: none
 * @chunk: bytes that the file grows by beyond need; 0: some blocks
 * @mem: its file; @changes: of it; @map_reads: reads that begin where the map does
 * @hook: told all that the file is asked for; may be NULL
 */
struct vs {
	struct ut_set set;
	struct img_vdi v;
	struct ut_disk *d;
	struct ut_disk *parent;
	u32 chunk;
	struct vd_chain *chain;
	struct vd_segment *seg;
	struct vd_file *mem;
	u64 changes;
	u64 map_reads;
	void (*hook)(struct vs *s, enum vd_file_op op, u64 pos, u64 len, const void *data);
};

static inline void vs_tell(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct vs *s = ctx;

	s->changes += op != VD_OP_READ && op != VD_OP_FLUSH;
	s->map_reads += op == VD_OP_READ && pos == s->v.map_pos;
	if (s->hook)
		s->hook(s, op, pos, len, data);
}

/* Blocks 0 to 7 have slots, block 8 is ZERO. */
static inline void vs_make(struct vs *s, struct img_vdi v)
{
	u64 g;

	memset(s, 0, sizeof(*s));
	s->d = ut_disk_new(VS_BLOCKS * VS_GRAIN, VS_GRAIN);
	for (g = 0; g < 8; g++)
		ut_disk_set(s->d, g, UT_DATA, 31);
	ut_disk_set(s->d, 8, UT_ZERO, 0);
	s->v = v;
	img_vdi_write(&s->v, s->d);
}

static inline struct vd_chain_desc vs_desc(struct vs *s)
{
	struct vd_chain_desc desc = ut_set_desc(&s->set);

	desc.grow_chunk = s->chunk ? s->chunk : 16384;
	return desc;
}

static inline void vs_open_chain(struct vs *s, const struct vdisk_patch *patch)
{
	struct vd_chain_desc desc = vs_desc(s);
	struct vd_error err = { 0 };

	desc.patches = patch;
	desc.nr_patches = !!patch;
	vs_said[0] = '\0';
	vd_log_hook = vs_listen;
	if (vd_chain_open(&desc, &s->chain, &err))
		fail_msg("open: %s", err.text);
	s->seg = &s->chain->images[0].segs[0];
	s->changes = 0;
	s->map_reads = 0;
}

static inline void vs_open_patched(struct vs *s, bool fixed, const struct vdisk_patch *patch)
{
	s->mem = vd_ufile_mem(s->v.buf.data, s->v.buf.len, true);
	ut_set_file(&s->set, vd_ufile_record(s->mem, vs_tell, s));
	s->set.lower[0] = s->mem;
	s->set.files[0]->fixed = fixed;
	img_vdi_image(&s->set, s->d->size);
	if (s->parent) {
		ut_set_mem(&s->set, s->parent->data, s->parent->size, false);
		ut_set_image(&s->set, VDISK_FORMAT_RAW, s->parent->size);
		ut_set_seg(&s->set, VDISK_SEG_RAW, 1, 0, s->parent->size, 0);
	}
	vs_open_chain(s, patch);
}

static inline void vs_open(struct vs *s)
{
	vs_open_patched(s, false, NULL);
}

static inline void vs_done(struct vs *s)
{
	vd_log_hook = NULL;
	vd_chain_close(s->chain);
	ut_set_free(&s->set);
	ut_buf_free(&s->v.buf);
	ut_disk_free(s->d);
	ut_disk_free(s->parent);
}

static inline const u8 *vs_bytes(struct vs *s, size_t *len)
{
	return vd_ufile_mem_data(s->mem, len);
}

static inline const u8 *vs_at(struct vs *s, u64 pos)
{
	size_t len;
	const u8 *file = vs_bytes(s, &len);

	assert_true(pos <= len);
	return file + pos;
}

static inline struct img_vdi_look vs_look(struct vs *s)
{
	size_t len;
	const u8 *file = vs_bytes(s, &len);

	return img_vdi_look(&s->v, file, len);
}

static inline u32 vs_word(struct vs *s, u64 pos)
{
	size_t len;
	const u8 *file = vs_bytes(s, &len);

	assert_true(pos + 4 <= len);
	return get_unaligned_le32(file + pos);
}

static inline u32 vs_entry(struct vs *s, u64 block)
{
	return vs_word(s, img_vdi_entry(&s->v, block));
}

static inline u32 vs_counter(struct vs *s)
{
	return vs_word(s, IMG_VDI_COUNT);
}

static inline u64 vs_length(struct vs *s)
{
	size_t len;

	vs_bytes(s, &len);
	return len;
}

/* A whole block of data, in no way like another's. */
static inline void vs_fill(struct vs *s, u64 block, u64 tag)
{
	u8 buf[VS_GRAIN];

	ut_disk_set(s->d, block, UT_DATA, tag);
	memcpy(buf, s->d->data + block * VS_GRAIN, VS_GRAIN);
	assert_int_equal(vd_write(s->chain, block * VS_GRAIN, buf, VS_GRAIN), 0);
}

static inline void vs_content(struct vs *s)
{
	struct ut_disk *disks[2] = { s->d, s->parent };
	u8 *want = ut_flatten(disks, s->parent ? 2 : 1);

	ut_check_reads(s->chain, want, 20, 1);
	free(want);
}

#define VS_MAKE(s, ...) vs_make(s, (struct img_vdi){ __VA_ARGS__ })

static inline int vs_reserve(struct vs *s, u64 block, struct vd_alloc *alloc)
{
	int ret = -EBUSY;
	u32 tries;

	for (tries = 0; ret == -EBUSY && tries < 2; tries++) {
		if (tries)
			assert_int_equal(vd_commit(s->chain), 0);
		memset(alloc, 0, sizeof(*alloc));
		ret = s->seg->format->reserve(s->seg, block * s->d->grain, s->d->grain, alloc);
	}
	return ret;
}

#endif /* UT_VDI_H */
