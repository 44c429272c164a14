// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text of a new VMDK. QEMU looks for "CID=" anywhere, so that key stands
 * before parentCID; VirtualBox wants header, extents and ddb in this order.
 */
#include <ctype.h>
#include <stdlib.h>
#include "create.h"
#include "../formats-common/vmdk/create.h"

#define MAX_HINT	4000	/* a line has at most VMDK_CAP_LINE bytes */
#define HWVERSION	4
#define NO_PARENT	0xffffffffU

static const u8 no_uuid[16];

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((u8)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

int descriptor_check_name(const char *path, const char *what, const char *name)
{
	if (strchr(name, '"') || has_control(name))
		return ctl_error(CTL_USAGE, "usage", path,
				 "%s '%s' has a quote or a control character, for which VMDK has no spelling",
				 what, name);
	if (strlen(name) > MAX_HINT)
		return ctl_error(CTL_USAGE, "usage", path, "%s is longer than %u bytes", what,
				 MAX_HINT);
	return 0;
}

static void put_escaped(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\\\", to);
		else if (*s == '\n')
			fputs("\\n", to);
		else if (*s == '\r')
			fputs("\\r", to);
		else
			fputc(*s, to);
	}
}

static const struct vd_layout *parent_of(const struct new_vmdk *v)
{
	return v->c->backing ? v->set.images[0].layout : NULL;
}

static void put_header(FILE *to, const struct new_vmdk *v)
{
	fprintf(to, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\n"
		"parentCID=%08x\ncreateType=\"%s\"\n", v->cid,
		v->c->backing ? v->parent_cid : NO_PARENT, v->type->create_type);
	if (v->c->backing)
		fprintf(to, "parentFileNameHint=\"%s\"\n", v->hint);
}

static void put_extents(FILE *to, const struct new_vmdk *v)
{
	u32 i;

	fputs("\n# Extent description\n", to);
	for (i = 0; i < v->nr_extents; i++) {
		char *name = extent_name(v, i);

		fprintf(to, "RW %llu %s \"%s\"%s\n",
			(unsigned long long)(extent_size(v, i) >> VD_SECTOR_SHIFT), v->type->extent,
			name, !strcmp(v->type->extent, "FLAT") ? " 0" : "");
		free(name);
	}
}

/* What a child says hides what its parent says: a delta keeps the parent's adapter. */
static const char *adapter_of(const struct new_vmdk *v)
{
	static const char *const known[] = { "ide", "lsilogic", "buslogic", "legacyESX" };
	const struct vd_layout *parent = parent_of(v);
	const char *theirs = parent ? vd_layout_str(parent, parent->adapter) : NULL;
	size_t i;

	if (v->c->adapter)
		return v->c->adapter;
	for (i = 0; theirs && i < ARRAY_SIZE(known); i++)
		if (!strcasecmp(theirs, known[i]))
			return known[i];
	return v->type->flags & TYPE_ESX ? "lsilogic" : "ide";
}

static void geometry(const struct new_vmdk *v, const char *adapter, u32 chs[3])
{
	const struct vd_layout *parent = parent_of(v);
	u64 sectors = v->size >> VD_SECTOR_SHIFT, cylinders;

	if (parent && parent->props.mask & VD_PROP_PCHS && parent->props.size == v->size) {
		chs[0] = parent->props.pchs.c;
		chs[1] = parent->props.pchs.h;
		chs[2] = parent->props.pchs.s;
		return;
	}
	if (!strcmp(adapter, "ide")) {
		chs[1] = 16;
		chs[2] = 63;
	} else if (v->size < 1ULL << 30) {
		chs[1] = 64;
		chs[2] = 32;
	} else if (v->size < 2ULL << 30) {
		chs[1] = 128;
		chs[2] = 32;
	} else {
		chs[1] = 255;
		chs[2] = 63;
	}
	cylinders = max_t(u64, sectors / (chs[1] * chs[2]), 1);
	if (!strcmp(adapter, "ide"))
		cylinders = min_t(u64, cylinders, 16383);
	chs[0] = (u32)cylinders;
}

static void put_uuid(FILE *to, const char *key, const u8 uuid[16])
{
	char text[37];

	format_uuid(uuid, text);
	fprintf(to, "ddb.uuid.%s = \"%s\"\n", key, text);
}

/* VirtualBox' linkage; where the parent has no such ids, zeros stand for none. */
static void put_uuids(FILE *to, const struct new_vmdk *v)
{
	const struct vd_layout *parent = parent_of(v);
	bool known = parent && parent->props.mask & VD_PROP_UUID;
	bool modified = parent && parent->props.mask & VD_PROP_MOD_UUID;

	put_uuid(to, "image", v->uuid);
	put_uuid(to, "modification", v->mod_uuid);
	put_uuid(to, "parent", known ? parent->props.uuid : no_uuid);
	put_uuid(to, "parentmodification", modified ? parent->props.mod_uuid : no_uuid);
}

static void put_parent_format(FILE *to, const struct new_vmdk *v)
{
	u32 format = v->c->backing ? v->set.images[0].format : VDISK_FORMAT_VMDK;

	if (format != VDISK_FORMAT_VMDK)
		fprintf(to, VMDK_PARENT_FORMAT " = \"%s\"\n", vd_format_name(format));
}

static void put_ddb(FILE *to, const struct new_vmdk *v)
{
	const char *adapter = adapter_of(v);
	u32 chs[3];
	size_t i;

	geometry(v, adapter, chs);
	fprintf(to, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%u\"\n"
		"ddb.adapterType = \"%s\"\nddb.geometry.cylinders = \"%u\"\n"
		"ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"%u\"\n",
		v->c->hwversion ? v->c->hwversion : HWVERSION, adapter, chs[0], chs[1], chs[2]);
	fputs("ddb.longContentID = \"", to);
	for (i = 0; i < sizeof(v->content_id); i++)
		fprintf(to, "%02x", v->content_id[i]);
	fputs("\"\n", to);
	if (v->type->flags & TYPE_ESX && v->type->flags & TYPE_FLAT &&
	    v->c->prealloc < PREALLOC_FALLOC)
		fputs("ddb.thinProvisioned = \"1\"\n", to);
	put_uuids(to, v);
	put_parent_format(to, v);
	if (v->c->comment) {
		fputs("ddb.comment = \"", to);
		put_escaped(to, v->c->comment);
		fputs("\"\n", to);
	}
}

char *descriptor_text(const struct new_vmdk *v)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	put_header(to, v);
	put_extents(to, v);
	put_ddb(to, v);
	if (fclose(to)) {
		free(text);
		return NULL;
	}
	return text;
}
