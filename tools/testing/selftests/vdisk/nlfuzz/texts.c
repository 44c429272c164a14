// SPDX-License-Identifier: GPL-2.0-only
/*
 * A refusal's sentence waits in the module until netlink copies it. With many who
 * are refused at the same time, each gets its own all the same.
 */
#include <linux/vdisk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../blk.h"
#include "../tap.h"
#include "nlfuzz.h"

#define THREADS		32

struct asker {
	pthread_t thread;
	u32 id;
	unsigned int times;
	unsigned int wrong;
	char text[NL_TEXT];	/* the first wrong one */
};

static atomic_bool go;

/* For a device that is not there, whose number the sentence names. */
static void *ask(void *arg)
{
	struct nl_reply *answer = xalloc(sizeof(*answer));
	struct asker *a = arg;
	char want[64];
	struct nl mine;

	if (nl_open(&mine))
		bail("no vdisk family");
	snprintf(want, sizeof(want), "vdisk%u is not attached", a->id);
	while (!go)
		nap();
	for (; a->times; a->times--) {
		vdev_detach(&mine, a->id, VDISK_DETACH_PLAIN, answer);
		if (strcmp(answer->text, want) && !a->wrong++)
			snprintf(a->text, sizeof(a->text), "%s", answer->text);
	}
	nl_close(&mine);
	free(answer);
	return NULL;
}

void texts_test(unsigned int times)
{
	static struct asker askers[THREADS];
	unsigned int i, wrong = 0;

	for (i = 0; i < THREADS; i++) {
		askers[i] = (struct asker) { .id = 5000 + i, .times = times };
		if (pthread_create(&askers[i].thread, NULL, ask, &askers[i]))
			bail("no thread");
	}
	go = true;
	for (i = 0; i < THREADS; i++) {
		pthread_join(askers[i].thread, NULL);
		if (askers[i].wrong)
			diag("about vdisk%u, %u times, like: %s", askers[i].id, askers[i].wrong,
			     askers[i].text);
		wrong += askers[i].wrong;
	}
	is_num(wrong, 0, "%u refusals at a time, %u each: nobody gets another's sentence", THREADS,
	       times);
}
