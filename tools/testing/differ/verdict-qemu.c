// SPDX-License-Identifier: GPL-2.0-only
/* What QEMU refuses and we open, and where it breaks. */
#include <stdio.h>
#include <strings.h>
#include "verdict.h"

/* The text that QEMU looks at: the file, or what begins in its second sector. */
static bool qemu_text(const struct df_image *img, u32 file, struct df_text *t)
{
	const struct fz_view_file *f = &img->view.file[file];
	u64 magic = dm_number(img, file, 0, 4), pos = 0;

	if (magic == 0x564d444b || magic == 0x44574f43)
		pos = DF_SECTOR;
	if (pos >= f->len)
		return false;
	t->s = (const char *)f->data + pos;
	t->len = strnlen(t->s, min(f->len - pos, 20 * DF_SECTOR));
	return true;
}

static bool has(const struct df_text *t, const char *word)
{
	return memmem(t->s, t->len, word, strlen(word));
}

/* It takes these keys only as they are usually spelled, and must have both. */
static bool no_cid(const struct df_image *img, const char *text)
{
	struct df_text t;
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (!strncmp(img->name[i], "image", 5) &&
		    (!qemu_text(img, i, &t) || !has(&t, "CID=") || !has(&t, "parentCID=")))
			return true;
	return false;
}

/* createType="...", so spelled. */
static bool no_type(const struct df_image *img, const char *text)
{
	struct df_text t;
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (!strncmp(img->name[i], "image", 5) &&
		    (!qemu_text(img, i, &t) || !has(&t, "createType=\"")))
			return true;
	return false;
}

/* The types it knows, compared with case. */
static bool is_other_type(const char *value)
{
	static const char *const known[] = {
		"monolithicFlat", "vmfs", "vmfsSparse", "seSparse", "twoGbMaxExtentSparse",
		"twoGbMaxExtentFlat",
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(value, known[i]))
			return false;
	return true;
}

/* The first createType=", wherever it stands. */
static bool other_type(const struct df_image *img, const char *text)
{
	static const char word[] = "createType=\"";
	char value[DF_LINE];
	const char *at;
	struct df_text t;
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		at = qemu_text(img, i, &t) ? memmem(t.s, t.len, word, sizeof(word) - 1) : NULL;
		if (!at)
			continue;
		at += sizeof(word) - 1;
		snprintf(value, sizeof(value), "%.*s",
			 (int)min(strcspn(at, "\""), (size_t)DF_LINE - 1), at);
		if (is_other_type(value))
			return true;
	}
	return false;
}

/* FLAT must have an offset, VMFS must not. */
static bool odd_offset(const struct df_image *img, const char *text)
{
	char line[DF_LINE], w[4][40];
	struct df_text t;
	long long offset;
	bool has_offset;
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		if (!df_descriptor(img, i, &t))
			continue;
		while (df_next_line(&t, line)) {
			if (!df_is_extent(line) || df_words(line, w) < 4)
				continue;
			has_offset = sscanf(line, "%*s %*s %*s \"%*[^\"]\" %lld", &offset) == 1;
			if (has_offset == !!strcmp(w[2], "FLAT"))
				return true;
		}
	}
	return false;
}

/* The word stands somewhere, and not as the key of a line. */
static bool hint_in_text(const struct df_image *img, const char *text)
{
	static const char word[] = "parentFileNameHint";
	const char *at;
	struct df_text t;
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		at = qemu_text(img, i, &t) ? memmem(t.s, t.len, word, sizeof(word) - 1) : NULL;
		if (at && ((at > t.s && at[-1] != '\n') ||
			   strncmp(at + sizeof(word) - 1, "=\"", 2)))
			return true;
	}
	return false;
}

/* By the rules, what lies behind the last whole sector is nothing. */
static bool odd_end(const struct df_image *img, const char *text)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (dm_number(img, i, 0, 4) == 0x564d444b && dm_number(img, i, 56, 8) == ~0ULL &&
		    img->view.file[i].len % DF_SECTOR)
			return true;
	return false;
}

