/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vdisk

#if !defined(VDISK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VDISK_TRACE_H

#include <linux/blk_types.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(vdisk_device_class,
	TP_PROTO(u32 id, u64 size),
	TP_ARGS(id, size),
	TP_STRUCT__entry(__field(u32, id) __field(u64, size)),
	TP_fast_assign(__entry->id = id; __entry->size = size;),
	TP_printk("vdisk%u size=%llu", __entry->id, __entry->size)
);

DEFINE_EVENT(vdisk_device_class, vdisk_attach,
	TP_PROTO(u32 id, u64 size), TP_ARGS(id, size));
DEFINE_EVENT(vdisk_device_class, vdisk_detach,
	TP_PROTO(u32 id, u64 size), TP_ARGS(id, size));

/* One answer of the map, as a worker acts on it. */
TRACE_EVENT(vdisk_map,
	TP_PROTO(u32 id, u64 pos, u64 len, int type, int member),
	TP_ARGS(id, pos, len, type, member),
	TP_STRUCT__entry(__field(u32, id) __field(u64, pos) __field(u64, len)
			 __field(int, type) __field(int, member)),
	TP_fast_assign(__entry->id = id; __entry->pos = pos; __entry->len = len;
		       __entry->type = type; __entry->member = member;),
	TP_printk("vdisk%u pos=%llu len=%llu type=%d member=%d", __entry->id, __entry->pos,
		  __entry->len, __entry->type, __entry->member)
);

/* A command leaves the batch for a worker that may block. */
TRACE_EVENT(vdisk_slow,
	TP_PROTO(u32 id, enum req_op op, u64 pos, u32 len),
	TP_ARGS(id, op, pos, len),
	TP_STRUCT__entry(__field(u32, id) __field(int, op) __field(u64, pos) __field(u32, len)),
	TP_fast_assign(__entry->id = id; __entry->op = (__force int)op; __entry->pos = pos;
		       __entry->len = len;),
	TP_printk("vdisk%u op=%d pos=%llu len=%u", __entry->id, __entry->op, __entry->pos,
		  __entry->len)
);

TRACE_EVENT(vdisk_error,
	TP_PROTO(u32 id, enum req_op op, u64 pos, u32 len, int error),
	TP_ARGS(id, op, pos, len, error),
	TP_STRUCT__entry(__field(u32, id) __field(int, op) __field(u64, pos) __field(u32, len)
			 __field(int, error)),
	TP_fast_assign(__entry->id = id; __entry->op = (__force int)op;
		       __entry->pos = pos; __entry->len = len;
		       __entry->error = error;),
	TP_printk("vdisk%u op=%d pos=%llu len=%u error=%d", __entry->id, __entry->op,
		  __entry->pos, __entry->len, __entry->error)
);

#endif /* VDISK_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
