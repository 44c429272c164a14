/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VD_PORT_KERNEL_H
#define VD_PORT_KERNEL_H

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
#ifdef VD_HAVE_LINUX_UNALIGNED
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#define VD_EXPORT(sym)		EXPORT_SYMBOL_GPL(sym)

/* Fields of struct vd_format that exist in one world only. */
#define VD_USER_OPS(ops)	NULL
#define VD_THIS_MODULE		THIS_MODULE

#define vd_spinlock		spinlock
#define vd_spin_init(l)		spin_lock_init(l)
#define vd_spin_destroy(l)	do { } while (0)
#define vd_spin_lock(l)		spin_lock(l)
#define vd_spin_unlock(l)	spin_unlock(l)

#define vd_mutex		mutex
#define vd_mutex_init(l)	mutex_init(l)
#define vd_mutex_destroy(l)	mutex_destroy(l)
#define vd_mutex_lock(l)	mutex_lock(l)
#define vd_mutex_unlock(l)	mutex_unlock(l)

typedef atomic_t vd_atomic;

#define vd_atomic_read(a)	atomic_read(a)
#define vd_atomic_set(a, x)	atomic_set(a, x)
#define vd_atomic_xchg(a, x)	atomic_xchg(a, x)
#define vd_atomic_inc(a)	atomic_inc(a)
#define vd_atomic_dec(a)	atomic_dec(a)
#define vd_mb()			smp_mb()
#define vd_load_acquire(p)	smp_load_acquire(p)
#define vd_store_release(p, v)	smp_store_release(p, v)

/* Mistakes on purpose are for tests in user space. */
#define vd_bug(bug)		false

#define vd_vsnprintf		vscnprintf

#endif /* VD_PORT_KERNEL_H */
