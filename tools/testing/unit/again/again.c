// SPDX-License-Identifier: GPL-2.0-only
/* Catches what tests open, copies it, and lets things fail. */
#include "again.h"

#define SEEN	(1U << 16)
#define MANY	100	/* images of a program that are all tried; of more, */
#define SOME	32	/* one in so many */
#define FIRST	32	/* operations that all fail in turn; of later ones, fewer */

int __real_vd_chain_open(const struct vd_chain_desc *desc, struct vd_chain **out,
			 struct vd_error *err);
int __wrap_vd_chain_open(const struct vd_chain_desc *desc, struct vd_chain **out,
			 struct vd_error *err);

unsigned long again_runs;

static unsigned long sets, skipped, different;
static u64 seen[SEEN];
static bool inside;

/* --- faults --- */

static struct vd_fault *shared;

static bool may_allocate(size_t size)
{
	return !vd_fault_hit(shared);
}

void again_arm(struct again *a, enum again_fault what, long i, bool sticky, int error)
{
	a->fault = (struct vd_fault){ .countdown = i, .sticky = sticky, .error = error };
	a->fault.short_read = what == AGAIN_SHORT;
	if (what != AGAIN_NOMEM)
		return;
	/* The files' own count stands still. */
	static struct vd_fault memory;

	memory = a->fault;
	a->fault.countdown = -1;
	shared = &memory;
	vd_alloc_hook = may_allocate;
}

bool again_disarm(struct again *a)
{
	bool hit = a->fault.fired || (vd_alloc_hook && shared->fired);

	vd_alloc_hook = NULL;
	a->fault.countdown = -1;
	a->fault.sticky = false;
	again_runs++;
	return hit;
}

bool again_all(void)
{
	const char *what = getenv("VD_ANOMALIES");

	return what && !strcmp(what, "all");
}

long again_next(long i)
{
	return i < FIRST || again_all() ? i + 1 : i + i / 5;
}

/* --- copies --- */

void again_copy(struct again *a)
{
	u32 i;

	for (i = 0; i < a->nr; i++) {
		a->plain[i] = vd_ufile_mem(a->data[i], a->len[i], a->like[i]->writable);
		assert_non_null(a->plain[i]);
		a->plain[i]->size = a->like[i]->size;
		a->plain[i]->fixed = a->like[i]->fixed;
		a->faulty[i] = vd_ufile_fault(a->plain[i], &a->fault);
		assert_non_null(a->faulty[i]);
		a->faulty[i]->index = a->like[i]->index;
	}
	a->desc.files = a->faulty;
}

void again_drop_copies(struct again *a)
{
	u32 i;

	for (i = 0; i < a->nr; i++) {
		vd_ufile_free(a->faulty[i]);
		vd_ufile_free(a->plain[i]);
	}
}

int again_open(struct again *a, struct vd_chain **chain, struct vd_error *err)
{
	memset(err, 0, sizeof(*err));
	*chain = NULL;
	return __real_vd_chain_open(&a->desc, chain, err);
}

/* Files in memory, below whatever a test has put around them. NULL: of another kind. */
static const struct vd_file *in_memory(const struct vd_file *file)
{
	static const struct vd_file_ops *ops;
	struct vd_file *sample;

	if (!ops) {
		sample = vd_ufile_mem("", 0, true);
		assert_non_null(sample);
		ops = sample->ops;
		vd_ufile_free(sample);
	}
	while (file && file->ops != ops)
		file = vd_ufile_lower(file);
	return file;
}

static u64 hash_bytes(u64 hash, const void *data, size_t len)
{
	const u8 *p = data;
	u64 word;

	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = ut_mix(hash ^ word);
	}
	for (; len; len--, p++)
		hash = ut_mix(hash ^ *p);
	return hash;
}

static u64 hash_set(const struct again *a)
{
	const struct vd_chain_desc *d = &a->desc;
	u64 hash = hash_bytes(d->nr_files, d->images, d->nr_images * sizeof(*d->images));
	u32 i;

	hash = hash_bytes(hash, d->segments, d->nr_segments * sizeof(*d->segments));
	for (i = 0; i < a->nr; i++) {
		hash = ut_mix(hash ^ a->like[i]->size ^ a->like[i]->writable);
		hash = hash_bytes(hash, a->data[i], a->len[i]);
	}
	return hash;
}

static bool is_new(const struct again *a)
{
	u64 hash = hash_set(a) | 1;
	u32 i, at;

	for (i = 0; i < SEEN; i++) {
		at = (u32)(hash + i) % SEEN;
		if (seen[at] == hash)
			return false;
		if (!seen[at]) {
			seen[at] = hash;
			return true;
		}
	}
	return false;
}

static bool take(struct again *a, const struct vd_chain_desc *desc)
{
	size_t total = 0;
	u32 i;

	memset(a, 0, sizeof(*a));
	a->desc = *desc;
	a->nr = desc->nr_files;
	if (desc->nr_files > AGAIN_FILES)
		return false;
	for (i = 0; i < desc->nr_files; i++) {
		const struct vd_file *file = in_memory(desc->files[i]);

		if (!file)
			return false;
		a->like[i] = desc->files[i];
		a->data[i] = (u8 *)(uintptr_t)vd_ufile_mem_data(file, &a->len[i]);
		total += a->len[i];
	}
	return total <= AGAIN_ROOM;
}

static void examine(const struct vd_chain_desc *desc)
{
	struct again a;

	if (!take(&a, desc)) {
		skipped++;
		return;
	}
	if (!is_new(&a))
		return;
	if (++different > MANY && different % SOME && !again_all())
		return;
	sets++;
	again_read(&a);
	again_write(&a);
}

static void report(void)
{
	printf("# anomalies: %lu runs on %lu of %lu images, %lu opens of others\n", again_runs,
	       sets, different, skipped);
}

int __wrap_vd_chain_open(const struct vd_chain_desc *desc, struct vd_chain **out,
			 struct vd_error *err)
{
	static bool told;

	/* A test with faults of its own, or with mistakes, is let alone. */
	if (getenv("VD_ANOMALIES") && !inside && !vd_alloc_hook && !vd_wait_hook && !vd_bugs) {
		if (!told)
			atexit(report);
		told = inside = true;
		examine(desc);
		inside = false;
	}
	return __real_vd_chain_open(desc, out, err);
}
