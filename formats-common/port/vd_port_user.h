/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VD_PORT_USER_H
#define VD_PORT_USER_H

#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As in the kernel: %llu prints a u64 on every architecture, and __u64 is the same type. */
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;

#define U8_MAX			((u8)~0U)
#define U16_MAX			((u16)~0U)
#define U32_MAX			((u32)~0U)
#define U64_MAX			((u64)~0ULL)
#define S64_MAX			((s64)(U64_MAX >> 1))

#ifndef EUCLEAN
#define EUCLEAN 117
#endif

#define VD_EXPORT(sym)

/* Fields of struct vd_format that exist in one world only. */
#define VD_USER_OPS(ops)	(&(ops))
#define VD_THIS_MODULE		NULL

#define __printf(a, b)		__attribute__((format(printf, a, b)))
#ifndef __must_check
#define __must_check		__attribute__((warn_unused_result))
#endif
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#ifndef static_assert
#define static_assert(e, ...)	_Static_assert(e, #e)
#endif
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#ifndef offsetof
#define offsetof(t, m)		__builtin_offsetof(t, m)
#endif
#define container_of(p, t, m)	((t *)(void *)((char *)(p) - offsetof(t, m)))
#ifdef __CHECKER__
#define VD_FORCE		__attribute__((force))
#else
#define VD_FORCE
#endif

