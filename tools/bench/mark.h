/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions that mean something to the counting plugin: nopl disp32(%rax,%rax). */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

#define MARK_BEGIN	".byte 0x0f, 0x1f, 0x84, 0x00, 0x76, 0x64, 0x6b, 0x01"
#define MARK_STEP	".byte 0x0f, 0x1f, 0x84, 0x00, 0x76, 0x64, 0x6b, 0x02"
#define MARK_END	".byte 0x0f, 0x1f, 0x84, 0x00, 0x76, 0x64, 0x6b, 0x03"

#define MARK_LEN	8
#define MARK_PREFIX	"\x0f\x1f\x84\x00\x76\x64\x6b"

#endif /* BENCH_MARK_H */
