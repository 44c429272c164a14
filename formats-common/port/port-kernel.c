// SPDX-License-Identifier: GPL-2.0-only
/* What shared code needs of its surroundings, in the kernel. */
#define pr_fmt(fmt) "vdisk: " fmt

#include <linux/gfp.h>
#include <linux/kmod.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/zlib.h>

#include "vdisk/caps.h"
#include "vdisk/format.h"

void *vd_zalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL);
}
VD_EXPORT(vd_zalloc);

void vd_free(const void *p)
{
	kvfree(p);
}
VD_EXPORT(vd_free);

void *vd_alloc_io(void)
{
	static_assert(PAGE_SIZE >= VD_META_BLOCK);

	/* There is always a way without this memory, so never press for it. */
	return (void *)__get_free_page(GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN);
}
VD_EXPORT(vd_alloc_io);

void vd_free_io(void *p)
{
	free_page((unsigned long)p);
}
VD_EXPORT(vd_free_io);

void vd_log(const char *text)
{
	pr_warn_ratelimited("%s\n", text);
}
VD_EXPORT(vd_log);

/* Backends that are loaded, by id. */
static const struct vd_format *formats[__VDISK_FORMAT_END];
static DEFINE_MUTEX(formats_lock);

int vd_format_register(const struct vd_format *fmt)
{
	int ret = 0;

	if (!vd_format_name(fmt->id) || !fmt->open || !fmt->close || !fmt->map)
		return -EINVAL;

	mutex_lock(&formats_lock);
	if (formats[fmt->id])
		ret = -EEXIST;
	else
		formats[fmt->id] = fmt;
	mutex_unlock(&formats_lock);
	return ret;
}
VD_EXPORT(vd_format_register);

/* Users hold the module, so none is left when its exit function runs. */
void vd_format_unregister(const struct vd_format *fmt)
{
	mutex_lock(&formats_lock);
	if (formats[fmt->id] == fmt)
		formats[fmt->id] = NULL;
	mutex_unlock(&formats_lock);
}
VD_EXPORT(vd_format_unregister);

static const struct vd_format *get_loaded(u32 id)
{
	const struct vd_format *fmt;

	mutex_lock(&formats_lock);
	fmt = formats[id];
	if (fmt && !try_module_get(fmt->owner))
		fmt = NULL;
	mutex_unlock(&formats_lock);
	return fmt;
}

const struct vd_format *vd_format_get(u32 id)
{
	const char *name = vd_format_name(id);
	const struct vd_format *fmt;

	if (!name)
		return NULL;
	fmt = get_loaded(id);
	if (fmt)
		return fmt;
	/* The name is from our own table, never a caller's string. */
	request_module("vdisk-format-%s", name);
	return get_loaded(id);
}

void vd_format_put(const struct vd_format *fmt)
{
	module_put(fmt->owner);
}

size_t vd_zlib_workspace(void)
{
	return zlib_inflate_workspacesize();
}

int vd_zlib_inflate(void *ws, const void *in, u32 in_len, void *out, u32 out_len)
{
	struct z_stream_s strm = {
		.next_in = in,
		.avail_in = in_len,
		.next_out = out,
		.avail_out = out_len,
		.workspace = ws,
	};
	int ret;

	if (zlib_inflateInit2(&strm, MAX_WBITS) != Z_OK)
		return -EINVAL;
	ret = zlib_inflate(&strm, Z_FINISH);
	zlib_inflateEnd(&strm);

	if (ret == Z_STREAM_END) {
		/* Bytes after the checksum are no part of the stream: its length was wrong. */
		return strm.avail_in ? -EUCLEAN : (int)(out_len - strm.avail_out);
	}
	/* No progress with input left and no room: the stream holds more than fits. */
	if ((ret == Z_OK || ret == Z_BUF_ERROR) && !strm.avail_out && strm.avail_in)
		return -E2BIG;
	return -EUCLEAN;
}
