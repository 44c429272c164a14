// SPDX-License-Identifier: GPL-2.0-only
/*
 * pages MIB STEPS KEEP-MIB SWAP: dirties so much anonymous memory, by threads that
 * each have a share of it; each walks at random, so many steps in all: checks a
 * whole page, then gives it new content. Then it drops all but KEEP-MIB, takes the
 * swap device away, and checks what is left.
 *
 * What a page must hold follows from its number and from how often it was
 * written, which is kept in locked memory.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>

#define PAGE		4096
#define WORDS		(PAGE / 8)
#define THREADS		4

struct share {
	pthread_t thread;
	uint64_t first, nr, steps, random;
	uint64_t wrong;
};

static uint64_t *memory;
static uint16_t *written;

static void die(const char *what)
{
	fprintf(stderr, "pages: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t seed_of(uint64_t page)
{
	return ((page << 16 | written[page]) + 1) * 0x9e3779b97f4a7c15ULL;
}

static void fill(uint64_t page)
{
	uint64_t *at = memory + page * WORDS, state;
	int i;

	written[page]++;
	state = seed_of(page);
	for (i = 0; i < WORDS; i++)
		at[i] = next_random(&state);
}

static int good(uint64_t page)
{
	const uint64_t *at = memory + page * WORDS;
	uint64_t state = seed_of(page);
	int i;

	for (i = 0; i < WORDS; i++)
		if (at[i] != next_random(&state))
			return 0;
	return 1;
}

static void check(struct share *s, uint64_t page)
{
	if (good(page))
		return;
	s->wrong++;
	printf("# page %llu, written %u times, is wrong\n", (unsigned long long)page,
	       written[page]);
}

static void *walk(void *data)
{
	struct share *s = data;
	uint64_t i, page;

	for (i = 0; i < s->nr; i++)
		fill(s->first + i);
	for (i = 0; i < s->steps; i++) {
		page = s->first + next_random(&s->random) % s->nr;
		check(s, page);
		fill(page);
	}
	for (i = 0; i < s->nr; i++)
		check(s, s->first + i);
	return NULL;
}

static uint64_t walk_all(uint64_t pages, uint64_t steps)
{
	struct share shares[THREADS] = { 0 };
	uint64_t wrong = 0;
	int i;

	for (i = 0; i < THREADS; i++) {
		struct share *s = &shares[i];

		s->first = pages / THREADS * i;
		s->nr = pages / THREADS;
		s->steps = steps / THREADS;
		s->random = 88172645463325252ULL + i;
		if (pthread_create(&s->thread, NULL, walk, s))
			die("pthread_create");
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(shares[i].thread, NULL);
		wrong += shares[i].wrong;
	}
	return wrong;
}

/* What is swapped out must come back by itself. */
static uint64_t without_swap(uint64_t pages, uint64_t keep, const char *swap)
{
	struct share s = { 0 };
	uint64_t page;

	if (madvise(memory + keep * WORDS, (pages - keep) * PAGE, MADV_DONTNEED))
		die("madvise");
	if (swapoff(swap))
		die(swap);
	for (page = 0; page < keep; page++)
		check(&s, page);
	return s.wrong;
}

int main(int argc, char **argv)
{
	uint64_t pages, keep, wrong;

	if (argc != 5) {
		fprintf(stderr, "usage: pages MIB STEPS KEEP-MIB SWAP\n");
		return 2;
	}
	pages = strtoull(argv[1], NULL, 10) * 256;
	keep = strtoull(argv[3], NULL, 10) * 256;
	if (pages < THREADS || keep > pages / THREADS) {
		fprintf(stderr, "pages: that is not possible\n");
		return 2;
	}
	written = map(pages * sizeof(*written));
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	memory = map(pages * PAGE);
	/* One page of each size, not whole huge ones. */
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);

	wrong = walk_all(pages, strtoull(argv[2], NULL, 10));
	printf("# %llu pages, %s steps, %llu wrong\n", (unsigned long long)pages, argv[2],
	       (unsigned long long)wrong);
	wrong += without_swap(pages, keep, argv[4]);
	return wrong ? 1 : 0;
}
