/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * UUIDs are kept everywhere as 16 bytes in the order of their text form. Some
 * formats store the first three groups of it little-endian, as Windows does.
 */
#ifndef VDISK_UUID_H
#define VDISK_UUID_H

#include "vd_port.h"

#define VD_UUID_BYTES	16U
#define VD_UUID_CHARS	36U	/* of the text form, with its dashes */

/* From what a file holds; @uuid and @guid do not overlap. */
static inline void vd_uuid_from_guid(u8 uuid[VD_UUID_BYTES], const u8 guid[VD_UUID_BYTES])
{
	static const u8 from[8] = { 3, 2, 1, 0, 5, 4, 7, 6 };
	u32 i;

	for (i = 0; i < sizeof(from); i++)
		uuid[i] = guid[from[i]];
	memcpy(uuid + sizeof(from), guid + sizeof(from), VD_UUID_BYTES - sizeof(from));
}

/* The way back is the same one. */
static inline void vd_uuid_to_guid(u8 guid[VD_UUID_BYTES], const u8 uuid[VD_UUID_BYTES])
{
	vd_uuid_from_guid(guid, uuid);
}

/* In small letters, with a NUL. User space only. */
void vd_uuid_format(const u8 uuid[VD_UUID_BYTES], char text[VD_UUID_CHARS + 1]);

static inline bool vd_uuid_is_none(const u8 uuid[VD_UUID_BYTES])
{
	static const u8 none[VD_UUID_BYTES];

	return !memcmp(uuid, none, sizeof(none));
}

#endif /* VDISK_UUID_H */
