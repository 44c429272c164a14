// SPDX-License-Identifier: GPL-2.0-only
/* What shared code needs of its surroundings, in user space. */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "vdisk/caps.h"
#include "vdisk/format.h"

bool (*vd_alloc_hook)(size_t size);
void (*vd_log_hook)(const char *text);
void (*vd_wait_hook)(void);
unsigned int vd_bugs;

static bool may_allocate(size_t size)
{
	return !vd_alloc_hook || vd_alloc_hook(size);
}

void *vd_zalloc(size_t size)
{
	return may_allocate(size) ? calloc(1, size ? size : 1) : NULL;
}

void vd_free(const void *p)
{
	free((void *)(uintptr_t)p);
}

void *vd_alloc_io(void)
{
	return may_allocate(VD_META_BLOCK) ? aligned_alloc(VD_META_BLOCK, VD_META_BLOCK) : NULL;
}

void vd_free_io(void *p)
{
	free(p);
}

void vd_log(const char *text)
{
	if (vd_log_hook)
		vd_log_hook(text);
}

/* As the kernel's vscnprintf(): returns what was stored, not what would have been. */
int vd_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	int len;

	if (!size)
		return 0;
	len = vsnprintf(buf, size, fmt, args);
	if (len < 0) {
		buf[0] = '\0';
		return 0;
	}
	return (size_t)len < size ? len : (int)(size - 1);
}

static const struct vd_format *const formats[] = {
	&vd_format_raw,
	&vd_format_vmdk,
	&vd_format_vdi,
	NULL,
};

const struct vd_format *const *vd_formats(void)
{
	return formats;
}

const struct vd_format *vd_format_get(u32 id)
{
	const struct vd_format *const *fmt;

	for (fmt = formats; *fmt; fmt++) {
		if ((*fmt)->id == id)
			return *fmt;
	}
	return NULL;
}

void vd_format_put(const struct vd_format *fmt)
{
	/* Linked in: nothing to release. */
}

/* zlib takes its own memory here, through the hook, so that tests can refuse it. */
size_t vd_zlib_workspace(void)
{
	return 0;
}

static voidpf codec_alloc(voidpf opaque, uInt items, uInt size)
{
	return vd_zalloc((size_t)items * size);
}

static void codec_free(voidpf opaque, voidpf p)
{
	vd_free(p);
}

static int inflate_error(const z_stream *strm, int ret)
{
	if (ret == Z_MEM_ERROR)
		return -ENOMEM;
	/* No progress with input left and no room: the stream holds more than fits. */
	if ((ret == Z_OK || ret == Z_BUF_ERROR) && !strm->avail_out && strm->avail_in)
		return -E2BIG;
	return -EUCLEAN;
}

int vd_zlib_inflate(void *ws, const void *in, u32 in_len, void *out, u32 out_len)
{
	z_stream strm = {
		.zalloc = codec_alloc,
		.zfree = codec_free,
		.next_in = (Bytef *)(uintptr_t)in,
		.avail_in = in_len,
		.next_out = out,
		.avail_out = out_len,
	};
	int ret;

	ret = inflateInit2(&strm, MAX_WBITS);
	if (ret != Z_OK)
		return ret == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
	ret = inflate(&strm, Z_FINISH);
	inflateEnd(&strm);

	if (ret != Z_STREAM_END)
		return inflate_error(&strm, ret);
	/* Bytes after the checksum are no part of the stream: its length was wrong. */
	if (strm.avail_in)
		return -EUCLEAN;
	return (int)(out_len - strm.avail_out);
}