#define min(a, b) __extension__({						\
	__typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) __extension__({						\
	__typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define max_t(t, a, b)		max((t)(a), (t)(b))

/* A relaxed atomic access: the same instruction, but the thread sanitizer knows it for one. */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#define check_add_overflow(a, b, d)	__builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d)	__builtin_sub_overflow(a, b, d)
#define check_mul_overflow(a, b, d)	__builtin_mul_overflow(a, b, d)

/*@ assigns \result \from n;
    ensures \result <==> \exists integer i; 0 <= i < 64 && n == 1 << i; */
static inline bool is_power_of_2(u64 n)
{
	return n && !(n & (n - 1));
}

/*@ requires n > 0;
    assigns \result \from n;
    ensures 0 <= \result < 64; */
static inline int ilog2(u64 n)
{
	return 63 - __builtin_clzll(n);
}

/*@ requires d > 0 && \valid(rem);
    assigns \result, *rem \from n, d;
    ensures n == \result * d + *rem && 0 <= *rem < d; */
static inline u64 div_u64_rem(u64 n, u32 d, u32 *rem)
{
	*rem = (u32)(n % d);
	return n / d;
}

/*
 * Endian accessors take plain bytes, so that the host's byte order and the
 * field's alignment never matter.
 */
static inline u16 get_unaligned_le16(const void *p)
{
	const u8 *b = p;

	return (u16)(b[0] | b[1] << 8);
}

static inline u32 get_unaligned_le32(const void *p)
{
	const u8 *b = p;

	return (u32)b[0] | (u32)b[1] << 8 | (u32)b[2] << 16 | (u32)b[3] << 24;
}

static inline u64 get_unaligned_le64(const void *p)
{
	const u8 *b = p;

	return get_unaligned_le32(b) | (u64)get_unaligned_le32(b + 4) << 32;
}

static inline void put_unaligned_le32(u32 v, void *p)
{
	u8 *b = p;

	b[0] = (u8)v;
	b[1] = (u8)(v >> 8);
	b[2] = (u8)(v >> 16);
	b[3] = (u8)(v >> 24);
}

static inline void put_unaligned_le64(u64 v, void *p)
{
	u8 *b = p;

	put_unaligned_le32((u32)v, b);
	put_unaligned_le32((u32)(v >> 32), b + 4);
}

static inline u32 le32_to_cpu(__le32 v)
{
	return get_unaligned_le32(&v);
}

static inline u64 le64_to_cpu(__le64 v)
{
	return get_unaligned_le64(&v);
}

/* Lists, the few operations that shared code needs. */
struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name)	{ &(name), &(name) }
#define LIST_HEAD(name)		struct list_head name = LIST_HEAD_INIT(name)
#define list_entry(p, t, m)	container_of(p, t, m)
#define list_for_each_entry(pos, head, m)					\
	for (pos = list_entry((head)->next, __typeof__(*pos), m);		\
	     &pos->m != (head); pos = list_entry(pos->m.next, __typeof__(*pos), m))
#define list_for_each_entry_safe(pos, n, head, m)				\
	for (pos = list_entry((head)->next, __typeof__(*pos), m),		\
	     n = list_entry(pos->m.next, __typeof__(*pos), m);			\
	     &pos->m != (head);							\
	     pos = n, n = list_entry(n->m.next, __typeof__(*n), m))

/* As in the kernel, somebody without the lock may ask whether there is a first one. */
static inline void INIT_LIST_HEAD(struct list_head *h)
{
	WRITE_ONCE(h->next, h);
	h->prev = h;
}

static inline bool list_empty(const struct list_head *h)
{
	return h->next == h;
}

static inline void list_add_tail(struct list_head *n, struct list_head *h)
{
	n->next = h;
	n->prev = h->prev;
	WRITE_ONCE(h->prev->next, n);
	h->prev = n;
}

static inline void list_add(struct list_head *n, struct list_head *h)
{
	n->next = h->next;
	n->prev = h;
	h->next->prev = n;
	WRITE_ONCE(h->next, n);
}

static inline void list_del(struct list_head *n)
{
	n->next->prev = n->prev;
	WRITE_ONCE(n->prev->next, n->next);
}

static inline void list_del_init(struct list_head *n)
{
	list_del(n);
	INIT_LIST_HEAD(n);
}

static inline void list_move_tail(struct list_head *n, struct list_head *h)
{
	list_del(n);
	list_add_tail(n, h);
}

static inline void list_splice_tail_init(struct list_head *list, struct list_head *h)
{
	if (list_empty(list))
		return;
	list->next->prev = h->prev;
	h->prev->next = list->next;
	list->prev->next = h;
	h->prev = list->prev;
	INIT_LIST_HEAD(list);
}

struct vd_spinlock {
	pthread_mutex_t mutex;
};

#define vd_spin_init(l)		pthread_mutex_init(&(l)->mutex, NULL)
#define vd_spin_destroy(l)	pthread_mutex_destroy(&(l)->mutex)
#define vd_spin_lock(l)		pthread_mutex_lock(&(l)->mutex)
#define vd_spin_unlock(l)	pthread_mutex_unlock(&(l)->mutex)

/* May sleep while held; the kernel's mutex. */
struct vd_mutex {
	pthread_mutex_t mutex;
};

/* When set: called instead of sleeping, until the mutex is free. A test has its own threads. */
extern void (*vd_wait_hook)(void);

static inline void vd_mutex_lock(struct vd_mutex *l)
{
	if (likely(!vd_wait_hook)) {
		pthread_mutex_lock(&l->mutex);
		return;
	}
	while (pthread_mutex_trylock(&l->mutex))
		vd_wait_hook();
}

#define vd_mutex_init(l)	pthread_mutex_init(&(l)->mutex, NULL)
#define vd_mutex_destroy(l)	pthread_mutex_destroy(&(l)->mutex)
#define vd_mutex_unlock(l)	pthread_mutex_unlock(&(l)->mutex)

struct vd_atomic_int {
	int v;
};

#define vd_atomic		struct vd_atomic_int

#define vd_atomic_read(a)	__atomic_load_n(&(a)->v, __ATOMIC_RELAXED)
#define vd_atomic_set(a, x)	__atomic_store_n(&(a)->v, x, __ATOMIC_SEQ_CST)
#define vd_atomic_xchg(a, x)	__atomic_exchange_n(&(a)->v, x, __ATOMIC_SEQ_CST)
#define vd_atomic_inc(a)	((void)__atomic_add_fetch(&(a)->v, 1, __ATOMIC_SEQ_CST))
#define vd_atomic_dec(a)	((void)__atomic_sub_fetch(&(a)->v, 1, __ATOMIC_SEQ_CST))
#define vd_mb()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define vd_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define vd_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

int vd_vsnprintf(char *buf, size_t size, const char *fmt, va_list args) __printf(3, 0);

/*
 * Test hooks. @vd_alloc_hook, when set, is asked before each allocation and
 * makes it fail by returning false. @vd_log_hook takes log lines; the default
 * drops them (the error structs carry what matters).
 */
extern bool (*vd_alloc_hook)(size_t size);

/*
 * Deliberate mistakes, for the tests that must notice them: a mask of VD_BUG_*.
 * In the kernel no such thing exists (vd_bug() is constant).
 */
extern unsigned int vd_bugs;
#define vd_bug(bug)		(unlikely(vd_bugs & (bug)))
extern void (*vd_log_hook)(const char *text);

#endif /* VD_PORT_USER_H */