const struct df_rule df_qemu_rules[] = {
	{ "Unsupported image type", other_type, "QEMU does not know the createType, or not in that case of letters" },
	{ "invalid VMDK image", no_type, "QEMU wants a createType, without blanks at the \"=\"" },
	{ "Invalid extent line", odd_offset, "QEMU wants an offset behind FLAT and none behind other types" },
	{ "Could not open backing file", hint_in_text, "QEMU takes what follows the word parentFileNameHint for a name, wherever that stands" },
	{ "Invalid footer", odd_end, "QEMU looks for a footer from the rounded-up end of the file; the rules: from the last whole sector" },
	{ "Invalid argument", no_cid, "QEMU wants CID and parentCID, with no blanks around the \"=\"; a bare COWD extent has neither" },
	{ NULL, NULL, NULL },
};

/* --- where it breaks --- */

static bool no_extent_for_qemu(const struct df_image *img, const char *text)
{
	static struct dm_model m;

	dm_open(&m, img, DM_ALL);
	return !m.images[0].nr || (m.nr > 1 && !m.images[1].nr);
}

static bool no_grain(const struct df_image *img, const char *text)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++)
		if (dm_number(img, i, 0, 4) == 0x44574f43 && !dm_number(img, i, 16, 4))
			return true;
	return false;
}

/* What headers and footers say. */
static bool huge_header(const struct df_image *img, u32 file)
{
	struct dm_seg seg = { 0 };

	if (dm_number(img, file, 0, 8) == 0xcafebabe)
		seg.capacity = dm_number(img, file, 16, 8);
	else if (dm_number(img, file, 0, 4) == 0x564d444b)
		dm_hosted(img, file, &seg);
	return seg.capacity >= 1ULL << 54;
}

/* More sectors than have a byte address. */
static bool huge(const struct df_image *img, const char *text)
{
	char line[DF_LINE], w[4][40];
	struct df_text t;
	u32 i;
	u64 n;

	for (i = 0; i < img->view.nr; i++) {
		if (huge_header(img, i))
			return true;
		if (!df_descriptor(img, i, &t))
			continue;
		while (df_next_line(&t, line))
			if (df_is_extent(line) && df_words(line, w) > 1 && df_decimal(w[1], &n) &&
			    n >= 1ULL << 54)
				return true;
	}
	return false;
}

/* What QEMU takes for the name of the parent is the name of the file itself. */
static bool own_parent(const struct df_image *img, const char *text)
{
	static const char word[] = "parentFileNameHint";
	const char *at, *name;
	struct df_text t;
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		name = img->name[i];
		at = qemu_text(img, i, &t) ? memmem(t.s, t.len, word, sizeof(word) - 1) : NULL;
		if (at && !strncmp(at + sizeof(word) + 1, name, strlen(name)))
			return true;
	}
	return false;
}

/* Compressed, in grains larger than any writer's: by the header, or by the footer. */
static bool huge_grain(const struct df_image *img, const char *text)
{
	u32 i;

	for (i = 0; i < img->view.nr; i++) {
		struct dm_seg seg = { 0 };

		if (dm_hosted(img, i, &seg) && seg.packed && seg.grain > 2048)
			return true;
	}
	return false;
}

const struct df_rule df_broken_rules[] = {
	{ "(signal 6)", no_extent_for_qemu, "QEMU aborts on a descriptor in which it finds no extent" },
	{ "(signal 8)", no_grain, "QEMU divides by a COWD grain size of 0" },
	{ "(signal 5)", huge_grain, "QEMU takes compressed grains of up to 1 GiB, and ends when there is no memory for two" },
	{ "(signal 9)", own_parent, "QEMU goes round for ever in an image that is its own parent" },
	{ "(signal 9)", huge_grain, "QEMU takes compressed grains of up to 1 GiB, and unpacks one anew for every sector" },
	{ "(signal 9)", huge, "QEMU goes round for ever on an extent of more sectors than have an address" },
	{ NULL, NULL, NULL },
};
