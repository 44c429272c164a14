// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "marked.h"

#define MAGIC	0x736574616d736b76ULL

struct sector {
	u64 magic;
	u32 image;
	u32 place;
	u64 nr;
	u64 gen;
	u8 fill[SECTOR - 32];
};

_Static_assert(sizeof(struct sector) == SECTOR, "a sector");

static __thread char text[160];

static void fill_sector(struct sector *s, u32 image, u32 place, u64 nr, u64 gen)
{
	struct rng rng;

	s->magic = MAGIC;
	s->image = image;
	s->place = place;
	s->nr = nr;
	s->gen = gen;
	rng_seed(&rng, (image * 64ULL + place) * 8 + nr + gen * 1000003);
	rng_fill(&rng, s->fill, sizeof(s->fill));
}

void piece_fill(u8 *buf, u32 image, u32 place, u64 gen)
{
	struct sector s;
	u64 i;

	for (i = 0; i < PIECE / SECTOR; i++) {
		fill_sector(&s, image, place, i, gen);
		memcpy(buf + i * SECTOR, &s, SECTOR);
	}
}

const char *piece_foreign(const u8 *buf, u32 image, u32 place)
{
	struct sector s;
	u64 i;

	for (i = 0; i < PIECE / SECTOR; i++) {
		memcpy(&s, buf + i * SECTOR, SECTOR);
		if (s.magic == MAGIC && s.image == image && s.place == place && s.nr == i)
			continue;
		snprintf(text, sizeof(text), s.magic == MAGIC ?
			 "sector %llu is of image %u, place %u, sector %llu" :
			 "sector %llu is nobody's (%u, %u, %llu)", (unsigned long long)i, s.image,
			 s.place, (unsigned long long)s.nr);
		return text;
	}
	return NULL;
}

u32 piece_image(const u8 *buf)
{
	struct sector s;

	memcpy(&s, buf, SECTOR);
	return s.magic == MAGIC ? s.image : ~0U;
}

const char *piece_wrong(const u8 *buf, u32 image, u32 place, const struct piece *p)
{
	const char *wrong = piece_foreign(buf, image, place);
	struct sector s, want;
	u64 i;

	for (i = 0; !wrong && i < PIECE / SECTOR; i++) {
		memcpy(&s, buf + i * SECTOR, SECTOR);
		fill_sector(&want, image, place, i, s.gen);
		if (s.gen >= p->sure && s.gen <= p->tried && !memcmp(&s, &want, SECTOR))
			continue;
		snprintf(text, sizeof(text), "sector %llu has generation %llu, not %llu to %llu%s",
			 (unsigned long long)i, (unsigned long long)s.gen,
			 (unsigned long long)p->sure, (unsigned long long)p->tried,
			 memcmp(&s, &want, SECTOR) ? ", or is damaged" : "");
		wrong = text;
	}
	return wrong;
}
