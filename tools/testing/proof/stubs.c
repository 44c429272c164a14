// SPDX-License-Identifier: GPL-2.0-only
/*
 * What open and map call and is not analysed with them. Each stub may do all that
 * its header promises of the real one, and is as ignorant as that allows.
 * Documentation/proof.rst lists them.
 */
#include <stdlib.h>
#include "any.h"
#include "vdisk/caps.h"
#include "vdisk/format.h"
#include "vdisk/image.h"
#include "vmdk.h"

/* Whoever has one only passes it on. */
struct vd_meta {
	u8 there;
};

unsigned int vd_bugs;
void (*vd_wait_hook)(void);

/*
 * While a caller sleeps others may make a file grow or shorter (an allocation, the
 * end of writing).
 */
static void others_run(struct vd_file *file)
{
#ifndef FILE_SIZE
	if (file->writable)
		file->size = Frama_C_unsigned_long_long_interval(0, VD_CAP_FILE_BYTES);
#endif
}

/* --- files and the metadata cache --- */

/* After an error @buf may hold anything, also what it held before, or nothing at all. */
static int fail_after_some(void *buf, u32 len)
{
	if (maybe())
		Frama_C_make_unknown(buf, len);
	return any_errno();
}

int vd_file_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	others_run(file);
	if (!len)
		return 0;
	if (maybe())
		return fail_after_some(buf, len);
	Frama_C_make_unknown(buf, len);
	return 0;
}

/*@ requires \valid(meta); */
int vd_meta_read(struct vd_meta *meta, struct vd_file *file, u64 pos, void *buf, u32 len,
		 unsigned int flags)
{
	others_run(file);
	if (maybe())
		return fail_after_some(buf, len);
	Frama_C_make_unknown(buf, len);
	return 0;
}

struct vd_meta *vd_meta_create(u32 max_blocks)
{
	return vd_zalloc(sizeof(struct vd_meta));
}

/*@ requires meta == \null || \valid(meta); */
void vd_meta_destroy(struct vd_meta *meta)
{
	vd_free(meta);
}

/* --- port/ --- */

void *vd_zalloc(size_t size)
{
#ifdef NEVER
	if (size == sizeof(struct NEVER))
		return NULL;
#endif
	return maybe() ? calloc(1, size ? size : 1) : NULL;
}

void vd_free(const void *p)
{
	free((void *)p);
}

void vd_log(const char *text)
{
}

int vd_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	if (!size)
		return 0;
	Frama_C_make_unknown(buf, size);
	buf[size - 1] = '\0';
	return (int)Frama_C_unsigned_int_interval(0, (unsigned int)size - 1);
}

const struct vd_format *vd_format_get(u32 id)
{
	switch (maybe() ? id : VDISK_FORMAT_UNSPEC) {
	case VDISK_FORMAT_RAW:
		return &vd_format_raw;
	case VDISK_FORMAT_VMDK:
		return &vd_format_vmdk;
	case VDISK_FORMAT_VDI:
		return &vd_format_vdi;
	}
	return NULL;
}

void vd_format_put(const struct vd_format *fmt)
{
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	return 0;
}

int pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	return 0;
}
