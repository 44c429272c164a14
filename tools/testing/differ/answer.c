// SPDX-License-Identifier: GPL-2.0-only
/* Room for what a reader says; reused from image to image. */
#include <stdlib.h>
#include "img-sparse.h"
#include "differ.h"

void df_answer_reset(struct df_answer *a)
{
	a->opened = false;
	a->broken = false;
	a->map_failed = false;
	a->text[0] = '\0';
	a->map_text[0] = '\0';
	a->size = 0;
	a->nr_pieces = 0;
	a->nr_map = 0;
}

void df_answer_free(struct df_answer *a)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(a->pieces); i++) {
		free(a->pieces[i].data);
		free(a->pieces[i].bad);
	}
	free(a->map);
	memset(a, 0, sizeof(*a));
}

static void piece(struct df_piece *p, u64 pos, u64 len, u64 room)
{
	if (!p->data) {
		p->data = ut_xalloc(room);
		p->bad = ut_xalloc(room / DF_SECTOR);
	}
	p->pos = pos;
	p->len = len;
	memset(p->data, 0, len);
	memset(p->bad, 0, len / DF_SECTOR);
}

void df_answer_pieces(struct df_answer *a, u64 size)
{
	u64 head = min(size, DF_HEAD), tail = min(size - head, DF_TAIL);

	a->size = size;
	a->nr_pieces = tail ? 2 : 1;
	piece(&a->pieces[0], 0, head, DF_HEAD);
	if (tail)
		piece(&a->pieces[1], size - tail, tail, DF_TAIL);
}

void df_answer_range(struct df_answer *a, const struct df_range *r)
{
	if (a->nr_map == a->max_map) {
		a->max_map = a->max_map ? a->max_map * 2 : 256;
		a->map = realloc(a->map, a->max_map * sizeof(*a->map));
		if (!a->map)
			abort();
	}
	a->map[a->nr_map++] = *r;
}
