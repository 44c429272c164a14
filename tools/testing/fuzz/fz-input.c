// SPDX-License-Identifier: GPL-2.0-only
/* Inputs from bytes and back. */
#include "fz-input.h"

/* What is left of the bytes. */
struct cursor {
	const u8 *at;
	size_t left;
};

static bool take(struct cursor *c, void *to, size_t len)
{
	if (c->left < len)
		return false;
	memcpy(to, c->at, len);
	c->at += len;
	c->left -= len;
	return true;
}

static bool parse_tables(struct fz_input *in, struct cursor *c)
{
	struct fz_control *ctl = &in->ctl;

	if (ctl->nr_patches > ARRAY_SIZE(in->patches))
		ctl->nr_patches = ARRAY_SIZE(in->patches);
	if (ctl->nr_files > FZ_MAX_FILES)
		ctl->nr_files = FZ_MAX_FILES;
	return take(c, in->images, ctl->nr_images * sizeof(in->images[0])) &&
	       take(c, in->segs, ctl->nr_segs * sizeof(in->segs[0])) &&
	       take(c, in->patches, ctl->nr_patches * sizeof(in->patches[0]));
}

static void parse_runs(struct fz_input *in, struct cursor *c, struct fz_member *file, u32 nr)
{
	struct fz_wire_run wire;
	struct fz_run *run;

	file->first_run = in->nr_runs;
	for (; nr && in->nr_runs < FZ_MAX_RUNS && take(c, &wire, sizeof(wire)); nr--) {
		run = &in->runs[in->nr_runs++];
		run->pos = wire.pos;
		run->len = (u32)min_t(size_t, wire.len, c->left);
		run->data = c->at;
		c->at += run->len;
		c->left -= run->len;
	}
	file->nr_runs = in->nr_runs - file->first_run;
}

bool fz_input_parse(struct fz_input *in, const u8 *data, size_t size)
{
	struct cursor c = { data, size };
	struct fz_wire_file wire;
	u32 i;

	in->nr_runs = 0;
	if (!take(&c, &in->ctl, sizeof(in->ctl)) || !parse_tables(in, &c))
		return false;
	for (i = 0; i < in->ctl.nr_files; i++) {
		if (!take(&c, &wire, sizeof(wire)))
			break;
		in->files[i].size = wire.size;
		in->files[i].flags = wire.flags;
		parse_runs(in, &c, &in->files[i], wire.nr_runs);
	}
	in->ctl.nr_files = (u8)i;
	return true;
}

static u8 *put(u8 *to, const void *from, size_t len)
{
	if (len)
		memcpy(to, from, len);
	return to + len;
}

static size_t input_size(const struct fz_input *in)
{
	const struct fz_control *ctl = &in->ctl;
	size_t size = sizeof(*ctl) + ctl->nr_images * sizeof(in->images[0]) +
		      ctl->nr_segs * sizeof(in->segs[0]) +
		      ctl->nr_patches * sizeof(in->patches[0]) +
		      ctl->nr_files * sizeof(struct fz_wire_file) +
		      in->nr_runs * sizeof(struct fz_wire_run);
	u32 i;

	for (i = 0; i < in->nr_runs; i++)
		size += in->runs[i].len;
	return size;
}

size_t fz_input_write(const struct fz_input *in, u8 *out, size_t room)
{
	const struct fz_control *ctl = &in->ctl;
	u8 *to = out;
	u32 i, r;

	if (input_size(in) > room)
		return 0;
	to = put(to, ctl, sizeof(*ctl));
	to = put(to, in->images, ctl->nr_images * sizeof(in->images[0]));
	to = put(to, in->segs, ctl->nr_segs * sizeof(in->segs[0]));
	to = put(to, in->patches, ctl->nr_patches * sizeof(in->patches[0]));
	for (i = 0; i < ctl->nr_files; i++) {
		const struct fz_member *file = &in->files[i];
		struct fz_wire_file wire = { file->size, (u16)file->flags, (u16)file->nr_runs };

		to = put(to, &wire, sizeof(wire));
		for (r = file->first_run; r < file->first_run + file->nr_runs; r++) {
			struct fz_wire_run run = { in->runs[r].pos, in->runs[r].len };

			to = put(to, &run, sizeof(run));
			to = put(to, in->runs[r].data, run.len);
		}
	}
	return (size_t)(to - out);
}

/* Fewer zeros than the head of a run has bytes are no reason for another one. */
#define GAP (2 * sizeof(struct fz_wire_run))

static size_t zeros_at(const u8 *data, size_t len)
{
	size_t n = 0;

	while (n < len && !data[n])
		n++;
	return n;
}

static size_t run_at(const u8 *data, size_t len)
{
	size_t n = 0, gap;

	while (n < len) {
		gap = zeros_at(data + n, len - n);
		if (gap >= GAP || n + gap == len)
			break;
		n += gap + 1;
	}
	return n;
}

void fz_input_add_bytes(struct fz_input *in, u32 file, u64 pos, const u8 *data, size_t len)
{
	struct fz_member *m = &in->files[file];
	size_t at = zeros_at(data, len), n;

	if (!m->nr_runs)
		m->first_run = in->nr_runs;
	while (at < len && in->nr_runs < FZ_MAX_RUNS) {
		n = run_at(data + at, len - at);
		in->runs[in->nr_runs++] = (struct fz_run){ pos + at, (u32)n, data + at };
		m->nr_runs++;
		at += n;
		at += zeros_at(data + at, len - at);
	}
}
